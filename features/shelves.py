"""Where packed rows lie: one SQLite file on one machine, Redis beyond; both keep the newest row and read many at once."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import numpy as np
import orjson

from features.packing import FORMAT, LAYOUTS, MARK, NEVER, SEEN_AT, Held, Ints, Layout, split
from features.redis_line import Line, Reply, SharedLine
from features.rows import Found, in_resp, slots_of, texts_at
from whence.columns import MOST_KEPT, Kept

if TYPE_CHECKING:
    import redis

T = TypeVar("T")
Asked = Sequence[tuple[str, Sequence[str | None]]]
"""Views, and of each the keys of the rows wanted; a key of None is never found."""
Texts = Sequence[str | None]
Names = tuple[tuple[str, str], ...]
"""Features by the names that evidence has for them, as (name, feature)."""

BUSY_SECONDS = 30.0
READ_BUSY_SECONDS = 0.05
READ_SECONDS = 0.05
"""A read that takes longer is given up: features that come late are no better than none."""
WRITE_SECONDS = 5.0
FAILURES = 3
"""One late answer is a hiccup; so many in a row, and the store is left alone."""
REST_SECONDS = 1.0
"""How long a store that did not answer is left alone before one read tries it again."""
MOST_FURTHER = 2
"""How often a question goes on: a match once, for its candidates; a conversion twice, for its person and for their touches."""
MOST_IN_VAIN = 16
"""How often what was asked for next comes ahead without being wanted, before it is no longer asked for."""
KEPT_BYTES = 128 * 2**20
"""What one process keeps of the file; beyond it, it starts anew."""
MOST_MADE = 100
"""Rows of all that is made of a block's rows and kept, where one such thing has not more."""
CHUNK = 500
FILE = 10 * FORMAT + 1
"""Of the rows in SQLite's file, and of the tables that they lie in."""
NUL = "\\u0000"
"""As JSON writes it."""
log = logging.getLogger("features.online")


class OnlineError(RuntimeError):
    """The online store cannot be used as asked; the message says what to do."""


class StoreDown(OnlineError):
    """The online store does not answer, or did not a moment ago; a read is answered from the declared defaults."""


class Block:
    """Packed rows of one view, side by side in the order asked; a row that is not there is the layout's `nothing`.

    A shelf gives the same block again for the same rows, so what is read out of it is kept, and not to be changed.
    """

    __slots__ = ("_kept", "_read", "_texts", "is_empty", "layout", "made", "newest", "oldest", "slots")

    def __init__(self, layout: Layout, slots: Ints, read: Callable[[str], Texts]) -> None:
        """`slots` are rows × slots; `read` gives a text feature of all rows by name, and is asked once for each."""
        slots.setflags(write=False)
        self.layout, self.slots, self._read = layout, slots, read
        self.oldest, self.newest = _span(slots)
        self.is_empty = self.oldest == NEVER and not slots[:, MARK].any()
        self._texts: dict[str, Texts] = {}
        self._kept: dict[tuple[Names, int | None], dict[str, Any]] = {}
        self.made: dict[Any, Any] = {}
        """What others made of the rows and kept."""

    def texts(self, name: str) -> Texts:
        """A text feature of all rows."""
        if (found := self._texts.get(name)) is None:
            found = self._texts[name] = Kept(self._read(name))
        return found

    def keep(self, name: Any, made: Any) -> None:
        """Keep what was made of the rows, as wide as they are: of a household's eight times, of a crowd's once or twice."""
        if (
            name in self.made
            or not self.made
            or (len(self.made) < MOST_KEPT and (len(self.made) + 1) * len(self.slots) <= MOST_MADE)
        ):
            self.made[name] = made

    def named(self, names: Names, spread: int | None) -> dict[str, Any]:
        """Those of some features that are in the layout, by other names, as (name, feature); as whence.columns has them.

        With `spread`, the first row is there so often, its texts once for all, and the others are not.
        """
        if (found := self._kept.get((names, spread))) is None:
            found = self._kept[names, spread] = self._named(names, spread)
        return found

    def _named(self, names: Names, spread: int | None) -> dict[str, Any]:
        layout = self.layout
        slots = np.ascontiguousarray(self.slots.T) if spread is None else self.slots[0].repeat(spread).reshape(-1, spread)
        slots.setflags(write=False)
        floats = slots.view(np.float64)
        found: dict[str, Any] = {}
        for name, feature in names:
            if feature in layout.kept_as_text:
                texts = self.texts(feature)
                found[name] = texts if spread is None else texts[0]
            elif feature in layout.slots:
                found[name] = (slots if feature in layout.times else floats)[layout.slots[feature]]
        return found


