"""What the service counts, for Prometheus: of one process, or of several that share a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from serving.processes import SHARED_METRICS

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
REASONS = ((" is stale", "stale"), (" is unknown", "unknown"), (" has no champion", "no_champion"), ("be logged", "not_logged"))
OTHER = "other"


@dataclass(frozen=True)
class Metrics:
    """The counters by name; a child with labels is made once, and kept."""

    registry: CollectorRegistry
    answers: Counter
    seconds: Histogram
    decisions: Counter
    lost: Counter
    degraded: Counter
    stale: Counter
    unknown: Counter
    refused: Counter
    swaps: Counter
    swap_failed: Counter
    poll_failed: Counter
    by_bundle: Counter
    shadow: Counter
    champion: Gauge
    waiting: Gauge
    _answered: dict[tuple[str, int], Counter] = field(default_factory=dict)
    _timed: dict[str, Histogram] = field(default_factory=dict)
    _by_bundle: dict[tuple[str, str, str], Counter] = field(default_factory=dict)

    @classmethod
    def new(cls) -> Metrics:
        """Metrics of one service, in a registry of their own."""
        own = CollectorRegistry()
        counter, gauge = partial(Counter, registry=own), partial(Gauge, registry=own)
        return cls(
            own,
            counter("whence_answers_total", "Requests answered.", ["route", "status"]),
            Histogram("whence_answer_seconds", "Time to an answer.", ["route"], registry=own, buckets=SECONDS),
            counter("whence_decisions_total", "Scored rows in the decision log.", ["model"]),
            counter("whence_decisions_lost_total", "Scored rows that could not be logged.", ["model"]),
            counter("whence_degraded_total", "Answers that had to do without something.", ["reason"]),
            counter("whence_stale_values_total", "Feature values that were too old to be used.", ["view"]),
            counter("whence_unknown_values_total", "Feature values that were not there.", ["view"]),
            counter("whence_refused_total", "Requests that were turned away: shed, late, or over a token's rate.", ["reason"]),
            counter("whence_swaps_total", "Champions taken into service.", ["model"]),
            counter("whence_swap_failed_total", "Champions that could not be loaded; the last good one serves.", ["model"]),
            counter("whence_journal_poll_failed_total", "Looks at the journal that failed."),
            counter("whence_scored_by_total", "Questions by the bundle that scored them.", ["model", "bundle", "role"]),
            counter("whence_shadow_total", "Questions mirrored to a challenger, by what came of it.", ["model", "outcome"]),
            gauge("whence_champion_epoch", "The journal's epoch that serves.", ["model"], multiprocess_mode="livemin"),
            gauge("whence_log_waiting_bytes", "Decisions that wait for the disk.", multiprocess_mode="livesum"),
        )

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answer, and its time."""
        if (counter := self._answered.get((route, status))) is None:
            counter = self._answered[route, status] = self.answers.labels(route, str(status))
        if (timed := self._timed.get(route)) is None:
            timed = self._timed[route] = self.seconds.labels(route)
        counter.inc()
        timed.observe(seconds)

    def scored_by(self, model: str, bundle: str, role: str) -> None:
        """Count a question by who scored it."""
        if (counter := self._by_bundle.get((model, bundle, role))) is None:
            counter = self._by_bundle[model, bundle, role] = self.by_bundle.labels(model, bundle[:12], role)
        counter.inc()

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


def kind(note: str) -> str:
    """The kind of a note on an answer: notes name orders and times, and a label may not.

    >>> kind("network_features is stale: 132 h old"), kind("order 5 was told before, and counts once")
    ('stale', 'other')
    """
    return next((word for ending, word in REASONS if ending in note), OTHER)
