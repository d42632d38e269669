"""What a report says of refunds: known, still to come, and in all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from training.refunds import shares, watched

END = datetime(2026, 5, 11, tzinfo=UTC)


def told(*rows: tuple[str, float, str | None]) -> pd.DataFrame:
    """(conversion, days before the end, what it refunds)"""
    at = [END - timedelta(days=days) for _, days, _ in rows]
    frame = pd.DataFrame({"conversion_id": [name for name, _, _ in rows], "refund_of": [of for *_, of in rows]})
    kinds = frame["refund_of"].notna().map({True: "refund", False: "purchase"})
    return frame.assign(kind=kinds, happened_at=pd.Series(at), seen_at=pd.Series(at))


def test_a_conversion_is_watched_until_its_first_refund_and_a_second_telling_is_none() -> None:
    elapsed, delay = watched(told(("a", 10, None), ("a", 9, None), ("b", 4, None), ("r", 7, "a"), ("s", 6, "a")), END)
    assert elapsed.tolist() == [10.0, 4.0]
    assert delay[0] == 3.0
    assert pd.isna(delay[1])


def test_refunds_still_to_come_are_foretold_from_those_of_older_conversions() -> None:
    old = [(f"o{i}", 10.0, None) for i in range(20)] + [(f"r{i}", 4.0, f"o{i}") for i in range(10)]
    fresh = [(f"f{i}", 1.0, None) for i in range(20)]
    found = shares(told(*old, *fresh), END, within_days=30.0)
    assert found["refunded_share_known"].value == 0.25
    assert found["refunded_share_expected"].value == pytest.approx(0.5)
    assert found["refunded_share_expected"].low < 0.5 < found["refunded_share_expected"].high
    # of the thirty that stand, the twenty fresh ones go back half of the time, and the ten old ones no more
    assert found["refunded_share_still_to_come"].value == pytest.approx(20 * 0.5 / 30)


def test_without_refunds_the_share_may_still_be_something_and_without_conversions_nothing_is_said() -> None:
    found = shares(told(*[(f"c{i}", 5.0, None) for i in range(30)]), END, within_days=30.0)
    assert found["refunded_share_expected"].value == 0
    assert found["refunded_share_expected"].high == pytest.approx(0.1)
    assert shares(told(("r", 1.0, "x")), END, within_days=30.0) == {}
