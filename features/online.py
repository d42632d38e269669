"""The latest value of each feature row, packed, by its key; reading it needs no Feast.

Feast writes here through its plug-in interface (`features/plugins.py`), and the scoring service reads here directly. Two
things that Feast leaves open are closed: a write with an older time never takes the place of a newer value, whatever the
order and the number of writers, and a value that is too old, or not yet known at `now`, is not given out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from features.packing import FIELDS, FOREIGN, JOIN_KEYS, MARK, SEEN_AT, Held, Ints, Layout, pack, unpack
from features.shelves import Asked, Block, OnlineError, Question, Shelf, StoreDown, empty_block, open_shelf
from whence.contracts.times import micros

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

__all__ = [
    "FIELDS",
    "JOIN_KEYS",
    "Columns",
    "Held",
    "OnlineError",
    "OnlineRow",
    "OnlineStore",
    "judged",
    "key_text",
    "micros",
    "nothing",
    "open_online",
    "pack",
    "shelf_address",
    "unpack",
]
Numbers = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MAX_SKEW = timedelta(minutes=5)
"""A value this little ahead of `now` is a clock's fault, and is given; one further ahead is the future, and is not."""
HOUR = 3_600_000_000
AGE = "age_hours"
"""What a view's columns have besides its features, as features.historical has it."""
SKEW = MAX_SKEW // timedelta(microseconds=1)


@dataclass(frozen=True)
class OnlineRow:
    """What is known online about one key.

    `values` is None when there is no value, or none that may be used; `age_hours` is None only when there is none at all.
    """

    values: dict[str, Any] | None
    age_hours: float | None
    is_stale: bool


@dataclass(slots=True, eq=False)  # not frozen: four of them a request, and a frozen one takes three times as long to make
class Columns:
    """What is known online about many keys of one view, in the order asked, ready for arithmetic.

    A row that may not be used is missing in every column: NaN, NOT_A_TIME, None.
    """

    layout: Layout
    now: int
    """As of when, in microseconds since 1970."""
    is_known: Bools | None
    """Which rows may be used; None when all may."""
    lacking: int
    """How many may not be used."""
    is_stale: Bools | None
    """Which rows were too old; None when none was."""
    oldest_hours: float
    """The age of the oldest row that was too old, where one was."""
    foreign: int
    """Rows that another version of the contract packed, and that nobody can read."""
    down: str
    """Why the store did not answer; empty when it did."""
    _slots: Ints
    _block: Block

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def block(self) -> Block | None:
        """The rows as they lie there, the same block as long as nobody changes them; None where one of them may not be used."""
        return self._block if self.is_known is None else None

    @property
    def stale(self) -> int:
        """How many were too old."""
        return 0 if self.is_stale is None else int(self.is_stale.sum())

    @property
    def age_hours(self) -> Numbers:
        """NaN where nothing may be used."""
        ages: Numbers = (self.now - self._slots[:, SEEN_AT]) / HOUR
        return ages if self.is_known is None else np.where(self.is_known, ages, np.nan)

    def numbers(self, name: str) -> Numbers:
        """A feature as float64; NaN is missing."""
        column: Numbers = self._slots.view(np.float64)[:, self.layout.slots[name]]
        return column

    def texts(self, name: str) -> Sequence[str | None]:
        """A feature that is text; None is missing."""
        found = self._block.texts(name)
        if self._slots is self._block.slots or self.is_known is None:
            return found
        return [text if known else None for text, known in zip(found, self.is_known.tolist(), strict=True)]

    def named(self, names: Sequence[tuple[str, str]], spread: int | None = None) -> dict[str, Any]:
        """Some features by other names, as (name, feature), and `age_hours`: as whence.columns has numbers, times and texts.

        With `spread`, the first row is there so often, its texts and its age once for all, and the others are not. Arrays are
        not to be written to.
        """
        block = self._block if self._slots is self._block.slots else Block(self.layout, self._slots, self.texts)
        found = block.named(tuple(names), spread)
        if len(found) == len(names):
            return found
        ages = self.age_hours if spread is None else self.first_age
        return {**found, **{name: ages for name, feature in names if feature == AGE}}

    @property
    def first_age(self) -> float:
        """The first of age_hours."""
        is_known = self.is_known is None or bool(self.is_known[0])
        return (self.now - self._slots.item(0, SEEN_AT)) / HOUR if is_known else math.nan


