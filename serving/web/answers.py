"""What is answered: the shapes for the OpenAPI document, and the answers made of what the matcher found."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from serving import matcher
from serving.scored import Scored
from serving.scoring import ScoredRows
from serving.web.requests import MAX_ROWS
from serving.web.shapes import Anything, Array, Choice, Either, Moment, Number, Object, Shape, Text, Truth, Whole
from whence.bundle import Scorer
from whence.contracts.models import MODELS

Words = partial(Text, most=None)
MOST_SHOWN = 5
"""Candidates in an answer."""
LONG = 10_000

ERROR = Object(
    {
        "error": Object(
            {"field": Words("What was wrong; empty for the request as a whole."), "message": Words("What to do.")}, ("message",)
        )
    },
    ("error",),
    title="Error",
)
DEGRADED = Array(Words(), LONG, doc="What was missing or too old, and so did not speak.")
BUNDLE = Words("The digest of the bundle that scored; null when the model has none.")
LOGGED = Truth("True: the decision is on the disk. False: it is not logged. Null: it is on its way, or there was nothing to log.")
ARM = Words("Whose turn it was, champion or challenger, while a challenger is on trial; null otherwise.")
_PROVENANCE: dict[str, Shape] = {"bundle": BUNDLE, "arm": ARM, "degraded": DEGRADED}

MATCH = Object(
    {
        "decision_id": Words(),
        "person_id": Words("The person; null for nobody."),
        "probability": Number("How likely it is the person."),
        "method": Choice(("exact", "ranked", "none")),
        "candidates": Array(Object({"person_id": Words(), "probability": Number()}, ("person_id", "probability")), MOST_SHOWN),
        **_PROVENANCE,
        "logged": LOGGED,
    },
    ("decision_id", "method", "candidates", "degraded"),
    "Whose the signal is.",
    "MatchAnswer",
)
EARNED = Object(
    {"touch_id": Words(), "campaign_id": Words(), "channel": Words(), "share": Number(), "credit_micros": Whole()},
    ("share", "credit_micros"),
    "A touch's part; without a touch, the part that no ad earned.",
    "Earned",
)
ATTRIBUTE = Object(
    {
        "decision_id": Words(),
        "person_id": Words(),
        "algorithm": Words(),
        "policy": Words(),
        "currency": Words(),
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
        **_PROVENANCE,
        "raw": Array(Number(), MAX_ROWS, doc="The trees' sum, a row each."),
        "probability": Array(Number(), MAX_ROWS, doc="Calibrated, a row each."),
    },
    ("model", "bundle", "raw", "probability", "degraded"),
    "How likely the rows are.",
    "ScoreAnswer",
)
CONTRIBUTION = Object(
    {
        "name": Words(),
        "value": Either(Number(), Words()),
        "view": Words("Where it was read; null for what came with the request."),
        "age_hours": Number("How old it was there."),
        "contribution": Number("Its part of the raw score."),
    },
    ("name", "contribution"),
    title="Contribution",
)
OTHER = Object({"option": Words(), "raw": Number(), "probability": Number()}, ("option", "raw", "probability"))
VERDICT = Object(
    {
        "is_taken": Truth(),
        "why": Words(),
        "cut": Number("The least probability of a match that is taken."),
        "lead": Number("How far the surest is ahead of the next."),
        "least_lead": Number(),
        "algorithm": Words(),
        "share": Number("Of the conversion's credit."),
        "others": Array(OTHER, LONG, doc="The competing options, surest first."),
    },
    ("is_taken", "why", "others"),
    title="Verdict",
)
EXPLAIN = Object(
    {
        "model": Choice(MODELS),
        "bundle": BUNDLE,
        "option": Words(),
        "features": Array(CONTRIBUTION, LONG, doc="The strongest first; with the base they sum to the raw score."),
        "base": Number("What the trees say of a row on average."),
        "raw": Number(),
        "calibrator": Words("What makes the raw score a probability."),
        "probability": Number(),
        "verdict": VERDICT,
        "degraded": DEGRADED,
    },
    ("model", "bundle", "option", "features", "base", "raw", "calibrator", "probability", "verdict", "degraded"),
    "Why an option got its score, and what decided.",
    "ExplainAnswer",
)
STANDING = Object({"bundle": Words(), "epoch": Whole()})
READY = Object(
    {"status": Choice(("ready", "starting")), "models": Anything(STANDING), "degraded": DEGRADED},
    ("status", "models", "degraded"),
    title="Readiness",
)
LIVE = Object({"status": Choice(("live",))}, ("status",))
SERVING = Object(
    {
        "model": Choice(MODELS),
        "bundle": Words(),
        "epoch": Whole("The journal's row that put it there."),
        "engine": Words("What computes its trees here."),
        "since": Moment("When this process took it into service."),
        "numbers": Array(Words(), LONG, doc="Its inputs that are numbers."),
        "categories": Anything(Array(Words(), LONG), "Its inputs that are words, each with those that it knows."),
    },
    ("model", "bundle", "epoch", "engine", "since", "numbers", "categories"),
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


def scored(scorer: Scorer, arm: str | None, rows: ScoredRows) -> dict[str, Any]:
    """The answer to score."""
    return {
        "model": scorer.model,
        "bundle": scorer.digest,
        "arm": arm,
        "raw": rows.raw.tolist(),
        "probability": rows.probability.tolist(),
        "degraded": list(rows.degraded),
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
