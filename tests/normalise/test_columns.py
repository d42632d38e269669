"""A column's values in the form that is compared: each kind, its hints, and the laws."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.identity.records.table import KINDS as RECORD_KINDS
from whence.normalise import normalise, versions
from whence.normalise.columns import KINDS
from whence.normalise.devices import advertising_id, cookie, device

ANY = st.text(st.characters(exclude_categories=())) | st.text(st.sampled_from("0123456789-/.,+ @:abstNé'"), max_size=16)


def test_every_kind_of_a_record_has_its_rule() -> None:
    assert set(RECORD_KINDS) <= set(KINDS)


@pytest.mark.parametrize(
    ("kind", "value", "form"),
    [
        ("name", "Smith, Mr. John", "john smith"),
        ("given_name", "Dr. José", "jose"),
        ("surname", "O’Neill Jr.", "oneill"),
        ("date", "12 March 1980", "1980-03-12"),
        ("year", "1980.0", "1980"),
        ("email", "Jane@Doe.Example", "jane@doe.example"),
        ("email", "jane(at)doe", "jane(at)doe"),
        ("phone", "+44 7700 900123", "+447700900123"),
        ("phone", "07700 900-456", "07700900456"),
        ("postcode", "SW1A 1AA", "sw1a1aa"),
        ("address", "12 North Street", "12 n st"),
        ("place", "Saint-Denis", "st denis"),
        ("code", "DSC-W120", "dscw120"),
        ("code", "12345.0", "12345"),
        ("category", " Male ", "male"),
        ("number", "$1,234.50", "1234.5"),
        ("number", "12,50 €", "12.5"),
        ("number", "1.234.567,89", "1234567.89"),
        ("number", "-0.0", "0"),
        ("number", "1e400", None),
        ("number", "ten", None),
        ("text", "Sony  DSC-W120, “blue”", 'sony dsc-w120, "blue"'),
        ("ip", "2001:db8::7f", "2001:db8::/64"),
        ("user_agent", "curl/7.64.1", "curl|7||bot"),
        ("device_id", "CDDA802E-FB9C-47AD-9866-0794D394C912", "cdda802e-fb9c-47ad-9866-0794d394c912"),
        ("cookie", "GA1.2.1234567890.1700000000", "1234567890.1700000000"),
    ],
)
def test_a_value_is_brought_to_the_form_of_its_kind(kind: str, value: str, form: str | None) -> None:
    assert normalise(kind, [value]) == [form]


def test_a_hint_says_what_the_column_cannot() -> None:
    assert normalise("phone", ["07700 900456"], region="GB") == ["+447700900456"]
    assert normalise("date", ["03/04/2001"], day_first=False) == ["2001-03-04"]


def test_a_columns_own_values_settle_its_country_and_order_of_dates() -> None:
    assert normalise("phone", ["+44 7700 900123", "07700 900456"]) == ["+447700900123", "+447700900456"]
    assert normalise("date", ["03/04/2001", "12/25/2001"]) == ["2001-03-04", "2001-12-25"]


def test_an_unknown_kind_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no kind 'shoe'. Use one of: name, given_name"):
        normalise("shoe", ["42"])


def test_an_md5_of_a_device_is_no_uuid_and_stays_as_it_is() -> None:
    digits = "cdda802efb9c47ad98660794d394c912"
    assert (advertising_id(digits), device(digits), cookie("AbC")) == (None, digits, "AbC")


def test_one_version_names_every_rule_set_and_the_stamp_the_tables_they_ask() -> None:
    assert len({rules.VERSION for rules in versions.RULES}) == len(versions.RULES) == 12
    assert all(rules.VERSION in versions.VERSION for rules in versions.RULES)
    assert all(f"{library}-" in versions.stamp() for library in versions.LIBRARIES)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(KINDS), st.lists(ANY, max_size=4))
def test_no_text_breaks_a_kind_and_what_is_in_form_stays(kind: str, values: list[str]) -> None:
    found = normalise(kind, values)
    assert len(found) == len(values)
    for value in filter(None, found):
        assert normalise(kind, [value]) == [value]
