"""Every gate of every policy against a library of spoiled candidates: each is stopped, and for the right reason."""

from __future__ import annotations

from functools import cache

import pytest

from infra.bench_gate.poisons import POISONS, Poison, poisons
from infra.bench_gate.world import Case, a_case
from registry.gate import PROMOTE
from whence.contracts.models import CONVERSION_VALUE, IDENTITY_RANKER, MODELS

QUICK = (
    "the label among the inputs",
    "what happens within the hour among the inputs",
    "level too high by 1.3",
    "taught by the rows that judge",
    "data that nobody checked",
)


@cache
def case(model: str) -> Case:
    """A good candidate, made once."""
    return a_case(model)


def caught(poison: Poison, model: str) -> str:
    """Empty when the gate answers as it must; else what it said."""
    verdict = poison.spoil(case(model)).verdict()
    if poison.is_caught(verdict, model):
        return ""
    return f"{model}, {poison.name}: {verdict.decision}; failed {verdict.named('fail')}, unsure {verdict.named('unsure')}"


def test_there_are_thirty_poisons_or_more_for_every_model() -> None:
    assert all(len(poisons(model)) >= 30 for model in MODELS)
    assert len({each.name for each in POISONS}) == len(POISONS)


def test_a_good_candidate_passes_the_gate_that_stops_the_poisons() -> None:
    assert case(CONVERSION_VALUE).verdict().decision == PROMOTE


@pytest.mark.parametrize("name", QUICK)
def test_some_poisons_are_stopped_for_the_right_reason(name: str) -> None:
    assert caught(next(each for each in POISONS if each.name == name), CONVERSION_VALUE) == ""


@pytest.mark.service
@pytest.mark.parametrize("model", MODELS)
def test_every_poison_of_every_policy_is_stopped_for_the_right_reason(model: str) -> None:
    assert case(model).verdict().decision == PROMOTE
    assert [words for each in poisons(model) if (words := caught(each, model))] == []


@pytest.mark.service
def test_no_poison_is_promoted_in_another_world() -> None:
    good = a_case(IDENTITY_RANKER, seed=1)
    assert good.verdict().decision == PROMOTE
    promoted = [each.name for each in poisons(IDENTITY_RANKER) if each.spoil(good).verdict().decision == PROMOTE]
    assert promoted == []
