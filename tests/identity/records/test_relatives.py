"""Families in a table without labels: who shares a home and nothing personal is somebody else."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from whence.identity.records import fellegi_sunter, relatives
from whence.identity.records.resolve import resolve
from whence.identity.records.table import Column, Evidence, Field, Records

FIELDS = (Field("first", "given_name"), Field("born", "date"), Field("last", "surname"), Field("street", "address"))
ONE, KIN, TWIN, STRANGERS = (1, 1, 1, 1), (0, 0, 1, 1), (0, 1, 1, 1), (0, 0, 0, 0)


def pairs_of(fields, **counts):
    """So many pairs of each kind, agreeing in full where it says 1 and hardly where 0, with one typing error in ten."""
    draw = np.random.default_rng(0)
    kinds = {"one": ONE, "kin": KIN, "twin": TWIN, "strangers": STRANGERS}
    rows = np.concatenate([np.tile(kinds[kind][: len(fields)], (count, 1)) for kind, count in counts.items()])
    exact = np.where(draw.random(rows.shape) < 0.1, 0.85, 1.0)
    values = np.where(rows == 1, exact, draw.uniform(0, 0.3, rows.shape))
    names = tuple(f"{field.name}:{signal}" for field in fields for signal in ("likeness", "rarity"))
    both = np.stack([values, np.where(values == 1, 5.0, 0.0)], axis=2).reshape(len(rows), -1)
    return Evidence(names, both.astype(np.float32))


def told_apart(evidence, fields=FIELDS, believed=None):
    records = Records((), tuple(Column(field, np.empty(0, np.int32), ()) for field in fields))
    chance = pairs_of(fields, strangers=2000)
    weights = fellegi_sunter.fit_to_all(evidence, chance, 1e6, np.eye(len(fields), dtype=np.bool_))
    odds = weights.log_odds(evidence) if believed is None else believed
    return relatives.told_apart(records, evidence, odds, weights, chance, 1e6)


def test_who_shares_a_home_and_nothing_personal_is_somebody_else():
    told = told_apart(pairs_of(FIELDS, one=300, kin=300, strangers=1400), believed=np.repeat([5.0, -5.0], [600, 1400]))
    assert told is not None
    assert told.fields == ("first", "born")
    one, kin, strangers = np.split(told.log_odds, [300, 600])
    assert (one > 2).all()
    assert (kin < -2).all()
    assert (strangers < -2).all()


def test_twins_are_two_where_there_are_families():
    told = told_apart(pairs_of(FIELDS, one=300, kin=300, twin=60, strangers=1400), believed=np.repeat([5.0, -5.0], [660, 1400]))
    assert told is not None
    assert np.median(told.log_odds[600:660]) < 0


def test_without_families_nothing_is_doubted():
    assert told_apart(pairs_of(FIELDS, one=300, strangers=1400)) is None


def test_families_that_nobody_would_join_are_no_reason_to_doubt():
    believed = np.repeat([5.0, -5.0], [300, 1700])
    assert told_apart(pairs_of(FIELDS, one=300, kin=300, strangers=1400), believed=believed) is None


def test_remarks_that_differ_each_time_are_not_personal():
    fields = (*FIELDS, Field("remarks", "text"))
    known = pairs_of(FIELDS, one=300, kin=300, strangers=1400)
    remarks = np.column_stack([np.random.default_rng(1).uniform(0, 0.3, 2000), np.zeros(2000)]).astype(np.float32)
    evidence = Evidence((*known.names, "remarks:likeness", "remarks:rarity"), np.column_stack([known.values, remarks]))
    records = Records((), tuple(Column(field, np.empty(0, np.int32), ()) for field in fields))
    chance = Evidence(evidence.names, evidence.values[600:])
    weights = fellegi_sunter.fit_to_all(evidence, chance, 1e6, np.eye(len(fields), dtype=np.bool_))
    believed = np.arange(2000) < 600
    assert relatives._personal(records, fellegi_sunter.all_levels(evidence), weights, believed) == (0, 1)


def test_when_something_happened_is_nobodys_own_as_a_birth_is():
    def own(name):
        fields = (Field(name, "date"), Field("street", "address"), Field("last", "surname"))
        evidence = pairs_of(fields, one=300, twin=300, strangers=1400)
        records = Records((), tuple(Column(field, np.empty(0, np.int32), ()) for field in fields))
        weights = fellegi_sunter.fit_to_all(evidence, pairs_of(fields, strangers=2000), 1e6, np.eye(3, dtype=np.bool_))
        return relatives._personal(records, fellegi_sunter.all_levels(evidence), weights, np.arange(2000) < 600)

    assert own("born") == (0,)
    assert own("seen_at") == ()


def test_songs_of_one_album_are_told_apart_by_the_title_that_comes_and_goes_with_the_length():
    fields = (Field("title", "name"), Field("length", "number"), Field("artist", "name"), Field("album", "name"))
    told = told_apart(pairs_of(fields, one=300, kin=900, strangers=1400), fields, np.repeat([5.0, -5.0], [1200, 1400]))
    assert told is not None
    assert told.fields == ("title",)
    assert (told.log_odds[:300] > 0).mean() > 0.95
    assert (told.log_odds[300:] < -2).all()


def test_doctors_of_one_practice_are_told_apart_by_their_whole_names_alone():
    fields = (Field("name", "name"), Field("specialty", "category"), Field("street", "address"), Field("phone", "phone"))
    evidence, draw = pairs_of(fields, one=300, kin=600, strangers=1400), np.random.default_rng(2)
    evidence.values[:, 2] = draw.choice([0.1, 1.0], 2300)  # a specialty agrees with anybody's
    told = told_apart(evidence, fields, np.repeat([5.0, -5.0], [900, 1400]))
    assert told is not None
    assert told.fields == ("name",)
    assert (told.log_odds[300:900] < 0).all()


def test_a_description_that_every_shop_writes_anew_tells_nobody_apart():
    fields = (Field("description", "text"), Field("title", "name"), Field("brand", "name"))
    draw, evidence = np.random.default_rng(1), pairs_of(fields, one=600, strangers=1400)
    evidence.values[:600:2, :2] = np.column_stack([draw.uniform(0, 0.3, 300), np.zeros(300)])
    assert told_apart(evidence, fields, np.repeat([5.0, -5.0], [600, 1400])) is None


def a_town_of_families(families=250, seed=0):
    """Parents and children of one surname, street and phone; some are there twice, with a typing error."""
    draw = np.random.default_rng(seed)
    syllables = ("ba", "do", "fe", "gi", "ka", "lo", "mu", "ne", "pi", "ro", "su", "ta", "vi", "we", "zo")

    def word():
        return "".join(draw.choice(syllables, 3)).capitalize()

    firsts = [word() for _ in range(60)]
    rows = []
    for _ in range(families):
        home = {
            "last": word(),
            "street": f"{word()} Street {draw.integers(1, 99)}",
            "phone": f"+4930{draw.integers(10**6, 10**7)}",
        }
        for first in draw.choice(firsts, draw.integers(1, 5), replace=False):
            born = f"{draw.integers(1940, 2015)}-{draw.integers(1, 13):02}-{draw.integers(1, 29):02}"
            person = {"first": first, "born": born, **home, "person": len(rows)}
            rows.append(person)
            if draw.random() < 0.4:
                rows.append(person | {"first": first[:-2] + first[-1]})
    return pa.Table.from_pylist(rows)


@pytest.mark.service
def test_families_without_labels_stay_apart_and_people_together():
    table = a_town_of_families()
    found = resolve(table.drop_columns(["person"]))
    person = table["person"].to_numpy()[np.argsort([f"{row:04d}" for row in range(len(table))])]
    real, made, right = (
        float((count * (count - 1) / 2).sum())
        for count in (
            np.unique(each, return_counts=True)[1] for each in (person, found.people, person * len(table) + found.people)
        )
    )
    assert right / made > 0.97
    assert right / real > 0.9


def test_who_gets_a_gift_does_not_tell_buyers_apart():
    fields = (Field("customer", "name"), Field("mail", "email"), Field("street", "address"), Field("ship to", "text"))
    bought = pairs_of(fields, one=600, strangers=1400)
    bought.values[:250, -2:] = [0.1, 0.0]
    assert told_apart(bought, fields, np.repeat([5.0, -5.0], [600, 1400])) is None
