"""What is answered: the shapes for the OpenAPI document, and the answers made of what the matcher found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from serving import matcher
from serving.requests import MAX_ROWS
from serving.scored import Scored
from serving.shapes import Anything, Array, Choice, Either, Number, Object, Shape, Text, Truth, Whole
from whence.contracts.models import MODELS

MOST_SHOWN = 5
"""Candidates in an answer."""
LONG = 10_000

ERROR = Object(
    {
        "error": Object(
            {"field": Text("What was wrong; empty for the request as a whole."), "message": Text("What to do.")}, ("message",)
        )
    },
    ("error",),
    title="Error",
)
DEGRADED = Array(Text(), LONG, doc="What was missing or too old, and so did not speak.")
BUNDLE = Text("The digest of the bundle that scored; null when none did.")
LOGGED = Truth("True: the decision is on the disk. False: it is not logged. Null: it is on its way, or there was nothing to log.")
ARM = Text("Whose turn it was, champion or challenger, while a challenger is on trial; null otherwise.")
_PROVENANCE: dict[str, Shape] = {"bundle": BUNDLE, "arm": ARM, "degraded": DEGRADED}

MATCH = Object(
    {
        "decision_id": Text(),
        "person_id": Text("The person; null for nobody."),
        "probability": Number("How likely it is the person."),
        "method": Choice(("exact", "ranked", "none")),
        "candidates": Array(Object({"person_id": Text(), "probability": Number()}, ("person_id", "probability")), MOST_SHOWN),
        **_PROVENANCE,
        "logged": LOGGED,
    },
    ("decision_id", "method", "candidates", "degraded"),
    "Whose the signal is.",
    "MatchAnswer",
)
EARNED = Object(
    {"touch_id": Text(), "campaign_id": Text(), "channel": Text(), "share": Number(), "credit_micros": Whole()},
    ("share", "credit_micros"),
    "A touch's part; without a touch, the part that no ad earned.",
    "Earned",
)
ATTRIBUTE = Object(
    {
        "decision_id": Text(),
        "person_id": Text(),
        "algorithm": Text(),
        "policy": Text(),
        "currency": Text(),
        "credits": Array(EARNED, LONG),
        "beside": Anything(Array(EARNED, LONG), "Credit by other algorithms, for comparison."),
        **_PROVENANCE,
        "logged": LOGGED,
    },
    ("decision_id", "algorithm", "policy", "currency", "credits", "beside", "degraded"),
    "Which touches earned the conversion.",
    "AttributeAnswer",
)
SCORE = Object(
    {
        "model": Choice(MODELS),
        "bundle": BUNDLE,
        "raw": Array(Number(), MAX_ROWS, doc="The trees' sum, a row each."),
        "probability": Array(Number(), MAX_ROWS, doc="Calibrated, a row each."),
    },
    ("model", "bundle", "raw", "probability"),
    "How likely the rows are.",
    "ScoreAnswer",
)
STANDING = Object({"bundle": Text(), "epoch": Whole()})
READY = Object(
    {"status": Choice(("ready", "starting")), "models": Anything(STANDING), "degraded": DEGRADED},
    ("status", "models", "degraded"),
    title="Readiness",
)
LIVE = Object({"status": Choice(("live",))}, ("status",))
SERVING = Object(
    {
        "model": Choice(MODELS),
        "bundle": Text(),
        "epoch": Whole("The journal's row that put it there."),
        "engine": Text("What computes its trees here."),
        "since": Text("When this process took it into service."),
        "numbers": Array(Text(), LONG, doc="Its inputs that are numbers."),
        "categories": Anything(Array(Text(), LONG), "Its inputs that are words, each with those that it knows."),
    },
    ("model", "bundle", "epoch", "engine", "numbers", "categories"),
    title="Serving",
)
SERVED = Object({"models": Array(SERVING, len(MODELS))}, ("models",), "What serves.", "Models")


def several(answer: Shape) -> Object:
    """The answers of a batch: in order, each an answer or an error."""
    return Object({"answers": Array(Either(ERROR, answer), MAX_ROWS)}, ("answers",))


def matched(name: str, answer: matcher.Answer, bundle: str | None, arm: str | None = None) -> dict[str, Any]:
    """The answer to match."""
    return {
        "decision_id": name,
        "person_id": answer.person_id,
        "probability": answer.probability,
        "method": answer.method,
        "candidates": _best(answer.scored) if answer.scored is not None else [],
        "bundle": bundle,
        "arm": arm,
        "degraded": list(answer.degraded),
    }


def attributed(
    name: str, credit: matcher.Credit, policy: str, currency: str, bundle: str | None, arm: str | None = None
) -> dict[str, Any]:
    """The answer to attribute."""
    return {
        "decision_id": name,
        "person_id": credit.person_id,
        "algorithm": credit.algorithm,
        "policy": policy,
        "currency": currency,
        "credits": _told(credit.earned),
        "beside": {name: _told(earned) for name, earned in credit.beside.items()},
        "bundle": bundle,
        "arm": arm,
        "degraded": list(credit.degraded),
    }


def error(field: str, message: str) -> dict[str, Any]:
    """What every refusal says."""
    return {"error": {"field": field, "message": message}}


def _best(scored: Scored) -> list[dict[str, Any]]:
    """The likeliest; of equals the earlier."""
    order = np.argsort(-scored.probability, kind="stable")[:MOST_SHOWN]
    return [
        {"person_id": scored.options[place], "probability": probability}
        for place, probability in zip(order.tolist(), scored.probability[order].tolist(), strict=True)
    ]


def _told(earned: Iterable[matcher.Earned]) -> list[dict[str, Any]]:
    return [
        {
            "touch_id": each.touch_id or None,
            "campaign_id": each.campaign_id or None,
            "channel": each.channel or None,
            "share": each.share,
            "credit_micros": each.credit_micros,
        }
        for each in earned
    ]
