"""What speaks for a touch having earned a conversion: the inputs of attribution-ranker, the same everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from whence import columns
from whence.columns import HOUR, Columns

VIEWS = ("campaign_features", "network_features", "person_features")
"""The feature views whose columns `pair_frame` reads: the touch's campaign_id and ip_key, the pair's person_id."""

COPIED = {
    "campaign_views_7d": "campaign_features__views_7d",
    "campaign_clicks_7d": "campaign_features__clicks_7d",
    "campaign_click_rate_7d": "campaign_features__click_rate_7d",
    "campaign_conversion_rate_7d": "campaign_features__conversion_rate_7d",
    "network_persons_7d": "network_features__persons_7d",
    "person_touches_7d": "person_features__touches_7d",
    "person_clicks_7d": "person_features__clicks_7d",
    "person_conversions_14d": "person_features__conversions_14d",
}
FROM_JOURNEY = (
    "hours_before",
    "place",
    "from_last",
    "path_length",
    "clicks_in_path",
    "eligible_campaign",
    "eligible_any",
    "same_cookie",
    "same_device",
    "same_ip",
)
SOURCES = {name: source.split("__")[0] for name, source in COPIED.items()}
"""The view that an input rests on; the others come with the journey."""
SCHEMA_NUMBERS = (*COPIED, *FROM_JOURNEY, "is_click", "hour_of_day")
SCHEMA_CATEGORIES = ("channel", "touch_kind", "campaign_id", "conversion_kind")


def pair_columns(path: Columns, facts: Columns) -> dict[str, Any]:
    """The model's inputs by name, a row for each pair: SCHEMA_NUMBERS, and SCHEMA_CATEGORIES as `path` has them.

    `path` has, row by row with `facts`, FROM_JOURNEY as numbers, `converted_at` in microseconds since 1970, SCHEMA_CATEGORIES as
    texts; `facts` has COPIED's sources, as known at the conversion's seen_at. Missing is as in whence.columns.
    """
    inputs: dict[str, Any] = {name: facts[source] for name, source in COPIED.items()}
    inputs |= {name: path[name] for name in FROM_JOURNEY}
    inputs["is_click"] = np.array([float(kind == "click") for kind in path["touch_kind"]])
    inputs["hour_of_day"] = (path["converted_at"] // HOUR % 24).astype(np.float64)
    return inputs | {name: path[name] for name in SCHEMA_CATEGORIES}


def path_columns(pairs: pd.DataFrame) -> dict[str, Any]:
    """What `pair_columns` reads of the pairs that journeys.candidate_touches found."""
    path: dict[str, Any] = {name: columns.numbers(pairs, name) for name in FROM_JOURNEY}
    path["converted_at"] = columns.times(pairs, "converted_at")
    return path | {name: columns.texts(pairs, name) for name in SCHEMA_CATEGORIES}


def pair_frame(pairs: pd.DataFrame, features: pd.DataFrame) -> pd.DataFrame:
    """The model's inputs, a row for each pair: SCHEMA_NUMBERS (float64), SCHEMA_CATEGORIES (text), index as in `pairs`.

    `pairs` come from journeys.candidate_touches; `features` has, row by row, the columns `{view}__{feature}`
    of VIEWS as known at the conversion's seen_at. An absent feature counts as missing. No click_id is read.
    """
    facts = {name: columns.numbers(features, name) for name in COPIED.values()}
    if not len(features):
        facts = {name: np.full(len(pairs), np.nan) for name in facts}
    inputs = pd.DataFrame(pair_columns(path_columns(pairs), facts), index=pairs.index)
    return inputs.astype(dict.fromkeys(SCHEMA_CATEGORIES, object))


def labels(pairs: pd.DataFrame) -> pd.Series:
    """1 where the conversion carries this touch's click_id, 0 for its other touches, NaN where that cannot be told.

    Told only for conversions whose click_id is that of a candidate, and for touches found by the person:
    a pair that only the click_id brought together would give the answer away.
    """
    by_person = pairs["via"] == "person"
    same = pairs["same_click"].where(by_person)
    is_told = same.groupby(pairs["conversion_id"]).transform("max") == 1
    return same.where(is_told)


def baseline_group(pairs: pd.DataFrame) -> pd.Series:
    """The last-touch baseline's group of each pair: `last` for a conversion's last touch, else `earlier`.

    The baseline's probability is the share of earning touches in the pair's group, learned where the model is.
    """
    return pd.Series(np.where(pairs["from_last"] == 0, "last", "earlier"), index=pairs.index)
