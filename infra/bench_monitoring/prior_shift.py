"""The level of a world moves, as between seasons: does the alarm ring, and is the level right on the days that follow?

Any table of rows with a day and a label of 0 or 1 will do: a model is trained on its first days by training's own code, and
the others are lived through day by day, by monitoring's own measures and findings, and the gate's own verdicts:

    python -m infra.bench_monitoring --only prior_shift --file any.csv --day-column d --label-column y
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from infra.benching import DATA, Interval, Row, absent, verdict
from monitoring.findings import RECALIBRATE, Past, Ripe, Today, judge
from monitoring.quality.ripe import calibration_checks
from registry import gate
from registry.gate import recalibration
from registry.policy import load_policy
from training import examples as made_examples
from training import recalibrating
from training.errors import TooFewLabels
from training.fit import fit
from training.split import split
from whence import measures
from whence.bundle import encode
from whence.calibration import Calibrator
from whence.contracts.models import CONVERSION_VALUE, FeatureSchema
from whence.measures import Measure
from whence.trees import Trees

Floats = npt.NDArray[np.float64]
LEARNED = 0.4
"""The least share of the rows, by whole days from the first, that the model is trained on."""
HELD_OUT, SEED = 0.2, 7
"""Of the days that the model is trained on, what calibrates, and what tests."""
MOST_VALUES = 500
"""A column of text with more values than this is an id, and no input."""
OFF = 0.1
"""Observed over expected further than this from 1 is off."""
TARGET = "alarm, then within 10 % on the next period"
SEASON_DAYS, A_DAY = 6, 8000
FACTORS = (0.5, 0.7, 1.4, 2.0, 3.0)
SEEDS = range(5)
RATE = 0.0625


@dataclass(frozen=True)
class Columns:
    """Which columns of a table say what."""

    day: str
    label: str
    person: str = ""
    """Whose a row is; every row is somebody's own without."""
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """Trees, and the calibrator that they were trained with."""

    schema: FeatureSchema
    trees: Trees
    calibrator: Calibrator


@dataclass(frozen=True)
class Lived:
    """A day after training, with what was said of its rows."""

    day: date
    rows: int
    labels: Floats
    persons: npt.NDArray[Any]
    untouched: Floats
    """Probabilities by the calibrator of the training …"""
    served: Floats
    """… and by the one that served on the day."""
    has_alarm: bool
    """A finding about the level that asked for a recalibration, or more."""
    came_of: str
    """What came of the recalibration; empty when none was asked for."""
    promoted: bool = False


def measure(runs: int) -> list[Row]:
    """The rows of the page: made-up seasons, and the public sets that have days."""
    del runs
    return [*_seasons(), *_public()]


def main(words: Sequence[str]) -> int:
    """Live through a file of the user's; 1 when an alarm was not followed by a level within 10 %."""
    parser = argparse.ArgumentParser(prog="python -m infra.bench_monitoring --only prior_shift", description=__doc__)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, required=True, help="CSV, TSV or Parquet, a row for each decision")
    parser.add_argument("--day-column", required=True, help="when: a date, a time, or a number that grows")
    parser.add_argument("--label-column", required=True, help="what came of it: 0 or 1")
    parser.add_argument("--person-column", default="", help="whose it is; rows of a person stand or fall together")
    parser.add_argument("--ignore", action="append", default=[], help="a column that is no input; may be repeated")
    asked = parser.parse_args(words)
    columns = Columns(asked.day_column, asked.label_column, asked.person_column, tuple(asked.ignore))
    lived = live_through(_read(asked.file), columns)
    for each in lived:
        now, before = (_level(each.labels, said, each.persons) for said in (each.served, each.untouched))
        told = f"{each.day}: {each.rows:,} rows, {int(each.labels.sum()):,} positive; observed / expected {now}"
        print(f"{told}, untouched {before}{'; alarm' if each.has_alarm else ''}{f': {each.came_of}' if each.came_of else ''}")
    row = _row(asked.file.name, lived)
    print(" | ".join(filter(None, (row.verdict, row.what, row.figure, row.spread, row.note))))
    return int(row.verdict == "short")


