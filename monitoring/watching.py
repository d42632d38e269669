"""One day watched: fetch its rows, take every measure, judge, write. The rules are in the files beside this one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from monitoring import attribution_quality, checks, crediting, drift, findings, inputs, serving_log
from monitoring.checks import Check
from monitoring.data import tables
from monitoring.findings import Finding, Past, Ripe, Today
from monitoring.findings.causes import EARLY
from monitoring.quality import labels, measuring, reading
from monitoring.summaries import watched
from registry.journal import Journal
from whence import answer_counts
from whence.bundle import BundleError, bundle_manifest
from whence.contracts.events import EVENTS
from whence.contracts.models import CONVERSION_VALUE, MODELS
from whence.contracts.times import Window
from whence.identity import exact
from whence.lake import Lake

if TYPE_CHECKING:
    from monitoring.evidently.compared import Drift
    from whence.contracts.settings import Settings

SAMPLE = 5000
"""Decisions of a model that are looked at in a day; column checks of events look at every row."""
MEMORY_DAYS = 35
"""Days of earlier checks that are read."""
COMPARED_DAYS = 7
"""Days before that new values and drift are compared with."""
SEED = 7
OF_TRUTH = "event_id IN (SELECT event_id FROM truth_signals)"


class UnknownDay(ValueError):
    """A day of which nothing was ever taken in, and that nothing says should have come: to call it calm would be a guess."""


@dataclass(frozen=True)
class Watched:
    """A day's measures and findings; `changed` is False when the tables held just that already."""

    day: str
    checks: Sequence[Check]
    findings: Sequence[Finding]
    changed: bool


def watch_day(settings: Settings, day: date) -> Watched:
    """Take the day's measures, judge them against the days before, and write tables and reports.

    Raises UnknownDay, with nothing written, for a day without any event that the days before do not miss either.
    """
    lake, window = Lake.of(settings), Window(day, day)
    bundles = _bundles(lake, Window(day - timedelta(days=2 * MEMORY_DAYS), day))
    past = _past(settings, lake, day, bundles)
    clean = [each.day for each in findings.clean_days(past, bundles.get(str(day), {}))][-COMPARED_DAYS:]
    found = [*_events(lake, day), *_persons(settings, lake, window)]
    drifts: dict[str, Drift] = {}
    kept = []
    champions = Journal.of(settings).pinned(str(day))
    for model in MODELS:
        served = Served(model in champions, sum(model in decided for each, decided in bundles.items() if each < str(day)))
        taken, drifted = _model(settings, lake, model, window, clean, served)
        measured, rows = watched.summary_checks(settings, lake, model, day, clean)
        found += [*taken, *measured]
        kept.append(rows)
        drifts |= {model: drifted} if drifted else {}
    found += crediting.crediting_checks(settings, lake, day)
    found += serving_log.service_checks(answer_counts.read(settings.answer_counts, day))
    told = findings.judge(Today(day, found, bundles.get(str(day), {}), _ripe(settings, day, bundles)), past)
    if all(each.level == findings.CALM for each in told):
        _demand_taken_in(lake, day)
    changed = lake.replace("summaries", pa.concat_tables(kept), window)
    changed |= lake.replace("checks", checks.to_arrow(str(day), found), window)
    changed |= lake.replace("findings", findings.to_arrow(str(day), told), window)
    _publish(settings, str(day), found, told, drifts)
    return Watched(str(day), found, told, changed)


def _demand_taken_in(lake: Lake, day: date) -> None:
    if not any(str(day) in lake.days(table) for table in (*EVENTS, "ingest_counts")):
        raise UnknownDay(
            f"{day} is unknown: no event of it was ever taken in. `whence ingest {day}` takes it in, if the source has it; then watch it."
        )


def _past(settings: Settings, lake: Lake, day: date, bundles: Mapping[str, Mapping[str, str]]) -> list[Past]:
    before = Window(day - timedelta(days=MEMORY_DAYS), day - timedelta(days=1))
    measured, told = checks.by_day(lake.read("checks", before)), findings.by_day(lake.read("findings", before))
    return [
        Past(each, measured[each], told.get(each, []), bundles.get(each, {}), _ripe(settings, date.fromisoformat(each), bundles))
        for each in sorted(measured)
    ]


