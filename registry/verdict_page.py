"""A verdict as a page that a person can read: what was decided and why, three plots with their doubt, and every check."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from registry.gate.verdict import FAIL, NO_DECISION, PASS, PROMOTE, REFUSE, SMALL, UNSURE, Check, Tested, Verdict
from whence import page
from whence.contracts.models import Candidate
from whence.measures import Measure

DECISIONS = {PROMOTE: ("✓", "Promote"), REFUSE: ("✗", "Refuse"), NO_DECISION: ("?", "No decision")}
OUTCOMES = {
    PASS: ("✓", "pass", "passes"),
    FAIL: ("✗", "fail", "fails"),
    UNSURE: ("?", "open", "left open"),
    SMALL: ("·", "small", "too small to say"),
}
"""Each outcome's sign, its class, and what is said of it: the sign and the word say it without colour, too."""
WORST_FIRST = (FAIL, UNSURE, SMALL, PASS)
HEIGHT = 300
"""Of the curve, in pixels."""
LEFT, RIGHT, TOP, FOOT = 10.0, 97.0, 18.0, 40.0
"""The frame of the curve: percent from the left, and pixels from top and bottom."""


@dataclass(frozen=True)
class Line:
    """A row of a plot: a value with its interval, and what is said of it."""

    name: str
    value: float
    low: float
    high: float
    said: str
    sign: str = ""


def html(candidate: Candidate, verdict: Verdict) -> str:
    """The whole page; it needs no other file, and everything that came from data is escaped."""
    title = f"{candidate.model}, {candidate.as_of}: {DECISIONS[verdict.decision][1].lower()}"
    body = [
        _head(candidate, verdict),
        page.figures(_figures(verdict)),
        _section("Why", _reasons(verdict.reasons)),
        _differences(verdict),
        _calibration(verdict),
        _slices(verdict),
        _checks(verdict.checks),
        _numbers(verdict),
        _basis(candidate, verdict),
    ]
    return page.document(title, "".join(body), STYLE)


def _head(candidate: Candidate, verdict: Verdict) -> str:
    sign, words = DECISIONS[verdict.decision]
    against = f"the champion <code>{escape(verdict.champion[:12])}</code>" if verdict.champion else "no champion"
    spoiled = f" It was spoiled on purpose: {escape(candidate.drill)}." if candidate.drill else ""
    owner = f" Its owner is {escape(str(verdict.basis['owner']))}." if "owner" in verdict.basis else ""
    return (
        f"<p class='decision {verdict.decision}'><b><span aria-hidden=true>{sign}</span> {words}</b></p>"
        f"<p class=under>Candidate <code>{escape(candidate.bundle[:12])}</code> of {escape(candidate.model)}, as of "
        f"{escape(candidate.as_of)}, against {against}.{owner}{spoiled}</p>"
    )


def _figures(verdict: Verdict) -> list[tuple[str, str]]:
    taken = verdict.measures
    told = []
    if "log_loss" in taken:
        told.append((f"{taken['log_loss'].n:,}", "held-out rows"))
    for name, base, words in (
        ("saved_over_champion", "champion_log_loss", "of the champion’s log loss saved"),
        ("saved_over_baseline", "baseline_log_loss", "of the baseline’s log loss saved"),
    ):
        if name in taken:
            told.append((_signed(taken[name].value / taken[base].value, "+.1%"), words))
    if "observed_over_expected" in taken:
        told.append((f"{taken['observed_over_expected'].value:.3f}", "came for each positive foretold"))
    failed = len(verdict.named(FAIL))
    told.append((f"{failed} of {len(verdict.checks)}", "checks fail"))
    return told


def _reasons(reasons: Sequence[str]) -> str:
    shown = "".join(f"<li>{_with_code(each)}</li>" for each in reasons[:5])
    rest = "".join(f"<li>{_with_code(each)}</li>" for each in reasons[5:])
    more = f"<details><summary>and {len(reasons) - 5} more</summary><ul>{rest}</ul></details>" if rest else ""
    return f"<ul class=reasons>{shown}</ul>{more}"


