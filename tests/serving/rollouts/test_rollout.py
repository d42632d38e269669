"""On paper: who is in the canary, and what follows from the evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.rollouts import WATCH, Rollout, RolloutError, Step, load_policy
from registry.succession import ABORT, CANARY, FINISH, PROMOTE, ROLLBACK, SHADOW
from serving.rollouts.rollout import OF_ANSWERS, OF_LABELS, Evidence, next_step, place
from whence.contracts.models import EXPOSURE_RESPONSE, IDENTITY_RANKER
from whence.measures.arms import CHALLENGER, CHAMPION, GROUPS
from whence.measures.sequential import Look

NOON = datetime(2026, 5, 2, 12, tzinfo=UTC)
POLICY = load_policy(IDENTITY_RANKER)
KEY = b"a key of tests"
SHADOWED = Rollout(IDENTITY_RANKER, 7, "a" * 64, "b" * 64, SHADOW, 0.0, 7, NOON, POLICY)
HALFWAY, DONE, OFF = Look(0.5, 0.0), Look(1.0, 0.0), Look(1.0, 9.0)


def canary(share: float) -> Rollout:
    return replace(SHADOWED, stage=CANARY, share=share, epoch=8)


def evidence(look: Look, labels: Look | None = None, **other: Look) -> Evidence:
    answers: Mapping[str, list[Look]] = {name: [other.get(name, look)] for name in OF_ANSWERS}
    return Evidence(answers, {name: [labels] for name in OF_LABELS} if labels else {})


def later(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


def step(rollout: Rollout, found: Evidence, hours: float = 2.0) -> Step | None:
    return next_step(rollout, found, later(hours))


@given(st.text(min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_whoever_is_in_the_canary_stays_in_when_its_share_is_raised(person: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    stands = place(KEY, SHADOWED, person)
    assert stands == place(KEY, canary(0.05), person)
    assert stands.arm(low) == CHAMPION or stands.arm(high) == CHALLENGER
    assert (stands.arm(0.0), stands.arm(1.0)) == (CHAMPION, CHALLENGER)


def test_the_canary_has_its_share_of_the_people_and_every_group_has_people_of_both() -> None:
    places = [place(KEY, SHADOWED, f"person:{number}") for number in range(20_000)]
    inside = [each for each in places if each.arm(0.05) == CHALLENGER]
    assert 0.044 < len(inside) / len(places) < 0.056
    assert {each.group for each in inside} == {each.group for each in places} == set(range(GROUPS))


def test_another_rollout_or_another_key_draws_other_people() -> None:
    people = [f"person:{number}" for number in range(2000)]
    this = {each for each in people if place(KEY, SHADOWED, each).arm(0.25)}
    for other in (place_of_next, place_of_other_key):
        shared = len(this & {each for each in people if other(each)}) / len(this)
        assert 0.18 < shared < 0.32


def place_of_next(person: str) -> bool:
    return place(KEY, replace(SHADOWED, number=8), person).arm(0.25) == CHALLENGER


def place_of_other_key(person: str) -> bool:
    return place(b"another", SHADOWED, person).arm(0.25) == CHALLENGER


def test_a_good_challenger_goes_stage_by_stage_to_all_traffic() -> None:
    first = step(SHADOWED, evidence(DONE))
    second = step(canary(0.05), evidence(DONE))
    last = step(canary(0.25), evidence(DONE, DONE))
    assert [(each.kind, each.share) for each in (first, second, last) if each] == [(CANARY, 0.05), (CANARY, 0.25), (FINISH, 0.25)]
    finished = replace(canary(0.25), stage=FINISH)
    assert next_step(finished, Evidence(), later(0)) == Step(PROMOTE, ("Every stage of its rollout is behind it without harm.",))


@pytest.mark.parametrize("rollout", [SHADOWED, canary(0.05), canary(0.25)], ids=["shadow", "5 %", "25 %"])
@pytest.mark.parametrize("check", OF_ANSWERS)
def test_a_harm_to_answers_aborts_in_every_stage_at_any_age(rollout: Rollout, check: str) -> None:
    found = step(rollout, evidence(HALFWAY, **{check: OFF}), hours=0)
    assert found is not None
    assert (found.kind, found.share) == (ABORT, 0.0)
    assert "9.0 standard errors" in found.reasons[0]
    assert found.evidence is not None
    assert found.evidence["looks"][check] == [[1.0, 9.0]]


def test_a_harm_to_labels_aborts_before_the_promotion_and_rolls_back_after_it() -> None:
    before, after = (
        step(canary(0.25), evidence(DONE, OFF)),
        step(replace(canary(0.25), stage=WATCH, share=1.0), evidence(DONE, OFF)),
    )
    assert (before and before.kind, after and after.kind) == (ABORT, ROLLBACK)


def test_what_is_broken_does_not_wait_for_a_look() -> None:
    found = step(SHADOWED, Evidence(broken=("3 of its scores are no numbers",)), hours=0)
    assert found == Step(
        ABORT,
        ("In the shadow, 3 of its scores are no numbers.",),
        0.0,
        {"looks": {}, "broken": ["3 of its scores are no numbers"]},
    )


def test_a_stage_lasts_its_least_time_and_until_all_of_its_evidence_is_in() -> None:
    assert step(SHADOWED, evidence(DONE), hours=0.5) is None
    assert step(SHADOWED, evidence(HALFWAY)) is None
    assert step(SHADOWED, Evidence()) is None


def test_only_the_last_canary_waits_for_labels() -> None:
    assert step(canary(0.05), evidence(DONE, HALFWAY)) is not None
    assert step(canary(0.25), evidence(DONE, HALFWAY)) is None
    assert step(canary(0.25), evidence(DONE)) is None
    unlabelled = step(replace(canary(0.25), policy=replace(POLICY, labelled_people=0)), evidence(DONE))
    assert unlabelled is not None
    assert unlabelled.kind == FINISH


def test_too_little_evidence_in_the_longest_time_leaves_the_champion() -> None:
    found = step(canary(0.25), evidence(DONE, HALFWAY), hours=POLICY.most_hours)
    assert found is not None
    assert found.kind == ABORT
    assert found.reasons == (
        "After 336 h of canary of 25 % there is too little evidence on log loss, calibration. The champion stays.",
    )


def test_a_watch_without_harm_asks_for_nothing() -> None:
    assert step(replace(SHADOWED, stage=WATCH, share=1.0), evidence(DONE, DONE), hours=1000) is None


def test_the_platforms_own_policy_overrides_key_by_key_and_nonsense_is_named(tmp_path: Path) -> None:
    (tmp_path / "rollout.toml").write_text(f'[all]\nmode = "staged"\n[{IDENTITY_RANKER}]\nanswers = 60\n')
    own = load_policy(IDENTITY_RANKER, tmp_path)
    assert own == replace(POLICY, mode="staged", answers=60)
    assert load_policy(EXPOSURE_RESPONSE, tmp_path).mode == "direct"
    (tmp_path / "rollout.toml").write_text("[all]\nshares = [0.25, 0.05]\n")
    with pytest.raises(RolloutError, match="shares cannot be"):
        load_policy(IDENTITY_RANKER, tmp_path)
    (tmp_path / "rollout.toml").write_text("[all]\nshadow = 1\n")
    with pytest.raises(RolloutError, match="knows no 'shadow'"):
        load_policy(EXPOSURE_RESPONSE, tmp_path)
