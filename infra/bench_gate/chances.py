"""Rows on chance: how often a model that is no better is promoted, and one that is better by the declared effect."""

from __future__ import annotations

from infra.bench_gate.simulated import KINDS, Kind, Rate, better_noise, deciding_people, found, twins
from infra.benching import Row, verdict

LEAST = 400
MOST_FALSE, LEAST_FOUND = 0.05, 0.80


def measure(runs: int) -> list[Row]:
    """Three rows a kind, of so many hundred gates each, and four hundred at least."""
    gates = max(LEAST, 100 * runs)
    return [row for kind in KINDS for row in _rows(kind, gates)]


def _rows(kind: Kind, gates: int) -> list[Row]:
    people, (_, effect) = deciding_people(kind), better_noise(kind)
    asked = f"as verdicts on {kind.people * kind.each:,} rows ask for" if people > kind.people else "on which verdicts decide"
    sizes = f"{people * kind.each:,} rows of {people:,} people, {asked}"
    return [
        _false(f"{kind.model}: no better, on {kind.people * kind.each:,} rows", twins(kind, kind.people, gates)),
        _false(f"{kind.model}: no better, on {people * kind.each:,} rows", twins(kind, people, gates)),
        _found(f"{kind.model}: better by {effect:.4f} nats a row, the declared effect", found(kind, people, gates), sizes),
    ]


def _false(what: str, rate: Rate) -> Row:
    low, high = rate.interval
    return Row(
        f"{what}: promoted",
        f"{rate.value:.1%}",
        f"[{low:.1%}, {high:.1%}], {rate.of} gates",
        f"≤ {MOST_FALSE:.0%}",
        verdict(met=rate.value <= MOST_FALSE),
    )


def _found(what: str, rate: Rate, sizes: str) -> Row:
    low, high = rate.interval
    return Row(
        f"{what}: promoted",
        f"{rate.value:.1%}",
        f"[{low:.1%}, {high:.1%}], {rate.of} gates",
        f"≥ {LEAST_FOUND:.0%}",
        verdict(met=rate.value >= LEAST_FOUND),
        sizes,
    )
