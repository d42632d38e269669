"""A replay finds no difference where there is none, every one that there is, and says where it likely comes from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

import features
from features.online import FIELDS, JOIN_KEYS, OnlineStore
from infra.bench_serving import replay as world
from infra.commands import app
from serving import matcher
from serving.at_once import Blocking, at_once
from serving.replay import ABSENT, CODE, GONE, LATE, OTHER_EVENT, PUSHED, SCORING, ReplayReport, replay, replayed, sampled
from tests.builders import an_instant
from tests.serving import tiny
from tests.serving.known import Rows, a_home, a_signal, a_store
from whence.bundle import BundleMissing, Scorer
from whence.contracts.models import IDENTITY_RANKER
from whence.contracts.settings import Identity

NOON = an_instant("12:00", "2026-05-20")
KNOWN = an_instant("00:00", "2026-05-20")
Facts = Mapping[str, Rows]


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return tiny.a_scorer(tmp_path_factory.mktemp("bundles"), IDENTITY_RANKER)


def served(store: OnlineStore, scorer: Scorer) -> list[dict[str, Any]]:
    """Ann and Bob as the log has them after one question."""
    scored = at_once(
        matcher.match(a_signal(NOON, locale="en-GB"), matcher.Known(Blocking(store), NOON), scorer, Identity())
    ).scored
    assert scored is not None
    told = zip(scored.options, scored.raw.tolist(), scored.probability.tolist(), strict=True)
    fixed = {"made_at": NOON, "model": IDENTITY_RANKER, "bundle": scorer.digest, "subject": "e"}
    return [
        {**fixed, "decision_id": f"d-{row}", "option": option, "features": scored.inputs(row), "score": raw, "probability": sure}
        for row, (option, raw, sure) in enumerate(told)
    ]


def tables(today: Facts, before: Facts) -> Callable[[pd.DataFrame, tuple[str, ...]], pd.DataFrame]:
    """An as-of join: what the views say since midnight, and what they said the day before."""

    def as_known(asked: pd.DataFrame, views: tuple[str, ...]) -> pd.DataFrame:
        facts, since = (today, KNOWN) if asked["seen_at"].iloc[0] >= KNOWN else (before, KNOWN - timedelta(days=1))
        columns: dict[str, list[Any]] = {}
        for view in views:
            keys = list(asked[list(JOIN_KEYS[view])].itertuples(index=False, name=None))
            rows = [facts.get(view, {}).get(key) for key in keys]
            for name in FIELDS[view]:
                columns[f"{view}__{name}"] = [None if row is None else row.get(name) for row in rows]
            ages = (asked["seen_at"] - since) / timedelta(hours=1)
            columns[f"{view}__age_hours"] = [None if row is None else age for row, age in zip(rows, ages, strict=True)]
        return pd.DataFrame(columns, dtype=object)

    return as_known


def changed(facts: Facts, view: str, key: tuple[str, ...], **values: Any) -> Facts:
    return {**facts, view: {**facts[view], key: {**facts[view][key], **values}}}


HOME = a_home(NOON)
PAIR = ("home", "ann")


@pytest.mark.parametrize(
    ("online", "today", "before", "signal", "cause", "cells"),
    [
        (HOME, HOME, HOME, {}, None, 0),
        (
            changed(HOME, "pair_features", PAIR, days_together_14d=4),
            HOME,
            changed(HOME, "pair_features", PAIR, days_together_14d=4),
            {},
            LATE,
            1,
        ),
        ({**HOME, "pair_features": {}}, HOME, HOME, {}, ABSENT, 2),
        (changed(HOME, "network_features", ("home",), persons_7d=9), HOME, HOME, {}, PUSHED, 2),
        (HOME, {**HOME, "pair_features": {}}, {}, {}, GONE, 2),
        (changed(HOME, "pair_features", PAIR, days_together_14d=3), HOME, {}, {}, CODE, 1),
        (HOME, HOME, HOME, {"locale": "de-DE"}, OTHER_EVENT, 1),
    ],
    ids=["nothing", "late", "absent", "pushed", "gone", "code", "another event"],
)
def test_each_difference_is_found_and_its_likely_cause_told(
    tmp_path: Path,
    ranker: Scorer,
    online: Facts,
    today: Facts,
    before: Facts,
    signal: dict[str, Any],
    cause: str | None,
    cells: int,
) -> None:
    with a_store(tmp_path, KNOWN, **online) as store:
        rows = served(store, ranker)
    events = pd.DataFrame([a_signal(NOON, **{"locale": "en-GB", **signal})])
    report = replayed(rows, events, tables(today, before), lambda _: ranker)
    inputs = [each for each in report.differences if each.feature not in ("raw", "probability")]
    assert (report.rows, report.cells) == (2, 2 * (len(ranker.schema.names) + 2))
    assert len(inputs) == cells
    assert {each.cause for each in inputs} == ({cause} if cause else set())
    assert report.different == sum(report.causes.values())


def test_a_score_that_differs_alone_is_the_scorers(tmp_path: Path, ranker: Scorer) -> None:
    with a_store(tmp_path, KNOWN, **HOME) as store:
        rows = served(store, ranker)
    rows[1]["score"] += 1e-15
    report = replayed(rows, pd.DataFrame([a_signal(NOON, locale="en-GB")]), tables(HOME, HOME), lambda _: ranker)
    (found,) = report.differences
    assert (found.decision_id, found.feature, found.cause) == ("d-1", "raw", SCORING)


def test_what_cannot_be_replayed_is_counted_by_reason(tmp_path: Path, ranker: Scorer) -> None:
    with a_store(tmp_path, KNOWN, **HOME) as store:
        rows = served(store, ranker)

    def lost(digest: str) -> Scorer:
        raise BundleMissing("There is no bundle here.")

    events = pd.DataFrame([a_signal(NOON)])
    assert replayed(rows, events.head(0), tables(HOME, HOME), lambda _: ranker).skipped == {"its event is not in the tables": 2}
    assert replayed(rows, events, tables(HOME, HOME), lost) == ReplayReport(skipped={"There is no bundle here.": 2})


def test_a_sample_takes_whole_decisions_and_the_same_ones_again() -> None:
    rows = [{"decision_id": f"{name}-{place}"} for name in "dbca" for place in range(3)]
    kept = sampled(rows, 5)
    assert [row["decision_id"] for row in kept] == ["a-0", "a-1", "a-2", "b-0", "b-1", "b-2"]
    assert sampled(rows[::-1], 5)[0]["decision_id"].startswith("a")
    assert sampled(rows, 12) == rows


@pytest.mark.service
def test_a_served_day_is_row_exact_until_counts_are_pushed(tmp_path: Path) -> None:
    settings = world.a_home(tmp_path, networks=6, people=5)
    world.serve(settings, networks=6, requests=40)
    found = replay(settings, world.SERVED)
    assert (found.different, found.skipped, found.rows) == (0, {}, 200)
    counts = pd.DataFrame({"ip_key": ["n0"], "persons_7d": [99]})
    features.push_network_counts(settings, counts, an_instant("00:00", str(world.SERVED)) + timedelta(seconds=1))
    world.serve(settings, networks=6, requests=40)
    told = CliRunner().invoke(app, ["replay", str(world.SERVED), "--json"], obj=settings)
    pushed = json.loads(told.stdout)
    assert (told.exit_code, pushed["rows"]) == (1, 400)
    inputs = {each["feature"] for each in pushed["differences"] if each["cause"] == PUSHED}
    assert inputs == {"network_persons_7d", "network_age_hours"}
