"""Dates in ISO form, whatever their order, language and precision; what is ambiguous is settled by the whole column."""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from whence.normalise.text import fold

VERSION = "dates-1"

PIVOT = 30
"""Two-digit years up to this one are of the 2000s, the others of the 1900s."""
MONTHS = {
    word: month
    for month, names in enumerate(
        (
            "jan january januar janvier janv enero ene gennaio gen januari janeiro",
            "feb february februar fevrier fevr febrero febbraio februari fevereiro fev",
            "mar march marz maerz mrz mars marzo maart mrt marco",
            "apr april avril avr abril abr aprile",
            "may mai mayo maggio mag mei maio",
            "jun june juni juin junio giugno giu junho",
            "jul july juli juillet juil julio luglio lug julho",
            "aug august aout agosto ago augustus",
            "sep sept september septembre septiembre settembre set setembro",
            "oct october oktober okt octobre octubre ottobre ott outubro out",
            "nov november novembre noviembre novembro",
            "dec december dezember dez decembre diciembre dic dicembre dezembro",
        ),
        start=1,
    )
    for word in names.split()
}
PLAIN = re.compile(r"(?!0000)\d{4}(?:-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|1\d|2[0-8]))?)?", re.ASCII)
"""A date that is in ISO form already, in any calendar."""
DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)
YEAR_FIRST = re.compile(r"(\d{4})[-/. ](\d{1,2})(?:[-/. ](\d{1,2}))?(?:[t ].*)?")
COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:\.0)?")
YEAR_LAST = re.compile(r"(\d{1,2})([-/. ])\s*(\d{1,2})[-/. ]\s*(\d{4}|\d{2})(?:[t ,].*)?")
YEAR = re.compile(r"(?:c|ca|circa|abt|about|approx|um|vers)?\.?\s*(\d{4})(?:\.0)?\s*\??")
CJK = re.compile(r"(\d{4})年(?:(\d{1,2})月(?:(\d{1,2})日)?)?")
PIECE = re.compile(r"\d+|[^\W\d_]+")


class Day(NamedTuple):
    """A date as far as it is known: month and day are 0 where they are not."""

    year: int
    month: int = 0
    day: int = 0


@dataclass(frozen=True)
class Order:
    """Which of two numbers is the day in a column of dates such as 03/04/2001, and what says so."""

    day_first: int
    """Values that can only be read with the day first."""
    month_first: int
    ambiguous: int
    """Values that can be read both ways."""

    @property
    def is_day_first(self) -> bool:
        """The majority's way; with none, the day comes first, as it does in most countries."""
        return self.day_first >= self.month_first

    @property
    def is_sure(self) -> bool:
        """Whether all values agree, and at least one speaks."""
        return (self.day_first > 0) != (self.month_first > 0) or self.ambiguous == 0


def order(values: Sequence[str]) -> Order:
    """What a column's distinct values say about the order of day and month.

    >>> order(["03/04/2001", "25/12/2001"]), order(["03/04/2001"]).is_sure
    (Order(day_first=1, month_first=0, ambiguous=1), False)
    """
    day_first = month_first = ambiguous = 0
    for value in values:
        found = None if value[4:5] == "-" else YEAR_LAST.fullmatch(fold(value))
        if found:
            first, second = int(found[1]), int(found[3])
            day_first += first > 12 >= second
            month_first += second > 12 >= first
            ambiguous += first <= 12 >= second and first != second
    return Order(day_first, month_first, ambiguous)


def column(values: Sequence[str], day_first: bool | None = None) -> list[str | None]:
    """A column's dates in ISO form, as precise as each is; the order of day and month from all of them, if not given.

    >>> column(["03/04/2001", "25/12/2001", "March 1850", "1999", "when?"])
    ['2001-04-03', '2001-12-25', '1850-03', '1999', None]
    """
    if day_first is None:
        day_first = order(values).is_day_first
    return [iso(value, day_first) for value in values]


def iso(text: str, day_first: bool = True) -> str | None:
    """One date as YYYY-MM-DD, YYYY-MM or YYYY.

    A slip of the pen, such as a month of 13, stays as it is written: it is one digit from the right one, which is
    evidence. Ask is_real where it matters.

    >>> iso("12 March 1980"), iso("Mar 12th, 1980"), iso("3/12/80", day_first=False), iso("19800312"), iso("1980-13-12")
    ('1980-03-12', '1980-03-12', '1980-03-12', '1980-03-12', '1980-13-12')
    """
    if PLAIN.fullmatch(text):
        return text
    found = read(text, day_first)
    return _written(found) if found else None


def is_real(text: str) -> bool:
    """Whether the calendar has this day, in ISO form.

    >>> is_real("1980-02-29"), is_real("1981-02-29"), is_real("1980-02")
    (True, False, False)
    """
    found = DAY.fullmatch(text)
    if not found or found[1] == "0000" or not 1 <= int(found[2]) <= 12:
        return False
    return 1 <= int(found[3]) <= calendar.monthrange(int(found[1]), int(found[2]))[1]


def year(text: str) -> str | None:
    """The year of a date, four digits.

    >>> year("1980.0"), year("12/03/80"), year("c. 1850")
    ('1980', '1980', '1850')
    """
    found = text if len(text) == 4 else iso(text)
    return found[:4] if found and PLAIN.fullmatch(found[:4]) else None


def read(text: str, day_first: bool = True) -> Day | None:
    """A date's parts as they are written; nothing when it is none. The calendar is not asked."""
    plain = fold(text)
    if len(plain) > 60:
        return None
    if found := YEAR_FIRST.fullmatch(plain) or COMPACT.fullmatch(plain) or CJK.fullmatch(plain):
        return Day(*(int(part or 0) for part in found.groups()))
    if found := YEAR_LAST.fullmatch(plain):
        first, second, era = int(found[1]), int(found[3]), _whole_year(found[4])
        is_day_first = second <= 12 and (first > 12 or day_first)
        return Day(era, second, first) if is_day_first else Day(era, first, second)
    if found := YEAR.fullmatch(plain):
        return Day(int(found[1]))
    return _spelled(plain)


def _spelled(plain: str) -> Day | None:
    """A date with the month in letters: 12 mars 1980, March 12th 1980, 12-Mar-80, Mar 1980."""
    pieces = PIECE.findall(plain)
    months = [MONTHS[piece] for piece in pieces if piece in MONTHS]
    numbers = [piece for piece in pieces if piece.isdecimal()][:3]
    if len(months) != 1 or not numbers or len(pieces) > 12:
        return None
    years = [number for number in numbers if len(number) == 4]
    if not years and len(numbers) < 2:
        return None
    era = years[0] if years else numbers[1]
    days = [number for number in numbers if number is not era and len(number) <= 2]
    return Day(_whole_year(era), months[0], int(days[0]) if days else 0) if len(era) in (2, 4) else None


def _whole_year(digits: str) -> int:
    value = int(digits)
    return value if len(digits) == 4 else value + (2000 if value <= PIVOT else 1900)


def _written(found: Day) -> str | None:
    """ISO text, as far as the date is known; what the calendar does not have stays as it was written."""
    era, month, day = found
    if era == 0:
        return None
    if month == day == 0:
        return f"{era:04}"
    return f"{era:04}-{month:02}-{day:02}" if day else f"{era:04}-{month:02}"
