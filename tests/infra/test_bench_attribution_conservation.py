"""The bench of conservation sees what it says it sees."""

from __future__ import annotations

import pytest

from infra.bench_attribution import conservation
from whence.attribution import credit, rules
from whence.attribution.journeys import candidate_touches
from whence.attribution.policy import Policy


@pytest.mark.service
def test_some_journeys_are_conserved_by_every_algorithm_and_preset() -> None:
    row = conservation.conserved(150)
    assert row.verdict == "met"
    assert row.what.startswith("750 generated journeys, 150 conversions under each of 5 presets, by 9 algorithms")


def test_a_lost_micro_and_a_forgotten_no_ad_are_seen() -> None:
    conversions, touches, _ = conservation.crowd(0, 60)
    pairs = candidate_touches(conversions, touches, Policy())
    shares = rules.share(pairs, "linear") * 0.5
    rows = credit.credit_rows(conversions, pairs, shares, "linear")
    assert conservation.check(conversions, pairs, rows, shares) == len(conversions)
    lost = rows.assign(credit_micros=rows["credit_micros"].where(rows.index != 0, rows["credit_micros"] - 1))
    with pytest.raises(AssertionError, match="credit_micros do not add up"):
        conservation.check(conversions, pairs, lost, shares)
    with pytest.raises(AssertionError, match="not what no ad has"):
        conservation.check(conversions, pairs, rows, shares * 0.5)


@pytest.mark.service
def test_batch_the_service_and_plain_loops_agree_on_a_few() -> None:
    assert sum(conservation.batch_and_loops(seed) for seed in range(6)) > 0
    assert sum(conservation.batch_and_service(seed) for seed in range(6)) > 0
