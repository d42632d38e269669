"""Tables of a report as markup: row and column headers, sums that are those of the rows, amounts as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

from monitoring.attribution_report.amounts import NONE, cents, counts, exact, money, shown
from monitoring.attribution_report.words import name_of
from whence.attribution.summary import View


@dataclass(frozen=True)
class Cells:
    """A column of a table: its name, its cells from top to bottom, and what stands in the line of the sum."""

    name: str
    cells: Sequence[str]
    total: str = ""
    hint: str = ""
    """What the name means, for whoever points at it."""
    is_words: bool = False
    """Whether its cells are read from the left."""

    @property
    def kind(self) -> str:
        """How its cells stand."""
        return "words" if self.is_words else "number"


def section(title: str, lead: str, body: str) -> str:
    """A part of the page: its title, a sentence below, and markup."""
    return f"<section><h2>{escape(title)}</h2>{f'<p>{escape(lead)}</p>' if lead else ''}{body}</section>"


def folded(title: str, lead: str, body: str, is_folded: bool) -> str:
    """A part of a section; one that is folded opens with a click, and on paper."""
    if is_folded:
        return f"<details><summary>{escape(title)}</summary><p>{escape(lead)}</p>{body}</details>"
    return f"<h3 class=part>{escape(title)}</h3><p>{escape(lead)}</p>{body}"


def table(caption: str, first: tuple[str, list[str]], columns: Sequence[Cells]) -> str:
    """A table with row and column headers, and sums where its columns have any; cells are markup."""
    head = "".join(f"<th scope=col class={each.kind}{_hint(each)}>{escape(each.name)}</th>" for each in columns)
    body = "".join(
        f"<tr><th scope=row>{name}</th>{''.join(f'<td class={each.kind}>{each.cells[at]}</td>' for each in columns)}</tr>"
        for at, name in enumerate(first[1])
    )
    sums = "".join(f"<td class=number>{each.total}</td>" for each in columns)
    foot = f"<tfoot><tr><th scope=row>sum</th>{sums}</tr></tfoot>" if any(each.total for each in columns) else ""
    said = escape(caption, quote=True)
    return (
        f"<div class=wide tabindex=0 role=region aria-label='{said}'><table class=told><caption class=said>{said}</caption>"
        f"<thead><tr><th scope=col>{escape(first[0])}</th>{head}</tr></thead><tbody>{body}</tbody>{foot}</table></div>"
    )


def _hint(column: Cells) -> str:
    return f" title='{escape(column.hint, quote=True)}'" if column.hint else ""


def names(view: View, rows: pd.DataFrame) -> tuple[str, list[str]]:
    """The first column: what a row is, and below it what to look at twice."""
    told = []
    for _, row in rows.iterrows():
        note = f"<small>{escape(str(row['note']))}</small>" if row.get("note") else ""
        told.append(f"{escape(name_of(row, view.keys))}{note}")
    return view.by, told


def amounts(name: str, micros: pd.Series, *, signed: bool = False) -> Cells:
    """A column of amounts whose cents add up."""
    parts = cents([int(each) for each in micros])
    told = [f"+{money(each)}" if signed and each > 0 else money(each) for each in parts]
    return Cells(name, told, money(sum(parts)))


def counted(name: str, numbers: pd.Series, hint: str = "") -> Cells:
    """A column of counts, which may be shared, that add up."""
    told, total = counts(numbers.tolist())
    return Cells(name, told, total, hint)


def exactly(name: str, micros: pd.Series, *, signed: bool = False) -> Cells:
    """A column of amounts to the millionth, what is below a hundredth in small."""
    told = [_dusty(int(each), signed=signed) for each in micros]
    return Cells(name, told, _dusty(int(micros.sum()), signed=signed))


def _dusty(micros: int, *, signed: bool) -> str:
    if signed and not micros:
        return NONE
    text = exact(micros).replace("-", "−")
    whole, rest = text[:-7], text[-7:]
    sign, digits = ("−", whole[1:]) if whole.startswith("−") else ("+" if signed else "", whole)
    return f"{sign}{int(digits):,}{rest[:3]}<small class=dust>{rest[3:]}</small>"


def signed(micros: int) -> str:
    """A difference, with its sign."""
    return f"+{shown(micros)}" if micros > 0 else shown(micros)


def interval(low: int | None, high: int | None) -> str:
    """Both ends in words."""
    if pd.isna(low) or pd.isna(high):
        return NONE
    return "as stated" if shown(low) == shown(high) else f"{shown(low)} to {shown(high)}"
