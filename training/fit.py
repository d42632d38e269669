"""From examples to a calibrated model: one small LightGBM, stopped and calibrated on people and days it did not learn from.

That first model is judged on days and people that neither it nor its calibrator met. It is then fitted once more, with
the same number of rounds, on all days of the people it may learn from, up to the newest: a retraining that a bad day
asked for must learn from that day. Labels of the newest days are not ripe, and are weighed (see whence.delay).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from training import contest, delayed
from training.errors import TooFewLabels
from training.examples import Examples
from training.learner import BINARY, NO_QUERY, RANKER, Learner, numbered, raw
from training.split import CALIBRATE, FIT, TEST, Split
from whence.bundle import encode
from whence.calibration import Calibrator
from whence.contracts.models import FeatureSchema
from whence.delay import DEFAULT
from whence.measures import Measure

Floats = npt.NDArray[np.float64]

SHUFFLED = "shuffled_labels"
DRILLS = ("", SHUFFLED)
PARAMETERS: Mapping[str, Any] = {
    "objective": "binary",
    "metric": "binary_logloss",
    "num_leaves": 4,
    "learning_rate": 0.05,
    "min_data_in_leaf": 30,
    "feature_fraction": 0.5,
    "lambda_l2": 5.0,
    "cat_smooth": 50.0,
    "cat_l2": 50.0,
    "max_cat_threshold": 64,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
LEAST_OF_A_CATEGORY = 5
"""A category's value is known from so many rows on; a rarer one is unseen, so that the model meets the unseen in training."""
TOO_FEW_QUERIES = "binary: too few rows compete in queries to compare with lambdarank"
LEAST = {FIT: 50, CALIBRATE: 15, TEST: 15}
"""Labels of each class that a part needs."""
ROWS_A_THREAD = 250_000
"""Below, one thread is fastest, and on a busy machine by far: LightGBM's threads wait for each other by spinning."""
BASELINE_PRIOR = 20.0
"""Rows at the mean rate that each group of the baseline starts with."""


@dataclass(frozen=True)
class Fitted:
    """A model and its calibrator, with how they came to be."""

    text: str
    calibrator: Calibrator
    schema: FeatureSchema
    rounds: int
    weighted: int
    """Rows whose label was not ripe and was weighed."""
    gains: Mapping[str, float]
    first_raw: Floats
    """What the first model, before the last fit, said of the test rows …"""
    first_probability: Floats
    """… and with its own calibrator."""
    objective: str = BINARY
    """binary or lambdarank."""
    words: Mapping[str, str] = field(default_factory=dict)
    """How calibrator, objective and correction of late labels were chosen, in words …"""
    numbers: Mapping[str, Measure] = field(default_factory=dict)
    """… and the differences that decided."""