def live_through(frame: pd.DataFrame, columns: Columns) -> list[Lived]:
    """Train on the first days of a table, and live through the others in their order; see the module.

    Raises TooFewLabels when the first days do not teach a model, and ValueError for a day or label that cannot be read.
    """
    rows = _in_order(frame, columns)
    days = rows["day"].drop_duplicates().tolist()
    counts_of = rows.groupby("day").size()
    counts = counts_of.cumsum()
    learned = [day for day in days[:-1] if day == days[0] or counts[day] - counts_of[day] < LEARNED * len(rows)]
    model = trained(rows[rows["day"].isin(learned)])
    return list(_lived(model, rows[~rows["day"].isin(learned)]))


def trained(rows: pd.DataFrame) -> Model:
    """A model of training's kind on these rows, which have day, at, label, person, and inputs."""
    inputs = rows.drop(columns=["day", "at", "label", "person"])
    categories = tuple(name for name in inputs if inputs[name].dtype == object)
    facts = pd.DataFrame(
        {
            "row_id": np.arange(len(rows)),
            "label": rows["label"].to_numpy(),
            "delay_days": np.where(rows["label"] > 0, 0.0, np.nan),
            "happened_at": rows["at"].to_numpy(),
            "seen_at": rows["at"].to_numpy(),
            "person": rows["person"].to_numpy(),
            "group": "",
            "segment": "all",
            "baseline_group": "all",
        }
    )
    for name in ("happened_at", "seen_at"):
        facts[name] = pd.to_datetime(facts[name], utc=True)
    end = facts["seen_at"].max().to_pydatetime() + timedelta(seconds=1)
    examples = made_examples.made(inputs.reset_index(drop=True), facts, categories, end)
    cut = split(examples.seen_at, examples.facts["person"], examples.ripe(), HELD_OUT, 0.5, SEED)
    made = fit(examples, cut, SEED, 1)
    return Model(made.schema, Trees(made.text), made.calibrator)


def _lived(model: Model, rows: pd.DataFrame, *, is_always: bool = False) -> Iterator[Lived]:
    """Day by day: what is said, whether the level alarms, and then, or always, a recalibration on what came."""
    serving, number = model.calibrator, 0
    past: list[Past] = []
    since: list[tuple[pd.DataFrame, Floats]] = []
    for day, today in rows.groupby("day", sort=True):
        matrix = encode(today.drop(columns=["day", "at", "label", "person"]), model.schema)
        raw = model.trees.raw(matrix)
        said, untouched = serving.apply(raw, matrix), model.calibrator.apply(raw, matrix)
        labels, persons = today["label"].to_numpy(float), today["person"].to_numpy()
        told = pd.DataFrame({"label": labels, "probability": said, "cluster": persons})
        checks = calibration_checks(CONVERSION_VALUE, told)
        bundle = {CONVERSION_VALUE: f"bundle {number}"}
        ripe = {CONVERSION_VALUE: Ripe(bundle[CONVERSION_VALUE], trees="the same")}
        found = judge(Today(day, checks, bundle, ripe), past)
        past.append(Past(str(day), checks, found, bundle, ripe))
        has_alarm = any(f.metric == "observed_over_expected" and f.level == RECALIBRATE and f.status == "open" for f in found)
        since.append((told.assign(at=today["at"].to_numpy(), raw=raw), matrix))
        words, moved, first = "", None, None
        if has_alarm or is_always:
            moved, words, first = _recalibrated(serving, since, day)
        yield Lived(day, len(today), labels, persons, untouched, said, has_alarm, words, moved is not None)
        if moved is not None:
            serving, number = moved, number + 1
            since = [each for each in since if each[0]["at"].iloc[0] >= first]


