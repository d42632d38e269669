"""Exact links: what joins a person, what never does, and the laws that hold for any day."""

from __future__ import annotations

from typing import Any

import networkx as nx
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.contracts.events import LINK_KEYS, LOGIN_KEYS
from whence.identity import exact
from whence.identity.exact import link, who
from whence.identity.signals import carried

NOBODY = pd.DataFrame(columns=["identifier", "person_id"])


def a_day(*carried_by: dict[str, str], day: str = "2026-05-01") -> pd.DataFrame:
    """Signals a minute apart, each with these identifiers."""
    times = pd.Timestamp(f"{day}T10:00Z") + pd.to_timedelta(range(len(carried_by)), unit="min")
    rows = [{"event_id": f"{day}-{i}", **each} for i, each in enumerate(carried_by)]
    return pd.DataFrame(rows).reindex(columns=["event_id", *LINK_KEYS, "ip_key", "click_id"]).assign(seen_at=times)


def after(persons: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Persons as of the day's end."""
    kept = persons[~persons["identifier"].isin(new["identifier"])]
    return pd.concat([kept, new[["identifier", "person_id"]]], ignore_index=True)


def people(persons: pd.DataFrame) -> set[frozenset[str]]:
    """The persons as sets of identifiers."""
    return {frozenset(group) for _, group in persons.groupby("person_id")["identifier"]}


def test_identifiers_on_one_signal_are_one_person() -> None:
    day = a_day({"email_hash": "e", "cookie_id": "c"}, {"cookie_id": "c", "device_id": "d"}, {"cookie_id": "x"})
    assert people(link(day, NOBODY)) == {frozenset({"email_hash:e", "cookie_id:c", "device_id:d"}), frozenset({"cookie_id:x"})}


def test_a_network_and_a_click_link_nobody() -> None:
    day = a_day({"cookie_id": "a", "ip_key": "i", "click_id": "k"}, {"cookie_id": "b", "ip_key": "i", "click_id": "k"})
    assert len(people(link(day, NOBODY))) == 2


def test_a_tablet_that_two_accounts_use_merges_neither_and_stays_by_itself() -> None:
    day = a_day({"email_hash": "ann", "device_id": "tablet"}, {"email_hash": "bob", "device_id": "tablet"})
    assert people(link(day, NOBODY)) == {frozenset({x}) for x in ("email_hash:ann", "email_hash:bob", "device_id:tablet")}


def test_a_chain_of_things_between_two_accounts_leaves_each_thing_with_the_account_beside_it() -> None:
    day = a_day(
        {"email_hash": "ann", "cookie_id": "1"}, {"cookie_id": "1", "device_id": "2"}, {"device_id": "2", "email_hash": "bob"}
    )
    assert people(link(day, NOBODY)) == {
        frozenset({"email_hash:ann", "cookie_id:1"}),
        frozenset({"email_hash:bob", "device_id:2"}),
    }


def test_accounts_known_from_before_are_not_merged_by_a_cookie() -> None:
    known = link(a_day({"email_hash": "ann", "cookie_id": "c"}, {"email_hash": "bob"}), NOBODY)
    assert link(a_day({"email_hash": "bob", "cookie_id": "c"}, day="2026-05-02"), known).empty


def test_two_logins_of_one_account_are_one_person_and_the_oldest_id_survives() -> None:
    first = link(a_day({"email_hash": "e", "cookie_id": "old"}), NOBODY)
    second = after(first, link(a_day({"external_id": "x", "cookie_id": "new"}, day="2026-05-02"), first))
    third = link(a_day({"email_hash": "e", "external_id": "x"}, day="2026-05-03"), second)
    assert third["identifier"].tolist() == ["cookie_id:new", "external_id:x"]  # the cookie follows, though it was not seen
    assert set(third["person_id"]) == set(first["person_id"])


def test_a_group_that_is_too_large_is_a_hub_and_stays_unlinked() -> None:
    day = a_day(*({"email_hash": "shared", "cookie_id": f"c{i}"} for i in range(5)))
    assert len(people(link(day, NOBODY, max_identifiers=6))) == 1
    assert len(people(link(day, NOBODY, max_identifiers=5))) == 6


def test_a_full_person_takes_no_more_but_keeps_what_it_has() -> None:
    known = link(a_day({"email_hash": "e", "cookie_id": "1"}), NOBODY)
    new = link(a_day({"email_hash": "e", "cookie_id": "2"}, day="2026-05-02"), known, max_identifiers=2)
    assert new["identifier"].tolist() == ["cookie_id:2"]
    assert set(new["person_id"]).isdisjoint(known["person_id"])


def test_a_day_without_identifiers_changes_nothing() -> None:
    assert link(a_day({"ip_key": "i"}), NOBODY).empty
    assert link(a_day({"ip_key": "i"}).head(0), NOBODY).columns.tolist() == list(exact.ROW)


def test_who_goes_by_the_strongest_identifier_that_is_known() -> None:
    persons = pd.DataFrame({"identifier": ["cookie_id:c", "device_id:d"], "person_id": ["pc", "pd"]})
    day = a_day({"cookie_id": "c", "device_id": "d"}, {"cookie_id": "c", "email_hash": "new"}, {"cookie_id": "other"}, {})
    assert who(day, persons).tolist() == ["pd", "pc", None, None]
    assert who(day.iloc[::-1], persons).loc[0] == "pd"


values = {key: st.sampled_from([None, None, *(f"{i}" for i in range(6))]) for key in LINK_KEYS}
days = st.lists(st.fixed_dictionaries(values), min_size=1, max_size=14)
laws = settings(max_examples=20, deadline=None, derandomize=True)


@pytest.mark.service
@laws
@given(first=days, second=days, seed=st.integers(0, 99))
def test_order_of_rows_does_not_matter(first: list[dict[str, Any]], second: list[dict[str, Any]], seed: int) -> None:
    known = link(a_day(*first), NOBODY)
    day = a_day(*second, day="2026-05-02")
    mixed = day.sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(link(day, known), link(mixed, known.sample(frac=1, random_state=seed)))


@pytest.mark.service
@laws
@given(first=days, second=days, most=st.integers(1, 12))
def test_whatever_comes_persons_stay_small_accounts_stay_apart_and_ids_stay_stable(
    first: list[dict[str, Any]], second: list[dict[str, Any]], most: int
) -> None:
    known = link(a_day(*first), NOBODY, most)
    day = a_day(*second, day="2026-05-02")
    now = after(known, link(day, known, most))
    assert all(size <= most for size in now.groupby("person_id").size())
    assert not set(carried(day)["identifier"]) - set(now["identifier"])
    assert _accounts_together(now) <= _accounts_linked(a_day(*first), day)
    fresh = set(now["person_id"]) - set(known["person_id"])
    assert all(person.startswith("p20260502-") for person in fresh)
    seen_before = now[now["identifier"].isin(known["identifier"])]
    assert set(seen_before["person_id"]) <= set(known["person_id"])


@pytest.mark.service
@laws
@given(rows=days)
def test_where_no_two_accounts_meet_persons_are_the_components_that_networkx_finds(rows: list[dict[str, Any]]) -> None:
    plain = [{key: value for key, value in row.items() if key not in LOGIN_KEYS} for row in rows]
    graph = nx.Graph()
    for row in plain:
        held = [f"{key}:{value}" for key, value in row.items() if value is not None]
        graph.add_nodes_from(held)
        nx.add_path(graph, held)
    assert people(link(a_day(*plain), NOBODY)) == {frozenset(part) for part in nx.connected_components(graph)}


def _accounts_together(persons: pd.DataFrame) -> set[frozenset[str]]:
    """Pairs of log-in identifiers that one person holds."""
    logins = persons[persons["identifier"].str.split(":").str[0].isin(LOGIN_KEYS)]
    return {frozenset({a, b}) for _, ids in logins.groupby("person_id")["identifier"] for a in ids for b in ids if a < b}


def _accounts_linked(*days: pd.DataFrame) -> set[frozenset[str]]:
    """Pairs of log-in identifiers that log-ins alone connect, found by networkx."""
    graph = nx.Graph()
    for day in days:
        for _, ids in carried(day, LOGIN_KEYS).groupby("event")["identifier"]:
            nx.add_path(graph, list(ids))
    return {frozenset({a, b}) for part in nx.connected_components(graph) for a in part for b in part if a < b}
