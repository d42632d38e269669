from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from whence.world.registers import FAULTS, register

SMALL = register(20_000, seed=3)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    assert register(500, seed=3).equals(register(500, seed=3))
    assert not register(500, seed=4).equals(register(500, seed=3))


def test_every_record_has_an_id_of_its_own_and_a_person_has_1_9_records() -> None:
    assert SMALL.num_rows == len(set(SMALL["unique_id"].to_pylist())) == 20_000
    assert 1.85 < 20_000 / pc.count_distinct(SMALL["person"]).as_py() < 1.95


def test_gaps_are_as_many_as_the_faults_say() -> None:
    for name, fault in FAULTS.items():
        assert abs(SMALL[name].null_count / 20_000 - fault.missing) < 0.02, name


def test_a_quarter_of_the_people_share_surname_and_address_with_another() -> None:
    homes: dict[tuple[str, str], set[str]] = {}
    for row in SMALL.select(["person", "surname", "address"]).to_pylist():
        homes.setdefault((row["surname"], row["address"]), set()).add(row["person"])
    sharing = {person for people in homes.values() if len(people) > 1 for person in people}
    told = len(sharing) / pc.count_distinct(SMALL["person"]).as_py()
    assert 0.15 < told < 0.27  # slips and moves hide some


def test_names_are_as_unequal_as_names_are() -> None:
    counts = Counter(SMALL["surname"].to_pylist())
    assert counts.most_common(1)[0][1] > 50 * np.median(list(counts.values()))
    assert len(counts) > 3_000


def test_two_regions_have_hardly_a_surname_or_a_town_in_common() -> None:
    table = register(20_000, regions=2)
    of = pc.starts_with(table["person"], "0-")
    first, second = table.filter(of), table.filter(pc.invert(of))
    for name in ("surname", "postcode"):
        shared = pc.is_in(first[name], value_set=pc.unique(second[name]))
        assert pc.mean(pc.cast(pc.and_(shared, pc.is_valid(first[name])), pa.int8())).as_py() < 0.02, name


def test_a_mistyped_value_is_close_to_what_was_meant() -> None:
    persons: dict[str, list[str]] = {}
    for row in SMALL.select(["person", "dob"]).to_pylist():
        if row["dob"]:
            persons.setdefault(row["person"], []).append(row["dob"])
    pairs = [(a, b) for dobs in persons.values() for a in dobs[:1] for b in dobs[1:2] if a != b]
    assert pairs
    assert np.mean([sum(x != y for x, y in zip(a, b, strict=False)) <= 2 for a, b in pairs if len(a) == len(b)]) > 0.7
