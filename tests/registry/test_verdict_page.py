"""The page of a verdict: whole in one file, and true without colour."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import pytest

from infra.bench_gate.poisons import POISONS
from infra.bench_gate.world import a_case
from registry.gate import SMALL, Verdict
from registry.store import verdict_words
from registry.verdict_page import html
from whence.contracts.models import CONVERSION_VALUE, Candidate

CANDIDATE = Candidate(CONVERSION_VALUE, "c" * 64, "2026-05-10", "/nowhere")


@cache
def verdict(poison: str = "") -> Verdict:
    """The verdict on a good candidate, or on one that was spoiled so."""
    case = a_case(CONVERSION_VALUE)
    spoilt = next(each.spoil(case) for each in POISONS if each.name == poison) if poison else case
    return spoilt.verdict()


def test_a_page_says_what_was_decided_and_shows_difference_level_and_slices() -> None:
    page = html(CANDIDATE, verdict())
    assert "✓</span> Promote" in page
    for title in ("Why", "What it saves", "Said and seen", "Slices", "Numbers", "What it is of"):
        assert f"<h2>{title}</h2>" in page
    assert page.count("class='curve'") + page.count("class=curve") == 1
    assert page.count("<div class=row>") == 2 + sum(each.outcome != SMALL for each in verdict().slices)


def test_in_markdown_every_check_and_measure_is_a_row_with_room_between_its_cells() -> None:
    words = verdict_words(CANDIDATE, verdict())
    rows = [line for line in words.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + len(verdict().checks) + len(verdict().measures)
    assert all(line.count("&emsp; |") == 2 and line.count("|") == 4 for line in rows)
    loss = verdict().measures["log_loss"]
    assert f"| log_loss&emsp; | {loss.value:.4f} (95 %: {loss.low:.4f} to {loss.high:.4f})&emsp; | {loss.n:,} |" in rows


def test_a_command_in_a_reason_is_shown_as_one() -> None:
    assert "<li>Run <code>whence watch</code> &lt;now&gt;.</li>" in html(
        CANDIDATE, replace(verdict(), reasons=("Run `whence watch` <now>.",))
    )


def test_what_is_too_small_is_one_line_with_the_names_folded_away() -> None:
    few = [replace(verdict().slices[0], name=f"channel={place}", outcome=SMALL) for place in range(120)]
    page = html(CANDIDATE, replace(verdict(), slices=(*verdict().slices, *few)))
    assert page.count("<summary><span aria-hidden=true>·</span> ") == 1
    assert page.count("<li>channel=") == 120
    assert page.count("<div class=row>") == html(CANDIDATE, verdict()).count("<div class=row>")


def test_a_page_loads_nothing_and_runs_nothing() -> None:
    page = html(CANDIDATE, verdict())
    assert not re.search(r"<script|<link(?! rel=icon href='data:,'>)|<img|@import|url\(|https?://", page)


def test_what_failed_stands_first_and_is_said_in_a_sign_and_a_word() -> None:
    page = html(CANDIDATE, verdict("broken for new people alone"))
    assert "✗</span> Refuse" in page
    checks = page[page.index("<div class=checks>") :]
    assert checks.index("fails</span>") < checks.index("passes</span>")
    assert "✗</span> people=new" in page


def test_every_tag_is_closed_in_its_order() -> None:
    open_tags: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "link", "line", "circle", "html"):
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            if tag not in ("line", "circle", "html"):
                assert open_tags.pop() == tag

    Reader().feed(html(CANDIDATE, verdict()))
    assert open_tags in ([], ["li"], ["p"])


@pytest.mark.parametrize("poison", ["constant", "a leaf that is no number", "fewer rows than needed"])
def test_a_verdict_without_numbers_has_a_page_too(poison: str) -> None:
    assert "checks fail" in html(CANDIDATE, verdict(poison))


def test_what_came_from_data_is_escaped() -> None:
    wicked = replace(verdict(), reasons=("<script>alert(1)</script>",))
    assert "<script>" not in html(CANDIDATE, wicked)
