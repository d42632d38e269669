"""Plots as inline SVG that keeps its letters' size on any screen, and says in hatches what colour alone would say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

HATCH = (
    "<svg width=0 height=0 aria-hidden=true style='position:absolute'><defs>"
    "<pattern id=hatch patternUnits=userSpaceOnUse width=6 height=6 patternTransform='rotate(45)'>"
    "<rect width=6 height=6 class=ground /><rect width=2.6 height=6 class=solid /></pattern>"
    "<pattern id=dots patternUnits=userSpaceOnUse width=5 height=5>"
    "<rect width=5 height=5 class=ground /><circle cx=1.5 cy=1.5 r=1 class=ink /></pattern></defs></svg>"
)
"""What the plots of a page fill with; once a page."""

BAR = 26
"""Height of a row of bars, in pixels."""
COLUMNS = 150
"""Height of a plot of days."""
LABELLED = 10
"""Up to so many columns each carries its value; up to three times as many, its date."""


@dataclass(frozen=True)
class Bar:
    """A row of a plot: a name, an amount from `start`, and what is to be drawn at it."""

    name: str
    value: float
    label: str
    """The amount in words, at the row's end."""
    start: float = 0.0
    fill: str = "solid"
    """solid, none (an outline), or dots."""
    doubtful: float = 0.0
    """The last part of the bar, hatched."""
    low: float | None = None
    high: float | None = None
    mark: float | None = None
    """Where a diamond stands."""

    @property
    def ends(self) -> list[float]:
        """Everything that must fit into the plot."""
        marks = [each for each in (self.low, self.high, self.mark) if each is not None]
        return [0.0, self.start, self.start + self.value, *marks]


@dataclass(frozen=True)
class Column:
    """A day of a plot over days: what went to ads below, what went to no ad on top of it."""

    name: str
    lower: float
    upper: float
    label: str
    mark: float | None = None


def bars(rows: Sequence[Bar], what: str) -> str:
    """Bars below each other on one scale; `what` says in words what they show."""
    ends = [end for row in rows for end in row.ends]
    scale = _Scale(min(ends, default=0.0), max(ends, default=1.0))
    body = "".join(
        f"<tr><th scope=row>{escape(row.name)}</th><td class=drawn>{_bar(row, scale)}</td>"
        f"<td class=number>{escape(row.label)}</td></tr>"
        for row in rows
    )
    return f"<table class=plot><caption class=said>{escape(what)}</caption>{body}</table>"


def small(share: float) -> str:
    """A bar in a cell of a table, `share` of its width long."""
    return f"<svg class=small height=6 aria-hidden=true><rect class=solid width='{max(0.0, min(share, 1.0)) * 100:.2f}%' height=6 /></svg>"


