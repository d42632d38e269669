"""What came of questions that two bundles answered: each row keeps both of its probabilities."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

import monitoring
from tests.builders import a_click, a_conversion, a_lake, an_instant, rows, some_settings
from whence.contracts.models import ATTRIBUTION_RANKER, EXPOSURE_RESPONSE
from whence.contracts.times import Window

DAY = "2026-05-09"


@pytest.mark.service
def test_the_click_that_a_conversion_carries_tells_both_which_touch_it_was(tmp_path: Path) -> None:
    settings, people = some_settings(tmp_path), range(5)
    lake = a_lake(
        settings.home,
        touches=[
            a_click("08:00", DAY, event_id=f"t{n}{place}", cookie_id=f"c{n}", click_id=f"k{n}{place}")
            for n in people
            for place in "ab"
        ],
        conversions=[a_conversion("12:00", DAY, event_id=f"v{n}", cookie_id=f"c{n}", click_id=f"k{n}b") for n in people],
    )
    known = {"day": DAY, "seen_at": an_instant("23:00", DAY), "probability": 1.0, "method": "exact"}
    told = [{**known, "identifier": f"cookie_id:c{n}", "person_id": f"p{n}"} for n in people]
    lake.replace("persons", rows("persons", *told), Window.parse(DAY))
    both = pd.DataFrame(
        [(DAY, f"v{n}", f"t{n}{place}", 0.1 * n, 0.2 if place == "a" else 0.8) for n in people for place in "ab"],
        columns=["day", "subject", "option", "champion", "challenger"],
    )
    found = monitoring.outcomes(settings, ATTRIBUTION_RANKER, date.fromisoformat(DAY), both)
    assert found["label"].tolist() == [0, 1] * 5
    assert found["champion"].tolist() == both["champion"].tolist()
    assert found["challenger"].tolist() == both["challenger"].tolist()
    assert found["cluster"].tolist() == [f"p{n}" for n in people for _ in "ab"]
    assert monitoring.outcomes(settings, EXPOSURE_RESPONSE, date.fromisoformat(DAY), both).empty
