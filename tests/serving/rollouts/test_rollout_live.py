"""A challenger that passes the gate meets the world: a real service, journal and online store, whole rollouts by themselves."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

import monitoring
import registry
from infra import show
from infra.journal_commands import entry
from registry import gate, rollouts
from registry.following import under_way
from registry.journal import Journal
from registry.judging import verdict_on
from registry.rollouts import WATCH, Rollout
from registry.succession import ABORT, CANARY, FINISH, PROMOTE, SHADOW, Promotion
from serving.rollouts import mirrored
from serving.rollouts.labelling import look_at_labels
from serving.rollouts.rollout import LEVEL, LOSS, SCORES, WORDS, place
from tests.builders import some_settings
from tests.serving import little_world
from tests.serving.little_world import DAY, Signals, a_bundle, a_candidate, put_labels, put_online, questions
from tests.serving.live import client, free_ports, running, wait_for_bundle
from whence.bundle import signing_key
from whence.contracts.models import IDENTITY_RANKER
from whence.contracts.settings import Settings

pytestmark = pytest.mark.service

SIGNALS = Signals("live", 800, 3)
POLICY = """
[all]
mode = "staged"
answers = 100
looks = 3
shares = [0.25, 0.5]
labelled_people = 300
least_hours = 0.0
slow_ms = 1000.0       # the machine of a test is not the model's fault
mirror_duty = 1.0
shift = 1.0            # the challenger knows more than the champion, so its scores spread wider
"""


@dataclass
class Traffic:
    """Callers who ask of signal after signal, and who was answered by what."""

    asked: httpx.Client
    answers: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    """By the rollout's number: each answer, with the person who got it."""
    _next: Iterator[int] = field(default_factory=lambda: itertools.cycle(range(SIGNALS.count)))

    def until(self, done: Callable[[], bool], number: int, seconds: float = 90.0) -> None:
        """Ask, with pauses, until it is done."""
        deadline, bodies = time.monotonic() + seconds, questions(SIGNALS)
        while not done():
            assert time.monotonic() < deadline, "the rollout does not move on"
            for signal in itertools.islice(self._next, 40):
                answer = self.asked.post("/v1/match", json=bodies[signal])
                assert answer.status_code == 200, answer.text
                self.answers.setdefault(number, []).append({**answer.json(), "person": f"cookie_id:c{signal}"})
            time.sleep(0.2)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = some_settings(tmp_path, ports=free_ports())
    made.home.mkdir(parents=True)
    (tmp_path / "whence.toml").write_text(
        f"[ports]\nserving = {made.ports.serving}\nserving_admin = {made.ports.serving_admin}\n"
    )
    (made.home / "rollout.toml").write_text(POLICY)
    champion = a_bundle(made.bundles, little_world.CHAMPION)
    Journal.of(made).promote(IDENTITY_RANKER, champion, "", ("the first",), "tests", 0, datetime.now(UTC))
    put_labels(made, SIGNALS)
    return made