def _differences(verdict: Verdict) -> str:
    taken = verdict.measures
    lines = [
        Line(words, each.value, each.low, each.high, f"{_signed(each.value)} [{_signed(each.low)}, {_signed(each.high)}]")
        for name, words in (("saved_over_champion", "over the champion"), ("saved_over_baseline", "over the baseline"))
        if (each := taken.get(name)) and math.isfinite(each.low)
    ]
    if not lines:
        return ""
    under = "Nats of log loss that the candidate saves a row, with 95 % intervals by person. Right of zero is better."
    if verdict.margin:
        under += f" The broken line is what it may lose to the champion and still not count as worse: {verdict.margin:.4f}."
    return _section("What it saves", _forest(lines, -verdict.margin or None, under), under)


def _slices(verdict: Verdict) -> str:
    if not verdict.slices:
        return ""
    other = "the champion" if verdict.champion else "the baseline"
    under = (
        f"Of {other}’s log loss in each slice, the share that the candidate saves, with 95 % intervals. A slice fails where it is "
        "worse by more than the broken line for sure, counted over all slices together (Holm). What is too small is not a pass."
    )
    lines = [
        _slice_line(each) for each in verdict.slices if each.outcome != SMALL and each.loss > 0 and math.isfinite(each.saved.low)
    ]
    margin = -verdict.slices[0].margin
    return _section("Slices", (_forest(lines, margin, under) if lines else "") + _small(verdict.slices), under)


def _small(slices: Sequence[Tested]) -> str:
    """How many slices are too small, and folded away which."""
    small = [each for each in slices if each.outcome == SMALL]
    if not small:
        return ""
    sign, _, words = OUTCOMES[SMALL]
    named = "".join(f"<li>{escape(each.name)}: {each.rows:,} rows, {each.positives:,} positive</li>" for each in small)
    what = f"<span aria-hidden=true>{sign}</span> {len(small)} of {len(slices)} slices: {words}"
    return f"<details><summary>{what}</summary><ul>{named}</ul></details>"


def _slice_line(each: Tested) -> Line:
    sign, _, words = OUTCOMES[each.outcome]
    low, high = each.saved.low / each.loss, each.saved.high / each.loss
    said = f"{each.rows:,} rows, {each.positives:,} positive: {words}"
    return Line(each.name, each.saved.value / each.loss, low, high, said, sign)


def _forest(lines: Sequence[Line], margin: float | None, what: str) -> str:
    """Values with intervals below each other on one scale, with zero and the margin as lines."""
    ends = [0.0, *(end for line in lines for end in (line.low, line.high)), *([margin] if margin is not None else [])]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def at(value: float) -> str:
        return f"{3 + 94 * (value - low) / span:.2f}%"

    rows = "".join(_forest_row(line, margin, at) for line in lines)
    return f"<div class=forest role=img aria-label='{escape(what, quote=True)}'>{rows}</div>"


def _forest_row(line: Line, margin: float | None, at: Callable[[float], str]) -> str:
    parts = [f"<line x1='{at(0.0)}' x2='{at(0.0)}' y1=0 y2=26 class=axis />"]
    if margin is not None:
        parts.append(f"<line x1='{at(margin)}' x2='{at(margin)}' y1=0 y2=26 class=margin />")
    parts.append(f"<line x1='{at(line.low)}' x2='{at(line.high)}' y1=13 y2=13 class=whisker />")
    parts += [f"<line x1='{at(end)}' x2='{at(end)}' y1=8 y2=18 class=whisker />" for end in (line.low, line.high)]
    parts.append(f"<circle cx='{at(line.value)}' cy=13 r=4.5 class=point />")
    sign = f"<span class=sign aria-hidden=true>{line.sign}</span> " if line.sign else ""
    return (
        f"<div class=row><span class=name>{sign}{escape(line.name)}</span>"
        f"<svg height=26 aria-hidden=true>{''.join(parts)}</svg><span class=said>{escape(line.said)}</span></div>"
    )


