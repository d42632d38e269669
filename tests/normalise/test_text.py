"""Text in one form: what folds together, what no script loses, and the laws."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.normalise.text import compact, fold, words

ANY = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("ＦＵＬＬ　ＷＩＤＴＨ", "full width"),
        ("G&#252;nther &amp;amp; S&#xF6;hne", "gunther & sohne"),
        ("AT&T; R&D &bogus;", "at&t; r&d &bogus;"),
        ("&EACUTE;t&Eacute;", "ete"),
        ("Stra\u00dfe", "strasse"),
        ("José", "jose"),
        ("Jose\u0301", "jose"),
        ("\u200bJane\u00a0Doe\ufeff", "jane doe"),
        ("Ελένη", "ελενη"),
        ("Ёлка", "елка"),
        ("İstanbul", "istanbul"),
        ("ﬁancé", "fiance"),
        ("“Quoted” — it’s", '"quoted" - it\'s'),
        ("שָׁלוֹם", "שלום"),
        ("tab\tand\nline", "tab and line"),
    ],
)
def test_what_reads_alike_folds_alike(text: str, folded: str) -> None:
    assert fold(text) == folded


@pytest.mark.parametrize("text", ["李小龙", "ガンダム", "김철수", "محمد", "דוד", "Иван", "नरेंद्र", "ประยุทธ์", "ಕನ್ನಡ"])
def test_no_script_becomes_empty_and_marks_that_make_another_letter_stay(text: str) -> None:
    assert unicodedata.normalize("NFC", words(text)).replace(" ", "")
    assert words("ガ") != words("カ")
    assert words("की") != words("क")


def test_half_a_character_is_taken_for_a_space() -> None:
    assert fold("a\ud800b") == "a b"


@given(ANY)
def test_folding_twice_changes_nothing_and_nothing_raises(text: str) -> None:
    for rule in (fold, words, compact):
        assert rule(rule(text)) == rule(text)
    assert words(fold(text)) == words(text)


@given(st.text(st.characters(max_codepoint=127)))
def test_the_short_way_for_ascii_gives_what_the_long_way_does(text: str) -> None:
    assert fold(text) == fold(text + "\u200b")
    assert words(text) == words(text + "\u200b")
