"""An answer in words and lines that add up: the same on the page and in the terminal."""

from __future__ import annotations

import math
from dataclasses import dataclass

from monitoring.attribution_report.amounts import CENT, cents
from monitoring.moved.metric import CREDIT, CREDIT_SHARE, MATCH_RATE, UNATTRIBUTED, parse
from monitoring.moved.shares import CALIBRATOR, DATA, FEATURES, IDENTITY, MODEL, POLICY, WHOLE
from monitoring.moved.why import CHANGED, SAME, UNTOLD, Answer, Part

MEANS = {
    DATA: "Which rows there were: the events of the day and, for a model, what it was asked about, what came of it, and what each key had "
    "done before. Identifiers that nobody had met on the first day came with the rows of the second.",
    FEATURES: "How that reached the models: each view fresh, a day late, or not there, as the inputs that were logged on the day say.",
    IDENTITY: "Who was known to be who at the end of the day: merges, splits and links of identifiers that were met on both days.",
    MODEL: "The trees of the bundle that decided, and the codes of its inputs.",
    CALIBRATOR: "What turned raw scores into probabilities; beside another bundle's trees it is a supposition that never served.",
    POLICY: "Who may be paid: windows, precedence, algorithm, parameters.",
}
"""What each factor is."""
METHOD = (
    "Each factor's share is what it changes when its turn comes, over all orders of turns (Shapley). Every mixture of the two days was "
    "computed once by the steps of the day's own runs; intervals are 95 % over people, the same people in every mixture."
)
RESIDUAL = "not reproduced"
POINTS = (MATCH_RATE, UNATTRIBUTED, CREDIT_SHARE)
"""Measures that are shares of a whole, told in percent."""
MOST_DIGITS = 8
MOST_PART = 1.5
"""Where factors work against each other, a part of the change that is larger than this says nothing to a reader."""


@dataclass(frozen=True)
class Line:
    """A factor's line: its share, its part of the change, and what it was on each day."""

    name: str
    share: str
    of_change: str
    interval: str
    said: str
    value: float | None
    low: float | None = None
    high: float | None = None


def title(answer: Answer) -> str:
    """The heading."""
    return f"Why {subject(answer)} moved"


def subject(answer: Answer) -> str:
    """The measure in words."""
    metric = parse(answer.metric)
    by = f" by {metric.algorithm.replace('_', ' ')}" if metric.algorithm else ""
    whom = metric.whom.replace("campaign=", "campaign ")
    return {
        MATCH_RATE: f"the match rate of {metric.about}",
        UNATTRIBUTED: f"the share of credit that no ad earned{by}",
        CREDIT_SHARE: f"the share of credit of {whom}{by}",
        CREDIT: f"the credit of {whom}{by}",
    }.get(metric.name, f"{metric.name.replace('_', ' ')} of {metric.about}")


def in_short(answer: Answer) -> list[str]:
    """The answer in a few sentences, each of which stands by itself."""
    first, second = answer.recorded or answer.values
    way = "rose" if answer.change > 0 else "fell" if answer.change < 0 else "stayed"
    days = f" from {answer.days[0]} to {answer.days[1]}"
    head = f"{sentence(subject(answer))} {way} from {_value(answer, first)} to {_value(answer, second)}{days}"
    said = [f"{head}, by {_amount(answer, abs(answer.change))}." if answer.change else f"{head}."]
    said += [
        each
        for each in (_chance(answer), _most(answer), _against(answer), *_untold(answer), _same(answer), _left(answer))
        if each
    ]
    return said


def lines(answer: Answer) -> list[Line]:
    """A line for each factor, one for what was not reproduced, and the sum; what is shown adds up to what is shown as the sum."""
    grains, digits = _shown(answer), _digits(answer)
    found = [_line(answer, each) for each in answer.parts]
    if RESIDUAL in grains and answer.residual is not None:
        share, part = _signed(grains[RESIDUAL], digits), _percent(answer.residual, answer.change)
        found.append(Line(RESIDUAL, share, part, "–", _why_left(answer), answer.residual))
    total = _signed(sum(grains.values()), digits)
    low, high = answer.interval or (None, None)
    part, around = _percent(answer.change, answer.change), _interval(answer, low, high)
    return [*found, Line(WHOLE, total, part, around, _ends(answer), answer.change, low, high)]


def ground(answer: Answer) -> str:
    """How much was computed."""
    return f"{len(answer.mixtures)} mixtures of the two days, over {answer.rows[0]:,} and {answer.rows[1]:,} rows."


def factor_said(each: Part) -> str:
    """What a factor was on each day, in a line."""
    return " → ".join(both_days(each))


def both_days(each: Part) -> list[str]:
    """What a factor was on the first day and on the second; once where it was the same, and why it cannot be recomputed."""
    if each.state == SAME:
        return [f"the same on both days: {each.second}"]
    return [each.first, each.second, *([f"cannot be recomputed: {each.why}"] if each.why else [])]


def mixture(names: tuple[str, ...], answer: Answer) -> str:
    """A mixture in words."""
    changed = [each.factor for each in answer.parts if each.state == CHANGED]
    if not names:
        return "all as on the first day"
    return "all as on the second day" if len(names) == len(changed) else f"{', '.join(names)} as on the second day"


def value(answer: Answer, number: float) -> str:
    """A value of the measure with its unit."""
    return _value(answer, number)


