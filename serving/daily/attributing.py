"""From conversions and the touches before them to credit, by every algorithm that the policy asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from serving.daily.ranking import History
from whence.attribution import credit, evidence, fraud, markov, paths, response, rules, shapley, value
from whence.attribution.near import lately
from whence.attribution.policy import Policy
from whence.attribution.told import Touches
from whence.bundle import Scorer
from whence.contracts.models import ATTRIBUTION_RANKER, EXPOSURE_RESPONSE
from whence.identity.signals import strongest

KEYS = ["conversion_id", "algorithm"]
MARKOV, SHAPLEY, INCREMENTAL = "markov", "shapley", "incremental"


@dataclass(frozen=True)
class Algorithm:
    """A way of sharing a conversion among its touches."""

    name: str
    share: Callable[[pd.DataFrame], pd.Series]
    """The share of each pair, by its index, for any part of the pairs of whole conversions."""
    bundle: str | None = None


@dataclass(frozen=True)
class Scored:
    """Rows that a model scored, with what it saw."""

    subjects: pd.DataFrame
    inputs: pd.DataFrame
    raw: np.ndarray
    probability: np.ndarray


def judged(pairs: pd.DataFrame, touches: Touches, policy: Policy) -> pd.DataFrame:
    """The pairs of journeys.candidate_touches, with why a touch looks like fraud; `touches` are all of the time around."""
    return pairs.assign(suspect=fraud.suspicions(pairs, touches, policy.fraud))


def credits_of(counted: pd.DataFrame, pairs: pd.DataFrame, algorithms: Sequence[Algorithm]) -> pd.DataFrame:
    """Rows of credit (credit.ROW) for every conversion of `counted`, by each algorithm, with and without suspect touches.

    `counted` comes from orders.sort_out, and `pairs`, of these conversions, from `judged`.
    """
    parts = [
        credit.credit_rows(counted, pairs, one.share(pairs), one.name, one.bundle, rules.clean_share(pairs, one.share))
        for one in algorithms
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(credit.ROW))


def without_a_model(policy: Policy) -> list[str]:
    """The policy's algorithms that need no champion."""
    return [name for name in policy.algorithms if name not in (rules.RANKER, INCREMENTAL)]


def plain(policy: Policy, pairs: pd.DataFrame, touches: Touches) -> list[Algorithm]:
    """The policy's algorithms that need no model: rules, and those that are solved for these journeys.

    `pairs` are of all conversions at hand, and `touches` all of the time, so that journeys to nothing count too.
    """
    asked = [name for name in policy.algorithms if name in rules.RULES]
    found = [Algorithm(name, partial(rules.share, algorithm=name, policy=policy)) for name in asked]
    if MARKOV in policy.algorithms or SHAPLEY in policy.algorithms:
        walked = paths.of_journeys(pairs, touches)
    if MARKOV in policy.algorithms:
        chain = markov.fit(walked, int(policy.parameter(MARKOV, "order", 1)))
        found.append(Algorithm(MARKOV, partial(markov.share, model=chain)))
    if SHAPLEY in policy.algorithms:
        found.append(Algorithm(SHAPLEY, partial(shapley.share, rates=shapley.fit(walked))))
    return found


def _by_rank(
    pairs: pd.DataFrame, counted: pd.DataFrame, touches: Touches, history: History, scorer: Scorer, policy: Policy
) -> tuple[Algorithm, Scored]:
    """Credit by what the ranker says of each pair."""
    scored = score_pairs(pairs, history, scorer)
    probability = pd.Series(scored.probability, index=pairs.index)
    return Algorithm(rules.RANKER, lambda some: rules.ranker_share(some, probability.loc[some.index]), scorer.digest), scored


