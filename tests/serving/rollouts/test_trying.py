"""A challenger among real requests: who is answered by whom, what is counted, and what its failures cost."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from registry.following import Standings
from registry.rollouts import WATCH, Rollout, load_policy
from registry.succession import CANARY, SHADOW
from serving.at_once import at_once
from serving.champion import Champion, Follower, Trial
from serving.rollouts import mirrored
from serving.rollouts.mirror import Mirror
from serving.rollouts.mirrored import MirrorLog
from serving.rollouts.picking import Mirrored, Picked
from serving.rollouts.rollout import place
from serving.rollouts.tally import ASKED, FAILED, WILD, Book, Tally, folder_of
from serving.rollouts.trying import Trying
from serving.scored import Scored
from serving.web.shapes import RequestError
from whence.bundle import Scorer
from whence.contracts.models import IDENTITY_RANKER
from whence.measures.arms import CHALLENGER

NOON = datetime(2026, 5, 2, 12, tzinfo=UTC)
POLICY = replace(load_policy(IDENTITY_RANKER), mirror_duty=1.0)
PEOPLE = [f"person:{number}" for number in range(200)]


@dataclass
class Bench:
    """A picker with two bundles on trial."""

    trying: Trying
    trial: Trial
    counted: Counter[str] = field(default_factory=Counter)

    def stage(self, stage: str, share: float) -> None:
        rollout = replace(self.trial.rollout, stage=stage, share=share)
        self.trial = replace(self.trial, rollout=rollout)
        self.trying.follower.trials = {IDENTITY_RANKER: self.trial}

    def ask(self, person: str, how: Callable[[Scorer], Found]) -> tuple[Picked, Found]:
        picked = self.trying.pick(IDENTITY_RANKER, person)
        assert picked is not None

        async def asked(scorer: Scorer) -> Found:
            return how(scorer)

        return at_once(self.trying.answer(picked, asked))

    def counts(self, what: int) -> list[int]:
        self.trying.tally.flush(time.time() + 60)
        book = Book(folder_of(self.trying.tally.home, self.trial.rollout), self.trial.rollout.epoch, POLICY)
        book.read(time.time() + 60)
        return [int(each) for each in book.total[..., what].sum(axis=1)]


@dataclass(frozen=True)
class Found:
    """What a matcher would find."""

    scored: Scored | None
    by: str


@dataclass(frozen=True)
class Named:
    """A scorer that nothing is asked of but its name."""

    digest: str
    model: str = IDENTITY_RANKER


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    old, new = (Champion(cast(Scorer, Named(name * 64)), epoch) for name, epoch in (("a", 1), ("b", 7)))
    rollout = Rollout(IDENTITY_RANKER, 7, "a" * 64, "b" * 64, CANARY, 0.25, 8, NOON, POLICY)
    follower = Follower(lambda: Standings({}, {}, {}), lambda digest: old.scorer, lineup={IDENTITY_RANKER: old})
    made = Bench(Trying(follower, Tally(tmp_path), Mirror(), MirrorLog(tmp_path), b"key"), Trial(rollout, old, new))
    made.trying.count = lambda model, outcome: made.counted.update([outcome])
    made.stage(CANARY, 0.25)
    return made


def scored(*probabilities: float) -> Scored:
    values = np.array(probabilities)
    return Scored((), np.empty((len(values), 0)), {}, values, values, [f"p{n}" for n in range(len(values))], None)


def well(scorer: Scorer) -> Found:
    return Found(scored(0.2, 0.7), scorer.digest[0])


def failing(scorer: Scorer) -> Found:
    if scorer.digest[0] == "b":
        raise MemoryError("the challenger's")
    return well(scorer)


def nonsense(scorer: Scorer) -> Found:
    return replace(well(scorer), scored=scored(0.2, float("nan"))) if scorer.digest[0] == "b" else well(scorer)


def test_the_canary_is_answered_by_the_challenger_and_nobody_else_ever_is(bench: Bench) -> None:
    answered = {person: bench.ask(person, well) for person in PEOPLE}
    inside = {person for person in PEOPLE if place(b"key", bench.trial.rollout, person).height < 0.25}
    assert {person for person, (_, found) in answered.items() if found.by == "b"} == inside
    assert all((picked.role == "challenger") == (found.by == "b") for picked, found in answered.values())
    assert bench.counts(ASKED) == [200 - len(inside), len(inside)]


def test_what_is_asked_for_nobody_in_particular_is_the_champions(bench: Bench) -> None:
    bench.stage(CANARY, 0.99)
    picked = bench.trying.pick(IDENTITY_RANKER, "")
    assert picked == Picked(bench.trial.champion)


@pytest.mark.parametrize(("how", "counted"), [(failing, FAILED), (nonsense, WILD)], ids=["fails", "no number"])
def test_a_challenger_that_fails_is_counted_and_the_champion_answers_its_people(
    bench: Bench, how: Callable[[Scorer], Found], counted: int
) -> None:
    answers = [bench.ask(person, how) for person in PEOPLE]
    assert {(picked.role, found.by) for picked, found in answers} == {("champion", "a")}
    assert bench.counts(counted) == [0, bench.counts(ASKED)[CHALLENGER]]


def test_a_request_that_cannot_be_is_nobodys_failure(bench: Bench) -> None:
    def refuse(scorer: Scorer) -> Found:
        raise RequestError("signal", "cannot be")

    for person in PEOPLE[:40]:
        with pytest.raises(RequestError):
            bench.ask(person, refuse)
    assert bench.counts(ASKED) == [0, 0]


def test_in_the_shadow_both_are_asked_again_and_people_hear_the_champion_alone(bench: Bench, tmp_path: Path) -> None:
    bench.stage(SHADOW, 0.0)
    answers = [mirror(bench, person, well) for person in PEOPLE[:50]]
    wait_for(lambda: bench.counted["asked"] + bench.counted["dropped"] == 50 and quiet(bench))
    assert set(answers) == {"a"}
    asked = bench.counted["asked"]
    assert bench.counts(ASKED) == [asked, asked]
    kept = mirrored.read(tmp_path, bench.trial.rollout, date(2026, 5, 2))
    assert len(kept) == 2 * asked
    assert set(kept["option"]) == {"p0", "p1"}
    assert kept["champion"].tolist() == kept["challenger"].tolist()


def test_a_shadow_that_fails_costs_no_answer_and_is_counted(bench: Bench, tmp_path: Path) -> None:
    bench.stage(SHADOW, 0.0)
    assert {mirror(bench, person, failing) for person in PEOPLE[:20]} == {"a"}
    wait_for(lambda: quiet(bench))
    assert bench.counts(FAILED) == [0, 20]
    assert mirrored.read(tmp_path, bench.trial.rollout, date(2026, 5, 2)).empty


def test_what_is_said_before_and_after_the_promotion_is_kept_apart(bench: Bench, tmp_path: Path) -> None:
    before = bench.trial.rollout
    mirror(bench, PEOPLE[0], well)
    wait_for(lambda: quiet(bench))
    bench.stage(WATCH, 1.0)
    mirror(bench, PEOPLE[1], well)
    wait_for(lambda: quiet(bench))
    days = [
        mirrored.read(tmp_path, each, date(2026, 5, 2))["subject"].unique().tolist() for each in (before, bench.trial.rollout)
    ]
    assert days == [[PEOPLE[0]], [PEOPLE[1]]]


def test_a_busy_mirror_drops_questions_and_holds_nobody_up() -> None:
    mirror, free = Mirror(most_waiting=2), threading.Event()
    began = time.thread_time()
    taken = [mirror.offer(lambda: free.wait(20) and None, 1.0) for _ in range(100)]
    assert time.thread_time() - began < 0.05
    assert 2 <= sum(taken) <= 3, "one is being asked, and two wait"
    free.set()
    mirror.close()
    assert not mirror.offer(lambda: None, 1.0)


def test_mirroring_takes_its_share_of_the_time_and_no_more() -> None:
    mirror, busy = Mirror(), []

    def job() -> None:
        began = time.perf_counter()
        time.sleep(0.005)
        busy.append(time.perf_counter() - began)

    began = time.perf_counter()
    for _ in range(40):
        mirror.offer(job, 0.1)
    time.sleep(0.3)
    mirror.close()
    elapsed = time.perf_counter() - began
    assert busy
    assert sum(busy[:-1]) <= 0.15 * elapsed, "the last one's rest was cut short"


def mirror(bench: Bench, person: str, how: Callable[[Scorer], Found]) -> str:
    picked, found = bench.ask(person, how)
    bench.trying.mirror(Mirrored(picked, NOON, person, lambda scorer: how(scorer).scored))
    return found.by


def quiet(bench: Bench) -> bool:
    return bench.trying.again._jobs.empty()


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.05)
