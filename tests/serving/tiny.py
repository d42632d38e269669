"""Tiny real bundles for tests: trained in a blink on one plain rule each, written and loaded like any other. And a service without rollouts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd

from serving.champion import Follower
from serving.rollouts.picking import Found, Mirrored, Picked
from whence import calibration
from whence.attribution import evidence as journey_evidence
from whence.attribution import value
from whence.bundle import Scorer, encode, golden_rows, load_bundle, write_bundle
from whence.contracts.models import ATTRIBUTION_RANKER, CONVERSION_VALUE, IDENTITY_RANKER, FeatureSchema
from whence.identity import evidence as identity_evidence

SCHEMAS = {
    IDENTITY_RANKER: FeatureSchema(identity_evidence.SCHEMA_NUMBERS),
    ATTRIBUTION_RANKER: FeatureSchema(
        journey_evidence.SCHEMA_NUMBERS, dict.fromkeys(journey_evidence.SCHEMA_CATEGORIES, ("search", "social"))
    ),
    CONVERSION_VALUE: FeatureSchema(value.SCHEMA_NUMBERS, dict.fromkeys(value.SCHEMA_CATEGORIES, ("search", "social"))),
}
RULES = {
    IDENTITY_RANKER: ("days_together_14d", 2.5),
    ATTRIBUTION_RANKER: ("hours_before", -6.0),
    CONVERSION_VALUE: ("is_click", 0.5),
}
"""The one column that decides, and where; a negative place turns the rule round: the smaller the likelier."""


def a_bundle(root: Path, model: str, seed: int = 1) -> str:
    """Write a bundle of the model below `root`, and give its digest; another seed gives another bundle."""
    text, calibrator, golden = trained(model, seed)
    return write_bundle(root, model, text, calibrator, SCHEMAS[model], golden, {"made_for": "tests", "seed": seed})


def a_scorer(root: Path, model: str, seed: int = 1) -> Scorer:
    """The checked scorer of such a bundle."""
    return load_bundle(root, a_bundle(root, model, seed))


@cache
def trained(model: str, seed: int) -> tuple[str, dict[str, Any], pd.DataFrame]:
    schema, (column, place) = SCHEMAS[model], RULES[model]
    rng = np.random.default_rng(seed)
    inputs = pd.DataFrame({name: rng.uniform(0, 24 if name == "hours_before" else 6, 400) for name in schema.numbers})
    for name, known in schema.categories.items():
        inputs[name] = rng.choice(known, 400)
    is_one = inputs[column] > place if place > 0 else inputs[column] < -place
    label = np.where(rng.random(400) < 0.02, ~is_one, is_one).astype("float64")
    matrix = encode(inputs, schema)
    categories = list(range(len(schema.numbers), len(schema.names)))
    data = lightgbm.Dataset(matrix, label, feature_name=list(schema.names), categorical_feature=categories)
    params = {"objective": "binary", "num_leaves": 4, "verbose": -1, "seed": seed, "deterministic": True, "num_threads": 1}
    booster = lightgbm.train(params, data, num_boost_round=20)
    raw = np.asarray(booster.predict(matrix, raw_score=True))
    calibrator = calibration.fit("platt", raw, label)
    return booster.model_to_string(), calibrator.to_json(), golden_rows(inputs, schema, rows=16, seed=seed)


class ChampionsAlone:
    """No rollout: the champion answers everybody."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    def pick(self, model: str, person_key: str) -> Picked | None:
        """The champion."""
        champion = self._follower.lineup.get(model)
        return Picked(champion) if champion is not None else None

    async def answer(self, picked: Picked, ask: Callable[[Scorer], Awaitable[Found]]) -> tuple[Picked, Found]:
        """The champion's answer."""
        return picked, await ask(picked.champion.scorer)

    def mirror(self, mirrored: Mirrored) -> None:
        """Nobody listens."""