def _by_response(
    pairs: pd.DataFrame, counted: pd.DataFrame, touches: Touches, history: History, scorer: Scorer, policy: Policy
) -> tuple[Algorithm, Scored]:
    """Credit by what would not have happened without each touch; a suspect touch's part is of no ad when it is left out."""
    moments = counted.dropna(subset="person_id").reset_index(drop=True)
    backwards = policy.parameter(INCREMENTAL, "backwards", 0) > 0
    features = history(response.before(moments), response.VIEWS)
    columns = response.columns_named(scorer.schema.names)
    met = lately(touches, moments, columns.by, columns.look_back, response.MOST_TOUCHES)
    shares, said = response.share(pairs[pairs["person_id"].notna()], moments, met, features, scorer, backwards=backwards)
    full = shares.reindex(pairs.index, fill_value=0.0)
    algorithm = Algorithm(INCREMENTAL, lambda some: full.loc[some.index], scorer.digest)
    return algorithm, Scored(said.subjects, said.inputs, said.raw, said.probability)


Learned = Callable[[pd.DataFrame, pd.DataFrame, Touches, History, Scorer, Policy], tuple[Algorithm, Scored]]


def score_pairs(pairs: pd.DataFrame, history: History, ranker: Scorer) -> Scored:
    """The probability of each pair's touch having earned the conversion, with features as known when it was seen."""
    rows = pairs.assign(row_id=range(len(pairs)))
    inputs = evidence.pair_frame(pairs, history(rows, evidence.VIEWS))
    raw, probability = ranker.score(inputs)
    shares = rules.ranker_share(pairs, probability)
    subjects = pd.DataFrame({"subject": pairs["conversion_id"], "option": pairs["touch_id"], "made_at": pairs["seen_at"]})
    return Scored(subjects.assign(chosen=_earns_most(pairs, shares)), inputs, raw, probability)


def score_touches(touches: pd.DataFrame, history: History, scorer: Scorer) -> Scored:
    """The probability of each touch leading to a conversion: of all of one day's, or of some that carry value.COUNTS.

    Ghosts are left out. As in training, a person's features go by the person that the touch's identifier led to then.
    """
    shown = touches[touches["kind"] != "eligible"].reset_index(drop=True)
    asked = shown[["seen_at", "campaign_id", "ip_key"]].assign(row_id=range(len(shown)), identifier=strongest(shown))
    first = history(asked, tuple(view for view in value.VIEWS if view != "person_features"))
    then = asked[["row_id", "seen_at"]].assign(person_id=first["identifier_features__person_id"])
    person = history(then, ("person_features",)).filter(like="person_features__")
    inputs = value.touch_frame(shown, pd.concat([first, person], axis=1))
    raw, probability = scorer.score(inputs)
    return Scored(pd.DataFrame({"subject": shown["touch_id"], "made_at": shown["seen_at"]}), inputs, raw, probability)


LEARNED: tuple[tuple[str, str, Learned], ...] = (
    (ATTRIBUTION_RANKER, rules.RANKER, _by_rank),
    (EXPOSURE_RESPONSE, INCREMENTAL, _by_response),
)
"""Model, the algorithm that it serves, and how."""


def take_back(refunds: pd.DataFrame, known: pd.DataFrame, algorithms: Sequence[str]) -> pd.DataFrame:
    """Credit rows of refunds: each takes `takes_micros` from where its conversion's credit went, in the same shares.

    `refunds` come from orders.sort_out; `known` holds the current statements of their conversions. The rest of a refund's
    value, and all of it where an algorithm never credited the conversion, is from no ad, for each of `algorithms`.
    """
    known = known[known.groupby(KEYS)["share"].transform("sum") > 0]
    found = refunds.merge(known, left_on="original", right_on="conversion_id", suffixes=("", "_given"))
    copied = {name: found[f"{name}_given" if f"{name}_given" in found else name] for name in _COPIED}
    rows = found[["conversion_id", "takes_micros", "value_micros", "seen_at"]].assign(**copied, currency=found["currency"])
    rows = rows.sort_values([*KEYS, "touch_id"], ignore_index=True)
    starts = np.flatnonzero(~rows.duplicated(KEYS).to_numpy())
    takes, given = rows["takes_micros"].to_numpy(dtype="int64")[starts], rows["share"].to_numpy(dtype="float64")
    rows["credit_micros"] = credit.apportion(takes, given, starts)
    rows["clean_micros"] = credit.apportion(takes, _clean_weights(rows, starts, given), starts)
    rows["share"] = given * _part(rows["takes_micros"], rows["value_micros"])
    rows["new_to_brand"] = rows["new_to_brand"].astype(object)  # as a truth value, None would be False
    rest = [_typed(_no_ad(refunds, rows[rows["algorithm"] == each], each), rows) for each in algorithms]
    return _summed(pd.concat([each for each in (rows, *rest) if len(each)] or [rows], ignore_index=True))


