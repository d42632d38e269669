"""From evidence to the journal's next row: by whoever is first, whatever is down, and never twice."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import pandas as pd
import pytest

from registry.following import Following, under_way
from registry.journal import Journal
from registry.rollouts import Rollout, Step, proceed, start
from registry.succession import ABORT, CANARY, FINISH, PROMOTE, ROLLBACK, SHADOW
from serving.champion import Champion, Follower, Trial
from serving.rollouts import mirrored
from serving.rollouts.labelling import look_at_labels
from serving.rollouts.mirror import Mirror
from serving.rollouts.mirrored import MirrorLog
from serving.rollouts.rollout import LEVEL, LOSS, OF_LABELS
from serving.rollouts.steering import Steering, keep_labels, labels_seen
from serving.rollouts.tally import Seen, Tally
from serving.rollouts.trying import Trying
from tests.serving.rollouts.test_trying import Named, scored
from whence.bundle import BundleWrong, Scorer
from whence.contracts.models import IDENTITY_RANKER
from whence.contracts.settings import Settings
from whence.contracts.times import Window
from whence.measures.arms import CHALLENGER, CHAMPION, GROUPS

NOON = datetime(2026, 5, 2, 12, tzinfo=UTC)
AT = NOON.timestamp()
OLD, NEW = "a" * 64, "b" * 64
POLICY = "[all]\nanswers = 60\nlooks = 3\nleast_hours = 0.0\nlabelled_people = 40\n"


@dataclass
class Platform:
    """A journal with a rollout, and processes of the service that follow it; time stands where a test puts it."""

    settings: Settings
    now: float = AT
    broken: set[str] = field(default_factory=set)

    @property
    def journal(self) -> Journal:
        return Journal.of(self.settings)

    @property
    def kinds(self) -> list[str]:
        return [row.kind for row in self.journal.rows(IDENTITY_RANKER)]

    def rollout(self) -> Rollout:
        found = under_way(self.journal, NOON).get(IDENTITY_RANKER)
        assert found is not None
        return found

    def load(self, digest: str) -> Scorer:
        if digest in self.broken:
            raise BundleWrong("it scores otherwise")
        return cast(Scorer, Named(digest))

    def process(self) -> Steering:
        journal = self.journal
        follower = Follower(Following(journal, lambda: NOON), self.load)
        follower.poll()
        return Steering(self.settings.home, journal, follower, Tally(self.settings.home), lambda: self.now)

    def answers(self, steering: Steering, count: int, **how: Any) -> None:
        """So many answers of both arms in the second that is now; `how` is the challenger's."""
        rollout = self.rollout()
        for number in range(count):
            for arm in (CHAMPION, CHALLENGER):
                seen = Seen(arm, number % GROUPS, 0.001, probability=0.6)
                steering.tally.note(rollout, replace(seen, **(how if arm == CHALLENGER else {})), self.now)
        self.now += 10


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    made = Platform(Settings(home=tmp_path))
    (tmp_path / "rollout.toml").write_text(POLICY)
    made.journal.promote(IDENTITY_RANKER, OLD, "", ("the first",), "tests", 0, NOON)
    start(made.settings, IDENTITY_RANKER, NEW, ("it passed the gate",), "tests", NOON)
    return made


def test_of_two_processes_that_see_the_same_one_moves_the_rollout_on(platform: Platform) -> None:
    one, other = platform.process(), platform.process()
    platform.answers(one, 30)
    platform.answers(other, 30)
    one.tally.flush(platform.now)
    other.once()
    one.once()
    assert platform.kinds == [PROMOTE, SHADOW, CANARY]
    assert platform.journal.rows(IDENTITY_RANKER)[-1].details["evidence"]["answers"] == {"champion": 60, "challenger": 60}