def _ripe(settings: Settings, day: date, bundles: Mapping[str, Mapping[str, str]]) -> dict[str, Ripe]:
    """Whose decisions the day's labels are about: those of the day on which they began to ripen."""
    found = {}
    for model in MODELS:
        ripening = labels.ripening(model, settings.training.conversion_days)
        decided = bundles.get(str(day - timedelta(days=ripening.wait_days)), {})
        bundle = decided.get(model, "")
        found[model] = Ripe(bundle, ripening.span_days, _trees(settings.bundles, bundle))
    young = bundles.get(str(day - timedelta(days=measuring.YOUNG_DAYS)), {}).get(CONVERSION_VALUE, "")
    return {**found, f"{CONVERSION_VALUE} {EARLY}": Ripe(young, trees=_trees(settings.bundles, young))}


@cache
def _trees(folder: Path, bundle: str) -> str:
    """What names a bundle's trees; empty where it does not lie on this machine."""
    try:
        return str(bundle_manifest(folder, bundle)["files"]["model.txt"]["sha256"])
    except BundleError:
        return ""


def _bundles(lake: Lake, window: Window) -> dict[str, dict[str, str]]:
    """For each day and model the bundle that decided most."""
    query = """
        SELECT day, model, bundle FROM (SELECT day, model, bundle, count(*) AS n FROM decisions GROUP BY ALL)
        QUALIFY row_number() OVER (PARTITION BY day, model ORDER BY n DESC, bundle) = 1
    """
    days: dict[str, dict[str, str]] = {}
    with lake.connect(window, "decisions") as con:
        for day, model, bundle in con.execute(query).fetchall():
            days.setdefault(day, {})[model] = bundle
    return days


def _events(lake: Lake, day: date) -> list[Check]:
    found, today = tables.day_checks(lake, day), str(day)
    told = Window(day - timedelta(days=inputs.TOLD_DAYS), day)
    with lake.connect(told, "conversions", "decision_files") as con:
        return [*found, *inputs.told_twice_checks(con, today), *inputs.log_checks(con, today)]


def _persons(settings: Settings, lake: Lake, window: Window) -> list[Check]:
    """How many of the day's events have a known person, and whether the simulated world agrees."""
    today = str(window)
    answers = reading.answers(lake, window.last)
    accounts = exact.with_account(answers)
    people = answers[["identifier", "person_id"]].assign(has_account=answers["person_id"].isin(accounts).to_numpy(dtype=bool))
    with lake.connect(window, *EVENTS, "persons", "decisions", "truth_signals") as con:
        con.register("people", people.astype({"identifier": "string", "person_id": "string"}))
        found = [check for table in EVENTS for check in attribution_quality.match_checks(con, table, today)]
        found += attribution_quality.person_checks(con, today, settings.identity.max_identifiers)
        found += serving_log.margin_checks(con, today)
        signals, truth = reading.signals(con, OF_TRUTH), con.sql("SELECT event_id, true_person FROM truth_signals").df()
    if len(truth):
        mine = exact.who(signals, answers).set_axis(signals["event_id"])
        true = truth.drop_duplicates("event_id").set_index("event_id")["true_person"]
        found += attribution_quality.pair_checks(mine, true[true.index.isin(mine.index)])
    return found


@dataclass(frozen=True)
class Served:
    """Whether a model had a champion on the day, and on how many days before it decided."""

    has_champion: bool
    days: int


def _model(
    settings: Settings, lake: Lake, model: str, window: Window, clean: Sequence[str], served: Served
) -> tuple[list[Check], Drift | None]:
    """The model's inputs and scores on the day against clean days before, and how right it is."""
    today = _decisions(lake, model, window.days)
    made = _count(lake, model, window)
    found = [checks.count(model, "decisions", "all", made)]
    with lake.connect(window, "decisions") as con:
        found += serving_log.serving_checks(con, model, str(window), settings.bundles)
    found += measuring.quality_checks(settings, lake, model, window.last)
    reference = _decisions(lake, model, clean)
    found += inputs.serving_checks(model, served.has_champion, made, served.days, len(reference))
    if today.empty:
        return found, None
    spread = float(today["probability"].std(ddof=1)) if len(today) > 1 else 0.0
    found.append(checks.mean(model, "mean_probability", "all", float(today["probability"].mean()), spread, len(today)))
    if reference.empty:
        return found, None
    drifted = _drift(today, _inputs(today), reference, _inputs(reference), window)
    return found + (drift.failures(model, drifted.comparisons, len(today)) if drifted else []), drifted


