"""Credit by what would not have happened: against brute force, and against a world whose effects are known."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.attribution import response
from whence.attribution.response import Columns
from whence.contracts.models import FeatureSchema
from whence.encoding import encode
from whence.world import effects

NOW = datetime(2026, 5, 10, tzinfo=UTC)


class Formula:
    """A model that is a formula of its columns: a base, a saturating part of each channel, and one synergy."""

    def __init__(self, columns: Columns) -> None:
        self.schema = FeatureSchema((*columns.names, "age"))
        self.asked = 0

    def score(self, frame: pd.DataFrame | Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        matrix = encode(frame, self.schema)
        self.asked += len(matrix)
        seen = {name: matrix[:, at] for at, name in enumerate(self.schema.names)}
        raw = -3.0 + 0.01 * seen["age"]
        gains = {}
        for at, (name, count) in enumerate(seen.items()):
            if name.startswith("shown."):
                gains[name] = (1 + at % 3) * count / (1 + count)
                raw = raw + gains[name]
        raw = raw + 0.5 * np.minimum(*list(gains.values())[:2]) if len(gains) > 1 else raw
        return raw, 1 / (1 + np.exp(-raw))


def touches(*rows: tuple[str, str, str, float]) -> pd.DataFrame:
    """Touches of one person: (touch_id, channel, kind, hours before NOW)."""
    frame = pd.DataFrame(rows, columns=["touch_id", "channel", "kind", "hours"])
    at = pd.to_datetime([NOW - timedelta(hours=hours) for hours in frame.pop("hours")])
    return frame.assign(person_id="ann", campaign_id=frame["channel"], happened_at=at, seen_at=at)


def pairs(shown: pd.DataFrame) -> pd.DataFrame:
    seen = shown[shown["kind"] != "eligible"].reset_index(drop=True)
    return pd.DataFrame(
        {
            "conversion_id": "c",
            "touch_id": seen["touch_id"],
            "campaign_id": seen["campaign_id"],
            "channel": seen["channel"],
            "touch_kind": seen["kind"],
            "touched_at": seen["happened_at"],
            "hours_before": (NOW - seen["happened_at"]) / pd.Timedelta(hours=1),
        }
    )


CONVERSION = pd.DataFrame({"conversion_id": ["c"], "person_id": ["ann"], "happened_at": [NOW], "seen_at": [NOW]})
AGE = pd.DataFrame({"age": [40.0]})


def brute_force(shown: pd.DataFrame, model: Formula, columns: Columns) -> dict[str, float]:
    """Each campaign's Shapley value in the odds of converting, over the odds as they were, by every order."""

    def odds(kept: frozenset[str]) -> float:
        left = shown[shown["campaign_id"].isin(kept) | (shown["kind"] == "eligible")]
        offered = response.frame(CONVERSION, shown, columns, AGE)
        inputs = response.frame(CONVERSION, left, columns, AGE)
        opportunities = [name for name in inputs if name.startswith("offered.")]
        inputs[opportunities] = offered[opportunities]
        chance = float(model.score(inputs)[1][0])
        return chance / (1 - chance)

    players = sorted(shown.loc[shown["kind"] != "eligible", "campaign_id"].unique())
    found = dict.fromkeys(players, 0.0)
    orders = list(permutations(players))
    for order in orders:
        for at, player in enumerate(order):
            found[player] += odds(frozenset(order[: at + 1])) - odds(frozenset(order[:at]))
    return {player: value / len(orders) / odds(frozenset(players)) for player, value in found.items()}


SHOWN = touches(
    ("t1", "tv", "view", 60), ("t2", "web", "click", 30), ("t3", "web", "view", 20), ("t4", "mail", "click", 2), ("g", "tv", "eligible", 5)
)  # fmt: skip


