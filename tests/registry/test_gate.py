"""The gate: what it promotes, what it refuses, and when it says that it cannot know."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.bench_gate.made import sound
from registry import gate
from registry.gate import NO_DECISION, PROMOTE, REFUSE, SMALL, Evaluation, Verdict
from registry.policy import POLICY, Policy, PolicyError, asks_a_person, load_policy
from whence.contracts.models import CONVERSION_VALUE, MODELS

POLICY_HERE = replace(load_policy(CONVERSION_VALUE), must_judge=())


def judge(candidate: Evaluation, champion: Evaluation | None, policy: Policy) -> Verdict:
    """The verdict on a candidate of whose making nothing is wrong."""
    return gate.judge(candidate, champion, policy, sound(candidate))


def a_truth(n: int = 4000, seed: int = 0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """True log-odds and labels drawn from them; about a fifth are positive."""
    rng = np.random.default_rng(seed)
    odds = 1.5 * rng.normal(size=n) - 2
    return odds, (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(float)


def an_evaluation(labels: Any, odds: Any, bundle: str = "new", as_of: str = "2026-05-10", **more: Any) -> Evaluation:
    """Four rows a person, three segments, the base rate as baseline."""
    n = len(labels)
    return Evaluation(
        bundle=bundle,
        as_of=as_of,
        labels=labels,
        probability=1 / (1 + np.exp(-np.asarray(odds))),
        baseline=np.full(n, labels.mean() if n else 0.5),
        persons=np.arange(n) // 4,
        **{
            "slices": {"segment": np.array(["search", "social", "video"])[np.arange(n) % 3]},
            "label_age_days": np.full(n, 9.0),
            **more,
        },
    )


def noisy(odds: Any, noise: float, seed: int) -> Any:
    """The log-odds of a model that sees them through noise, shrunk so that it stays calibrated."""
    seen = (odds + 2) + noise * np.random.default_rng(10_000 + seed).normal(size=len(odds))
    shrink = 1.5**2 / (1.5**2 + noise**2)
    rest = 1.5**2 * (1 - shrink)
    return (shrink * seen - 2) / np.sqrt(1 + rest * np.pi / 8)


def test_a_first_candidate_that_beats_the_baseline_is_promoted_with_reasons_in_words() -> None:
    odds, labels = a_truth()
    verdict = judge(an_evaluation(labels, odds), None, POLICY_HERE)

    assert verdict.decision == PROMOTE
    assert any("Against the base rate it saves" in reason and "beaten for sure" in reason for reason in verdict.reasons)
    assert verdict.measures["saved_over_baseline"].low > 0


def test_slices_that_are_too_small_are_one_line_and_no_pass() -> None:
    odds, labels = a_truth()
    segments = np.where(np.arange(len(labels)) < 60, np.arange(len(labels)) // 4, 99).astype(str)
    verdict = judge(an_evaluation(labels, odds, slices={"segment": segments}), None, POLICY_HERE)
    (check,) = (check for check in verdict.checks if check.outcome == SMALL)
    assert check.words.startswith("Of 16 slices 15 are too small to say, and no pass; the largest is segment=0: 4 rows")
    assert sum(each.outcome == SMALL for each in verdict.slices) == 15


def test_the_baseline_itself_is_refused() -> None:
    _, labels = a_truth()
    odds = np.log(labels.mean() / (1 - labels.mean())) + 1e-3 * np.random.default_rng(1).normal(size=len(labels))
    verdict = judge(an_evaluation(labels, odds), None, POLICY_HERE)
    assert verdict.decision == REFUSE
    assert any("the baseline stands" in reason for reason in verdict.reasons)


def test_shuffled_labels_are_refused_every_time() -> None:
    decisions = Counter[str]()
    for seed in range(6):
        odds, labels = a_truth(1000, seed=seed)
        shuffled = noisy(np.random.default_rng(100 + seed).permutation(odds), 1.0, seed)
        decisions[judge(an_evaluation(labels, shuffled), None, POLICY_HERE).decision] += 1
    assert decisions == {REFUSE: 6}


def test_shuffled_labels_are_named_as_what_they_look_like() -> None:
    _, labels = a_truth()
    verdict = judge(an_evaluation(labels, a_truth(seed=9)[0]), None, POLICY_HERE)
    assert any("shuffled labels" in reason for reason in verdict.reasons)


def test_a_constant_is_refused() -> None:
    _, labels = a_truth()
    verdict = judge(an_evaluation(labels, np.full(len(labels), -1.5)), None, POLICY_HERE)
    assert verdict.decision == REFUSE
    assert verdict.reasons == ("It says 0.1824 for every row: it has learnt nothing.",)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -0.1, 1.0, 0.0])
def test_a_probability_that_is_none_is_refused(poison: float) -> None:
    odds, labels = a_truth()
    good = an_evaluation(labels, odds)
    bad = good.probability.copy()
    bad[7] = poison
    verdict = judge(replace(good, probability=bad), None, POLICY_HERE)
    assert (verdict.decision, verdict.reasons) == (REFUSE, ("1 probabilities lie outside 0 to 1.",))


def test_an_inverted_model_is_refused() -> None:
    odds, labels = a_truth()
    assert judge(an_evaluation(labels, -odds), None, POLICY_HERE).decision == REFUSE


def test_a_model_that_orders_well_but_says_twice_too_much_is_refused_for_its_level() -> None:
    odds, labels = a_truth(5000)
    verdict = judge(an_evaluation(labels, odds + 0.9), None, POLICY_HERE)
    assert verdict.decision == REFUSE
    assert any("wrong in level" in reason for reason in verdict.reasons)


def test_a_bundle_that_is_too_big_is_refused() -> None:
    odds, labels = a_truth()
    verdict = judge(an_evaluation(labels, odds, size_bytes=10**9), None, POLICY_HERE)
    assert verdict.decision == REFUSE
    assert "1,000,000,000 bytes" in verdict.reasons[0]
    assert verdict.named("fail") == ("size",)


def test_too_few_rows_decide_nothing_and_the_verdict_says_how_many_would() -> None:
    odds, labels = a_truth(150)
    verdict = judge(an_evaluation(labels, odds), None, POLICY_HERE)
    assert verdict.decision == NO_DECISION
    assert any(
        "150 rows are held out, and 200 are needed; about 200 rows would have them" in reason for reason in verdict.reasons
    )


def test_no_rows_at_all_decide_nothing() -> None:
    verdict = judge(an_evaluation(np.empty(0), np.empty(0)), None, POLICY_HERE)
    assert verdict.decision == NO_DECISION


def test_rows_without_a_positive_decide_nothing() -> None:
    odds, _ = a_truth(2000)
    verdict = judge(an_evaluation(np.zeros(2000), odds), None, POLICY_HERE)
    assert verdict.decision != PROMOTE


def test_a_challenger_that_is_better_for_sure_is_promoted_and_a_worse_one_refused() -> None:
    odds, labels = a_truth(5000)
    good, bad = an_evaluation(labels, noisy(odds, 0.4, 1), "good"), an_evaluation(labels, noisy(odds, 1.2, 2), "bad")

    assert judge(good, bad, POLICY_HERE).decision == PROMOTE
    verdict = judge(bad, good, POLICY_HERE)
    assert verdict.decision == REFUSE
    assert any("worse for sure" in reason for reason in verdict.reasons)


def test_the_champion_itself_is_refused_byte_for_byte() -> None:
    odds, labels = a_truth()
    same = an_evaluation(labels, odds)
    assert judge(same, same, POLICY_HERE).reasons == ("It is the champion already, byte for byte.",)


def test_of_two_equals_only_the_fresher_replaces_the_champion() -> None:
    odds, labels = a_truth(5000)
    champion = an_evaluation(labels, odds, "old", as_of="2026-05-09")

    same_day = judge(an_evaluation(labels, odds, as_of="2026-05-09"), champion, POLICY_HERE)
    assert same_day.decision == REFUSE
    assert any("neither fresher nor better_calibrated" in reason for reason in same_day.reasons)

    next_day = judge(an_evaluation(labels, odds, as_of="2026-05-10"), champion, POLICY_HERE)
    assert next_day.decision == PROMOTE
    assert any("fresher by 1 day of data" in reason for reason in next_day.reasons)


def test_not_worse_is_counted_in_what_the_champion_saves_when_that_is_more() -> None:
    """A champion that saves much may be followed by one within 5 % of that, on rows too few to see 1 % of its small loss."""
    odds, labels = a_truth(2000)
    champion = an_evaluation(labels, noisy(odds, 0.30, 1), "old", as_of="2026-05-09")
    fresher = an_evaluation(labels, noisy(odds, 0.30, 2))
    strict = replace(POLICY_HERE, inferior_margin=0.001, inferior_saving=0.0)
    assert judge(fresher, champion, strict).decision == NO_DECISION
    assert judge(fresher, champion, replace(strict, inferior_saving=0.2)).decision == PROMOTE


def test_a_champion_that_lost_its_level_gives_way_to_one_that_kept_it() -> None:
    odds, labels = a_truth(1200, seed=3)
    policy = replace(POLICY_HERE, inferior_margin=0.2)
    stale = an_evaluation(labels, noisy(odds, 0.3, 5) - 0.25, "old")
    verdict = judge(an_evaluation(labels, noisy(odds, 0.5, 4)), stale, policy)
    assert verdict.decision == PROMOTE
    assert any("better calibrated" in reason or "better for sure" in reason for reason in verdict.reasons)


def test_a_champion_that_has_seen_the_rows_is_no_fair_opponent() -> None:
    odds, labels = a_truth()
    champion = an_evaluation(labels, odds, "old", as_of="2026-05-12")
    verdict = judge(an_evaluation(labels, odds), champion, POLICY_HERE)
    assert verdict.decision == REFUSE
    assert "Train one as of 2026-05-12 or later" in verdict.reasons[0]


def test_one_segment_that_loses_for_sure_stops_a_better_whole() -> None:
    odds, labels = a_truth(6000)
    champion = an_evaluation(labels, noisy(odds, 1.0, 1), "old")
    better = noisy(odds, 0.1, 2)
    is_video = np.arange(6000) % 3 == 2
    better[is_video] = np.random.default_rng(3).permutation(better[is_video])
    verdict = judge(an_evaluation(labels, better), champion, POLICY_HERE)
    assert verdict.decision == REFUSE
    assert any("In segment=video" in reason for reason in verdict.reasons)


@pytest.mark.service
def test_many_segments_of_noise_stop_an_honest_candidate_seldom() -> None:
    stopped = 0
    for seed in range(8):
        odds, labels = a_truth(4500, seed=seed)
        segments = np.array([f"s{number:02}" for number in range(15)])[np.arange(4500) % 15]
        champion = an_evaluation(labels, noisy(odds, 0.6, seed), "old", as_of="2026-05-09", slices={"segment": segments})
        verdict = judge(an_evaluation(labels, noisy(odds, 0.6, 50 + seed), slices={"segment": segments}), champion, POLICY_HERE)
        stopped += any(check.name.startswith("slice") and check.outcome == "fail" for check in verdict.checks)
    assert stopped <= 1


def test_candidate_and_champion_on_different_rows_are_no_comparison() -> None:
    odds, labels = a_truth()
    with pytest.raises(ValueError, match="different rows"):
        judge(an_evaluation(labels, odds), an_evaluation(1 - labels, odds, "old"), POLICY_HERE)


def test_a_verdict_comes_back_from_json_as_it_was() -> None:
    odds, labels = a_truth(200)
    for verdict in (
        judge(an_evaluation(labels, odds), None, POLICY_HERE),
        judge(an_evaluation(np.zeros(200), odds), None, POLICY_HERE),
    ):
        again = Verdict.from_dict(json.loads(json.dumps(verdict.as_dict())))
        assert again.digest == verdict.digest
        assert again.decision == verdict.decision


def test_every_model_has_a_policy() -> None:
    assert all(isinstance(load_policy(model), Policy) for model in MODELS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("min_rows = 200", "min_rowz = 200"), "'min_rowz' is unknown"),
        (('approval = "automatic"', 'approval = "nobody"'), "approval of conversion-value cannot be 'nobody'"),
        (("must_judge = []", 'must_judge = ["region=north"]'), "names a slice of 'region'"),
        (('gains = ["fresher"', 'gains = ["cheaper"'), "no gain 'cheaper'"),
        (("min_rows = 200", 'min_rows = "many"'), r"policy.toml: \[all\] min_rows must be int, and is 'many'"),
        (("[conversion-value]", "[conversion-value"), "policy.toml is no TOML"),
        (("[conversion-value]", "[conversion-valeu]"), r"a section \[conversion-valeu\], and no model"),
    ],
)
def test_a_policy_that_cannot_be_is_named(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    (tmp_path / "policy.toml").write_text(POLICY.read_text().replace(*change))
    with pytest.raises(PolicyError, match=said):
        load_policy(CONVERSION_VALUE, tmp_path)


def test_the_platforms_own_policy_overrides_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text('[all]\nmin_rows = 900\n[conversion-value]\napproval = "person"\n')
    own = load_policy(CONVERSION_VALUE, tmp_path)
    assert own == replace(load_policy(CONVERSION_VALUE), min_rows=900, approval="person")
    assert asks_a_person(tmp_path) == {CONVERSION_VALUE: own.approval_hours}
