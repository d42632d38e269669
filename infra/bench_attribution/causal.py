"""Credit by channel against true incremental conversions, in worlds whose effects are known.

Parameters were chosen on worlds of other seeds (100 and up) than those that are measured here (0 and up).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pandas as pd
from sklearn.metrics import roc_auc_score

from infra.benching import Interval, Row, verdict
from whence.attribution import journeys, levels, lift, response, rules
from whence.attribution.policy import Policy, Reach
from whence.world import effects
from whence.world.effects import COVARIATES, Known

EVERYTHING = Policy(name="everything", windows=(Reach(effects.DAYS + 1.0),), max_touches=response.MOST_TOUCHES)
"""Whatever was shown may earn credit."""
L1, L1_BLIND, RANK, LEVEL = 0.12, 0.25, 0.9, (0.95, 1.05)
FOLDS, SWEEP_FOLDS, SWEEP_RUNS = 4, 2, 1
CONFOUNDING = (0.0, 0.5, 2.0)
MANY = 20
"""As many channels as there may be."""


@dataclass(frozen=True)
class Told:
    """A world as a platform would see it, with the truth beside it."""

    truth: pd.Series
    people: pd.DataFrame
    touches: pd.DataFrame
    conversions: pd.DataFrame
    pairs: pd.DataFrame


@dataclass(frozen=True)
class Judged:
    """A method's credit against the truth of one world."""

    error: float
    """Σ |credited − true| / Σ true over channels."""
    level: float
    """Credited over true, in total."""
    rank: float
    """Spearman's correlation over channels."""
    auc: float = float("nan")
    credited: float = 0.0
    """Of all conversions, the share that some ad got."""


def measure(runs: int) -> list[Row]:
    """The rows of the issue on worlds of seeds 0 to runs − 1, few channels and many, then what other worlds do to the same methods."""
    worlds = [Known(seed=seed) for seed in range(runs)]
    many = [replace(world, channels=MANY) for world in worlds]
    return [
        *_judged(worlds, METHODS, FOLDS),
        *_judged(many, MANY_METHODS, SWEEP_FOLDS),
        *_sweep(min(runs, SWEEP_RUNS)),
    ]


def _judged(worlds: Sequence[Known], methods: Sequence[Method], folds: int) -> list[Row]:
    """The rows of each method over worlds that differ by their seed alone."""
    found = [_judge(world, methods, folds) for world in worlds]
    return [row for name in found[0] for row in _rows(worlds[0].channels, name, [each[name] for each in found])]


def _rows(channels: int, name: str, found: Sequence[Judged]) -> list[Row]:
    what = f"{channels} channels, {name}"
    error, level, rank = ([getattr(each, part) for each in found] for part in ("error", "level", "rank"))
    auc = statistics.mean(each.auc for each in found)
    note = f"{len(found)} seeds" + (f"; AUC {auc:.3f} on people that the model has not met" if auc == auc else "")
    means = f"credited/true {statistics.mean(level):.2f}, rank {statistics.mean(rank):.2f}"
    bound = {BUNDLED: L1, BLIND: L1_BLIND}.get(name)
    judged = (f"≤ {bound}", verdict(met=statistics.mean(error) <= bound)) if bound else ("", "-")
    rows = [Row(f"{what}: L1 error of credit", *_mean(error), *judged, note if name == BUNDLED else f"{means}; {note}")]
    if name != BUNDLED:
        return rows
    rank_met, level_met = statistics.mean(rank) >= RANK, LEVEL[0] <= statistics.mean(level) <= LEVEL[1]
    return [
        *rows,
        Row(f"{what}: rank correlation", *_mean(rank), f"≥ {RANK}", verdict(met=rank_met)),
        Row(f"{what}: credited/true", *_mean(level), "0.95–1.05", verdict(met=level_met)),
    ]


def _mean(values: Sequence[float]) -> tuple[str, str]:
    return f"{statistics.mean(values):.3f}", Interval(0, min(values), max(values)).show(3)


def _sweep(runs: int) -> list[Row]:
    """Other strengths of confounding, rarer conversions and no effect at all, for information."""
    asked = {f"confounding × {strength}": Known(confounding=strength) for strength in CONFOUNDING}
    asked |= {"conversions a third as frequent": Known(base=-4.6)}
    rows = []
    for what, world in asked.items():
        found = [_judge(replace(world, seed=seed), SWEPT, SWEEP_FOLDS) for seed in range(runs)]
        for name in found[0]:
            each = [one[name] for one in found]
            level, rank = (statistics.mean(getattr(one, part) for one in each) for part in ("level", "rank"))
            note = f"credited/true {level:.2f}, rank {rank:.2f}; {runs} seed, {SWEEP_FOLDS} folds"
            rows.append(Row(f"{what}, {name}: L1 error of credit", *_mean([one.error for one in each]), note=note))
    null = [_judge(Known(effect=0.0, seed=seed), SWEPT, SWEEP_FOLDS) for seed in range(runs)]
    return [
        *rows,
        *(Row(f"no effects, {name}: share of conversions credited to ads", *_mean([each[name].credited for each in null]))
          for name in null[0]),
    ]  # fmt: skip


def tell(world: Known) -> Told:
    """The world's events, joined as production joins them."""
    lived = effects.live(world)
    touches, conversions = effects.touches(lived), effects.conversions(lived)
    pairs = journeys.candidate_touches(conversions, touches, EVERYTHING)
    return Told(lived.incremental, effects.people(lived), touches, conversions, pairs)


