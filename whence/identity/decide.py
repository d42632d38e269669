"""From probabilities to links: take the best candidate when it is sure enough and clearly ahead of the second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LEAD = 0.2
"""The least lead of the best candidate's probability over the second's."""

AGREEMENT = 2 / 3
"""Of an unknown person's linked signals, the least share that must name the same person."""


def links(pairs: pd.DataFrame, cut: float, lead: float = LEAD) -> pd.DataFrame:
    """At most one link a signal: event_id, person_id, probability, lead; sorted by event_id.

    `pairs` has event_id, person_id and calibrated probability, each pair once. A link needs a probability of
    at least `cut` and a lead of at least `lead` over the signal's second candidate (over 0 without one).

    >>> pairs = pd.DataFrame({"event_id": ["e", "e"], "person_id": ["p", "q"], "probability": [0.9, 0.4]})
    >>> links(pairs, cut=0.7).to_dict("records")
    [{'event_id': 'e', 'person_id': 'p', 'probability': 0.9, 'lead': 0.5}]
    """
    ordered = pairs.sort_values(["event_id", "probability", "person_id"], ascending=[True, False, True])
    second = ordered.groupby("event_id")["probability"].shift(-1).fillna(0.0)
    best = ordered.assign(lead=ordered["probability"] - second).drop_duplicates("event_id")
    is_taken = (best["probability"] >= cut) & (best["lead"] >= lead)
    return best.loc[is_taken, ["event_id", "person_id", "probability", "lead"]].reset_index(drop=True)


def best(persons: Sequence[str], probability: npt.NDArray[np.float64]) -> tuple[int, float]:
    """Of one signal's candidates the place of the best, and its lead over the second (over 0 without one), as `links` has them.

    >>> import numpy as np
    >>> best(["p", "q"], np.array([0.5, 0.75]))
    (1, 0.25)
    """
    sure = probability.tolist()
    most = max(sure)
    if sure.count(most) > 1:
        tied = [place for place, each in enumerate(sure) if each == most]
        return min(tied, key=lambda place: persons[place]), 0.0
    place = sure.index(most)
    del sure[place]
    return place, most - max(sure, default=0.0)


def moves(taken: pd.DataFrame, own: pd.Series, agreement: float = AGREEMENT) -> pd.DataFrame:
    """Which unknown persons turn out to be known ones: from_person, person_id, probability; sorted by from_person.

    `taken` are links; `own` the person that each signal's own identifiers name (person_id by event_id), one
    known by a cookie or a device alone. All of that person's linked signals vote: it moves when at least
    `agreement` of them name the same person, with the mean probability of those that do.
    """
    votes = taken.assign(from_person=taken["event_id"].map(own)).dropna(subset="from_person")
    votes = votes[votes["from_person"] != votes["person_id"]]
    told = votes.groupby(["from_person", "person_id"])["probability"].agg(["size", "mean"]).reset_index()
    told["share"] = told["size"] / told.groupby("from_person")["size"].transform("sum")
    told = told[told["share"] >= agreement].sort_values(["from_person", "size", "person_id"], ascending=[True, False, True])
    best = told.drop_duplicates("from_person").rename(columns={"mean": "probability"})
    return best[["from_person", "person_id", "probability"]].reset_index(drop=True)
