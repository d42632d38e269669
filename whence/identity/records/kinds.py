"""What a column is, seen from its values first and its name second."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from whence.identity.records import headers
from whence.normalise import dates

SAMPLE = 500
"""Distinct values that are looked at."""
MOST = 0.8
"""The share of values that a pattern must fit."""
SOME = 0.5
"""The share that is enough where the name says so too."""
FEW = 20
"""Values of a category at most, or one row in a hundred where that is more …"""
SPOKEN = 4.0
"""Words in a person's name at most, on average."""
ROWS_EACH = 4
"""… and so many rows for each."""


@dataclass(frozen=True)
class Look:
    """What can be seen of a column."""

    name: str
    rows: int
    filled: int
    distinct: int
    sample: tuple[str, ...]
    """Distinct values from all over the column, sorted."""
    first: tuple[str, ...] = ()
    """The values of the first rows, in their order."""

    @property
    def is_unique(self) -> bool:
        """Whether every row has a value that no other has."""
        return self.filled == self.rows == self.distinct and self.rows > 1

    def share(self, test: Callable[[str], object]) -> float:
        """How many of the values pass a test."""
        return sum(map(bool, map(test, self.sample))) / max(len(self.sample), 1)

    @cached_property
    def digits(self) -> float:
        """The share of values with a digit: products have them in their names, people have not."""
        return self.share(lambda value: any(map(str.isdecimal, value)))

    @cached_property
    def words(self) -> float:
        """Words in a value, on average."""
        return sum(len(value.split()) for value in self.sample) / max(len(self.sample), 1)

    @cached_property
    def says(self) -> dict[str, str]:
        """The kinds that the column's name speaks of, with the word that does."""
        return headers.says(self.name)

    @cached_property
    def kind(self) -> tuple[str, str]:
        """The kind, and why."""
        return _patterned(self) or _named(self) or _shaped(self)


def _patterned(look: Look) -> tuple[str, str] | None:
    """A kind whose values say it by themselves."""
    for kind, what, test in PATTERNS:
        share = look.share(test)
        if share >= MOST:
            return kind, f"{share:.0%} of the values look like {what}"
    if look.share(_is_date) >= MOST:
        return "date", f"{look.share(_is_date):.0%} of the values look like dates"
    if _is_phones(look):
        return "phone", "numbers as they are dialled"
    if look.digits > SOME and look.share(STREET.search) >= SOME and look.words > 1.5:
        return "address", f"{look.share(STREET.search):.0%} of the values name a street"
    return None


def _named(look: Look) -> tuple[str, str] | None:
    """A kind that the column's name says, if the values are not against it."""
    if {"given_name", "surname"} <= look.says.keys() and _are_letters(look):
        return "name", f"its name says {look.says['given_name']} and {look.says['surname']}"
    if not headers.FIRMS.isdisjoint(headers.split(look.name)) and look.says.keys() == {"name", "text"} and FITS["text"](look):
        return "text", f"its name says {look.says['text']}: a firm's"
    for kind, word in look.says.items():
        if kind == "address" and look.share(DIGITS.fullmatch) >= MOST:
            return "code", f"its name says {word}, and its values are numbers: those of houses"
        fits = FITS.get(kind)
        if fits and fits(look):
            return FROM_HEADER.get(kind, kind), f"its name says {word}"
    return None


def _shaped(look: Look) -> tuple[str, str]:
    """A kind by what is left: numbers, few values, one word, many."""
    if look.distinct <= max(FEW, look.filled * 0.01) and look.distinct * ROWS_EACH <= look.filled:
        return "category", f"only {look.distinct} values"
    if look.share(_is_number) >= 0.95:
        return _numeric(look)
    if look.words <= 1.3 and look.digits > SOME:
        return "code", "one word with digits"
    if look.words <= 4 and look.share(_is_mostly_digits) >= MOST:
        return "code", "short, and mostly digits"
    if look.words <= 1.3:
        return "name", "one word without digits"
    if look.words <= SPOKEN and _are_letters(look) and headers.is_person(look.name):
        return "name", "a few words without digits, and its name says whose"
    return "text", "texts of many words" if look.words > 3 else "texts"


