"""Ranked links beside exact ones: a log-in has the last word, and nothing that was known is forgotten."""

from __future__ import annotations

import pandas as pd

from serving.daily.resolving import Link, carried, moved, room_for, settle

ANN_AND_BOB = {"email_hash:ann": "p1", "email_hash:bob": "p2"}


def persons(**by_identifier: str) -> pd.Series:
    return pd.Series({**ANN_AND_BOB, **{name.replace("__", ":"): who for name, who in by_identifier.items()}}, dtype=object)


def answers(exact: pd.Series, **ranked: str) -> pd.DataFrame:
    rows = [(name, who, 1.0, "exact", None) for name, who in exact.items() if name.replace(":", "__") not in ranked]
    rows += [(name.replace("__", ":"), who, 0.9, "ranked", "b1") for name, who in ranked.items()]
    return pd.DataFrame(rows, columns=["identifier", "person_id", "probability", "method", "bundle"])


def test_a_ranked_link_is_carried_from_day_to_day() -> None:
    exact = persons(cookie_id__c="p3")
    assert carried(answers(exact, cookie_id__c="p1"), exact, exact) == {"p3": Link("p1", 0.9, "b1")}


def test_a_log_in_takes_a_ranked_link_back() -> None:
    before, now = persons(cookie_id__c="p3"), persons(cookie_id__c="p2")
    links = carried(answers(before, cookie_id__c="p1"), before, now)
    settled = settle(answers(before, cookie_id__c="p1"), before, now, links)
    assert links == {}
    assert settled.answers[["identifier", "person_id", "method"]].to_numpy().tolist() == [["cookie_id:c", "p2", "exact"]]


def test_a_ranked_link_follows_its_person_into_a_merge() -> None:
    before = persons(cookie_id__c="p3", external_id__a="p0")
    now = before.replace("p1", "p0")
    assert moved(before, now) == {"p1": "p0"}
    assert carried(answers(before, cookie_id__c="p1"), before, now) == {"p3": Link("p0", 0.9, "b1")}


def test_two_strangers_who_were_linked_to_different_people_and_are_one_lose_both_links() -> None:
    before = persons(cookie_id__c="p3", device_id__d="p4")
    now = persons(cookie_id__c="p3", device_id__d="p3")
    assert carried(answers(before, cookie_id__c="p1", device_id__d="p2"), before, now) == {}


def test_the_exact_answer_is_kept_beneath_a_ranked_one_on_the_day_it_is_first_seen() -> None:
    before, now = persons(), persons(cookie_id__c="p3")
    settled = settle(answers(before), before, now, {"p3": Link("p1", 0.8, "b1")})
    assert settled.answers.to_numpy().tolist() == [["cookie_id:c", "p1", 0.8, "ranked", "b1"]]
    assert settled.beneath.to_numpy().tolist() == [["cookie_id:c", "p3"]]


def test_nothing_is_written_when_nothing_changed() -> None:
    exact = persons(cookie_id__c="p3")
    settled = settle(answers(exact, cookie_id__c="p1"), exact, exact, {"p3": Link("p1", 0.9, "b1")})
    assert settled.answers.empty
    assert settled.beneath.empty


def test_links_never_make_a_hub_and_the_surest_comes_first() -> None:
    exact = persons(cookie_id__c="p3", cookie_id__d="p4")
    links = {"p3": Link("p1", 0.8, "b"), "p4": Link("p1", 0.9, "b")}
    assert set(room_for(links, exact, most=2)) == {"p4"}
    assert set(room_for(links, exact, most=3)) == {"p3", "p4"}