def _drift(
    today: pd.DataFrame, inputs: pd.DataFrame, reference: pd.DataFrame, then: pd.DataFrame, window: Window
) -> Drift | None:
    """Inputs against those of clean days; the score only against scores of the same bundle."""
    from monitoring.evidently import compared as evidently

    bundle = today["bundle"].mode().iloc[0]
    inputs = inputs.assign(score=today["score"].where(today["bundle"] == bundle))
    then = then.assign(score=reference["score"].where(reference["bundle"] == bundle))
    subjects = today["subject"].nunique(), reference["subject"].nunique()
    compared = drift.comparable(inputs, then, reference["day"], subjects, SEED)
    return evidently.compare(inputs, then, compared, window.start)


def outcomes(settings: Settings, model: str, day: date, decisions: pd.DataFrame) -> pd.DataFrame:
    """What came of decisions that champion and challenger both scored, as it is known at the end of `day`.

    `decisions` has day, subject, option, champion and challenger; those that somebody can judge come back as label, cluster,
    champion and challenger.
    """
    told = known_labels(settings, model, day, decisions)
    said = decisions[["champion", "challenger"]].iloc[told["row"].to_numpy(dtype="int64")].reset_index(drop=True)
    return pd.concat([told[["label", "cluster"]], said], axis=1)


def known_labels(settings: Settings, model: str, day: date, decisions: pd.DataFrame) -> pd.DataFrame:
    """What came of decisions, as it is known at the end of `day`: row (a decision's place), label, cluster.

    `decisions` has day, subject and option; those that nobody can judge yet are left out.
    """
    days, lake = settings.training.conversion_days, Lake.of(settings)
    last = str(day - timedelta(days=labels.ripening(model, days).wait_days))
    asked = decisions.assign(probability=range(len(decisions)))  # labels bring it back as it is, and so say whose they are
    asked = asked[asked["day"] <= last].reset_index(drop=True)
    if asked.empty:
        return pd.DataFrame({"row": [], "label": [], "cluster": []})
    span = Window(date.fromisoformat(asked["day"].min()), date.fromisoformat(asked["day"].max()))
    known = reading.known(settings, lake, model, span, day, asked)
    return labels.labelled(model, asked, known, days).rename(columns={"probability": "row"})


def _publish(settings: Settings, day: str, found: Sequence[Check], told: Sequence[Finding], drifts: dict[str, Drift]) -> None:
    from monitoring.evidently import project

    project.publish(settings.evidently_workspace, day, found, told, drifts)


def draw(settings: Settings) -> None:
    """Bring the dashboards' panels up to what the tables know: no panel stands empty."""
    from monitoring.evidently import project

    lake = Lake.of(settings)
    with lake.connect(None, "checks") as con:
        rows = con.execute(
            """
            SELECT model, metric, segment, max(value) - min(value) FROM checks WHERE value IS NOT NULL
            GROUP BY ALL HAVING metric <> 'decisions' OR max(value) > 0 ORDER BY ALL
            """
        ).fetchall()
    project.draw(settings.evidently_workspace, {(model, metric, segment): apart for model, metric, segment, apart in rows})


def _count(lake: Lake, model: str, window: Window) -> int:
    with lake.connect(window, "decisions") as con:
        row = con.execute("SELECT count(*) FROM decisions WHERE model = ?", [model]).fetchall()[0]
    return int(row[0])


def _decisions(lake: Lake, model: str, days: Sequence[str]) -> pd.DataFrame:
    """Up to SAMPLE decisions of the model on these days, the same ones every time; whole subjects, since their rows belong together."""
    if not days:
        return pd.DataFrame()
    query = """
        SELECT day, decision_id, subject, option, bundle, features, score, probability FROM decisions
        WHERE model = ? AND day IN (SELECT unnest(?::VARCHAR[])) ORDER BY md5(subject), decision_id LIMIT ?
    """
    around = Window(date.fromisoformat(min(days)), date.fromisoformat(max(days)))
    with lake.connect(around, "decisions") as con:
        frame: pd.DataFrame = con.execute(query, [model, list(days), SAMPLE]).df()
    return frame


def _inputs(decisions: pd.DataFrame) -> pd.DataFrame:
    """The models' inputs, a column each, as they were when decided."""
    if decisions.empty:
        return pd.DataFrame()
    rows: list[Mapping[str, Any]] = [json.loads(text) for text in decisions["features"]]
    return pd.DataFrame.from_records(rows, index=decisions.index).astype("object")
