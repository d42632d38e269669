"""E-mail addresses and phone numbers in the form that is kept."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.ingest import hashing
from whence.normalise.emails import address, is_role
from whence.normalise.phones import country, e164, likely_region


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (" Jane.Doe+shop@Gmail.COM ", "jane.doe+shop@gmail.com"),
        ("ＪＡＮＥ@example.com", "jane@example.com"),
        ("jane@MÜNCHEN.example", "jane@xn--mnchen-3ya.example"),
        ("jane@xn--mnchen-3ya.example", "jane@xn--mnchen-3ya.example"),
        ("jane@straße.example", "jane@xn--strae-oqa.example"),
        ("jane@例え.テスト", "jane@xn--r8jz45g.xn--zckzah"),
        ("用户@例え.テスト", "用户@xn--r8jz45g.xn--zckzah"),
        ("jane", None),
        ("@example.com", None),
        ("jane@", None),
        ("jane@@example.com", None),
        ("jane doe@example.com", None),
        (f"{'x' * 250}@example.com", None),
        ("jane@\ud800.example", None),
        ("jane@☃.example", None),
    ],
)
def test_an_address_is_kept_in_lower_case_with_its_domain_in_ascii(text: str, kept: str | None) -> None:
    assert address(text) == kept


def test_a_mailbox_that_several_people_read_is_shared_and_no_placeholder() -> None:
    assert all(is_role(f"{mailbox}@shop.example") for mailbox in ("info", "noreply", "no-reply", "Sales", "support+uk"))
    assert not any(is_role(text) for text in ("informer@shop.example", "jane@info.example", "info"))


@pytest.mark.parametrize(
    ("text", "region", "kept"),
    [
        ("+44 7700 900123", None, "+447700900123"),
        ("0044 7700 900123", None, "+447700900123"),
        ("+44 (0)7700 900123", None, "+447700900123"),
        ("07700 900123", None, None),
        ("447700900123", None, None),
        ("07700 900123", "GB", "+447700900123"),
        ("(650) 253-0000", "US", "+16502530000"),
        ("650-253-0000 ext. 12", "US", "+16502530000"),
        ("+1 650 253 0000", "GB", "+16502530000"),
        ("٠٧٧٠٠ ٩٠٠١٢٣", "GB", "+447700900123"),
        ("＋44 7700 900123", None, "+447700900123"),
        ("+44 12", None, None),
        ("+1 650 253 0000 0000 0000", None, None),
        ("call me", "GB", None),
    ],
)
def test_a_number_has_its_country_code_or_is_none(text: str, region: str | None, kept: str | None) -> None:
    assert e164(text, region) == kept


def test_a_columns_own_numbers_tell_its_country() -> None:
    assert likely_region(["+44 7700 900123", "07700 900456", "+44 20 7946 0018", "+33 1 42 68 53 00"]) == "GB"
    assert likely_region(["+44 7700 900123", "+33 1 42 68 53 00"]) is None
    assert likely_region(["07700 900123"]) is None
    assert country("+44") is None


@pytest.mark.parametrize("text", ["jane@doe.example", "a.b+c@sub.domain.co.uk", "UPPER@CASE.ORG", "x_y-z@1and1.de"])
def test_stored_hashes_of_well_formed_addresses_are_what_they_were(text: str) -> None:
    assert hashing.email(text) == hashlib.sha256(text.lower().encode()).hexdigest()


@pytest.mark.parametrize(
    "text", ["+44 7700 900123", "0044 7700 900123", "+1 (650) 253-0000", "+49-30-901820", "+33 1 42 68 53 00"]
)
def test_stored_hashes_of_well_formed_numbers_are_what_they_were(text: str) -> None:
    digits = "".join(letter for letter in text if letter.isdigit()).lstrip("0")
    assert hashing.phone(text) == hashlib.sha256(f"+{digits}".encode()).hexdigest()


@pytest.mark.service
@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=())) | st.from_regex(r"\A[+0-9() .-]{1,20}\Z") | st.emails())
def test_no_text_breaks_them_and_what_is_kept_stays(text: str) -> None:
    mail, number = address(text), e164(text, "US")
    assert mail is None or address(mail) == mail
    assert number is None or (e164(number) == number and e164(number, "GB") == number)
    hashing.email(text)
    hashing.phone(text)
