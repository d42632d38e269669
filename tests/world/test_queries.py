from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logit

from whence.world.queries import CAMPAIGNS, CATEGORIES, NUMBERS, OF_QUERY, auctions

ROWS = auctions(1500, 12, seed=2)


def test_about_one_candidate_in_fourteen_converts_as_its_truth_says() -> None:
    assert 0.05 < ROWS["truth"].mean() < 0.1
    noise = np.sqrt((ROWS["truth"] * (1 - ROWS["truth"])).sum())
    assert ROWS["label"].sum() == pytest.approx(ROWS["truth"].sum(), abs=4 * noise)


def test_a_query_shares_what_it_is_and_shows_no_campaign_twice() -> None:
    queries = ROWS.groupby("query")
    assert (queries.size() == 12).all()
    assert (queries[[*OF_QUERY, "person"]].nunique() == 1).all(axis=None)
    assert (queries["campaign"].nunique() == 12).all()
    assert ROWS["campaign"].nunique() == CAMPAIGNS


def test_levels_of_queries_lie_far_apart_and_no_columns_tell_them_all() -> None:
    levels = logit(ROWS["truth"]).groupby(ROWS["query"]).mean()
    assert np.exp(levels.quantile(0.95) - levels.quantile(0.05)) > 8
    told = levels.groupby([ROWS.groupby("query")[name].first().round() for name in OF_QUERY if name != "device"]).transform(
        "mean"
    )
    assert (levels - told).std() > 0.2


def test_the_same_seed_gives_the_same_rows_and_another_gives_others() -> None:
    assert auctions(50, seed=3).equals(auctions(50, seed=3))
    assert not auctions(50, seed=3)["label"].equals(auctions(50, seed=4)["label"])
    assert {*NUMBERS, *CATEGORIES} <= set(ROWS)
