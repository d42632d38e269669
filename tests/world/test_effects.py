"""The world with known effects: its truth adds up, and it can be told as events."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from whence.contracts.events import TOUCHES
from whence.world import effects
from whence.world.effects import Known, channels, conversions, live, people, shapley, touches


def test_the_truth_is_what_every_order_gives_and_sums_to_what_ads_did() -> None:
    lived = live(Known(people=40, channels=3, seed=3))
    base = np.log(lived.without / (1 - lived.without))
    found, orders = np.zeros((40, 3)), list(permutations(range(3)))
    for order in orders:
        on = np.zeros(3, dtype=np.int64)
        before = effects._response(lived.channels, base, lived.shown * on)
        for c in order:
            on[c] = 1
            after = effects._response(lived.channels, base, lived.shown * on)
            found[:, c] += (after - before) / len(orders)
            before = after
    assert lived.caused == pytest.approx(found, abs=1e-12)
    assert lived.caused.sum(axis=1) == pytest.approx(lived.chance - lived.without, abs=1e-12)
    assert (lived.caused >= 0).all()


def test_orders_by_lot_come_close_to_every_coalition(monkeypatch: pytest.MonkeyPatch) -> None:
    lived = live(Known(people=2_000, channels=7, seed=4))
    base = np.log(lived.without / (1 - lived.without))
    monkeypatch.setattr(effects, "EXACT", 3)
    near = shapley(lived.channels, base, lived.shown).sum(axis=0)
    assert near.sum() == pytest.approx(lived.incremental.sum())
    assert near == pytest.approx(lived.incremental.to_numpy(), rel=0.03)


def test_the_null_world_has_no_effects_and_still_has_last_touches() -> None:
    lived = live(Known(people=3_000, effect=0.0, seed=5))
    assert lived.incremental.abs().max() == 0
    assert lived.converted[lived.shown.any(axis=1)].sum() > 100


def test_intent_drives_retargeting_most_and_social_least_and_not_at_all_without_confounding() -> None:
    def follows(confounding: float) -> list[float]:
        lived = live(Known(people=20_000, confounding=confounding, seed=6))
        return [float(np.corrcoef(lived.opportunities[:, c], np.log(lived.without))[0, 1]) for c in range(5)]

    assert follows(1.0) == sorted(follows(1.0))
    assert max(np.abs(follows(0.0))) < 0.03


def test_a_tenth_of_the_people_are_held_out_channel_by_channel_and_their_ghosts_are_told() -> None:
    lived = live(Known(people=4_000, seed=7))
    told = touches(lived)
    assert len(told) == lived.opportunities.sum()
    assert set(told.columns) <= set(TOUCHES.names) | {"person_id"}
    ghosts = told[told["kind"] == "eligible"]
    assert ghosts["holdout"].all()
    assert len(told) - len(ghosts) == lived.shown.sum()
    assert told.groupby(["person_id", "channel"])["holdout"].nunique().max() == 1
    share = ghosts.groupby("channel")["person_id"].nunique() / told.groupby("channel")["person_id"].nunique()
    assert share.between(0.07, 0.13).all()
    plain = touches(live(Known(people=500, held_out=0.0, seed=7)))
    assert plain["experiment"].isna().all()
    assert not plain["holdout"].any()


def test_the_same_seed_gives_the_same_world_and_the_tables_speak_of_the_same_people() -> None:
    one, two = live(Known(people=300, seed=8)), live(Known(people=300, seed=8))
    assert touches(one).equals(touches(two))
    everybody, bought = people(one), conversions(one)
    assert set(bought["person_id"]) == set(everybody.loc[everybody["label"] == 1, "person_id"])
    assert (touches(one)["happened_at"] < bought["happened_at"].iloc[0]).all()
    assert one.share.index.tolist() == bought["person_id"].tolist()


def test_as_many_channels_as_asked_for_and_what_they_do_does_not_follow_what_they_chase() -> None:
    twenty = channels(Known(channels=20))
    assert len(set(twenty.names)) == 20
    assert abs(float(np.corrcoef(twenty.effect, twenty.chases)[0, 1])) < 0.3
