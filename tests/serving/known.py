"""Online features for tests: what a few people and networks are known by, in a real store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from features.online import OnlineStore, key_text, micros, pack
from features.shelves import SqliteShelf
from whence.contracts.events import IDENTIFIERS

Rows = Mapping[tuple[str, ...], Mapping[str, Any]]


@contextmanager
def a_store(folder: Path, seen_at: datetime, **views: Rows) -> Iterator[OnlineStore]:
    """A store that holds these rows by view and key, all known since `seen_at`; the largest age is 48 hours."""
    with closing(SqliteShelf(folder / "online.db")) as shelf:
        for view, rows in views.items():
            shelf.put(view, [(key_text(key), pack(view, values, micros(seen_at))) for key, values in rows.items()])
        yield OnlineStore(shelf, 48.0)


def a_home(now: datetime) -> dict[str, Rows]:
    """Ann and Bob on the network `home`: the tiny ranker goes by the days together, and Ann has five."""
    return {
        "network_features": {("home",): {"people": '["ann", "bob"]', "persons_7d": 2}},
        "person_features": {("ann",): {"locale": "en-GB", "last_seen_at": now - timedelta(hours=9)}, ("bob",): {}},
        "pair_features": {("home", "ann"): {"days_together_14d": 5}, ("home", "bob"): {"days_together_14d": 1}},
    }


def a_signal(now: datetime, **changes: Any) -> dict[str, Any]:
    """A signal from the network `home`, with nothing else known."""
    bare = dict.fromkeys(each.name for each in IDENTIFIERS)
    return {**bare, "event_id": "e", "happened_at": now, "seen_at": now, "consent": "granted", "ip_key": "home", **changes}
