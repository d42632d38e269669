"""Exact links: identifiers seen on one event belong to one person, unless that would merge two accounts or make a hub.

Accounts come first: log-in identifiers that are seen together are one account. What a person holds, a
cookie or a device, joins the account that it is seen with, and never merges two: a shared tablet is no
reason to make one person of a household. Order of rows does not matter, and neither do reruns.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from whence.identity.ledger import person_id
from whence.identity.signals import carried, is_login

ROW = ("identifier", "person_id", "probability", "method")
"""The columns of `persons` that an exact link fills."""


def link(events: pd.DataFrame, persons_before: pd.DataFrame, max_identifiers: int = 50) -> pd.DataFrame:
    """New or changed rows of `persons` after a day's events.

    `events` are signals (see signals.stack); `persons_before` has identifier and person_id, the exact answer
    for each identifier as of the day before: a ranked answer is no fact to build on, and stays out. Returns
    a frame with the columns of ROW, one row an identifier, sorted by it; empty when nothing changed.

    A person id starts with the day of its first identifier, so that ids sort by age; the oldest id survives
    a merge, and identifiers of the absorbed person follow. A group of more than `max_identifiers` is a hub,
    and is left unlinked.
    """
    seen = carried(events)
    if seen.empty:
        return pd.DataFrame(columns=list(ROW))
    before = _by_identifier(persons_before)
    seen = _units(seen, events, before)
    units = _unit_frame(seen, before)
    units["account"] = _accounts(seen, units, max_identifiers)
    units["group"] = _groups(seen, units, max_identifiers)
    return _changes(_answers(seen, units, before), before)


def who(events: pd.DataFrame, persons: pd.DataFrame) -> pd.Series:
    """The person of each event by its strongest known identifier; None when nobody knows. Index as in `events`.

    >>> persons = pd.DataFrame({"identifier": ["email_hash:e", "cookie_id:c"], "person_id": ["p1", "p2"]})
    >>> who(pd.DataFrame({"email_hash": ["e", None, None], "cookie_id": ["c", "c", "x"]}), persons).tolist()
    ['p1', 'p2', None]
    """
    found = carried(events)
    found["person_id"] = found["identifier"].map(persons.set_index("identifier")["person_id"])
    known = found.dropna(subset="person_id").sort_values("strength", kind="stable").drop_duplicates("event")
    people = known.set_index("event")["person_id"].reindex(range(len(events))).astype(object)
    return people.where(people.notna(), None).set_axis(events.index)


def with_account(persons: pd.DataFrame) -> set[str]:
    """The person ids that have at least one log-in identifier; the others are known by things they hold alone."""
    return set(persons.loc[is_login(persons["identifier"]), "person_id"]) if len(persons) else set()


def _by_identifier(persons: pd.DataFrame) -> pd.Series:
    if len(persons) == 0:
        return pd.Series(dtype=object, index=pd.Index([], dtype=object))
    return persons.set_index("identifier")["person_id"]


def _units(seen: pd.DataFrame, events: pd.DataFrame, before: pd.Series) -> pd.DataFrame:
    """Each identifier stands for its person when one is known, else for itself."""
    known = seen["identifier"].map(before)
    return seen.assign(
        unit=known.where(known.notna(), seen["identifier"]),
        is_new=known.isna(),
        is_login=is_login(seen["identifier"]),
        seen_at=events["seen_at"].to_numpy()[seen["event"]],
    )


def _unit_frame(seen: pd.DataFrame, before: pd.Series) -> pd.DataFrame:
    """A row for each unit of the day, by its name: is_new, size in identifiers, whether it has an account."""
    units = seen.groupby("unit", sort=True).agg(is_new=("is_new", "first"), has_account=("is_login", "any"))
    units["size"] = before.value_counts().reindex(units.index, fill_value=1)
    units["has_account"] |= units.index.isin(before[is_login(before.index.to_series())].unique())
    return units


def _accounts(seen: pd.DataFrame, units: pd.DataFrame, max_identifiers: int) -> pd.Series:
    """Each unit's account: log-in identifiers on one event are one account. The unit's own name without any."""
    logins = seen[seen["is_login"]]
    account = units.index.to_series()
    if logins.empty:
        return account
    together = _components(logins["event"], logins["unit"])
    is_small = units["size"].reindex(together.index).groupby(together).transform("sum") <= max_identifiers
    first = together.index.to_series().groupby(together).transform("first")  # the least: the index is sorted
    account.update(first[is_small])
    return account


def _groups(seen: pd.DataFrame, units: pd.DataFrame, max_identifiers: int) -> pd.Series:
    """Each unit's group: loose units join the account that they are seen with, and never bring two accounts together."""
    nodes = units.groupby("account").agg(size=("size", "sum"), has_account=("has_account", "any"))
    ties = seen.assign(node=seen["unit"].map(units["account"]))[["event", "node"]].drop_duplicates()
    group = _components(ties["event"], ties["node"])
    accounts = nodes["has_account"].reindex(group.index).groupby(group).transform("sum")
    named = group.index.to_series().groupby(group).transform("first")
    named.update(_beside_one_account(ties, nodes, group.index[accounts > 1]))
    sizes = nodes["size"].reindex(named.index).groupby(named).transform("sum")
    named = named.where(sizes <= max_identifiers, named.index.to_series())
    return units["account"].map(named)


