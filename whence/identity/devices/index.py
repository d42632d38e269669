"""Candidates: devices that were on the same networks, weighted by how private each network is, the best few for each device."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whence.identity.devices.profiles import Expr, Matrix, Profiles, ask, by_rarity, dots, keep, unit_rows
from whence.identity.records.table import Codes, Pairs

Ints = npt.NDArray[np.int64]

MAX_DEGREE = 250
"""A network with more devices (an office tower, a carrier) says too little, and would cost its square in pairs."""
MAX_CANDIDATES = 30
SITE_WEIGHT = 2.0
UNIT = 1_000_000


@dataclass(frozen=True)
class Candidates:
    """The pairs to be compared, and what was left out."""

    pairs: Pairs
    joined: int
    """Pairs that shared a network, before the best few were kept."""
    capped: int
    """Networks that too many devices use."""

    def per_device(self, devices: int) -> float:
        """Candidates that the average device has."""
        return 2 * len(self.pairs.left) / max(1, devices)


def candidates(profiles: Profiles, max_degree: int = MAX_DEGREE, max_candidates: int = MAX_CANDIDATES) -> Candidates:
    """The pairs of devices that were on a network together, the likeliest few for each device.

    A pair scores the cosine of its networks, each weighted by how private it is (1 / sqrt(devices), Adamic–Adar's
    resource-allocation form), and of its sites by rarity. It is kept when it is among the `max_candidates` best
    of either device.
    """
    entries = _postings(profiles.counts["network"])
    with duckdb.connect(config={"threads": 1}) as con:
        con.register("postings", entries)
        postings = ibis.table(ibis.Schema.from_pyarrow(entries.schema), name="postings")
        kept = keep(con, "weighted", weighted(postings, max_degree))
        met = ask(con, together(kept))
        scored = met.set_column(2, "score", _with_sites(met, profiles))
        con.register("scored", scored)
        best = ask(con, nearest(ibis.table(ibis.Schema.from_pyarrow(scored.schema), name="scored"), max_candidates))
        capped = ask(con, crowded(postings, max_degree))["networks"][0].as_py()
    left, right = (best[side].to_numpy().astype(np.int32) for side in ("left", "right"))
    order = np.lexsort((right, left))
    return Candidates(Pairs(left[order], right[order]), met.num_rows, int(capped))


def weighted(postings: Expr, max_degree: int) -> Expr:
    """The networks of each device that are neither its own alone nor too crowded: device, token, weight; squares sum to 1."""
    degrees = postings.group_by("token").agg(degree=postings.count())
    degrees = degrees.filter(degrees.degree > 1, degrees.degree <= max_degree)
    told = postings.join(degrees, "token")
    told = told.mutate(weight=(told.n + 1.0).ln() / told.degree.sqrt())
    square = (told.weight * told.weight * UNIT).round().cast("int64")
    norms = told.group_by("device").agg(norm=square.sum())
    both = told.join(norms, "device")
    return both.select("device", "token", weight=both.weight / (both.norm / UNIT).sqrt())


def together(weights: Expr) -> Expr:
    """A row for each pair with a network in common: left, right, score in millionths, an integer so that order says nothing."""
    ours, theirs = weights.rename(left="device"), weights.select("token", right="device", other="weight")
    met = ours.join(theirs, "token").filter(lambda both: both.left < both.right)
    return met.group_by(["left", "right"]).agg(score=(met.weight * met.other * UNIT).round().cast("int64").sum().cast("int64"))


def nearest(scored: Expr, max_candidates: int) -> Expr:
    """The pairs that are among the best of either device: left, right."""
    one = scored.select(device=scored.left, other=scored.right, score=scored.score)
    two = scored.select(device=scored.right, other=scored.left, score=scored.score)
    both = ibis.union(one, two)
    order = ibis.window(group_by="device", order_by=[both.score.desc(), both.other])
    best = both.mutate(place=ibis.row_number().over(order)).filter(lambda rows: rows.place < max_candidates)
    return best.select(left=ibis.least(best.device, best.other), right=ibis.greatest(best.device, best.other)).distinct()


def crowded(postings: Expr, max_degree: int) -> Expr:
    """How many networks too many devices use: networks."""
    degrees = postings.group_by("token").agg(degree=postings.count())
    over = degrees.filter(degrees.degree > max_degree)
    return over.aggregate(networks=over.count())


def recall(found: Pairs, truth: Pairs, devices: int) -> float:
    """The share of true pairs that are among the candidates; NaN without any.

    >>> a = np.array([0, 1], np.int32)
    >>> recall(Pairs(a[:1], a[1:]), Pairs(np.array([0, 0], np.int32), np.array([1, 2], np.int32)), 3)
    0.5
    """
    if not len(truth.left):
        return float("nan")
    return float(np.isin(_keys(truth.left, truth.right, devices), _keys(found.left, found.right, devices)).mean())


def _keys(left: Codes, right: Codes, devices: int) -> Ints:
    return left.astype(np.int64) * devices + right


def _postings(counts: Matrix) -> pa.Table:
    entries = counts.tocoo()
    return pa.table({"device": entries.row.astype(np.int32), "token": entries.col.astype(np.int64), "n": entries.data})


def _with_sites(met: pa.Table, profiles: Profiles) -> pa.Array:
    sites = unit_rows(by_rarity(profiles.counts["site"]))
    likeness = dots(sites, Pairs(met["left"].to_numpy(), met["right"].to_numpy()))
    return pa.array(met["score"].to_numpy() + np.round(SITE_WEIGHT * UNIT * likeness).astype(np.int64))
