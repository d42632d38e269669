"""Auctions of the world: queries whose candidates compete, with the true probability that each converts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

CAMPAIGNS, DEVICES = 40, ("phone", "desktop", "tablet", "tv")
NUMBERS = ("visits", "basket", "hour", "similarity", "price_gap", "freshness", "rank_before")
OF_QUERY = ("visits", "basket", "hour", "device")
"""What all candidates of a query have in common: it moves the level of them all, and orders nothing."""
CATEGORIES = ("device", "campaign")
LEVEL = -4.45
QUERIES_A_PERSON = 1.5
Floats = npt.NDArray[np.float64]


def auctions(queries: int = 9000, candidates: int = 12, seed: int = 7) -> pd.DataFrame:
    """A row for each candidate: query, person, NUMBERS, CATEGORIES, the `truth` (a probability) and the label drawn from it.

    About one candidate in fourteen converts. What a query is (how often its person came lately, what lies in the basket, the
    hour, the device) moves its level by a factor of ten and more; part of that no column tells. Campaigns differ,
    chase devices, and do better on some devices than on others. Queries are in the order of time.

    >>> drawn = auctions(100, seed=1)
    >>> len(drawn), drawn["query"].nunique()
    (1200, 100)
    """
    rng = np.random.default_rng(seed)
    world = np.random.default_rng(40)  # the campaigns are the same in every draw
    appeal, fit = world.normal(0, 0.45, CAMPAIGNS), world.normal(0, 0.35, (CAMPAIGNS, len(DEVICES)))
    chases = world.normal(0, 0.8, (len(DEVICES), CAMPAIGNS))
    query = np.repeat(np.arange(queries), candidates)
    of_query, level = _queries(queries, rng)
    device = of_query["device"].to_numpy()
    campaign = np.concatenate([_shown(chases[each], candidates, rng) for each in device])
    rows = _candidates(len(query), rng)
    odds = LEVEL + level[query] + appeal[campaign] + fit[campaign, device[query]] + _worth(rows)
    truth = expit(odds)
    told = of_query.iloc[query].reset_index(drop=True).assign(query=query, **rows)
    told["device"] = np.array(DEVICES, dtype=object)[device[query]]
    told["campaign"] = pd.Series(campaign).map("campaign-{:02d}".format).astype(object)
    return told.assign(truth=truth, label=(rng.random(len(truth)) < truth).astype(np.int64))


def _queries(count: int, rng: np.random.Generator) -> tuple[pd.DataFrame, Floats]:
    """What a query tells of itself, and its level in log-odds."""
    visits, basket = rng.poisson(2.0, count).astype(float), rng.gamma(1.5, 1.0, count)
    hour, device = rng.integers(0, 24, count).astype(float), rng.choice(len(DEVICES), count, p=(0.55, 0.3, 0.1, 0.05))
    level = 0.9 * np.log1p(visits) + 0.6 * np.tanh(basket - 1) + 0.4 * np.sin((hour - 14) / 24 * 2 * np.pi)
    level += np.array([0.0, 0.5, 0.2, -0.6])[device] + rng.normal(0, 0.4, count)
    person = rng.integers(0, max(1, int(count / QUERIES_A_PERSON)), count)
    return pd.DataFrame({"person": person, "visits": visits, "basket": basket, "hour": hour, "device": device}), level


def _shown(chase: Floats, candidates: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Which campaigns compete, none of them twice: those with the highest noisy interest (Gumbel, top k)."""
    return np.argsort(-(chase + rng.gumbel(size=CAMPAIGNS)))[:candidates].astype(np.int64)


def _candidates(count: int, rng: np.random.Generator) -> dict[str, Floats]:
    similarity, price_gap = rng.beta(2, 3, count), rng.normal(0, 1, count)
    freshness = rng.exponential(1.0, count)
    before = 0.8 * similarity + 0.2 * rng.normal(0, 0.4, count)
    return {"similarity": similarity, "price_gap": price_gap, "freshness": freshness, "rank_before": before}


def _worth(rows: dict[str, Floats]) -> Floats:
    """What a candidate adds to the log-odds of its query."""
    return np.asarray(
        4.0 * (rows["similarity"] - 0.4)
        - 0.7 * np.maximum(rows["price_gap"], 0) ** 1.5
        + 0.5 * np.exp(-rows["freshness"])
        + 0.6 * (rows["similarity"] > 0.6) * (rows["price_gap"] < 0)
    )
