"""What new answers change in who is who: stopped by a fuse, counted, and told to the ledger with two times."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from serving.daily import history
from whence.contracts.tables import TABLES
from whence.contracts.times import Window
from whence.identity.ledger import PEOPLE, Ledger, Limits, changes, fuse
from whence.identity.signals import strongest

__all__ = ["OverMerged", "changes", "check", "ledger_of", "people", "tell", "weights"]

if TYPE_CHECKING:
    from whence.contracts.settings import Identity
    from whence.lake import Lake

LEDGER = "person_events"
WEIGHED_DAYS = 14


class OverMerged(RuntimeError):
    """Answers that would bring too many people together, or too few; none of them was written."""


def people(answers: pd.DataFrame, *later: pd.DataFrame) -> pa.Table:
    """Who is who by these answers, the last one counting: identifier and person_id, sorted by identifier.

    >>> told = pd.DataFrame({"identifier": ["a", "b"], "person_id": ["p", "q"]})
    >>> people(told, pd.DataFrame({"identifier": ["b"], "person_id": ["p"]})).to_pylist()
    [{'identifier': 'a', 'person_id': 'p'}, {'identifier': 'b', 'person_id': 'p'}]
    """
    every = pd.concat([each[PEOPLE.names] for each in (answers, *later)]).drop_duplicates("identifier", keep="last")
    return pa.Table.from_pandas(every.sort_values("identifier"), schema=PEOPLE, preserve_index=False)


def check(before: pa.Table, after: pa.Table, policy: Identity, force: str) -> None:
    """Raise OverMerged where the change is more than a day may bring, unless `force` gives a reason."""
    limits = Limits(
        max_identifiers=policy.max_identifiers,
        max_moved=policy.fuse.max_moved,
        max_merged=policy.fuse.max_merged,
        max_in_largest=policy.fuse.max_in_largest,
        least=policy.fuse.least,
    )
    tripped = fuse(before, after, limits, force=force)
    if tripped:
        setting = tripped.limit if tripped.limit == "max_identifiers" else f"fuse.{tripped.limit}"
        raise OverMerged(
            f"{tripped.message} The limit is identity.{setting} in the settings; a reason goes into `whence resolve DAYS --force REASON`."
        )


def weights(lake: Lake, day: date) -> pa.Table:
    """What goes with an identifier: the conversions of the fortnight until the day, and their value, a column a currency."""
    conversions = history.events(lake, "conversions", Window(day, day).back(WEIGHED_DAYS))
    values = pd.get_dummies(conversions["currency"], prefix="value", dtype="float64").mul(
        conversions["value_micros"] / 1e6, axis=0
    )
    counted = values.assign(identifier=strongest(conversions), conversions=1)
    summed = counted.groupby("identifier", as_index=False).sum().astype({"identifier": "string"})  # text also where there is none
    return pa.Table.from_pandas(summed[["identifier", "conversions", *values.columns]], preserve_index=False)


def tell(lake: Lake, window: Window, cause: str, now: datetime) -> bool:
    """Bring the ledger up to the answers as of the newest day; say whether it learned anything.

    The answers of a new day are known from its end on. What changes once the ledger knows later days is known from `now` on:
    a day run again never changes what was answered before.
    """
    ledger = Ledger.of(lake.read(LEDGER))
    newest = max(date.fromisoformat(lake.days("persons")[-1]) if lake.days("persons") else window.last, window.last)
    now_known = people(history.persons(lake, newest))
    day = Window(newest, newest)
    known_at = day.end if ledger.known_until is None or day.end > ledger.known_until else _later(now, ledger.known_until)
    events = ledger.record(now_known, day.start, known_at, cause)
    return bool(len(events)) and _append(lake, events, known_at.date())


def ledger_of(lake: Lake) -> Ledger:
    """Everything that the platform ever said about who is who."""
    return Ledger.of(lake.read(LEDGER))


def _later(now: datetime, known_until: datetime) -> datetime:
    return max(now, known_until + timedelta(microseconds=1))


def _append(lake: Lake, events: pa.Table, day: date) -> bool:
    window = Window(day, day)
    new = events.append_column("day", pa.array([str(day)] * len(events), pa.string())).select(TABLES[LEDGER].schema.names)
    return lake.replace(LEDGER, pa.concat_tables([lake.read(LEDGER, window), new.cast(TABLES[LEDGER].schema)]), window)
