"""From a day's signals to whose each identifier is: exact links first, a ranked link only where no log-in speaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from whence.contracts.events import LOGIN_KEYS

ANSWER_COLUMNS = ["identifier", "person_id", "probability", "method", "bundle"]


@dataclass(frozen=True)
class Link:
    """A ranked answer: an anonymous person is taken to be this known one."""

    person_id: str
    probability: float
    bundle: str


@dataclass(frozen=True)
class Settled:
    """What changed today: new answers, and the exact answers that lie beneath ranked ones."""

    answers: pd.DataFrame
    """Columns identifier, person_id, probability, method, bundle."""
    beneath: pd.DataFrame
    """Columns identifier, person_id."""


def exact_now(before: pd.Series, changed: pd.DataFrame) -> pd.Series:
    """The exact person of every identifier after today's changes, by identifier.

    >>> was = pd.Series({"cookie_id:a": "p1", "cookie_id:b": "p2"})
    >>> exact_now(was, pd.DataFrame({"identifier": ["cookie_id:b"], "person_id": ["p1"]})).to_dict()
    {'cookie_id:a': 'p1', 'cookie_id:b': 'p1'}
    """
    today = pd.Series(changed["person_id"].to_numpy(), index=changed["identifier"].to_numpy(), dtype=object)
    both: pd.Series = pd.concat([before.drop(before.index.intersection(today.index)), today]).sort_index()
    return both


def known(exact: pd.Series) -> frozenset[str]:
    """The persons that a log-in names.

    >>> sorted(known(pd.Series({"cookie_id:a": "p1", "email_hash:x": "p2"})))
    ['p2']
    """
    kinds = exact.index.str.partition(":").get_level_values(0) if len(exact) else exact.index
    return frozenset(exact[kinds.isin(LOGIN_KEYS)])


def moved(before: pd.Series, now: pd.Series) -> dict[str, str]:
    """Where the people of yesterday went in today's merges: old person id to new, for those that changed."""
    shared = before.index.intersection(now.index)
    was, is_now = before.loc[shared], now.loc[shared]
    changed = was.to_numpy() != is_now.to_numpy()
    return dict(zip(was[changed], is_now[changed], strict=True))


def carried(answers: pd.DataFrame, before: pd.Series, now: pd.Series) -> dict[str, Link]:
    """Yesterday's ranked links that still hold, by anonymous person.

    A link ends when a log-in names its person, when the person that it points to is known no more, and
    when two anonymous persons with different links turn out to be one.
    """
    names, went = known(now), moved(before, now)
    links: dict[str, Link] = {}
    refused: set[str] = set()
    for row in answers[answers["method"] == "ranked"].to_dict("records"):
        owner, target = now[row["identifier"]], went.get(row["person_id"], row["person_id"])
        if owner in names or target not in names:
            continue
        if links.setdefault(owner, Link(target, float(row["probability"]), row["bundle"])).person_id != target:
            refused.add(owner)
    return {owner: link for owner, link in links.items() if owner not in refused}


def room_for(links: Mapping[str, Link], exact: pd.Series, most: int) -> dict[str, Link]:
    """The links that leave no person with more than `most` identifiers; the surest get the room first."""
    sizes = exact.value_counts().to_dict()
    taken: dict[str, Link] = {}
    for owner, link in sorted(links.items(), key=lambda pair: (-pair[1].probability, pair[0])):
        together = sizes.get(owner, 0) + sizes.get(link.person_id, 0)
        if together <= most:
            sizes[link.person_id] = together
            taken[owner] = link
    return taken


def settle(answers: pd.DataFrame, before: pd.Series, now: pd.Series, links: Mapping[str, Link]) -> Settled:
    """Compare today's answers with yesterday's and keep what changed.

    `answers` are the rows of `persons` as of yesterday, `before` and `now` the exact persons by
    identifier, `links` the ranked links that hold today, by anonymous person.
    """
    today = _answers(now, links)
    was = answers.set_index("identifier").reindex(today["identifier"])
    same = (was["person_id"].to_numpy() == today["person_id"].to_numpy()) & (
        was["method"].to_numpy() == today["method"].to_numpy()
    )
    changed = today[~same].reset_index(drop=True)
    ranked = now[now.index.isin(today.loc[today["method"] == "ranked", "identifier"])]
    beneath = ranked[before.reindex(ranked.index).to_numpy() != ranked.to_numpy()]
    return Settled(changed, pd.DataFrame({"identifier": beneath.index.to_numpy(), "person_id": beneath.to_numpy()}, dtype=object))


def _answers(exact: pd.Series, links: Mapping[str, Link]) -> pd.DataFrame:
    linked = exact.map(lambda person: links.get(person)).to_numpy() if links else [None] * len(exact)
    rows = [
        (identifier, link.person_id, link.probability, "ranked", link.bundle)
        if link
        else (identifier, person, 1.0, "exact", None)
        for identifier, person, link in zip(exact.index, exact, linked, strict=True)
    ]
    return pd.DataFrame(rows, columns=ANSWER_COLUMNS)