def test_a_challenger_that_breaks_is_stood_down_at_once_though_the_journal_cannot_be_written(platform: Platform) -> None:
    steering = platform.process()
    platform.answers(steering, 40, has_failed=True)
    cut_off = replace(steering, journal=Journal("sqlite:////proc/nowhere/journal.db", platform.settings.home))
    with pytest.raises(OSError, match="nowhere"):
        cut_off.once()
    assert dict(steering.follower.trials) == {}
    steering.follower.poll()
    assert dict(steering.follower.trials) == {}, "this process asks it no more, whatever the journal says"
    steering.once()
    assert platform.kinds == [PROMOTE, SHADOW, ABORT]
    assert "40 of its 40 answers failed" in platform.journal.rows(IDENTITY_RANKER)[-1].reasons[0]


def test_a_challenger_that_cannot_be_loaded_is_aborted_and_the_champion_never_notices(platform: Platform) -> None:
    platform.broken.add(NEW)
    steering = platform.process()
    assert steering.follower.lineup[IDENTITY_RANKER].scorer.digest == OLD
    steering.once()
    assert platform.kinds == [PROMOTE, SHADOW, ABORT]
    assert "cannot be loaded: it scores otherwise" in platform.journal.rows(IDENTITY_RANKER)[-1].reasons[0]
    steering.follower.poll()
    steering.once()
    assert platform.kinds == [PROMOTE, SHADOW, ABORT]


def test_a_killed_process_leaves_evidence_that_the_next_one_reads(platform: Platform) -> None:
    killed = platform.process()
    platform.answers(killed, 40)
    killed.once()
    after = platform.process()
    platform.answers(after, 20)
    after.once()
    assert platform.kinds == [PROMOTE, SHADOW, CANARY]


def test_a_kill_between_the_last_stage_and_the_promotion_heals_itself(platform: Platform) -> None:
    for kind, share in ((CANARY, 0.05), (CANARY, 0.25), (FINISH, 0.25)):
        proceed(platform.journal, platform.rollout(), Step(kind, ("because",), share), "tests", NOON)
    platform.process().once()
    row = platform.journal.champion(IDENTITY_RANKER)
    assert row is not None
    assert (row.kind, row.bundle) == (PROMOTE, NEW)


def test_a_new_champion_that_does_harm_is_rolled_back_by_itself(platform: Platform) -> None:
    for kind in (CANARY, FINISH):
        proceed(platform.journal, platform.rollout(), Step(kind, ("because",), 0.25), "tests", NOON)
    proceed(platform.journal, platform.rollout(), Step(PROMOTE, ("because",)), "tests", NOON.replace(hour=13))
    steering = platform.process()
    assert steering.follower.lineup[IDENTITY_RANKER].scorer.digest == NEW
    assert steering.follower.trials[IDENTITY_RANKER].champion.scorer.digest == OLD
    platform.answers(steering, 20, is_wild=True, probability=None)
    picker = Trying(steering.follower, steering.tally, Mirror(), MirrorLog(platform.settings.home), b"key")
    assert answered_by(picker) == {NEW}
    steering.once()
    row = platform.journal.champion(IDENTITY_RANKER)
    assert row is not None
    assert (row.kind, row.bundle) == (ROLLBACK, OLD)
    trials = steering.follower.trials
    steering.follower.poll_champions()
    assert answered_by(picker) == {OLD}
    steering.follower.trials = trials
    assert answered_by(picker) == {OLD}, "though a thread that checks another challenger may be late to end the trial"
    steering.follower.poll()
    assert steering.follower.lineup[IDENTITY_RANKER].scorer.digest == OLD
    assert dict(steering.follower.trials) == {}


def test_labels_of_one_kind_alone_say_nothing_yet(platform: Platform) -> None:
    log, rollout = MirrorLog(platform.settings.home), platform.rollout()
    for number in range(60):
        log.write(rollout, NOON, f"e{number}", scored(0.01), scored(0.03))

    def label(settings: Settings, model: str, day: date, decisions: pd.DataFrame) -> pd.DataFrame:
        return decisions.assign(label=[int(n < 9) for n in range(len(decisions))], cluster=decisions["subject"])

    assert look_at_labels(platform.settings, Window.parse("2026-05-02"), label, NOON) == {IDENTITY_RANKER: "shadow goes on"}
    assert labels_seen(platform.settings.home, rollout) == ({}, {})


