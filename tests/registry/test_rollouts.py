"""A challenger's way by a real journal: where it starts, how it is stopped, and what two who decide at once leave."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import registry
from registry import gate
from registry.following import under_way
from registry.gate import Verdict
from registry.journal import Conflict, Journal
from registry.rollouts import WATCH, RolloutError, Step, abort, load_policy, proceed, start
from registry.succession import ABORT, CANARY, FINISH, PROMOTE, ROLLBACK, SHADOW, Promotion
from tests.serving.tiny import a_bundle
from whence.contracts.models import IDENTITY_RANKER, Candidate
from whence.contracts.settings import Settings

NOON = datetime(2026, 5, 2, 12, tzinfo=UTC)
OLD, NEW = "a" * 64, "b" * 64


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def journal(settings: Settings) -> Journal:
    made = Journal.of(settings)
    made.promote(IDENTITY_RANKER, OLD, "", ("the first",), "tests", 0, NOON)
    return made


def begin(settings: Settings) -> None:
    start(settings, IDENTITY_RANKER, NEW, ("it passed the gate",), "tests", NOON, "v" * 64, versions={"data": "3"})


def go(journal: Journal, kind: str, hours: float, share: float = 0.0) -> None:
    rollout = under_way(journal, NOON).get(IDENTITY_RANKER)
    assert rollout is not None
    proceed(journal, rollout, Step(kind, ("because",), share, {"looks": {}}), "tests", NOON + timedelta(hours=hours))


def test_the_stages_follow_one_another_under_the_policy_that_they_began_with(settings: Settings, journal: Journal) -> None:
    begin(settings)
    (settings.home / "rollout.toml").write_text("[all]\nanswers = 7\n")
    seen = []
    for kind, share in ((CANARY, 0.05), (CANARY, 0.25), (FINISH, 0.25)):
        go(journal, kind, 1.0, share)
        rollout = under_way(journal, NOON).get(IDENTITY_RANKER)
        assert rollout is not None
        seen.append((rollout.stage, rollout.share, rollout.number, rollout.champion, rollout.challenger, rollout.verdict))
        assert rollout.policy == load_policy(IDENTITY_RANKER)
    whom = (2, OLD, NEW, "v" * 64)
    assert seen == [(CANARY, 0.05, *whom), (CANARY, 0.25, *whom), (FINISH, 0.25, *whom)]


def test_a_new_champion_is_watched_for_its_time_and_taken_back_when_it_does_harm(settings: Settings, journal: Journal) -> None:
    begin(settings)
    for hours, kind in enumerate((CANARY, FINISH, PROMOTE), start=1):
        go(journal, kind, hours, 0.25)
    watch = under_way(journal, NOON + timedelta(hours=4)).get(IDENTITY_RANKER)
    assert watch is not None
    assert (watch.stage, watch.share, watch.champion, watch.challenger) == (WATCH, 1.0, OLD, NEW)
    row = journal.champion(IDENTITY_RANKER)
    assert row is not None
    assert (row.bundle, row.verdict, row.versions) == (NEW, "v" * 64, {"data": "3"})
    assert under_way(journal, NOON + timedelta(hours=3 + watch.policy.watch_hours)).get(IDENTITY_RANKER) is None
    go(journal, ROLLBACK, 5)
    row = journal.champion(IDENTITY_RANKER)
    assert row is not None
    assert (row.bundle, row.kind) == (OLD, ROLLBACK)
    assert under_way(journal, NOON + timedelta(hours=6)).get(IDENTITY_RANKER) is None


def test_a_champion_without_a_rollout_is_not_watched(journal: Journal) -> None:
    assert under_way(journal, NOON).get(IDENTITY_RANKER) is None


def test_of_two_who_decide_at_once_one_is_heard(settings: Settings, journal: Journal) -> None:
    begin(settings)
    seen_by_both = under_way(journal, NOON).get(IDENTITY_RANKER)
    assert seen_by_both is not None
    proceed(journal, seen_by_both, Step(CANARY, ("all is well",), 0.05), "one", NOON)
    with pytest.raises(Conflict):
        proceed(journal, seen_by_both, Step(ABORT, ("it fails",)), "other", NOON)


def test_an_aborted_challenger_leaves_the_champion_and_the_way_free(settings: Settings, journal: Journal) -> None:
    begin(settings)
    row = abort(settings, IDENTITY_RANKER, "ann", "no time for it", NOON)
    assert (row.kind, row.bundle, row.previous, row.reasons) == (ABORT, NEW, OLD, ("no time for it",))
    assert under_way(journal, NOON).get(IDENTITY_RANKER) is None
    with pytest.raises(RolloutError, match="No challenger"):
        abort(settings, IDENTITY_RANKER, "ann", "once more", NOON)
    assert [each.kind for each in journal.rows(IDENTITY_RANKER)] == [PROMOTE, SHADOW, ABORT]


def test_where_the_policy_says_staged_what_the_gate_lets_pass_is_a_challenger_first(settings: Settings, journal: Journal) -> None:
    (settings.home / "rollout.toml").write_text('[all]\nmode = "staged"\n')
    new, other = (a_bundle(settings.bundles, IDENTITY_RANKER, seed) for seed in (1, 2))
    row = promote(settings, new)
    assert row is not None
    assert (row.kind, row.bundle, row.details["verdict"]) == (SHADOW, new, verdict(new).digest)
    assert promote(settings, new) == row
    assert promote(settings, other) is None, "one at a time"
    abort(settings, IDENTITY_RANKER, "ann", "no", NOON)
    assert promote(settings, new) is None, "it had its turn"
    after = promote(settings, other)
    assert after is not None
    assert after.bundle == other
    third = a_bundle(settings.bundles, IDENTITY_RANKER, 3)
    with pytest.raises(Conflict, match="Judge again"):
        promote(settings, third, epoch=0)


def verdict(bundle: str, epoch: int = 1) -> Verdict:
    return Verdict(gate.PROMOTE, ("it is better",), bundle=bundle, epoch=epoch)


def promote(settings: Settings, bundle: str, epoch: int = 1) -> Promotion | None:
    candidate = Candidate(IDENTITY_RANKER, bundle, "2026-05-01", "")
    return registry.promote(settings, candidate, verdict(bundle, epoch), "ana", NOON)
