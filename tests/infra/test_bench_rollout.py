"""Whole rollouts on drawn traffic: hardly one is stopped for nothing, and harms of the declared size are found."""

from __future__ import annotations

import pytest

from infra.bench_rollout import HARMS, LEAST_FOUND, MOST_FALSE, NONE, rates


@pytest.mark.service
def test_a_challenger_that_is_no_worse_is_hardly_ever_stopped() -> None:
    found = rates(range(1000, 1040), NONE)
    print(found)
    assert found["stopped"] <= MOST_FALSE * found["n"]


@pytest.mark.service
@pytest.mark.parametrize("name", [name for name in HARMS if name != NONE])
def test_a_harm_of_the_declared_size_is_found_by_its_own_check(name: str) -> None:
    found = rates(range(2000, 2015), name)
    print(found)
    assert found["stopped"] >= LEAST_FOUND * found["n"]
    assert found["by"][name] >= 0.8 * found["stopped"]