def _beside_one_account(ties: pd.DataFrame, nodes: pd.DataFrame, contested: pd.Index) -> pd.Series:
    """Where several accounts meet, a loose node joins an account only when it is seen with that one alone."""
    own = pd.Series(contested, index=contested, dtype=object)
    if own.empty:
        return own
    here = ties[ties["node"].isin(contested)]
    is_account = here["node"].map(nodes["has_account"]).astype(bool)
    beside = here[~is_account].merge(here[is_account], on="event", suffixes=("", "_account"))
    met = beside.groupby("node")["node_account"].agg(["nunique", "first"])
    own.update(met.loc[met["nunique"] == 1, "first"])
    return own


def _components(left: pd.Series, right: pd.Series) -> pd.Series:
    """Connected components of the two-sided graph: for each distinct value of `right`, its component's number."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    events, _ = pd.factorize(left)
    nodes, names = pd.factorize(right, sort=True)
    total = len(names) + int(events.max(initial=-1)) + 1
    edges = coo_array((np.ones(len(nodes), dtype=np.int8), (nodes, events + len(names))), shape=(total, total))
    return pd.Series(connected_components(edges, directed=False)[1][: len(names)], index=pd.Index(names))


def _answers(seen: pd.DataFrame, units: pd.DataFrame, before: pd.Series) -> pd.Series:
    """The person of each identifier that was seen, or whose person was absorbed by an older one."""
    persons = _persons_of_groups(seen, units)
    today = seen.drop_duplicates("identifier").set_index("identifier")["unit"].map(units["group"]).map(persons)
    now = units.loc[~units["is_new"], "group"].map(persons)
    moved = before[before.isin(now.index[now != now.index]) & ~before.index.isin(today.index)].map(now)
    return pd.concat([today, moved]) if len(moved) else today


def _persons_of_groups(seen: pd.DataFrame, units: pd.DataFrame) -> pd.Series:
    """For each group its oldest person; without any, a new one named after the identifier that came first."""
    first = seen.assign(group=seen["unit"].map(units["group"])).sort_values(["group", "seen_at", "identifier"])
    first = first.drop_duplicates("group").set_index("group")
    at = pd.to_datetime(first["seen_at"], utc=True)
    new = pd.Series([person_id(i, t) for i, t in zip(first["identifier"], at, strict=True)], index=first.index, dtype=object)
    known = units[~units["is_new"]]
    oldest = known.index.to_series().groupby(known["group"]).first()  # ids sort by age, and the index is sorted
    new.update(oldest)
    return new


def _changes(answers: pd.Series, before: pd.Series) -> pd.DataFrame:
    changed = answers[answers != before.reindex(answers.index)].sort_index()
    rows = {"identifier": changed.index.to_numpy(), "person_id": changed.to_numpy(), "probability": 1.0, "method": "exact"}
    return pd.DataFrame(rows, columns=list(ROW))
