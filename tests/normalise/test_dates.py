"""Dates: many ways to write one, one way to keep it, and the column that settles what is ambiguous."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.normalise.dates import Order, column, is_real, iso, order, year


@pytest.mark.parametrize(
    "text",
    [
        "1980-03-12",
        "1980/3/12",
        "1980.03.12",
        "19800312",
        "1980-03-12T23:59:00Z",
        "1980-03-12 00:00:00",
        "12 March 1980",
        "12. März 1980",
        "12 mars 1980",
        "12 de marzo de 1980",
        "Mar 12th, 1980",
        "MARCH 12 1980",
        "12-Mar-80",
        "12.3.1980",
        "12/03/80",
        "1980年3月12日",
        "Wed, 12 Mar 1980",
    ],
)
def test_a_day_is_read_however_it_is_written(text: str) -> None:
    assert iso(text) == "1980-03-12"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1980", "1980"),
        ("1980.0", "1980"),
        ("c. 1850", "1850"),
        ("March 1850", "1850-03"),
        ("1850-03", "1850-03"),
        ("1850-00-00", "1850"),
        ("1980-02-31", "1980-02-31"),
        ("19801331", "1980-13-31"),
        ("yesterday", None),
        ("", None),
        ("12345", None),
        ("0000-01-01", None),
    ],
)
def test_a_date_is_as_precise_as_it_is_known(text: str, found: str | None) -> None:
    assert iso(text) == found


def test_a_slip_of_the_pen_stays_and_is_no_day_of_the_calendar() -> None:
    assert column(["1862-11-58", "31/31/1980"]) == ["1862-11-58", "1980-31-31"]
    assert not any(is_real(text) for text in ("1862-11-58", "1980-13-01", "1981-02-29", "1980-01", "1980"))


def test_one_clear_date_settles_the_order_for_the_whole_column() -> None:
    assert column(["03/04/2001", "13/04/2001"]) == ["2001-04-03", "2001-04-13"]
    assert column(["03/04/2001", "04/13/2001"]) == ["2001-03-04", "2001-04-13"]
    assert column(["03/04/2001", "04/13/2001"], day_first=True) == ["2001-04-03", "2001-04-13"], "what is asked for"


def test_a_column_that_settles_nothing_says_so() -> None:
    assert order(["03/04/2001", "05/06/2001", "07/07/2001"]) == Order(0, 0, 2)
    assert not order(["03/04/2001"]).is_sure
    assert not order(["13/04/2001", "04/13/2001", "01/02/2001"]).is_sure, "both ways are met"
    assert order(["2001-04-03"]).is_sure


def test_two_digits_are_of_the_century_that_is_nearer() -> None:
    assert [iso(f"1/2/{two}") for two in ("29", "30", "31", "99")] == ["2029-02-01", "2030-02-01", "1931-02-01", "1999-02-01"]


def test_a_year_is_taken_from_any_date() -> None:
    assert [year(text) for text in ("1980", "1980.0", "12 March 1980", "3/4/80", "soon")] == [
        "1980",
        "1980",
        "1980",
        "1980",
        None,
    ]


@given(
    st.dates(min_value=date(1, 1, 1)), st.sampled_from(("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%d %B %Y", "%b %d, %Y"))
)
def test_every_day_of_the_calendar_comes_back(day: date, form: str) -> None:
    text = day.strftime(form.replace("%Y", f"{day.year:04}"))
    assert iso(text) == day.isoformat()
    assert is_real(day.isoformat())


@given(st.text() | st.text(st.sampled_from("0123456789-/. marT年月日")))
def test_no_text_breaks_a_date_and_what_is_read_stays(text: str) -> None:
    found = iso(text)
    assert found is None or iso(found) == found
    assert year(text) is None or found is not None