def _span(slots: Ints) -> tuple[int, int]:
    """The smallest and the largest seen_at; NEVER where there are no rows."""
    times = slots[:, SEEN_AT]
    return int(np.minimum.reduce(times, initial=NEVER)), int(np.maximum.reduce(times)) if len(times) else NEVER


class Shelf(Protocol):
    """What we ask of a place for packed rows."""

    def put(self, view: str, rows: Iterable[tuple[str, Held]]) -> int:
        """Keep each row unless a newer one is there; give the number of rows that changed."""

    def get(self, view: str, keys: Sequence[str]) -> list[Held | None]:
        """The row of each key, in the order asked; None where there is none."""

    def blocks(self, asked: Asked, question: Question, *, is_whole: bool = False) -> list[Block]:
        """The rows of several views in one round trip, a block a view; raises StoreDown rather than wait for long.

        A block has the texts of packing.LONG where `is_whole` asks for them.
        """

    async def blocks_awaited(self, asked: Asked, question: Question, *, is_whole: bool = False) -> list[Block]:
        """The same on an event loop, which answers others meanwhile."""

    def drop(self, view: str) -> None:
        """Forget all rows of the view."""

    def close(self) -> None:
        """Let go of connections."""


def open_shelf(kind: str, address: str) -> Shelf:
    """A shelf by kind: `sqlite` with a path, `redis` with host:port; raises OnlineError for one that does not exist."""
    if kind == "sqlite":
        return SqliteShelf(Path(address))
    if kind == "redis":
        return RedisShelf.at(address)
    raise OnlineError(f"features.online is '{kind}'. Set it to sqlite or redis.")


