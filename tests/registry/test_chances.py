"""By chance alone few are promoted, and nearly all that are better by what the gate promises to find."""

from __future__ import annotations

import pytest

from infra.bench_gate.simulated import KINDS, Kind, Rate, deciding_people, found, twins

pytestmark = pytest.mark.service
GATES = 60


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.model)
def test_a_model_that_is_no_better_is_promoted_at_most_once_in_twenty(kind: Kind) -> None:
    assert twins(kind, kind.people, GATES).interval[0] <= 0.05


@pytest.mark.parametrize("kind", KINDS[:1], ids=lambda kind: kind.model)
def test_a_model_that_is_better_by_the_declared_effect_is_promoted_on_the_rows_that_a_verdict_asks_for(kind: Kind) -> None:
    assert found(kind, deciding_people(kind), GATES).value >= 0.8


def test_a_rate_has_an_interval_that_holds_it() -> None:
    low, high = Rate(10, 400).interval
    assert low == pytest.approx(0.0136, abs=0.001)
    assert high == pytest.approx(0.0454, abs=0.001)
