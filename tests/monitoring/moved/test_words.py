"""Lines that add up to what is shown as their sum; what cannot be recomputed is named, and never zero."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitoring.moved.metric import MovedError, parse
from monitoring.moved.page import html
from monitoring.moved.why import Answer, Part, as_dict, of_dict
from monitoring.moved.words import in_short, lines

THIRDS = Answer(
    metric="conversions/match_rate",
    days=("2026-05-22", "2026-05-23"),
    values=(0.5, 0.4),
    recorded=(0.5, 0.4),
    parts=(
        Part("data", "changed", "events of then", "events of now", -0.1 / 3, -0.05, -0.01),
        Part("identity", "changed", "a graph", "another", -0.2 / 3, -0.09, -0.04),
    ),
    residual=0.0,
    mixtures=(((), 0.5), (("data",), 0.4667), (("identity",), 0.4333), (("data", "identity"), 0.4)),
    rows=(1000, 1100),
)


def number(shown: str) -> float:
    return float(shown.replace("−", "-").replace(",", ""))


def test_what_is_shown_adds_up_to_what_is_shown_as_the_sum() -> None:
    *parts, total = lines(THIRDS)
    assert [each.share for each in parts] == ["−3.3", "−6.7"]
    assert sum(number(each.share) for each in parts) == pytest.approx(number(total.share))
    assert total.said == "50.0\u00a0% → 40.0\u00a0%"


def test_the_largest_factor_is_named_first() -> None:
    said = in_short(THIRDS)
    assert (
        said[0]
        == "The match rate of conversions fell from 50.0\u00a0% to 40.0\u00a0% from 2026-05-22 to 2026-05-23, by 10.0 points."
    )
    assert said[1].startswith("Most of it is identity: −6.7 points, 67\u00a0% of the change; then data")


def test_a_factor_that_cannot_be_recomputed_is_named_with_its_reason() -> None:
    gone = Part("policy", "untold", "abc", "def", None, why="its text is kept nowhere")
    answer = replace(
        THIRDS, metric="credits/unattributed_share", values=(0.5, 0.45), parts=(*THIRDS.parts[:1], gone), residual=-0.1 + 0.1 / 3
    )
    told = {each.name: each for each in lines(answer)}
    assert told["policy"].share == "–"
    assert "its text is kept nowhere" in told["policy"].said
    assert told["not reproduced"].share == "−6.7"
    assert any("Policy changed, too, and cannot be recomputed" in each for each in in_short(answer))


def test_the_page_says_it_and_escapes_what_came_from_outside() -> None:
    answer = replace(THIRDS, metric="credits/credit_share/<b>x</b>")
    said = html(answer)
    assert "<b>x</b>" not in said
    for words in ("In short", "Because of what", "Every mixture", "all as on the first day"):
        assert words in said


def test_an_answer_survives_json() -> None:
    assert of_dict(as_dict(THIRDS)) == THIRDS


@pytest.mark.parametrize(
    "name", ["weather", "conversion-value/roc_auc", "credits/credit_share", "credits/unattributed_share/linear:search"]
)
def test_a_name_that_means_no_measure_is_refused_with_those_that_do(name: str) -> None:
    with pytest.raises(MovedError, match=r"Known are TABLE/match_rate"):
        parse(name)


def test_a_finding_s_own_names_are_understood() -> None:
    assert [
        str(parse(each)) for each in ("touches/match_rate/all", "credit_share/search", "credits/credit/linear:campaign=c7@EUR")
    ] == [
        "touches/match_rate",
        "credits/credit_share/search",
        "credits/credit/linear:campaign=c7@EUR",
    ]
