"""A day joins without a rebuild: the same people, whatever the days, past the cap, through the disk, and twice."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.identity.clusters import Rules
from whence.identity.records import fields, incremental
from whence.identity.records.fellegi_sunter import COUNT, FellegiSunter, Weights
from whence.identity.records.incremental import Frozen, State, StateError, add_day, freeze, join, load, rebuild, save
from whence.identity.records.keys import Key, Part
from whence.identity.records.retrieve import Plan, Search
from whence.identity.records.table import Field, Fields

FIELDS = Fields((Field("surname", "name"), Field("town", "place"), Field("code", "code")), id="id")
KEYS = (Key((Part("surname"),)), Key((Part("town"), Part("surname", "first 2"))), Key((Part("code"),)))
SCORER = FellegiSunter(-1.0, tuple(Weights(each.name, tuple(np.linspace(-2.0, 3.0, COUNT))) for each in FIELDS.fields))
"""Evidence for whom it is by likeness and rarity: no better than it must be to make people of all sizes."""

SURNAMES = ["smith", "smyth", "jones", "johns", "brown", "braun", "", "stone"]
TOWNS = ["leeds", "leads", "york", ""]


def a_table(rows: int, seed: int, sources: int = 0) -> pa.Table:
    """Rows of few names, so that blocks are large."""
    draw = random.Random(seed)
    ids = draw.sample(range(10_000), rows)
    table = {
        "id": [f"r{number:05d}" for number in ids],
        "surname": [draw.choice(SURNAMES) for _ in ids],
        "town": [draw.choice(TOWNS) for _ in ids],
        "code": [str(draw.randrange(rows)) if draw.random() < 0.7 else "" for _ in ids],
    }
    if sources:
        table["register"] = [f"register {draw.randrange(sources)}" for _ in ids]
    return pa.table(table)


def a_frozen(table: pa.Table, cap: int = 4, described: Fields = FIELDS, rules: Rules | None = None) -> Frozen:
    return freeze(fields.prepare(table, described), described, Plan(KEYS, (), cap), SCORER, rules)


def days(table: pa.Table, number: int, seed: int = 0) -> list[pa.Table]:
    """The rows in random order, in so many parts."""
    order = np.random.default_rng(seed).permutation(len(table))
    return [table.take(pa.array(part)) for part in np.array_split(order, number)]


def joined(frozen: Frozen, *parts: pa.Table) -> State:
    state = rebuild(frozen, parts[0])
    for part in parts[1:]:
        state = join(state, part).state
    return state


def test_days_that_join_give_the_people_of_a_rebuild() -> None:
    same_as_a_rebuild(seed=1, rows=60, number=2, cap=4, absent=-0.5)


@pytest.mark.service
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 90), st.integers(2, 5), st.integers(2, 9), st.sampled_from([0.0, -0.5]))
def test_any_days_that_join_give_the_people_of_a_rebuild(seed: int, rows: int, number: int, cap: int, absent: float) -> None:
    same_as_a_rebuild(seed, rows, number, cap, absent)


def same_as_a_rebuild(seed: int, rows: int, number: int, cap: int, absent: float) -> None:
    table = a_table(rows, seed)
    parts = days(table, number, seed)
    frozen = a_frozen(parts[0], cap, rules=Rules(absent=absent, max_size=6, max_degree=8))
    state, whole = joined(frozen, *parts), rebuild(frozen, table)
    assert state.people().equals(whole.people())
    assert pairs(state) == pairs(whole)


def pairs(state: State) -> dict[tuple[str, str], tuple[int, float]]:
    """Every pair that is left, by its records: which keys make it, and its log-odds."""
    ids = state.column("id").to_pylist()
    rows = np.arange(sum(len(each.left) for each in state.segments))
    left, right, by = incremental._pairs_at(state, rows)
    log_odds = incremental._gather(state, rows, "log_odds")
    return {
        (min(ids[a], ids[b]), max(ids[a], ids[b])): (bits, round(odds, 9))
        for a, b, bits, odds in zip(left.tolist(), right.tolist(), by.tolist(), log_odds.tolist(), strict=True)
        if bits
    }


def test_a_block_that_passes_the_cap_loses_the_pairs_that_a_rebuild_would_not_make() -> None:
    table = pa.table(
        {"id": [f"r{i}" for i in range(9)], "surname": ["smith"] * 9, "town": [f"town {i}" for i in range(9)], "code": [""] * 9}
    )
    frozen = a_frozen(table, cap=4)
    before = rebuild(frozen, table.slice(0, 5))
    found = join(before, table.slice(5))
    assert (len(pairs(before)), found.dropped) == (10, 3)
    assert pairs(found.state) == pairs(rebuild(frozen, table))


@pytest.mark.service
def test_two_registers_without_duplicates_join_as_a_rebuild_does() -> None:
    described = replace(FIELDS, source="register", unique_sources=True)
    table = a_table(60, 5, sources=2)
    parts = days(table, 3)
    frozen = a_frozen(parts[0], 10, described, Rules(unique_sources=True))
    whole = rebuild(frozen, table)
    assert joined(frozen, *parts).people().equals(whole.people())
    assert np.bincount(whole.people()["person"]).max() == 2


def test_records_with_other_accounts_stay_apart_whenever_they_come() -> None:
    described = replace(FIELDS, unique=("account",))
    table = a_table(40, 7)
    table = table.append_column("account", pa.array([f"a{at % 3}" if at % 2 else None for at in range(40)]))
    parts = days(table, 3)
    frozen = a_frozen(parts[0], 10, described)
    state, whole = joined(frozen, *parts), rebuild(frozen, table)
    assert state.people().equals(whole.people())
    account = dict(zip(table["id"].to_pylist(), table["account"].to_pylist(), strict=True))
    people = groups(whole)
    assert max(map(len, people.values())) > 1
    assert all(len({account[record] for record in each} - {None}) <= 1 for each in people.values())
    assert any(
        len({account[record] for record in each} - {None}) > 1 for each in groups(rebuild(a_frozen(parts[0], 10), table)).values()
    )


@pytest.mark.service
def test_the_touched_are_all_whose_person_changed() -> None:
    table = a_table(80, 3)
    base, day = days(table, 2)
    before = rebuild(a_frozen(base), base)
    found = join(before, day)
    people = {row["record_id"]: row["person"] for row in found.touched.to_pylist()}
    assert set(day["id"].to_pylist()) <= set(people)
    was, now = (groups(state) for state in (before, found.state))
    assert {record for record in was if was[record] != now[record]} <= set(people)
    assert {now[record] for record in people} == set(groups_of(people).values())


def groups_of(people: dict[str, int]) -> dict[str, frozenset[str]]:
    members: dict[int, set[str]] = {}
    for record, person in people.items():
        members.setdefault(person, set()).add(record)
    return {record: frozenset(members[person]) for record, person in people.items()}


def groups(state: State) -> dict[str, frozenset[str]]:
    """The records that each record is one person with."""
    return groups_of({row["record_id"]: row["person"] for row in state.people().to_pylist()})


@pytest.mark.service
def test_a_state_comes_back_from_its_folder_and_a_day_runs_twice(tmp_path: Path) -> None:
    table = a_table(60, 8)
    parts = days(table, 3)
    frozen = a_frozen(parts[0])
    save(rebuild(frozen, parts[0]), tmp_path)
    assert [add_day(tmp_path, part).added for part in parts[1:]] == [20, 20]
    files = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.arrow")}
    assert add_day(tmp_path, parts[2]).added == 0
    assert files == {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.arrow")}
    assert pairs(load(tmp_path)) == pairs(rebuild(frozen, table))
    assert load(tmp_path).people().equals(rebuild(frozen, table).people())


@pytest.mark.service
def test_who_is_killed_before_the_last_step_leaves_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, day = days(a_table(40, 8), 2)
    save(rebuild(a_frozen(base), base), tmp_path)
    before = load(tmp_path).people()

    def killed(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("whence.identity.records.store.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            add_day(tmp_path, day)
    assert load(tmp_path).people().equals(before)
    assert add_day(tmp_path, day).added == 20
    assert len(list(tmp_path.glob("*.arrow"))) == 2 * 2 + 3


def test_wrong_days_and_folders_are_named(tmp_path: Path) -> None:
    table = a_table(20, 8)
    state = rebuild(a_frozen(table), table)
    changed = table.slice(3, 1).set_column(2, "town", pa.array(["paris"]))
    with pytest.raises(StateError, match=f"Record {table['id'][3]} is there already, with another town"):
        join(state, changed)
    with pytest.raises(StateError, match="holds no state"):
        load(tmp_path)
    save(state, tmp_path)
    told = orjson.loads((tmp_path / "state.json").read_bytes())
    (tmp_path / "state.json").write_bytes(orjson.dumps(told | {"version": 0}))
    with pytest.raises(StateError, match="version 0"):
        load(tmp_path)
    with pytest.raises(StateError, match="only searches"):
        freeze(fields.prepare(table, FIELDS), FIELDS, Plan((), (Search((Part("surname", "grams"),), 5),)), SCORER)


@pytest.mark.parametrize(("last", "kind"), [(2**31 - 3, np.int32), (2**31 - 2, np.int64)], ids=["fit", "do not"])
def test_people_are_numbered_in_32_bits_as_long_as_they_fit(last: int, kind: type[np.signedinteger]) -> None:
    grown = incremental._with(np.array([last, 4], dtype=np.int32), np.array([1, 2]), np.array([0, 1], dtype=np.int32), 3)
    assert grown.tolist() == [last, last + 1, last + 2]
    assert grown.dtype == kind
