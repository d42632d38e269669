"""A decision as a frame of the service's log: one a request, all options in it; and the rows that it stands for.

    mark "WHD1" | length of the head | length of the numbers | CRC-32 of both | head, JSON | numbers, float64

A head is {"bundle": …, "names": [columns]} before the first decision of a bundle in a file, without numbers; or
{"decision_id", "made_at", "model", "bundle", "subject", "arm", "options": [ids], "texts": {column: [text]}, "chosen": place,
"micros", "degraded"}, and its numbers are the matrix (options × columns), the raw scores and the probabilities. All is little-endian. As text the
numbers would cost five times what the rest of a request's log does.

Files from before, of JSON lines with a row each, are read, too.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from serving.scored import Numbers, Scored
from whence.columns import Kept, Texts, once

SUFFIX, OLD_SUFFIX = ".frames", ".jsonl"
MARK = b"WHD1"
EDGE = struct.Struct("<4sIII")
FLOAT = np.dtype("<f8")

Row = dict[str, Any]
"""A scored option: decision_id, made_at, model, bundle, subject, arm, option, features, score, probability, chosen, micros, degraded."""


class Decision(NamedTuple):
    """What one request had scored."""

    name: str
    """Its id; that of its rows is {name}-{place}."""
    made_at: datetime
    model: str
    bundle: str
    subject: str
    scored: Scored
    arm: str = "champion"
    """champion, or challenger while one is on trial."""
    micros: int = 0
    """Microseconds since the request came."""
    degraded: str = ""
    """The kinds of what the answer had to do without, with commas."""


def introduction(decision: Decision) -> bytes:
    """The frame that says what the columns of a bundle's decisions are."""
    return _frame({"bundle": decision.bundle, "names": decision.scored.names}, b"")


def frame(decision: Decision) -> bytes:
    """The decision's frame."""
    scored = decision.scored
    head = {
        "decision_id": decision.name,
        "made_at": decision.made_at,
        "model": decision.model,
        "bundle": decision.bundle,
        "subject": decision.subject,
        "arm": decision.arm,
        "options": _listed(scored.options),
        "texts": scored.texts,
        "chosen": scored.chosen,
        "micros": decision.micros,
        "degraded": decision.degraded,
    }
    return _frame(head, b"".join(_bytes(part) for part in (scored.matrix, scored.raw, scored.probability)))


def rows(path: Path) -> Iterator[Row | None]:
    """Every row of a file, in order; None for a frame or line that is damaged.

    What a killed process left torn at the end is not there.
    """
    data = path.read_bytes()
    if path.suffix == OLD_SUFFIX:
        yield from _rows_of_lines(data)
        return
    names: dict[str, Sequence[str]] = {}
    for content in _contents(data):
        if content is None:
            yield None
        elif "names" in content[0]:
            names[content[0]["bundle"]] = content[0]["names"]
        elif content[0]["bundle"] in names:
            yield from _expanded(*content, names[content[0]["bundle"]])
        else:
            yield None


def is_torn(path: Path) -> bool:
    """Whether a file ends in half a frame or line, as a process that was killed leaves it."""
    data = path.read_bytes()
    if path.suffix == OLD_SUFFIX:
        return bool(data) and not data.endswith(b"\n")
    place = 0
    while place < len(data):
        end, content = _content(data, place)
        following = end if content is not None else data.find(MARK, place + 1)
        if following < 0:
            return end > len(data)
        place = following
    return False


def _frame(head: Mapping[str, Any], numbers: bytes) -> bytes:
    text = orjson.dumps(head, default=_plain)
    return EDGE.pack(MARK, len(text), len(numbers), zlib.crc32(numbers, zlib.crc32(text))) + text + numbers


def _contents(data: bytes) -> Iterator[tuple[dict[str, Any], bytes] | None]:
    """Each frame's head and numbers; None for one that is damaged, after which the next mark is looked for."""
    place = 0
    while place < len(data):
        end, content = _content(data, place)
        if content is not None:
            yield content
            place = end
            continue
        following = data.find(MARK, place + 1)
        if following < 0:
            if end <= len(data):  # whole, and damaged; otherwise it is torn
                yield None
            return
        yield None
        place = following


def _content(data: bytes, place: int) -> tuple[int, tuple[dict[str, Any], bytes] | None]:
    """Where the frame at `place` ends, and what it holds, if it is there whole and undamaged."""
    start = place + EDGE.size
    if start > len(data):
        return start, None
    mark, head, numbers, check = EDGE.unpack_from(data, place)
    end = start + head + numbers
    if mark != MARK:
        return start, None
    if end > len(data) or zlib.crc32(memoryview(data)[start:end]) != check:
        return end, None
    return end, (orjson.loads(data[start : start + head]), data[start + head : end])


def _expanded(head: Mapping[str, Any], numbers: bytes, names: Sequence[str]) -> Iterator[Row]:
    made_at, options, texts = datetime.fromisoformat(head["made_at"]), head["options"], head["texts"]
    values = np.frombuffer(numbers, dtype=FLOAT)
    matrix, rest = values[: len(options) * len(names)], values[len(options) * len(names) :]
    inputs, (raw, probability) = matrix.reshape(len(options), len(names)).tolist(), rest.reshape(2, len(options)).tolist()
    for place, option in enumerate(options):
        yield {
            "decision_id": f"{head['decision_id']}-{place}",
            "made_at": made_at,
            "model": head["model"],
            "bundle": head["bundle"],
            "subject": head["subject"],
            "arm": head.get("arm", "champion"),
            "option": option,
            "features": {
                name: texts[name][place] if name in texts else _finite(value)
                for name, value in zip(names, inputs[place], strict=True)
            },
            "score": raw[place],
            "probability": probability[place],
            "chosen": place == head["chosen"],
            "micros": head.get("micros"),
            "degraded": head.get("degraded"),
        }


def _rows_of_lines(data: bytes) -> Iterator[Row | None]:
    *whole, _torn = data.split(b"\n")
    for text in whole:
        try:
            row = orjson.loads(text)
            yield {**row, "made_at": datetime.fromisoformat(row["made_at"])}
        except (ValueError, KeyError, TypeError):
            yield None


def _listed(options: Sequence[str]) -> Any:
    """Options for JSON; those of a network's list are written once and kept with it."""
    return orjson.Fragment(once("json", None, options, _as_json)) if type(options) is Kept else options


def _as_json(_: Texts, options: Texts) -> bytes:
    return orjson.dumps(list(options))


def _bytes(values: Numbers) -> bytes:
    return np.asarray(values, dtype=FLOAT).tobytes()


def _plain(value: Any) -> Any:
    """What orjson does not write: sequences and mappings of other kinds than list and dict."""
    return dict(value) if isinstance(value, Mapping) else list(value)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
