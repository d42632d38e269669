"""The places of touches on their paths, counted again when some touches are left out."""

from __future__ import annotations

import numpy as np
import pandas as pd

CLICK = "click"


def numbered(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs with place, from_last, path_length and clicks_in_path as they are among these rows alone.

    `pairs` has conversion_id and touch_kind, and is sorted by conversion and time, as from journeys.candidate_touches.

    >>> pairs = pd.DataFrame({"conversion_id": ["a", "a", "b"], "touch_kind": ["view", "click", "view"]})
    >>> numbered(pairs)[["place", "from_last", "path_length", "clicks_in_path"]].to_numpy().tolist()
    [[0, 1, 2, 1], [1, 0, 2, 1], [0, 0, 1, 0]]
    """
    codes = pd.factorize(pairs["conversion_id"])[0]
    length = np.bincount(codes)[codes] if len(codes) else np.zeros(0, dtype=np.int64)
    starts = np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]])) if len(codes) else np.zeros(0, dtype=np.int64)
    place = np.arange(len(codes)) - np.repeat(starts, np.diff(np.append(starts, len(codes))))
    is_click = (pairs["touch_kind"] == CLICK).to_numpy(dtype=np.float64)
    clicks = np.bincount(codes, is_click)[codes] if len(codes) else np.zeros(0)
    return pairs.assign(place=place, from_last=length - 1 - place, path_length=length, clicks_in_path=clicks.astype(np.int64))
