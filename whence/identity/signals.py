"""Signals: touches, conversions and sightings seen alike, as carriers of identifiers."""

from __future__ import annotations

import pandas as pd

from whence.contracts.events import IDENTIFIERS, LINK_KEYS, LOGIN_KEYS, TIMES

COLUMNS = tuple(field.name for field in (*TIMES, *IDENTIFIERS))
"""What every signal has, whichever table it came from."""


def stack(touches: pd.DataFrame, conversions: pd.DataFrame, sightings: pd.DataFrame) -> pd.DataFrame:
    """One frame of signals with the columns of COLUMNS and `table`, sorted by seen_at and event_id."""
    named = {"touches": touches, "conversions": conversions, "sightings": sightings}
    parts = [frame.reindex(columns=list(COLUMNS)).assign(table=name) for name, frame in named.items() if len(frame)]
    if not parts:
        return pd.DataFrame(columns=[*COLUMNS, "table"])
    return pd.concat(parts).sort_values(["seen_at", "event_id"], ignore_index=True)


def carried(events: pd.DataFrame, keys: tuple[str, ...] = LINK_KEYS) -> pd.DataFrame:
    """A row for each identifier on each event: event (position), identifier (kind:value), strength (0 strongest), seen_at."""
    parts = [
        pd.DataFrame(
            {
                "event": events[key].notna().to_numpy().nonzero()[0],
                "identifier": f"{key}:" + events.loc[events[key].notna(), key].astype(str).to_numpy(),
                "strength": strength,
            }
        )
        for strength, key in enumerate(keys)
        if key in events and events[key].notna().any()
    ]
    if not parts:
        return pd.DataFrame(
            {"event": pd.Series(dtype="int64"), "identifier": pd.Series(dtype=object), "strength": pd.Series(dtype="int64")}
        )
    return pd.concat(parts, ignore_index=True)


def strongest(events: pd.DataFrame) -> pd.Series:
    """The strongest identifier of each event as kind:value, None without one; the join key of identifier_features.

    >>> strongest(pd.DataFrame({"email_hash": [None, "e1", None], "cookie_id": ["c1", "c2", None]})).tolist()
    ['cookie_id:c1', 'email_hash:e1', None]
    """
    found = carried(events).sort_values("strength", kind="stable").drop_duplicates("event").set_index("event")["identifier"]
    values = found.reindex(range(len(events))).astype(object)
    return values.where(values.notna(), None).set_axis(events.index)


def is_login(identifiers: pd.Series) -> pd.Series:
    """True for each identifier (kind:value) that only a log-in or a form gives.

    >>> is_login(pd.Series(["email_hash:e1", "cookie_id:c1"])).tolist()
    [True, False]
    """
    return identifiers.str.startswith(tuple(f"{key}:" for key in LOGIN_KEYS)).astype(bool)