class SqliteShelf:
    """Packed rows in one SQLite file; one statement compares and sets, so that writers cannot race.

    What was read once is kept in this process, ready in columns, until anybody commits to the file: SQLite's own
    data_version says so, for every process, in a hundredth of the time that reading a hundred rows takes.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._con = _connected(path, BUSY_SECONDS)
        self._con.execute("PRAGMA journal_mode = WAL")
        self._con.execute("PRAGMA synchronous = NORMAL")
        if not _is_prepared(self._con):
            with self._transaction() as con:
                _prepare(con)
        self._reader = _connected(path, READ_BUSY_SECONDS)
        self._reader.execute("PRAGMA query_only = ON")
        self._reader.execute(f"PRAGMA mmap_size = {2**30}")
        self._version = -1
        self._kept: dict[tuple[str, tuple[str | None, ...], bool], Block] = {}
        """Rows that were asked together, as the people of a network are: they are asked so again."""
        self._bytes = 0

    def put(self, view: str, rows: Iterable[tuple[str, Held]]) -> int:
        """Keep each row unless a newer one is there; all of them or none. Of two with the same time the later write stays."""
        with self._lock, self._transaction() as con:
            before = con.total_changes
            con.executemany(
                f"INSERT INTO {view} AS held VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE "
                "SET seen_at = excluded.seen_at, payload = excluded.payload, long = excluded.long "
                "WHERE excluded.seen_at > held.seen_at OR (excluded.seen_at = held.seen_at "
                "AND (excluded.payload <> held.payload OR excluded.long <> held.long))",
                ((key, seen_at, *split(LAYOUTS[view], payload)) for key, (seen_at, payload) in rows),
            )
            return con.total_changes - before

    def get(self, view: str, keys: Sequence[str]) -> list[Held | None]:
        """The row of each key, in the order asked."""
        with self._reading:
            rows = self._rows("seen_at, payload, long", view, keys)
        return [None if payload is None else (seen_at, payload + long) for seen_at, payload, long in rows]

    def blocks(self, asked: Asked, question: Question, *, is_whole: bool = False) -> list[Block]:
        """The rows of several views, from memory where nobody wrote since they were read.

        A further part is as of the first one: whether somebody wrote since is seen by the next question.
        """
        with self._reading:
            try:
                if not question.has_begun or self._version < 0:
                    self._refresh()
                question.has_begun = True
                return [self._block(view, keys, is_whole) for view, keys in asked]
            except sqlite3.DatabaseError as wrong:  # busy, or damaged
                raise StoreDown(f"the online store's file cannot be read ({wrong})") from None

    async def blocks_awaited(self, asked: Asked, question: Question, *, is_whole: bool = False) -> list[Block]:
        """The same: a file is read in less time than going to a thread takes."""
        return self.blocks(asked, question, is_whole=is_whole)

    def drop(self, view: str) -> None:
        """Forget all rows of the view."""
        with self._lock, self._transaction() as con:
            con.execute(f"DELETE FROM {view}")

    def close(self) -> None:
        """Close the file."""
        with self._lock, self._reading:
            self._reader.close()
            self._con.close()

    def _refresh(self) -> None:
        (version,) = self._reader.execute("PRAGMA data_version").fetchone()
        if version != self._version or self._bytes > KEPT_BYTES:
            self._version, self._kept, self._bytes = version, {}, 0

    def _block(self, view: str, keys: Sequence[str | None], is_whole: bool) -> Block:
        asked = view, tuple(keys), is_whole
        if (block := self._kept.get(asked)) is None:
            found = self._found(view, keys, is_whole)
            block = block_of(LAYOUTS[view], found, is_whole=is_whole) if any(found) else empty_block(view, len(found))
            self._kept[asked] = block
            self._bytes += kept_bytes(block) + sum(map(len, filter(None, chain(keys, found))))
        return block

    def _found(self, view: str, keys: Sequence[str | None], is_whole: bool) -> Found:
        if not is_whole:
            return list(chain.from_iterable(self._rows("payload", view, keys)))
        return [None if row is None else row + long for row, long in self._rows("payload, long", view, keys)]

    def _rows(self, columns: str, view: str, keys: Sequence[str | None]) -> list[Any]:
        """Some columns of the row of each key, in the order asked; all None where there is none."""
        sql = f"SELECT {columns} FROM {{}} AS asked LEFT JOIN {view} AS held ON held.key = asked.value"
        packed = orjson.dumps(list(keys)).decode()
        if NUL in packed:  # and SQLite does not read it
            return [self._reader.execute(sql.format("(SELECT ? AS value)"), (key,)).fetchone() for key in keys]
        return self._reader.execute(sql.format("json_each(?)"), (packed,)).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._con.execute("BEGIN IMMEDIATE")
        try:
            yield self._con
        except BaseException:
            self._con.execute("ROLLBACK")
            raise
        self._con.execute("COMMIT")


def _connected(path: Path, timeout: float) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=timeout, check_same_thread=False, isolation_level=None)


def _is_prepared(con: sqlite3.Connection) -> bool:
    """Whether there is nothing to make: then nothing is written, and a service starts on a full disk."""
    return bool(con.execute("PRAGMA user_version").fetchone() == (FILE,) and _tables(con) >= set(LAYOUTS))


def _tables(con: sqlite3.Connection) -> set[str]:
    return {name for (name,) in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _prepare(con: sqlite3.Connection) -> None:
    """Make the tables; rows of an older format are dropped, for what could be used of them is made again by materialising.

    A table a view, with a number for each row: reading a hundred rows by their keys takes a quarter of the time that it takes
    from one tree of whole rows.
    """
    (version,) = con.execute("PRAGMA user_version").fetchone()
    older = sorted(_tables(con) & {"online", *LAYOUTS}) if version < FILE else []
    for name in older:
        con.execute(f"DROP TABLE {name}")
    if older:
        log.warning(
            "The online rows were packed as an older version packs, and are dropped. Run `whence materialise` for the last days."
        )
    for view in LAYOUTS:
        con.execute(
            f"CREATE TABLE IF NOT EXISTS {view} (key TEXT PRIMARY KEY, seen_at INTEGER NOT NULL, payload BLOB NOT NULL, "
            "long BLOB NOT NULL)"
        )
    con.execute(f"PRAGMA user_version = {FILE}")


@lru_cache(256)
def empty_block(view: str, rows: int) -> Block:
    """So many rows of which none is there."""
    layout = LAYOUTS[view]
    return Block(layout, np.tile(layout.nothing, (rows, 1)), lambda name: [None] * rows)


def kept_bytes(block: Block) -> int:
    """What a kept block takes at most, about: its slots twice, by rows and by columns, its texts, two numbers each MOST_KEPT times,
    and what others make of it.
    """
    rows = len(block.slots)
    made = min(MOST_KEPT * rows, max(rows, MOST_MADE)) * len(block.layout.nothing)
    return 1000 + 2 * block.slots.nbytes + 8 * rows * (2 + (1 + 2 * MOST_KEPT) * len(block.layout.texts)) + 8 * made


KEEP_NEWEST = """
local changed, each = 0, tonumber(ARGV[#KEYS + 1])
for first = 1, #KEYS, each do
  local is_newer, is_same_time = false, true
  for place = first, first + each - 1 do
    local mine, held = ARGV[place], redis.call('GET', KEYS[place])
    if place == first then
      is_newer = not held or string.sub(held, 1, 16) < string.sub(mine, 1, 16)
      is_same_time = held and string.sub(held, 1, 16) == string.sub(mine, 1, 16)
    end
    is_newer = is_newer or (is_same_time and held ~= mine)
  end
  if is_newer then
    for place = first, first + each - 1 do
      redis.call('SET', KEYS[place], ARGV[place])
    end
    changed = changed + 1
  end
end
return changed
"""
"""Compare and set on the server: reading first and writing then loses to a second writer. Sixteen hex digits sort as times.

A row is one key, or two where long texts are kept apart, both with its time; the last argument says which.
"""
STAMP = 16


@dataclass
class Breaker:
    """Leaves a store that failed some times in a row alone for a while, then lets one call try it."""

    clock: Callable[[], float] = time.monotonic
    rest: float = REST_SECONDS
    most: int = FAILURES
    _failed: int = 0
    _shut_until: float = 0.0
    _why: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def asking(self, failures: tuple[type[Exception], ...]) -> Iterator[None]:
        """Around one call of the store; raises StoreDown when it fails so, and at once while the store rests."""
        if self._failed >= self.most:
            self._try()
        try:
            yield
        except failures as wrong:
            self._why = f"the online store does not answer ({type(wrong).__name__})"
            self._failed += 1
            self._shut_until = self.clock() + self.rest
            raise StoreDown(self._why) from None
        self._failed = 0

    def _try(self) -> None:
        """One caller goes through when the rest is over, and the others wait for what it finds."""
        with self._lock:
            if self.clock() < self._shut_until:
                raise StoreDown(self._why)
            self._shut_until = self.clock() + self.rest


_Key = tuple[str, tuple[str | None, ...], bool]
"""A view, the keys of the rows wanted, and whether they are wanted whole."""


class _Part:
    """The rows of one view in a question: as Redis is asked for them, and what it answered last."""

    def __init__(self, key: _Key) -> None:
        self.key = key
        self.view, self.keys, self.is_whole = key
        self.layout = LAYOUTS[self.view]
        places, keys = _places(self.layout, self.is_whole), [each for each in self.keys if each is not None]
        self.wanted = len(places) * len(keys)
        """Texts that are to come: all rows, then the long texts of all where they are wanted, too."""
        self.packed = b"".join([in_resp(keys, place) for place in places])
        self.last: tuple[bytes, Block] | None = None
        """What came for it last, and what was made of that; one reference, for threads read at the same time."""
        self.followed: Sequence[_Part] = ()
        """What was asked for next, when a question went on."""
        self.in_vain = 0
        """How often that came ahead since it was last wanted; questions on their way count, too."""

    def block(self, found: Found) -> Block:
        """The block of what was found for the names."""
        rows = _rows(self.layout, found, self.is_whole)
        if len(rows) < len(self.keys):
            rest = iter(rows)
            rows = [None if key is None else next(rest) for key in self.keys]
        return block_of(self.layout, rows, STAMP, self.is_whole)


class Question:
    """What one question has read: its further parts are as of its first, and come with it where it can be foreseen what they are."""

    __slots__ = ("ahead", "has_begun", "leader")

    def __init__(self) -> None:
        self.has_begun = False
        """Whether a part was read already."""
        self.leader: _Part | None = None
        """The last part that was asked for."""
        self.ahead: dict[_Key, tuple[_Part, Block]] = {}
        """What came before it was asked for."""

    def taken(self, keys: Sequence[_Key]) -> list[Block] | None:
        """What came ahead for these keys; None where something did not."""
        if not self.ahead or not all(key in self.ahead for key in keys):
            return None
        found = [self.ahead[key] for key in keys]
        if self.leader is not None:
            self.leader.in_vain = 0
        self.leader = found[-1][0]
        return [block for _, block in found]

    def begin(self, parts: Sequence[_Part]) -> list[_Part]:
        """Note that these are asked for; what is to be asked for with them."""
        if self.leader is not None:
            self.leader.followed, self.leader.in_vain = parts, 0
        ahead, last, self.leader, self.ahead = list[_Part](), parts[-1], parts[-1], {}
        for _ in range(MOST_FURTHER):
            if last.followed and last.in_vain < MOST_IN_VAIN:
                last.in_vain += 1
                ahead += last.followed
                last = last.followed[-1]
        return ahead


class _Parts:
    """Parts of questions that found something; what a network's people are known by is asked for together again.

    Every answer is compared with the last one, byte by byte; only where nothing changed is the block the same.
    """

    def __init__(self) -> None:
        self._kept: dict[_Key, _Part] = {}
        self._bytes = 0

    def part(self, key: _Key) -> _Part:
        """The part of a question for these keys."""
        return self._kept.get(key) or _Part(key)

    def block(self, part: _Part, reply: Reply) -> Block:
        """What comes next for the keys that are not None, side by side."""
        if (last := part.last) is not None and reply.is_next(last[0]):
            return last[1]
        raw, found = reply.take(part.wanted)
        if not any(found):  # strangers come once
            return empty_block(part.view, len(part.keys))
        block = part.block(found)
        if last is None:
            self._make_room(kept_bytes(block) + 2 * len(raw))  # as it came, and its texts
            self._kept[part.key] = part
        part.last = raw, block
        return block

    def _make_room(self, size: int) -> None:
        self._bytes += size
        if self._bytes > KEPT_BYTES:
            self._kept.clear()
            self._bytes = size


class _Trip:
    """A part of a question to Redis, and what comes with it."""

    def __init__(self, kept: _Parts, asked: Asked, question: Question, is_whole: bool) -> None:
        keys = [(view, tuple(each), is_whole) for view, each in asked]
        self._kept, self._question = kept, question
        self.found = question.taken(keys)
        """What came already, or is empty; None where Redis is to be asked."""
        if self.found is not None:
            return
        parts = [kept.part(key) for key in keys]
        self._count, self._ahead = len(parts), question.begin(parts)
        self._parts = [*parts, *self._ahead]
        self._wanted = sum(part.wanted for part in self._parts)
        if not self._wanted:
            self.found = [empty_block(part.view, len(part.keys)) for part in parts]

    @property
    def packed(self) -> bytes:
        """The command."""
        return b"".join((b"*%d\r\n$4\r\nMGET\r\n" % (self._wanted + 1), *(part.packed for part in self._parts)))

    def read(self, reply: Reply) -> list[Block]:
        """The blocks of an answer."""
        reply.open(self._wanted)
        return [self._kept.block(part, reply) for part in self._parts]

    def end(self, found: list[Block]) -> list[Block]:
        """Of those the ones that were asked for; the others are kept for the question."""
        ahead = zip(self._ahead, found[self._count :], strict=True)
        self._question.ahead = {part.key: (part, block) for part, block in ahead}
        return found[: self._count]


@dataclass(frozen=True)
class RedisShelf:
    """Packed rows in Redis: the value is the time as sixteen hex digits, then the row; nothing connects before it is used."""

    writer: redis.Redis
    reader: redis.Redis
    address: str
    breaker: Breaker = field(default_factory=Breaker)
    lines: threading.local = field(default_factory=threading.local)
    """Connections of each thread that reads: its own, and that of its event loop."""
    kept: _Parts = field(default_factory=_Parts, repr=False)

    @classmethod
    def at(cls, address: str) -> RedisShelf:
        """The store at `host:port`, or at `unix:///path.sock`."""
        return cls(_client(address, WRITE_SECONDS), _client(address, READ_SECONDS), address)

    def put(self, view: str, rows: Iterable[tuple[str, Held]]) -> int:
        """Keep each row unless a newer one is there; of two with the same time the later write stays."""
        with self._answering():
            script, layout = self.writer.register_script(KEEP_NEWEST), LAYOUTS[view]
            places, changed = _places(layout, is_whole=True), 0
            for part in chunks(rows, CHUNK):
                keys = [place + key for key, _ in part for place in places]
                pieces = [(at, piece) for _, (at, payload) in part for piece in split(layout, payload)[: len(places)]]
                changed += int(script(keys=keys, args=[*(b"%016x%b" % each for each in pieces), len(places)]))
            return changed

    def get(self, view: str, keys: Sequence[str]) -> list[Held | None]:
        """The row of each key, in the order asked."""
        with self._answering():
            layout = LAYOUTS[view]
            names = [place + key for place in _places(layout, is_whole=True) for key in keys]
            found: Any = self.writer.mget(names) if names else []
        rows = _rows(layout, found, is_whole=True)
        return [None if packed is None else (int(packed[:STAMP], 16), packed[STAMP:]) for packed in rows]

    def blocks(self, asked: Asked, question: Question, *, is_whole: bool = False) -> list[Block]:
        """The rows of several views by one MGET.

        What such a question went on to ask for last time is asked for at once, for a round trip is the larger part of a read.
        """
        trip = _Trip(self.kept, asked, question, is_whole)
        if trip.found is not None:
            return trip.found
        with self._asking():
            return trip.end(self._line().ask(trip.packed, trip.read))

    async def blocks_awaited(self, asked: Asked, question: Question, *, is_whole: bool = False) -> list[Block]:
        """The same, with other questions of the loop on their way; over TLS they wait for each other."""
        if (line := self._shared_line()) is None:
            return self.blocks(asked, question, is_whole=is_whole)
        trip = _Trip(self.kept, asked, question, is_whole)
        if trip.found is not None:
            return trip.found
        with self._asking():
            return trip.end(await line.ask(trip.packed, trip.read))

    def drop(self, view: str) -> None:
        """Forget all rows of the view."""
        with self._answering():
            for place in _places(LAYOUTS[view], is_whole=True):
                for part in chunks(self.writer.scan_iter(match=f"{place}*", count=CHUNK), CHUNK):
                    self.writer.delete(*part)

    def close(self) -> None:
        """Close the connections."""
        if (line := getattr(self.lines, "shared", None)) is not None:
            line.close()
        self.writer.close()
        self.reader.close()

    def _line(self) -> Line:
        """This thread's own."""
        if (line := getattr(self.lines, "own", None)) is None:
            line = self.lines.own = Line(self.reader.connection_pool.get_connection())
        return line

    def _shared_line(self) -> SharedLine | None:
        """That of the running event loop; None over TLS, which asyncio takes no connection of from others."""
        import redis

        line: SharedLine | None = getattr(self.lines, "shared", None)
        if line is None or line.loop is not asyncio.get_running_loop():
            if issubclass(self.reader.connection_pool.connection_class, redis.SSLConnection):
                return None
            line = self.lines.shared = SharedLine(self._connect, READ_SECONDS)
        return line

    def _connect(self) -> socket:
        """The socket of a connection that the client has made."""
        pool = self.reader.connection_pool
        made = pool.connection_class(**pool.connection_kwargs)
        made.connect()
        found, made._sock = made._sock, None
        return cast("socket", found)

    def _asking(self) -> AbstractContextManager[None]:
        import redis

        return self.breaker.asking((redis.RedisError, OSError))

    @contextmanager
    def _answering(self) -> Iterator[None]:
        import redis

        try:
            yield
        except (redis.ConnectionError, redis.TimeoutError) as wrong:
            raise OnlineError(f"Redis does not answer at {self.address} ({wrong}). Start it, or set features.redis.") from None


def _client(address: str, seconds: float) -> redis.Redis:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    url = address if "://" in address else f"redis://{address}"
    made: redis.Redis = redis.Redis.from_url(
        url, protocol=2, socket_timeout=seconds, socket_connect_timeout=min(seconds, 3.0), retry=Retry(NoBackoff(), 0)
    )
    return made


def block_of(layout: Layout, found: Found, start: int = 0, is_whole: bool = True) -> Block:
    """Packed rows side by side, with long texts where they are whole; each begins at `start` of its bytes, and None is not there."""
    slots = slots_of(layout, found, start)

    def texts(name: str) -> Texts:
        places = {each: place for place, each in enumerate(layout.texts_read(is_whole))}
        return texts_at(layout, found, slots, start, places[name])

    return Block(layout, slots, texts)


def _places(layout: Layout, is_whole: bool) -> list[str]:
    """What stands before a row's key, and before that of its long texts where it has some and they are wanted, too."""
    names = (layout.view, f"{layout.view}.long") if is_whole and layout.long else (layout.view,)
    return [f"whence:{FORMAT}:{name}:" for name in names]


def _rows(layout: Layout, found: Found, is_whole: bool) -> Found:
    """Rows as they were packed, each with its time before it, of what lay at the keys behind each of `_places`."""
    if not is_whole or not layout.long:
        return found
    count = len(found) // 2
    return [_row(*pair) for pair in zip(found[:count], found[count:], strict=True)]


def _row(row: bytes | None, long: bytes | None) -> bytes | None:
    """A row with its long texts; None when one of the two is gone, as where Redis may evict keys."""
    return row + long[STAMP:] if row is not None and long is not None and row[:STAMP] == long[:STAMP] else None


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of at most `size`.

    >>> list(chunks("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
