"""Paths: what was met in which order, and how it ended."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.attribution.test_rules import NOON, a_path
from whence.attribution import paths
from whence.attribution.told import Touches


def told(found: paths.Paths) -> list[tuple[str, float, float]]:
    """Each path as text, with how many converted and how many did not."""
    runs = [found.codes[a:b] for a, b in zip(found.starts[:-1], found.starts[1:], strict=True)]
    words = ["".join(found.channels[code] for code in run) for run in runs]
    return sorted(zip(words, found.conversions.tolist(), found.nulls.tolist(), strict=True))


def touches(*rows: tuple[str, str | None, float, str], kind: str = "click") -> pd.DataFrame:
    frame = pd.DataFrame(list(rows), columns=["touch_id", "person_id", "hour", "channel"])
    return frame.assign(happened_at=NOON + pd.to_timedelta(frame["hour"], unit="h"), kind=kind)


def test_what_no_conversion_can_owe_itself_to_led_to_nothing() -> None:
    pairs = a_path(2, 1, channels="ab")
    shown = touches(
        ("c000", "person of c", -2, "a"),  # the conversion's own
        ("too old", "person of c", -300, "d"),
        ("after", "person of c", 0, "e"),
        ("later", "person of c", 5, "f"),
        ("x2", "x", 3, "b"),
        ("x1", "x", 1, "a"),
        ("stranger", None, 1, "a"),
        ("another", None, 1, "b"),
    )
    ghosts = touches(("ghost", "x", 2, "c"), kind=paths.GHOST)
    found = paths.of_journeys(pairs, Touches.of(pd.concat([shown, ghosts, shown[-1:]])))
    assert told(found) == [("a", 0, 1), ("ab", 0, 1), ("ab", 1, 0), ("b", 0, 1), ("d", 0, 1), ("ef", 0, 1)]


def test_paths_of_another_column_than_the_channel() -> None:
    pairs = a_path(2, 1).assign(campaign_id=["m", "k"])
    assert paths.of_journeys(pairs, by="campaign_id").channels == ("k", "m")


def test_no_journeys_at_all() -> None:
    found = paths.of_journeys(a_path(1)[:0], Touches.of(touches(("t", "x", 1, "a"))[:0]))
    assert (len(found), found.channels, found.starts.tolist()) == (0, (), [0])
    shown = touches(("x", "p", 1, "a"), ("y", None, 1, "b"))
    assert told(paths.of_journeys(a_path(1)[:0].astype(object), Touches.of(shown))) == [("a", 0, 1), ("b", 0, 1)]
    assert told(paths.of_journeys(a_path(1).assign(person_id=None), Touches.of(shown[:0]))) == [("a", 1, 0)]


def test_paths_of_texts_keep_those_that_met_nothing() -> None:
    assert told(paths.of_texts(["a>b", "", "b"], [1, 2, 3], [4, 5, 6])) == [("", 2, 5), ("ab", 1, 4), ("b", 3, 6)]


rows = st.lists(st.tuples(st.sampled_from(["c", "d"]), st.integers(1, 4), st.sampled_from("abc")), min_size=1, max_size=8)


@settings(max_examples=20, deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_paths_do_not_depend_on_the_order_of_rows_or_on_duplicates(drawn: list[Any], random: Any) -> None:
    pairs = pd.concat(
        [a_path(hour, conversion=c, channels=name).assign(touch_id=f"{i}") for i, (c, hour, name) in enumerate(drawn)]
    )
    shown = touches(*((f"x{i}", c, float(hour), name) for i, (c, hour, name) in enumerate(drawn)))
    twice = pd.concat([shown, shown]).sample(frac=1, random_state=random.randint(0, 99))
    found = paths.of_journeys(pairs.sample(frac=1, random_state=1), Touches.of(twice))
    assert told(found) == told(paths.of_journeys(pairs, Touches.of(shown)))


def test_a_journey_longer_than_what_is_looked_at_at_a_time_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "AT_ONCE", 2048)
    pairs = a_path(1).assign(person_id="p", converted_at=NOON + pd.Timedelta(minutes=2047.5))
    shown = touches(*((f"{who}{i}", who, i / 60, "ab"[i % 2]) for who in "pq" for i in range(3000)))
    found = paths.of_journeys(pairs, Touches.of(shown))
    assert found.lengths.tolist() == [1, 2048, 952, 3000]


def test_two_touches_at_the_same_time_go_by_their_id() -> None:
    pairs = a_path(1, 1, 1, channels="abc").assign(touch_id=["z", "x", "y"])
    assert told(paths.of_journeys(pairs)) == [("bca", 1, 0)]
