"""How Feast reaches our tables and our online rows: an offline store over the lake, an online store over the shelf, an engine between.

Feast finds the classes by the names in the settings of `features/store.py`, and each one's `…Config` beside it. Its classes
are untyped, so a type checker sees Any beneath ours.
"""

from __future__ import annotations

import features.tamed  # noqa: F401  before Feast

# isort: split
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import ibis
import ibis.expr.operations as ops
import pandas as pd
import pyarrow as pa
from feast.infra.common.materialization_job import MaterializationJobStatus
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.ibis import (
    get_historical_features_ibis,
    pull_all_from_table_or_query_ibis,
    pull_latest_from_table_or_query_ibis,
)
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.online_stores.online_store import OnlineStore as FeastOnlineStore
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel
from pydantic import Field

from features.online import key_text
from features.packing import FIELDS, INSTANTS, JOIN_KEYS, NOT_A_TIME, Held, pack, pack_rows, unpack
from features.shelves import Shelf, open_shelf
from features.transforms import named
from whence.contracts.times import EPOCH, Window, micros
from whence.lake import Lake

KNOWN_AT = "known_at"
"""A column that each historical view gets besides its features: the seen_at of the row that was joined."""


class LakeOfflineStoreConfig(DuckDBOfflineStoreConfig):  # type: ignore[misc]
    """Where the Delta tables lie; see whence.lake.Lake."""

    type: str = "features.plugins.LakeOfflineStore"
    uri: str
    options: dict[str, str] = Field(default_factory=dict)
    memory_limit: str = "2GB"

    @property
    def lake(self) -> Lake:
        """The lake."""
        return Lake(self.uri, self.options, self.memory_limit)


