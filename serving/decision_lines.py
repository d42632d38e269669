"""A decision as a line of the service's log: one a request, all options in it; and the rows that it stands for.

    {"bundle": …, "names": [columns]}                     before the first line of a bundle in a file
    {"decision_id": …, "made_at": …, "model": …, "bundle": …, "subject": …, "options": [ids],
     "matrix": …, "raw": …, "probability": …, "texts": {column: [text]}, "chosen": place}

`matrix`, `raw` and `probability` are little-endian float64 in base64: they come back bit by bit. Lines from before there was
one a request, a row each with its `features` as an object, are read, too.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from serving.scored import Scored

Row = dict[str, Any]
"""A scored option: decision_id, made_at, model, bundle, subject, option, features, score, probability, chosen."""


class Decision(NamedTuple):
    """What one request had scored."""

    name: str
    """Its id; that of its rows is {name}-{place}."""
    made_at: datetime
    model: str
    bundle: str
    subject: str
    scored: Scored


def introduction(decision: Decision) -> bytes:
    """The line that says what the columns of a bundle's lines are."""
    return orjson.dumps({"bundle": decision.bundle, "names": list(decision.scored.names)}) + b"\n"


def line(decision: Decision) -> bytes:
    """The decision's line."""
    scored = decision.scored
    content = {
        "decision_id": decision.name,
        "made_at": decision.made_at,
        "model": decision.model,
        "bundle": decision.bundle,
        "subject": decision.subject,
        "options": list(scored.options),
        "matrix": _packed(scored.matrix),
        "raw": _packed(scored.raw),
        "probability": _packed(scored.probability),
        "texts": {name: list(texts) for name, texts in scored.texts.items()},
        "chosen": scored.chosen,
    }
    return orjson.dumps(content) + b"\n"


def rows(path: Path) -> Iterator[Row | None]:
    """Every row of a file, in order; None for a line that is no decision.

    The last line of a killed process may be torn: what does not end in a newline is not there.
    """
    names: dict[str, tuple[str, ...]] = {}
    *whole, _torn = path.read_bytes().split(b"\n")
    for text in whole:
        try:
            content = orjson.loads(text)
            if "features" in content:
                yield {**content, "made_at": datetime.fromisoformat(content["made_at"])}
            elif "names" in content:
                names[content["bundle"]] = tuple(content["names"])
            else:
                yield from _expanded(content, names[content["bundle"]])
        except (ValueError, KeyError, TypeError, IndexError):
            yield None


def _expanded(content: Mapping[str, Any], names: Sequence[str]) -> list[Row]:
    made_at, options, texts = datetime.fromisoformat(content["made_at"]), content["options"], content["texts"]
    matrix = _unpacked(content["matrix"]).reshape(len(options), len(names)).tolist()
    raw, probability = (_unpacked(content[name]).tolist() for name in ("raw", "probability"))
    return [
        {
            "decision_id": f"{content['decision_id']}-{place}",
            "made_at": made_at,
            "model": content["model"],
            "bundle": content["bundle"],
            "subject": content["subject"],
            "option": option,
            "features": {
                name: texts[name][place] if name in texts else _finite(value)
                for name, value in zip(names, matrix[place], strict=True)
            },
            "score": raw[place],
            "probability": probability[place],
            "chosen": place == content["chosen"],
        }
        for place, option in enumerate(options)
    ]


def _packed(values: npt.NDArray[np.float64]) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f8").tobytes()).decode()


def _unpacked(text: str) -> npt.NDArray[np.float64]:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f8")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
