"""Small worlds, one shaped like the rows of each model, with real LightGBM models: a champion, and a candidate that is better."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
from scipy.special import expit

from infra.bench_gate.made import AS_OF, sound
from registry.gate import Evaluation, Evidence, Verdict, judge
from registry.policy import Policy, load_policy
from whence import calibration
from whence.contracts.models import ATTRIBUTION_RANKER, CONVERSION_VALUE, EXPOSURE_RESPONSE, IDENTITY_RANKER

Floats = npt.NDArray[np.float64]
NUMBERS = ("x0", "x1", "x2", "x3", "x4")
NAMES = (*NUMBERS, "channel")
CHANNEL = len(NUMBERS)
ROUNDS = 60
PARAMETERS = {
    "objective": "binary",
    "num_leaves": 6,
    "learning_rate": 0.12,
    "min_data_in_leaf": 20,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
TEACH, LEVEL, TEST = 0, 1, 2
"""The parts: whose rows teach, set the level, or judge."""


@dataclass(frozen=True)
class Shape:
    """What the rows of a model look like."""

    channels: tuple[str, ...]
    strength: float
    offset: float
    query: int
    """Rows that compete for one positive; 1 where none do."""
    delay_days: float
    """The mean; 0 where labels are known at once."""
    baseline: str
    """agrees, channel or rate: what the baseline's rate is by."""


SHAPES = {
    IDENTITY_RANKER: Shape(("conversions", "sightings"), 4.0, 0.0, 6, 0.0, "agrees"),
    ATTRIBUTION_RANKER: Shape(("affiliate", "search", "social"), 6.0, 0.0, 5, 0.0, "agrees"),
    CONVERSION_VALUE: Shape(("display", "search", "social"), 1.0, -2.6, 1, 0.25, "rate"),
    EXPOSURE_RESPONSE: Shape(("display", "nothing", "search"), 1.1, -2.2, 1, 0.15, "channel"),
}


@dataclass(frozen=True)
class World:
    """Rows of people who teach, who set the level, and who judge."""

    model: str
    inputs: Floats
    labels: Floats
    persons: npt.NDArray[np.int64]
    queries: npt.NDArray[np.int64]
    part: npt.NDArray[np.int64]
    delay_days: Floats
    is_new: npt.NDArray[np.bool_]

    @property
    def shape(self) -> Shape:
        """What its rows look like."""
        return SHAPES[self.model]

    def of(self, part: int) -> npt.NDArray[np.bool_]:
        """Which rows are of the part."""
        return np.asarray(self.part == part)


@dataclass(frozen=True)
class Case:
    """What a gate is asked: a world, two models on its judging rows, and what is known of the candidate."""

    world: World
    policy: Policy
    booster: Any
    level: calibration.Calibrator
    candidate: Evaluation
    champion: Evaluation | None
    evidence: Evidence

    @property
    def inputs(self) -> Floats:
        """Of the rows that judge."""
        return self.world.inputs[self.world.of(TEST)]

    def verdict(self) -> Verdict:
        """The gate's."""
        return judge(self.candidate, self.champion, self.policy, self.evidence)


def insisted(model: str) -> str:
    """The slice that must be judged."""
    return f"segment={SHAPES[model].channels[1]}"


