"""Candidates: the few persons that a signal could belong to, found by its network and its identifiers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def candidates(
    signals: pd.DataFrame, network_people: pd.Series, known: pd.Series | None = None, max_candidates: int = 20
) -> pd.DataFrame:
    """Pairs to be ranked: event_id, person_id and `via` (identifier or network), at most `max_candidates` a signal.

    `signals` has event_id; `network_people` holds, row by row with it, the JSON list of
    network_features.people as known at the signal's seen_at (null when the network is new); `known` the
    person that an identifier names (null when none does), who is always a candidate and comes first.
    Sorted by signal (in the order given) and rank in the list.

    >>> import pandas as pd
    >>> candidates(pd.DataFrame({"event_id": ["e1", "e2"]}), pd.Series(['["p1", "p2"]', None])).to_dict("records")
    [{'event_id': 'e1', 'person_id': 'p1', 'via': 'network'}, {'event_id': 'e1', 'person_id': 'p2', 'via': 'network'}]
    """
    import pandas as pd

    named = [None] * len(signals) if known is None else known.tolist()
    rows = [
        (event_id, person, "identifier" if place == 0 and isinstance(first, str) else "network")
        for event_id, first, text in zip(signals["event_id"], named, network_people, strict=True)
        for place, person in enumerate(listed(first, text, max_candidates))
    ]
    return pd.DataFrame(rows, columns=["event_id", "person_id", "via"], dtype=object)


def listed(first: object, text: object, max_candidates: int) -> list[str]:
    """One signal's candidates: the person that an identifier names, then those on its network (a JSON list), each once.

    >>> listed("p2", '["p1", "p2", "p3"]', max_candidates=2)
    ['p2', 'p1']
    """
    people = json.loads(text) if isinstance(text, str) else []
    return (list(dict.fromkeys([first, *people])) if isinstance(first, str) else people)[:max_candidates]


def recall(pairs: pd.DataFrame, truth: pd.Series) -> float:
    """The share of signals whose true person is among their candidates; `truth` is person_id by event_id.

    >>> import pandas as pd
    >>> recall(pd.DataFrame({"event_id": ["e1"], "person_id": ["p1"]}), pd.Series({"e1": "p1", "e2": "p2"}))
    0.5
    """
    is_true = pairs["person_id"].to_numpy() == pairs["event_id"].map(truth).to_numpy()
    return float(pairs.loc[is_true, "event_id"].nunique() / len(truth)) if len(truth) else float("nan")