def test_a_challenger_that_the_gate_lets_pass_is_found_out_online_and_takes_over_once_its_world_is_as_it_learned(
    settings: Settings,
) -> None:
    journal = Journal.of(settings)
    first = journal.champion(IDENTITY_RANKER)
    assert first is not None
    candidate = a_candidate(settings, a_bundle(settings.bundles, little_world.CHALLENGER))
    verdict = verdict_on(settings, candidate, first)
    assert verdict.decision == gate.PROMOTE, verdict.reasons

    put_online(settings, SIGNALS, age=timedelta(days=5))
    with running(settings), client(settings) as asked:
        wait_for_bundle(settings, first.bundle)
        traffic = Traffic(asked)

        broken = followed(
            settings,
            traffic,
            start(settings, a_bundle(settings.bundles, little_world.BROKEN), "it needs a feature that nobody serves"),
        )
        assert kinds(journal, broken) == [SHADOW, ABORT]
        assert "answers failed, and 0 of the champion's" in last(journal).reasons[0]
        assert (datetime.fromisoformat(last(journal).at) - broken.since).total_seconds() < 30
        assert {each["bundle"] for each in traffic.answers[broken.number]} == {first.bundle}

        row = registry.promote(settings, candidate, verdict, "the gate", datetime.now(UTC))
        assert row is not None
        stale = followed(settings, traffic, row)
        assert kinds(journal, stale) == [SHADOW, ABORT]
        assert WORDS[SCORES] in last(journal).reasons[0], "what it learned from is too old online, and nobody saw an answer of it"
        assert {each["bundle"] for each in traffic.answers[stale.number]} == {first.bundle}

        put_online(settings, SIGNALS, factor=0.5, age=timedelta(hours=5))
        drifted = followed(
            settings, traffic, start(settings, candidate.bundle, "features are fresh again, and half of what they were")
        )
        assert kinds(journal, drifted) == [SHADOW, CANARY, CANARY, ABORT]
        reason = last(journal).reasons[0]
        assert "In the canary of 50 %" in reason
        assert WORDS[LOSS] in reason or WORDS[LEVEL] in reason
        told = last(journal).details["evidence"]
        assert told["labels"]["people"] >= 300
        assert told["labels"]["expected"]["challenger"] < 0.8 * told["labels"]["positives"]
        only_the_canary_was_answered(settings, drifted, traffic)

        put_online(settings, SIGNALS, age=timedelta(hours=4))
        good = followed(settings, traffic, start(settings, candidate.bundle, "features are as it learned them"))
        assert kinds(journal, good) == [SHADOW, CANARY, CANARY, FINISH, PROMOTE]
        only_the_canary_was_answered(settings, good, traffic)
        wait_for_bundle(settings, candidate.bundle)
        traffic.until(lambda: len(traffic.answers.get(0, ())) >= 50, 0)
        assert {each["bundle"] for each in traffic.answers[0]} == {candidate.bundle}
    show.rows([entry(row) for row in journal.rows(IDENTITY_RANKER)], as_json=False, title="The journal")  # for pytest -s
    assert journal.verify() == 14
    row = journal.champion(IDENTITY_RANKER)
    assert row is not None
    assert (row.bundle, row.who) == (candidate.bundle, "rollout")


def start(settings: Settings, bundle: str, reason: str) -> Promotion:
    """Send it by hand: what was aborted is not tried again by itself."""
    return rollouts.start(settings, IDENTITY_RANKER, bundle, (reason,), "ann", datetime.now(UTC))


def followed(settings: Settings, traffic: Traffic, row: Promotion) -> Rollout:
    """Let callers ask until the rollout ends; the day's look at labels comes in the last canary."""
    journal = Journal.of(settings)
    begun = under_way(journal, datetime.now(UTC)).get(IDENTITY_RANKER)
    assert begun is not None
    assert begun.epoch == row.epoch

    def is_over() -> bool:
        now = under_way(journal, datetime.now(UTC)).get(IDENTITY_RANKER)
        if now is None or now.stage == WATCH:
            return True
        if now.share == now.policy.shares[-1] and not looked and len(mirrored.read(settings.home, now, DAY.last)) > 800:
            looked.append(look_at_labels(settings, DAY, monitoring.outcomes, datetime.now(UTC)))
        return False

    looked: list[dict[str, str]] = []
    traffic.until(is_over, begun.number)
    if (
        under_way(journal, datetime.now(UTC)).get(IDENTITY_RANKER) is None
    ):  # the service hears of it from the journal, a moment later
        traffic.until(lambda: traffic.answers[begun.number][-1]["arm"] is None, begun.number)
    return begun


def only_the_canary_was_answered(settings: Settings, rollout: Rollout, traffic: Traffic) -> None:
    """The challenger's answers went to people below the largest share, and to each of them by what the answer says."""
    answers = [each for each in traffic.answers[rollout.number] if each["arm"]]
    theirs = {each["person"] for each in answers if each["arm"] == "challenger"}
    assert {each["bundle"] for each in answers if each["arm"] == "challenger"} == {rollout.challenger}
    told = [each["bundle"] for each in answers if each["arm"] == "champion"]
    promoted = told.index(rollout.challenger) if rollout.challenger in told else len(told)
    assert set(told[:promoted]) == {rollout.champion}
    assert set(told[promoted:]) <= {rollout.challenger}
    key = signing_key(settings.bundles)
    outside = {each for each in {a["person"] for a in answers} if place(key, rollout, each).height >= rollout.policy.shares[-1]}
    assert len(theirs) > 50
    assert len(outside) > 50
    assert theirs & outside == set()


def kinds(journal: Journal, rollout: Rollout) -> list[str]:
    """The rows of the rollout, from its first to the next one's."""
    rows = [row for row in journal.rows(IDENTITY_RANKER) if row.epoch >= rollout.number]
    following = next((place for place, row in enumerate(rows[1:], start=1) if row.kind == SHADOW), len(rows))
    return [row.kind for row in rows[:following]]


def last(journal: Journal) -> Promotion:
    return journal.rows(IDENTITY_RANKER)[-1]
