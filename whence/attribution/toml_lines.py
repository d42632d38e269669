"""On which line of a TOML file a value stands; `tomllib` gives the values and forgets the lines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Path = tuple[str | int, ...]
"""Keys and places in lists, as ("windows", 0, "days")."""

_HEADER = re.compile(r"^\s*\[(\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""^\s*((?:"[^"]*"|'[^']*'|[\w-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[\w-]+))*)\s*=""")
_TOKEN = re.compile(r'"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|\#[^\n]*|[\[\]{},\n]')


@dataclass(frozen=True)
class Lines:
    """The line of each key, table and list element of a text."""

    at: Mapping[Path, int]

    def of(self, *path: str | int) -> int:
        """The line of a path; of the nearest one around it where it is not written itself; 1 for the whole file."""
        while path and path not in self.at:
            path = path[:-1]
        return self.at.get(path, 1)


def lines(text: str) -> Lines:
    """Find the lines of a text that is TOML.

    >>> lines('a = 1\\n[[b]]\\nc = [1,\\n 2]\\n[[b]]\\nc = []').of("b", 0, "c", 1)
    4
    """
    found: dict[Path, int] = {}
    for path, line in _places(text):
        for end in range(1, len(path) + 1):
            found.setdefault(path[:end], line)
    return Lines(found)


def _places(text: str) -> Iterator[tuple[Path, int]]:
    rows = text.splitlines()
    table: Path = ()
    seen: Counter[Path] = Counter()
    number = 0
    while number < len(rows):
        row = rows[number]
        number += 1
        if header := _HEADER.match(row):
            table = tuple(_names(header[2]))
            table = _inside(table, seen)
            if header[1]:
                seen[table] += 1
                table = (*table, seen[table] - 1)
            yield table, number
        elif key := _KEY.match(row):
            path = (*table, *_names(key[1]))
            yield path, number
            rest = "\n".join([row[key.end() :], *rows[number:]])
            length = 0
            for place, after, is_element in _elements(rest):
                length = after
                if is_element:
                    yield (*path, *place), number + after
            number += length


def _inside(table: Path, seen: Counter[Path]) -> Path:
    """[a.b] below [[a]] belongs to the last a so far."""
    full: Path = ()
    for place, name in enumerate(table):
        full = (*full, name)
        if place < len(table) - 1 and seen[full]:
            full = (*full, seen[full] - 1)
    return full


def _names(dotted: str) -> list[str]:
    return [name.strip("\"'") for name in re.findall(r"\"[^\"]*\"|'[^']*'|[\w-]+", dotted)]


def _elements(value: str) -> Iterator[tuple[Path, int, bool]]:
    """Each element of the list that the value is, and the value's last line: (place, lines further down, is an element)."""
    depth, line, place, is_open = 0, 0, 0, False
    at = 0
    while at < len(value):
        token = _TOKEN.match(value, at)
        mark = token[0] if token else value[at]
        at += len(mark)
        if mark == "\n":
            if depth == 0:
                return
            line += 1
            continue
        if mark.startswith("#") or mark.isspace():
            continue
        if depth == 1 and is_open and mark not in ",]":
            yield (place,), line, True
            is_open, place = False, place + 1
        if mark in ("[", "{"):
            depth += 1
            is_open = is_open or (depth == 1 and mark == "[")
        elif mark in ("]", "}"):
            depth -= 1
        elif mark == "," and depth == 1 and place:
            is_open = True
        line += mark.count("\n")
        yield (), line, False
