"""Counts of values in at most MOST buckets, each bucket as fine as that allows, so that parts merge to exactly the whole.

A value is a 64-bit code: a number's code grows with the number, a text's is its hash. A bucket is all codes with the same
leading bits, and a histogram keeps as many bits as leave at most MOST buckets. A part has no more buckets than the whole at
any number of bits, so it keeps at least as many bits; parts cut to what they share, and then to what fits, are the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MOST = 512
"""Buckets; a power of two."""
FEWEST_BITS = MOST.bit_length() - 1
"""With so few bits there are never more than MOST buckets."""
ALL_BITS = 64
STEP = 2
SIGN = np.uint64(1 << 63)


@dataclass(frozen=True, eq=False)
class Histogram:
    """Buckets in order with their counts; a bucket holds the leading `bits` bits of its codes."""

    bits: int
    buckets: Codes
    counts: Counts

    @property
    def total(self) -> int:
        """How many values were counted."""
        return int(self.counts.sum())

    @property
    def is_exact(self) -> bool:
        """Whether each bucket is one value."""
        return self.bits == ALL_BITS

    def cut(self, bits: int) -> Histogram:
        """The same counts with fewer bits."""
        if bits >= self.bits:
            return self
        buckets, counts = _grouped(self.buckets >> np.uint64(self.bits - bits), self.counts)
        return Histogram(bits, buckets, counts)

    def merge(self, other: Histogram) -> Histogram:
        """What one look at the values of both would have given."""
        bits = min(self.bits, other.bits)
        one, two = self.cut(bits), other.cut(bits)
        codes = np.concatenate([one.buckets, two.buckets])
        order = np.argsort(codes, kind="stable")
        buckets, counts = _grouped(codes[order], np.concatenate([one.counts, two.counts])[order])
        return _fitting(bits, buckets, counts)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Histogram)
            and self.bits == other.bits
            and np.array_equal(self.buckets, other.buckets)
            and np.array_equal(self.counts, other.counts)
        )

    def __hash__(self) -> int:
        return hash((self.bits, self.buckets.tobytes(), self.counts.tobytes()))


def of_sorted(codes: Codes) -> Histogram:
    """The histogram of codes that are in order; some may be there many times."""
    starts = _starts(codes)
    return _fitting(ALL_BITS, codes[starts], np.diff(starts, append=len(codes)))


def of_counted(codes: Codes, counts: Counts) -> Histogram:
    """The histogram of different codes in any order, each with its count."""
    order = np.argsort(codes, kind="stable")
    buckets, summed = _grouped(codes[order], counts[order])
    return _fitting(ALL_BITS, buckets, summed)


def number_codes(values: Floats) -> Codes:
    """A code for each number that is not NaN, in the numbers' order; 0.0 and -0.0 are one number.

    >>> bool((np.diff(number_codes(np.array([-np.inf, -2.0, 0.0, 1e-300, 3.0])).astype(float)) > 0).all())
    True
    """
    plain = values + 0.0
    is_negative = (plain.view(np.int64) >> 63).view(np.uint64)  # all ones below zero
    codes: Codes = plain.view(np.uint64) ^ (is_negative | SIGN)
    return codes


def numbers_of(codes: Codes) -> Floats:
    """The numbers that have these codes.

    >>> numbers_of(number_codes(np.array([-1.5, 0.0, 7.0]))).tolist()
    [-1.5, 0.0, 7.0]
    """
    is_positive = (codes & SIGN) != 0
    raw = np.where(is_positive, codes ^ SIGN, ~codes)
    return np.asarray(raw, dtype=np.uint64).view(np.float64)


def edges(histogram: Histogram) -> tuple[Floats, Floats]:
    """The least and the greatest number that each bucket of a histogram of numbers may hold."""
    shift = np.uint64(ALL_BITS - histogram.bits)
    low = histogram.buckets << shift
    high = low | np.uint64((1 << int(shift)) - 1)
    return numbers_of(low), numbers_of(high)


def _fitting(bits: int, buckets: Codes, counts: Counts) -> Histogram:
    """As many bits as leave at most MOST buckets."""
    found = Histogram(bits, buckets, counts)
    if len(buckets) <= MOST:
        return found
    fits = FEWEST_BITS  # upwards first: few bits leave little to count
    while fits + STEP < bits and _buckets(found, fits + STEP) <= MOST:
        fits += STEP
    small = found.cut(fits + STEP)  # all that there are, where so many are asked for
    while len(small.buckets) > MOST:
        small = small.cut(small.bits - 1)
    return small


def _buckets(histogram: Histogram, bits: int) -> int:
    leading = histogram.buckets >> np.uint64(histogram.bits - bits)
    return int(np.count_nonzero(leading[1:] != leading[:-1])) + 1


def _grouped(codes: Codes, counts: Counts) -> tuple[Codes, Counts]:
    """Codes in order, each once, with their counts summed."""
    starts = _starts(codes)
    summed = np.add.reduceat(counts, starts) if len(starts) else np.zeros(0, np.int64)
    return codes[starts], np.asarray(summed, dtype=np.int64)


def _starts(codes: Codes) -> npt.NDArray[np.intp]:
    if not len(codes):
        return np.zeros(0, np.intp)
    return np.concatenate([np.zeros(1, np.intp), np.flatnonzero(codes[1:] != codes[:-1]) + 1])
