"""The ledger: stable ids, two times, laws for any history, and the past of training rows that nothing changes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.contracts.times import NaiveTimeError
from whence.identity.ledger import SCHEMA, Changes, Ledger, LedgerError, Limits, changes, fuse, person_id

START = datetime(2026, 5, 1, tzinfo=UTC)
NAMES = "abcdefgh"
People = Mapping[str, int | str]


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def told(ledger: Ledger, people: People, known: float, valid: float | None = None, **more: bool) -> Ledger:
    """The ledger after a publication."""
    return ledger.plus(ledger.publish(people, day(known if valid is None else valid), day(known), "a test", **more))


def a_history(*publications: People) -> Ledger:
    """A ledger of one publication a day."""
    ledger = Ledger()
    for number, people in enumerate(publications):
        ledger = told(ledger, people, number)
    return ledger


def groups(*persons: str) -> dict[str, int]:
    """An assignment from texts: `ab`, `c` are two people."""
    return {name: number for number, person in enumerate(persons) for name in person}


def ids(ledger: Ledger, names: str = NAMES, known: float = 99, valid: float = 99) -> dict[str, str | None]:
    return dict(zip(names, ledger.resolve_many(list(names), day(valid), day(known)).to_pylist(), strict=True))


def kinds(events: pa.Table) -> dict[str, str]:
    return dict(zip(events["identifier"].to_pylist(), events["kind"].to_pylist(), strict=True))


partition = st.lists(st.integers(-1, 4), min_size=len(NAMES), max_size=len(NAMES)).map(
    lambda codes: {name: code for name, code in zip(NAMES, codes, strict=True) if code >= 0}
)
histories = st.lists(st.tuples(partition, st.integers(0, 12)), min_size=1, max_size=6)


def of_history(history: list[tuple[People, int]], complete: bool = False) -> Ledger:
    """A ledger of one publication a day, each valid from some day, before or after."""
    ledger = Ledger()
    for number, (people, valid) in enumerate(history):
        ledger = told(ledger, people, number, valid, complete=complete)
    return ledger


def test_new_identifiers_get_the_id_of_their_least_member_and_day() -> None:
    ledger = a_history(groups("ba", "c"))
    assert ids(ledger, "abc") == {"a": person_id("a", START), "b": person_id("a", START), "c": person_id("c", START)}


def test_the_larger_person_keeps_its_id_and_absorbs_the_other() -> None:
    ledger = a_history(groups("a", "bc"))
    merge = ledger.publish(groups("abc"), day(1), day(1), "a run")
    assert kinds(merge) == {"a": "merge"}
    assert merge["from_person"].to_pylist() == [person_id("a", START)]
    assert set(ids(ledger.plus(merge), "abc").values()) == {person_id("b", START)}


def test_of_two_as_large_the_oldest_keeps_its_id() -> None:
    ledger = a_history(groups("b"), groups("a"), groups("ab"))
    assert set(ids(ledger, "ab").values()) == {person_id("b", START)}


def test_what_is_split_off_gets_a_new_id_and_the_rest_keeps_the_old() -> None:
    ledger = a_history(groups("abc"))
    split = ledger.publish(groups("ab", "c"), day(1), day(1), "a run")
    assert kinds(split) == {"c": "split"}
    assert split["person_id"].to_pylist() == [person_id("c", day(1))]


def test_a_merge_undone_brings_the_absorbed_id_back() -> None:
    ledger = a_history(groups("ab", "c"), groups("abc"), groups("ab", "c"))
    assert ids(ledger, "abc", known=0) == ids(ledger, "abc", known=2)


def test_an_id_made_twice_on_one_day_is_told_apart_by_its_instant() -> None:
    ledger = told(Ledger(), groups("ab"), 0)
    ledger = ledger.plus(ledger.retract(["a", "b"], day(0.1), day(0.1), "erased"))
    ledger = told(ledger, groups("acdefgh"), 0.2)  # half of what the person had: it is back
    assert ids(ledger, "a")["a"] == person_id("a", START)
    ledger = told(ledger, groups("a", "cdefgh"), 0.3)
    assert ids(ledger, "a")["a"] == person_id(f"a {day(0.3).isoformat()}", START)


def test_what_is_not_named_stays_and_a_complete_publication_retracts_it() -> None:
    ledger = a_history(groups("ab", "c"))
    assert kinds(ledger.publish(groups("ab"), day(1), day(1), "a run")) == {}
    complete = ledger.publish(groups("ab"), day(1), day(1), "a run", complete=True)
    assert kinds(complete) == {"c": "retract"}
    assert ledger.plus(complete).resolve("c", day(1), day(1)) is None
    assert ledger.plus(complete).resolve("c", day(0), day(1)) is not None


def test_a_person_with_identifiers_that_are_not_named_lives_on() -> None:
    ledger = a_history(groups("abc", "defg"))
    events = ledger.publish(groups("cdefg"), day(1), day(1), "a run")
    assert kinds(events) == {"c": "split"}


def test_a_correction_of_the_past_changes_it_as_known_from_now_on_only() -> None:
    ledger = told(told(Ledger(), groups("a", "b"), 5), groups("ab"), 9, valid=3)
    assert ids(ledger, "ab", valid=5, known=8) == {"a": person_id("a", day(5)), "b": person_id("b", day(5))}
    joined = person_id("b", day(5))  # both are as old and as large, and this id is less
    assert ids(ledger, "ab", valid=5, known=9) == {"a": joined, "b": joined}
    assert ids(ledger, "ab", valid=3, known=9) == {"a": joined, "b": joined}
    assert ids(ledger, "ab", valid=2, known=9) == {"a": None, "b": None}
    assert kinds(ledger.publish(groups("ab"), day(3), day(10), "again")) == {}


def test_history_tells_what_was_said_of_an_identifier() -> None:
    ledger = a_history(groups("a", "bc"), groups("abc"))
    assert ledger.history("a").select(["kind", "cause"]).to_pylist() == [
        {"kind": "assign", "cause": "a test"},
        {"kind": "merge", "cause": "a test"},
    ]
    assert len(ledger.history("z")) == 0


def test_people_are_who_is_who_now() -> None:
    ledger = a_history(groups("b", "ca"))
    ledger = ledger.plus(ledger.retract(["b", "z"], day(1), day(1), "erased"))
    assert ledger.people()["identifier"].to_pylist() == ["a", "c"]


def test_what_was_known_cannot_be_added_to() -> None:
    ledger = a_history(groups("ab"), groups("abc"))
    with pytest.raises(LedgerError, match=r"1 identifiers, b the first, .* later known_at"):
        ledger.publish(groups("a", "b"), day(0), day(0), "too late")
    with pytest.raises(LedgerError, match="later known_at"):
        ledger.retract(["a"], day(1), day(1), "too late")
    with pytest.raises(LedgerError, match="in order, once"):
        ledger.plus(ledger.events)


def test_wrong_publications_are_named() -> None:
    with pytest.raises(LedgerError, match="b is assigned twice"):
        Ledger().publish((["b", "a", "b"], [1, 2, 3]), START, START, "a run")
    with pytest.raises(LedgerError, match="is empty"):
        Ledger().publish((["b", None], [1, 2]), START, START, "a run")  # type: ignore[list-item]
    with pytest.raises(NaiveTimeError):
        Ledger().publish(groups("a"), datetime(2026, 5, 1), START, "a run")  # noqa: DTZ001
    twice = a_history(groups("a")).events
    with pytest.raises(LedgerError, match="a has two events"):
        Ledger.of(pa.concat_tables([twice, twice]))


@settings(max_examples=12, deadline=None)
@given(histories, st.booleans())
def test_every_answer_is_the_one_that_reading_all_events_gives(history: list[tuple[People, int]], complete: bool) -> None:
    ledger = of_history(history, complete)
    events = ledger.events.to_pylist()
    for name in NAMES:
        for valid, known in [(v, k) for v in range(-1, 14, 3) for k in range(-1, 7)]:
            told_by_then = [
                e for e in events if e["identifier"] == name and e["valid_at"] <= day(valid) and e["known_at"] <= day(known)
            ]
            expected = told_by_then[-1]["person_id"] if told_by_then else None
            assert ledger.resolve(name, day(valid), day(known)) == expected


@settings(max_examples=12, deadline=None)
@given(histories, partition, st.integers(0, 12))
def test_the_last_publication_is_the_answer_from_its_time_on(history: list[tuple[People, int]], last: People, valid: int) -> None:
    ledger = told(of_history(history), last, 50, valid)
    for at in (valid, 50):
        found = ids(ledger, known=50, valid=at)
        for one in last:
            assert found[one] is not None
            for other in last:
                assert (found[one] == found[other]) == (last[one] == last[other])


@settings(max_examples=12, deadline=None)
@given(histories, partition, st.booleans())
def test_what_was_answered_once_is_answered_for_ever(history: list[tuple[People, int]], last: People, complete: bool) -> None:
    before = of_history(history)
    after = told(before, last, 50, 4, complete=complete)
    assert after.events.slice(0, len(before.events)).equals(before.events)
    for known in range(len(history)):
        for valid in range(0, 13, 2):
            assert ids(before, known=known, valid=valid) == ids(after, known=known, valid=valid)


@settings(max_examples=12, deadline=None)
@given(histories, st.booleans(), st.randoms(use_true_random=False))
def test_publications_are_safe_to_run_twice_and_in_any_order_of_rows(
    history: list[tuple[People, int]], complete: bool, shuffler: random.Random
) -> None:
    ledger = of_history(history, complete)
    last, valid = history[-1]
    for known in (len(history) - 1, 60):  # the same run again, and a later one that found the same
        assert len(ledger.publish(last, day(valid), day(known), "again", complete=complete)) == 0
    shuffled = []
    for people, at in history:
        names = list(people)
        shuffler.shuffle(names)
        shuffled.append(({name: f"cluster {people[name]}" for name in names}, at))
    assert of_history(shuffled, complete).events.equals(ledger.events)
    assert Ledger.of(ledger.events.take(shuffler.sample(range(len(ledger.events)), len(ledger.events)))).events.equals(
        ledger.events
    )


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=len(NAMES), max_size=len(NAMES)), st.lists(st.integers(0, 2), min_size=5, max_size=5))
def test_any_merges_undone_restore_every_id(codes: list[int], merged: list[int]) -> None:
    people = dict(zip(NAMES, codes, strict=True))
    ledger = a_history(people, {name: merged[code] for name, code in people.items()}, people)
    assert ids(ledger, known=0) == ids(ledger, known=2)


@settings(max_examples=12, deadline=None)
@given(histories)
def test_an_id_lives_once_or_comes_back_with_half_of_what_it_had(history: list[tuple[People, int]]) -> None:
    ledger = of_history(history, complete=True)
    before: dict[str, set[str]] = {}
    for known in range(len(history)):
        now: dict[str, set[str]] = {}
        for name, person in ids(ledger, known=known).items():
            if person is not None:
                now.setdefault(person, set()).add(name)
        for person, members in now.items():
            assert not before.get(person) or members & before[person]
        before |= now


Labeller = Callable[[Ledger, list[tuple[str, datetime]]], list[str | None]]


def as_known_then(ledger: Ledger, rows: list[tuple[str, datetime]]) -> list[str | None]:
    """The person of each training row, as known at its as-of."""
    at = np.array([moment.replace(tzinfo=None) for _, moment in rows], dtype="datetime64[us]")
    labels: list[str | None] = ledger.resolve_many([name for name, _ in rows], at, at).to_pylist()
    return labels


def as_known_now(ledger: Ledger, rows: list[tuple[str, datetime]]) -> list[str | None]:
    """What a ledger that overwrites would answer: the past with the knowledge of now."""
    at = np.array([moment.replace(tzinfo=None) for _, moment in rows], dtype="datetime64[us]")
    labels: list[str | None] = ledger.resolve_many([name for name, _ in rows], at, day(10_000)).to_pylist()
    return labels


def rows_changed_by_late_merges_and_splits(label: Labeller, number: int, seed: int = 7) -> int:
    """How many labels of training rows change over this many random merges and splits, half of them valid from the past."""
    rng = random.Random(seed)
    names = [f"cookie_id:{i:04d}" for i in range(1000)]
    people = {name: f"{i // 3}" for i, name in enumerate(names)}
    ledger = told(Ledger(), people, 0)
    rows: list[tuple[str, datetime]] = []
    labels: list[str | None] = []
    changed = 0
    for batch in range(number // 50):
        new = [(rng.choice(names), day(batch + 0.5)) for _ in range(50)]
        labels += label(ledger, new)
        rows += new
        members: dict[str, list[str]] = {}
        for name, person in people.items():
            members.setdefault(person, []).append(name)
        for change in range(50):
            if change % 2:
                one, other = rng.sample(sorted(members), 2)
                members[one] += members.pop(other)
            else:
                person = rng.choice(sorted(p for p in members if len(members[p]) > 1))
                cut = rng.randrange(1, len(members[person]))
                rng.shuffle(members[person])
                members[f"{batch} {change}"], members[person] = members[person][:cut], members[person][cut:]
        people = {name: person for person, held in members.items() for name in held}
        back = rng.choice([0.0, rng.random() * batch])
        ledger = told(ledger, people, batch + 1, valid=batch + 1 - back)
        changed += sum(a != b for a, b in zip(label(ledger, rows), labels, strict=True))
    assert len(ledger.people()) == len(names)
    return changed


def test_late_merges_and_splits_never_change_a_training_row_of_the_past() -> None:
    assert rows_changed_by_late_merges_and_splits(as_known_then, 500) == 0


def test_a_ledger_that_overwrites_would_be_found_out() -> None:
    assert rows_changed_by_late_merges_and_splits(as_known_now, 200) > 0


@pytest.mark.service
def test_ten_thousand_late_merges_and_splits_never_change_a_training_row_of_the_past() -> None:
    assert rows_changed_by_late_merges_and_splits(as_known_then, 10_000) == 0


def who(**persons: str) -> pa.Table:
    """Who is who from p="abc": person p holds a, b and c."""
    rows = sorted((name, person) for person, names in persons.items() for name in names)
    return pa.table({"identifier": [name for name, _ in rows], "person_id": [person for _, person in rows]})


SMALL = Limits(max_identifiers=4, max_moved=0.3, max_merged=0.3, max_in_largest=0.7, least=4)


@pytest.mark.parametrize(
    ("after", "limit", "person"),
    [
        (who(p="abcde", q="f"), "max_identifiers", "p"),
        (who(p="abcd", q="e"), "max_in_largest", "p"),
        (who(p="abcd", r="ef"), "max_merged", "p"),
        (who(p="a", q="bc", r="ef", s="d"), "max_moved", "q"),
    ],
)
def test_the_fuse_stops_an_over_merge_and_names_the_person_and_the_limit(after: pa.Table, limit: str, person: str) -> None:
    tripped = fuse(who(p="ab", q="cd", r="ef"), after, SMALL)
    assert tripped is not None
    assert (tripped.limit, tripped.person_id) == (limit, person)
    assert f"{limit} is" in tripped.message
    assert f" {person} " in tripped.message.replace(":", " ").replace(",", " ")
    assert fuse(who(p="ab", q="cd", r="ef"), after, SMALL, force="looked at by ann") is None


def test_the_fuse_lets_a_calm_day_and_a_first_day_pass() -> None:
    calm = who(p="ab", q="cd", r="ef")
    assert fuse(calm, calm, SMALL) is None
    assert fuse(who(), calm, SMALL) is None
    assert fuse(calm, who(), SMALL) is None
    assert fuse(calm, who(p="abcd", r="ef"), Limits(max_merged=0.2, least=4, max_in_largest=1, max_moved=1), days=2) is None


def test_changes_say_what_moves_downstream() -> None:
    before, after = who(p="abc", q="d", r="e"), who(p="abd", s="cf")
    weights = pa.table({"identifier": ["c", "d", "z"], "conversions": [1, 2, 9], "micros": [None, 5.0, 9.0]})
    found = changes(before, after, weights)
    assert found == Changes(
        persons_before=3,
        persons_after=2,
        persons_merged=1,
        persons_split=1,
        identifiers_new=1,
        identifiers_gone=1,
        identifiers_moved=2,
        weights_moved={"conversions": 3.0, "micros": 5.0},
        rows=found.rows,
    )
    assert found.rows.select(["from_person", "to_person", "identifiers"]).to_pylist() == [
        {"from_person": "p", "to_person": "s", "identifiers": 1},
        {"from_person": "q", "to_person": "p", "identifiers": 1},
        {"from_person": "r", "to_person": None, "identifiers": 1},
    ]
    assert changes(who(), who()).identifiers_moved == 0


def test_events_have_the_schema_of_their_table_and_an_id_of_their_own() -> None:
    ledger = a_history(groups("ab", "c"), groups("abc"))
    assert ledger.events.schema == SCHEMA
    assert ledger.events["event_id"][0].as_py() == "20260501T000000.000000 a"
    assert len(set(ledger.events["event_id"].to_pylist())) == len(ledger.events)


def recorded(**persons: str) -> pa.Table:
    return pa.table({"identifier": list(persons), "person_id": list(persons.values())})


def test_ids_given_by_others_are_kept_a_merge_holds_from_the_first_and_a_split_from_its_own_day() -> None:
    one, two, three = (day(number) for number in (1, 2, 3))
    ledger = Ledger()
    for at, who in ((one, recorded(a="p", b="p", c="q")), (two, recorded(a="p", b="p", c="p"))):
        ledger = ledger.plus(ledger.record(who, at, at, "a day"))
    assert ledger.record(recorded(c="p", b="p", a="p"), three, three, "again").num_rows == 0
    split = ledger.record(recorded(a="p", b="r", c="p"), three, three, "a day")
    assert split.select(["kind", "identifier", "person_id", "from_person"]).to_pylist() == [
        {"kind": "split", "identifier": "b", "person_id": "r", "from_person": "p"}
    ]
    ledger = ledger.plus(split)
    assert [ledger.resolve("c", one, known) for known in (one, two)] == ["q", "p"]
    assert [ledger.resolve("b", valid, three) for valid in (two, three)] == ["p", "r"]


def test_what_was_answered_before_cannot_be_recorded_otherwise() -> None:
    at = day(1)
    ledger = Ledger().plus(Ledger().record(recorded(a="p"), at, at, "a day"))
    with pytest.raises(LedgerError, match="Record with a later known_at"):
        ledger.record(recorded(a="q"), at, at, "a day")