Credits = dict[str, tuple[pd.Series, float]]
"""By name: credit by channel, and the AUC where there is a model."""
Method = Callable[[Told, int], Credits]


def _judge(world: Known, methods: Sequence[Method], folds: int) -> dict[str, Judged]:
    told = tell(world)
    found = {}
    for name, (credit, auc) in ((name, each) for method in methods for name, each in method(told, folds).items()):
        credit, truth = credit.reindex(told.truth.index).fillna(0.0), told.truth
        whole = float(truth.sum()) or float("nan")
        error, level = float((credit - truth).abs().sum()) / whole, float(credit.sum()) / whole
        rank = float(credit.corr(truth, method="spearman")) if truth.nunique() > 1 else float("nan")
        found[name] = Judged(error, level, rank, auc, float(credit.sum()) / max(len(told.conversions), 1))
    return found


def _rule(name: str) -> Method:
    def method(told: Told, _: int) -> Credits:
        return {name.replace("_", " "): (_by_channel(told, rules.share(told.pairs, name, EVERYTHING)), float("nan"))}

    return method


def _learned(name: str, *, ghosts: bool, covariates: bool, lean: bool = False) -> Method:
    """Credit by a model that has not met the person, with or without opportunities and covariates.

    With ghosts, by trees alone, and brought to the level of the regression; then leaning towards lift.
    """

    def method(told: Told, folds: int) -> Credits:
        touches = told.touches if ghosts else told.touches[told.touches["kind"] != response.GHOST]
        known = told.people.set_index("person_id")[list(COVARIATES) if covariates else []]
        inputs = response.frame(
            told.people, touches, response.columns_of(touches, response.WHOLE), known.set_axis(told.people.index)
        )
        label, persons = told.people["label"].to_numpy(dtype="float64"), told.people["person_id"]
        said, plain, levelled, lost = pd.Series(0.0, index=persons), [], [], []
        for rows, model in response.crossfit(inputs, label, persons, folds):
            said[persons[rows]] = model.score(inputs[rows])[0]
            theirs = told.conversions[told.conversions["person_id"].isin(persons[rows])]
            pairs = told.pairs[told.pairs["conversion_id"].isin(theirs["conversion_id"])]
            features, is_case = known.loc[theirs["person_id"]].set_axis(theirs.index), rows & (label > 0)
            shares = response.share(pairs, theirs, touches, features, model, sampled=False)[0]
            regression = levels.fit(inputs[~rows], label[~rows])
            scale = levels.factors(inputs[is_case], model, regression, sampled=False)
            plain.append(shares)
            levelled.append(shares * pairs["channel"].map(scale).fillna(1.0))
            if lean:
                lost.append(response.losses(inputs[is_case], regression or model, sampled=False).set_axis(persons[is_case]))
        auc = float(roc_auc_score(label, said.to_numpy()))
        alone, credit = (_by_channel(told, pd.concat(each).reindex(told.pairs.index)) for each in (plain, levelled))
        found = {f"{name}{TREES}": (alone, auc), name: (credit, auc)} if ghosts else {name: (credit, auc)}
        if lean:
            leaning = credit * _leaning(told, pd.concat(lost)).reindex(credit.index).fillna(1.0)
            found[f"{name}{LEANING}"] = leaning, auc
        return found

    return method


def _leaning(told: Told, lost: pd.DataFrame) -> pd.Series:
    """The factor of each channel: what the model says that it lifts among the treated, moved towards what was measured."""
    people = lift.arms(told.touches, "channel")
    treated = people[~people["is_held_out"]]
    said = {channel: lost.reindex(each["person_id"])[channel].sum() for channel, each in treated.groupby("stream")}
    return lift.shrunk(pd.Series(said, dtype="float64"), lift.measured(people, told.conversions))["factor"]


def _lift_alone(told: Told, _: int) -> Credits:
    found = lift.measured(lift.arms(told.touches, "channel"), told.conversions)["incremental"]
    return {"lift of experiments alone": (found, float("nan"))}


def _by_channel(told: Told, shares: pd.Series) -> pd.Series:
    return shares.groupby(told.pairs["channel"]).sum()


GHOSTS, BLIND = "exposures, ghosts and covariates", "exposures and covariates, no ghosts"
TREES, LEANING = ", by trees alone", ", leaning towards lift"
BUNDLED = f"{GHOSTS}{LEANING}"
"""As a bundle gives credit."""
METHODS: tuple[Method, ...] = (
    _learned(GHOSTS, ghosts=True, covariates=True, lean=True),
    _learned(BLIND, ghosts=False, covariates=True, lean=True),
    _learned("exposures alone (path only)", ghosts=False, covariates=False),
    _lift_alone,
    *(_rule(name) for name in ("last_touch", "first_touch", "linear")),
)
MANY_METHODS: tuple[Method, ...] = (
    _learned(GHOSTS, ghosts=True, covariates=True, lean=True),
    _learned(BLIND, ghosts=False, covariates=True),
    _rule("last_touch"),
)
SWEPT: tuple[Method, ...] = (
    _learned(GHOSTS, ghosts=True, covariates=True),
    _learned(BLIND, ghosts=False, covariates=True),
    _rule("last_touch"),
)
