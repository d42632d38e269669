"""A policy's own file and what a platform's home says before it: sections of models, read, and checked against our own."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whence.contracts.models import MODELS

SECTIONS = ("all", *MODELS)


def contents(ours: Path, home: Path | None, error: type[Exception]) -> tuple[list[dict[str, Any]], Path]:
    """What the files say, ours first, and the file that has the last word.

    Raises `error`, which names the place, for what is no TOML, a section of no model, and a value of another kind than ours.
    """
    files = [ours, *([home / ours.name] if home and (home / ours.name).exists() else [])]
    told = [_read(file, error) for file in files]
    if strange := sorted(set(told[-1]) - set(SECTIONS)):
        raise error(f"{files[-1]} has a section [{strange[0]}], and no model of this name. Known: {', '.join(SECTIONS)}.")
    for section, given in told[-1].items():
        _check(given, told[0].get("all", {}) | told[0].get(section, {}), f"{files[-1]}: [{section}]", error)
    return told, files[-1]


def _read(file: Path, error: type[Exception]) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except ValueError as wrong:
        raise error(f"{file} is no TOML: {wrong}") from None


def _check(given: Any, like: Mapping[str, Any], where: str, error: type[Exception]) -> None:
    if not isinstance(given, dict):
        raise error(f"{where} must be a section, and is {given!r}.")
    for name, value in given.items():
        wanted = type(like.get(name, value))
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise error(f"{where} {name} must be {wanted.__name__}, and is {value!r}.")
