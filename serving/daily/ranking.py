"""Anonymous persons compared with the people on their networks, by the champion of identity-ranker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from serving.daily.resolving import Link
from whence.bundle import Scorer
from whence.contracts.settings import Identity
from whence.identity import decide, evidence, retrieve
from whence.identity.exact import who
from whence.identity.signals import strongest

History = Callable[[pd.DataFrame, tuple[str, ...]], pd.DataFrame]
"""features.historical for these settings: rows and views in, the same rows with feature columns out."""

SIGNALS_PER_PERSON = 3

LEAST_NETWORKS, LEAST_SHARE = 2, 2 / 3
"""Of the networks of an anonymous person, how many the person linked to must have been on."""


@dataclass(frozen=True)
class Ranked:
    """What the model said about a day's anonymous signals."""

    links: dict[str, Link]
    """By anonymous person."""
    subjects: pd.DataFrame
    """A row for each pair: subject (event_id), option (person_id), made_at, chosen."""
    inputs: pd.DataFrame
    raw: np.ndarray
    probability: np.ndarray


def rank(
    signals: pd.DataFrame,
    exact: pd.Series,
    names: frozenset[str],
    went: Mapping[str, str],
    skip: frozenset[str],
    networks: pd.DataFrame,
    history: History,
    scorer: Scorer,
    policy: Identity,
) -> Ranked:
    """Compare the day's anonymous signals with known people on their networks.

    `exact` is the exact person by identifier after today's links, `names` the persons whom a log-in names, `went`
    today's merges (old person id to new), `skip` the anonymous persons who are linked already, `networks` who
    was lately on which network (person_id, ip_key). Signals without consent are not compared.
    """
    asked = _anonymous(signals, exact, names | skip)
    people = history(asked, ("network_features",))["network_features__people"] if len(asked) else pd.Series(dtype=object)
    pairs = retrieve.candidates(asked, people, max_candidates=policy.max_candidates)
    pairs = pairs.assign(target=[went.get(person, person) for person in pairs["person_id"]])
    pairs = pairs[pairs["target"].isin(names)].drop_duplicates(["event_id", "target"]).drop(columns="via")
    pairs = pairs.merge(asked.drop(columns="row_id"), on="event_id")
    pairs = pairs.rename_axis("row_id").reset_index()
    if pairs.empty:
        return _nobody(scorer)
    inputs = evidence.pair_frame(pairs, history(pairs, evidence.VIEWS))
    raw, probability = scorer.score(inputs)
    links = vouched(choose(pairs.assign(probability=probability), policy.cut, scorer.digest), networks)
    chosen = [owner in links and links[owner].person_id == to for owner, to in zip(pairs["owner"], pairs["target"], strict=True)]
    subjects = pd.DataFrame(
        {"subject": pairs["event_id"], "option": pairs["person_id"], "made_at": pairs["seen_at"], "chosen": chosen}
    )
    return Ranked(links, subjects, inputs, raw, probability)


def choose(pairs: pd.DataFrame, cut: float, bundle: str) -> dict[str, Link]:
    """The link of each anonymous person: its signals' sure and clear answers, where they agree (see identity.decide).

    `pairs` has event_id, owner, target and probability.

    >>> rows = {"event_id": ["e", "e"], "owner": ["a", "a"], "target": ["p", "q"]}
    >>> choose(pd.DataFrame(rows | {"probability": [0.9, 0.3]}), 0.7, "b")
    {'a': Link(person_id='p', probability=0.9, bundle='b')}
    >>> choose(pd.DataFrame(rows | {"probability": [0.9, 0.8]}), 0.7, "b")
    {}
    """
    best = pairs.groupby(["event_id", "target"])["probability"].max()
    asked = best.rename_axis(["event_id", "person_id"]).reset_index()
    moves = decide.moves(decide.links(asked, cut), pairs.drop_duplicates("event_id").set_index("event_id")["owner"])
    return {row["from_person"]: Link(row["person_id"], float(row["probability"]), bundle) for row in moves.to_dict("records")}


def vouched(links: Mapping[str, Link], networks: pd.DataFrame) -> dict[str, Link]:
    """The links that more than one network speaks for.

    The model is taught on people with a log-in, and many anonymous persons have none: their housemate with the same
    browser then looks like them. What tells the two apart is the rest of the day: the person linked to must have been
    on two of the anonymous person's networks at least, and on two thirds of them.

    >>> networks = pd.DataFrame({"person_id": ["a", "a", "p", "p", "b", "q"], "ip_key": ["home", "work"] * 2 + ["home"] * 2})
    >>> list(vouched({"a": Link("p", 0.9, "x"), "b": Link("q", 0.9, "x")}, networks))
    ['a']
    """
    involved = {*links, *(link.person_id for link in links.values())}
    near = networks[networks["person_id"].isin(involved)].dropna(subset="ip_key")
    places = near.groupby("person_id")["ip_key"].agg(set).to_dict()
    return {owner: link for owner, link in links.items() if _agree(places.get(owner, set()), places.get(link.person_id, set()))}


def _agree(own: set[str], others: set[str]) -> bool:
    shared = len(own & others)
    return shared >= LEAST_NETWORKS and shared >= LEAST_SHARE * len(own)


def _anonymous(signals: pd.DataFrame, exact: pd.Series, skip: frozenset[str]) -> pd.DataFrame:
    """A few signals of each person without a log-in, from different networks, with `owner`, `identifier` and `row_id`."""
    answers = pd.DataFrame({"identifier": exact.index, "person_id": exact.to_numpy()})
    owned = signals.assign(owner=who(signals, answers))
    owned = owned[owned["owner"].notna() & owned["ip_key"].notna() & (owned["consent"] != "denied")]
    owned = owned[~owned["owner"].isin(skip)].drop_duplicates(["owner", "ip_key"])
    owned = owned.groupby("owner", sort=False).head(SIGNALS_PER_PERSON).reset_index(drop=True)
    return owned.assign(identifier=strongest(owned), row_id=range(len(owned)))


def _nobody(scorer: Scorer) -> Ranked:
    none = np.empty(0)
    subjects = pd.DataFrame(columns=["subject", "option", "made_at", "chosen"])
    return Ranked({}, subjects, pd.DataFrame(columns=list(scorer.schema.names)), none, none)
