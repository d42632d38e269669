"""Agreement: a public set of paths is given away whole by every algorithm, and first, last and linear are what one counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from whence.attribution import credit, markov, paths, rules, shapley

PUBLIC = Path(__file__).resolve().parents[3] / "shared" / "data" / "mta_paths_10k" / "channelattribution_paths.csv.gz"


@pytest.fixture(scope="module")
def told() -> pd.DataFrame:
    if not PUBLIC.exists():
        pytest.skip("the public set of 10,000 paths is not beside the repository")
    return pd.read_csv(PUBLIC)


@pytest.fixture(scope="module")
def journeys(told: pd.DataFrame) -> paths.Paths:
    return paths.of_texts(told["path"].tolist(), told["total_conversions"], told["total_null"])


def test_every_algorithm_gives_away_what_there_is(journeys: paths.Paths) -> None:
    by_rule = rules.totals(journeys, np.zeros(len(journeys.codes))).sum()
    assert by_rule.tolist() == pytest.approx([19_785] * 5)
    assert shapley.totals(journeys).sum() == pytest.approx(19_785)
    for order in (1, 2):
        assert markov.fit(journeys, order).totals().sum() == pytest.approx(19_785)


def test_whole_micros_add_up_over_the_set(told: pd.DataFrame, journeys: paths.Paths) -> None:
    value = told["total_conversion_value"].mul(1_000_000).round().astype("int64").to_numpy()
    parts = credit.apportion(value, np.repeat(1 / journeys.lengths, journeys.lengths), journeys.starts[:-1])
    assert np.array_equal(np.add.reduceat(parts, journeys.starts[:-1]), value)
    assert parts.sum() == 74_802_971_582  # what the set's values add up to, each rounded to whole micros


def test_first_last_and_linear_are_what_one_counts(told: pd.DataFrame, journeys: paths.Paths) -> None:
    found = rules.totals(journeys, np.zeros(len(journeys.codes)))
    split = told["path"].str.split(" > ")
    for rule, name in (("first_touch", split.str[0]), ("last_touch", split.str[-1])):
        expected = told.groupby(name)["total_conversions"].sum().reindex(found.index, fill_value=0)
        np.testing.assert_allclose(found[rule], expected)
    each = told.assign(each=told["total_conversions"] / split.str.len(), name=split).explode("name")
    np.testing.assert_allclose(found["linear"], each.groupby("name")["each"].sum().reindex(found.index))