def a_world(model: str, people: int = 1000, seed: int = 0) -> World:
    """Rows of so many people, about six each; four tenths teach, two set the level, four judge."""
    shape, rng = SHAPES[model], np.random.default_rng(seed)
    queries_each = max(6 // shape.query, 1) if shape.query > 1 else 6
    person = np.repeat(np.arange(people), queries_each * shape.query)
    n = len(person)
    inputs = np.column_stack([rng.normal(size=(n, len(NUMBERS))), rng.integers(0, len(shape.channels), n)])
    taste = rng.normal(size=people)[person] * 0.3
    worth = 1.2 * inputs[:, 0] + 0.8 * inputs[:, 1] + 0.5 * inputs[:, 0] * inputs[:, 2] + 0.4 * (inputs[:, CHANNEL] == 1)
    odds = shape.strength * worth + shape.offset + taste
    query = np.arange(n) // shape.query
    labels = _drawn(odds, shape.query, rng)
    part = np.searchsorted([0.4, 0.6], np.linspace(0, 1, people, endpoint=False), side="right")[person]
    delay = rng.exponential(shape.delay_days, n) if shape.delay_days else np.zeros(n)
    is_new = (rng.random(people) < 0.4)[person]
    return World(model, inputs, labels, person, query, part, np.where(labels > 0, delay, np.nan), is_new)


def _drawn(odds: Floats, query: int, rng: np.random.Generator) -> Floats:
    """A label each; in a query, exactly one."""
    if query == 1:
        return np.asarray(rng.random(len(odds)) < expit(odds), dtype=np.float64)
    luck = (odds + rng.gumbel(size=len(odds))).reshape(-1, query)
    return np.asarray(luck == luck.max(axis=1, keepdims=True), dtype=np.float64).ravel()


def trained(inputs: Floats, labels: Floats, rounds: int = ROUNDS, **parameters: Any) -> Any:
    """A LightGBM model."""
    data = lightgbm.Dataset(inputs, labels, params={"verbosity": -1}, free_raw_data=True)
    return lightgbm.train({**PARAMETERS, **parameters}, data, rounds)


def levelled(world: World, booster: Any, inputs: Floats | None = None) -> calibration.Calibrator:
    """Its level, from the people who set it; `inputs` where the model takes more than the world's."""
    held = world.of(LEVEL)
    raw = booster.predict((world.inputs if inputs is None else inputs)[held], raw_score=True)
    return calibration.fit("platt", raw, world.labels[held])


def said(booster: Any, level: calibration.Calibrator, inputs: Floats) -> Floats:
    """Its probabilities."""
    raw = booster.predict(inputs, raw_score=True)
    return np.asarray(level.apply(raw, inputs), dtype=np.float64)


def a_case(model: str, people: int = 1000, seed: int = 0) -> Case:
    """A candidate that learned from all who teach, against a champion of the day before that learned from a third of them."""
    world = a_world(model, people, seed)
    policy = replace(load_policy(model), must_judge=(insisted(model),))
    teach, test = world.of(TEACH), world.of(TEST)
    third = teach & (world.persons % 3 == 0)
    old, new = (trained(world.inputs[rows], world.labels[rows]) for rows in (third, teach))
    level = levelled(world, new)
    day_before = str(date.fromisoformat(AS_OF) - timedelta(days=1))
    candidate = evaluated(world, "candidate", said(new, level, world.inputs[test]))
    champion = replace(
        candidate, bundle="champion", as_of=day_before, probability=said(old, levelled(world, old), world.inputs[test])
    )
    return Case(world, policy, new, level, candidate, champion, evidence_of(world, candidate))


def evaluated(world: World, bundle: str, probability: Floats) -> Evaluation:
    """A model's answers on the rows that judge."""
    test = world.of(TEST)
    channel = world.inputs[test, CHANNEL].astype(int)
    n = int(test.sum())
    return Evaluation(
        bundle=bundle,
        as_of=AS_OF,
        labels=world.labels[test],
        probability=probability,
        baseline=_baseline(world)[test],
        persons=world.persons[test].astype(str),
        slices={
            "segment": np.array(world.shape.channels)[channel],
            "people": np.where(world.is_new[test], "new", "known"),
        },
        queries=world.queries[test].astype(str) if world.shape.query > 1 else None,
        label_age_days=np.full(n, 4.0),
        ripens_after_days=3.0,
        most_candidates=20 if world.model == IDENTITY_RANKER else None,
        size_bytes=200_000,
        cpu_us=5.0,
    )


def evidence_of(world: World, candidate: Evaluation, inputs: Floats | None = None, more: tuple[str, ...] = ()) -> Evidence:
    """Evidence that nothing is wrong with; `inputs` and `more` names where the model takes more than the world's."""
    test = world.of(TEST)
    features = (world.inputs if inputs is None else inputs)[test]
    names = (*NAMES, *more)
    known = frozenset({"channel"})
    return sound(candidate, features, names, categories=known, delay_days=world.delay_days[test])


def _baseline(world: World) -> Floats:
    teach = world.of(TEACH)
    by = {
        "agrees": world.inputs[:, 0] > 0,
        "channel": world.inputs[:, CHANNEL],
        "rate": np.zeros(len(world.labels)),
    }[world.shape.baseline]
    _, group = np.unique(by, return_inverse=True)
    return np.asarray((np.bincount(group[teach], world.labels[teach]) / np.bincount(group[teach]))[group])
