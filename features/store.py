"""Opening Feast for a home folder, and the three things that we ask of it: write online, join as of, push."""

from __future__ import annotations

import features.tamed  # noqa: F401  before Feast

# isort: split
import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from feast import FeatureStore
from feast.errors import FeastObjectNotFoundException
from feast.infra.provider import get_provider
from feast.repo_config import RepoConfig

from features.definitions import DIGEST_TAG, NETWORK_COUNTS, PROJECT, definitions
from features.online import FIELDS, JOIN_KEYS, open_online, shelf_address
from features.plugins import KNOWN_AT
from whence.contracts.tables import FEATURES
from whence.contracts.times import NaiveTimeError, Window, utc

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

NO_KEY = "\x00"
"""Stands for a null key in a join: no row has it."""
ROWS_AT_ONCE = 20_000


class HistoryError(ValueError):
    """A request for historical features that cannot be answered; the message says what to do."""


@contextmanager
def opened(settings: Settings) -> Iterator[FeatureStore]:
    """A feature store with today's definitions applied; only the first to come applies them."""
    folder = settings.home / "feast"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = definitions(settings.tables_uri, settings.features.max_age_hours)
    with (folder / "apply.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two processes that create the registry's tables at once would fail
        store = FeatureStore(config=_config(settings))
        if _applied(store) != wanted[0].tags[DIGEST_TAG]:
            store.apply(wanted)
    try:
        yield store
    finally:
        store.registry.write_engine.dispose()


def write_online(settings: Settings, window: Window) -> None:
    """Write what became known at the ends of the window's days to the online store, the latest row for each key.

    A newer value that is online already stays. Feast notes the interval once, however often this runs.
    """
    start, end = window.start + timedelta(days=1), window.end
    with opened(settings) as store:
        provider = get_provider(store.config)
        for name in FEATURES:
            view = store.get_feature_view(name)
            # FeatureStore.materialize would print, and leave the view MATERIALIZING in the registry when it is killed.
            provider.materialize_single_feature_view(store.config, view, start, end, store.registry, PROJECT, _no_bar)
            if (start, end) not in view.materialization_intervals:
                store.registry.apply_materialization(view, PROJECT, start, end)


def historical(settings: Settings, rows: pd.DataFrame, views: tuple[str, ...]) -> pd.DataFrame:
    """See features.historical."""
    keys = _keys(rows, views)
    asked = _asked(rows, keys)
    refs = [f"{view}:{field}" for view in views for field in FIELDS[view]]
    if rows.empty or not views:
        return _nothing(rows, views)
    with opened(settings) as store:
        found = store.get_historical_features(entity_df=asked, features=refs, full_feature_names=True).to_df()
    found = found.set_index("place").sort_index()
    result = rows.copy()
    for view in views:
        columns = [f"{view}__{field}" for field in FIELDS[view]]
        result[columns] = found[columns].set_axis(rows.index)
        ages = found["event_timestamp"] - pd.to_datetime(found[f"{view}__{KNOWN_AT}"], utc=True, cache=False)
        result[f"{view}__age_hours"] = (ages / pd.Timedelta(hours=1)).set_axis(rows.index)
    return result


def push_network_counts(settings: Settings, rows: pd.DataFrame, now: datetime) -> int:
    """See features.push_network_counts."""
    unknown = [column for column in rows.columns if column not in {*JOIN_KEYS["network_features"], *FIELDS["network_features"]}]
    if unknown or "ip_key" not in rows:
        wrong = f"has a column '{unknown[0]}'" if unknown else "has no column 'ip_key'"
        raise HistoryError(f"The push {wrong}. network_features has ip_key, {', '.join(FIELDS['network_features'])}.")
    full = _completed(settings, rows, now)
    full["seen_at"] = utc(now)
    with opened(settings) as store:
        store.push(NETWORK_COUNTS, full)
    return len(full)


def _config(settings: Settings) -> RepoConfig:
    folder = settings.home / "feast"
    return RepoConfig(
        project=PROJECT,
        provider="local",
        registry={
            "registry_type": "sql",  # the file registry loses concurrent applies without an error
            "path": f"sqlite:///{folder / 'registry.db'}",
            "sqlalchemy_config_kwargs": {"connect_args": {"timeout": 30, "factory": _Registry}},
        },
        offline_store={
            "type": "features.plugins.LakeOfflineStore",
            "uri": settings.tables_uri,
            "options": dict(settings.tables.options),
            "memory_limit": settings.tables.memory_limit,
        },
        online_store={
            "type": "features.plugins.ShelfOnlineStore",
            "kind": settings.features.online,
            "address": shelf_address(settings),
        },
        batch_engine="features.plugins.ShelfEngine",
        materialization={"online_write_batch_size": ROWS_AT_ONCE},  # without a size Feast writes the first Arrow chunk only
        entity_key_serialization_version=3,
        repo_path=folder,
    )


class _Registry(sqlite3.Connection):
    """A connection that does not wait for the disk at each of Feast's 400 commits: what is lost is applied again."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.execute("PRAGMA journal_mode = WAL")
        self.execute("PRAGMA synchronous = NORMAL")


def _applied(store: FeatureStore) -> str | None:
    try:
        tags: dict[str, str] = store.get_project(PROJECT).tags
    except FeastObjectNotFoundException:
        return None
    return tags.get(DIGEST_TAG)


def _no_bar(_: int) -> Any:
    return None


def _keys(rows: pd.DataFrame, views: tuple[str, ...]) -> list[str]:
    if unknown := [view for view in views if view not in FEATURES]:
        raise HistoryError(f"There is no feature view '{unknown[0]}'. There are {', '.join(FEATURES)}.")
    keys = list(dict.fromkeys(key for view in views for key in JOIN_KEYS[view]))
    if missing := [name for name in ("row_id", "seen_at", *keys) if name not in rows]:
        raise HistoryError(
            f"Rows for {', '.join(views)} lack the column '{missing[0]}'. They need row_id, seen_at, {', '.join(keys)}."
        )
    return keys


def _asked(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    if len(rows) and not isinstance(rows["seen_at"].dtype, pd.DatetimeTZDtype):
        raise NaiveTimeError(f"seen_at is {rows['seen_at'].dtype}. Make it a time with a zone, as datetime64[us, UTC].")
    if rows["seen_at"].isna().any():
        raise HistoryError("A row has no seen_at, so nobody can say what was known then. Leave it out.")
    asked = pd.DataFrame(
        {"place": range(len(rows)), "event_timestamp": pd.to_datetime(rows["seen_at"], utc=True).dt.as_unit("us").array}
    )
    for key in keys:
        asked[key] = rows[key].astype("object").where(rows[key].notna(), NO_KEY).array
    return asked


def _nothing(rows: pd.DataFrame, views: tuple[str, ...]) -> pd.DataFrame:
    result = rows.copy()
    for view in views:
        empty = FEATURES[view].schema.empty_table().to_pandas()
        for field in FIELDS[view]:
            result[f"{view}__{field}"] = empty[field].reindex(rows.index)
        result[f"{view}__age_hours"] = pd.Series(index=rows.index, dtype="float64")
    return result


def _completed(settings: Settings, rows: pd.DataFrame, now: datetime) -> pd.DataFrame:
    keys = [{"ip_key": key} for key in rows["ip_key"]]
    with open_online(settings) as online:
        held = online.read("network_features", keys, now)
    given = rows.astype(object).where(rows.notna(), None).to_dict("records")
    empty = dict.fromkeys(FIELDS["network_features"])
    full = [{**empty, **(row.values or {}), **fresh} for row, fresh in zip(held, given, strict=True)]
    columns = [FEATURES["network_features"].schema.field(name) for name in ("ip_key", *empty)]
    frame: pd.DataFrame = pa.Table.from_pylist(full, schema=pa.schema(columns)).to_pandas(types_mapper=pd.ArrowDtype)
    return frame
