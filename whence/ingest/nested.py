"""Values within objects and lists, as JSON has them: each as a text, by the names that lead to it, joined by dots."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from whence.ingest.batch import Fault
from whence.ingest.errors import IngestError

Row = dict[str, str]
"""What a row holds; what is null or an empty text in it is not there."""

SPACE = " \t\r\n"
BETWEEN = re.compile(r"[\s,]*")
"""What stands between the objects of a list."""
PIECE = 1 << 20
"""Characters of a list that are read at once."""
MOST = 64 << 20
"""No single object of a list has more characters."""


def flat(row: Mapping[str, Any], wanted: Collection[str] | None = None) -> Row:
    """A row's values by name; with `wanted`, only those whose name is there with all of its beginnings, see `beginnings`.

    A list of keys, or names, with their values, as Google Analytics has its parameters, is taken for an object; any other is JSON text.

    >>> flat({"user": {"id": "7", "age": None}, "params": [{"key": "gclid", "value": {"string_value": "C9"}}], "tags": ["a"]})
    {'user.id': '7', 'params.gclid': 'C9', 'tags': '["a"]'}
    >>> flat({"note_attributes": [{"name": "cookie", "value": "ck1"}]})
    {'note_attributes.cookie': 'ck1'}
    """
    found: Row = {}
    for name, value in row.items():
        if wanted is None or name in wanted:
            _spread(name, value, found, wanted)
    return found


def beginnings(names: Collection[str]) -> frozenset[str]:
    """What the names begin with, and they themselves.

    >>> sorted(beginnings(["user.id", "at"]))
    ['at', 'user', 'user.id']
    """
    parts = [name.split(".") for name in names]
    return frozenset(".".join(each[:count]) for each in parts for count in range(1, len(each) + 1))


def apart(told: Any, path: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The objects of a list; with a path, of the lists that it leads to, each within all that it lies in.

    >>> list(apart([{"at": 1, "paid": [{"sum": 2}, {"sum": 3}]}, {"at": 4, "paid": []}], ["paid"]))
    [{'at': 1, 'paid': {'sum': 2}}, {'at': 1, 'paid': {'sum': 3}}]
    """
    if isinstance(told, list):
        for each in told:
            yield from apart(each, path)
    elif isinstance(told, dict) and path:
        for inner in apart(told.get(path[0]), path[1:]):
            yield {**told, path[0]: inner}
    elif isinstance(told, dict):
        yield told


def value(cell: Any) -> Any:
    """A cell's value; of a text that is a JSON object or list, what it says."""
    if not isinstance(cell, str) or not cell.lstrip().startswith(("{", "[")):
        return cell
    try:
        return _DECODER.decode(cell)
    except (ValueError, RecursionError):
        return cell


def json_rows(name: str, raw: BinaryIO) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    """The objects of a file, one a line or in a list, with their numbers; numbers in them are texts, as they were written.

    A line that holds no object comes as a Fault. Raises IngestError for a file that is cut off, or holds something else altogether.
    """
    text = io.TextIOWrapper(raw, "utf-8-sig")
    try:
        begin = text.read(1)
        while begin and begin in SPACE:
            begin = text.read(1)
        yield from _of_list(name, text) if begin == "[" else _of_lines(name, begin, text)
    except (OSError, EOFError, UnicodeDecodeError) as wrong:
        raise IngestError(f"{name} is no readable JSON: {wrong}. Send it again whole, in UTF-8.") from None


def _of_lines(name: str, begin: str, text: io.TextIOWrapper) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    for number, line in enumerate(text, 1):
        whole = begin + line
        begin = ""
        if whole.isspace():
            continue
        try:
            found = _DECODER.decode(whole)
        except (ValueError, RecursionError) as wrong:
            if number == 1:
                raise IngestError(
                    f"{name} has no JSON object in its first line ({wrong}). Write one object a line, or a list of them."
                ) from None
            if not whole.endswith("\n"):
                raise IngestError(f"{name} is cut off in line {number}. Send it again whole.") from None
            yield number, Fault(number, "(line)", f"The line is no JSON: {wrong}. Fix it in the source.")
            continue
        yield number, found if isinstance(found, dict) else _no_object(number, "line")


def _of_list(name: str, text: io.TextIOWrapper) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    held, at, number = text.read(PIECE), 0, 1
    while True:
        at = BETWEEN.match(held, at).end()  # type: ignore[union-attr]  # it matches nothing, too
        if held.startswith("]", at):
            return
        try:
            found, at = _DECODER.raw_decode(held, at)
        except (ValueError, RecursionError) as wrong:
            held, more = held[at:], text.read(max(PIECE, len(held) - at))
            if not more or len(held) > MOST:
                raise IngestError(
                    f"{name} is cut off or broken at object {number} of its list: {wrong}. Send it again whole."
                ) from None
            held, at = held + more, 0
            continue
        yield number, found if isinstance(found, dict) else _no_object(number, "item")
        number += 1


def _no_object(number: int, what: str) -> Fault:
    return Fault(number, "(line)", f"The {what} holds no JSON object. Fix it in the source.")


def _refused(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")


_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_refused)
"""Money passes through no float, and long ids keep their digits."""


def _spread(name: str, value: Any, found: Row, wanted: Collection[str] | None) -> None:
    if isinstance(value, list):
        value = _by_key(value) or value
    if isinstance(value, dict):
        for key, each in value.items():
            inner = f"{name}.{key}"
            if wanted is None or inner in wanted:
                _spread(inner, each, found, wanted)
    elif isinstance(value, bool):
        found[name] = "true" if value else "false"
    elif value not in (None, "", []):
        found[name] = json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list) else str(value)


def _by_key(listed: list[Any]) -> dict[str, Any] | None:
    """A list of keys with their values as an object; of a value in one of several types, the one that is there."""
    for named in ("key", "name"):
        if all(isinstance(each, Mapping) and "value" in each and isinstance(each.get(named), str) for each in listed):
            return {each[named]: _only(each["value"]) for each in listed}
    return None


def _only(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return next((each for each in value.values() if each is not None), None)
