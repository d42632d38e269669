"""Calibrators on rows that compete: what a ranker with its calibrator loses and keeps, against the best pointwise model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from infra.benching import Row, median_range, verdict
from training import contest
from training.fit import PARAMETERS
from training.learner import Learner, raw
from whence import measures
from whence.calibration import KINDS, Calibrator, corrected, fit
from whence.contracts.models import FeatureSchema
from whence.encoding import encode
from whence.world import queries as world

LEARNED, CALIBRATED, TESTED = 4000, 2000, 3000
CANDIDATES = 12
FIRST_SEED = 11
FIELD = "campaign"
MORE: Mapping[str, Any] = {"num_leaves": 7, "feature_fraction": 0.8, "min_data_in_leaf": 50, "num_threads": 1}
KEPT = 0.1
"""The share of negatives that the prior is put right after."""
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Case:
    """One draw of the world, cut in time: the first queries are learned from, the next calibrate, the last test."""

    rows: pd.DataFrame
    learner: Learner
    columns: tuple[str, ...]
    seed: int

    @property
    def query(self) -> npt.NDArray[np.int64]:
        """The query of each row."""
        return self.learner.queries

    @property
    def truth(self) -> Floats:
        """The labels."""
        return self.learner.label

    def part(self, first: int, last: int) -> Bools:
        """The rows of some queries."""
        return (self.query >= first) & (self.query < last)


@dataclass(frozen=True)
class Said:
    """What one model and calibrator say of the tested rows."""

    probability: Floats
    score: Floats


def measure(runs: int) -> list[Row]:
    """The rows, over `runs` draws of the world."""
    found = [_one(FIRST_SEED + number) for number in range(runs)]
    pointwise = [min(each["losses"][name] for name in each["losses"] if name.startswith("pointwise")) for each in found]
    refitted = [min(each["losses"]["refitted pointwise"], best) for each, best in zip(found, pointwise, strict=True)]
    extra = median_range(
        [100 * (each["losses"]["ranker, trees"] / best - 1) for each, best in zip(found, pointwise, strict=True)]
    )
    whole = median_range(
        [100 * (each["losses"]["refitted ranker, trees"] / best - 1) for each, best in zip(found, refitted, strict=True)]
    )
    plain = median_range(
        [100 * (each["losses"]["ranker, isotonic"] / best - 1) for each, best in zip(found, pointwise, strict=True)]
    )
    field = median_range([100 * (each["field"]["ranker, trees"] / each["field"]["ranker, isotonic"] - 1) for each in found])
    turned, distinct = max(each["turned"] for each in found), min(each["distinct"] for each in found)
    what = f"{LEARNED} / {CALIBRATED} / {TESTED} queries × {CANDIDATES} learned / calibrated / tested, {runs} seeds"
    rows = [
        Row(
            "ranker + monotone trees: log-loss beyond the best pointwise model",
            f"{extra.value:+.2f} %",
            f"{extra.low:+.2f} … {extra.high:+.2f} %",
            "≤ +0.1 %",
            verdict(met=extra.value <= 0.1),
            f"{what}; the best of raw and every calibrator, seed by seed; ranker + isotonic {plain.value:+.1f} %; the trees learn "
            "from cross-fitted scores of all queries before the test",
        ),
        Row(
            "ranker + monotone trees: field calibration error by campaign, against ranker + isotonic",
            f"{field.value:+.0f} %",
            f"{field.low:+.0f} … {field.high:+.0f} %",
            "≤ −10 %",
            verdict(met=field.value <= -10),
            "; ".join(f"{name} {_mean(found, 'field', name):.3f}" for name in ("ranker, trees", "ranker, isotonic", "truth")),
        ),
        Row(
            "pairs of one query and one campaign's fields turned round; distinct scores kept",
            f"{turned} of {found[0]['pairs']}",
            f"{distinct:.2%} kept",
            "0; ≥ 99 %",
            verdict(met=turned == 0 and distinct >= 0.99),
            "each tested query's scores, with the fields of one of its rows",
        ),
        Row(
            "the same, with both models fitted again on all queries before the test",
            f"{whole.value:+.2f} %",
            f"{whole.low:+.2f} … {whole.high:+.2f} %",
            note="log-loss beyond the better of that pointwise model and the best one above",
        ),
        Row(
            f"prior put right after {KEPT:.0%} of the negatives: observed / expected",
            f"{_mean(found, 'prior', 'after'):.3f}",
            "",
            note=f"before {_mean(found, 'prior', 'before'):.3f}; Platt on the pointwise score",
        ),
    ]
    return rows + [_calibrator_row(name, found) for name in found[0]["losses"]]


def _calibrator_row(name: str, found: list[dict[str, Any]]) -> Row:
    losses = median_range([each["losses"][name] for each in found])
    more = {what: _mean(found, what, name) for what in ("ratio", "error", "field", "auc", "ndcg")}
    note = (
        f"observed / expected {more['ratio']:.3f}, calibration error {more['error']:.4f}, field calibration error "
        f"{more['field']:.3f}, ROC AUC {more['auc']:.4f}, NDCG at 5 {more['ndcg']:.4f}"
    )
    return Row(f"log-loss: {name}", f"{losses.value:.4f}", f"{losses.low:.4f} … {losses.high:.4f}", note=note)


def _mean(found: list[dict[str, Any]], what: str, name: str) -> float:
    return float(np.mean([each[what][name] for each in found]))


def _one(seed: int) -> dict[str, Any]:
    """All figures of one draw."""
    case = _case(seed)
    tested = case.part(LEARNED + CALIBRATED, LEARNED + CALIBRATED + TESTED)
    said = {"truth": Said(case.rows["truth"].to_numpy()[tested], case.rows["truth"].to_numpy()[tested])}
    said |= _pointwise(case, tested)
    ranker, kept = _ranker(case, tested)
    said |= ranker
    y, query, campaign = case.truth[tested], case.query[tested], case.rows[FIELD].to_numpy()[tested]
    figures: dict[str, Callable[[Said], float]] = {
        "losses": lambda each: float(measures.log_losses(y, each.probability).mean()),
        "ratio": lambda each: float(y.sum() / each.probability.sum()),
        "error": lambda each: measures.calibration_error(y, each.probability, query).value,
        "field": lambda each: measures.field_calibration_error(y, each.probability, campaign, query).value,
        "auc": lambda each: measures.roc_auc(y, each.probability, query).value,
        "ndcg": lambda each: measures.ndcg_at(5, y, each.probability, query).value,
    }
    taken = {name: {model: take(each) for model, each in said.items()} for name, take in figures.items()}
    return taken | kept | {"prior": _prior(case, tested)}


def _case(seed: int) -> Case:
    rows = world.auctions(LEARNED + CALIBRATED + TESTED, CANDIDATES, seed)
    known = {name: tuple(sorted(rows[name].unique())) for name in world.CATEGORIES}
    schema = FeatureSchema(world.NUMBERS, known)
    matrix, query = encode(rows, schema), rows["query"].to_numpy(dtype=np.int64)
    label = rows["label"].to_numpy(dtype=np.float64)
    learner = Learner(schema, matrix, label, np.ones(len(label)), {**PARAMETERS, **MORE, "seed": seed}, query)
    return Case(rows, learner, contest.columns_for(schema, matrix, query), seed)


def _pointwise(case: Case, tested: Bools) -> dict[str, Said]:
    learns, calibrates = case.part(0, LEARNED), case.part(LEARNED, LEARNED + CALIBRATED)
    booster, rounds = case.learner.stopped(learns, calibrates, case.truth)
    scores = raw(booster, case.learner.matrix)
    said = {"pointwise, raw": Said(expit(scores[tested]), scores[tested])}
    said |= {f"pointwise, {_plain(kind)}": _said(_fitted(kind, case, scores, calibrates), case, scores, tested) for kind in KINDS}
    again = raw(case.learner.trained(learns | calibrates, rounds), case.learner.matrix)
    return said | {"refitted pointwise": Said(expit(again[tested]), again[tested])}


def _ranker(case: Case, tested: Bools) -> tuple[dict[str, Said], dict[str, Any]]:
    learns, calibrates = case.part(0, LEARNED), case.part(LEARNED, LEARNED + CALIBRATED)
    ranker, matrix, query = case.learner.ranker, case.learner.matrix, case.query
    booster, rounds = ranker.stopped(learns, calibrates, case.truth)
    scores = raw(booster, matrix)
    simple = [kind for kind in KINDS if kind != "monotone_gbdt"]
    said = {f"ranker, {_plain(kind)}": _said(_fitted(kind, case, scores, calibrates), case, scores, tested) for kind in simple}
    crossed = np.where(learns, ranker.crossed(learns, rounds, query, 5, case.seed), np.where(calibrates, scores, np.nan))
    trees = contest.ranked_calibrator(case.learner, crossed, case.truth, learns, calibrates, case.columns)
    said["ranker, trees"] = _said(trees, case, scores, tested)
    both = learns | calibrates
    again = raw(ranker.trained(both, rounds), matrix)
    crossed = ranker.crossed(both, rounds, query, 5, case.seed)
    level = contest.ranked_calibrator(case.learner, crossed, case.truth, both, np.zeros_like(both), case.columns)
    said["refitted ranker, trees"] = _said(level, case, again, tested)
    return said, _kept(trees, case, scores, tested)


def _kept(calibrator: Calibrator, case: Case, scores: Floats, tested: Bools) -> dict[str, Any]:
    """Pairs of scores that are turned round when a query's rows have one row's fields, and the share that stays distinct."""
    first = np.flatnonzero(tested).reshape(TESTED, CANDIDATES)[:, 0]
    fields = np.repeat(case.learner.matrix[first], CANDIDATES, axis=0)
    score = scores[tested].reshape(TESTED, CANDIDATES)
    said = calibrator.apply(scores[tested], fields).reshape(TESTED, CANDIDATES)
    above, rises = score[:, :, None] > score[:, None, :], said[:, :, None] < said[:, None, :]
    distinct = [len(np.unique(p)) / len(np.unique(s)) for p, s in zip(said, score, strict=True)]
    return {"turned": int((above & rises).sum()), "pairs": int(above.sum()), "distinct": float(np.mean(distinct))}


def _prior(case: Case, tested: Bools) -> dict[str, float]:
    """Observed over expected of a Platt line that saw a tenth of the negatives, before and after the correction."""
    learns, calibrates = case.part(0, LEARNED), case.part(LEARNED, LEARNED + CALIBRATED)
    scores = raw(case.learner.trained(learns, 100), case.learner.matrix)
    drawn = np.random.default_rng(case.seed).random(len(scores)) < KEPT
    few = calibrates & (drawn | (case.truth > 0))
    made = fit("platt", scores[few], case.truth[few])
    seen = case.truth[tested].sum()
    return {
        "before": float(seen / made.apply(scores[tested]).sum()),
        "after": float(seen / corrected(made, KEPT).apply(scores[tested]).sum()),
    }


def _fitted(kind: str, case: Case, scores: Floats, rows: Bools) -> Calibrator:
    fields = contest.fields_of(case.learner, case.columns).take(np.flatnonzero(rows))
    return fit(kind, scores[rows], case.truth[rows], fields=fields)


def _said(calibrator: Calibrator, case: Case, scores: Floats, tested: Bools) -> Said:
    return Said(calibrator.apply(scores[tested], case.learner.matrix[tested]), scores[tested])


def _plain(kind: str) -> str:
    return {"monotone_gbdt": "trees", "venn_abers": "Venn–Abers", "platt": "Platt"}.get(kind, kind)
