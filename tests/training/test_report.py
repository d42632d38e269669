"""What a report says of how a candidate was made: who taught it, how old labels are, and where retrieval listed the true one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.training.test_fit import parts, some_examples
from training import report
from training.datasets import _places
from training.split import TEST


def test_who_taught_and_who_judges_are_told_apart_by_hashes() -> None:
    examples = some_examples(2000)
    cut = parts(examples)
    blank = np.zeros(len(examples.facts))
    held = blank[cut.rows(TEST)]
    rows, learned = report.test_rows(examples, cut, blank, held, held), report.learned_rows(examples, cut)
    assert len(learned) == cut.learned.sum()
    assert not set(report.hashed(rows["row_id"])) & set(learned["row_id"])
    assert not set(report.hashed(rows["person"])) & set(learned["person"])
    assert (rows["label_age_days"] >= examples.ripens_after()).all()
    assert set(rows["people"]) <= {"new", "known"}


def test_a_person_is_new_on_the_first_day_that_it_is_seen() -> None:
    seen = pd.to_datetime(["2026-05-01T08:00Z", "2026-05-01T23:00Z", "2026-05-02T01:00Z", "2026-05-02T01:00Z"])
    facts = pd.DataFrame({"person": ["ann", "ann", "ann", "bob"], "seen_at": seen})
    assert report._acquaintance(facts).tolist() == ["new", "new", "known", "new"]


def test_the_place_of_the_true_person_is_the_first_at_which_it_is_listed() -> None:
    hidden = pd.DataFrame(
        {"event_id": ["e1", "e2"], "person_id": ["p1", "p9"], "seen_at": pd.to_datetime(["2026-05-01T08:00Z"] * 2)}
    )
    listed = pd.DataFrame({"event_id": ["e1", "e1", "e1", "e2"], "successor": ["p2", "p1", "p1", "p3"], "place": [0, 1, 2, 0]})
    found = _places(hidden, listed)
    assert found["place"].tolist()[0] == 1.0
    assert np.isnan(found["place"].tolist()[1])