def _recalibrated(
    serving: Calibrator, days: Sequence[tuple[pd.DataFrame, Floats]], day: date
) -> tuple[Calibrator | None, str, Any]:
    """The calibrator that passes the gate, None where none does; the verdict in words; and since when its rows are."""
    rows = pd.concat([told for told, _ in days], ignore_index=True).rename(columns={"cluster": "person"})
    matrix = np.vstack([each for _, each in days])
    said = serving.apply(rows["raw"].to_numpy(), matrix)
    rows = rows.assign(
        made_at=rows["at"],
        day=rows["at"].dt.strftime("%Y-%m-%d"),
        probability=said,
        baseline=said,
        place=np.arange(len(rows)),
    )
    try:
        recalibrating.demand(rows, f"are known by {day}")
        recent = recalibrating.latest(rows)
        fits = recalibrating.earlier(recent)
        taught, judged = recent[fits], recent[~fits]
        probability, persons = taught["probability"].to_numpy(), taught["person"].to_numpy()
        move = recalibrating.fitted(probability, taught["label"].to_numpy(), persons, is_line=serving.trees is None)
    except TooFewLabels as few:
        return None, str(few), None
    moved = move.of(serving)
    said = moved.apply(judged["raw"].to_numpy(), matrix[judged["place"].to_numpy()])
    verdict_on = recalibration.judge(
        _evaluation("new", day, judged, said),
        _evaluation("old", day, judged, judged["probability"].to_numpy()),
        load_policy(CONVERSION_VALUE),
        _evidence(taught, judged),
        has_same_trees=True,
    )
    words = f"{move.words}: {verdict_on.decision} ({' '.join(verdict_on.reasons)})"
    return (moved if verdict_on.decision == gate.PROMOTE else None), words, pd.Timestamp(recent["day"].iloc[0], tz="UTC")


def _evaluation(name: str, day: date, rows: pd.DataFrame, said: Floats) -> gate.Evaluation:
    labels, persons = rows["label"].to_numpy(float), rows["person"].to_numpy()
    ages = np.ones(len(rows))
    return gate.Evaluation(name, str(day), labels, said, rows["probability"].to_numpy(), persons, label_age_days=ages)


def _evidence(taught: pd.DataFrame, judged: pd.DataFrame) -> gate.Evidence:
    nothing, places = np.empty(0, dtype=np.uint64), np.arange(len(judged), dtype=np.uint64)
    seen = (rows["made_at"].dt.tz_localize(None).to_numpy(dtype="datetime64[us]") for rows in (judged, taught))
    is_calm = gate.Finding(CONVERSION_VALUE, "calm", "all", "all", "")
    return gate.Evidence(
        places,
        places,
        places,
        next(seen),
        np.full(len(judged), np.nan),
        np.empty((len(judged), 0)),
        (),
        frozenset(),
        learned=gate.Learned(nothing, nothing, nothing, next(seen)),
        findings=(is_calm,),
    )