def answered_by(picker: Trying) -> set[str]:
    picked = [picker.pick(IDENTITY_RANKER, f"person:{number}") for number in range(50)]
    return {each.champion.scorer.digest for each in picked if each}


def test_a_day_is_looked_at_once_and_days_without_news_are_no_looks(platform: Platform) -> None:
    home, rollout = platform.settings.home, platform.rollout()
    for day, people, z in ((2, 10, 0.5), (3, 10, 9.0), (4, 30, 1.0), (4, 40, 9.0), (1, 5, 0.1)):
        keep_labels(home, rollout, date(2026, 5, day), {"people": people, LOSS: z, LEVEL: -z})
    looks, facts = labels_seen(home, rollout)
    assert [(look.share, look.z) for look in looks[LOSS]] == [(0.125, 0.1), (0.25, 0.5), (0.75, 1.0)]
    assert set(looks) == set(OF_LABELS)
    assert facts["labels"]["people"] == 30


def test_labels_that_ripen_abort_a_challenger_whose_probabilities_are_wrong(platform: Platform) -> None:
    log, rollout = MirrorLog(platform.settings.home), platform.rollout()
    for number in range(60):
        log.write(rollout, NOON, f"e{number}", scored(0.5), scored(0.1))
    told: list[int] = []

    def label(settings: Settings, model: str, day: date, decisions: pd.DataFrame) -> pd.DataFrame:
        told.append(len(decisions))
        return decisions.assign(label=[n % 2 for n in range(len(decisions))], cluster=decisions["subject"])

    before, today = Window.parse("2026-05-01"), Window.parse("2026-05-02")
    assert look_at_labels(platform.settings, before, label, NOON) == {IDENTITY_RANKER: "shadow goes on"}
    said = look_at_labels(platform.settings, today, label, NOON)
    assert told == [60]
    assert said[IDENTITY_RANKER].startswith("abort: In the shadow, ")
    assert platform.kinds == [PROMOTE, SHADOW, ABORT]
    assert look_at_labels(platform.settings, today, label, NOON) == {}


def test_what_a_rollout_left_goes_a_month_after_its_end_and_never_before(platform: Platform) -> None:
    log, rollout = MirrorLog(platform.settings.home), platform.rollout()
    log.write(rollout, NOON, "e1", scored(0.5), scored(0.1))
    ended = replace(rollout, number=1)
    log.write(ended, NOON, "e1", scored(0.5), scored(0.1))
    now = datetime.now(UTC)
    assert mirrored.sweep(platform.settings.home, [rollout], now + timedelta(days=29)) == []
    assert mirrored.sweep(platform.settings.home, [rollout], now + timedelta(days=31)) == [f"{IDENTITY_RANKER}-1"]
    assert mirrored.days(platform.settings.home, rollout) == [NOON.date()]
    assert mirrored.days(platform.settings.home, ended) == []


def test_the_trial_follows_the_journal_and_keeps_what_is_loaded(platform: Platform) -> None:
    loads: list[str] = []

    def load(digest: str) -> Scorer:
        loads.append(digest)
        return platform.load(digest)

    journal = platform.journal
    follower = Follower(Following(journal, lambda: NOON), load)
    follower.poll()
    trial = follower.trials[IDENTITY_RANKER]
    assert (trial.champion.scorer.digest, trial.challenger.scorer.digest) == (OLD, NEW)
    proceed(journal, platform.rollout(), Step(CANARY, ("because",), 0.05), "tests", NOON)
    follower.poll()
    assert follower.trials[IDENTITY_RANKER].rollout.share == 0.05
    assert loads == [OLD, NEW]
    proceed(journal, platform.rollout(), Step(ABORT, ("because",)), "tests", NOON)
    follower.poll()
    assert dict(follower.trials) == {}
    assert isinstance(trial, Trial), "a request that holds it is answered as it began"
    assert isinstance(follower.trials, MappingProxyType)
    assert follower.lineup[IDENTITY_RANKER] == Champion(trial.champion.scorer, 1)
