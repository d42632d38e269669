"""Features as they stood on another day than the rows are of: at the same hour of that day, with the ages that they had then."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pandas as pd

from features.packing import JOIN_KEYS
from whence.contracts.times import Window

if TYPE_CHECKING:
    from whence.lake import Lake

History = Callable[[pd.DataFrame, tuple[str, ...]], pd.DataFrame]
"""features.historical for some settings: rows and views in, the same rows with feature columns out."""


@dataclass(frozen=True)
class Shelf:
    """Feature tables as of any hour; each question is asked once."""

    ask: History
    lake: Lake
    max_age_hours: float
    _told: dict[str, pd.DataFrame] = field(default_factory=dict)

    def history(self, shift: timedelta, by_person: timedelta) -> History:
        """What the tables said `shift` after each row's own hour.

        A key that they did not hold at that hour came with the rows, or went with them, and keeps what is known of it at its own
        hour (a person, at the hour `by_person` after it: that of who is who). Where a view has no rows at all at that hour,
        what was missing then stays missing.
        """

        def ask(rows: pd.DataFrame, views: tuple[str, ...]) -> pd.DataFrame:
            found = self._at(rows, views, shift)
            for view in views:
                own = by_person if "person_id" in JOIN_KEYS[view] and by_person != shift else timedelta(0)
                if own != shift and len(rows) and self._has(view, rows["seen_at"] + shift):
                    found = _filled(found, self._at, rows, view, own)
            return found.assign(seen_at=rows["seen_at"])

        return ask

    def _at(self, rows: pd.DataFrame, views: tuple[str, ...], shift: timedelta) -> pd.DataFrame:
        moved = rows.assign(seen_at=rows["seen_at"] + shift)
        keys = ["row_id", "seen_at", *dict.fromkeys(key for view in views for key in JOIN_KEYS[view])]
        asked = moved[keys].astype({key: object for key in keys if key not in ("row_id", "seen_at")})
        name = hashlib.sha256(
            pd.util.hash_pandas_object(asked, index=False).to_numpy().tobytes() + repr(views).encode()
        ).hexdigest()
        if name not in self._told:
            self._told[name] = self.ask(moved[keys], views).drop(columns=keys).reset_index(drop=True)
        return pd.concat([moved, self._told[name].set_axis(moved.index)], axis=1)

    def _has(self, view: str, at: pd.Series) -> bool:
        oldest = (at.min() - timedelta(hours=self.max_age_hours)).date()
        known = Window(oldest, max(oldest, at.max().date() - timedelta(days=1)))
        return bool(set(self.lake.days(view)) & set(known.days))


def _filled(
    found: pd.DataFrame,
    at: Callable[[pd.DataFrame, tuple[str, ...], timedelta], pd.DataFrame],
    rows: pd.DataFrame,
    view: str,
    own: timedelta,
) -> pd.DataFrame:
    """The rows whose key the view did not hold, with what it held at their own hour."""
    lacking = found[f"{view}__age_hours"].isna()
    if not lacking.any():
        return found
    columns = [name for name in found.columns if name.startswith(f"{view}__")]
    there = at(rows, (view,), own)[columns]
    filled: pd.DataFrame = found.assign(**{name: found[name].where(~lacking, there[name]) for name in columns})
    return filled