def _clean_weights(rows: pd.DataFrame, starts: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Each row's part of its conversion's credit without suspect touches."""
    clean = np.abs(rows["clean_micros"].to_numpy(dtype="float64"))
    if not len(clean):
        return otherwise
    whole = np.repeat(np.add.reduceat(clean, starts), np.diff(np.append(starts, len(clean))))
    return np.asarray(np.divide(clean, whole, out=otherwise.copy(), where=whole > 0))


def _summed(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a touch: what a refund takes from the share of no ad and what is left of it are the same row."""
    added = ["share", "credit_micros", "clean_micros"]
    sums = rows.groupby([*KEYS, "touch_id"])[added].sum().reset_index()
    facts = rows.drop(columns=added).drop_duplicates([*KEYS, "touch_id"])
    both = facts.merge(sums, on=[*KEYS, "touch_id"]).sort_values([*KEYS, "touch_id"], ignore_index=True)
    return both.assign(day=pd.to_datetime(both["seen_at"], utc=True).dt.strftime("%Y-%m-%d"))[list(credit.ROW)]


def _part(micros: pd.Series, whole: pd.Series) -> pd.Series:
    """The part of the whole, all of it where the whole is nothing."""
    return (micros / whole.where(whole != 0)).fillna(1.0)


def _no_ad(refunds: pd.DataFrame, taken: pd.DataFrame, algorithm: str) -> pd.DataFrame:
    """What refunds take from no ad: all that `taken` does not take from where this algorithm's credit went."""
    is_taken = refunds["conversion_id"].isin(taken["conversion_id"])
    micros = refunds["value_micros"] - refunds["takes_micros"].where(is_taken, 0)
    left, micros = refunds[(micros != 0) | ~is_taken], micros[(micros != 0) | ~is_taken]
    place = dict.fromkeys(("touch_id", "campaign_id", "channel", "suspect"), credit.NO_AD)
    known = {"touched_at": None, "certainty": 1.0, "new_to_brand": None, "bundle": None, "person_id": left["person_id"]}
    facts = left[["conversion_id", "currency", "seen_at"]]
    share = _part(micros, left["value_micros"])
    return facts.assign(algorithm=algorithm, share=share, credit_micros=micros, clean_micros=micros, **place, **known)


def _typed(rows: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    """The rows with the types that `like` has: where all that is known of a column is that nothing is, it has none of its own."""
    return rows.astype({name: like[name].dtype for name in rows if name in like}) if len(like) else rows


_COPIED = tuple(name for name in credit.ROW if name not in ("day", "conversion_id", "credit_micros", "currency"))
"""What a refund's rows have from those of its conversion."""


def _earns_most(pairs: pd.DataFrame, shares: pd.Series) -> pd.Series:
    """True for the one touch of a conversion that earns more than any other, and more than no ad."""
    by_conversion = shares.groupby(pairs["conversion_id"])
    no_ad = 1.0 - by_conversion.transform("sum")
    is_first = ~pairs.assign(most=shares.eq(by_conversion.transform("max")))[["conversion_id", "most"]].duplicated()
    return shares.eq(by_conversion.transform("max")) & (shares > no_ad) & is_first
