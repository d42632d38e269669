"""Many gates at once: pairs of models whose scores are drawn, so that what they are worth is known.

A person's rows share a taste, and the two models' errors share a part, as those of two models of one recipe do. A model
sees the true log-odds through noise, and says what is right to say then, so that it is calibrated; how much noise makes it
better by the declared effect is found by bisection on many rows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from statistics import median

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from infra.bench_gate.made import AS_OF, sound
from registry.gate import NO_DECISION, PROMOTE, Evaluation, Verdict, judge
from registry.policy import Policy, load_policy
from whence.contracts.models import CONVERSION_VALUE, IDENTITY_RANKER
from whence.measures import log_losses

Floats = npt.NDArray[np.float64]
TASTE = 0.5
"""A person's own log-odds, as a standard deviation."""
MANY = 400_000
PILOTS = 20


@dataclass(frozen=True)
class Kind:
    """What the rows of a model look like, and how well its champion sees them."""

    model: str
    people: int
    each: int
    """Rows a person."""
    offset: float
    spread: float
    """Standard deviation of what can be known of a row's log-odds."""
    noise: float
    """The champion's."""
    query: int = 1
    shared: float = 0.95
    """Of the variance of two models' errors, the part that both have: two seeds of a recipe are that alike."""


KINDS = (
    Kind(CONVERSION_VALUE, people=500, each=4, offset=-2.0, spread=1.2, noise=0.8),
    Kind(IDENTITY_RANKER, people=100, each=8, offset=-2.5, spread=3.0, noise=1.0, query=4, shared=0.7),
)
"""About the sizes of the demo: a champion's held-out rows are some thousands."""


@dataclass(frozen=True)
class Rate:
    """How often of how many, with its 95 % interval (Wilson)."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        """The share."""
        return self.hits / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true share may lie."""
        z, n, p = 1.96, self.of, self.value
        middle, half = p + z * z / (2 * n), z * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
        return max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))


def policy_of(kind: Kind) -> Policy:
    """The model's policy as it stands; its slices are those of the simulation."""
    return replace(load_policy(kind.model), must_judge=(), slices=("segment",))


def pair(kind: Kind, people: int, noise: float, seed: int) -> tuple[Evaluation, Evaluation]:
    """A candidate of this much noise, and the champion, on the same drawn rows."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), kind.each)
    known = kind.spread * rng.normal(size=len(person))
    odds = kind.offset + known + TASTE * rng.normal(size=people)[person]
    labels = (rng.random(len(person)) < expit(odds)).astype(np.float64)
    alike = rng.normal(size=len(person))
    seen = [
        _said(kind, known, each, np.sqrt(kind.shared) * alike + np.sqrt(1 - kind.shared) * rng.normal(size=len(person)))
        for each in (noise, kind.noise)
    ]
    rate = float(expit(kind.offset + np.hypot(kind.spread, TASTE) * rng.normal(size=4000)).mean())
    candidate = Evaluation(
        bundle="candidate",
        as_of=AS_OF,
        labels=labels,
        probability=seen[0],
        baseline=np.full(len(labels), rate),
        persons=person.astype(str),
        slices={"segment": np.array(["a", "b", "c", "d"])[rng.integers(0, 4, len(labels))]},
        queries=(np.arange(len(labels)) // kind.query).astype(str) if kind.query > 1 else None,
        label_age_days=np.full(len(labels), 4.0),
        most_candidates=20 if kind.model == IDENTITY_RANKER else None,
    )
    return candidate, replace(candidate, bundle="champion", probability=seen[1])


def _said(kind: Kind, known: Floats, noise: float, luck: Floats) -> Floats:
    """What is right to say of a row whose log-odds are seen through noise: shrunk, and averaged over what is not known."""
    share = kind.spread**2 / (kind.spread**2 + noise**2)
    unknown = kind.spread**2 * (1 - share) + TASTE**2
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    middle = kind.offset + share * (known + noise * luck)
    said = expit(middle[:, None] + np.sqrt(unknown) * nodes) @ (weights / weights.sum())
    return np.clip(np.asarray(said, dtype=np.float64), 1e-6, 1 - 1e-6)


@cache
def better_noise(kind: Kind) -> tuple[float, float]:
    """The noise of a candidate that is better by the declared effect, and that effect in nats a row."""
    policy = policy_of(kind)
    low, high, margin = 0.0, kind.noise, 0.0
    for _ in range(12):
        middle = (low + high) / 2
        candidate, champion = pair(kind, MANY // kind.each, middle, seed=0)
        loss, old, base = (
            float(log_losses(candidate.labels, each).mean())
            for each in (candidate.probability, champion.probability, candidate.baseline)
        )
        margin = max(policy.inferior_margin * old, policy.inferior_saving * (base - old))
        low, high = (middle, high) if old - loss > margin else (low, middle)
    return (low + high) / 2, margin


def gate(kind: Kind, people: int, noise: float, seed: int) -> Verdict:
    """One gate, of the real judge."""
    candidate, champion = pair(kind, people, noise, seed)
    return judge(candidate, champion, policy_of(kind), sound(candidate))


def decisions(kind: Kind, people: int, noise: float, gates: int, first_seed: int) -> Counter[str]:
    """What came of so many gates."""
    return Counter(gate(kind, people, noise, first_seed + each).decision for each in range(gates))


def deciding_people(kind: Kind) -> int:
    """How many people give the rows that a verdict asks for, by the median of those that could not decide."""
    noise, _ = better_noise(kind)
    asked = [
        verdict.rows_needed for seed in range(PILOTS) if (verdict := gate(kind, kind.people, noise, seed)).decision == NO_DECISION
    ]
    rows = median(asked) if asked else kind.people * kind.each
    return max(int(np.ceil(rows / kind.each)), kind.people)


def twins(kind: Kind, people: int, gates: int) -> Rate:
    """How often one of two models of the same worth and day is promoted over the other."""
    return Rate(decisions(kind, people, kind.noise, gates, 10_000)[PROMOTE], gates)


def found(kind: Kind, people: int, gates: int) -> Rate:
    """How often a model that is better by the declared effect is promoted."""
    return Rate(decisions(kind, people, better_noise(kind)[0], gates, 20_000)[PROMOTE], gates)
