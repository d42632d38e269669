"""An explanation adds up, says how old its inputs are, and why somebody was taken or nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from serving import matcher
from serving.at_once import Blocking
from serving.explaining import NothingToExplain, explain_attribute, explain_match
from tests.builders import a_click, a_conversion, an_instant
from tests.serving import tiny
from tests.serving.known import a_home, a_signal, a_store
from whence.attribution.policy import Policy
from whence.bundle import Scorer
from whence.contracts.events import CONVERSIONS
from whence.contracts.models import ATTRIBUTION_RANKER, IDENTITY_RANKER
from whence.contracts.settings import Identity

NOON = an_instant("12:00", "2026-05-20")
CUT = Identity(cut=0.5)


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return tiny.a_scorer(tmp_path_factory.mktemp("bundles"), IDENTITY_RANKER)


def explained(folder: Path, scorer: Scorer | None, option: str | None, policy: Identity = CUT, **changes: Any) -> dict[str, Any]:
    with a_store(folder, NOON - timedelta(hours=12), **a_home(NOON)) as store:
        return explain_match(a_signal(NOON, **changes), option, matcher.Known(Blocking(store), NOON), scorer, policy)


def test_the_parts_and_the_base_sum_to_the_raw_score(tmp_path: Path, ranker: Scorer) -> None:
    for option in ("ann", "bob"):
        told = explained(tmp_path, ranker, option)
        assert sum(each["contribution"] for each in told["features"]) + told["base"] == pytest.approx(told["raw"], abs=1e-9)
        assert told["features"][0]["name"] == "days_together_14d"
        assert {each["name"] for each in told["features"]} == set(ranker.schema.names)


def test_each_input_says_its_value_its_view_and_its_age(tmp_path: Path, ranker: Scorer) -> None:
    told = {each["name"]: each for each in explained(tmp_path, ranker, "ann", locale="en-GB")["features"]}
    days, locale, named = (told[name] for name in ("days_together_14d", "same_locale", "identifier_agrees"))
    assert (days["value"], days["view"], days["age_hours"]) == (5.0, "pair_features", 12.0)
    assert (locale["value"], locale["view"], locale["age_hours"]) == (1.0, "person_features", 12.0)
    assert (named["value"], named["view"], named["age_hours"]) == (None, "identifier_features", None)


def test_the_verdict_names_the_cut_the_lead_and_the_others(tmp_path: Path, ranker: Scorer) -> None:
    told = explained(tmp_path, ranker, None)
    assert (told["option"], told["verdict"]["is_taken"]) == ("ann", True)
    assert [each["option"] for each in told["verdict"]["others"]] == ["bob"]
    assert told["calibrator"] == "platt"
    assert told["verdict"]["lead"] == pytest.approx(told["probability"] - told["verdict"]["others"][0]["probability"])
    missed = explained(tmp_path, ranker, "bob", replace(CUT, cut=0.99999))["verdict"]
    assert (missed["is_taken"], missed["cut"]) == (False, 0.99999)
    assert "nobody is taken: the best, ann, has" in missed["why"]


def test_where_nobody_was_ranked_there_is_nothing_to_explain(tmp_path: Path, ranker: Scorer) -> None:
    for scorer, option, changes, words in (
        (ranker, "eve", {}, "eve was not among the 2 candidates: ann, bob"),
        (ranker, None, {"consent": "denied"}, "the signal has no network, no consent"),
        (None, None, {}, "identity-ranker has no champion"),
    ):
        with pytest.raises(NothingToExplain, match=words):
            explained(tmp_path, scorer, option, **changes)


def test_a_touch_is_explained_and_its_credit_told(tmp_path: Path) -> None:
    scorer = tiny.a_scorer(tmp_path / "bundles", ATTRIBUTION_RANKER)
    conversion = {name: a_conversion(NOON).get(name) for name in CONVERSIONS.names}
    touches = [a_click(NOON - timedelta(hours=hours), touch_id=f"t{hours}", channel="search") for hours in (1, 20)]
    policy = Policy(algorithm="last_touch", algorithms=("last_touch", "ranker"))
    with a_store(tmp_path, NOON) as store:
        told = explain_attribute(conversion, touches, "p", "t1", matcher.Known(Blocking(store), NOON), scorer, policy)
    assert sum(each["contribution"] for each in told["features"]) + told["base"] == pytest.approx(told["raw"], abs=1e-9)
    values = {each["name"]: (each["value"], each["view"]) for each in told["features"]}
    assert (values["hours_before"], values["channel"]) == ((1.0, None), ("search", None))
    assert (told["verdict"]["algorithm"], told["verdict"]["share"]) == ("last_touch", 1.0)
    assert "the ranker would give" in told["verdict"]["why"]
