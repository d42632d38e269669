"""Candidates, evidence, weak labels and decisions about signals that no log-in names."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.identity import decide, evidence, retrieve, weak_labels
from whence.identity.signals import stack


def a_pair(**changes: Any) -> pd.DataFrame:
    plain = {
        "happened_at": pd.Timestamp("2026-05-02T23:00Z"),
        "seen_at": pd.Timestamp("2026-05-02T23:30Z"),
        "user_agent": "Chrome/120 Windows",
        "locale": "en-GB",
        "country": "GB",
        "person_id": "p1",
    }
    return pd.DataFrame([plain | changes])


def some_features(**changes: Any) -> pd.DataFrame:
    plain = {
        "network_features__people": json.dumps(["p9", "p1"]),
        "network_features__persons_7d": 2,
        "pair_features__last_together_at": pd.Timestamp("2026-05-02T20:30Z"),
        "person_features__user_agents": json.dumps(["Safari/17 iPhone", "Chrome/119 Windows"]),
        "person_features__locale": "en-GB",
        "person_features__country": "FR",
        "person_features__mean_hour": 1.0,
    }
    return pd.DataFrame([plain | changes])


def of(frame: pd.DataFrame) -> dict[str, float]:
    return {str(name): float(value) for name, value in frame.iloc[0].items()}


def test_evidence_says_what_one_can_check_by_hand() -> None:
    inputs = of(evidence.pair_frame(a_pair(), some_features()))
    assert inputs["network_persons_7d"] == 2
    assert inputs["network_place"] == 1
    assert inputs["hours_since_together"] == 3
    assert (inputs["same_locale"], inputs["same_country"]) == (1, 0)
    assert inputs["hour_gap"] == 2  # from 23:00 to 01:00, across midnight
    assert inputs["agent_place"] == 2  # not among the two that are known
    assert inputs["agent_overlap"] == pytest.approx(2 / 4)  # chrome, windows of chrome, windows, 119, 120


def test_what_is_unknown_is_missing_and_not_zero() -> None:
    bare = pd.DataFrame(index=[0])
    inputs = of(evidence.pair_frame(a_pair(user_agent=None, locale=None), bare))
    assert list(inputs) == list(evidence.SCHEMA_NUMBERS)
    assert all(math.isnan(value) for value in inputs.values())


def test_an_identifier_speaks_only_for_the_person_it_names() -> None:
    named = {"identifier_features__person_id": "p1", "identifier_features__person_probability": 0.9}
    assert of(evidence.pair_frame(a_pair(), some_features(**named)))["identifier_agrees"] == 0.9
    other = evidence.pair_frame(a_pair(person_id="p9"), some_features(**named))
    assert math.isnan(of(other)["identifier_agrees"])
    assert evidence.baseline_group(other).tolist() == ["unnamed"]


def test_a_pair_gets_the_same_evidence_alone_as_among_others() -> None:
    pairs = pd.concat([a_pair(), a_pair(person_id="p9", user_agent=None), a_pair(country="FR")], ignore_index=True)
    facts = pd.concat([some_features(), some_features(person_features__user_agents=None), some_features()], ignore_index=True)
    whole = evidence.pair_frame(pairs, facts)
    for i in range(len(pairs)):
        alone = evidence.pair_frame(pairs.iloc[[i]], facts.iloc[[i]])
        np.testing.assert_array_equal(alone.to_numpy(), whole.iloc[[i]].to_numpy())


def test_evidence_of_no_pairs_has_the_columns_all_the_same() -> None:
    none = evidence.pair_frame(a_pair().head(0), some_features().head(0))
    assert len(none) == 0
    assert none.columns.tolist() == list(evidence.SCHEMA_NUMBERS)
    assert set(none.dtypes) == {np.dtype("float64")}


def test_candidates_are_the_named_person_first_then_the_networks_people_up_to_the_limit() -> None:
    signals = pd.DataFrame({"event_id": ["e1", "e2"]})
    pairs = retrieve.candidates(signals, pd.Series([json.dumps(["a", "b", "c"]), None]), pd.Series(["c", None]), max_candidates=2)
    assert pairs.to_numpy().tolist() == [["e1", "c", "identifier"], ["e1", "a", "network"]]
    assert retrieve.recall(pairs, pd.Series({"e1": "a", "e2": "a"})) == 0.5


def logins() -> pd.DataFrame:
    times = pd.date_range("2026-05-01", periods=400, freq="min", tz="UTC")
    seen = pd.DataFrame({"event_id": [f"e{i}" for i in range(400)], "seen_at": times, "cookie_id": "c", "email_hash": "h"})
    seen.loc[::4, "email_hash"] = None
    return stack(pd.DataFrame(), pd.DataFrame(), seen)


def test_weak_labels_hide_the_log_in_and_half_of_the_cookies() -> None:
    persons = pd.DataFrame({"identifier": ["email_hash:h", "cookie_id:c"], "person_id": ["p", "q"]})
    examples = weak_labels.masked(logins(), persons)
    assert len(examples) == 300  # a cookie alone names nobody
    assert set(examples["person_id"]) == {"p"}
    assert examples["email_hash"].isna().all()
    assert examples["cookie_id"].isna().equals(examples["is_bare"])
    assert 0.4 < examples["is_bare"].mean() < 0.6


def test_more_data_does_not_change_whose_cookie_is_hidden() -> None:
    persons = pd.DataFrame({"identifier": ["email_hash:h"], "person_id": ["p"]})
    whole, part = weak_labels.masked(logins(), persons), weak_labels.masked(logins().tail(100), persons)
    assert whole.loc[part.index, "is_bare"].equals(part["is_bare"])
    assert not whole["is_bare"].equals(weak_labels.masked(logins(), persons, seed=8)["is_bare"])


def test_a_pair_is_a_match_when_the_hidden_log_in_names_the_candidate() -> None:
    examples = pd.DataFrame({"event_id": ["e1", "e2"], "person_id": ["p", "q"]})
    pairs = pd.DataFrame({"event_id": ["e1", "e1", "e2"], "person_id": ["p", "q", "p"]})
    assert weak_labels.labels(pairs, examples).tolist() == [1, 0, 0]


def scored(*rows: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["event_id", "person_id", "probability"])


def test_a_link_needs_to_be_sure_and_clearly_ahead() -> None:
    pairs = scored(("sure", "p", 0.9), ("low", "p", 0.6), ("tie", "p", 0.8), ("tie", "q", 0.8), ("sure", "q", 0.3))
    assert decide.links(pairs, cut=0.7)[["event_id", "person_id"]].to_numpy().tolist() == [["sure", "p"]]
    pd.testing.assert_frame_equal(decide.links(pairs, 0.7), decide.links(pairs.iloc[::-1], 0.7))


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from("pqrst"), st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95]), min_size=1), st.floats(0, 1)
)
def test_one_signals_best_candidate_is_the_one_that_links_takes(sure: dict[str, float], cut: float) -> None:
    persons, probability = list(sure), np.array(list(sure.values()))
    pairs = pd.DataFrame({"event_id": "e", "person_id": persons, "probability": probability})
    place, lead = decide.best(persons, probability)
    is_taken = probability[place] >= cut and lead >= decide.LEAD
    wanted = [[persons[place], probability[place], lead]] if is_taken else []
    assert decide.links(pairs, cut)[["person_id", "probability", "lead"]].to_numpy().tolist() == wanted


def test_an_unknown_person_moves_only_when_its_signals_agree() -> None:
    taken = scored(("1", "p", 0.9), ("2", "p", 0.8), ("3", "q", 0.9), ("4", "p", 0.9), ("5", "q", 0.9), ("6", "p", 0.9))
    own = pd.Series({"1": "x", "2": "x", "3": "x", "4": "y", "5": "y", "6": "p"})
    moved = decide.moves(taken, own)
    assert moved[["from_person", "person_id"]].to_numpy().tolist() == [["x", "p"]]
    assert moved["probability"].tolist() == pytest.approx([0.85])
