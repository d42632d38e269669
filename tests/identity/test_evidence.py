"""Evidence on columns is evidence on data frames, to the last bit; and both are what they were when models were trained."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence import columns
from whence.identity import evidence, moment

MOMENT = datetime(2026, 5, 20, 23, 58, 30, 250_001, tzinfo=UTC)

PAIRS = [
    {"person_id": "p1", "user_agent": "Chrome 120 on Windows", "locale": "en-GB", "country": "GB", "happened_at": MOMENT},
    {"person_id": "p2", "user_agent": "chrome/121;Windows", "locale": "de-DE", "country": None, "happened_at": MOMENT},
    {
        "person_id": "p3",
        "user_agent": "",
        "locale": None,
        "country": "GB",
        "happened_at": MOMENT - timedelta(hours=23, minutes=31),
    },
    {"person_id": "p1", "user_agent": None, "locale": "", "country": "gb", "happened_at": MOMENT - timedelta(hours=6)},
]
FACTS = {
    "network_features__events_7d": [7, 0, None, 3],
    "network_features__age_hours": [23.975069514166666, 0.0, None, 47.99],
    "network_features__people": ['["p9", "p1"]', '["p2", "p1", "p2"]', "[]", None],
    "pair_features__share_of_person_14d": [1 / 3, None, float("nan"), 0.1],
    "pair_features__last_together_at": [MOMENT - timedelta(days=3), MOMENT - timedelta(microseconds=1), None, MOMENT],
    "person_features__last_seen_at": [
        MOMENT - timedelta(hours=1),
        None,
        MOMENT - timedelta(days=13),
        MOMENT - timedelta(seconds=7),
    ],
    "person_features__user_agents": [
        '["Safari 17 on iOS", "Chrome 120 on Windows"]',
        '["Chrome 120 on Windows"]',
        '["a", ""]',
        '["a"]',
    ],
    "person_features__locale": ["en-GB", "en-GB", "en-GB", None],
    "person_features__country": ["GB", "GB", "US", "GB"],
    "person_features__mean_hour": [0.25, 12.0, None, 5.5],
    "identifier_features__person_id": ["p1", "p1", None, "p1"],
    "identifier_features__person_probability": [0.75, 0.75, None, None],
}
NAN = float("nan")
FROZEN = {
    "network_events_7d": [7.0, 0.0, NAN, 3.0],
    "network_age_hours": [23.975069514166666, 0.0, NAN, 47.99],
    "share_of_person_14d": [0.3333333333333333, NAN, NAN, 0.1],
    "network_place": [1.0, 0.0, NAN, NAN],
    "hours_since_together": [72.0, 2.7777777777777777e-10, NAN, 0.0],
    "hours_since_person": [1.0, NAN, 312.0, 0.0019444444444444444],
    "agent_place": [1.0, 1.0, 1.0, NAN],
    "agent_overlap": [1.0, 0.4, 1.0, NAN],
    "same_locale": [1.0, 0.0, NAN, NAN],
    "same_country": [1.0, NAN, 0.0, 0.0],
    "hour_gap": [0.283333333333335, 11.966666666666665, NAN, 11.533333333333335],
    "identifier_agrees": [0.75, NAN, NAN, NAN],
}


def frames(pairs: list[dict[str, Any]], facts: dict[str, list[Any]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    return pd.DataFrame(pairs).assign(seen_at=MOMENT), pd.DataFrame(facts, dtype=object)


def test_the_inputs_are_what_they_were_when_models_were_trained() -> None:
    found = evidence.pair_frame(*frames(PAIRS, FACTS))
    for name, values in FROZEN.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    assert found.drop(columns=list(FROZEN)).isna().all(axis=None)


agents = st.none() | st.sampled_from(["Chrome 120 on Windows", "chrome 120 Windows", "", "Ünïcode/1.0", ";;", "a"])
lists = st.none() | st.lists(agents.filter(lambda agent: agent is not None), max_size=3).map(json.dumps)
moments = st.integers(0, 13 * 86_400 * 10**6).map(lambda ago: MOMENT - timedelta(microseconds=ago))
numbers = st.none() | st.floats() | st.integers(0, 50)
words = st.sampled_from([None, "en-GB", "de-DE", ""])
rows = st.fixed_dictionaries(
    {
        "person_id": st.sampled_from(["p1", "p2"]),
        "happened_at": moments,
        "user_agent": agents,
        "locale": words,
        "country": words,
        **dict.fromkeys(evidence.FACT_NUMBERS, numbers),
        **dict.fromkeys(evidence.FACT_TIMES, st.none() | moments),
        **dict.fromkeys(evidence.FACT_TEXTS, words),
        "identifier_features__person_id": st.sampled_from([None, "p1", "p2"]),
        "network_features__people": st.none() | st.lists(st.sampled_from(["p1", "p2", "p3"]), max_size=3).map(json.dumps),
        "person_features__user_agents": lists,
    }
)


@settings(max_examples=12, deadline=None)
@given(st.lists(rows, min_size=1, max_size=5))
def test_columns_of_one_row_frames_of_all_rows_and_finer_clocks_agree(told: list[dict[str, Any]]) -> None:
    frame = pd.DataFrame(told, dtype=object).assign(seen_at=MOMENT)
    whole = evidence.pair_frame(frame, frame)
    fine = frame.assign(**{name: pd.to_datetime(frame[name], utc=True).dt.as_unit("ns") for name in evidence.FACT_TIMES})
    pd.testing.assert_frame_equal(whole, evidence.pair_frame(fine, fine), check_exact=True)
    for place, row in enumerate(told):
        alone = {**row, "seen_at": MOMENT}
        signals = {name: np.array([_micros(alone[name])]) for name in evidence.SIGNAL_TIMES}
        facts = {name: np.array([_micros(alone[name])]) for name in evidence.FACT_TIMES}
        numbers = {name: np.array([np.nan if row[name] is None else float(row[name])]) for name in evidence.FACT_NUMBERS}
        texts = {name: [row[name]] for name in (*evidence.SIGNAL_TEXTS, *evidence.FACT_TEXTS)}
        found = evidence.pair_columns({**signals, **texts}, {**facts, **numbers, **texts})
        shared = {name: _micros(alone[name]) for name in evidence.SIGNAL_TIMES} | {name: row[name] for name in SHARED}
        of_all = evidence.pair_columns({**texts, **shared}, {**facts, **numbers, **texts, **shared})
        for name in evidence.SCHEMA_NUMBERS:
            np.testing.assert_array_equal(found[name], whole[name].iloc[[place]], err_msg=name)
            np.testing.assert_array_equal(of_all[name], found[name], err_msg=name)


@pytest.mark.skipif(
    moment.compiled() is None, reason="the writer of a moment's inputs was not built: there is no C compiler here"
)
@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(*[st.none() | moments] * 2, st.floats()), max_size=4), moments, st.floats(), st.sampled_from([None, "p1"])
)
def test_the_compiled_writer_writes_what_the_plain_one_does(
    told: list[Any], happened_at: datetime, age: float, named: str | None
) -> None:
    together, seen, hours = ([row[place] for row in told] for place in range(3))
    signals = {
        "seen_at": _micros(MOMENT),
        "happened_at": _micros(happened_at),
        "person_id": ["p1", "p2", "p1", "p2"][: len(told)],
    }
    facts = {
        "pair_features__last_together_at": np.array(list(map(_micros, together)), np.int64),
        "person_features__last_seen_at": np.array(list(map(_micros, seen)), np.int64),
        "person_features__mean_hour": np.array(hours, np.float64),
        "network_features__age_hours": age,
        "identifier_features__person_id": named,
        "identifier_features__person_probability": np.full(len(told), 0.5),
    }
    for places in ((0, 1, 2, 3, 4), (4, moment.NOWHERE, 0, moment.NOWHERE, 2)):
        ours, plain = (np.full((len(told), 6), np.nan) for _ in range(2))
        moment.write(ours, places, signals, facts)
        moment.write_plainly(plain, places, signals, facts)
        np.testing.assert_array_equal(ours, plain)
    with pytest.raises(ValueError, match="6 features have no places"):
        moment.write(ours, (0, 1, 2, 6, 4), signals, facts)


SHARED = ("user_agent", "locale", "country", "network_features__people", "identifier_features__person_id")
"""Texts that all candidates of a signal share."""


def _micros(moment: datetime | None) -> int:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return columns.NOT_A_TIME if moment is None else (moment - epoch) // timedelta(microseconds=1)
