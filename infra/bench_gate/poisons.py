"""Candidates that must not reach traffic, each with the check that has to stop it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.special import expit, logit

from infra.bench_gate.made import END, HOUR
from infra.bench_gate.world import CHANNEL, TEACH, TEST, Case, Floats, evaluated, evidence_of, insisted, levelled, said, trained
from registry.gate import FAIL, NO_DECISION, REFUSE, UNSURE, Finding, Learned, Retrieved, Verdict
from whence.contracts.models import ATTRIBUTION_RANKER, IDENTITY_RANKER, MODELS
from whence.measures import log_losses

Spoil = Callable[[Case], Case]
RANKERS = (IDENTITY_RANKER, ATTRIBUTION_RANKER)
INSISTED = "the slice that the policy insists on"


@dataclass(frozen=True)
class Poison:
    """A way to spoil a good case, and how the gate must answer."""

    name: str
    spoil: Spoil
    check: str
    """The check that must stop it …"""
    decision: str = REFUSE
    models: tuple[str, ...] = MODELS
    others: Mapping[str, str] = field(default_factory=dict)
    """… and of these models another."""

    def stopped_by(self, model: str) -> str:
        """The check that must stop it for a model."""
        if self.check == INSISTED:
            return f"slice {insisted(model)}"
        return self.others.get(model, self.check)

    def is_caught(self, verdict: Verdict, model: str) -> bool:
        """Whether a verdict is the right one, for the right reason."""
        outcome = FAIL if self.decision == REFUSE else UNSURE
        return verdict.decision == self.decision and self.stopped_by(model) in verdict.named(outcome)


def poisons(model: str) -> list[Poison]:
    """All that a model's policy is tried against."""
    return [each for each in POISONS if model in each.models]


def _answers(change: Callable[[Case], Floats]) -> Spoil:
    """Other probabilities on the same rows."""
    return lambda case: replace(case, candidate=replace(case.candidate, probability=change(case)))


def _evaluation(**more: Any) -> Spoil:
    return lambda case: replace(case, candidate=replace(case.candidate, **more))


def _evidence(change: Callable[[Case], Mapping[str, Any]]) -> Spoil:
    return lambda case: replace(case, evidence=replace(case.evidence, **change(case)))


def _odds(case: Case) -> Floats:
    return np.asarray(logit(np.clip(case.candidate.probability, 1e-6, 1 - 1e-6)))


def _noise() -> np.random.Generator:
    return np.random.default_rng(1)


def _taught(case: Case, labels: Floats, **parameters: Any) -> Floats:
    """The probabilities of a model that was taught these labels."""
    teach = case.world.of(TEACH)
    booster = trained(case.world.inputs[teach], labels[teach], **parameters)
    return said(booster, levelled(case.world, booster), case.inputs)


def _shuffled(case: Case) -> Floats:
    return _taught(case, _noise().permutation(case.world.labels))


def _flipped(case: Case) -> Floats:
    """Four labels in ten were taught as the opposite."""
    labels = case.world.labels
    return _taught(case, np.where(_noise().random(len(labels)) < 0.4, 1 - labels, labels))


def _with_column(case: Case, column: Floats) -> Case:
    """A model that was given one more input."""
    world = case.world
    inputs = np.column_stack([world.inputs, column])
    teach = world.of(TEACH)
    booster = trained(inputs[teach], world.labels[teach])
    level = levelled(world, booster, inputs)
    candidate = evaluated(world, "leaky", said(booster, level, inputs[world.of(TEST)]))
    return replace(case, candidate=candidate, evidence=evidence_of(world, candidate, inputs, ("later",)))


def _leaked(case: Case) -> Case:
    return _with_column(case, case.world.labels + 0.01 * _noise().normal(size=len(case.world.labels)))


def _leaked_an_hour(case: Case) -> Case:
    """An input that knows what happened within an hour of the row."""
    soon = (case.world.labels > 0) & (case.world.delay_days <= 1 / 24)
    return _with_column(case, soon + 0.01 * _noise().normal(size=len(soon)))


