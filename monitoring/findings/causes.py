"""What is behind the series that are off? One harm moves many of them, and is one finding with its cause."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from monitoring.findings import told
from monitoring.findings.marks import Mark
from whence.contracts.events import EVENTS, LINK_KEYS
from whence.contracts.models import MODELS

MISSING_DAY, CUT_SHORT, DUPLICATES = "missing_day", "late_delivery", "duplicate_delivery"
UNITS, OUTAGE, FLOOD, SIGNALS, MIX = "unit_change", "tracker_outage", "bot_flood", "signal_loss", "mix_shift"
CONTRACT, VALUES, CONTRADICTION, OVER_MERGE = "contract_break", "new_values", "contradicting_labels", "over_merge"
FEATURE, DRIFT, PRIOR, REGRESSION, SILENT = "feature_break", "input_drift", "prior_shift", "model_regression", "model_silent"
TORN, REFERENCE = "torn_log", "no_reference"

TENFOLD, HALF_TENFOLD = 1.0, 0.5
SILENCE = 0.1
"""A part that brings less than this share of what it should is silent."""
DOUBLE = math.log(2)
MANY_KEYS = 2
"""So many kinds of identifiers that go missing at once are no fault of one column."""
NAMED = {
    "hours_since_last": CUT_SHORT,
    "late_share": CUT_SHORT,
    "silent_hours": CUT_SHORT,
    "copied_share": DUPLICATES,
    "replayed_share": DUPLICATES,
    "far_amount_share": UNITS,
    "quarantined_share": CONTRACT,
    "duplicate_share": DUPLICATES,
    "contradicted": CONTRADICTION,
    "largest": OVER_MERGE,
    "links": OVER_MERGE,
    "true_precision": OVER_MERGE,
    "decisions": SILENT,
    "undecided": SILENT,
    "torn_files": TORN,
    "unreadable_decisions": TORN,
    "unreferenced": REFERENCE,
    "infinite_share": FEATURE,
    "drifted_share": DRIFT,
}
"""Measures that name their cause by themselves."""
OF_DEVICES = ("null_share", "consent_share", "match_rate", "known_share", "identifiers_per_event", "unseen_share")
"""Measures that move when other devices than before bring the rows."""
INPUTS = ("null_share", "zero_share", "unseen_share", "infinite_share", "drifted_share", "psi")
"""Measures of what a model sees."""
EARLY = "corrected_observed_over_expected"
"""Told by labels that still ripen: a warning, until ripe ones say it, too."""
FACTORS = ("observed_over_expected", EARLY)
LEVELLED = (*FACTORS, "calibration_error", "log_loss", "brier")
"""Measures that are off where the level of probabilities is, though the order may hold."""


@dataclass(frozen=True)
class Group:
    """The series that one harm moved."""

    cause: str
    led: tuple[Mark, ...]
    """What the harm itself shows in; the first tells it best."""
    company: tuple[Mark, ...] = ()
    """What follows from it."""

    @property
    def marks(self) -> tuple[Mark, ...]:
        """All of them."""
        return (*self.led, *self.company)

    @property
    def lead(self) -> Mark:
        """The series that tells it best."""
        return self.led[0]

    @property
    def is_about_data(self) -> bool:
        """It shows in what comes in, so that what models and credit do may follow from it."""
        return self.lead.check.model in EVENTS and self.cause not in (CONTRADICTION, CUT_SHORT)


def groups(found: Sequence[Mark]) -> list[Group]:
    """The marks of a day by what is behind them: causes that show in the data first, with what follows from them."""
    rest, named = list(found), []
    for cause, detect in _DETECTORS:
        if led := detect([mark for mark in rest if mark.check.model in EVENTS]):
            named.append(Group(cause, tuple(led)))
            rest = [mark for mark in rest if mark not in led]
    named, rest = _with_company(named, rest)
    others = _by_metric([mark for mark in rest if mark.check.model not in MODELS])
    return [*named, *others, *_of_models([mark for mark in rest if mark.check.model in MODELS])]


def _missing(marks: Sequence[Mark]) -> list[Mark]:
    """Everything about tables that have no rows, which is first of all that."""
    whole = [mark for mark in marks if _is(mark, "rows") and mark.check.segment == "all" and not mark.check.value]
    empty = {mark.check.model for mark in whole}
    return [*whole, *(mark for mark in marks if mark.check.model in empty and mark not in whole)]


def _named(cause: str) -> Callable[[Sequence[Mark]], list[Mark]]:
    """Marks of measures that name this cause by themselves."""
    return lambda marks: sorted((mark for mark in marks if NAMED.get(mark.check.metric) == cause), key=_weight)


def _doubled(marks: Sequence[Mark]) -> list[Mark]:
    """Rows that were dropped as known already, or twice as many of a whole table, from devices like those of any day."""
    whole = [mark for mark in marks if _is(mark, "rows") and mark.check.segment == "all"]
    others = {mark.check.model for mark in marks if mark.check.metric in OF_DEVICES}
    twice = [mark for mark in whole if abs(mark.distance - DOUBLE) < 0.1 and mark.check.model not in others]
    return [*_named(DUPLICATES)(marks), *twice]


def _rescaled(marks: Sequence[Mark]) -> list[Mark]:
    found = [mark for mark in marks if _is(mark, "log10_amount") and abs(mark.distance) >= HALF_TENFOLD]
    return [*sorted(found, key=lambda mark: -mark.check.n), *_named(UNITS)(marks)]


def _silent(marks: Sequence[Mark]) -> list[Mark]:
    """Parts of a table that fell silent, the largest first, and the whole with them."""
    parts = [mark for mark in marks if _is(mark, "rows") and (mark.check.value or 0) <= SILENCE * mark.expected]
    return sorted((mark for mark in parts if mark.check.segment != "all"), key=lambda mark: -mark.expected)


def _flooded(marks: Sequence[Mark]) -> list[Mark]:
    """One network brings much, or many more touches come from devices of another kind while nobody does more."""
    networks = [mark for mark in marks if _is(mark, "top_network_share") and mark.distance > 0]
    more = [mark for mark in marks if _is(mark, "rows") and mark.check.model == "touches" and mark.distance > 0]
    devices = [mark for mark in marks if mark.check.metric in OF_DEVICES]
    kinds = {mark.check.model for mark in devices}
    busy = any(_is(mark, "rows") and mark.check.model != "touches" and mark.distance > 0 for mark in marks)
    is_flood = more and kinds == {"touches"} and not busy
    return [*networks, *(sorted(more, key=_weight) if is_flood else []), *(devices if is_flood else [])]


def _signals_lost(marks: Sequence[Mark]) -> list[Mark]:
    """Several kinds of identifiers went missing together."""
    keys = [mark for mark in marks if _is(mark, "null_share") and mark.check.segment in (*LINK_KEYS, "click_id")]
    fewer = [mark for mark in marks if mark.check.metric in ("identifiers_per_event", "consent_share")]
    if len({mark.check.segment for mark in keys}) < MANY_KEYS and not (fewer and keys):
        return []
    return [*sorted(fewer, key=_weight), *sorted(keys, key=_weight)]


def _mixed(marks: Sequence[Mark]) -> list[Mark]:
    """Parts of a table moved against each other."""
    parts = [mark for mark in marks if _is(mark, "rows") and mark.check.segment != "all"]
    ups, downs = [mark for mark in parts if mark.distance > 0], [mark for mark in parts if mark.distance < 0]
    return sorted(parts, key=_weight) if ups and downs else []


_DETECTORS: Sequence[tuple[str, Callable[[Sequence[Mark]], list[Mark]]]] = (
    (MISSING_DAY, _missing),
    (DUPLICATES, _doubled),
    (UNITS, _rescaled),
    (CUT_SHORT, _named(CUT_SHORT)),
    (CONTRACT, _named(CONTRACT)),
    (FLOOD, _flooded),
    (SIGNALS, _signals_lost),
    (OUTAGE, _silent),
    (MIX, _mixed),
)


def _with_company(named: Sequence[Group], rest: Sequence[Mark]) -> tuple[list[Group], list[Mark]]:
    """Each cause with the marks that follow from it: those of its tables, and, for the first one, those downstream."""
    full, left = [], list(rest)
    for place, group in enumerate(named):
        tables = {mark.check.model for mark in group.led}
        near = [mark for mark in left if mark.check.model in tables or (place == 0 and mark.check.model not in EVENTS)]
        parts = {(mark.check.model, part_of(mark)) for mark in group.led} - {(table, "all") for table in tables}
        company = [mark for mark in near if not _stands_alone(mark) or (mark.check.model, part_of(mark)) in parts]
        full.append(replace(group, company=tuple(company)))
        left = [mark for mark in left if mark not in company]
    return full, left


def part_of(mark: Mark) -> str:
    """The part of its table that a series is about, as `channel=social`; all of it, unless its segment names one."""
    named = mark.check.segment.rpartition(":")[2]
    return named if mark.check.model in EVENTS and "=" in named else "all"


def _stands_alone(mark: Mark) -> bool:
    """What stops a publication by itself is hidden behind no other harm, unless it only says that devices are others.

    What is left of a part that fell silent, or was flooded, is odd in every other way, too.
    """
    return mark.rule.acts == told.STOP and mark.is_gross and mark.check.metric not in OF_DEVICES


def _by_metric(marks: Sequence[Mark]) -> list[Group]:
    """One finding for each measure of a table, whatever number of its parts is off."""
    found: dict[tuple[str, str], list[Mark]] = {}
    for mark in marks:
        found.setdefault((mark.check.model, mark.check.metric), []).append(mark)
    return [Group(NAMED.get(metric, ""), tuple(sorted(each, key=_weight))) for (_, metric), each in found.items()]


def _of_models(marks: Sequence[Mark]) -> list[Group]:
    """What is off in a model by itself: its log, its inputs, or its level."""
    found = []
    for model in MODELS:
        mine = [mark for mark in marks if mark.check.model == model]
        inputs = [mark for mark in mine if mark.check.metric in INPUTS]
        quality = [mark for mark in mine if mark.check.metric in (*LEVELLED, "roc_auc")]
        found += _by_metric([mark for mark in mine if mark not in inputs and mark not in quality])
        if inputs:
            cause = DRIFT if all(mark.check.metric in ("drifted_share", "psi") for mark in inputs) else FEATURE
            found.append(Group(cause, tuple(sorted(inputs, key=_weight)), tuple(quality)))
        elif quality:
            order_holds = all(mark.check.metric != "roc_auc" for mark in quality)
            leading = sorted(quality, key=lambda mark: (mark.check.metric not in FACTORS, _weight(mark)))
            found.append(Group(PRIOR if order_holds and leading[0].check.metric in FACTORS else "", tuple(leading)))
    return found


def _is(mark: Mark, metric: str) -> bool:
    return mark.check.metric == metric


def _weight(mark: Mark) -> float:
    """The order in which marks are told: the surest first, those that a rule alone decides before all."""
    return -math.inf if mark.sigmas is None else -mark.sigmas
