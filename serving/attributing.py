"""From a day's conversions and the touches before them to credit, by every rule and by the ranker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from serving.ranking import History
from whence.attribution import credit, evidence, journeys, rules, value
from whence.attribution.orders import Orders
from whence.bundle import Scorer
from whence.contracts.settings import Attribution
from whence.identity.signals import strongest

KEYS = ["conversion_id", "algorithm"]


@dataclass(frozen=True)
class Scored:
    """Rows that a model scored, with what it saw."""

    subjects: pd.DataFrame
    inputs: pd.DataFrame
    raw: np.ndarray
    probability: np.ndarray


@dataclass(frozen=True)
class Credited:
    """A day's credits, and the pairs that the ranker scored for them."""

    credits: pd.DataFrame
    scored: Scored | None


def attribute(
    orders: Orders, touches: pd.DataFrame, past: pd.DataFrame, history: History, ranker: Scorer | None, policy: Attribution
) -> Credited:
    """Credit a day's conversions, and take refunds back from where the credit went.

    `orders.counted` and `touches` carry person_id; `past` are the `credits` of earlier conversions, for refunds.
    """
    pairs = journeys.candidate_touches(orders.counted, touches, policy.click_days, policy.view_days)
    parts = [
        credit.credit_rows(orders.counted, pairs, rules.share(pairs, rule, policy.half_life_days), rule) for rule in rules.RULES
    ]
    scored = score_pairs(pairs, history, ranker) if ranker is not None else None
    if scored is not None and ranker is not None:
        shares = rules.ranker_share(pairs, scored.probability)
        parts.append(credit.credit_rows(orders.counted, pairs, shares, rules.RANKER, ranker.digest))
        scored = Scored(scored.subjects.assign(chosen=_earns_most(pairs, shares)), scored.inputs, scored.raw, scored.probability)
    new = pd.concat(parts, ignore_index=True)
    known = pd.concat([past, new], ignore_index=True) if len(past) else new
    algorithms = (*rules.RULES, *((rules.RANKER,) if ranker is not None else ()))
    return Credited(pd.concat([new, take_back(orders.refunds, known, algorithms)], ignore_index=True), scored)


def score_pairs(pairs: pd.DataFrame, history: History, ranker: Scorer) -> Scored:
    """The probability of each pair's touch having earned the conversion, with features as known when it was seen."""
    rows = pairs.assign(row_id=range(len(pairs)))
    inputs = evidence.pair_frame(pairs, history(rows, evidence.VIEWS))
    raw, probability = ranker.score(inputs)
    subjects = pd.DataFrame({"subject": pairs["conversion_id"], "option": pairs["touch_id"], "made_at": pairs["seen_at"]})
    return Scored(subjects, inputs, raw, probability)


def score_touches(touches: pd.DataFrame, history: History, scorer: Scorer) -> Scored:
    """The probability of each touch of one day leading to a conversion; ghosts are left out.

    As in training, a person's features go by the person that the touch's identifier led to then.
    """
    shown = touches[touches["kind"] != "eligible"].reset_index(drop=True)
    asked = shown[["seen_at", "campaign_id", "ip_key"]].assign(row_id=range(len(shown)), identifier=strongest(shown))
    first = history(asked, tuple(view for view in value.VIEWS if view != "person_features"))
    then = asked[["row_id", "seen_at"]].assign(person_id=first["identifier_features__person_id"])
    person = history(then, ("person_features",)).filter(like="person_features__")
    inputs = value.touch_frame(shown, pd.concat([first, person], axis=1), history=touches)
    raw, probability = scorer.score(inputs)
    return Scored(pd.DataFrame({"subject": shown["touch_id"], "made_at": shown["seen_at"]}), inputs, raw, probability)


def take_back(refunds: pd.DataFrame, known: pd.DataFrame, algorithms: tuple[str, ...]) -> pd.DataFrame:
    """Credit rows of refunds: each takes its value from where its conversion's credit went, in the same shares.

    A refund whose conversion was never credited takes from no ad, for each of `algorithms`.
    """
    if refunds.empty:
        return known.head(0)
    found = refunds.merge(known, left_on="original", right_on="conversion_id", suffixes=("", "_given"))
    rows = pd.DataFrame(
        {
            "conversion_id": found["conversion_id"],
            **{name: found[f"{name}_given" if f"{name}_given" in found else name] for name in _COPIED},
            "value_micros": found["value_micros"],
            "currency": found["currency"],
            "seen_at": found["seen_at"],
        }
    )
    lost = refunds[~refunds["conversion_id"].isin(rows["conversion_id"])]
    rows = pd.concat([rows, *(_no_ad(lost, algorithm) for algorithm in algorithms)], ignore_index=True)
    rows = rows.sort_values([*KEYS, "touch_id"], ignore_index=True)
    rows["credit_micros"] = _split(rows)
    rows["day"] = pd.to_datetime(rows["seen_at"], utc=True).dt.strftime("%Y-%m-%d")
    return rows[list(credit.ROW)]


_COPIED = ("algorithm", "touch_id", "campaign_id", "channel", "person_id", "share", "bundle")


def _no_ad(lost: pd.DataFrame, algorithm: str) -> pd.DataFrame:
    facts = lost[["conversion_id", "value_micros", "currency", "seen_at"]]
    place = {"touch_id": credit.NO_AD, "campaign_id": credit.NO_AD, "channel": credit.NO_AD, "person_id": None}
    return facts.assign(algorithm=algorithm, share=1.0, bundle=None, **place)


def _split(rows: pd.DataFrame) -> np.ndarray:
    parts: list[int] = []
    for _, one in rows.groupby(KEYS, sort=False):
        parts.extend(credit.split(int(one["value_micros"].iloc[0]), one["share"].tolist()))
    return np.array(parts, dtype="int64")


def _earns_most(pairs: pd.DataFrame, shares: pd.Series) -> pd.Series:
    """True for the one touch of a conversion that earns more than any other, and more than no ad."""
    by_conversion = shares.groupby(pairs["conversion_id"])
    no_ad = 1.0 - by_conversion.transform("sum")
    is_first = ~pairs.assign(most=shares.eq(by_conversion.transform("max")))[["conversion_id", "most"]].duplicated()
    return shares.eq(by_conversion.transform("max")) & (shares > no_ad) & is_first
