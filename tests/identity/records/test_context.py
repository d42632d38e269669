"""A pair beside its rivals: what is told of them, how it is learned, and that it adds up and comes back."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.identity.records.test_publish import a_file, some_people
from tests.identity.records.test_resolve import FIELDS, a_register, pair_f1
from whence.identity.records import context, explain
from whence.identity.records.boosted import BoostedError
from whence.identity.records.context import FIELD, OWN, Alone, ContextError, InContext, competing
from whence.identity.records.publish import Request, publish
from whence.identity.records.resolve import Options, Resolved, resolve
from whence.identity.records.saved import Saved, scorer_of
from whence.identity.records.store import Folder
from whence.identity.records.table import MISSING, Evidence, Fields, Floats, Pairs, Records


def told(pairs: Pairs, score: Floats, n: int) -> dict[str, list[float]]:
    found = competing(pairs, score, n)
    return {name.removeprefix(f"{FIELD}:"): column.tolist() for name, column in zip(found.names, found.values.T, strict=True)}


def by_hand(pairs: Pairs, score: Floats) -> dict[str, list[float]]:
    """The same, pair by pair."""
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    for at in range(len(score)):
        leads = []
        for side, record in (("left", pairs.left[at]), ("right", pairs.right[at])):
            touches = (pairs.left == record) | (pairs.right == record)
            touches[at] = False
            others = np.append(np.sort(score[touches])[::-1], [np.nan, np.nan])
            note(f"{side}_rank", int((score[touches] > score[at]).sum()))
            note(f"{side}_ahead", score[at] - others[0])
            note(f"{side}_ahead_of_second", score[at] - others[1])
            note(f"{side}_others", int(touches.sum()))
            leads.append(score[at] - others[0])
        note("margin", np.nan if np.isnan(leads).all() else np.nanmin(leads))
        note("is_mutual_best", not any(lead <= 0 for lead in leads))
    return found


@st.composite
def some_pairs(draw: st.DrawFn) -> tuple[Pairs, Floats, int]:
    n = draw(st.integers(2, 8))
    ends = [(left, right) for right in range(n) for left in range(right)]
    kept = sorted(draw(st.sets(st.sampled_from(ends), min_size=1)))
    score = draw(st.lists(st.integers(-3, 3), min_size=len(kept), max_size=len(kept)))
    left, right = np.array(kept, dtype=np.int32).T
    return Pairs(left, right), np.array(score, dtype=float), n


@settings(max_examples=30, deadline=None)
@given(some_pairs())
def test_rivals_are_those_that_one_finds_by_hand(drawn: tuple[Pairs, Floats, int]) -> None:
    pairs, score, n = drawn
    found, expected = told(pairs, score, n), by_hand(pairs, score)
    assert list(found) == list(expected)
    for name, column in expected.items():
        np.testing.assert_array_equal(found[name], column, err_msg=name)


@settings(max_examples=30, deadline=None)
@given(some_pairs(), st.integers(0, 99))
def test_the_order_of_pairs_changes_nothing(drawn: tuple[Pairs, Floats, int], seed: int) -> None:
    pairs, score, n = drawn
    mixed = np.random.default_rng(seed).permutation(len(score))
    again = competing(Pairs(pairs.left[mixed], pairs.right[mixed]), score[mixed], n)
    np.testing.assert_array_equal(again.values, competing(pairs, score, n).values[mixed])


def test_of_no_pairs_nothing_is_told() -> None:
    nobody = np.empty(0, dtype=np.int32)
    assert competing(Pairs(nobody, nobody), np.empty(0), 3).values.shape == (0, 10)


@dataclass(frozen=True)
class Reads:
    """A scorer that reads its answer from the evidence."""

    def log_odds(self, evidence: Evidence) -> Floats:
        return evidence.values[:, 0].astype(float)

    def contributions(self, evidence: Evidence) -> Floats:
        return np.column_stack([self.log_odds(evidence), np.zeros(len(evidence.values))])

    def to_json(self) -> dict[str, Any]:
        return {"kind": "reads"}


class Crowd:
    """Two records a person and three strangers for each: who is best is right, though by the pair alone nobody can say."""

    def __init__(self, people: int = 100) -> None:
        draw = np.random.default_rng(0)
        ends = sorted({(a, people + b % people) for a in range(people) for b in (a, a + 1, a + 5, a + 20)})
        left, right = np.array(ends, dtype=np.int32).T
        self.pairs, self.same = Pairs(left, right), left == right - people
        level = draw.normal(scale=3, size=people)
        self.score = np.where(self.same, level[left] + 2, level[left] + draw.normal(scale=0.5, size=len(left)))
        names = tuple(f"r{at:04d}" for at in range(2 * people))
        self.records = Records(names, (), labels=np.tile(np.arange(people, dtype=np.int32), 2))
        self.shown: list[np.ndarray] = []

    def judge(self, records: Records, known: object) -> Alone:
        assert records.labels is not None
        self.shown.append(records.labels)
        return self.alone

    @property
    def alone(self) -> Alone:
        return Alone(Evidence(("look:likeness",), self.score[:, None].astype(np.float32)), Reads(), self.score)


@pytest.fixture(scope="module")
def crowd() -> Crowd:
    return Crowd()


@pytest.fixture(scope="module")
def learned(crowd: Crowd) -> tuple[Evidence, InContext]:
    return context.fit(crowd.records, crowd.pairs, {}, crowd.alone, crowd.judge)


def test_rivals_tell_what_the_pair_alone_does_not(crowd: Crowd, learned: tuple[Evidence, InContext]) -> None:
    evidence, scorer = learned
    assert ((crowd.score > 0) == crowd.same).mean() < 0.7
    assert ((scorer.log_odds(evidence) > 0) == crowd.same).mean() > 0.97


def test_each_fifth_of_the_people_is_judged_by_a_model_that_was_not_told_who_they_are(
    crowd: Crowd, learned: tuple[Evidence, InContext]
) -> None:
    fifths = crowd.shown
    assert len(fifths) == 5
    assert (np.sum([fifth == MISSING for fifth in fifths], axis=0) == 1).all()
    for fifth in fifths:
        assert not set(np.flatnonzero(fifth == MISSING) % 100) & set(fifth)


def test_contributions_add_up_and_rivals_are_one_step_beside_the_fields(learned: tuple[Evidence, InContext]) -> None:
    evidence, scorer = learned
    np.testing.assert_allclose(scorer.contributions(evidence).sum(axis=1), scorer.log_odds(evidence), atol=1e-9)
    fall = explain.waterfall(scorer, evidence, 3)
    assert {each.name for each in fall.steps} == {"look", FIELD}
    assert next(each.log_odds for each in fall.steps if each.name == "look") == pytest.approx(evidence.values[3, 0], abs=1e-5)


def test_a_pair_of_whose_rivals_nothing_is_told_is_judged_alone(learned: tuple[Evidence, InContext]) -> None:
    evidence, scorer = learned
    alone = Evidence(evidence.names[:1], evidence.values[:, :1])
    assert OWN not in alone.names
    np.testing.assert_array_equal(scorer.log_odds(alone), scorer.alone.log_odds(alone))
    np.testing.assert_array_equal(scorer.contributions(alone), scorer.alone.contributions(alone))


def test_without_labels_or_with_too_few_the_message_says_what_it_takes(crowd: Crowd) -> None:
    labels = crowd.records.labels
    assert labels is not None
    nobody = replace(crowd.records, labels=None)
    with pytest.raises(ContextError, match="0 pairs of one person and 0 of two are labelled"):
        context.fit(nobody, crowd.pairs, {}, crowd.alone, crowd.judge)
    few = replace(crowd.records, labels=np.where(labels % 15 == 0, labels, MISSING))
    with pytest.raises(ContextError, match="--context"):
        context.fit(few, crowd.pairs, {}, crowd.alone, crowd.judge)


def in_context(table: pa.Table, truth: np.ndarray) -> Resolved:
    labels = pa.array([f"p{person}" if person % 2 else None for person in truth])
    return resolve(table.append_column("who", labels), Fields(FIELDS.fields, id="id", label="who"), Options(context=True))


@pytest.mark.service
def test_a_table_is_resolved_in_context_in_any_order_and_its_scorer_comes_back() -> None:
    table, truth = a_register(people=200)  # type: ignore[no-untyped-call]
    found = in_context(table, truth)
    assert "transductive" in found.basis
    assert "labelled pairs" in found.basis
    assert pair_f1(found.people, truth) > 0.95  # type: ignore[no-untyped-call]
    again = scorer_of(json.loads(json.dumps(found.scorer.to_json())))
    np.testing.assert_array_equal(again.log_odds(found.evidence), found.scorer.log_odds(found.evidence))
    mixed = np.random.default_rng(2).permutation(len(truth))
    np.testing.assert_array_equal(in_context(table.take(mixed), truth[mixed]).log_odds, found.log_odds)


@pytest.mark.service
def test_a_folder_explains_pairs_with_their_rivals_and_those_it_did_not_keep_without(tmp_path: Path) -> None:
    rows = [f"{row},{'' if at % 4 > 1 else f'p{at // 2}'}" for at, row in enumerate(some_people(100))]
    path = a_file(tmp_path, rows, header="id,first_name,surname,dob,email,who")
    outcome = publish(Request((path,), tmp_path / "out", labels="who", context=True), datetime(2026, 5, 1, tzinfo=UTC))
    assert "Context was used" in outcome.basis
    saved = Saved.open(Folder(tmp_path / "out"))
    fall = saved.fall("2a", "2b")
    assert FIELD in {each.name for each in fall.steps}
    assert 1 / (1 + np.exp(-fall.log_odds)) == pytest.approx(fall.probability, abs=1e-6)
    assert FIELD not in {each.name for each in saved.fall("2a", "95b").steps}


def test_another_kind_of_scorer_is_refused() -> None:
    with pytest.raises(BoostedError, match="Train it again"):
        InContext.from_json({"kind": "boosted"}, Reads())


def test_without_labels_a_table_is_not_resolved_in_context() -> None:
    table, _ = a_register(people=20)  # type: ignore[no-untyped-call]
    with pytest.raises(ContextError, match="--labels"):
        resolve(table, FIELDS, Options(context=True))
