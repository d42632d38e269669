"""The latest value of each feature row, packed, by its key; reading it needs no Feast.

Feast writes here through its plug-in interface (`features/plugins.py`), and the scoring service reads here directly. Two
things that Feast leaves open are closed: a write with an older time never takes the place of a newer value, whatever the
order and the number of writers, and a value that is too old, or not yet known at `now`, is not given out.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import orjson
import pyarrow as pa

from whence.contracts.tables import FEATURES
from whence.contracts.times import utc

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

T = TypeVar("T")

JOIN_KEYS: dict[str, tuple[str, ...]] = {
    name: tuple(key for key in table.key if key != "day") for name, table in FEATURES.items()
}
"""What each view is looked up by, as `{"pair_features": ("ip_key", "person_id")}`."""

FIELDS: dict[str, tuple[str, ...]] = {
    name: tuple(column for column in table.schema.names if column not in {"day", "seen_at", *JOIN_KEYS[name]})
    for name, table in FEATURES.items()
}
"""The features of each view, in the contract's order."""

INSTANTS: dict[str, frozenset[str]] = {
    name: frozenset(column for column in FIELDS[name] if pa.types.is_timestamp(table.schema.field(column).type))
    for name, table in FEATURES.items()
}
"""The features that are times."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_SKEW = timedelta(minutes=5)
"""A value this little ahead of `now` is a clock's fault, and is given; one further ahead is the future, and is not."""

BUSY_SECONDS = 30.0
CHUNK = 500


class OnlineError(RuntimeError):
    """The online store cannot be used as asked; the message says what to do."""


@dataclass(frozen=True)
class OnlineRow:
    """What is known online about one key.

    `values` is None when there is no value, or none that may be used; `age_hours` is None only when there is none at all.
    """

    values: dict[str, Any] | None
    age_hours: float | None
    is_stale: bool


@dataclass(frozen=True)
class Held:
    """One packed row as stored: when it could first be known, in microseconds since 1970, and its values as JSON."""

    seen_at: int
    payload: bytes


class Shelf(Protocol):
    """What we ask of a place for packed rows."""

    def put(self, view: str, rows: Iterable[tuple[str, Held]]) -> int:
        """Keep each row unless a newer one is there; give the number of rows that changed."""

    def get(self, view: str, keys: Sequence[str]) -> list[Held | None]:
        """The row of each key, in the order asked; None where there is none."""

    def drop(self, view: str) -> None:
        """Forget all rows of the view."""

    def close(self) -> None:
        """Let go of connections."""


@dataclass(frozen=True)
class OnlineStore:
    """Fresh feature rows by key. Open once with `open_online`, read often; safe to share between threads.

    Use it in a `with`, or close it.
    """

    shelf: Shelf
    max_age_hours: float

    def read(self, view: str, keys: Sequence[Mapping[str, str | None]], now: datetime) -> list[OnlineRow]:
        """One OnlineRow for each key, in order, as of `now`, which must have a zone.

        A key is a dict of the view's join keys, as `{"ip_key": "n1", "person_id": "p1"}`; a null in it is never found.
        A value older than the largest allowed age comes as `values=None, is_stale=True` with its age; a value that was not
        known at `now` as `values=None` with a negative age. Raises OnlineError for an unknown view or a lacking join key.
        """
        instant = micros(utc(now))
        texts = [_key_text(view, key) for key in keys]
        wanted = list(dict.fromkeys(text for text in texts if text is not None))
        found = dict(zip(wanted, self.shelf.get(view, wanted), strict=True)) if wanted else {}
        return [self._judge(view, found.get(text) if text is not None else None, instant) for text in texts]

    def close(self) -> None:
        """Let go of connections."""
        self.shelf.close()

    def __enter__(self) -> OnlineStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _judge(self, view: str, held: Held | None, now: int) -> OnlineRow:
        if held is None:
            return OnlineRow(None, None, False)
        age = (now - held.seen_at) / 3_600_000_000
        is_stale = age > self.max_age_hours
        is_future = held.seen_at - now > MAX_SKEW // timedelta(microseconds=1)
        return OnlineRow(None if is_stale or is_future else unpack(view, held.payload), age, is_stale)


def open_online(settings: Settings) -> OnlineStore:
    """The online store that the settings name: a file under home, or Redis."""
    return OnlineStore(open_shelf(settings.features.online, shelf_address(settings)), settings.features.max_age_hours)


def shelf_address(settings: Settings) -> str:
    """Where packed rows lie: a SQLite file, or host:port of Redis."""
    if settings.features.online == "redis":
        return settings.features.redis
    return str(settings.home / "feast" / "online.db")


def open_shelf(kind: str, address: str) -> Shelf:
    """A shelf by kind; raises OnlineError for one that does not exist."""
    if kind == "sqlite":
        return SqliteShelf(Path(address))
    if kind == "redis":
        return RedisShelf.at(address)
    raise OnlineError(f"features.online is '{kind}'. Set it to sqlite or redis.")


