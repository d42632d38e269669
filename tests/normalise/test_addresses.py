"""Postal addresses: short words in several languages, house numbers, flats, postcodes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.normalise.addresses import SHORT, address, house_number, place, postcode, unit


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("12 North Street", "12 N. St"),
        ("5 Park Road, Flat 2", "5 park rd apt 2"),
        ("100 Ocean Avenue, Suite 4B", "100 Ocean Ave Ste 4b"),
        ("1 St. John's Court", "1 Saint Johns Ct"),
        ("Hauptstraße 7", "Hauptstr. 7"),
        ("Berliner Platz 3", "Berliner Pl. 3"),
        ("Avenida de América 12", "Avda. de America 12"),
        ("12 boulevard Voltaire, appartement 3", "12 Bd Voltaire, appt. 3"),
        ("P.O. Box 17", "Post Office Box 17"),
        ("Postfach 17", "PO BOX 17"),
    ],
)
def test_one_address_written_in_two_ways_is_one(one: str, other: str) -> None:
    assert address(one) == address(other)


def test_no_short_word_is_itself_shortened() -> None:
    assert not {short for short in SHORT.values() if SHORT.get(short, short) != short}


def test_a_house_and_a_flat_are_told_apart() -> None:
    assert (house_number("Flat 3, 12a North Street"), unit("Flat 3, 12a North Street")) == ("12a", "3")
    assert (house_number("12 N St., Apt. 3B"), unit("12 N St., Apt. 3B")) == ("12", "3b")
    assert (house_number("Rose Cottage"), unit("Rose Cottage")) == (None, None)


def test_other_scripts_keep_their_letters() -> None:
    assert (address("東京都千代田区1-1"), place("القاهرة"), address("ул. Ленина, 5")) == (
        "東京都千代田区1 1",
        "القاهرة",
        "ул ленина 5",
    )


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("SW1A 1AA", "sw1a1aa"),
        ("12345-6789", "12345"),
        ("75 008", "75008"),
        ("2000.0", "2000"),
        ("D-10115", "d10115"),
        ("〒100-0001", "1000001"),
    ],
)
def test_a_postcode_has_no_gaps(text: str, kept: str) -> None:
    assert postcode(text) == kept


@given(st.text() | st.text(st.sampled_from("abstr 0123.,-'ßé")))
def test_a_normalised_address_stays_as_it_is(text: str) -> None:
    for rule in (address, place, postcode):
        assert rule(rule(text)) == rule(text)
    house_number(text)
    unit(text)