def _leaked_category(case: Case) -> Case:
    """A category that is set when the label comes, as an order's state is."""
    left = _with_column(case, case.world.labels * 3 + _noise().integers(0, 3, len(case.world.labels)))
    return replace(left, evidence=replace(left.evidence, categories=frozenset({"channel", "later"})))


def _nan_leaf(case: Case) -> Case:
    import lightgbm

    # without their sizes trees are read one after another, whatever their length
    lines = [each for each in case.booster.model_to_string().splitlines() if not each.startswith("tree_sizes=")]
    first = next(at for at, each in enumerate(lines) if each.startswith("leaf_value="))
    lines[first] = "leaf_value=nan " + lines[first].partition(" ")[2]
    booster = lightgbm.Booster(model_str="\n".join(lines) + "\n")
    raw = booster.predict(case.inputs, raw_score=True)
    probability = np.asarray(case.level.apply(raw, case.inputs), dtype=np.float64)
    return replace(case, candidate=replace(case.candidate, probability=probability, unscored=int(np.isnan(raw).sum())))


def _swapped_columns(case: Case) -> Floats:
    return said(case.booster, case.level, case.inputs[:, [4, 3, 2, 1, 0, CHANNEL]])


def _zero_filled(case: Case) -> Floats:
    inputs = case.inputs.copy()
    inputs[:, 0] = 0.0
    return said(case.booster, case.level, inputs)


def _truncated(case: Case) -> Floats:
    raw = case.booster.predict(case.inputs, raw_score=True, num_iteration=1)
    return np.asarray(case.level.apply(raw, case.inputs), dtype=np.float64)


def _half_truncated(case: Case) -> Floats:
    raw = case.booster.predict(case.inputs, raw_score=True, num_iteration=8)
    return np.asarray(case.level.apply(raw, case.inputs), dtype=np.float64)


def _overfit(case: Case) -> Floats:
    """Leaves of a single row, and no calibrator that would hide it."""
    world = case.world
    teach = world.of(TEACH)
    booster = trained(world.inputs[teach], world.labels[teach], 300, num_leaves=63, min_data_in_leaf=1, learning_rate=0.3)
    return np.asarray(np.clip(booster.predict(case.inputs), 1e-9, 1 - 1e-9), dtype=np.float64)


def _recentred(odds: Floats, mean: float) -> Floats:
    """Probabilities of these log-odds, shifted until their mean is right."""
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if expit(odds + middle).mean() < mean else (low, middle)
    return np.asarray(expit(odds + (low + high) / 2))


def _stretched(by: float) -> Callable[[Case], Floats]:
    return lambda case: _recentred(by * _odds(case), float(case.candidate.probability.mean()))


def _times(factor: float) -> Callable[[Case], Floats]:
    """The level off by a factor, in the odds, so that probabilities stay below one."""
    return lambda case: _recentred(_odds(case), min(factor * float(case.candidate.labels.mean()), 0.95))


def _two_values(case: Case) -> Floats:
    p = case.candidate.probability
    is_high = p > np.quantile(p, 0.8)
    return np.asarray(np.where(is_high, p[is_high].mean(), p[~is_high].mean()), dtype=np.float64)


def _rounded(case: Case) -> Floats:
    return np.clip(np.round(case.candidate.probability * 5) / 5, 0.02, 0.98)


def _broken_in(column: str, value: str) -> Callable[[Case], Floats]:
    def change(case: Case) -> Floats:
        p, here = case.candidate.probability.copy(), case.candidate.slices[column] == value
        p[here] = _noise().permutation(p[here])
        return p

    return change


def _broken_segment(case: Case) -> Case:
    """The segment that the policy insists on has its answers mixed up, and all else is better than it could be."""
    first = case.policy.must_judge[0].partition("=")[2]
    return _answers(_broken_in("segment", first))(case)


def _same_bytes(case: Case) -> Case:
    assert case.champion is not None
    return replace(case, candidate=replace(case.candidate, bundle=case.champion.bundle))


def _exchanged(case: Case) -> Case:
    """The champion stands for the candidate, and the candidate for the champion."""
    assert case.champion is not None
    return replace(case, candidate=case.champion, champion=case.candidate)


