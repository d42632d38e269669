"""Lift: what experiments that hold people out of ads say they bring, and how far a model's credit should lean towards it.

An experiment is unbiased and noisy, a model precise and perhaps biased. Each stream's credit is moved towards its lift by
as much as the model's errors over all streams, seen beyond the noise of the experiments, say is due.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import chi2

from whence.measures import Measure

Floats = npt.NDArray[np.float64]
Z95 = 1.959964
LEVEL = 0.95
COLUMNS = (
    "treated",
    "held_out",
    "rate_treated",
    "rate_held_out",
    "difference",
    "low",
    "high",
    "incremental",
    "incremental_low",
    "incremental_high",
    "sd",
)
LEAST_HELD_OUT = 30
"""With fewer people held out an experiment says nothing."""


def arms(touches: pd.DataFrame, by: str = "campaign_id") -> pd.DataFrame:
    """Who was in which experiment, on which side, and from when on: stream, person_id, is_held_out, since.

    `touches` have person_id, happened_at, kind or holdout, experiment and the stream's column. A person is in a stream's
    experiment from the first opportunity on, shown or not: to compare by exposure would compare people who differ. Those
    who are found on both sides (two people under one id, or one under two) are on none.
    """
    tested = touches[touches["experiment"].notna() & touches["person_id"].notna()].rename(columns={by: "stream"})
    sides = tested.groupby(["stream", "person_id"], sort=True).agg(
        least=("holdout", "min"), most=("holdout", "max"), since=("happened_at", "min")
    )
    clear = sides[sides["least"].astype(bool) == sides["most"].astype(bool)].reset_index()
    return clear.assign(is_held_out=clear["most"].astype(bool))[["stream", "person_id", "is_held_out", "since"]]


def measured(people: pd.DataFrame, conversions: pd.DataFrame, expected: Mapping[str, pd.Series] | None = None) -> pd.DataFrame:
    """Each stream's intention-to-treat effect with its 95 % interval: a row a stream, columns COLUMNS.

    `people` as from `arms`; `conversions` have person_id and happened_at, and count from the person's first opportunity on.
    `difference` is of conversions a person, `incremental` the conversions that the ads brought among the treated, `sd` its
    standard error. `expected` may give, by stream, what a model that has not seen them expects of each person without the
    stream (index person_id): taken off both sides it leaves the difference unbiased, and less noisy (control variates).
    """
    bought = conversions[["person_id", "happened_at"]].merge(people[["stream", "person_id", "since"]], on="person_id")
    count = bought[bought["happened_at"] > bought["since"]].groupby(["stream", "person_id"]).size()
    found = {}
    for stream, each in people.groupby("stream", sort=True):
        mine = count.get(stream) if stream in count.index.get_level_values(0) else None
        outcome = each["person_id"].map(mine).fillna(0.0) if mine is not None else pd.Series(0.0, index=each.index)
        found[str(stream)] = _effect(outcome, each, (expected or {}).get(str(stream)))
    return pd.DataFrame.from_dict(found, orient="index", columns=list(COLUMNS))


def shrunk(said: pd.Series, lifts: pd.DataFrame) -> pd.DataFrame:
    """How each stream's credit is to be scaled: columns said, lift, prior_sd, weight and factor, a row a stream of `said`.

    `said` is what a model says the streams would lift among the same people (response.losses, summed). First all streams are
    scaled alike, by `centre`: a model learns many small effects too small, each by less than its experiment can tell, and all
    of them together by far more. What is left of each stream's relative error is taken as drawn from a normal distribution
    around 0; its spread, `prior_sd`, is the least that the errors seen leave credible, given the noise of the experiments:
    few noisy experiments move nothing. `weight` is then the share of the error seen that is believed; `centre` is found in
    the same way from the sums. A stream without an experiment is scaled as all are.
    """
    told = lifts[lifts["held_out"] >= LEAST_HELD_OUT].reindex(said.index)
    usable = np.isfinite(told["incremental"] / said) & (said > 0) & (told["sd"] > 0)
    tested, claimed = told[usable], float(said[usable].sum())
    sums = pd.Series([float(tested["incremental"].sum())]), pd.Series([float(np.sqrt((tested["sd"] ** 2).sum()))])
    centre = float(_believed(pd.Series([claimed]), *sums)["factor"].iloc[0]) if usable.any() else 1.0
    each = _believed(said[usable] * centre, tested["incremental"], tested["sd"]) if centre > 0 else tested.head(0)
    found = pd.DataFrame({"said": said, "lift": told["incremental"], "centre": centre})
    found = found.join(each.reindex(columns=["prior_sd", "weight", "factor"]))
    return found.assign(
        prior_sd=found["prior_sd"].fillna(0.0), weight=found["weight"].fillna(0.0), factor=found["factor"].fillna(1.0) * centre
    )


def _believed(said: pd.Series, lifted: pd.Series, sd: pd.Series) -> pd.DataFrame:
    """How much of each relative error is believed, and the factor that puts that much of it right."""
    error, noise = lifted / said - 1, sd / said
    prior = prior_sd(error.to_numpy(dtype=np.float64), noise.to_numpy(dtype=np.float64))
    weight = prior**2 / (prior**2 + noise**2)
    return pd.DataFrame({"prior_sd": prior, "weight": weight, "factor": (1.0 + weight * error).clip(lower=0.0)})


def prior_sd(errors: Floats, noise: Floats) -> float:
    """The least spread of true errors around 0 under which errors as large as these would come up once in twenty.

    The lower end of a Q-profile interval; 0 where the noise alone explains the errors.

    Reference: Viechtbauer (2007), Confidence intervals for the amount of heterogeneity in meta-analysis.

    >>> prior_sd(np.array([0.1, -0.1]), np.array([0.2, 0.2]))
    0.0
    >>> round(prior_sd(np.array([0.5, -0.5]), np.array([0.1, 0.1])), 3)
    0.271
    """
    if not len(errors):
        return 0.0

    credible = float(chi2.ppf(LEVEL, len(errors)))

    def excess(variance: float) -> float:
        return float((errors**2 / (noise**2 + variance)).sum()) - credible

    if excess(0.0) <= 0:
        return 0.0
    return float(np.sqrt(brentq(excess, 0.0, float((errors**2).sum()), xtol=1e-15)))


def agreement(said: pd.Series, lifts: pd.DataFrame) -> Measure:
    """What a model says that tested streams lift, over what was measured: 1 is right; its interval is of the experiments.

    NaN where no experiment has people enough; an end that the experiments leave open is infinite.
    """
    told = lifts[lifts["held_out"] >= LEAST_HELD_OUT]
    people = int((told["treated"] + told["held_out"]).sum())
    claimed, lift = float(said.reindex(told.index).fillna(0.0).sum()), float(told["incremental"].sum())
    doubt = Z95 * float(np.sqrt((told["sd"] ** 2).sum()))
    if not len(told):
        return Measure(float("nan"), float("nan"), float("nan"), 0)
    return Measure(_over(claimed, lift), _over(claimed, lift + doubt), _over(claimed, lift - doubt), people)


def _over(claimed: float, lift: float) -> float:
    return claimed / lift if lift > 0 else float("inf")


def _effect(outcome: pd.Series, people: pd.DataFrame, expected: pd.Series | None) -> tuple[float, ...]:
    held_out = people["is_held_out"].to_numpy(dtype=bool)
    plain = outcome.to_numpy(dtype=np.float64)
    news = plain - people["person_id"].map(expected).fillna(0.0).to_numpy(dtype=np.float64) if expected is not None else plain
    treated, held = int((~held_out).sum()), int(held_out.sum())
    if min(treated, held) < 2:
        return (treated, held, *[float("nan")] * (len(COLUMNS) - 2))
    difference = float(news[~held_out].mean() - news[held_out].mean())
    error = float(np.sqrt(news[~held_out].var(ddof=1) / treated + news[held_out].var(ddof=1) / held))
    low, high = difference - Z95 * error, difference + Z95 * error
    rates = float(plain[~held_out].mean()), float(plain[held_out].mean())
    return (treated, held, *rates, difference, low, high, difference * treated, low * treated, high * treated, error * treated)