@dataclass(frozen=True)
class OnlineStore:
    """Fresh feature rows by key. Open once with `open_online`, read often; safe to share between threads.

    Use it in a `with`, or close it.
    """

    shelf: Shelf
    max_age_hours: float

    def columns(self, asked: Asked, now: int, question: Question | None = None, *, is_whole: bool = False) -> list[Columns]:
        """The rows of several views in one round trip, as of `now` in microseconds since 1970; see key_text for the keys.

        The further parts of a `question` are as of its first: they need not be newer.
        Texts of packing.LONG are read where `is_whole` asks for them, and cannot be had otherwise.
        Never waits long and never raises for a store that does not answer: then all rows are missing, and `down` says why.
        """
        try:
            return self._judged(self.shelf.blocks(asked, question or Question(), is_whole=is_whole), now)
        except StoreDown as why:
            return _down(asked, now, why)

    async def columns_awaited(self, asked: Asked, now: int, question: Question, *, is_whole: bool = False) -> list[Columns]:
        """The same on an event loop, which answers others while a question is on its way to Redis."""
        try:
            return self._judged(await self.shelf.blocks_awaited(asked, question, is_whole=is_whole), now)
        except StoreDown as why:
            return _down(asked, now, why)

    def read(self, view: str, keys: Sequence[Mapping[str, str | None]], now: datetime) -> list[OnlineRow]:
        """One OnlineRow for each key, in order, as of `now`, which must have a zone.

        A key is a dict of the view's join keys, as `{"ip_key": "n1", "person_id": "p1"}`; a null in it is never found.
        A value older than the largest allowed age comes as `values=None, is_stale=True` with its age; a value that was not
        known at `now` as `values=None` with a negative age. Raises OnlineError for an unknown view or a lacking join key,
        and when the store does not answer.
        """
        instant = micros(now)
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

    def _judged(self, blocks: Sequence[Block], now: int) -> list[Columns]:
        return [judged(block, now, self.max_age_hours) for block in blocks]

    def _judge(self, view: str, held: Held | None, now: int) -> OnlineRow:
        if held is None:
            return OnlineRow(None, None, False)
        seen_at, payload = held
        age = (now - seen_at) / HOUR
        is_stale = age > self.max_age_hours
        is_future = seen_at - now > SKEW
        return OnlineRow(None if is_stale or is_future else unpack(view, payload), age, is_stale)


def judged(block: Block, now: int, max_age_hours: float) -> Columns:
    """Packed rows as of `now` (microseconds since 1970): what is too old or not yet known is missing."""
    layout, slots = block.layout, block.slots
    if block.is_empty:
        return _unknown(block, now)
    if (now - block.oldest) / HOUR <= max_age_hours and now - block.newest >= -SKEW:
        return Columns(layout, now, None, 0, None, np.nan, 0, "", slots, block)
    gap = now - slots[:, SEEN_AT]
    ages = gap / HOUR
    is_there = slots[:, MARK] == layout.mark
    is_stale = is_there & (ages > max_age_hours)
    is_known = is_there & ~is_stale & (gap >= -SKEW)
    return Columns(
        layout,
        now,
        is_known,
        len(slots) - int(is_known.sum()),
        is_stale if is_stale.any() else None,
        float(ages[is_stale].max(initial=-np.inf)),
        int((slots[:, MARK] == FOREIGN).sum()),
        "",
        np.where(is_known[:, None], slots, layout.nothing),
        block,
    )


def _down(asked: Asked, now: int, why: StoreDown) -> list[Columns]:
    return [nothing(view, len(keys), now, str(why)) for view, keys in asked]


def nothing(view: str, rows: int, now: int = 0, why: str = "") -> Columns:
    """Columns in which every row is missing; `why` where the store did not answer."""
    return _unknown(empty_block(view, rows), now, why)


def _unknown(block: Block, now: int, why: str = "") -> Columns:
    rows = len(block.slots)
    is_known = np.zeros(rows, dtype=bool) if rows else None
    return Columns(block.layout, now, is_known, rows, None, np.nan, 0, why, block.slots, block)


def open_online(settings: Settings) -> OnlineStore:
    """The online store that the settings name: a file under home, or Redis."""
    return OnlineStore(open_shelf(settings.features.online, shelf_address(settings)), settings.features.max_age_hours)


def shelf_address(settings: Settings) -> str:
    """Where packed rows lie: a SQLite file, or host:port of Redis."""
    if settings.features.online == "redis":
        return settings.features.redis
    return str(settings.home / "feast" / "online.db")


def key_text(values: Sequence[str]) -> str:
    """The values of a view's join keys, in the contract's order, as one text that no other values give.

    >>> key_text(["n1", "p1"])
    '2:n1p1'
    >>> key_text(["n1"])
    'n1'
    """
    *first, last = values
    return "".join([*(f"{len(each)}:{each}" for each in first), last])


def _key_text(view: str, key: Mapping[str, str | None]) -> str | None:
    if view not in JOIN_KEYS:
        raise OnlineError(f"There is no feature view '{view}'. There are {', '.join(JOIN_KEYS)}.")
    if missing := [name for name in JOIN_KEYS[view] if name not in key]:
        raise OnlineError(f"A key for {view} lacks '{missing[0]}': it came with {', '.join(key) or 'nothing'}.")
    values = [key[name] for name in JOIN_KEYS[view]]
    known = [value for value in values if value is not None]
    return key_text(known) if len(known) == len(values) else None
