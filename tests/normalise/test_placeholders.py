"""Placeholders: what stands for nobody, in every kind, and that none of it ever links two people."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import some_settings
from whence.contracts.settings import Source
from whence.identity.exact import link
from whence.identity.signals import stack
from whence.ingest import ingest, source_days
from whence.lake import Lake
from whence.normalise import is_placeholder, normalise
from whence.normalise.columns import KINDS
from whence.normalise.emails import is_role
from whence.normalise.placeholders import (
    EMPTY_WORDS,
    FAKE_CODES,
    FAKE_DATES,
    FAKE_EMAILS,
    FAKE_PHONES,
    JUDGES,
    NOBODY_WORDS,
    NOBODYS_NAMES,
)
from whence.normalise.text import words

PLACEHOLDERS = {
    "email": ["test@test.com", " TEST@Test.com ", "noreply@noreply.com", "n/a", "none@none.com"],
    "phone": ["555-0123", "(212) 555-0147", "+1 212 555 0199", "1234567890", "0000000000", "9999999999", "+44 1234 567890", "n/a", "123"],
    "name": ["unknown", "N/A", "Test Test", "John Doe", "xxxxxxxx", "NA"],
    "given_name": ["NULL", "null", "-", "?", "Unknown"],
    "surname": ["undefined", "(none)", "NaN", "Mustermann"],
    "date": ["1900-01-01", "01/01/1970", "0001-01-01", "9999-12-31", "unknown"],
    "year": ["0001", "9999"],
    "postcode": ["00000", "99999", "0"],
    "address": ["unknown", "No fixed abode", "test"],
    "code": ["000-00-0000", "999999999", "123-45-6789", "078-05-1120"],
    "device_id": ["00000000-0000-0000-0000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "11111111-1111-1111-1111-111111111111", "0"],
    "cookie": ["undefined", "", "0", "-1", "anonymous"],
    "ip": ["0.0.0.0", "127.0.0.1", "::1", "::", "255.255.255.255"],
    "text": ["n/a", "not available", " "],
    "category": ["unknown", "NA", "", "无"],
}  # fmt: skip
PEOPLE = {
    "email": ["info@shop.example", "jane@test.com", "test.smith@example.org", "tester@gmail.com"],
    "phone": ["+44 7700 900123", "(650) 253-0000", "020 555 0123"],
    "name": ["Na Li", "Tess Testa", "Christopher Guest", "王无", "Li"],
    "given_name": ["Na", "Guest"],
    "surname": ["Guest", "Foo", "Doe", "Blank", "Tester"],
    "date": ["1970-01-02", "1900", "1999-12-31"],
    "year": ["1900", "1970"],
    "postcode": ["00100", "10000"],
    "code": ["1111", "DSC-W120", "457-55-5462"],
    "device_id": ["cdda802e-fb9c-47ad-9866-0794d394c912", "00000000-0000-0000-0000-000000000001"],
    "cookie": ["c81e728d9d4c2f63", "1", "111111"],
    "ip": ["10.1.2.3", "81.2.69.142", "2001:db8::1"],
    "category": ["0", "1", "-1", "test"],
    "number": ["0", "-1"],
}


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in PLACEHOLDERS.items() for value in values])
def test_what_stands_for_nobody_is_missing(kind: str, value: str) -> None:
    assert is_placeholder(kind, value)
    assert normalise(kind, [value]) == [None]


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in PEOPLE.items() for value in values])
def test_what_may_be_somebody_is_kept(kind: str, value: str) -> None:
    assert not is_placeholder(kind, value)
    if value != "-1" or kind != "category":
        assert normalise(kind, [value]) != [None]


@pytest.mark.parametrize("fake", ["", "null", "NULL", "test@test.com", "unknown", "+1234567890", "n/a", "0", "None"])
@pytest.mark.parametrize("digest", [hashlib.sha256, hashlib.sha1, hashlib.md5])
def test_the_hash_of_a_placeholder_is_one_however_it_is_written(fake: str, digest: type) -> None:
    raw = digest(fake.encode())
    for written in (raw.hexdigest(), raw.hexdigest().upper(), base64.b64encode(raw.digest()).decode()):
        assert is_placeholder("hash", written)
        assert is_placeholder("device_id", written)


def test_every_listed_fake_is_missing_from_its_column() -> None:
    assert not any(normalise("email", sorted(FAKE_EMAILS)))
    assert not any(normalise("phone", sorted(FAKE_PHONES)))
    assert not any(normalise("phone", [phone.removeprefix("+") for phone in sorted(FAKE_PHONES)]))
    assert not any(normalise("date", sorted(FAKE_DATES)))
    assert not any(normalise("code", sorted(FAKE_CODES)))


def test_a_hash_of_somebody_is_none() -> None:
    assert not is_placeholder("hash", hashlib.sha256(b"jane@doe.example").hexdigest())


def test_a_mailbox_of_several_people_is_told_by_another_question() -> None:
    assert is_role("info@shop.example")
    assert not is_placeholder("email", "info@shop.example")


def test_listed_words_are_in_the_form_in_which_they_are_looked_up() -> None:
    assert all(words(word) == word for word in EMPTY_WORDS | NOBODY_WORDS | NOBODYS_NAMES)
    assert set(JUDGES) <= {*KINDS, "identifier", "hash"}


@given(st.sampled_from((*KINDS, "identifier", "hash")), st.text(st.characters(exclude_categories=())))
def test_no_text_breaks_the_question(kind: str, value: str) -> None:
    is_placeholder(kind, value)


MAPPING = """
[sightings]
happened_at = "at"
kind = { value = "login" }
email_hash = { column = "email", hash = "email" }
phone_hash = { column = "phone", hash = "phone" }
external_id = { column = "customer", hash = "keyed" }
device_id = "device"
cookie_id = "cookie"
ip_key = { column = "ip", hash = "ip" }
"""
PLANTED = [
    "test@test.com,,,,,0.0.0.0",
    ",+1 212 555 0123,,,,127.0.0.1",
    ",1234567890,,,,",
    ",,NULL,,,",
    ",,,00000000-0000-0000-0000-000000000000,,",
    ",,,FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF,,",
    ",,,,undefined,",
    f",,,{hashlib.md5(b'').hexdigest()},,",
    f",,,,{base64.b64encode(hashlib.sha256(b'null').digest()).decode()},",
    ",,unknown,,0,",
]


@pytest.mark.service
def test_planted_placeholders_never_merge_two_people(tmp_path: Path) -> None:
    lines = ["at,email,phone,customer,device,cookie,ip"]
    for turn in range(3):
        for number, planted in enumerate(PLANTED):
            email, phone, customer, device, cookie, ip = planted.split(",")
            someone = f"2026-05-01T10:{10 * turn + number:02}:00Z,{email}"
            own = cookie or f"visitor-{turn}-{number}"
            lines.append(f"{someone},{phone},{customer},{device},{own},{ip}")
    (tmp_path / "map.toml").write_text(MAPPING)
    (tmp_path / "events.csv").write_text("\n".join(lines))
    source = Source(kind="mapping", path=str(tmp_path / "events.csv"), mapping=str(tmp_path / "map.toml"))
    settings = some_settings(tmp_path, source=source)
    ingest(settings, source_days(settings))
    lake = Lake.of(settings)
    sightings = lake.read("sightings").to_pandas()
    assert len(sightings) == 3 * len(PLANTED)
    assert sightings[["email_hash", "phone_hash", "external_id", "device_id", "ip_key"]].isna().all(axis=None)
    people = link(stack(pd.DataFrame(), pd.DataFrame(), sightings), pd.DataFrame(columns=["identifier", "person_id"]))
    assert people["person_id"].is_unique, "nobody is merged with anybody"
    assert set(people["identifier"]) == {f"cookie_id:{row}" for row in sightings["cookie_id"].dropna()}