def _calibration(verdict: Verdict) -> str:
    points = [(said, seen) for said, seen in verdict.curve if said > 0 and math.isfinite(seen.low)]
    if len(points) < 2:
        return ""
    under = "Tenths of the held-out rows by what is said of them: said across, seen up, with 95 % intervals by person. On the line is right; "
    under += "on the lowest edge none was seen."
    return _section("Said and seen", _curve(points, under), under)


def _curve(points: Sequence[tuple[float, Measure]], what: str) -> str:
    """Said against seen on doubly logarithmic axes: rates of a thousandth and of a half are both to be read."""
    said, seen = [each for each, _ in points], [each.value for _, each in points if each.value > 0]
    floor, top = 0.6 * min([*said, *seen]), min(1.0, 1.3 * max([*said, *(each.high for _, each in points)]))
    span = math.log(top / floor)

    def share(value: float) -> float:
        return min(max(math.log(max(value, floor) / floor) / span, 0.0), 1.0)

    def x(value: float) -> str:
        return f"{LEFT + (RIGHT - LEFT) * share(value):.2f}%"

    def y(value: float) -> str:
        return f"{HEIGHT - FOOT - (HEIGHT - FOOT - TOP) * share(value):.1f}"

    parts = [f"<line x1='{x(floor)}' y1='{y(floor)}' x2='{x(top)}' y2='{y(top)}' class=margin />"]
    for tick in _ticks(floor, top):
        parts.append(f"<line x1='{LEFT}%' x2='{RIGHT}%' y1='{y(tick)}' y2='{y(tick)}' class=grid />")
        parts.append(f"<text x='{LEFT - 1}%' y='{float(y(tick)) + 4:.1f}' text-anchor=end>{tick:g}</text>")
        parts.append(f"<text x='{x(tick)}' y='{HEIGHT - FOOT + 18}' text-anchor=middle>{tick:g}</text>")
    for said_here, each in points:
        parts.append(f"<line x1='{x(said_here)}' x2='{x(said_here)}' y1='{y(each.low)}' y2='{y(each.high)}' class=whisker />")
        parts.append(f"<circle cx='{x(said_here)}' cy='{y(each.value)}' r=4.5 class=point />")
    parts.append(f"<text x='{LEFT}%' y={TOP - 2:g}>seen</text><text x='{RIGHT}%' y={HEIGHT - 2} text-anchor=end>said</text>")
    return f"<svg class=curve height={HEIGHT} role=img aria-label='{escape(what, quote=True)}'>{''.join(parts)}</svg>"


def _ticks(low: float, high: float) -> list[float]:
    """Round places on a logarithmic axis, four to eight of them."""
    decades = range(math.floor(math.log10(low)), 1)
    fine = [digit * 10.0**power for power in decades for digit in (1, 2, 5) if low <= digit * 10.0**power <= high]
    return fine if len(fine) <= 8 else [tick for tick in fine if str(tick).strip("0.").startswith("1")]


def _checks(checks: Sequence[Check]) -> str:
    ordered = sorted(checks, key=lambda check: WORST_FIRST.index(check.outcome))
    rows = "".join(_check(check) for check in ordered)
    return _section(
        f"All {len(checks)} checks",
        f"<div class=checks>{rows}</div>",
        "One that fails refuses; else one that is left open leaves it open; else the candidate is promoted.",
    )


def _check(check: Check) -> str:
    sign, kind, words = OUTCOMES[check.outcome]
    return (
        f"<div class='check {kind}'><span class=mark><span aria-hidden=true>{sign}</span> {words}</span>"
        f"<b>{escape(check.name)}</b><span class=words>{_with_code(check.words)}</span></div>"
    )


def _numbers(verdict: Verdict) -> str:
    if not verdict.measures:
        return ""
    rows = "".join(
        f"<tr><th scope=row>{escape(name.replace('_', ' '))}</th>{_cells((each.value, each.low, each.high))}"
        f"<td class=number>{each.n:,}</td></tr>"
        for name, each in verdict.measures.items()
    )
    head = "<tr><th>measure</th><th class=number>value</th><th class=number>low</th><th class=number>high</th><th class=number>n</th></tr>"
    table = f"<div class=wide><table>{head}{rows}</table></div>"
    return _section("Numbers", table, "With 95 % intervals, resampled by person.")


