"""Values that stand for nobody: empty words, zeroed ids, test addresses, and the hashes of all of them."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache

from whence.normalise import emails
from whence.normalise.text import words

VERSION = "placeholders-2"
"""2: knows the kind of a value, hashes by MD5 and SHA-1 and in base64, and more of what people type."""

EMPTY_WORDS = frozenset(
    (
        "", "n a", "nan", "nil", "none", "null", "undefined", "unknown", "unk", "not available", "not applicable", "not known",
        "not provided", "not specified", "not given", "not recorded", "no data", "missing", "nat", "no name", "no value",
        "empty", "blank", "tbd", "tba", "to be confirmed", "inconnu", "unbekannt", "desconocido", "sconosciuto", "onbekend",
        "no disponible", "keine angabe", "k a", "non renseigne", "не указано", "неизвестно", "无", "不明", "غير معروف",
    )
)  # fmt: skip
"""What stands for nothing, in any kind of value, as folded words."""
NOBODY_WORDS = frozenset(
    ("0", "1", "anonymous", "anonym", "test", "testing", "test test", "na", "guest", "dummy", "false", "true")
)
"""What stands for nobody where a person is meant; a category or a number may well be 0."""
NOBODYS_NAMES = frozenset(
    [
        "anonymous",
        "test",
        "testing",
        "test test",
        "test user",
        "guest",
        "guest user",
        "dummy",
        "john doe",
        "jane doe",
        "first last",
        "firstname lastname",
        "first name",
        "last name",
        "firstname",
        "lastname",
        "full name",
        "fname",
        "lname",
        "name",
        "given name",
        "surname",
        "user",
        "customer",
        "xxx",
        "xx",
        "asdf",
        "qwerty",
        "max mustermann",
        "mustermann",
        "erika mustermann",
        "jean dupont test",
        "foo bar",
        "foo",
        "abc",
        "aaa",
        "mickey mouse",
    ]
)
FAKE_EMAILS = frozenset(
    [
        "test@test.com",
        "test@example.com",
        "a@a.com",
        "none@none.com",
        "no@email.com",
        "noemail@noemail.com",
        "na@na.com",
        "user@example.com",
        "email@example.com",
        "admin@admin.com",
        "unknown@unknown.com",
        "null@null.com",
        "test@gmail.com",
        "test@test.de",
        "test@mail.com",
        "test@email.com",
        "email@email.com",
        "example@example.com",
        "asdf@asdf.com",
        "abc@abc.com",
        "abc@gmail.com",
        "none@gmail.com",
        "no@no.com",
        "noemail@gmail.com",
        "none@none.none",
        "n@a.com",
        "x@x.com",
        "a@b.com",
        "a@b.c",
        "aa@aa.com",
        "no@mail.com",
        "noreply@noreply.com",
        "null@null.null",
        "xxx@xxx.com",
        "123@123.com",
        "123@gmail.com",
        "guest@guest.com",
        "anonymous@anonymous.com",
        "user@user.com",
        "foo@bar.com",
        "test1@test.com",
        "test@test.test",
        "test@test.co.uk",
        "name@example.com",
        "your@email.com",
        "youremail@example.com",
        "name@email.com",
        "info@example.com",
    ]
)
FAKE_PHONES = frozenset(
    ("+10000000000", "+1111111111", "+11111111111", "+12345678900", "+1234567890", "+441234567890", "+0000000000")
)  # fmt: skip
"""Phone numbers whose hashes are met; is_placeholder knows more by their shape."""
FAKE_DATES = frozenset(
    [
        "1900-01-01",
        "1900-01",
        "1970-01-01",
        "1970-01",
        "0001-01-01",
        "0001",
        "1899-12-30",
        "1899-12-31",
        "1753-01-01",
        "1111-11-11",
        "9999-12-31",
        "9999-01-01",
        "9999",
        "2099-12-31",
        "1901-01-01",
        "1800-01-01",
    ]
)
"""What systems write for a date that nobody gave: the first days of their calendars."""
FAKE_YEARS = frozenset(("1900", "0001", "1111", "9999"))
FAKE_CODES = frozenset(("078051120", "219099999", "123456789", "987654321", "1234567890", "0123456789", "12345678", "999999"))
"""Numbers that were printed on sample cards, and those that fingers find by themselves."""
ZEROED = re.compile(r"[0\-:{}]+|[f\-:{}]{12,}|[x\-]{8,}", re.IGNORECASE)
"""A zeroed or all-ones device id: what systems hand out when the user has refused."""
SAME_DIGIT = re.compile(r"(\w)\1{5,}")
SAME_DIGITS = re.compile(r"\d*?(\d)\1{6,}")
FICTION = re.compile(r"\+?1?\d{3}55501\d{2}")
"""North American numbers kept for fiction: 555-0100 to 555-0199."""
LADDER = "012345678901234567890"


def is_placeholder(kind: str, value: str) -> bool:
    """Whether a value of this kind names nobody, or says nothing. Kinds are those of columns.KINDS.

    >>> is_placeholder("email", "Test@Test.com "), is_placeholder("email", "info@shop.example"), is_placeholder("phone", "555-0123")
    (True, False, True)
    >>> is_placeholder("device_id", "00000000-0000-0000-0000-000000000000"), is_placeholder("category", "0")
    (True, False)
    """
    if not value or value.isspace() or _is_empty(value):
        return True
    judge = JUDGES.get(kind)
    return judge(value) if judge else False


def is_fake_hash(value: str) -> bool:
    """Whether a hash, in hexadecimal digits or base64, is that of a value which stands for nobody.

    >>> is_fake_hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"), is_fake_hash("0" * 64)
    (True, True)
    """
    plain = value.strip()
    return plain in _fake_hashes() or plain.lower() in _fake_hashes() or SAME_DIGIT.fullmatch(plain) is not None


@cache
def _fake_hashes() -> frozenset[str]:
    fakes = {
        "",
        " ",
        "-",
        "--",
        "0",
        "-1",
        "n/a",
        "N/A",
        "NA",
        "NaN",
        "NULL",
        "Null",
        "None",
        "NONE",
        "nan",
        "#N/A",
        "<NA>",
        "\\N",
    }
    fakes |= EMPTY_WORDS | NOBODY_WORDS | FAKE_EMAILS | FAKE_PHONES | {phone[1:] for phone in FAKE_PHONES}
    fakes |= {"00000000-0000-0000-0000-000000000000", "00000000000000000000000000000000"}
    digests = [digest(fake.encode()) for fake in fakes for digest in (hashlib.sha256, hashlib.sha1, hashlib.md5)]
    raw = [digest.digest() for digest in digests]
    return frozenset(
        text for each in raw for text in (each.hex(), base64.b64encode(each).decode(), base64.urlsafe_b64encode(each).decode())
    )


def _is_empty(value: str) -> bool:
    if len(value) > 40:
        return False
    return words(value) in EMPTY_WORDS or value in ("NA", "\\N", "-1")


def _email(value: str) -> bool:
    return value.strip().lower() in FAKE_EMAILS or emails.address(value) in FAKE_EMAILS or words(value) in NOBODY_WORDS


def _phone(value: str) -> bool:
    digits = re.sub(r"\D", "", value)
    if len(digits) < 5:
        return True
    bare = digits.lstrip("0")
    return (
        f"+{bare}" in FAKE_PHONES
        or SAME_DIGITS.fullmatch(digits) is not None
        or FICTION.fullmatch(digits) is not None
        or (digits.startswith("55501") and len(digits) == 7)
        or (
            len(digits) >= 7
            and (digits in LADDER or bare in LADDER or digits in LADDER[::-1] or (digits[1:] in LADDER and len(digits) > 8))
        )
    )


def _name(value: str) -> bool:
    plain = words(value)
    return plain in NOBODYS_NAMES or plain.isdecimal() or SAME_DIGIT.fullmatch(plain) is not None


def _date(value: str) -> bool:
    from whence.normalise import dates

    return dates.iso(value) in FAKE_DATES


def _code(value: str) -> bool:
    plain = words(value).replace(" ", "")
    return plain in FAKE_CODES or SAME_DIGIT.fullmatch(plain) is not None


def _identifier(value: str) -> bool:
    plain = value.strip()
    return words(plain) in NOBODY_WORDS or plain == "-1" or ZEROED.fullmatch(plain) is not None or _hash(plain)


def _hash(value: str) -> bool:
    return is_fake_hash(value)


def _ip(value: str) -> bool:
    from whence.normalise import networks

    return networks.kind(value) in ("unspecified", "loopback") or value.strip() == "255.255.255.255"


def _postcode(value: str) -> bool:
    plain = words(value).replace(" ", "")
    return plain in ("0", "00000", "99999", "0000", "000000", "999999", "xxxxx", "123456")


def _year(value: str) -> bool:
    from whence.normalise import dates

    return dates.year(value) in FAKE_YEARS


JUDGES = {
    "email": _email, "phone": _phone, "name": _name, "given_name": _name, "surname": _name, "date": _date, "year": _year,
    "code": _code, "ip": _ip, "postcode": _postcode,
    "device_id": _identifier, "cookie": _identifier, "identifier": _identifier, "hash": _identifier,
}  # fmt: skip
