"""The contest of corrections: what decides, what may be seen, and when there is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from training import delayed
from training.delayed import CONTEST, as_known_then, choose, correction, deadline, taught
from training.examples import Examples, made
from training.fit import PARAMETERS, fit
from training.learner import NO_QUERY, Learner
from training.split import split
from whence.bundle import encode
from whence.contracts.models import FeatureSchema
from whence.delay import CORRECTIONS
from whence.world.delays import CATEGORIES, NUMBERS, Delays, clicks

FIRST = datetime(2026, 5, 1, tzinfo=UTC)
DAYS = 20.0


def some_examples(**changes: float) -> Examples:
    """Clicks of twenty days, of which eight days must pass until all conversions are in."""
    world = replace(Delays(seed=2, clicks=9_000, days=DAYS, campaigns=8, window=8.0, scale=1.5, level=-1.0), **changes)
    told = clicks(world)
    known = told.known(DAYS)
    happened = pd.Series(pd.Timestamp(FIRST) + pd.to_timedelta(told.at, unit="D"))
    inputs = pd.DataFrame(told.features, columns=[*NUMBERS, *CATEGORIES])
    inputs[list(CATEGORIES)] = inputs[list(CATEGORIES)].astype(int).astype(str)
    facts = pd.DataFrame({"row_id": np.arange(len(known)).astype(str), "happened_at": happened, "seen_at": happened})
    facts = facts.assign(label=(~np.isnan(known)).astype(int), delay_days=known, group="", baseline_group="all")
    facts = facts.assign(person=pd.Series(told.person).astype(str), segment=pd.Series(told.device).astype(str))
    return made(inputs, facts, CATEGORIES, FIRST + timedelta(days=DAYS), world.window)


def a_learner(examples: Examples) -> Learner:
    schema = FeatureSchema(
        examples.numbers, {name: tuple(sorted(examples.inputs[name].unique())) for name in examples.categories}
    )
    matrix, n = encode(examples.inputs, schema), len(examples.facts)
    parameters = {**PARAMETERS, "seed": 7, "num_threads": 1}
    return Learner(schema, matrix, examples.labels.copy(), np.ones(n), parameters, np.full(n, NO_QUERY))


EXAMPLES = some_examples()
EVERYBODY = np.ones(len(EXAMPLES.facts), dtype=bool)


def test_the_default_stays_until_another_is_better_for_sure() -> None:
    generator = np.random.default_rng(1)
    loss = generator.exponential(1.0, 2000)
    people = np.arange(2000) // 2
    noisy = loss + generator.normal(0, 0.5, 2000)
    assert choose({"fsiw": loss, "soft": noisy}, "fsiw", people).winner == "fsiw"
    found = choose({"fsiw": loss, "soft": loss - 0.01, "em": loss - 0.02, "naive": loss + 1}, "fsiw", people)
    assert found.winner == "em"
    assert found.words.startswith("em is better than fsiw for sure")
    assert found.numbers["delay_contest_em_saved"].value == pytest.approx(0.02)
    assert found.numbers["delay_contest_naive_log_loss"].value == pytest.approx(loss.mean() + 1)


@pytest.mark.service  # long
def test_many_challengers_without_merit_seldom_win() -> None:
    generator = np.random.default_rng(2)
    wins = 0
    for _ in range(80):
        loss = generator.exponential(1.0, 80)
        rivals = {name: loss + generator.normal(0, 0.3, 80) for name in ("soft", "em", "rescale", "naive")}
        wins += choose({"fsiw": loss, **rivals}, "fsiw", np.arange(80)).winner != "fsiw"
    assert wins <= 6


def test_judges_happened_after_the_deadline_and_are_ripe_and_nobody_else_is_taught() -> None:
    setting = deadline(EXAMPLES, EVERYBODY)
    assert not isinstance(setting, str)
    elapsed = EXAMPLES.elapsed(EXAMPLES.now)
    assert (elapsed[setting.judges] >= EXAMPLES.ripens_after()).all()
    assert elapsed[setting.judges].max() <= setting.back < elapsed[setting.taught].min()
    assert elapsed[setting.taught].max() - setting.back >= EXAMPLES.ripens_after()


@pytest.mark.parametrize("name", ["fsiw", "naive"])
def test_what_came_after_the_deadline_teaches_nothing(name: str) -> None:
    setting, learner = deadline(EXAMPLES, EVERYBODY), a_learner(EXAMPLES)
    assert not isinstance(setting, str)
    then = as_known_then(EXAMPLES, setting)
    later = np.isnan(then.delay) & (EXAMPLES.labels > 0) & setting.taught
    assert later.sum() > 50
    facts = EXAMPLES.facts.assign(delay_days=EXAMPLES.facts["delay_days"].mask(later))
    again = as_known_then(replace(EXAMPLES, facts=facts), setting)
    assert np.array_equal(again.delay, then.delay, equal_nan=True)
    one = taught(name, EXAMPLES, setting.taught, learner, then)
    assert (one.label[later] < 1).all()


def test_every_correction_competes_on_the_same_rows_and_the_verdict_is_told() -> None:
    found = correction(EXAMPLES, EVERYBODY, a_learner(EXAMPLES), CONTEST)
    assert found.winner in CORRECTIONS
    assert {f"delay_contest_{name}_log_loss" for name in CORRECTIONS} < set(found.numbers)
    assert len({measure.n for measure in found.numbers.values()}) == 1
    assert found.numbers["delay_contest_fsiw_log_loss"].value < found.numbers["delay_contest_naive_log_loss"].value


def test_without_history_or_conversions_the_default_is_taken_and_the_reason_said(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = a_learner(EXAMPLES)
    old = EXAMPLES.elapsed(EXAMPLES.now) < 13
    assert "days of history before a deadline" in correction(EXAMPLES, old, learner, CONTEST).words
    monkeypatch.setattr(delayed, "LEAST", 10_000)
    assert "10000 of each are needed" in correction(EXAMPLES, EVERYBODY, learner, CONTEST).words
    assert correction(EXAMPLES, EVERYBODY, learner, "soft").winner == "soft"
    assert correction(replace(EXAMPLES, window_days=0.0), EVERYBODY, learner, CONTEST).winner == "naive"


@pytest.mark.parametrize("name", ["soft", "fsiw"])
def test_a_model_can_be_fitted_to_what_each_kind_of_correction_teaches(name: str) -> None:
    persons = EXAMPLES.facts["person"]
    cut = split(EXAMPLES.seen_at, persons, EXAMPLES.ripe(), 0.2, 0.5, seed=7)
    fitted = fit(EXAMPLES, cut, seed=7, threads=1, delay=name)
    assert fitted.words["delay.chosen"] == name
    assert fitted.weighted > 500
    ripe = cut.learned & (EXAMPLES.elapsed(EXAMPLES.now) >= EXAMPLES.window_days)
    lesson = taught(name, EXAMPLES, cut.learned, a_learner(EXAMPLES))
    assert (lesson.label[ripe] == EXAMPLES.labels[ripe]).all()


def test_a_conversion_that_was_told_of_after_the_window_stays_one() -> None:
    late = (EXAMPLES.labels > 0) & (EXAMPLES.elapsed(EXAMPLES.now) > 10)
    facts = EXAMPLES.facts.assign(delay_days=EXAMPLES.facts["delay_days"].mask(late, 9.0))
    told_late = replace(EXAMPLES, facts=facts)
    assert (taught("naive", told_late, EVERYBODY, a_learner(told_late)).label == EXAMPLES.labels).all()


def test_a_report_says_how_ripe_labels_are_by_segment() -> None:
    found = delayed.maturity(EXAMPLES)
    assert set(found) == {f"labels_known_by_half_window{each}" for each in ("", "_0", "_1", "_2", "_3", "_4")}
    assert all(0.5 < each.low < each.value < each.high < 1 for each in found.values())
    assert delayed.maturity(replace(EXAMPLES, window_days=0.0)) == {}