def _in_order(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """The rows by time: day, at, label, person, and what a model may look at, as numbers and texts."""
    at = _instants(frame[columns.day])
    order = np.lexsort((np.random.default_rng(SEED).random(len(at)), at.to_numpy()))  # those of one instant come by lot
    labels = pd.to_numeric(frame[columns.label].astype(str).str.strip().replace({"True": "1", "False": "0"}))
    if not labels.isin([0, 1]).all():
        raise ValueError(f"The labels in {columns.label} must be 0 or 1, and {labels[~labels.isin([0, 1])].iloc[0]} came.")
    told: dict[str, Any] = {}
    for name in frame.columns.drop([columns.day, columns.label, *columns.ignored]):
        column = frame[name]
        if pd.api.types.is_integer_dtype(column) and column.nunique() == len(column):
            continue  # it numbers the rows
        if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            told[name] = column.astype("float64")
        elif name != columns.person and column.nunique() <= MOST_VALUES:
            told[name] = (
                column.astype(object).where(column.notna(), None).map(lambda value: value if value is None else str(value))
            )
    told.pop(columns.person, None)
    person = frame[columns.person].astype(str) if columns.person else pd.Series(np.arange(len(frame)).astype(str), frame.index)
    nudged = at.iloc[order] + pd.to_timedelta(np.arange(len(frame)) % 1_000_000, unit="us")
    rows = pd.DataFrame(told, index=frame.index).assign(label=labels.astype("int64"), person=person).iloc[order]
    return rows.assign(at=nudged.to_numpy(), day=at.iloc[order].dt.date.to_numpy()).assign(
        at=lambda found: pd.to_datetime(found["at"], utc=True)
    )


def _instants(column: pd.Series) -> pd.Series:
    """When: dates and times; numbers as 20130606 or 2013060600; names of months; any other number counts days."""
    if pd.api.types.is_numeric_dtype(column):
        digits = column.astype("int64").astype(str)
        if digits.str.len().isin([8, 10]).all() and digits.str[:2].isin(["19", "20"]).all():
            return pd.to_datetime(digits.str[:8], format="%Y%m%d", utc=True)
        return pd.Timestamp(2000, 1, 1, tz=UTC) + pd.to_timedelta(column - column.min(), unit="D").dt.floor("D")
    months = pd.to_datetime("2001 " + column.astype(str).str[:3], format="%Y %b", errors="coerce", utc=True)
    if months.notna().all():
        return months
    try:
        return pd.to_datetime(column, utc=True, format="mixed").dt.as_unit("us")
    except (ValueError, TypeError) as wrong:
        raise ValueError(f"A day in {column.name} cannot be read: {wrong}. Write it as 2026-05-03.") from None


def _read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")


def _level(labels: Floats, said: Floats, persons: npt.NDArray[Any]) -> Measure:
    return measures.observed_over_expected(labels, said, persons)


def _after(lived: Sequence[Lived]) -> list[tuple[Measure, Measure]]:
    """For each promoted recalibration that a day follows: the level until the next alarm, with it, and without any."""
    found = []
    for place in (place for place, each in enumerate(lived[:-1]) if each.promoted):
        until = next((n for n, each in enumerate(lived[place + 2 :], place + 2) if each.has_alarm), len(lived))
        found.append(_together(lived[place + 1 : until]))
    return found


def _together(days: Sequence[Lived]) -> tuple[Measure, Measure]:
    """The level of some days: as it was served, and as it would have been untouched."""
    labels, persons, served, untouched = (
        np.concatenate([getattr(each, name) for each in days]) for name in ("labels", "persons", "served", "untouched")
    )
    return _level(labels, served, persons), _level(labels, untouched, persons)


def _is_within(level: Measure) -> bool:
    return abs(level.value - 1) <= OFF


def _row(what: str, lived: Sequence[Lived]) -> Row:
    """What came of living through a set: the alarms, and the level after the last recalibration."""
    alarms = [str(each.day) for each in lived if each.has_alarm]
    levels = [_level(each.labels, each.untouched, each.persons) for each in lived]
    off = sum(level.high < 1 - OFF or level.low > 1 + OFF for level in levels)
    told = f"{len(lived)} days after training, {off} off by more than 10 % for sure; {len(alarms)} alarms"
    after = _after(lived)
    if not after:
        last = next((each.came_of for each in reversed(lived) if each.came_of), "")
        return Row(what, "nothing was recalibrated", "", TARGET, "short" if off else "-", f"{told}. {last}".strip())
    within = sum(_is_within(served) for served, _ in after)
    figure = f"{within} of {len(after)} recalibrations are within 10 % until the next alarm"
    spans = "; ".join(f"{now.value:.3f} {Interval(now.value, now.low, now.high).show(3)}" for now, _ in after)
    without = ", ".join(f"{untouched.value:.3f}" for _, untouched in after)
    return Row(what, figure, spans, TARGET, verdict(met=within == len(after)), f"{told}; without them {without}")


def _seasons() -> Iterator[Row]:
    """Made-up auctions in which few rows are positive, by season: a factor on their rate, kept for two seasons."""
    found: dict[float, list[list[Lived]]] = {factor: [] for factor in FACTORS}
    calm: list[list[Lived]] = []
    asked: list[Lived] = []
    for seed in SEEDS:
        model = trained(_in_order(a_season(seed, 0, 1.0, SEASON_DAYS * 2), Columns("day", "label")))
        for factor in (1.0, *FACTORS):
            later = [a_season(seed, start, factor, SEASON_DAYS) for start in (2, 3)]
            rows = _in_order(pd.concat(later, ignore_index=True), Columns("day", "label"))
            (calm if factor == 1.0 else found[factor]).append(list(_lived(model, rows)))
            if factor == 1.0:
                asked += [each for each in _lived(model, rows, is_always=True) if each.came_of]
    for factor, runs in found.items():
        waits = [next((place for place, each in enumerate(lived, 1) if each.has_alarm), math.inf) for lived in runs]
        after = [_next_season(lived) for lived in runs]
        within = sum(_is_within(each) for each in after)
        yield Row(
            f"made-up seasons, positive rate × {factor:g}",
            f"alarm on day {max(waits):g} at the latest; {within} of {len(runs)} within 10 % on the next season",
            f"[{min(each.value for each in after):.3f}, {max(each.value for each in after):.3f}]",
            TARGET,
            verdict(met=within == len(runs) and max(waits) <= SEASON_DAYS),
            f"{len(runs)} seeds, {A_DAY:,} rows a day of which {RATE:.0%} positive at first, {SEASON_DAYS} days a season",
        )
    right = [lived for lived in calm if (level := _together(lived)[1]).low <= 1 <= level.high]
    rung, moved, days = _counted(right)
    others = [(_together(lived)[1], *_counted([lived])) for lived in calm if not any(lived is each for each in right)]
    told = "; ".join(
        f"{level.value:.3f} [{level.low:.3f}, {level.high:.3f}]: {a} alarms, {b} recalibrations" for level, a, b, _ in others
    )
    yield Row(
        "made-up seasons, nothing moves, models that are right",
        f"{rung} alarms, {moved} recalibrations in {days} days of {len(right)} models",
        "",
        "no recalibration",
        verdict(met=not moved),
        f"models that were off for sure from their training on: {told}" if others else "",
    )
    needless = sum(each.promoted for each in asked)
    yield Row(
        "made-up seasons, nothing moves, and a recalibration is asked for every day all the same",
        f"{needless} of {len(asked)} served",
        note="each moves the level by what chance had it; the gate lets through what later rows like better for sure",
    )


def _counted(runs: Sequence[Sequence[Lived]]) -> tuple[int, int, int]:
    """Alarms, recalibrations that were promoted, and days."""
    days = [each for lived in runs for each in lived]
    return sum(each.has_alarm for each in days), sum(each.promoted for each in days), len(days)


def _next_season(lived: Sequence[Lived]) -> Measure:
    return _together(lived[SEASON_DAYS:])[0]


def a_season(seed: int, start: int, factor: float, days: int) -> pd.DataFrame:
    """Days of made-up auctions from season number `start` on: floor price, hour, slot, region, exchange and device, and a click.

    What a positive and a negative row look like stays, and the share of positives is `factor` times what it was.
    """
    rng = np.random.default_rng((seed, start, int(factor * 100)))
    many = int(A_DAY * days * max(factor, 1) * 1.5)
    rows = pd.DataFrame(
        {
            "floor": rng.gamma(2.0, 20.0, many),
            "hour": rng.integers(0, 24, many),
            "slot": rng.choice(["top", "side", "below"], many, p=[0.3, 0.5, 0.2]),
            "region": rng.choice([f"r{n}" for n in range(30)], many),
            "exchange": rng.choice(["a", "b", "c"], many),
            "device": rng.choice(["pc", "phone", "tablet"], many, p=[0.5, 0.4, 0.1]),
        }
    )
    odds = 0.8 * (rows["slot"] == "top") - 0.6 * (rows["slot"] == "below") + 0.5 * np.sin(rows["hour"] / 24 * 2 * np.pi)
    odds += 0.01 * (rows["floor"] - 40) + 0.4 * (rows["device"] == "phone") + 0.1 * (rows["region"].str[1:].astype(int) % 5)
    label = (rng.random(many) < expit(odds - 3.2)).astype(int)
    wanted = int(A_DAY * days * RATE * factor)
    chosen = [rng.choice(np.flatnonzero(label == each), n) for each, n in ((1, wanted), (0, A_DAY * days - wanted))]
    picked = rng.permutation(np.concatenate(chosen))
    first = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=start * SEASON_DAYS)
    at = [first + timedelta(days=days * place / len(picked)) for place in range(len(picked))]
    return rows.iloc[picked].reset_index(drop=True).assign(day=at, label=label.to_numpy()[picked])


def _public() -> Iterator[Row]:
    """The sets beside the repository whose rows have a day."""
    for what, path, columns in (
        ("online shoppers, by month", "online_shoppers/online_shoppers_intention.csv", Columns("Month", "Revenue")),
        (
            "talkingdata, clicks that bring a download",
            "talkingdata_100k/train_sample.csv",
            Columns("click_time", "is_attributed", ignored=("attributed_time",)),
        ),
        ("open bandit, clicks on what was shown", "open_bandit_60k", Columns("timestamp", "click", ignored=("Unnamed: 0",))),
    ):
        folder = DATA / path
        if not folder.exists():
            yield absent(what, TARGET)
            continue
        frame = _read(folder) if folder.is_file() else pd.concat(map(_read, sorted(folder.glob("*.csv.gz"))))
        try:
            yield _row(what, live_through(frame.reset_index(drop=True), columns))
        except TooFewLabels as few:
            yield Row(what, "not measured: too few labels to train on", "", TARGET, "-", str(few))
