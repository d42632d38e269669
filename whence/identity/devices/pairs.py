"""What speaks for two devices being one person's: networks, hours and sites that they share, and how their candidates compare."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import svds

from whence.identity.devices.index import MAX_DEGREE
from whence.identity.devices.profiles import Floats, Matrix, Profiles, by_rarity, dots, unit_rows
from whence.identity.records.table import Evidence, Pairs

OWN_SHARE = 0.5
"""The share of a person's visits that goes to sites which another of his devices visits too, as a first guess."""
LATENT = 32
CONTEXT = ("site_cosine", "site_surprise", "network_cosine", "network_slot_cosine", "hour_cosine")
"""Signals that are also told against those of the other candidates of the same two devices."""


def evidence(profiles: Profiles, pairs: Pairs, *, context: bool = True) -> Evidence:
    """The signals of each pair, which are the same whichever device comes first.

    With `context` a pair is also compared with its rivals: all other candidates of either device, whoever they
    belong to. That is what tells one member of a household from another.
    """
    columns = dict(_columns(profiles, pairs))
    if context:
        columns |= {
            f"{name}_{what}": values
            for name in CONTEXT
            for what, values in against_rivals(columns[name], pairs, len(profiles)).items()
        }
    return Evidence(tuple(columns), np.column_stack(list(columns.values())).astype(np.float32))


def against_rivals(values: Floats, pairs: Pairs, devices: int) -> dict[str, Floats]:
    """How many candidates of either device have a better value, and what it lacks to the best other candidate of each.

    >>> found = against_rivals(np.array([0.75, 0.25]), Pairs(np.array([0, 0], np.int32), np.array([1, 2], np.int32)), 3)
    >>> found["worst_rank"].tolist(), found["worst_lead"].tolist()
    ([0.0, 1.0], [0.5, -0.5])
    """
    device = np.concatenate([pairs.left, pairs.right])
    twice = np.tile(np.round(values, 6), 2)  # what differs by less is no difference, only another order of adding
    order = np.lexsort((-twice, device))
    ranked, starts = twice[order], np.searchsorted(device[order], np.arange(devices))
    is_new = np.concatenate([[True], (np.diff(ranked) != 0) | (np.diff(device[order]) != 0)])[: len(order)]
    place = np.empty(len(device))
    place[order] = np.maximum.accumulate(np.where(is_new, np.arange(len(order)), 0)) - starts[device[order]]
    sizes = np.bincount(device, minlength=devices)
    best, second = np.full(devices, np.nan), np.full(devices, np.nan)
    best[sizes > 0] = ranked[starts[sizes > 0]]
    second[sizes > 1] = ranked[starts[sizes > 1] + 1]
    lead = twice - np.where(twice == best[device], second[device], best[device])
    n = len(values)
    return {
        "best_rank": np.minimum(place[:n], place[n:]),
        "worst_rank": np.maximum(place[:n], place[n:]),
        "best_lead": np.fmax(lead[:n], lead[n:]),
        "worst_lead": np.fmin(lead[:n], lead[n:]),
    }


def _columns(profiles: Profiles, pairs: Pairs) -> Iterator[tuple[str, Floats]]:
    yield from _networks(profiles.counts["network"], pairs)
    for view in ("network_day", "network_slot"):
        yield from _meetings(profiles.counts[view], view, pairs)
    yield from _sites(profiles.counts["site"], pairs)
    yield from _hours(profiles.counts["hour"], pairs)
    yield from _agents(profiles, pairs)
    yield from _spans(profiles, pairs)


def _networks(counts: Matrix, pairs: Pairs) -> Iterator[tuple[str, Floats]]:
    degree = _degrees(counts)
    is_private = degree <= MAX_DEGREE
    private, crowded = counts @ sparse.diags_array(is_private * 1.0), counts @ sparse.diags_array(1.0 - is_private)
    there = _ones(counts)
    near = unit_rows(private.log1p() @ sparse.diags_array(1 / np.sqrt(np.maximum(degree, 1))))
    yield "network_cosine", dots(near, pairs)
    yield "network_shared", dots(_ones(private), pairs)
    yield "network_rarity", dots(there @ sparse.diags_array(1 / np.log1p(np.maximum(degree, 1))), pairs, there)
    yield "network_private_rarity", dots(there @ sparse.diags_array(1 / np.maximum(degree, 1)), pairs, there)
    yield "network_crowded_cosine", dots(unit_rows(crowded), pairs)
    share = _shares(private)
    small = share @ sparse.diags_array(1 / np.sqrt(np.maximum(degree, 1)))
    yield from _both("network_time_shared", dots(share, pairs, there), dots(share, _turned(pairs), there))
    yield "network_chance_shared", dots(small, pairs, small)


def _meetings(counts: Matrix, view: str, pairs: Pairs) -> Iterator[tuple[str, Floats]]:
    there = _ones(counts)
    rare = there @ sparse.diags_array(1 / np.sqrt(np.maximum(_degrees(counts), 1)))
    yield f"{view}_cosine", dots(unit_rows(rare), pairs)
    yield f"{view}_shared", dots(there, pairs)
    yield f"{view}_rarity", dots(rare, pairs)


