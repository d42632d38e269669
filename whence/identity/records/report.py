"""The report of a run as one page of HTML that needs nothing else: what was found, what it rests on, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from whence import page
from whence.identity.records.explain import Waterfall, marked, picture
from whence.identity.records.table import Floats

Values = Mapping[str, str | None]

BINS = (0.0, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1.0)
SIZES = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 10), (11, 20), (21, 50), (51, 100), (101, 1000), (1001, 10**9))


@dataclass(frozen=True)
class Sample:
    """A pair that the report shows in full."""

    verdict: str
    left: str
    right: str
    left_values: Values
    right_values: Values
    fall: Waterfall


@dataclass(frozen=True)
class Table:
    """A table of the report; numbers stand to the right."""

    title: str
    lead: str
    """A sentence above it."""
    header: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()


@dataclass(frozen=True)
class Bars:
    """Counts as bars."""

    title: str
    lead: str
    counts: Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Report:
    """What the page says, from top to bottom."""

    title: str
    figures: Sequence[tuple[str, str]]
    """The few numbers at the top: value and what it is."""
    parts: Sequence[Table | Bars]
    samples: Sequence[Sample] = ()
    notes: Sequence[str] = ()
    """What a reader must not miss."""


def histogram(probabilities: Floats) -> list[tuple[str, int]]:
    """How many pairs have which probability.

    >>> histogram(np.array([0.005, 0.95, 1.0]))[0], histogram(np.array([0.005, 0.95, 1.0]))[-1]
    (('under 1%', 1), ('99% and more', 1))
    """
    counts = np.histogram(probabilities, BINS)[0].tolist()
    names = ["under 1%", *(f"{low:.0%} – {high:.0%}" for low, high in pairwise(BINS[1:-1])), "99% and more"]
    return list(zip(names, counts, strict=True))


def sizes(people: npt.NDArray[np.integer]) -> list[tuple[str, int]]:
    """How many people have how many records.

    >>> sizes(np.array([0, 0, 1]))
    [('1 record', 1), ('2 records', 1)]
    """
    each = np.unique(people, return_counts=True)[1] if len(people) else np.zeros(0, dtype=np.int64)
    counts = [(low, high, int(((each >= low) & (each <= high)).sum())) for low, high in SIZES]
    last = max((at for at, (_, _, count) in enumerate(counts) if count), default=-1)
    return [(_size(low, high), count) for low, high, count in counts[: last + 1]]


def html(report: Report) -> str:
    """The page."""
    parts = "".join(_part(each) for each in report.parts)
    samples = "".join(_sample(each) for each in report.samples)
    looked = f"<h2>Pairs, looked at closely</h2><p>{SAMPLES}</p>{samples}" if samples else ""
    return page.document(report.title, f"{page.figures(report.figures)}{page.notes(report.notes)}{parts}{looked}", STYLE)


SAMPLES = (
    "Each bar is what one field adds to the log-odds or takes from them: one more multiplies the odds by 2.7. "
    "They start at how likely any two candidates are one, and end at the probability."
)


def _part(part: Table | Bars) -> str:
    head = f"<section><h2>{escape(part.title)}</h2><p>{escape(part.lead)}</p>"
    if isinstance(part, Bars):
        return f"{head}{_bars(part.counts)}</section>"
    if not part.rows:
        return f"{head}</section>"
    header = "".join(f"<th>{escape(name)}</th>" for name in part.header)
    rows = "".join("<tr>" + "".join(_cell(each) for each in row) + "</tr>" for row in part.rows)
    return f"{head}<div class=wide><table><tr>{header}</tr>{rows}</table></div></section>"


def _cell(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"<td class=number>{value:,}</td>" if isinstance(value, int) else f"<td class=number>{value:,.3g}</td>"
    return f"<td>{escape(str(value))}</td>"


def _bars(counts: Sequence[tuple[str, int]]) -> str:
    most = max((count for _, count in counts), default=1) or 1
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td class=number>{count:,}</td>"
        f"<td class=track><i style='width:{max(100 * count / most, 0.4 if count else 0):.1f}%'></i></td></tr>"
        for name, count in counts
    )
    return f"<table class=bars>{rows}</table>"


def _sample(sample: Sample) -> str:
    names = list(dict.fromkeys([*sample.left_values, *sample.right_values]))
    rows = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(map(pieces, marked(sample.left_values.get(name), sample.right_values.get(name))))}</tr>"
        for name in names
    )
    return (
        f"<article><h3><em class={sample.verdict}>{sample.verdict}</em> {escape(sample.left)} and {escape(sample.right)}</h3>"
        f"<div class=beside><div class=wide><table class=values>"
        f"<tr><th></th><th>{escape(sample.left)}</th><th>{escape(sample.right)}</th></tr>{rows}</table></div>"
        f"<div class=picture>{picture(sample.fall)}</div></div></article>"
    )


def pieces(value: Sequence[tuple[str, bool]]) -> str:
    """A value as a cell, with what differs from the other record marked."""
    if not value:
        return "<td class=none>–</td>"
    return "<td>" + "".join(f"<mark>{escape(text)}</mark>" if differs else escape(text) for text, differs in value) + "</td>"


def _size(low: int, high: int) -> str:
    if low == high:
        return f"{low} record{'' if low == 1 else 's'}"
    return f"{low:,} – {high:,} records" if high < 10**9 else f"{low:,} records and more"


STYLE = """
.values th:first-child{white-space:nowrap;overflow-wrap:normal}.bars{width:100%}.bars td{border:0;padding:2px 14px 2px 0;white-space:nowrap}
.track{width:100%}.track i{display:block;height:12px;border-radius:3px;background:var(--bar)}.none{color:var(--soft)}
mark{background:var(--mark);color:inherit;border-radius:2px;padding:0 1px}em{font-style:normal;color:#fff;border-radius:5px;padding:2px 9px;margin-right:6px;font-size:13px}
em.same{background:var(--same)}em.different{background:var(--different)}em.unsure{background:var(--unsure)}
.beside{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1.1fr);gap:24px;align-items:start}.picture{background:#fff;border-radius:8px}.picture svg{width:100%;height:auto}
@media(max-width:760px){.beside{grid-template-columns:1fr}}
""".strip().replace("\n", "")
