"""Rows on poisons: for each model's policy, how many spoiled candidates were stopped, and for the right reason."""

from __future__ import annotations

from infra.bench_gate.poisons import poisons
from infra.bench_gate.world import a_case
from infra.benching import Row, verdict
from registry.gate import PROMOTE
from whence.contracts.models import MODELS

WORLDS = 3


def measure(runs: int) -> list[Row]:
    """A row a model, over some worlds; `runs` is not asked, as nothing here is timed."""
    del runs
    return [_row(model) for model in MODELS]


def _row(model: str) -> Row:
    good, promoted, right, tried, missed = 0, 0, 0, 0, set[str]()
    for seed in range(WORLDS):
        case = a_case(model, seed=seed)
        good += case.verdict().decision == PROMOTE
        for each in poisons(model):
            answer = each.spoil(case).verdict()
            promoted += answer.decision == PROMOTE
            is_right = each.is_caught(answer, model)
            right, tried = right + is_right, tried + 1
            if not is_right:
                missed.add(each.name)
    kinds = len(poisons(model))
    return Row(
        f"{model}: {kinds} kinds of spoiled candidates in {WORLDS} worlds, stopped by the check that must see each",
        f"{right} of {tried}; {promoted} promoted",
        target="30 kinds or more, all stopped; a good one promoted in the first world",
        verdict=verdict(met=right == tried and not promoted and kinds >= 30 and good >= 1),
        note=f"the good candidate was promoted in {good} of {WORLDS} worlds"
        + (f"; stopped by another check: {', '.join(sorted(missed))}" if missed else ""),
    )
