"""Front door of "why did it move?": what changed between two days, each factor's share of a measure's change, and what stays untold."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from monitoring.moved import people, versions
from monitoring.moved.inputs import ENOUGH, Freshness, freshness
from monitoring.moved.metric import CREDIT, CREDITS, LEARNED, MATCH_RATE, MEAN, Metric, MovedError, parse
from monitoring.moved.recomputed import (
    SAMPLE,
    Credits,
    Daily,
    Days,
    Matches,
    Measured,
    Scores,
    conversion_owners,
    credit_sums,
    span,
)
from monitoring.moved.shares import (
    CALIBRATOR,
    DATA,
    FEATURES,
    IDENTITY,
    MODEL,
    POLICY,
    WHOLE,
    Mixture,
    intervals,
    mixtures,
    shapley,
)
from whence.contracts.models import ATTRIBUTION_RANKER, IDENTITY_RANKER
from whence.contracts.times import Window
from whence.lake import Lake

if TYPE_CHECKING:
    import pandas as pd

    from whence.contracts.settings import Settings

CHANGED, SAME, UNTOLD = "changed", "same", "untold"
NEGLIGIBLE = 1e-12


@dataclass(frozen=True)
class Part:
    """A factor, what it was on each day, and its share of the change."""

    factor: str
    state: str
    """changed; same, whose share is 0; or untold: it changed, and cannot be recomputed."""
    first: str
    second: str
    share: float | None
    """None for one that cannot be recomputed."""
    low: float | None = None
    high: float | None = None
    why: str = ""
    """Why it cannot be recomputed."""


@dataclass(frozen=True)
class Answer:
    """Why a measure moved between two days; the same for the same tables, whenever it is asked."""

    metric: str
    days: tuple[str, str]
    values: tuple[float, float]
    """As computed once more, with all factors as on the first day, and as on the second."""
    recorded: tuple[float, float] | None
    """As it was written down on the days; None where it was not."""
    parts: tuple[Part, ...]
    """The factors that the measure rests on."""
    residual: float | None
    """What the recomputed change lacks of the recorded one; None where nothing was recorded."""
    mixtures: tuple[tuple[tuple[str, ...], float], ...]
    """Every mixture that was computed: the factors that are as on the second day, and the measure."""
    rows: tuple[int, int]
    """Rows behind the measure on each day."""
    interval: tuple[float, float] | None = None
    """The 95 % interval of the recomputed change."""
    unit: str = ""
    """The currency of an amount."""

    @property
    def change(self) -> float:
        """The change that is shared out: the recorded one, where there is one."""
        first, second = self.recorded or self.values
        return second - first


def why(settings: Settings, text: str, first: date, second: date, daily: Daily) -> Answer:
    """Share out the change of a measure between the ends of two days. Writes nothing.

    Raises MovedError for a measure that cannot be shared out, or that has no value on one of the days.
    """
    metric = parse(text)
    if not first < second:
        raise MovedError(f"The first day must be before the second, and {first} is not before {second}.")
    credits = versions.stated(Lake.of(settings), first), versions.stated(Lake.of(settings), second)
    of = Days.of(settings, (first, second), credits)
    unit = _unit(metric, credits)
    measured, parts, of = _prepared(metric, of, daily)
    changed = [each.factor for each in parts if each.state == CHANGED]
    sums = {mixture: measured.sums(mixture) for mixture in mixtures(changed)}
    values = {mixture: each.value for mixture, each in sums.items()}
    if any(math.isnan(value) for value in values.values()):
        raise MovedError(
            f"{metric} has no value on {first} or {second}, or not for every mixture of the two: nothing to share out."
        )
    shares, ends = shapley(changed, values.__getitem__), intervals(changed, sums) if changed else {}
    none, every = frozenset[str](), frozenset(changed)
    recorded = _recorded(metric, measured, of, credits)
    change = values[every] - values[none]
    return Answer(
        metric=str(metric),
        days=(str(first), str(second)),
        values=(values[none], values[every]),
        recorded=recorded,
        parts=tuple(_told(each, shares, ends) for each in parts),
        residual=None if recorded is None else _plain(recorded[1] - recorded[0] - change),
        mixtures=tuple((tuple(sorted(mixture)), value) for mixture, value in values.items()),
        rows=(len(sums[none].people), len(sums[every].people)),
        interval=_ends(ends),
        unit=unit,
    )


def _prepared(metric: Metric, of: Days, daily: Daily) -> tuple[Measured, list[Part], Days]:
    """The measure, and the factors that it rests on; what is gone is held as it is on the other day."""
    rulings, ruled = _policies(of)
    asked = _algorithms(metric, rulings)
    rests_on = metric.rests_on(asked)
    if POLICY in rests_on:
        if rulings[0].policy is None:
            raise MovedError(f"{metric} rests on the policy, and {ruled.why}")
        of = replace(of, rulings=rulings)
    model = metric.about if metric.about not in (CREDITS,) else next((LEARNED[each] for each in asked if each in LEARNED), "")
    bundles: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})
    modelled: list[Part] = []
    if MODEL in rests_on:
        bundles, modelled = _bundles(metric, model, of)

    def make(days: Days) -> Measured:
        if metric.name == MATCH_RATE:
            return Matches(days, metric.about)
        if metric.about == CREDITS:
            return Credits(days, daily, metric, {model: _ones(bundles)} if model else {})
        return Scores(days, daily, metric, bundles)

    parts = {DATA: _data(metric, of), IDENTITY: _identity(metric, of), POLICY: ruled}
    parts |= {each.factor: each for each in modelled}
    if FEATURES in rests_on:
        second = frozenset(name for name, each in parts.items() if name in rests_on and each.state == CHANGED)
        parts[FEATURES], of = _features(metric, model, of, make, second)
    return make(of), [parts[each] for each in rests_on], of


def _ones(bundles: tuple[Mapping[str, str], Mapping[str, str]]) -> tuple[str, str]:
    """The bundle of each day, of days that have one."""
    first, second = (next(iter(each.values())) for each in bundles)
    return first, second


def _algorithms(metric: Metric, rulings: Sequence[versions.Ruling]) -> tuple[str, ...]:
    if metric.about == ATTRIBUTION_RANKER:
        return ("ranker",)
    if metric.algorithm:
        return (metric.algorithm,)
    return tuple(dict.fromkeys(each.policy.algorithm for each in rulings if each.policy))


def _policies(of: Days) -> tuple[tuple[versions.Ruling, versions.Ruling], Part]:
    first, second = of.rulings
    told = str(first), str(second)
    if first.digest == second.digest and first.policy:
        return of.rulings, Part(POLICY, SAME, *told, 0.0)
    gone = next((each for each in of.rulings if each.policy is None), None)
    if gone is None:
        return of.rulings, Part(POLICY, CHANGED, *told, None)
    why = (
        f"the text of policy {gone.digest[:12]} is kept nowhere. Put it back as {of.settings.home}/policies/{gone.digest}.toml; every policy "
        "that credits a day is kept there."
    )
    there = next((each for each in of.rulings if each.policy), gone)
    return (there, there), Part(POLICY, UNTOLD, *told, None, why=why)


def _data(metric: Metric, of: Days) -> Part:
    words = []
    for day, lake in zip(of.days, of.lakes, strict=True):
        names = ("touches", "conversions", "sightings")
        version = ", ".join(f"{name} {lake.version(name)}" for name in names)
        if metric.name == MATCH_RATE or metric.about == CREDITS:
            what = f"events of {day}"
        else:
            decided = span(metric, day, of.settings)
            what = f"decisions of {str(decided).replace('..', ' to ')}" + (
                "" if metric.name == MEAN else f", judged at the end of {day}"
            )
        words.append(f"{what} (versions: {version})")
    return Part(DATA, CHANGED, words[0], words[1], None)


def _features(metric: Metric, model: str, of: Days, make: Callable[[Days], Measured], second: Mixture) -> tuple[Part, Days]:
    """How fresh each view was on each day, by what the day's runs logged; and the days with that freshness.

    `second` is the mixture in which all else is as on the second day.
    """
    found, words, unexplained = [], [], ""
    for side, day in enumerate(of.days):
        logged = _logged(of, model, Window(day, day) if metric.about == CREDITS else span(metric, day, of.settings))
        fresh, share = freshness(model, logged, _seen(of, make, second if side else frozenset()))
        words.append(f"{_fresh(fresh)} on {day}")
        found.append(fresh)
        off = {view: each for view, each in share.items() if each < ENOUGH}
        unexplained = unexplained or ", ".join(f"{1 - each:.1%} of what {view} said on {day}" for view, each in off.items())
    if unexplained:
        why = f"{unexplained} is not what the tables and the code give now: they were made again, or changed, since."
        return Part(FEATURES, UNTOLD, words[0], words[1], None, why=why), of
    if any(found):  # what was computed so far is of fresh features
        of = replace(of, fresh=(found[0], found[1]), _kept={})
    if found[0] == found[1]:
        return Part(FEATURES, SAME, _fresh(found[0]), _fresh(found[1]), 0.0), of
    return Part(FEATURES, CHANGED, words[0], words[1], None), of


def _seen(of: Days, make: Callable[[Days], Measured], mixture: Mixture) -> Callable[[Freshness], pd.DataFrame]:
    def seen(fresh: Freshness) -> pd.DataFrame:
        return make(replace(of, fresh=(fresh, fresh), _kept={}) if fresh else of).seen(mixture)

    return seen


def _fresh(fresh: Freshness) -> str:
    told = [f"{view} {f'{late} day late' if late else 'not there'}" for view, late in sorted(fresh.items())]
    return ", ".join(told) or "every view as of the day before"


def _logged(of: Days, model: str, window: Window) -> pd.DataFrame:
    query = """
        SELECT subject, option, features FROM decisions
        WHERE model = ? AND route = 'batch' ORDER BY md5(subject), decision_id LIMIT ?
    """
    with Lake.of(of.settings).connect(window, "decisions") as con:
        found: pd.DataFrame = con.execute(query, [model, SAMPLE]).df()
    return found


def _identity(metric: Metric, of: Days) -> Part:
    words, is_same = [], True
    for exactly in (False, True) if metric.about == IDENTITY_RANKER else (False,):
        is_same &= not people.differ(of.known(False, exactly=exactly), of.known(True, exactly=exactly))
    for side, day in enumerate(of.days):
        told = of.known(bool(side))
        words.append(
            f"{len(told):,} identifiers of {told['person_id'].nunique():,} persons at the end of {day} (version {of.lakes[side].version('persons')})"
        )
    return Part(IDENTITY, SAME if is_same else CHANGED, words[0], words[1], 0.0 if is_same else None)


def _bundles(metric: Metric, model: str, of: Days) -> tuple[tuple[Mapping[str, str], Mapping[str, str]], list[Part]]:
    """For each day the bundles by the day of the decision, and what of them changed."""
    lake = Lake.of(of.settings)
    asked = [Window(day, day) if metric.about == CREDITS else span(metric, day, of.settings) for day in of.days]
    first, second = (versions.deciding(lake, model, window) for window in asked)
    if not first and not second:
        raise MovedError(f"{metric} rests on {model}, which decided nothing on either day.")
    gone = _gone(model, of, asked, (first, second))
    words = [", ".join(dict.fromkeys(bundle[:12] for bundle in found.values())) or "none" for found in (first, second)]
    if any(gone):
        if all(gone):
            raise MovedError(f"{metric} rests on {model}: {gone[0]}")
        there = second if gone[0] else first
        untold = next(each for each in gone if each)
        return (there, there), [Part(each, UNTOLD, words[0], words[1], None, why=untold) for each in (MODEL, CALIBRATOR)]
    parts = []
    for factor, files in ((MODEL, versions.TREES), (CALIBRATOR, versions.LEVEL)):
        was, came = (_made(of, each, window.last, files) for each, window in zip((first, second), asked, strict=True))
        is_same = all(_nearest(was, at) == _nearest(came, at) for at in {*was, *came})
        parts.append(Part(factor, SAME if is_same else CHANGED, words[0], words[1], 0.0 if is_same else None))
    return (first, second), parts


def _gone(model: str, of: Days, asked: Sequence[Window], found: tuple[Mapping[str, str], Mapping[str, str]]) -> tuple[str, str]:
    """For each day why its bundles cannot score; empty where they can."""
    told = []
    for window, bundles in zip(asked, found, strict=True):
        troubles = [versions.trouble(of.settings, bundle) for bundle in dict.fromkeys(bundles.values())]
        nothing = "" if bundles else f"{model} decided nothing on {window}: it had no champion, or nothing to decide."
        told.append(next(filter(None, troubles), nothing))
    return told[0], told[1]


def _made(of: Days, bundles: Mapping[str, str], last: date, files: tuple[str, ...]) -> dict[int, str]:
    """What the bundles are made of, by how many days before the last they decided."""
    return {(last - date.fromisoformat(day)).days: versions.part(of.settings, each, files) for day, each in bundles.items()}


def _nearest(made: Mapping[int, str], at: int) -> str:
    return made[min(made, key=lambda each: (abs(each - at), each))]


def _recorded(
    metric: Metric, measured: Measured, of: Days, credits: tuple[pd.DataFrame, pd.DataFrame]
) -> tuple[float, float] | None:
    if metric.about == CREDITS:
        found = [_credit_recorded(metric, of, bool(side), rows) for side, rows in enumerate(credits)]
    elif isinstance(measured, Scores) and metric.about == ATTRIBUTION_RANKER:
        found = [_there(measured.recorded(side)) for side in (False, True)]
    else:
        found = [_checked(of, metric, day) for day in of.days]
    first, second = found
    return None if first is None or second is None else (first, second)


def _credit_recorded(metric: Metric, of: Days, side: bool, rows: pd.DataFrame) -> float | None:
    policy = of.rulings[side].policy
    algorithm = metric.algorithm or (policy.algorithm if policy else "")
    mine = rows[rows["algorithm"] == algorithm] if len(rows) else rows
    return _there(credit_sums(metric, mine, conversion_owners(of, side)).value) if len(mine) else None


def _checked(of: Days, metric: Metric, day: date) -> float | None:
    with Lake.of(of.settings).connect(Window(day, day), "checks") as con:
        query = "SELECT value FROM checks WHERE model = ? AND metric = ? AND segment = 'all'"
        found = con.execute(query, [metric.about, metric.name]).fetchall()
    return _there(found[0][0]) if found and found[0][0] is not None else None


def _unit(metric: Metric, credits: Sequence[pd.DataFrame]) -> str:
    """The currency of an amount. Raises MovedError where there are several."""
    if metric.name != CREDIT:
        return ""
    found = sorted({str(name) for rows in credits if len(rows) for name in rows["currency"].unique()})
    if metric.currency or len(found) < 2:
        return metric.currency or "".join(found)
    raise MovedError(f"Credit is in {', '.join(found)}, which cannot be added up. Name one, as {metric}@{found[0]}.")


def _told(part: Part, shares: Mapping[str, float], ends: Mapping[str, tuple[float, float]]) -> Part:
    if part.factor not in shares:
        return part
    low, high = ends[part.factor]
    return replace(part, share=_plain(shares[part.factor]), low=_there(low), high=_there(high))


def _ends(ends: Mapping[str, tuple[float, float]]) -> tuple[float, float] | None:
    low, high = ends.get(WHOLE, (math.nan, math.nan))
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def _plain(value: float) -> float:
    """The value; what is no more than rounding is nothing."""
    return 0.0 if abs(value) < NEGLIGIBLE else float(value)


def _there(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def as_dict(answer: Answer) -> dict[str, Any]:
    """The answer as plain values, for JSON."""
    return {
        "metric": answer.metric,
        "days": list(answer.days),
        "unit": answer.unit,
        "values": list(answer.values),
        "recorded": list(answer.recorded) if answer.recorded else None,
        "change": answer.change,
        "parts": [vars(each) for each in answer.parts],
        "interval": list(answer.interval) if answer.interval else None,
        "residual": answer.residual,
        "rows": list(answer.rows),
        "mixtures": [{"as_on_the_second_day": list(names), "value": value} for names, value in answer.mixtures],
    }


def of_dict(told: Mapping[str, Any]) -> Answer:
    """The answer that `as_dict` told."""
    recorded, interval = told["recorded"], told["interval"]
    return Answer(
        metric=told["metric"],
        days=(told["days"][0], told["days"][1]),
        values=(told["values"][0], told["values"][1]),
        recorded=(recorded[0], recorded[1]) if recorded else None,
        parts=tuple(Part(**each) for each in told["parts"]),
        residual=told["residual"],
        mixtures=tuple((tuple(each["as_on_the_second_day"]), each["value"]) for each in told["mixtures"]),
        rows=(told["rows"][0], told["rows"][1]),
        interval=(interval[0], interval[1]) if interval else None,
        unit=told["unit"],
    )
