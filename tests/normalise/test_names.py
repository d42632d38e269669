"""Names of people: titles, suffixes, order, particles, initials, scripts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.normalise.names import given as given_names
from whence.normalise.names import initials, person, surname, tokens, without_particles


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Mr John Smith", "john smith"),
        ("MRS. ANNE-MARIE O'BRIEN", "anne marie obrien"),
        ("Prof. Dr. Max Müller", "max muller"),
        ("Smith, John", "john smith"),
        ("Smith, Mr. John", "john smith"),
        ("Smith, John, Jr.", "john smith"),
        ("John Smith, Ph.D.", "john smith"),
        ("John Smith Jr", "john smith"),
        ("van der Berg, Jan", "jan van der berg"),
        ("Sir Isaac Newton", "sir isaac newton"),
        ("Thomas, 1st Baron Smith", "thomas 1st baron smith"),
        ("William, Duke of York", "william duke of york"),
        ("Henry VIII", "henry viii"),
        ("A. Smith, B. Jones, C. Brown", "a smith b jones c brown"),
        ("Dr", "dr"),
        ("毛泽东", "毛泽东"),
        ("Иван Грозный", "иван грозныи"),
        ("Баррак, Обама", "обама баррак"),
    ],
)
def test_a_name_is_said_without_titles_and_given_names_first(text: str, name: str) -> None:
    assert person(text) == name


def test_given_names_and_surnames_lose_what_goes_with_the_other() -> None:
    assert (given_names("Dr. Jean-Luc"), surname("Picard Jr."), surname("Dr")) == ("jean luc", "picard", "dr")


def test_words_of_a_name_have_an_order_of_their_own() -> None:
    assert tokens("Smith, John Paul") == tokens("paul john SMITH") == "john paul smith"


def test_particles_and_all_but_initials_can_be_left_out() -> None:
    assert without_particles("Ludwig van Beethoven") == "ludwig beethoven"
    assert without_particles("de la") == "de la", "somebody is called so"
    assert (initials("George Herbert Walker Bush"), initials("")) == ("ghwb", "")


WORDS = st.lists(st.sampled_from(["dr", "sr", "jr", "phd", "ph", "d", "de", "van", "mr", "ann", "b", ","]), max_size=6)


@given(st.text(st.sampled_from("abDrJphmsJI ,.'-éЖ李\u0301")) | st.text() | WORDS.map(" ".join))
def test_a_normalised_name_stays_as_it_is(text: str) -> None:
    for rule in (person, given_names, surname, tokens, without_particles):
        assert rule(rule(text)) == rule(text)
