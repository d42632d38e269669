"""The follower: the journal's head serves, and when it cannot, the last good one does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from registry.following import Standings
from registry.rollouts import Rollout, load_policy
from registry.succession import SHADOW
from serving.champion import RETRY_SECONDS, Champion, Follower
from serving.web.lastgood import Remembered
from tests.serving.tiny import a_bundle, a_scorer
from whence.bundle import BundleBroken, Scorer, load_bundle
from whence.contracts.models import CONVERSION_VALUE, IDENTITY_RANKER

NOON = datetime(2026, 5, 2, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Head:
    bundle: str
    epoch: int


@dataclass
class Shop:
    """A journal and a shelf of bundles that a test can change."""

    heads: dict[str, Head] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)
    rollouts: dict[str, Rollout] | None = field(default_factory=dict)
    scorers: dict[str, Scorer] = field(default_factory=dict)
    loads: list[str] = field(default_factory=list)
    counted: list[tuple[str, str]] = field(default_factory=list)
    now: float = 0.0

    def look(self) -> Standings:
        return Standings(self.heads, self.before, self.rollouts)

    def load(self, digest: str) -> Scorer:
        self.loads.append(digest)
        if digest not in self.scorers:
            raise BundleBroken("cut short")
        return self.scorers[digest]

    def follower(self) -> Follower:
        return Follower(self.look, self.load, lambda *what: self.counted.append(what), lambda: self.now)

    def promote(self, model: str, bundle: str, epoch: int, before: str | None = None) -> None:
        self.heads[model] = Head(bundle, epoch)
        self.before = {model: before} if before else {}


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return a_scorer(tmp_path_factory.mktemp("bundles"), IDENTITY_RANKER)


@pytest.fixture(scope="module")
def value(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return a_scorer(tmp_path_factory.mktemp("bundles"), CONVERSION_VALUE)


def test_the_journals_head_serves(one: Scorer) -> None:
    shop = Shop(scorers={"b1": one})
    follower = shop.follower()
    follower.poll()
    assert (dict(follower.lineup), follower.has_polled) == ({}, True)
    shop.promote(IDENTITY_RANKER, "b1", 1)
    follower.poll()
    follower.poll()
    assert follower.lineup[IDENTITY_RANKER].scorer is one
    assert shop.counted == [(IDENTITY_RANKER, "done")]


def test_a_champion_that_cannot_be_loaded_leaves_the_last_good_one_and_is_tried_again_later(one: Scorer) -> None:
    shop = Shop(scorers={"b1": one})
    follower = shop.follower()
    shop.promote(IDENTITY_RANKER, "b1", 1)
    follower.poll()
    shop.promote(IDENTITY_RANKER, "b2", 2)
    follower.poll()
    follower.poll()
    assert follower.lineup[IDENTITY_RANKER].scorer is one
    assert shop.counted == [(IDENTITY_RANKER, "done"), (IDENTITY_RANKER, "failed")]
    shop.now += RETRY_SECONDS
    shop.scorers["b2"] = one
    follower.poll()
    assert follower.lineup[IDENTITY_RANKER].epoch == 2


def test_after_a_restart_a_champion_that_cannot_be_loaded_leaves_the_one_that_served_last(one: Scorer) -> None:
    shop = Shop(scorers={"b1": one})
    follower = shop.follower()
    follower.last_good = lambda: {IDENTITY_RANKER: Remembered("b1", 1)}
    shop.promote(IDENTITY_RANKER, "b2", 2)
    follower.poll()
    assert follower.lineup[IDENTITY_RANKER] == Champion(one, 1)
    shop.now += RETRY_SECONDS
    follower.poll()
    assert shop.counted == [(IDENTITY_RANKER, outcome) for outcome in ("failed", "done", "failed")]
    shop.now += RETRY_SECONDS
    shop.scorers["b2"] = one
    follower.poll()
    assert follower.lineup[IDENTITY_RANKER].epoch == 2
    lost = shop.follower()
    shop.scorers.clear()
    lost.last_good = follower.last_good
    lost.poll()
    assert (dict(lost.lineup), lost.has_polled) == ({}, True)


def test_a_lineup_that_a_request_holds_does_not_change_under_it(one: Scorer) -> None:
    shop = Shop(scorers={"b1": one})
    follower = shop.follower()
    held = follower.lineup
    shop.promote(IDENTITY_RANKER, "b1", 1)
    follower.poll()
    assert dict(held) == {}
    with pytest.raises(TypeError):
        follower.lineup[IDENTITY_RANKER] = held  # type: ignore[index]


def test_the_champion_before_is_loaded_beside_so_that_going_back_waits_for_no_check(one: Scorer) -> None:
    before = replace(one, digest="b1")
    shop = Shop(scorers={"b1": before, "b2": replace(one, digest="b2")})
    follower = shop.follower()
    shop.promote(IDENTITY_RANKER, "b2", 2, before="b1")
    follower.poll()
    follower.poll()
    assert shop.loads == ["b2", "b1"]
    shop.scorers.clear()
    shop.promote(IDENTITY_RANKER, "b1", 3)
    follower.poll()
    assert (follower.lineup[IDENTITY_RANKER].scorer.digest, follower.lineup[IDENTITY_RANKER].epoch) == ("b1", 3)
    assert shop.loads == ["b2", "b1"]


def test_who_served_before_stays_loaded(one: Scorer) -> None:
    shop = Shop(scorers={name: replace(one, digest=name) for name in ("b1", "b2")})
    follower = shop.follower()
    for bundle, epoch, before in (("b1", 1, None), ("b2", 2, "b1"), ("b1", 3, None)):
        shop.promote(IDENTITY_RANKER, bundle, epoch, before)
        follower.poll()
    assert follower.lineup[IDENTITY_RANKER].scorer.digest == "b1"
    assert shop.loads == ["b1", "b2"]


def test_a_promotion_that_goes_to_and_fro_checks_each_bundle_once_though_the_journal_is_ahead_of_the_lineup(one: Scorer) -> None:
    shop = Shop(scorers={name: replace(one, digest=name) for name in ("b1", "b2")})
    bundles, follower = ("b1", "b2"), shop.follower()
    for epoch in range(1, 9):
        shop.promote(IDENTITY_RANKER, bundles[epoch % 2], epoch, before=bundles[(epoch + 1) % 2])
        follower.poll_champions()
        shop.promote(IDENTITY_RANKER, bundles[(epoch + 1) % 2], epoch + 1, before=bundles[epoch % 2])
        follower.poll_trials()
    assert sorted(shop.loads) == ["b1", "b2"]


def test_challengers_that_come_and_go_do_not_push_out_the_champion_before(one: Scorer) -> None:
    shop = Shop(scorers={name: replace(one, digest=name) for name in ("b1", "b2", "c1", "c2", "c3", "c4")})
    shop.rollouts, follower = (tried := dict[str, Rollout]()), shop.follower()
    shop.promote(IDENTITY_RANKER, "b2", 2, before="b1")
    follower.poll()
    for number, name in enumerate(("c1", "c2", "c3", "c4"), start=3):
        tried[IDENTITY_RANKER] = Rollout(
            IDENTITY_RANKER, number, "b2", name, SHADOW, 0.0, number, NOON, load_policy(IDENTITY_RANKER)
        )
        follower.poll()
    shop.promote(IDENTITY_RANKER, "b1", 9)
    follower.poll()
    assert follower.lineup[IDENTITY_RANKER].scorer.digest == "b1"
    assert shop.loads == ["b2", "b1", "c1", "c2", "c3", "c4"]


def test_a_champion_before_that_is_broken_costs_nothing(one: Scorer) -> None:
    shop = Shop(scorers={"b2": replace(one, digest="b2")})
    follower = shop.follower()
    shop.promote(IDENTITY_RANKER, "b2", 2, before="b1")
    for _ in range(3):
        follower.poll()
    assert follower.lineup[IDENTITY_RANKER].epoch == 2
    assert shop.loads == ["b2", "b1"], "it is tried once a champion"


def test_an_older_epoch_never_takes_over(one: Scorer) -> None:
    shop = Shop(scorers={"b1": one, "b2": one})
    follower = shop.follower()
    shop.promote(IDENTITY_RANKER, "b2", 2)
    follower.poll()
    shop.promote(IDENTITY_RANKER, "b1", 1)
    follower.poll()
    assert follower.lineup[IDENTITY_RANKER].epoch == 2


def test_a_bundle_of_another_model_is_refused(value: Scorer) -> None:
    shop = Shop(scorers={"b1": value})
    follower = shop.follower()
    shop.promote(IDENTITY_RANKER, "b1", 1)
    follower.poll()
    assert dict(follower.lineup) == {}
    assert shop.counted == [(IDENTITY_RANKER, "failed")]


def test_a_bundle_with_one_byte_changed_never_serves(tmp_path: Path) -> None:
    digest = a_bundle(tmp_path, IDENTITY_RANKER)
    model = tmp_path / digest / "model.txt"
    model.chmod(0o600)
    text = bytearray(model.read_bytes())
    text[len(text) // 2] ^= 1
    model.write_bytes(bytes(text))
    shop = Shop()
    follower = Follower(shop.look, lambda name: load_bundle(tmp_path, name), lambda *what: shop.counted.append(what))
    shop.promote(IDENTITY_RANKER, digest, 1)
    follower.poll()
    assert dict(follower.lineup) == {}
    assert shop.counted == [(IDENTITY_RANKER, "failed")]