def _worse_of_two(case: Case) -> Case:
    """The same on one day, and surely the worse one: its model is of a few rounds."""
    assert case.champion is not None
    champion = replace(case.candidate, bundle="good", as_of=case.champion.as_of)
    return replace(case, candidate=replace(case.candidate, probability=_half_truncated(case)), champion=champion)


def _learned(case: Case, **more: Any) -> Learned:
    learned = case.evidence.learned
    assert learned is not None
    return replace(learned, **more)


def _taught_by_the_test(case: Case) -> Case:
    """It learned from the very rows that judge it."""
    world = case.world
    rows = world.of(TEACH) | world.of(TEST)
    booster = trained(world.inputs[rows], world.labels[rows], num_leaves=31, min_data_in_leaf=5)
    candidate = replace(case.candidate, bundle="seen", probability=said(booster, levelled(world, booster), case.inputs))
    learned = _learned(case, rows=np.concatenate([_learned(case).rows, case.evidence.rows]))
    return replace(case, candidate=candidate, evidence=replace(case.evidence, learned=learned))


def _renamed_test_rows(case: Case) -> Mapping[str, Any]:
    return {"learned": _learned(case, content=case.evidence.content)}


def _by_time(case: Case, hours: int) -> Mapping[str, Any]:
    """Parts that nothing but time keeps apart, and rows that taught in the days that judge."""
    learned = _learned(case, seen_at=np.full(len(case.evidence.rows), case.evidence.seen_at.min() + hours * HOUR))
    return {"is_by_person": False, "learned": learned}


