"""How the command line speaks: tables for people, JSON for programs, one line for an error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

console = Console(soft_wrap=False, width=None if sys.stdout.isatty() else 160)
NAMES = ("pid",)
"""Columns whose numbers are names, in which a comma would be wrong."""


def plain(value: Any) -> Any:
    """Anything as what JSON can hold."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def rows(found: Sequence[Any], *, as_json: bool, title: str = "", empty: str = "Nothing yet.") -> None:
    """A table with a line for each row, or a JSON list."""
    flat = [plain(each) for each in found]
    if as_json:
        print(json.dumps(flat, indent=2))
    elif not flat:
        console.print(empty)
    else:
        table = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
        for name in flat[0]:
            table.add_column(
                str(name).replace("_", " "), overflow="fold", justify="right" if _is_number(flat[0][name]) else "left"
            )
        for each in flat:
            table.add_row(*(str(cell) if name in NAMES else _cell(cell) for name, cell in each.items()))
        console.print(table)


def facts(found: Any, *, as_json: bool, title: str = "", empty: str = "") -> None:
    """Names and values, one a line, or a JSON object; `empty` where there are none."""
    flat = plain(found)
    if as_json:
        print(json.dumps(flat, indent=2))
        return
    if not flat and empty:
        console.print(empty)
        return
    if title:
        console.print(title, style="bold")
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in flat.items():
        table.add_row(str(name).replace("_", " "), _cell(value))
    console.print(table)


@contextmanager
def progress(what: str, *, quiet: bool) -> Iterator[Any]:
    """A bar for long work: yields a function of (done, total), or None when nobody looks."""
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield advance


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, list):
        return "\n".join(_cell(each) for each in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(each)}" for name, each in value.items())
    return str(value)
