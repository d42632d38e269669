"""What the service counts, for Prometheus: of one process, or of several that share a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from serving.web.processes import SHARED_METRICS

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
REASONS = ((" is stale", "stale"), (" is unknown", "unknown"), (" has no champion", "no_champion"), ("be logged", "not_logged"))
OTHER = "other"


Kind = TypeVar("Kind", Counter, Gauge, Histogram)


@dataclass(frozen=True)
class Family(Generic[Kind]):
    """A metric with labels; a child is looked up once, since the client takes as long for that as for counting."""

    metric: Kind
    children: dict[tuple[str, ...], Kind] = field(default_factory=dict)

    def labels(self, *values: str) -> Kind:
        """The child with these labels."""
        if (child := self.children.get(values)) is None:
            child = self.children[values] = self.metric.labels(*values)
        return child


@dataclass(frozen=True)
class Metrics:
    """The counters by name."""

    registry: CollectorRegistry
    answers: Family[Counter]
    seconds: Family[Histogram]
    decisions: Family[Counter]
    lost: Family[Counter]
    degraded: Family[Counter]
    stale: Family[Counter]
    unknown: Family[Counter]
    refused: Family[Counter]
    failed: Family[Counter]
    swaps: Family[Counter]
    swap_failed: Family[Counter]
    poll_failed: Counter
    by_bundle: Family[Counter]
    shadow: Family[Counter]
    champion: Family[Gauge]
    waiting: Gauge

    @classmethod
    def new(cls) -> Metrics:
        """Metrics of one service, in a registry of their own."""
        own = CollectorRegistry()

        def counter(name: str, what: str, *labels: str) -> Family[Counter]:
            return Family(Counter(name, what, labels, registry=own))

        seconds = Histogram("whence_answer_seconds", "Time to an answer.", ["route"], registry=own, buckets=SECONDS)
        epoch = Gauge(
            "whence_champion_epoch", "The journal's epoch that serves.", ["model"], registry=own, multiprocess_mode="livemin"
        )
        return cls(
            own,
            counter("whence_answers_total", "Requests answered.", "route", "status"),
            Family(seconds),
            counter("whence_decisions_total", "Scored rows in the decision log.", "model"),
            counter("whence_decisions_lost_total", "Scored rows that could not be logged.", "model"),
            counter("whence_degraded_total", "Answers that had to do without something.", "reason"),
            counter("whence_stale_values_total", "Feature values that were too old to be used.", "view"),
            counter("whence_unknown_values_total", "Feature values that were not there.", "view"),
            counter("whence_refused_total", "Requests that were turned away: shed, late, or over a token's rate.", "reason"),
            counter("whence_failed_questions_total", "Questions of a batch that failed; the batch was answered.", "route"),
            counter("whence_swaps_total", "Champions taken into service.", "model"),
            counter("whence_swap_failed_total", "Champions that could not be loaded; the last good one serves.", "model"),
            Counter("whence_journal_poll_failed_total", "Looks at the journal that failed.", registry=own),
            counter("whence_scored_by_total", "Questions by the bundle that scored them.", "model", "bundle", "role"),
            counter("whence_shadow_total", "Questions mirrored to a challenger, by what came of it.", "model", "outcome"),
            Family(epoch),
            Gauge("whence_log_waiting_bytes", "Decisions that wait for the disk.", registry=own, multiprocess_mode="livesum"),
        )

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answer, and its time."""
        self.answers.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def totals(self) -> dict[tuple[str, str], int]:
        """Answers of this process by route and status; a question that failed in a batch is one of status 500."""
        counts = dict[tuple[str, str], int]()
        for metric in (*self.answers.metric.collect(), *self.failed.metric.collect()):
            for sample in metric.samples:
                if sample.name.endswith("_total"):
                    key = sample.labels["route"], sample.labels.get("status", "500")
                    counts[key] = counts.get(key, 0) + int(sample.value)
        return counts

    def scored_by(self, model: str, bundle: str, role: str) -> None:
        """Count a question by who scored it."""
        self.by_bundle.labels(model, bundle[:12], role).inc()

    def mirrored(self, model: str, outcome: str) -> None:
        """Count a question to be asked again of both bundles of a trial."""
        self.shadow.labels(model, outcome).inc()

    def doubts(self, degraded: Iterable[str], stale: Mapping[str, int], unknown: Mapping[str, int]) -> None:
        """Count what an answer had to do without, by kind; and the values that were too old or not there, by view."""
        for note in degraded:
            self.degraded.labels(kind(note)).inc()
        for counter, views in ((self.stale, stale), (self.unknown, unknown)):
            for view, values in views.items():
                counter.labels(view).inc(values)

    def logged(self, model: str, rows: int, is_written: bool) -> None:
        """Count what became of scored rows; the decision log's thread says so."""
        (self.decisions if is_written else self.lost).labels(model).inc(rows)

    def swapped(self, model: str, outcome: str) -> None:
        """Count what the follower did."""
        if outcome == "poll_failed":
            self.poll_failed.inc()
        else:
            (self.swaps if outcome == "done" else self.swap_failed).labels(model).inc()

    def show(self) -> bytes:
        """The text that Prometheus reads; of all workers where there are several."""
        if SHARED_METRICS not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)


@lru_cache(1024)
def kind(note: str) -> str:
    """The kind of a note on an answer: notes name orders and times, and a label may not.

    >>> kind("network_features is stale: 132 h old"), kind("order 5 was told before, and counts once")
    ('stale', 'other')
    """
    return next((word for ending, word in REASONS if ending in note), OTHER)


def kinds(notes: Sequence[str]) -> str:
    """The kinds of an answer's notes, each once, with commas."""
    return ",".join(sorted({kind(note) for note in notes})) if notes else ""