def _duplicated(case: Case) -> Case:
    """The rows are there three times, so that intervals look narrow: every copy as a person of its own."""
    n = len(case.candidate.labels)
    some = np.tile(np.arange(n // 3), 3)
    return _only(case, some, persons=np.arange(len(some)).astype(str))


def _few(rows: int) -> Spoil:
    return lambda case: _only(case, np.arange(rows))


def _only(case: Case, chosen: Any, **more: Any) -> Case:
    """The case on these rows alone; retrieval stays as it was measured."""

    def cut(side: Any) -> Any:
        names = ("labels", "probability", "baseline", "persons", "label_age_days")
        part = {name: getattr(side, name)[chosen] for name in names}
        slices = {name: values[chosen] for name, values in side.slices.items()}
        queries = None if side.queries is None else side.queries[chosen]
        return replace(side, **{**part, "slices": slices, "queries": queries, **more})

    names = ("rows", "persons", "content", "seen_at", "delay_days", "features")
    evidence = replace(case.evidence, **{name: getattr(case.evidence, name)[chosen] for name in names})
    champion = None if case.champion is None else cut(case.champion)
    return replace(case, candidate=cut(case.candidate), champion=champion, evidence=evidence)


def _one_holds_most(case: Case) -> Case:
    persons = np.where(np.arange(len(case.candidate.labels)) % 10 < 8, "one", case.candidate.persons)
    assert case.champion is not None
    return replace(case, candidate=replace(case.candidate, persons=persons), champion=replace(case.champion, persons=persons))


def _sandbagged(case: Case) -> Case:
    """The first candidate, against a baseline that says the opposite of what it knows."""
    against = np.clip(1 - case.candidate.baseline, 0.02, 0.98)
    return replace(case, candidate=replace(case.candidate, baseline=against), champion=None)


def _unripe_negatives(case: Case) -> Case:
    ages = np.where(case.candidate.labels > 0, 4.0, 1.0)
    assert case.champion is not None
    return replace(
        case,
        candidate=replace(case.candidate, label_age_days=ages),
        champion=replace(case.champion, label_age_days=ages),
    )


def _riper_for_one(case: Case) -> Case:
    assert case.champion is not None
    assert case.champion.label_age_days is not None
    return replace(case, champion=replace(case.champion, label_age_days=case.champion.label_age_days + 3))


def _unseen(case: Case) -> Mapping[str, Any]:
    features = case.evidence.features.copy()
    features[::2, CHANNEL] = -1.0
    return {"features": features}


def _infinite(case: Case) -> Mapping[str, Any]:
    features = case.evidence.features.copy()
    features[5, 1] = np.inf
    return {"features": features}


def _finding(metric: str) -> Mapping[str, Any]:
    reason = f"{metric}: expected about 0.01 (as on 9 clean days before), and 0.4 of 9,000 rows came."
    return {"findings": (Finding("touches", "warn", metric, "all", reason),)}


def _retrieves(change: Callable[[Case], Any]) -> Spoil:
    return _evidence(lambda case: {"retrieved": change(case)})


def _shorter_list(case: Case) -> Case:
    return replace(case, candidate=replace(case.candidate, most_candidates=5))


def _lost(case: Case) -> Retrieved:
    retrieved = case.evidence.retrieved
    assert retrieved is not None
    return replace(retrieved, place=np.where(np.arange(len(retrieved.place)) % 5 == 0, retrieved.place, np.nan))


def _worse_order(case: Case) -> Floats:
    """In each query the two first change places: the level stays, and so does nearly all of the loss."""
    p, queries = case.candidate.probability.copy(), case.candidate.queries
    assert queries is not None
    order = np.lexsort((-p, queries))
    first = np.flatnonzero(np.append(True, queries[order][1:] != queries[order][:-1]))
    a, b = order[first], order[first + 1]
    p[a], p[b] = p[b], p[a]
    return p


def _no_better_twin(case: Case) -> Case:
    """The same answers but for a breath of luck, of the same day: nothing is gained."""
    assert case.champion is not None
    odds = _odds(case) + 0.01 * _noise().normal(size=len(case.candidate.labels))
    champion = replace(case.champion, as_of=case.candidate.as_of, probability=np.asarray(expit(odds)))
    return replace(case, champion=champion)


def _nobody_of(case: Case) -> Case:
    """Not one row of a slice that the policy insists on."""
    first = case.policy.must_judge[0].partition("=")[2]
    return _only(case, np.flatnonzero(case.candidate.slices["segment"] != first))


def _half_labels(case: Case) -> Case:
    labels = case.candidate.labels.copy()
    labels[3] = 0.5
    assert case.champion is not None
    return replace(case, candidate=replace(case.candidate, labels=labels), champion=replace(case.champion, labels=labels))


def _one_sided_confidence(case: Case) -> Floats:
    """Sure of itself where it is wrong: the worst hundredth of the rows is said with all confidence."""
    p = case.candidate.probability.copy()
    worst = np.argsort(-log_losses(case.candidate.labels, p))[: len(p) // 25]
    p[worst] = np.where(case.candidate.labels[worst] > 0, 1e-6, 1 - 1e-6)
    return p


AT_ONCE = dict.fromkeys(RANKERS, "leak: a feature")
"""Where labels are known at once, an hour ahead is the label itself."""

POISONS = (
    Poison("labels shuffled in training", _answers(_shuffled), "baseline"),
    Poison("four labels in ten flipped in training", _answers(_flipped), "champion"),
    Poison("the label among the inputs", _leaked, "leak: a feature"),
    Poison("what happens within the hour among the inputs", _leaked_an_hour, "leak: ahead of time", others=AT_ONCE),
    Poison("a category that is set with the label", _leaked_category, "leak: a feature"),
    Poison("sign inverted", _answers(lambda case: np.asarray(expit(-_odds(case)))), "baseline"),
    Poison("constant", _answers(lambda case: np.full(len(case.candidate.labels), 0.1)), "constant"),
    Poison("a leaf that is no number", _nan_leaf, "scores"),
    Poison("probabilities of exactly one", _answers(lambda case: np.where(_odds(case) > 0, 1.0, 0.1)), "probabilities"),
    Poison("columns swapped", _answers(_swapped_columns), "champion"),
    Poison("an input filled with zeros", _answers(_zero_filled), "champion"),
    Poison("cut after the first tree", _answers(_truncated), "coarse"),
    Poison("cut after some trees, beside a whole one", _worse_of_two, "champion"),
    Poison("overfitted", _answers(_overfit), "spread"),
    Poison(
        "noise on the scores", _answers(lambda case: expit(_odds(case) + _noise().normal(0, 1.5, len(case.inputs)))), "champion"
    ),
    Poison("rounded to two values", _answers(_two_values), "coarse"),
    Poison("rounded to fifths", _answers(_rounded), "coarse"),
    Poison("level too high by 1.3", _answers(_times(1.3)), "calibration"),
    Poison("level too low by 0.7", _answers(_times(0.7)), "calibration"),
    Poison("too sure, and right in the mean", _answers(_stretched(2.5)), "spread"),
    Poison("too unsure, and right in the mean", _answers(_stretched(0.4)), "spread"),
    Poison("sure where it is wrong", _answers(_one_sided_confidence), "champion"),
    Poison("one slice broken", _broken_segment, INSISTED),
    Poison("broken for new people alone", _answers(_broken_in("people", "new")), "slice people=new"),
    Poison("a slice that must be judged is not there", _nobody_of, INSISTED, NO_DECISION),
    Poison("taught by the rows that judge", _taught_by_the_test, "leak: met before"),
    Poison("rows that judge, under other names, taught it", _evidence(_renamed_test_rows), "leak: met before"),
    Poison(
        "people that judge taught it",
        _evidence(lambda case: {"learned": _learned(case, persons=case.evidence.persons)}),
        "leak: met before",
    ),
    Poison("trained on the days that judge", _evidence(lambda case: _by_time(case, 5)), "leak: test period"),
    Poison(
        "rows from after its day",
        _evidence(lambda case: {"seen_at": case.evidence.seen_at + 71 * HOUR}),
        "leak: future",
    ),
    Poison("no word of what taught it", _evidence(lambda case: {"learned": None}), "leak: met before", NO_DECISION),
    Poison(
        "stale data",
        _evidence(
            lambda case: {
                "learned": _learned(case, seen_at=np.full(len(case.evidence.rows), END - 240 * HOUR)),
                "seen_at": np.full(len(case.evidence.rows), END - 230 * HOUR),
            }
        ),
        "freshness",
    ),
    Poison("older than the champion", _exchanged, "older"),
    Poison("the champion's own bytes", _same_bytes, "same"),
    Poison("no better, of the same day", _no_better_twin, "champion"),
    Poison("labels that are neither 0 nor 1", _half_labels, "labels"),
    Poison("negatives that are not ripe", _unripe_negatives, "maturity"),
    Poison("the champion judged by riper labels", _riper_for_one, "maturity"),
    Poison("no word of how old labels are", _evaluation(label_age_days=None), "maturity", NO_DECISION),
    Poison("a baseline made to lose", _sandbagged, "baseline is honest"),
    Poison("fewer rows than needed", _few(150), "enough rows", NO_DECISION),
    Poison("fewer positives than needed", _few(110), "enough positives", NO_DECISION),
    Poison("rows doubled, to fake more of them", _duplicated, "duplicates"),
    Poison("one person holds most rows", _one_holds_most, "enough persons", NO_DECISION),
    Poison("a flood of unseen categories", _evidence(_unseen), "inputs"),
    Poison("infinite inputs", _evidence(_infinite), "inputs"),
    Poison("money in another unit", _evidence(lambda _: _finding("log10_amount")), "data"),
    Poison("rows in quarantine", _evidence(lambda _: _finding("quarantined_share")), "data"),
    Poison("data that nobody checked", _evidence(lambda _: {"findings": None}), "data", NO_DECISION),
    Poison("too slow", _evaluation(cpu_us=900.0), "latency"),
    Poison("too large", _evaluation(size_bytes=2**30), "size"),
    Poison("a worse order at the same level", _answers(_worse_order), "order", models=RANKERS),
    Poison("a shorter list of candidates", _shorter_list, "recall", models=(IDENTITY_RANKER,)),
    Poison("retrieval loses most", _retrieves(_lost), "recall", models=(IDENTITY_RANKER,)),
    Poison("no word of what retrieval finds", _retrieves(lambda _: None), "recall", NO_DECISION, models=(IDENTITY_RANKER,)),
)