def test_credit_between_campaigns_is_that_of_every_order_tried() -> None:
    columns = response.columns_of(SHOWN)
    model = Formula(columns)
    shares, _ = response.share(pairs(SHOWN), CONVERSION, SHOWN, AGE, model)
    credited = shares.groupby(pairs(SHOWN)["campaign_id"]).sum().to_dict()
    assert credited == pytest.approx(brute_force(SHOWN, model, columns), abs=1e-12)
    assert 0 < shares.sum() < 1, "somebody converts without any ad"


def test_the_worth_of_streams_is_their_credit_where_every_exposure_is_paid() -> None:
    columns = response.columns_of(SHOWN)
    model = Formula(columns)
    shares, said = response.share(pairs(SHOWN), CONVERSION, SHOWN, AGE, model)
    worth = response.worths(said.inputs, model)
    assert worth.loc[0].to_dict() == pytest.approx(shares.groupby(pairs(SHOWN)["campaign_id"]).sum().to_dict(), abs=1e-12)


def test_opportunities_are_a_column_only_where_somebody_was_held_out() -> None:
    assert response.columns_of(SHOWN).offered == ("tv",)
    assert response.columns_named(response.columns_of(SHOWN).names) == response.columns_of(SHOWN)


def test_a_ghost_earns_nothing_and_is_kept_when_ads_are_taken_away() -> None:
    columns = response.columns_of(SHOWN)
    inputs = response.frame(CONVERSION, SHOWN, columns, AGE)
    assert inputs.loc[0, "offered.campaign_id.long.tv"] == pytest.approx(2 ** (-60 / 72) + 2 ** (-5 / 72))
    assert inputs.loc[0, "shown.campaign_id.long.view.tv"] == pytest.approx(2 ** (-60 / 72))


def test_a_touch_without_a_pair_keeps_what_it_did_and_no_ad_gets_its_part() -> None:
    model = Formula(response.columns_of(SHOWN))
    every, few = pairs(SHOWN), pairs(SHOWN).iloc[1:]
    with_all, _ = response.share(every, CONVERSION, SHOWN, AGE, model)
    with_few, said = response.share(few, CONVERSION, SHOWN, AGE, model)
    assert said.probability[0] == pytest.approx(response.share(every, CONVERSION, SHOWN, AGE, model)[1].probability[0])
    assert with_few.sum() < with_all.sum()


def test_backwards_the_last_ad_gets_what_two_do_only_together() -> None:
    columns = Columns("channel", (("tv", "view"), ("web", "view")), (), ("all",))

    class Both(Formula):
        def score(self, frame: pd.DataFrame | Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
            counts = encode(frame, self.schema)
            chance = np.where((counts[:, 0] > 0) & (counts[:, 1] > 0), 0.4, 0.1)
            return chance, chance

    shown = touches(("first", "tv", "view", 9), ("second", "web", "view", 3))
    asked = {"conversions": CONVERSION, "touches": shown, "features": AGE, "scorer": Both(columns), "sampled": False}
    fair, _ = response.share(pairs(shown), **asked)  # type: ignore[arg-type]
    late, _ = response.share(pairs(shown), **asked, backwards=True)  # type: ignore[arg-type]
    assert fair.tolist() == pytest.approx([0.375, 0.375])
    assert late.tolist() == pytest.approx([0.0, 0.75])


def test_factors_scale_credit_and_never_above_the_conversion() -> None:
    model = Formula(response.columns_of(SHOWN))
    plain, _ = response.share(pairs(SHOWN), CONVERSION, SHOWN, AGE, model)
    half, _ = response.share(pairs(SHOWN), CONVERSION, SHOWN, AGE, model, factors={"web": 0.5})
    assert half.tolist() == pytest.approx(np.where(pairs(SHOWN)["campaign_id"] == "web", 0.5, 1.0) * plain)
    much, _ = response.share(pairs(SHOWN), CONVERSION, SHOWN, AGE, model, factors={"web": 100.0})
    assert much.sum() == pytest.approx(1.0)


def test_without_pairs_there_are_no_shares() -> None:
    shares, said = response.share(pairs(SHOWN).head(0), CONVERSION, SHOWN, AGE, Formula(response.columns_of(SHOWN)))
    assert shares.empty
    assert len(said.subjects) == len(said.inputs) == len(said.raw) == 0


@pytest.mark.service
@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["tv", "web", "mail"]), st.sampled_from(["view", "click", "eligible"]), st.floats(0.1, 300)),
        min_size=1,
        max_size=8,
    ),
    st.randoms(),
)
def test_shares_are_never_negative_nor_above_one_and_the_order_of_rows_does_not_matter(
    rows: list[tuple[str, str, float]], random: Any
) -> None:
    shown = touches(*((f"t{at}", *row) for at, row in enumerate(rows)))
    model, given_pairs = Formula(response.columns_of(SHOWN)), pairs(shown)
    mixed = random.sample(range(len(given_pairs)), len(given_pairs))
    for backwards in (False, True):
        shares, _ = response.share(given_pairs, CONVERSION, shown, AGE, model, backwards=backwards)
        again, _ = response.share(given_pairs.iloc[mixed], CONVERSION, shown.iloc[::-1], AGE, model, backwards=backwards)
        assert (shares >= 0).all()
        assert shares.sum() <= 1 + 1e-12
        assert again.reindex(shares.index).to_numpy() == pytest.approx(shares.to_numpy(), abs=1e-9)