def _numeric(look: Look) -> tuple[str, str]:
    """Digits that stand for a thing rather than an amount are a code: zeros in front, or all of one great length."""
    whole = [value for value in look.sample if DIGITS.fullmatch(value)]
    if len(whole) >= MOST * len(look.sample):
        if sum(value[0] == "0" and len(value) > 1 for value in whole) >= 0.005 * len(whole) and len(whole) > 1:
            lengths = Counter(map(len, whole)).most_common(1)[0]
            if lengths[0] in (4, 5, 6) and lengths[1] >= 0.99 * len(whole):
                return "postcode", f"numbers of {lengths[0]} digits, some with a zero in front"
            return "code", "numbers with zeros in front"
        if len(whole) >= FEW and min(map(len, whole)) >= 7 and len(set(map(len, whole))) == 1:
            return "code", f"numbers of {len(whole[0])} digits each"
        if min(map(len, whole)) >= 11:
            return "code", "numbers too long for an amount"
    if look.share(lambda value: " " in value) >= SOME and look.share(lambda value: len(_digits(value)) == 9) >= MOST:
        return "phone", "nine digits, parted by spaces"
    return "number", "all values are numbers"


def _digits(value: str) -> str:
    return "".join(filter(str.isdecimal, value))


def _is_date(value: str) -> bool:
    if len(value) > 32 or not any(map(str.isdecimal, value)) or NOT_A_DATE.fullmatch(value):
        return False
    if DIGITS.fullmatch(value):
        return bool(DAY_DIGITS.fullmatch(value))
    found = dates.read(value)
    return found is not None and 1 <= found.month <= 31 and 1000 <= found.year <= 2200 and found.day <= 31


def _is_phones(look: Look) -> bool:
    """Numbers of seven to fifteen digits, of which some are written as only phone numbers are."""
    if look.share(_is_dialled) < MOST:
        return False
    marked = look.share(ABROAD.match)
    spaced = look.share(lambda value: bool(re.search(r"[ ()/.-]", value)))
    return (marked >= 0.1 and (marked >= SOME or spaced > 0)) or (spaced >= SOME and look.share(NORTH_AMERICAN.fullmatch) >= SOME)


def _is_dialled(value: str) -> bool:
    return bool(DIALLED.fullmatch(value)) and 6 <= sum(map(str.isdecimal, value)) <= 15


def _is_number(value: str) -> bool:
    return bool(NUMBER.fullmatch(value) or DURATION.fullmatch(value))


def _is_mostly_digits(value: str) -> bool:
    return len(value) <= 40 and len(_digits(value)) >= 0.4 * len(value)


def _are_letters(look: Look) -> bool:
    return look.digits <= 0.1 and look.words <= 6


