from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from training import contest
from training.examples import Examples, made
from training.fit import PARAMETERS, fit
from training.learner import BINARY, NO_QUERY, RANKER, Learner, numbered
from training.split import split
from whence.calibration import Fields
from whence.contracts.models import FeatureSchema
from whence.encoding import encode
from whence.world.queries import CATEGORIES, NUMBERS, OF_QUERY, auctions

NOW = datetime(2026, 5, 15, tzinfo=UTC)
SCHEMA = FeatureSchema(("size",), {"place": tuple("abcdef")})


def a_learner(queries: int = 900, seed: int = 3) -> tuple[Learner, np.ndarray]:
    """Rows that compete, and whose each is."""
    rows = auctions(queries, 12, seed)
    schema = FeatureSchema(NUMBERS, {name: tuple(sorted(rows[name].unique())) for name in CATEGORIES})
    label = rows["label"].to_numpy(dtype=float)
    settings = {**PARAMETERS, "seed": 1, "num_threads": 1}
    learner = Learner(schema, encode(rows, schema), label, np.ones(len(label)), settings, rows["query"].to_numpy())
    return learner, rows["person"].to_numpy()


def scored(n: int, off: float, seed: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray, Fields]:
    """Log-odds that are right but for what the place adds, their labels, persons and fields."""
    generator = np.random.default_rng(seed)
    scores, place = generator.normal(-1, 1.5, n), generator.integers(0, 6, n)
    labels = (generator.random(n) < expit(scores + off * (place - 2.5))).astype(float)
    matrix = np.column_stack([generator.normal(size=n), place])
    return scores, labels, np.arange(n) // 2, Fields(matrix, SCHEMA, ("place",), np.arange(n) // 2)


@pytest.mark.service
def test_a_calibrator_with_more_parameters_must_save_log_loss_for_sure() -> None:
    right = contest.calibrators(*scored(4000, off=0.0))
    assert right.winner == "platt"
    off = contest.calibrators(*scored(4000, off=0.5))
    assert off.winner == "monotone_gbdt"
    assert off.numbers["calibrator_contest_monotone_gbdt_saved"].low > 0
    assert "monotone_gbdt saves log-loss over platt" in off.words


def test_few_people_are_not_worth_a_contest() -> None:
    few = contest.calibrators(*scored(400, off=2.0))
    assert (few.winner, dict(few.numbers)) == ("platt", {})
    assert "too few to compare" in few.words


def test_a_calibrator_may_look_at_categories_and_at_what_a_whole_query_shares() -> None:
    learner, _ = a_learner(60)
    assert set(contest.columns_for(learner.schema, learner.matrix, learner.queries)) == {*OF_QUERY, *CATEGORIES}
    alone = np.full(len(learner.queries), NO_QUERY)
    assert contest.columns_for(learner.schema, learner.matrix, alone) == CATEGORIES


def test_cross_fitted_scores_come_from_boosters_that_met_nobody_of_the_group() -> None:
    learner, persons = a_learner(200)
    rows = learner.queries < 150
    scores = learner.crossed(rows, 5, persons, 3, seed=2)
    assert np.isnan(scores[~rows]).all()
    assert np.isfinite(scores[rows]).all()
    again = Learner(learner.schema, learner.matrix, learner.label.copy(), learner.weight, learner.parameters, learner.queries)
    mine = persons == persons[0]
    again.label[mine] = 1 - again.label[mine]  # what became of a person does not move that person's own scores
    assert np.array_equal(again.crossed(rows, 5, persons, 3, seed=2)[rows & mine], scores[rows & mine])
    assert not np.array_equal(again.crossed(rows, 5, persons, 3, seed=2)[rows & ~mine], scores[rows & ~mine])


@pytest.mark.service
@pytest.mark.parametrize(("plain", "winner"), [("truthless", RANKER), ("knowing", BINARY)])
def test_ranking_wins_over_a_plain_model_that_knows_nothing_and_not_over_one_that_knows_all(plain: str, winner: str) -> None:
    learner, persons = a_learner(900)
    truth = auctions(900, 12, 3)["truth"].to_numpy()
    learns, judges = learner.queries < 650, learner.queries >= 650
    said = truth[judges] if plain == "knowing" else np.full(int(judges.sum()), learner.label.mean())
    ranked = contest.objectives(learner, learns, judges, learner.label, persons, said, (*OF_QUERY, "campaign"))
    assert ranked is not None
    assert ranked.contest.winner == winner
    assert set(ranked.contest.numbers) == {"objective_contest_log_loss_saved", "objective_contest_ndcg_gained"}


def test_rows_that_do_not_compete_are_no_contest() -> None:
    learner, persons = a_learner(300)
    learns = learner.queries < 200
    assert contest.objectives(learner, learns, ~learns, learner.label, persons, np.zeros(1200), OF_QUERY) is None


def some_competing(queries: int = 1000) -> Examples:
    """Auctions of as many people as examples of fourteen days."""
    rows = auctions(queries, 12, seed=8)
    when = pd.Timestamp("2026-05-01", tz="UTC") + pd.to_timedelta(14 * 86_400 * rows["query"] / queries, unit="s")
    facts = pd.DataFrame({"row_id": [f"r{i:06d}" for i in range(len(rows))], "label": rows["label"], "delay_days": np.nan})
    facts = facts.assign(happened_at=when, seen_at=when, person="p" + rows["query"].astype(str), baseline_group="all")
    facts = facts.assign(group="q" + rows["query"].astype(str), segment=rows["device"])
    return made(rows[[*NUMBERS, *CATEGORIES]], facts, CATEGORIES, NOW)


@pytest.mark.service
def test_a_training_says_how_calibrator_and_objective_were_chosen() -> None:
    examples = some_competing()
    cut = split(examples.seen_at, examples.facts["person"], examples.ripe(), 0.2, 0.3, seed=7)
    fitted = fit(examples, cut, seed=7, threads=1)
    assert fitted.objective in (BINARY, RANKER)
    assert fitted.words["objective.contest"].startswith(("binary stays", "lambdarank has earned"))
    assert {"objective.contest", "calibrator.contest"} <= set(fitted.words)
    assert {"objective_contest_log_loss_saved", "objective_contest_ndcg_gained"} <= set(fitted.numbers)


@pytest.mark.service
def test_a_ranker_that_has_won_is_calibrated_by_its_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = some_competing()
    cut = split(examples.seen_at, examples.facts["person"], examples.ripe(), 0.2, 0.3, seed=7)
    monkeypatch.setattr(contest.Ranked, "has_won", True)  # whether it wins is another test
    fitted = fit(examples, cut, seed=7, threads=1)
    assert (fitted.objective, fitted.calibrator.kind) == (RANKER, "monotone_gbdt")
    assert "objective=lambdarank" in fitted.text
    tests = cut.rows("test")
    ratio = examples.labels[tests].sum() / fitted.first_probability.sum()
    assert 0.7 < ratio < 1.4


def test_queries_without_a_name_are_no_queries() -> None:
    assert numbered(["", "b", "a", "b"]).tolist() == [NO_QUERY, 2, 1, 2]