class LakeOfflineStore(DuckDBOfflineStore):  # type: ignore[misc]
    """Feast's DuckDB store, reading the file list of a Delta version.

    Feast's own Delta reader needs a DuckDB extension that is fetched from the internet. Here a view is an unbound Ibis table
    with the contract's schema; the job runs the finished SQL in a DuckDB of its own, in UTC, under the lake's memory limit.
    """

    @staticmethod
    def get_historical_features(
        config: Any,
        feature_views: list[Any],
        feature_refs: list[str],
        entity_df: Any,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> LakeJob:
        """As-of rows of the views for each entity row, and `{view}__known_at` besides."""
        times = pd.to_datetime(entity_df["event_timestamp"], utc=True, cache=False)
        longest = max((view.ttl for view in feature_views), default=timedelta(0))
        columns = tuple(zip(entity_df.columns, map(str, entity_df.dtypes), strict=True))
        asked = (columns, tuple(feature_refs), tuple((view.name, view.ttl) for view in feature_views), full_feature_names)
        if (
            asked not in _HISTORICAL
        ):  # the same question of other rows is the same SQL, and making that takes longer than to run it
            job = get_historical_features_ibis(
                config=config,
                feature_views=feature_views,
                feature_refs=[*feature_refs, *(f"{view.projection.name_to_use()}:{KNOWN_AT}" for view in feature_views)],
                entity_df=entity_df,
                registry=registry,
                project=project,
                full_feature_names=full_feature_names,
                data_source_reader=_with_known_at,
                data_source_writer=_no_writer,
            )
            _HISTORICAL[asked] = Query.of(job.table)
        window = _days_known(times.min() - longest, times.max())
        return LakeJob(_HISTORICAL[asked], config.offline_store.lake, window, entity_df, full_feature_names)

    @staticmethod
    def pull_latest_from_table_or_query(
        config: Any,
        data_source: Any,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> LakeJob:
        """The latest row of each key whose seen_at is from start to end, both included."""
        job = pull_latest_from_table_or_query_ibis(
            config=config,
            data_source=data_source,
            join_key_columns=join_key_columns,
            feature_name_columns=feature_name_columns,
            timestamp_field=timestamp_field,
            created_timestamp_column=created_timestamp_column,
            start_date=start_date,
            end_date=end_date,
            data_source_reader=_read,
            data_source_writer=_no_writer,
        )
        return LakeJob(Query.of(job.table), config.offline_store.lake, _days_known(start_date, end_date))

    @staticmethod
    def pull_all_from_table_or_query(
        config: Any,
        data_source: Any,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> LakeJob:
        """All rows whose seen_at is from start to end, both included."""
        job = pull_all_from_table_or_query_ibis(
            config=config,
            data_source=data_source,
            join_key_columns=join_key_columns,
            feature_name_columns=feature_name_columns,
            timestamp_field=timestamp_field,
            data_source_reader=_read,
            data_source_writer=_no_writer,
            created_timestamp_column=created_timestamp_column,
            start_date=start_date,
            end_date=end_date,
        )
        window = _days_known(start_date, end_date) if start_date and end_date else None
        return LakeJob(Query.of(job.table), config.offline_store.lake, window)


class Query(NamedTuple):
    """What Ibis made of a question: SQL over tables of the lake, and over at most one of rows that are given."""

    sql: str
    tables: tuple[str, ...]
    given: str
    """The name by which the SQL calls the given rows; empty without any."""
    schema: pa.Schema
    """Of the given rows."""

    @classmethod
    def of(cls, table: Any) -> Query:
        """The query of an Ibis expression."""
        node = table.op()
        tables = tuple(each.name for each in node.find(ops.UnboundTable))
        given = next(iter(node.find(ops.InMemoryTable)), None)
        # Through SQL: Ibis' own execution calls what DuckDB 2.0 has deprecated.
        sql = str(ibis.to_sql(table, dialect="duckdb"))
        return cls(sql, tables, given.name, given.schema.to_pyarrow()) if given else cls(sql, tables, "", pa.schema([]))


_HISTORICAL: dict[Any, Query] = {}
"""By what is asked for and of which columns, which code decides: a handful."""


class LakeJob(RetrievalJob):  # type: ignore[misc]
    """A retrieval whose tables are read from the lake when it runs."""

    def __init__(
        self, query: Query, lake: Lake, window: Window | None, given: pd.DataFrame | None = None, full_feature_names: bool = False
    ) -> None:
        super().__init__()
        self._query = query
        self._lake = lake
        self._window = window
        self._given = given
        self._full_feature_names = full_feature_names

    @property
    def full_feature_names(self) -> bool:
        """Whether a feature is called by its view, too."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[Any]:
        """None: our features are made by the day."""
        return []

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        with self._lake.connect(self._window, *self._query.tables) as con:
            if self._query.given:
                con.register(
                    self._query.given, pa.Table.from_pandas(self._given, schema=self._query.schema, preserve_index=False)
                )
            rows = con.sql(self._query.sql).to_arrow_table()
        return rows.combine_chunks()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return frame


class ShelfEngineConfig(FeastConfigBaseModel):  # type: ignore[misc]
    """Nothing to set."""

    type: str = "features.plugins.ShelfEngine"


class ShelfEngine(LocalComputeEngine):  # type: ignore[misc]
    """Feast's own engine, save that what is known lately goes to the shelf in columns: Feast makes an object of every cell."""

    def _materialize_one(self, registry: Any, task: Any, **_: Any) -> LocalMaterializationJob:
        view = task.feature_view
        known = self.offline_store.pull_latest_from_table_or_query(
            self.repo_config,
            view.batch_source,
            list(JOIN_KEYS[view.name]),
            list(FIELDS[view.name]),
            view.batch_source.timestamp_field,
            None,
            task.start_time,
            task.end_time,
        ).to_arrow()
        with _shelf(self.repo_config) as shelf:
            for rows in known.to_batches(self.repo_config.materialization_config.online_write_batch_size):
                keys = zip(*(rows[name].to_pylist() for name in JOIN_KEYS[view.name]), strict=True)
                shelf.put(view.name, zip(map(key_text, keys), pack_rows(view.name, rows), strict=True))
        return LocalMaterializationJob(view.name, MaterializationJobStatus.SUCCEEDED)


class ShelfOnlineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]
    """Which shelf: see features.online.open_shelf."""

    type: str = "features.plugins.ShelfOnlineStore"
    kind: str = "sqlite"
    address: str


class ShelfOnlineStore(FeastOnlineStore):  # type: ignore[misc]
    """Feast's online store as one packed value for each key, which only a newer one replaces."""

    def online_write_batch(
        self,
        config: Any,
        table: Any,
        data: list[tuple[Any, dict[str, Any], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Keep each row unless a newer one is there."""
        rows = ((_key(table.name, key), _packed(table.name, values, at)) for key, values, at, _ in data)
        with _shelf(config) as shelf:
            shelf.put(table.name, rows)
        if progress:
            progress(len(data))

    def online_read(
        self, config: Any, table: Any, entity_keys: list[Any], requested_features: list[str] | None = None
    ) -> list[tuple[datetime | None, dict[str, Any] | None]]:
        """Each key's event time and values; (None, None) for one that is not there. Ages are the reader's to judge."""
        kinds = {field.name: field.dtype for field in table.features}
        wanted = requested_features or list(kinds)
        with _shelf(config) as shelf:
            held = shelf.get(table.name, [_key(table.name, key) for key in entity_keys])
        return [(None, None) if row is None else _unpack(table.name, row, wanted, kinds) for row in held]

    def update(
        self,
        config: Any,
        tables_to_delete: Sequence[Any],
        tables_to_keep: Sequence[Any],
        entities_to_delete: Sequence[Any],
        entities_to_keep: Sequence[Any],
        partial: bool,
    ) -> None:
        """Forget the rows of views that are no more."""
        _forget(config, tables_to_delete)

    def teardown(self, config: Any, tables: Sequence[Any], entities: Sequence[Any]) -> None:
        """Forget the rows of all views."""
        _forget(config, tables)


def _shelf(config: Any) -> closing[Shelf]:
    return closing(open_shelf(config.online_store.kind, config.online_store.address))


def _forget(config: Any, tables: Sequence[Any]) -> None:
    if tables:
        with _shelf(config) as shelf:
            for table in tables:
                shelf.drop(table.name)


def _read(source: Any, _: str) -> Any:
    return named(source.name)


def _with_known_at(source: Any, _: str) -> Any:
    table = named(source.name)
    return table.mutate(**{KNOWN_AT: table.seen_at})


def _no_writer(*_: Any, **__: Any) -> None:
    raise TypeError("Feast only reads this store: features.materialise writes the tables.")


def _days_known(first: datetime, last: datetime) -> Window:
    """The days whose rows can have a seen_at in the span: a day's rows are known at the end of the day."""
    low, high = (max(moment.astimezone(UTC).date(), date(1970, 1, 2)) for moment in (first, last))
    return Window(low - timedelta(days=1), high)


def _key(view: str, key: Any) -> str:
    given = dict(zip(key.join_keys, (value.string_val for value in key.entity_values), strict=True))
    return key_text([given[name] for name in JOIN_KEYS[view]])


def _packed(view: str, values: Mapping[str, Any], at: datetime) -> Held:
    return pack(view, {name: _plain(values[name], name in INSTANTS[view]) for name in FIELDS[view]}, micros(_aware(at)))


def _plain(value: Any, is_instant: bool) -> Any:
    kind = value.WhichOneof("val")
    plain = getattr(value, kind) if kind else None
    if plain is None or (is_instant and plain == NOT_A_TIME):  # Feast writes a missing time so, too
        return None
    return EPOCH + timedelta(seconds=plain) if is_instant else plain


def _unpack(view: str, held: Held, wanted: list[str], kinds: Mapping[str, Any]) -> tuple[datetime, dict[str, Any]]:
    seen_at, payload = held
    values = unpack(view, payload)
    return EPOCH + timedelta(microseconds=seen_at), {name: _value(values[name], str(kinds[name])) for name in wanted}


def _value(value: Any, kind: str) -> Any:
    if value is None:
        return Value()
    if isinstance(value, datetime):
        return Value(unix_timestamp_val=micros(value) // 1_000_000)
    if kind == "Int64":
        return Value(int64_val=value)
    return Value(double_val=float(value)) if kind == "Float64" else Value(string_val=value)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)  # Feast hands over naive times that are UTC