YEAR: re.Pattern[str] = re.compile(r"(?:1[5-9]|20)\d\d(?:\.0)?")
DIGITS = re.compile(r"\d+")
DAY_DIGITS = re.compile(r"(1[89]|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
NOT_A_DATE = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|-?\d+[.,]\d+|\d{4}")
DIALLED = re.compile(r"(?:tel\.?:? ?)?[+(]{0,2}\d[\d ()/.-]{4,22}\d(?: ?(?:ext|x|-)\.? ?\d{1,5})?", re.IGNORECASE)
ABROAD = re.compile(r"[+(]\(?\d|00[1-9][\d ()/.-]{8}")
NORTH_AMERICAN = re.compile(r"(?:\+?1[ .-]?)?\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}.*")
MONEY = r"(?:[$€£¥₹]|\b(?:eur|usd|gbp|chf|kr|sek|dkk|nok|czk|huf|ron|try|tl|pln|zl|kč|ft|lei|rs|inr)\b\.?)"
NUMBER = re.compile(
    rf"{MONEY}? ?[-+]?(?:\d{{1,3}}(?:[.,' \u00a0\u202f]\d{{3}})+(?:[.,]\d+)?|\d+(?:[.,]\d+)?(?:e[-+]?\d+)?) ?(?:{MONEY}|%|,-)?",
    re.IGNORECASE,
)
DURATION = re.compile(r"(?:\d{1,3}:)?\d{1,3}:[0-5]\d")
STREET = re.compile(
    r"(?i)\b(?:street|st|road|rd|avenue|ave|av|avda|lane|ln|drive|dr|court|ct|crescent|place|boulevard|bd|blvd|square|way|"
    r"rue|chemin|impasse|allée|calle|c/|plaza|paseo|via|viale|piazza|corso|rua|travessa|largo|ul|aleja|ulice|náměstí|"
    r"strada|str|bulevardul|utca|út|tér|körút|cad|caddesi|sok|sokak|mah|mahallesi|улица|ул)\b|"
    r"c/ |\w(?:str\.?|straße|strasse|weg|platz|gasse|allee|straat|laan|plein|gracht|gatan|vägen|gata|väg|vej|gade|gaten|veien|"
    r"katu|tie|kuja)(?= |,|$)"
)
URL = re.compile(r"(?i)(?:https?://|www\.)\S+|(?:[a-z0-9-]+\.)+(?:com|org|net|edu|gov|info|io|eu|[a-z]{2})(?:/\S*)?")
POSTCODE = re.compile(
    r"(?i)[a-z]{1,2}\d[a-z\d]? ?\d[a-z]{2}|[a-z]\d[a-z][ -]?\d[a-z]\d|\d{2}-\d{3}|\d{4}-\d{3}|\d{4} ?[a-z]{2}|\d{3} \d{2}|"
    r"\d{5}-\d{4}"
)
ADDRESS_OF_MACHINE = re.compile(r"\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F]{0,4}(:[0-9a-fA-F]{0,4}){3,7}")

PATTERNS: tuple[tuple[str, str, Callable[[str], object]], ...] = (
    ("email", "e-mail addresses", re.compile(r"(?:mailto:)?[^@\s]+@[^@\s]+\.\w+").fullmatch),
    ("code", "addresses of the web", URL.fullmatch),
    ("year", "years", YEAR.fullmatch),
    ("ip", "addresses of the network", ADDRESS_OF_MACHINE.fullmatch),
    ("user_agent", "names of browsers", re.compile(r"Mozilla/.*|\w+/[\d.]+ \(.*").fullmatch),
    ("postcode", "postcodes", POSTCODE.fullmatch),
)

FROM_HEADER = {"url": "code", "price": "number", "latitude": "number", "longitude": "number"}
"""What a header's meaning is compared as, where it is no kind of its own."""

FITS: dict[str, Callable[[Look], bool]] = {
    "email": lambda look: look.share(lambda value: "@" in value) >= SOME,
    "url": lambda look: look.words <= 1.5 and look.share(lambda value: "." in value) >= SOME,
    "phone": lambda look: look.share(_is_dialled) >= SOME,
    "postcode": lambda look: look.words <= 2.5 and look.digits >= SOME and look.share(lambda value: len(value) <= 12) >= MOST,
    "date": lambda look: look.share(lambda value: _is_date(value) or YEAR.fullmatch(value)) >= SOME,
    "price": lambda look: look.share(_is_number) >= MOST,
    "latitude": lambda look: look.share(_is_number) >= MOST,
    "longitude": lambda look: look.share(_is_number) >= MOST,
    "year": lambda look: look.share(dates.year) >= SOME,
    "given_name": _are_letters,
    "surname": _are_letters,
    "name": _are_letters,
    "address": lambda look: look.share(lambda value: any(map(str.isalpha, value))) >= SOME,
    "place": lambda look: look.digits <= 0.3 and look.words <= 6,
    "code": lambda look: look.words <= 3,
    "text": lambda look: look.share(_is_number) < MOST and not (headers.names_a_row(look.name) and look.words <= 1.3),
}
"""What speaks against a header: a `Birth` of places is no date, a `Name` with digits no person's."""


def look(name: str, texts: pa.Array) -> Look:
    """What can be seen of a column of texts."""
    counted = pc.value_counts(texts.drop_null())
    counts: dict[str, int] = {}
    for text, count in zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True):
        held = text.strip()
        if held.casefold() not in PLACEHOLDERS:
            counts[held] = counts.get(held, 0) + count
    distinct = sorted(counts)
    step = max(1, len(distinct) // SAMPLE)
    first = tuple(text.strip() if text else "" for text in texts[:SAMPLE].to_pylist())
    return Look(name, len(texts), sum(counts.values()), len(distinct), tuple(distinct[::step]), first)


PLACEHOLDERS = frozenset({"", "-", "--", ".", "?", "n/a", "na", "nan", "nil", "none", "null", "unknown", "undefined"})


def names_rows(look: Look, parts: Sequence[Look] = ()) -> str | None:
    """Why a column names rows, if it does: no value comes twice in a source, and its header or its shape says so.

    `parts` are the looks of each source, where there are several.
    """
    if look.filled < look.rows or look.rows < 2 or look.words > 1.5 or is_evidence(look, parts or (look,)):
        return None
    looks = parts or (look,)
    if not all(each.is_unique or each.rows == 1 for each in looks):
        return None
    said = headers.names_a_row(look.name)
    if said == 2:
        return "no value comes twice, and its name says id"
    counted = all(is_counted(each, 20 if said else 1.5) for each in looks)
    if not counted and look.distinct < 0.9 * look.rows:
        return None
    if counted or all(map(is_token, looks)):
        return f"no value comes twice, and they look {'counted' if counted else 'made by a machine'}, such as {look.sample[0]!r}"
    return None


def is_called(look: Look) -> bool:
    """Whether a column named `label` holds what things are called, in words, and no answer.

    >>> is_called(Look("label", 90, 90, 80, ("San José", "Oslo"))), is_called(Look("label", 90, 90, 30, ("17", "c4")))
    (True, False)
    """
    return "".join(headers.split(look.name)) == "label" and look.distinct > FEW and look.digits < SOME


def is_evidence(look: Look, parts: Sequence[Look]) -> bool:
    """Whether unique values would still be a person's own, or a thing's, and not a row's: phone numbers, ISBNs, dates.

    Numbers and addresses of the web name rows where the header says id, and nothing of phones or pages.
    """
    found = _patterned(look)
    if found and not (found[0] in UNSAID and headers.names_a_row(look.name) == 2 and not look.says.keys() & {"phone", "url"}):
        return True
    kind = next((each for each in look.says if each in STRONG), None)
    return kind is not None and FITS[kind](look) and not all(map(is_counted, parts))


UNSAID = ("phone", "code")
"""Kinds that rows are named alike: 001000000012 could be dialled, and http://example.org/12 opened."""
STRONG = ("email", "phone", "date", "postcode", "given_name", "surname", "code")
"""What a header must say for unique values to be more than names of rows."""


def is_counted(look: Look, slack: float = 1.5) -> bool:
    """Whether unique values are those of a counter: one prefix, and numbers that leave few out or only ever rise.

    `slack` is how many numbers there may be for each that is given.
    """
    if not look.is_unique:
        return False
    found = [COUNTER.fullmatch(value) for value in look.sample]
    parts = [each.groups() for each in found if each]
    if len(parts) < len(found) or len({(front, end) for front, _, end in parts}) > 3:
        return False
    numbers = [int(number) for _, number, _ in parts]
    return max(numbers) - min(numbers) < slack * look.rows or _rises(look.first)


def _rises(values: Sequence[str]) -> bool:
    found = [COUNTER.fullmatch(value) for value in values]
    numbers = [int(each[2]) for each in found if each]
    return len(numbers) >= 20 and all(a < b for a, b in pairwise(numbers))


def is_token(look: Look) -> bool:
    """Whether unique values look made by a machine to name rows: digits or hexadecimal, in one word, of about one length."""
    if not look.is_unique or look.words > 1 or look.digits < 0.9:
        return False
    lengths = [len(value) for value in look.sample]
    if look.share(DECIMAL.fullmatch) > 0.05:
        return False
    return look.share(MACHINE.fullmatch) >= 0.95 and max(lengths) - min(lengths) <= 2 and min(lengths) >= 4


COUNTER = re.compile(r"([^\d]{0,12}?)(\d{1,15})(\D{0,4})")
DECIMAL_TEXT = re.compile(r"-?\d{1,15}(?:\.\d+)?")
DECIMAL = re.compile(r"-?\d*[.,]\d+")
MACHINE = re.compile(r"\{?[A-Za-z0-9_:-]+\}?")