class SqliteShelf:
    """Packed rows in one SQLite file; one statement compares and sets, so that writers cannot race."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._con = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None)
        self._con.execute("PRAGMA journal_mode = WAL")
        self._con.execute("PRAGMA synchronous = NORMAL")
        self._con.execute(
            "CREATE TABLE IF NOT EXISTS online (view TEXT, key TEXT, seen_at INTEGER NOT NULL, payload BLOB NOT NULL, "
            "PRIMARY KEY (view, key)) WITHOUT ROWID"
        )

    def put(self, view: str, rows: Iterable[tuple[str, Held]]) -> int:
        """Keep each row unless a newer one is there; all of them or none. Of two with the same time the later write stays."""
        with self._lock, self._transaction() as con:
            before = con.total_changes
            con.executemany(
                "INSERT INTO online VALUES (?, ?, ?, ?) ON CONFLICT (view, key) DO UPDATE "
                "SET seen_at = excluded.seen_at, payload = excluded.payload WHERE excluded.seen_at > online.seen_at "
                "OR (excluded.seen_at = online.seen_at AND excluded.payload <> online.payload)",
                ((view, key, held.seen_at, held.payload) for key, held in rows),
            )
            return con.total_changes - before

    def get(self, view: str, keys: Sequence[str]) -> list[Held | None]:
        """The row of each key, in the order asked."""
        found: dict[str, Held] = {}
        with self._lock:
            for part in chunks(keys, CHUNK):
                marks = ", ".join("?" * len(part))
                sql = f"SELECT key, seen_at, payload FROM online WHERE view = ? AND key IN ({marks})"
                found |= {key: Held(seen_at, payload) for key, seen_at, payload in self._con.execute(sql, (view, *part))}
        return [found.get(key) for key in keys]

    def drop(self, view: str) -> None:
        """Forget all rows of the view."""
        with self._lock, self._transaction() as con:
            con.execute("DELETE FROM online WHERE view = ?", (view,))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._con.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._con.execute("BEGIN IMMEDIATE")
        try:
            yield self._con
        except BaseException:
            self._con.execute("ROLLBACK")
            raise
        self._con.execute("COMMIT")


KEEP_NEWEST = """
local changed = 0
for place = 1, #KEYS do
  local mine = ARGV[place]
  local held = redis.call('GET', KEYS[place])
  local newer = not held or string.sub(held, 1, 16) < string.sub(mine, 1, 16)
  if newer or (string.sub(held, 1, 16) == string.sub(mine, 1, 16) and held ~= mine) then
    redis.call('SET', KEYS[place], mine)
    changed = changed + 1
  end
end
return changed
"""
"""Compare and set on the server: reading first and writing then loses to a second writer. Sixteen hex digits sort as times."""


@dataclass(frozen=True)
class RedisShelf:
    """Packed rows in Redis: the value is the time as sixteen hex digits, then the JSON."""

    client: Any

    @classmethod
    def at(cls, address: str) -> RedisShelf:
        """Connect to `host:port`, or to `unix:///path.sock`; raises OnlineError when nobody answers."""
        import redis

        url = address if "://" in address else f"redis://{address}"
        client = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=3)
        try:
            client.ping()
        except redis.ConnectionError as wrong:
            raise OnlineError(f"Redis does not answer at {address} ({wrong}). Start it, or set features.redis.") from None
        return cls(client)

    def put(self, view: str, rows: Iterable[tuple[str, Held]]) -> int:
        """Keep each row unless a newer one is there; of two with the same time the later write stays."""
        script = self.client.register_script(KEEP_NEWEST)
        changed = 0
        for part in chunks(rows, CHUNK):
            packed = [b"%016x" % held.seen_at + held.payload for _, held in part]
            changed += int(script(keys=[_redis_key(view, key) for key, _ in part], args=packed))
        return changed

    def get(self, view: str, keys: Sequence[str]) -> list[Held | None]:
        """The row of each key, in the order asked."""
        found = self.client.mget([_redis_key(view, key) for key in keys]) if keys else []
        return [None if packed is None else Held(int(packed[:16], 16), packed[16:]) for packed in found]

    def drop(self, view: str) -> None:
        """Forget all rows of the view."""
        for part in chunks(self.client.scan_iter(match=_redis_key(view, "*"), count=CHUNK), CHUNK):
            self.client.delete(*part)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()


def micros(moment: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def key_text(values: Sequence[str]) -> str:
    """The values of a view's join keys, in the contract's order, as one text that no other values give.

    >>> key_text(["n1", "p1"])
    '["n1","p1"]'
    >>> key_text(["n1"])
    'n1'
    """
    return values[0] if len(values) == 1 else orjson.dumps(list(values)).decode()


def pack(values: Mapping[str, Any]) -> bytes:
    """Feature values as JSON; times as microseconds since 1970, NaN as null."""
    return orjson.dumps({name: micros(value) if isinstance(value, datetime) else value for name, value in values.items()})


def unpack(view: str, payload: bytes) -> dict[str, Any]:
    """Feature values by name; a feature that the view gained since is None, one that it lost is left out."""
    given: dict[str, Any] = orjson.loads(payload)
    return {name: _unpacked(given.get(name), name in INSTANTS[view]) for name in FIELDS[view]}


def _unpacked(value: Any, is_instant: bool) -> Any:
    return EPOCH + timedelta(microseconds=value) if is_instant and value is not None else value


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of at most `size`.

    >>> list(chunks("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def _key_text(view: str, key: Mapping[str, str | None]) -> str | None:
    if view not in JOIN_KEYS:
        raise OnlineError(f"There is no feature view '{view}'. There are {', '.join(JOIN_KEYS)}.")
    if missing := [name for name in JOIN_KEYS[view] if name not in key]:
        raise OnlineError(f"A key for {view} lacks '{missing[0]}': it came with {', '.join(key) or 'nothing'}.")
    values = [key[name] for name in JOIN_KEYS[view]]
    known = [value for value in values if value is not None]
    return key_text(known) if len(known) == len(values) else None


def _redis_key(view: str, key: str) -> str:
    return f"whence:{view}:{key}"
