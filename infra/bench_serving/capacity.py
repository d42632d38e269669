"""From what one core does to how many machines a given traffic needs, with every assumption written out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from infra.bench_serving.world import CANDIDATES
from infra.benching import REPOSITORY

FILE = REPOSITORY / "docs" / "capacity.md"
RATES = (1_000_000, 5_000_000)
LOAD = 0.5
"""The share of a core's most at which latency was measured."""
CORES, KEPT = 64, 2
ZONES = 3
GIGABIT = 1e9 / 8


@dataclass(frozen=True)
class Measured:
    """Medians of the rounds."""

    made: str
    """How and when."""
    redis: float
    """CPU seconds of the service a match, with features from Redis …"""
    redis_store: float
    """… and of Redis itself …"""
    redis_bytes: float
    """… and the bytes that Redis sends for it."""
    sqlite: float
    """CPU seconds of the service a match, with features from the embedded store."""
    score: float
    """CPU seconds of the service for twenty rows that come with the request."""


def write(measured: Measured, file: Path = FILE) -> None:
    """Write the page."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page(measured))


def page(measured: Measured) -> str:
    """The page in Markdown."""
    spare = ZONES / (ZONES - 1)
    lines = [
        "# Capacity",
        "",
        f"How many machines a traffic needs, from figures that were measured on one core. {measured.made}",
        "",
        "## Measured",
        "",
        "| what | CPU a request | requests per CPU second |",
        "|---|---|---|",
        _measured(f"match of {CANDIDATES} candidates, features from Redis", measured.redis),
        _measured("the same, work of Redis itself", measured.redis_store),
        _measured(f"match of {CANDIDATES} candidates, features from the embedded store", measured.sqlite),
        _measured("score of 20 rows that come with the request", measured.score),
        "",
        f"Redis sends {measured.redis_bytes / 1000:.1f} kB for a match.",
        "",
        "## Assumed",
        "",
        f"1. A core is loaded to {LOAD:.0%} of its most: that is where the latency in [benchmarks/serving.md](benchmarks/serving.md) was measured.",
        f"2. A node has {CORES} cores like the measured one; {KEPT} are left to the system, and each other one runs one worker or one shard.",
        f"3. Any one of {ZONES} zones may be lost, so everything is there {spare:.1f} times.",
        "4. Replicas share nothing but the online store, so twice the replicas answer twice the requests. **Not measured** beyond one core.",
        "5. Keys are spread over the shards of Redis as evenly as requests are; a hot network would need its own replica.",
        f"6. Every request is a match of {CANDIDATES} candidates by the model; one that an identifier answers costs a small part of that.",
        "7. The load balancer, TLS, and the disks of the decision log are not counted.",
        "",
        "## Machines",
        "",
        "| requests a second | features from | service cores at work | service nodes | Redis shards | Redis nodes | from Redis |",
        "|---|---|---|---|---|---|---|",
        *(_from_redis(rate, measured, spare) for rate in RATES),
        *(_embedded(rate, measured, spare) for rate in RATES),
        "",
        "A node count is ⌈requests × CPU a request ÷ load × spare ÷ cores of a node⌉. The embedded store is a file on each node: it is",
        "for features that fit there, and each node must then be handed every day's features.",
        "",
        "Made by `python -m infra.bench_serving --only requests`; the formula is in `infra/bench_serving/capacity.py`.",
    ]
    return "\n".join(lines) + "\n"


def nodes(rate: float, cpu: float, spare: float) -> int:
    """Machines for so many requests a second, each of so many CPU seconds.

    >>> nodes(1_000_000, 0.00031, 1.5)
    15
    """
    return math.ceil(rate * cpu / LOAD * spare / (CORES - KEPT))


def _measured(what: str, cpu: float) -> str:
    return f"| {what} | {cpu * 1e3:.3f} ms | {1 / cpu:,.0f} |"


def _from_redis(rate: int, measured: Measured, spare: float) -> str:
    shards = math.ceil(rate * measured.redis_store / LOAD * spare)
    return (
        f"| {rate:,} | Redis | {math.ceil(rate * measured.redis):,} | {nodes(rate, measured.redis, spare):,} | {shards:,} | "
        f"{nodes(rate, measured.redis_store, spare):,} | {rate * measured.redis_bytes / GIGABIT:,.0f} Gbit/s |"
    )


def _embedded(rate: int, measured: Measured, spare: float) -> str:
    return f"| {rate:,} | embedded store | {math.ceil(rate * measured.sqlite):,} | {nodes(rate, measured.sqlite, spare):,} | – | – | – |"