def fit(examples: Examples, split: Split, seed: int, threads: int, drill: str = "", delay: str = DEFAULT) -> Fitted:
    """Fit, stop and calibrate on parts that share neither days nor people; then fit again on all that may be learned from.

    `delay` is what makes up for labels that are not ripe, one of delayed.CHOICES.
    Raises TooFewLabels when a part has too few labels of a class.
    """
    demand(examples, split)
    schema = _schema(examples, split.learned)
    threads = max(1, min(threads, len(examples.facts) // ROWS_A_THREAD))
    matrix = encode(examples.inputs, schema)
    settings = {**PARAMETERS, **examples.learning, "seed": seed, "num_threads": threads}
    queries = numbered(examples.facts["group"])
    learner = Learner(schema, matrix, examples.labels.copy(), np.ones(len(matrix)), settings, queries)
    made_up = delayed.correction(examples, split.learned, learner, delay)
    if examples.window_days:
        learner = delayed.taught(made_up.winner, examples, split.learned, learner)
    label, weight = learner.label, learner.weight
    weighed = int(((weight != 1) | (label != examples.labels))[split.learned].sum())
    if drill == SHUFFLED:
        taught = np.flatnonzero(split.learned)
        drawn = np.random.default_rng(seed).permutation(taught)
        label[taught], weight[taught] = label[drawn], weight[drawn]
    persons = examples.facts["person"].to_numpy()
    columns = contest.columns_for(schema, matrix, queries)
    plain = _plain(learner, split, examples.labels, persons, columns)
    calibrates = split.rows(CALIBRATE)
    ranked = contest.objectives(learner, split.rows(FIT), calibrates, examples.labels, persons, plain.held_out, columns)
    won = _ranked(learner, split, examples, columns, ranked.rounds) if ranked and ranked.has_won else plain.model
    numbers = {
        **delayed.maturity(examples),
        **made_up.numbers,
        **plain.contest.numbers,
        **(ranked.contest.numbers if ranked else {}),
    }
    return Fitted(
        _without_threads(won.final.model_to_string()),
        won.calibrator,
        schema,
        won.rounds,
        weighed,
        dict(zip(schema.names, won.final.feature_importance("gain").tolist(), strict=True)),
        won.first_raw,
        won.first_probability,
        RANKER if ranked and ranked.has_won else BINARY,
        {
            "calibrator.contest": "monotone_gbdt: a ranker's scores need it" if won is not plain.model else plain.contest.words,
            "objective.contest": ranked.contest.words if ranked else TOO_FEW_QUERIES,
            "delay.chosen": made_up.winner,
            "delay.contest": made_up.words,
        },
        numbers,
    )


@dataclass(frozen=True)
class _Model:
    """A final booster with its calibrator, and what the first one said of the test rows."""

    final: Any
    calibrator: Calibrator
    rounds: int
    first_raw: Floats
    first_probability: Floats


@dataclass(frozen=True)
class _Plain:
    """The plain model, how its calibrator was chosen, and its held-out probabilities of the rows that calibrate."""

    model: _Model
    contest: contest.Contest
    held_out: Floats


def _plain(learner: Learner, split: Split, truth: Floats, persons: npt.NDArray[Any], columns: tuple[str, ...]) -> _Plain:
    calibrates, fields = split.rows(CALIBRATE), contest.fields_of(learner, columns)
    first, rounds = learner.stopped(split.rows(FIT), calibrates, truth)
    scores = raw(first, learner.matrix[calibrates])
    given = scores, truth[calibrates], persons[calibrates], fields.take(np.flatnonzero(calibrates))
    chosen = contest.calibrators(*given)
    level = contest.calibrated(chosen.winner, *given)
    final = learner.trained(split.learned, rounds)
    # where people are not kept apart, the final model has learned from the rows that calibrate, and the first one has not
    final_level = level
    if split.is_by_person:
        held = np.flatnonzero(split.levels)
        scores = raw(final, learner.matrix[held])
        final_level = contest.calibrated(chosen.winner, scores, truth[held], persons[held], fields.take(held))
    tests = learner.matrix[split.rows(TEST)]
    first_raw = raw(first, tests)
    model = _Model(final, final_level, rounds, first_raw, level.apply(first_raw, tests))
    competes = (learner.queries != NO_QUERY)[calibrates]
    held_out = contest.held_out(chosen.winner, *given) if competes.any() else np.empty(len(competes))
    return _Plain(model, chosen, held_out[competes])


def _ranked(learner: Learner, split: Split, examples: Examples, columns: tuple[str, ...], rounds: int) -> _Model:
    """A ranker of so many rounds; its calibrator learns from cross-fitted scores of what it learns from, and held-out people."""
    ranker, persons, ripe = learner.ranker, examples.facts["person"].to_numpy(), examples.ripe()
    tests = learner.matrix[split.rows(TEST)]

    def one(learns: npt.NDArray[np.bool_], held: npt.NDArray[np.bool_]) -> tuple[Any, Calibrator]:
        booster = ranker.trained(learns, rounds)
        scores = ranker.crossed(learns, rounds, persons, contest.FOLDS, contest.SEED)
        held = held & ~learns
        scores[held] = raw(booster, learner.matrix[held])
        labels = np.where(learns, learner.label, examples.labels)
        return booster, contest.ranked_calibrator(learner, scores, labels, learns & ripe, held, columns)

    first, level = one(split.rows(FIT), split.rows(CALIBRATE))
    final, final_level = one(split.learned, split.levels)
    first_raw = raw(first, tests)
    return _Model(final, final_level, rounds, first_raw, level.apply(first_raw, tests))


def baseline(examples: Examples, split: Split) -> Floats:
    """The baseline's probability for every row: its group's share of positives where the model learned and was calibrated."""
    learned = split.learned | split.rows(CALIBRATE)
    groups, labels = examples.facts["baseline_group"], pd.Series(examples.labels)
    mean = float(labels[learned].mean())
    told = labels[learned].groupby(groups[learned]).agg(["sum", "size"])
    rate = (told["sum"] + BASELINE_PRIOR * mean) / (told["size"] + BASELINE_PRIOR)
    return np.asarray(groups.map(rate).fillna(mean).to_numpy(dtype=np.float64))


def demand(examples: Examples, split: Split) -> None:
    """Raise TooFewLabels unless every part has labels enough of both classes."""
    for part, least in LEAST.items():
        labels = examples.labels[split.rows(part)]
        positive, negative = int((labels > 0).sum()), int((labels == 0).sum())
        if min(positive, negative) < least:
            raise TooFewLabels(
                f"The {part} part has {positive} positive and {negative} negative labels of {len(examples.labels)} examples in "
                f"all, and needs {least} of each. Train on more days or people (training.window_days, world.people), or wait "
                f"until labels are ripe: they need {examples.ripens_after():.2f} days here."
            )


def _schema(examples: Examples, rows: npt.NDArray[np.bool_]) -> FeatureSchema:
    known = {}
    for name in examples.categories:
        counts = examples.inputs.loc[rows, name].dropna().astype(str).value_counts()
        known[name] = tuple(sorted(counts[counts >= LEAST_OF_A_CATEGORY].index))
    return FeatureSchema(examples.numbers, known)


def _without_threads(text: str) -> str:
    """The model text without the number of threads, which says where it was made and not what it is."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("[num_threads:"))