def _signed(value: float, form: str = "+.4f") -> str:
    """A number with its sign, minus as printers set it."""
    return format(value, form).replace("-", "−")


def _cells(values: Iterable[float]) -> str:
    return "".join(f"<td class=number>{f'{value:.4f}' if math.isfinite(value) else '–'}</td>" for value in values)


def _basis(candidate: Candidate, verdict: Verdict) -> str:
    tables = verdict.basis.get("tables", {})
    facts = [
        ("Verdict", verdict.digest),
        ("Bundle", candidate.bundle),
        ("Champion", f"{verdict.champion}, of epoch {verdict.epoch}" if verdict.champion else "none"),
        ("Policy", str(verdict.basis.get("policy", "–"))),
        ("Data", ", ".join(f"{name} version {each}" for name, each in tables.items()) or "–"),
    ]
    rows = "".join(f"<tr><th scope=row>{name}</th><td><code>{escape(value)}</code></td></tr>" for name, value in facts)
    return _section("What it is of", f"<div class=wide><table class=facts>{rows}</table></div>")


def _with_code(words: str) -> str:
    """As markup, with commands as such."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(words))


def _section(title: str, body: str, under: str = "") -> str:
    words = f"<p>{escape(under)}</p>" if under else ""
    return f"<section><h2>{escape(title)}</h2>{words}{body}</section>"


STYLE = """
.decision{margin:-8px 0 8px}.decision b{display:inline-block;font-size:19px;color:var(--ink);border:2px solid currentColor;border-radius:10px;padding:5px 16px}
.under{margin:0 0 20px}code{font-size:.92em;overflow-wrap:anywhere}.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr))}
.reasons,details ul{margin:6px 0 0;padding:0 0 0 20px}.reasons li,details li{margin:0 0 6px}summary{cursor:pointer;color:var(--soft);margin:6px 0 0}
.forest .row{display:grid;grid-template-columns:190px 1fr 290px;gap:4px 14px;align-items:center;padding:4px 0;border-bottom:1px solid var(--line)}
.forest .row:last-child{border-bottom:0}.forest svg,.curve{width:100%;display:block;overflow:visible}.forest .name{overflow-wrap:anywhere}
.forest .said{font-size:13px;color:var(--soft);font-variant-numeric:tabular-nums;text-align:right}.sign{display:inline-block;width:1.1em;font-weight:700}
.axis{stroke:var(--ink);stroke-width:1}.margin{stroke:var(--soft);stroke-width:1.5;stroke-dasharray:5 4}.grid{stroke:var(--line)}
.whisker{stroke:var(--ink);stroke-width:1.6}.point{fill:var(--paper);stroke:var(--ink);stroke-width:2}.curve{max-width:620px}
.curve text{fill:var(--soft);font-size:12px}.check{display:grid;grid-template-columns:130px 215px 1fr;gap:2px 14px;padding:7px 0 7px 10px;border-bottom:1px solid var(--line);border-left:4px solid transparent}
.check:last-child{border-bottom:0}.check b{font-weight:600;overflow-wrap:anywhere}.check .words{color:var(--soft);overflow-wrap:anywhere}.mark{white-space:nowrap}.fail .mark,.open .mark{font-weight:700}
.check.fail{border-left-color:var(--different)}.check.open{border-left:4px dashed var(--unsure)}.facts th{white-space:nowrap}
@media (max-width:720px){main{padding:20px 14px 60px}section{padding:16px}.forest .row{grid-template-columns:1fr}.forest .said{text-align:left}
.check{grid-template-columns:auto 1fr}.check .words{grid-column:1/-1}}
@media print{section{break-inside:auto}.check,.forest .row{break-inside:avoid}}
""".strip().replace("\n", "")