def columns(days: Sequence[Column], what: str) -> str:
    """Columns beside each other, one a day."""
    most = max([max(day.lower, 0) + max(day.upper, 0) for day in days] + [day.mark or 0.0 for day in days] + [1e-9])
    wide = 100 / max(len(days), 1)
    body = "".join(_column(day, at * wide, wide, most) for at, day in enumerate(days))
    every = max(1, -(-len(days) // (3 * LABELLED)))
    labels = "".join(
        _text((at + 0.5) * wide, COLUMNS + 36, day.name[5:], "soft") for at, day in enumerate(days) if at % every == 0
    )
    values = (
        "".join(
            _text((at + 0.5) * wide, COLUMNS + 14 - _height(day.lower + day.upper, most), day.label)
            for at, day in enumerate(days)
        )
        if len(days) <= LABELLED
        else ""
    )
    base = f"<line x1=0 x2='100%' y1={COLUMNS + 20} y2={COLUMNS + 20} class=axis />"
    return f"<svg class=columns height={COLUMNS + 42} role=img aria-label='{escape(what, quote=True)}'>{body}{base}{values}{labels}</svg>"


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """What the fills and marks mean: (solid, none, dots, hatch, whisker, diamond or dash) and words."""
    each = "".join(f"<span>{_sample(kind)}{escape(words)}</span>" for kind, words in entries)
    return f"<p class=legend>{each}</p>"


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float

    def __call__(self, value: float) -> float:
        """A place in percent, with room for a mark at both ends."""
        return 1 + 97 * (value - self.low) / ((self.high - self.low) or 1.0)


def _bar(row: Bar, scale: _Scale) -> str:
    start, end = sorted((scale(row.start), scale(row.start + row.value)))
    doubtful = min(abs(scale(row.doubtful) - scale(0.0)), end - start) if row.doubtful > 0 else 0.0
    parts = [_rect(start, end - doubtful, row.fill), _rect(end - doubtful, end, "hatch")]
    parts.append(f"<line x1='{scale(0.0):.2f}%' x2='{scale(0.0):.2f}%' y1=0 y2={BAR} class=axis />")
    if row.low is not None and row.high is not None:
        low, high, middle = scale(row.low), scale(row.high), BAR / 2
        parts.append(f"<line x1='{low:.2f}%' x2='{high:.2f}%' y1={middle} y2={middle} class=whisker />")
        parts += [f"<line x1='{x:.2f}%' x2='{x:.2f}%' y1={middle - 5} y2={middle + 5} class=whisker />" for x in (low, high)]
    if row.mark is not None:
        parts.append(f"<svg x='{scale(row.mark):.2f}%' y={BAR / 2} overflow=visible>{DIAMOND}</svg>")
    return f"<svg class=row height={BAR} aria-hidden=true>{''.join(parts)}</svg>"


DIAMOND = "<path d='M0-6 6 0 0 6-6 0z' class=diamond />"


def _rect(start: float, end: float, fill: str) -> str:
    if end - start < 0.05:
        return ""
    return f"<rect x='{start:.2f}%' y=5 width='{end - start:.2f}%' height={BAR - 10} class={fill} />"


def _column(day: Column, left: float, wide: float, most: float) -> str:
    lower, upper = _height(day.lower, most), _height(day.upper, most)
    x, width, ground = left + wide * 0.14, wide * 0.72, COLUMNS + 20
    parts = [
        f"<rect x='{x:.2f}%' width='{width:.2f}%' y={ground - lower:.1f} height={lower:.1f} class=solid />",
        f"<rect x='{x:.2f}%' width='{width:.2f}%' y={ground - lower - upper:.1f} height={upper:.1f} class=none />",
    ]
    if day.mark is not None:
        y = ground - _height(day.mark, most)
        parts.append(f"<line x1='{left + wide * 0.06:.2f}%' x2='{left + wide * 0.94:.2f}%' y1={y:.1f} y2={y:.1f} class=dash />")
    return "".join(parts)


def _height(value: float, most: float) -> float:
    return max(value, 0.0) / most * COLUMNS


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    return f"<text x='{x:.2f}%' y={y:.1f} text-anchor=middle class='label {kind}'>{escape(words)}</text>"


def _sample(kind: str) -> str:
    drawn = {
        "whisker": "<line x1=1 x2=25 y1=7 y2=7 class=whisker /><line x1=1 x2=1 y1=3 y2=11 class=whisker />"
        "<line x1=25 x2=25 y1=3 y2=11 class=whisker />",
        "diamond": f"<svg x=13 y=7 overflow=visible>{DIAMOND}</svg>",
        "dash": "<line x1=1 x2=25 y1=7 y2=7 class=dash />",
    }
    return (
        f"<svg width=26 height=14 aria-hidden=true>{drawn.get(kind, f'<rect x=1 y=2 width=24 height=10 class={kind} />')}</svg>"
    )


STYLE = """
.plot{width:100%;margin:0 0 12px}.plot th,.plot td{border:0;padding:0 12px 0 0;vertical-align:middle}.plot th{width:1%;white-space:nowrap;font-weight:500;color:var(--ink)}
.plot .number{width:1%;padding:0;color:var(--ink)}.drawn{line-height:0}.row,.columns,.small{display:block;width:100%;overflow:visible}
.said{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.solid{fill:var(--bar);stroke:var(--bar)}.none{fill:var(--paper);stroke:var(--bar)}.hatch{fill:url(#hatch);stroke:var(--bar)}.dots{fill:url(#dots);stroke:var(--ink)}
.ground{fill:var(--paper);stroke:none}pattern .solid{stroke:none}.ink,.diamond{fill:var(--ink)}.diamond{stroke:var(--paper);stroke-width:1.5}
.axis{stroke:var(--soft);stroke-width:1}.whisker{stroke:var(--ink);stroke-width:1.6}.dash{stroke:var(--ink);stroke-width:2.2;stroke-dasharray:6 3}
.label{font-size:12px;fill:var(--ink);font-variant-numeric:tabular-nums}.label.soft{fill:var(--soft)}
.legend{display:flex;flex-wrap:wrap;gap:4px 20px;font-size:13px;margin:0 0 10px}.legend span{display:inline-flex;gap:8px;align-items:center}
@media(max-width:640px){.plot,.plot tbody{display:block}.plot tr{display:grid;grid-template-columns:minmax(0,1fr) auto;padding:0 0 6px}.plot th{width:auto;padding:0 8px 0 0;white-space:normal;overflow-wrap:anywhere}.plot .drawn{grid-row:2;grid-column:1/3;padding:0}}
""".strip().replace("\n", "")
