"""Who is who as known on another day: what was known then counts, what nobody had met yet comes with the rows."""

from __future__ import annotations

import pandas as pd

from monitoring.moved.people import differ, mixed


def answers(**people: str) -> pd.DataFrame:
    return pd.DataFrame({"identifier": list(people), "person_id": list(people.values()), "probability": 1.0})


def by_identifier(found: pd.DataFrame) -> dict[str, str]:
    return dict(zip(found["identifier"], found["person_id"], strict=True))


def test_a_merge_since_then_is_undone() -> None:
    then, since = answers(c1="ann", d1="bob"), answers(c1="ann", d1="ann")
    assert by_identifier(mixed(then, since)) == {"c1": "ann", "d1": "bob"}


def test_a_new_cookie_keeps_its_person_under_the_name_of_then() -> None:
    then, since = answers(d1="young", d2="young", c1="old"), answers(d1="old", d2="old", c1="old", c2="old")
    assert by_identifier(mixed(then, since))["c2"] == "young", "most of the person's identifiers were of that name"


def test_a_person_that_nobody_knew_then_keeps_its_own_name() -> None:
    assert by_identifier(mixed(answers(c1="ann"), answers(c1="ann", c9="eve")))["c9"] == "eve"


def test_what_was_met_since_and_is_not_on_the_rows_was_not_known() -> None:
    then, since = answers(c1="ann"), answers(c1="ann", e1="ann", c2="ann")
    assert set(by_identifier(mixed(then, since, carried=["c1", "c2"]))) == {"c1", "c2"}


def test_new_identifiers_alone_are_no_other_identity() -> None:
    assert not differ(answers(c1="ann"), answers(c1="ann", c2="ann"))
    assert differ(answers(c1="ann"), answers(c1="bob"))
