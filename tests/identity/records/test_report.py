"""The page needs nothing from outside, tells what it was told, and trusts no value of the input."""

from __future__ import annotations

import re

import numpy as np
import pytest

from whence.identity.records.explain import Step, Waterfall
from whence.identity.records.report import Bars, Report, Sample, Table, histogram, html, sizes


def a_report(value: str = "ann") -> Report:
    fall = Waterfall(-2.0, (Step("name", 4.0), Step("born", -0.5)), 0.82)
    return Report(
        "People of people.csv",
        [("1,000", "records")],
        [
            Table("Fields", "What the columns are.", ("column", "kind"), [("name", value), ("zip", 7)]),
            Bars("Sizes", "How many.", [("1 record", 3)]),
        ],
        [Sample("same", "a", value, {"name": value}, {"name": "anne", "born": None}, fall)],
        ["Look here."],
    )


@pytest.mark.service
def test_the_page_needs_nothing_from_outside() -> None:
    page = html(a_report())
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:|//)""", page)
    assert "<script" not in page
    assert page == html(a_report())
    assert "<svg" in page
    assert "ann<mark>e</mark>" in page


@pytest.mark.service
def test_values_of_the_input_are_never_markup() -> None:
    page = html(a_report("<script>alert(1)</script>"))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_every_pair_is_counted_once() -> None:
    p = np.linspace(0, 1, 1001)
    assert sum(count for _, count in histogram(p)) == 1001


def test_every_person_is_counted_once() -> None:
    people = np.repeat(np.arange(30), np.arange(1, 31))
    told = sizes(people)
    assert sum(count for _, count in told) == 30
    assert told[-1] == ("21 – 50 records", 10)
    assert sizes(np.zeros(0, dtype=np.int64)) == []