def _line(answer: Answer, each: Part) -> Line:
    if each.share is None:
        return Line(each.factor, "–", "–", "–", factor_said(each), None)
    share, part = _signed(_shown(answer)[each.factor], _digits(answer)), _percent(each.share, answer.change)
    around = _interval(answer, each.low, each.high)
    return Line(each.factor, share, part, around, factor_said(each), each.share, each.low, each.high)


def _interval(answer: Answer, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "–"
    return " to ".join(_signed(_grains(answer, end), _digits(answer)) for end in (low, high))


def _shown(answer: Answer) -> dict[str, int]:
    """Each share as it is shown, in units of its last digit, so that the shares add up."""
    shares = {each.factor: each.share for each in answer.parts if each.share is not None}
    if answer.residual is not None and _grains(answer, answer.residual):
        shares[RESIDUAL] = answer.residual
    scale = _scale(answer) * 10.0 ** _digits(answer) * CENT
    return dict(zip(shares, cents([round(share * scale) for share in shares.values()]), strict=True))


def sentence(text: str) -> str:
    """The text as a sentence begins."""
    return f"{text[0].upper()}{text[1:]}"


def _chance(answer: Answer) -> str:
    if not answer.change or not answer.interval or answer.interval[0] > 0 or answer.interval[1] < 0:
        return ""
    return f"Other people might have moved it the other way: the change's interval is {_interval(answer, *answer.interval)}."


def _most(answer: Answer) -> str:
    along = _ranked(answer, with_change=True)
    if not along:
        return ""
    first, *rest = along
    also = "".join(f"; then {each.factor} ({_change(answer, each.factor)})" for each in rest)
    sure = "" if _is_sure(first) else "; its interval holds 0, so it may be chance"
    part = (first.share or 0.0) / answer.change
    much = f", {_percent(first.share or 0.0, answer.change)} of the change" if part < MOST_PART else ""
    return f"Most of it is {first.factor}: {_change(answer, first.factor)}{much}{sure}{also}."


def _against(answer: Answer) -> str:
    told = ", ".join(f"{each.factor} ({_change(answer, each.factor)})" for each in _ranked(answer, with_change=False))
    return f"Against it worked {told}." if told else ""


def _untold(answer: Answer) -> list[str]:
    return [
        f"{each.factor.capitalize()} changed, too, and cannot be recomputed: {each.why}"
        for each in answer.parts
        if each.state == UNTOLD
    ]


def _same(answer: Answer) -> str:
    same = [each.factor for each in answer.parts if each.state == SAME]
    return f"Unchanged between the two days: {', '.join(same)}." if same else ""


def _left(answer: Answer) -> str:
    if RESIDUAL not in _shown(answer):
        return ""
    why = _why_left(answer)
    return f"Not reproduced: {_change(answer, RESIDUAL)}. {sentence(why)}."


def _why_left(answer: Answer) -> str:
    untold = [each.factor for each in answer.parts if each.state == UNTOLD]
    if untold:
        return f"what {' and '.join(untold)} changed is in here, with all else that the tables no longer say as they did"
    return "the day's own record differs from what its tables give now: events or features were made again since, or online answers were counted"


def _ranked(answer: Answer, *, with_change: bool) -> list[Part]:
    """The factors that worked with the change, or against it, the largest first."""
    way, shown = 1 if answer.change >= 0 else -1, _shown(answer)
    mine = [each for each in answer.parts if (grains := shown.get(each.factor, 0)) and (grains * way > 0) == with_change]
    return sorted(mine, key=lambda each: -abs(each.share or 0.0))


def _is_sure(each: Part) -> bool:
    return each.low is None or each.high is None or each.low > 0 or each.high < 0


def _grains(answer: Answer, number: float) -> int:
    return round(number * _scale(answer) * 10.0 ** _digits(answer))


def _digits(answer: Answer) -> int:
    """So many that the largest number of the table has three of them."""
    largest = max([abs(answer.change), *(abs(each.share or 0.0) for each in answer.parts)]) * _scale(answer)
    return 2 if not largest else min(max(2 - math.floor(math.log10(largest) + 1e-9), 0), MOST_DIGITS)


def _scale(answer: Answer) -> float:
    return 100.0 if parse(answer.metric).name in POINTS else 1.0


def _change(answer: Answer, name: str) -> str:
    return f"{_signed(_shown(answer)[name], _digits(answer))}{unit(answer)}"


def _amount(answer: Answer, number: float) -> str:
    return f"{_signed(_grains(answer, number), _digits(answer)).lstrip('+')}{unit(answer)}"


def unit(answer: Answer) -> str:
    """What the measure's changes are counted in; empty for a bare number."""
    return " points" if parse(answer.metric).name in POINTS else f" {answer.unit}" if answer.unit else ""


def _value(answer: Answer, number: float) -> str:
    digits = _digits(answer)
    if parse(answer.metric).name in POINTS:
        return f"{number * 100:.{digits}f}\u00a0%"
    return f"{number:,.{digits}f}{f' {answer.unit}' if answer.unit else ''}"


def _ends(answer: Answer) -> str:
    first, second = answer.recorded or answer.values
    return f"{_value(answer, first)} → {_value(answer, second)}"


def _signed(grains: int, digits: int) -> str:
    text = f"{abs(grains) / 10**digits:,.{digits}f}"
    return f"−{text}" if grains < 0 else f"+{text}" if grains > 0 else text


def _percent(part: float, whole: float) -> str:
    if not whole:
        return "–"
    text = f"{100 * abs(part / whole):.0f}"
    return f"{'−' if part * whole < 0 and text != '0' else ''}{text}\u00a0%"