def test_a_few_orders_come_close_to_every_coalition() -> None:
    rng = np.random.default_rng(1)
    gain, both = rng.random((50, 9)), rng.random((50, 1)) * 3

    def game(on: np.ndarray) -> np.ndarray:
        return np.asarray(1 - np.exp(-gain @ on.T - both * (on[:, 0] & on[:, 1])))

    exact, whole = response.shapley(game, 9)
    near, _ = response.sampled_shapley(game, 9)
    assert exact.sum(axis=1) == pytest.approx(whole, abs=1e-12)
    assert near.sum(axis=1) == pytest.approx(whole, abs=1e-12)
    assert np.abs(near.mean(axis=0) - exact.mean(axis=0)).max() < 0.02


@pytest.mark.service  # long
def test_nobody_is_credited_by_a_model_that_learned_from_them_and_ghosts_bring_credit_near_the_truth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(response, "ROUNDS", 80)
    lived = effects.live(effects.Known(people=4_000, seed=11))
    everybody, shown, bought = effects.people(lived), effects.touches(lived), effects.conversions(lived)
    inputs = response.frame(everybody, shown, response.columns_of(shown, response.WHOLE), everybody[list(effects.COVARIATES)])
    folds = response.crossfit(inputs, everybody["label"].to_numpy(dtype=np.float64), everybody["person_id"], folds=2)
    assert (sum(rows.astype(int) for rows, _ in folds) == 1).all()
    seen = shown[shown["kind"] != "eligible"].merge(bought[["conversion_id", "person_id"]], on="person_id")
    paid = seen.assign(touch_kind=seen["kind"], touched_at=seen["happened_at"])
    paid["hours_before"] = (effects.asked_at() - seen["happened_at"]) / pd.Timedelta(hours=1)
    credited = pd.Series(0.0, index=lived.incremental.index)
    for rows, model in folds:
        theirs = bought[bought["person_id"].isin(everybody.loc[rows, "person_id"])]
        mine = paid[paid["conversion_id"].isin(theirs["conversion_id"])]
        known = everybody.set_index("person_id").loc[theirs["person_id"]].set_axis(theirs.index)
        shares, _ = response.share(mine, theirs, shown, known, model, sampled=False)
        credited = credited.add(shares.groupby(mine["channel"]).sum(), fill_value=0.0)
    last = paid.sort_values("touched_at").groupby("conversion_id")["channel"].last().value_counts()
    error = float((credited - lived.incremental).abs().sum() / lived.incremental.sum())
    assert error < 0.7 * float((last - lived.incremental).abs().sum() / lived.incremental.sum())
