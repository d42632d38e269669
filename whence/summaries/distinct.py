"""How many different values, without keeping them: the K smallest of their hashes, which merge exactly.

Bar-Yossef et al. 2002; the standard error is about 1/√K, 4.4 %.
"""

from __future__ import annotations

import numpy as np

from whence.summaries.histogram import Codes

K = 512
RANGE = 2.0**64
NONE = np.zeros(0, np.uint64)


def smallest(hashes: Codes) -> Codes:
    """The K smallest different hashes, in order.

    >>> smallest(np.array([9, 3, 3, 7], np.uint64)).tolist()
    [3, 7, 9]
    """
    n = len(hashes)
    if n > 16 * K:  # of evenly spread hashes this leaves about 4 K, and a cut that left too few is not taken
        few = hashes[hashes < np.uint64(int(RANGE / n * 4 * K))]
        if len(found := np.unique(few)) >= K:
            return found[:K]
    return np.unique(hashes)[:K]


def merge(one: Codes, two: Codes) -> Codes:
    """The sketch of both."""
    return np.union1d(one, two)[:K]


def estimate(sketch: Codes) -> float:
    """How many different hashes there were; exact below K.

    >>> estimate(np.array([3, 7, 9], np.uint64))
    3.0
    """
    if len(sketch) < K:
        return float(len(sketch))
    return (K - 1) / ((float(sketch[-1]) + 1) / RANGE)


def mixed(codes: Codes) -> Codes:
    """Evenly spread hashes of codes: the finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    mixing = codes ^ (codes >> np.uint64(30))
    mixing *= np.uint64(0xBF58476D1CE4E5B9)
    mixing ^= mixing >> np.uint64(27)
    mixing *= np.uint64(0x94D049BB133111EB)
    mixing ^= mixing >> np.uint64(31)
    return mixing
