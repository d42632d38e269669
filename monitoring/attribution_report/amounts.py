"""Amounts as people read them: cents that add up on the page, and every millionth in the files."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

CENT = 10_000
"""Micros in a hundredth."""
NONE = "–"


def cents(micros: Sequence[int]) -> list[int]:
    """Amounts in hundredths that add up to their total in hundredths, each less than one away from its own.

    >>> cents([3_333_333, 3_333_333, 3_333_334])
    [333, 333, 334]
    """
    parts = [divmod(each, CENT) for each in micros]
    missing = _half_even(sum(micros)) - sum(whole for whole, _ in parts)
    largest = sorted(range(len(parts)), key=lambda at: (-parts[at][1], at))
    more = set(largest[:missing])
    return [whole + (at in more) for at, (whole, _) in enumerate(parts)]


def money(hundredths: int) -> str:
    """Hundredths as units.

    >>> money(-123456)
    '−1,234.56'
    """
    return f"{'−' if hundredths < 0 else ''}{abs(hundredths) // 100:,}.{abs(hundredths) % 100:02d}"


def shown(micros: int | None) -> str:
    """One amount to the hundredth, a dash where there is none.

    >>> shown(1_234_567), shown(None)
    ('1.23', '–')
    """
    return NONE if _is_missing(micros) else money(_half_even(int(micros or 0)))


def exact(micros: int | None) -> str:
    """Every millionth; empty where there is no amount.

    >>> exact(-1_500_001), exact(None)
    ('-1.500001', '')
    """
    if _is_missing(micros):
        return ""
    whole, rest = divmod(abs(int(micros or 0)), 1_000_000)
    return f"{'-' if int(micros or 0) < 0 else ''}{whole}.{rest:06d}"


def count(number: float) -> str:
    """A count of conversions, which may be shared: one decimal where it is no whole number.

    >>> count(12.0), count(12.34), count(float("nan"))
    ('12', '12.3', '–')
    """
    if _is_missing(number):
        return NONE
    return f"{number:,.0f}" if abs(number - round(number)) < 1e-6 else f"{number:,.1f}"


def counts(numbers: Sequence[float]) -> tuple[list[str], str]:
    """Counts below each other and their sum, to the tenth such that they add up, or whole where all of them are.

    >>> counts([1.25, 1.25, 1.25]), counts([2.0, float("nan")])
    ((['1.3', '1.3', '1.2'], '3.8'), (['2', '–'], '2'))
    """
    there = [0.0 if _is_missing(number) else float(number) for number in numbers]
    tenths = cents([round(number * 10 * CENT) for number in there])
    if all(abs(number - round(number)) < 1e-6 for number in there):
        cells, total = [f"{number:,.0f}" for number in there], f"{sum(there):,.0f}"
    else:
        cells, total = [f"{each / 10:,.1f}" for each in tenths], f"{sum(tenths) / 10:,.1f}"
    return [NONE if _is_missing(number) else cell for number, cell in zip(numbers, cells, strict=True)], total


def percent(share: float) -> str:
    r"""A share in percent.

    >>> percent(0.123), percent(0.0004)
    ('12\xa0%', '0.04\xa0%')
    """
    if _is_missing(share):
        return NONE
    return f"{100 * share:.0f}\u00a0%" if abs(share) >= 0.01 or not share else f"{100 * share:.2g}\u00a0%"


def ratio(value: float) -> str:
    """A ratio, as a return on spend.

    >>> ratio(2.345), ratio(float("nan"))
    ('2.35', '–')
    """
    return NONE if _is_missing(value) else f"{value:,.2f}"


def _is_missing(value: object) -> bool:
    return bool(pd.isna(value)) or (isinstance(value, float) and math.isinf(value))


def _half_even(micros: int) -> int:
    whole, rest = divmod(micros, CENT)
    return whole + (rest > CENT // 2 or (rest == CENT // 2 and whole % 2 == 1))
