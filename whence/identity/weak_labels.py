"""Weak labels: a log-in tells who a signal was; hide it, and the signal is an example of one that did not log in."""

from __future__ import annotations

from hashlib import sha256

import pandas as pd

from whence.contracts.events import LINK_KEYS, LOGIN_KEYS
from whence.identity.exact import who

BARE_SHARE = 0.5
"""The share of examples whose cookie and device are hidden too, as a new cookie says nothing of its past."""


def masked(signals: pd.DataFrame, persons: pd.DataFrame, seed: int = 7, bare_share: float = BARE_SHARE) -> pd.DataFrame:
    """The signals whose log-in names a person, with the log-in hidden and the answer beside it.

    `signals` as from signals.stack, `persons` as known at the end of the training window. Returns them with
    every log-in key None, `person_id` the answer and `is_bare` true where cookie and device are None as well:
    a seeded share, chosen by event_id alone so that more data does not change who is chosen. Index as given.
    """
    answer = who(signals.drop(columns=[key for key in LINK_KEYS if key not in LOGIN_KEYS], errors="ignore"), persons)
    told = signals[answer.notna()]
    is_bare = told["event_id"].map(lambda event: _lot(seed, event) < bare_share).astype(bool)
    held = {key: told[key].astype(object).where(~is_bare, None) for key in LINK_KEYS if key not in LOGIN_KEYS and key in told}
    hidden = {key: None for key in LOGIN_KEYS if key in told}
    return told.assign(**hidden, **held, person_id=answer[answer.notna()], is_bare=is_bare)


def labels(pairs: pd.DataFrame, examples: pd.DataFrame) -> pd.Series:
    """1 for each pair whose candidate is the person that the hidden log-in names, else 0; index as in `pairs`.

    `pairs` as from retrieve.candidates, `examples` as from `masked`.
    """
    answer = pairs["event_id"].map(examples.set_index("event_id")["person_id"])
    return (pairs["person_id"] == answer).astype("int64")


def _lot(seed: int, event: str) -> float:
    """A number in [0, 1) drawn by the event's name."""
    return int.from_bytes(sha256(f"{seed}:{event}".encode()).digest()[:8]) / 2**64
