"""Days, windows of days, and instants that are never vague."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


class NaiveTimeError(ValueError):
    """A time came without a zone, so nobody can say when it was."""


def utc(moment: datetime) -> datetime:
    """The same instant in UTC; a naive time is refused.

    >>> utc(datetime.fromisoformat("2026-05-01T02:00:00+02:00")).isoformat()
    '2026-05-01T00:00:00+00:00'
    """
    if moment.tzinfo is None:
        raise NaiveTimeError(f"{moment.isoformat()} has no time zone. Add one, as in {moment.isoformat()}Z.")
    return moment.astimezone(UTC)


def micros(moment: datetime) -> int:
    """Microseconds since 1970, exactly; the time must have a zone."""
    return (utc(moment) - EPOCH) // MICROSECOND


@dataclass(frozen=True)
class Window:
    """Whole UTC days, first and last both included; what one run of a step covers.

    >>> Window.parse("2026-05-01..2026-05-03").days
    ('2026-05-01', '2026-05-02', '2026-05-03')
    >>> str(Window.parse("2026-05-02"))
    '2026-05-02'
    >>> Window.parse("2026-05-03..2026-05-01")
    Traceback (most recent call last):
    ValueError: '2026-05-03..2026-05-01' is no window of days (2026-05-01 is before 2026-05-03). Write 2026-05-01 or 2026-05-01..2026-05-10.
    """

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"{self.last} is before {self.first}")

    @classmethod
    def parse(cls, key: str) -> Window:
        """Read `2026-05-01` or `2026-05-01..2026-05-10`, the keys that runs and partitions carry."""
        first, dots, last = key.strip().partition("..")
        try:
            return cls(date.fromisoformat(first), date.fromisoformat(last if dots else first))
        except ValueError as wrong:
            raise ValueError(f"'{key}' is no window of days ({wrong}). Write 2026-05-01 or 2026-05-01..2026-05-10.") from None

    @classmethod
    def runs(cls, days: Iterable[date]) -> list[Window]:
        """Days in any order as windows, each as long as no day of it is missing.

        >>> [str(each) for each in Window.runs(map(date.fromisoformat, ["2026-05-04", "2026-05-01", "2026-05-02"]))]
        ['2026-05-01..2026-05-02', '2026-05-04']
        """
        found: list[Window] = []
        for day in sorted(days):
            if found and found[-1].last + timedelta(days=1) == day:
                found[-1] = cls(found[-1].first, day)
            else:
                found.append(cls(day, day))
        return found

    @property
    def days(self) -> tuple[str, ...]:
        """Every day of the window as ISO text, in order."""
        return tuple(day.isoformat() for day in self)

    @property
    def start(self) -> datetime:
        """The first instant inside."""
        return datetime.combine(self.first, datetime.min.time(), UTC)

    @property
    def end(self) -> datetime:
        """The first instant after: when everything of the window can be known."""
        return datetime.combine(self.last + timedelta(days=1), datetime.min.time(), UTC)

    def back(self, days: int) -> Window:
        """The window of `days` days that ends where this one ends."""
        return Window(self.last - timedelta(days=days - 1), self.last)

    def __iter__(self) -> Iterator[date]:
        for offset in range((self.last - self.first).days + 1):
            yield self.first + timedelta(days=offset)

    def __str__(self) -> str:
        return self.first.isoformat() if self.first == self.last else f"{self.first}..{self.last}"


def one_day(text: str) -> date:
    """The day that a text names, as `2026-05-01`; raises ValueError for several.

    >>> one_day("2026-05-01..2026-05-02")
    Traceback (most recent call last):
    ValueError: 2026-05-01..2026-05-02 is several days. Name the one that you mean.
    """
    window = Window.parse(text)
    if window.first != window.last:
        raise ValueError(f"{text} is several days. Name the one that you mean.")
    return window.first
