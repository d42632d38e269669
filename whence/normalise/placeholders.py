"""Values that stand for nobody: empty words, zeroed ids, test addresses, and the hashes of all of them."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from functools import cache

from whence.normalise.text import listed, words

VERSION = "placeholders-2"
"""2: knows the kind of a value, hashes by MD5 and SHA-1 and in base64, and more of what people type."""

EMPTY = frozenset(("NA", "\\N", "NaN", "NaT"))
"""What stands for nothing, as it is written."""
EMPTY_WORDS = listed(
    ",n a,nan,nil,none,null,undefined,unknown,unk,not available,not applicable,not known,not provided,not specified,not given,"
    "not recorded,no data,missing,no name,no value,empty,tbd,tba,to be confirmed,inconnu,unbekannt,desconocido,"
    "sconosciuto,onbekend,no disponible,keine angabe,k a,non renseigne,не указано,неизвестно,无,不明,غير معروف",
    ",",
)
"""What stands for nothing in any kind of value, as folded words."""
NOBODY_WORDS = listed("0,anonymous,anonym,test,testing,test test,guest,dummy,redacted,masked,hidden,deleted", ",")
"""What stands for nobody where a person is meant; a category or a number may well be 0."""
NOBODYS_NAMES = listed(
    "0,anonymous,anonym,test,testing,test test,test user,guest user,dummy,john doe,jane doe,first last,firstname lastname,"
    "first name,last name,firstname,lastname,full name,fname,lname,name,given name,surname,user,customer,xxx,xx,asdf,qwerty,"
    "max mustermann,mustermann,erika mustermann,foo bar,abc,aaa,mickey mouse,redacted,deleted",
    ",",
)
FAKE_EMAILS = listed(
    "test@test.com test@example.com a@a.com none@none.com no@email.com noemail@noemail.com na@na.com user@example.com "
    "email@example.com admin@admin.com unknown@unknown.com null@null.com test@gmail.com test@test.de test@mail.com "
    "test@email.com email@email.com example@example.com asdf@asdf.com abc@abc.com abc@gmail.com none@gmail.com no@no.com "
    "noemail@gmail.com none@none.none x@x.com a@b.com a@b.c aa@aa.com no@mail.com noreply@noreply.com null@null.null "
    "xxx@xxx.com 123@123.com 123@gmail.com guest@guest.com anonymous@anonymous.com user@user.com foo@bar.com test1@test.com "
    "test@test.test test@test.co.uk name@example.com your@email.com youremail@example.com name@email.com"
)
FAKE_PHONES = listed("+10000000000 +1111111111 +11111111111 +12345678900 +1234567890 +12345678901 +441234567890 +0000000000")
"""Phone numbers whose hashes are met; is_placeholder knows more by their shape."""
FAKE_DATES = listed(
    "1900-01-01 1970-01-01 0001-01-01 0001-01 0001 1111-11-11 1899-12-30 2099-12-31 9999-01-01 9999-12-31 9999-12 9999"
)
"""What systems write for a day that nobody gave: the first and last days of their calendars."""
FAKE_YEARS = listed("0001 1111 9999")
FAKE_POSTCODES = listed("0 000 0000 00000 000000 99999 999999 xxxxx xxx xxxx 123456")
FAKE_CODES = listed("078051120 219099999 123456789 987654321 1234567890 0123456789 12345678 123456")
"""Numbers that were printed on sample cards, and those that fingers find by themselves."""
FAKE_ADDRESSES = listed(
    "address,street,street address,123 main st,123 street,123 st,123 fake st,no fixed abode,nfa,homeless,main st", ","
)
ZEROED = re.compile(r"[0\-:{}]+|[f\-:{}]{12,}|[x\-]{8,}", re.IGNORECASE)
"""A zeroed or all-ones device id: what systems hand out when the user has refused."""
REPEATED = re.compile(r"\{?(\w)(?:-?\1){11,}\}?")
SAME = re.compile(r"(\w)\1{5,}")
SAME_DIGITS = re.compile(r"\d*?(\d)\1{6,}")
FICTION = re.compile(r"1?[2-9]\d\d55501\d\d|55501\d\d")
"""North American numbers that are kept for fiction: 555-0100 to 555-0199."""
LADDERS = ("012345678901234567890", "09876543210987654321")

Judge = Callable[[str, str], bool]
"""A value and its folded words, to whether it names nobody."""


def is_placeholder(kind: str, value: str) -> bool:
    """Whether a value of this kind names nobody, or says nothing.

    Kinds are those of columns.KINDS, and `identifier` and `hash` for what comes hashed already. A default date of birth
    such as 1900-01-01 counts, and so does a mailbox like test@test.com; one that several people read does not (see
    emails.is_role).

    >>> is_placeholder("email", "Test@Test.com "), is_placeholder("email", "info@shop.example"), is_placeholder("phone", "555-0123")
    (True, False, True)
    >>> is_placeholder("device_id", "00000000-0000-0000-0000-000000000000"), is_placeholder("category", "0")
    (True, False)
    """
    judge = JUDGES.get(kind)
    if len(value) > (400 if judge else 40):
        return False
    plain = words(value)
    if plain in EMPTY_WORDS or value in EMPTY:
        return True
    return judge(value, plain) if judge else plain == "na"


def is_fake_hash(value: str) -> bool:
    """Whether a hash, in hexadecimal digits or base64, is that of a value which stands for nobody.

    >>> is_fake_hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"), is_fake_hash("0" * 64)
    (True, True)
    """
    plain = value.strip()
    return plain in _fake_hashes() or plain.lower() in _fake_hashes() or REPEATED.fullmatch(plain) is not None


@cache
def _fake_hashes() -> frozenset[str]:
    """SHA-256, SHA-1 and MD5 of every fake, in the spellings that are met, as digits and in both alphabets of base64."""
    typed = EMPTY_WORDS | NOBODY_WORDS | {"-", "--", " ", "n/a", "na", "#n/a", "<na>", "(null)", "false", "0000", "12345"}
    fakes = {spelling for each in typed for spelling in (each, each.upper(), each.title())}
    fakes |= EMPTY | {"-1"} | FAKE_EMAILS | FAKE_PHONES | {phone[1:] for phone in FAKE_PHONES} | FAKE_DATES
    fakes |= {"00000000-0000-0000-0000-000000000000", "0" * 32, "ffffffff-ffff-ffff-ffff-ffffffffffff"}
    digests = [made(fake.encode()).digest() for fake in fakes for made in (hashlib.sha256, hashlib.sha1, hashlib.md5)]
    return frozenset(
        text
        for each in digests
        for text in (each.hex(), base64.b64encode(each).decode(), base64.urlsafe_b64encode(each).decode())
    )


def _name(value: str, plain: str) -> bool:
    return plain in NOBODYS_NAMES or SAME.fullmatch(plain) is not None


def _email(value: str, plain: str) -> bool:
    return value.strip().lower() in FAKE_EMAILS or plain in NOBODY_WORDS or plain == "na"


def _phone(value: str, plain: str) -> bool:
    digits = re.sub("[^0-9]", "", plain)
    bare = digits.lstrip("0")
    if len(digits) < 5:
        return True
    return (
        f"+{bare}" in FAKE_PHONES
        or SAME_DIGITS.fullmatch(digits) is not None
        or FICTION.fullmatch(digits) is not None
        or _is_ladder(digits)
        or _is_ladder(digits[1:])
    )


def _is_ladder(digits: str) -> bool:
    """Whether fingers ran along the keys: 12345678, 0987654321."""
    return len(digits) >= 7 and any(digits in each and digits[:2] in ("01", "12", "09", "98") for each in LADDERS)


def _date(value: str, plain: str) -> bool:
    from whence.normalise import dates

    return dates.iso(value) in FAKE_DATES


def _year(value: str, plain: str) -> bool:
    from whence.normalise import dates

    return dates.year(value) in FAKE_YEARS


def _postcode(value: str, plain: str) -> bool:
    return plain.replace(" ", "") in FAKE_POSTCODES or plain == "na"


def _address(value: str, plain: str) -> bool:
    return plain in FAKE_ADDRESSES or plain in NOBODY_WORDS or plain == "na"


def _code(value: str, plain: str) -> bool:
    bare = plain.replace(" ", "")
    return bare in FAKE_CODES or bare in NOBODY_WORDS or bare == "na" or value == "-1" or SAME.fullmatch(bare) is not None


def _ip(value: str, plain: str) -> bool:
    from whence.normalise import networks

    bare = value.strip()
    if networks.PLAIN.fullmatch(bare):
        return bare.startswith(("0.", "127.")) or bare == "255.255.255.255"
    return bare == "::/64" or networks.kind(bare) in ("unspecified", "loopback")


def _identifier(value: str, plain: str) -> bool:
    bare = value.strip()
    return plain in NOBODY_WORDS or plain == "na" or bare == "-1" or ZEROED.fullmatch(bare) is not None or is_fake_hash(bare)


JUDGES: dict[str, Judge] = {
    "name": _name,
    "given_name": _name,
    "surname": _name,
    "date": _date,
    "year": _year,
    "email": _email,
    "phone": _phone,
    "postcode": _postcode,
    "address": _address,
    "code": _code,
    "ip": _ip,
    "device_id": _identifier,
    "cookie": _identifier,
    "identifier": _identifier,
    "hash": _identifier,
}
