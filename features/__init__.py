"""The features room's front doors: make the tables, read them as of a time, read them online, push fresh counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from features.online import OnlineRow, OnlineStore
    from features.steps import MaterialiseReport
    from whence.contracts.settings import Settings
    from whence.contracts.times import Window


def materialise(settings: Settings, window: Window, progress: Callable[[int, int], None] | None = None) -> MaterialiseReport:
    """Make the five feature tables for each day of the window, then write the window's latest rows online.

    A day's rows say what was known at its end, from partitions with day ≤ D alone. A rerun changes nothing; a window
    equals its days one by one; an older window never takes the place of a newer online value. `progress` is called
    with steps done and steps in all.
    """
    from features.steps import run

    return run(settings, window, progress)


def historical(settings: Settings, rows: pd.DataFrame, views: tuple[str, ...]) -> pd.DataFrame:
    """The rows, in their order, with what each view knew at each row's `seen_at`.

    `rows` has `row_id`, `seen_at` (a time with a zone) and the views' join keys, in which nulls are allowed. Added are
    `{view}__{feature}` for all features of each view and `{view}__age_hours`, all null where nothing was known, or where
    it was older than `settings.features.max_age_hours`. A feature row counts when its seen_at ≤ the row's. Raises
    HistoryError for an unknown view or a missing column, NaiveTimeError for times without a zone.
    """
    from features.store import historical as ask

    return ask(settings, rows, views)


def open_online(settings: Settings) -> OnlineStore:
    """The online store, to open once and read often; it imports no Feast. see features.online.OnlineStore."""
    from features.online import open_online as open_store

    return open_store(settings)


def read_online(
    settings_or_store: Settings | OnlineStore, view: str, keys: Sequence[Mapping[str, str | None]], now: datetime
) -> list[OnlineRow]:
    """One OnlineRow (values, age_hours, is_stale) for each key, in order, as of `now`; see OnlineStore.read."""
    from features.online import OnlineStore

    if isinstance(settings_or_store, OnlineStore):
        return settings_or_store.read(view, keys, now)
    with open_online(settings_or_store) as store:
        return store.read(view, keys, now)


def push_network_counts(settings: Settings, rows: pd.DataFrame, now: datetime) -> int:
    """Put fresh counts of networks online, known from `now` on; give the number of rows.

    `rows` has `ip_key` and any features of network_features; those that it lacks keep their online value. An older push,
    and a materialisation of an earlier day, never take the place of a newer value.
    """
    from features.store import push_network_counts as push

    return push(settings, rows, now)