def _sites(counts: Matrix, pairs: Pairs) -> Iterator[tuple[str, Floats]]:
    rare, there = by_rarity(counts), _ones(counts)
    yield "site_cosine", dots(unit_rows(rare), pairs)
    yield "site_shared", dots(there, pairs)
    rarity = np.log(max(counts.shape[0], 2) / np.maximum(_degrees(counts), 1))
    yield "site_rarity", dots(there @ sparse.diags_array(rarity), pairs, there)
    yield "site_surprise", _surprise(counts, pairs)
    yield "site_latent_cosine", _latent_cosine(unit_rows(rare), pairs)


def _surprise(counts: Matrix, pairs: Pairs) -> Floats:
    """How much likelier one device's visits are when the other's tastes are known, in nats; the mean of both ways.

    A visit goes with OWN_SHARE to a site by the other device's shares, else by everybody's.
    """
    everybody = np.asarray(counts.sum(axis=0)).ravel() / max(counts.sum(), 1.0)
    damped = counts.log1p()
    lift = _shares(damped) @ sparse.diags_array(OWN_SHARE / (1 - OWN_SHARE) / np.maximum(everybody, 1e-12))
    lift = lift.log1p()
    visits = np.asarray(damped.sum(axis=1)).ravel() * np.log(1 - OWN_SHARE)
    one = dots(lift, pairs, damped) + visits[pairs.right]
    two = dots(lift, _turned(pairs), damped) + visits[pairs.left]
    return np.asarray((one + two) / 2)


def _latent_cosine(rows: Matrix, pairs: Pairs) -> Floats:
    """Likeness of taste where no site is shared: a cosine in the space of the strongest directions of all devices."""
    size = min(LATENT, min(rows.shape) - 1)
    if size < 1:
        return np.full(len(pairs.left), np.nan)
    left, strength, _ = svds(rows, k=size, v0=np.ones(min(rows.shape)), solver="arpack")
    place = left * strength
    place /= np.maximum(np.linalg.norm(place, axis=1, keepdims=True), 1e-12)
    return np.asarray((place[pairs.left] * place[pairs.right]).sum(axis=1).round(6))


def _hours(counts: Matrix, pairs: Pairs) -> Iterator[tuple[str, Floats]]:
    """The counts' columns are hours in alphabetical order, so a neighbouring hour is not a neighbouring column."""
    shares = np.asarray(_shares(counts).todense())
    length = np.maximum(np.linalg.norm(shares, axis=1), 1e-12)
    yield "hour_cosine", (shares[pairs.left] * shares[pairs.right]).sum(axis=1) / length[pairs.left] / length[pairs.right]


def _agents(profiles: Profiles, pairs: Pairs) -> Iterator[tuple[str, Floats]]:
    for view in ("user_agent", "system", "locale", "country"):
        counts = profiles.counts[view]
        yield f"{view}_same", dots(unit_rows(counts), pairs)
    agent = _ones(profiles.counts["user_agent"])
    held = _degrees(agent)
    yield "user_agent_rarity", dots(agent @ sparse.diags_array(np.log(max(len(profiles), 2) / np.maximum(held, 1))), pairs, agent)
    is_app = np.array([name.startswith("device_id:") for name in profiles.devices])
    yield "apps", is_app[pairs.left] * 1.0 + is_app[pairs.right]


def _spans(profiles: Profiles, pairs: Pairs) -> Iterator[tuple[str, Floats]]:
    first, last = profiles.first, profiles.last
    overlap = np.minimum(last[pairs.left], last[pairs.right]) - np.maximum(first[pairs.left], first[pairs.right])
    yield "days_together", np.asarray(overlap)
    yield "days_cosine", dots(unit_rows(_ones(profiles.counts["day"])), pairs)
    requests = np.asarray(profiles.counts["hour"].sum(axis=1)).ravel()
    yield from _both("requests", requests[pairs.left], requests[pairs.right])
    sites = np.diff(profiles.counts["site"].indptr).astype(np.float64)
    yield from _both("sites", sites[pairs.left], sites[pairs.right])
    networks = np.diff(profiles.counts["network"].indptr).astype(np.float64)
    yield from _both("networks", networks[pairs.left], networks[pairs.right])


def _both(name: str, one: Floats, other: Floats) -> Iterator[tuple[str, Floats]]:
    yield f"{name}_least", np.minimum(one, other)
    yield f"{name}_most", np.maximum(one, other)


def _turned(pairs: Pairs) -> Pairs:
    return Pairs(pairs.right, pairs.left)


def _degrees(counts: Matrix) -> npt.NDArray[np.int64]:
    return np.bincount(counts.indices, minlength=counts.shape[1])


def _ones(counts: Matrix) -> Matrix:
    return sparse.csr_matrix((counts != 0).astype(np.float64))


def _shares(counts: Matrix) -> Matrix:
    total = np.asarray(counts.sum(axis=1)).ravel()
    return sparse.csr_matrix(sparse.diags_array(1 / np.maximum(total, 1e-12)) @ counts)
