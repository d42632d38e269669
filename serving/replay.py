"""Served decisions once more, by the offline path: what the service computed must be what training would compute, bit by bit.

A decision of identity-ranker is replayed from its event in the tables: the features as known at the instant at which it was
served, by the as-of join that training uses, the same evidence functions on data frames, the bundle that served.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from serving.daily import history
from whence.bundle import BundleError, Scorer, load_bundle
from whence.contracts.models import IDENTITY_RANKER
from whence.contracts.times import Window
from whence.encoding import encode
from whence.identity import evidence
from whence.identity.signals import strongest
from whence.lake import Lake

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

Numbers = npt.NDArray[np.float64]
History = Callable[[pd.DataFrame, tuple[str, ...]], pd.DataFrame]
"""features.historical for some settings: rows and views in, the same rows with feature columns out."""

SAMPLE_ROWS = 100_000
MOST_TOLD = 100
"""Differences that are told one by one; all are counted."""
OF_THE_SIGNAL = ("agent_place", "agent_overlap", "same_locale", "same_country", "hour_gap")
"""Inputs that rest on what the signal itself says."""
DAY = timedelta(days=1)

LATE = "materialised late: served with what was known a day before"
ABSENT = "the online store did not have it: materialised late, or it was down"
PUSHED = "fresh counts were pushed, which the tables do not have"
GONE = "the tables no longer have what was served: they were made again since, or it aged out there"
OTHER_EVENT = "the event in the tables is not the signal that was asked about"
CODE = "nothing of the data explains it: the code of the evidence has changed since"
SCORING = "all inputs are equal: the engine or the calibrator scores otherwise than it did"


@dataclass(frozen=True)
class Difference:
    """A cell that the two paths do not agree on."""

    decision_id: str
    subject: str
    option: str
    feature: str
    """An input of the model, `raw`, or `probability`."""
    served: float | None
    offline: float | None
    cause: str
    """The likely one."""


@dataclass(frozen=True)
class ReplayReport:
    """What a replay found."""

    rows: int = 0
    """Scored options that were replayed."""
    cells: int = 0
    """Inputs, raw scores and probabilities that were compared."""
    different: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Rows that could not be replayed, by reason."""
    causes: Mapping[str, int] = field(default_factory=dict)
    """Cells that differ, by likely cause."""
    differences: tuple[Difference, ...] = ()
    """The first of them."""


def replay(settings: Settings, day: date, sample_rows: int = SAMPLE_ROWS) -> ReplayReport:
    """Replay the day's served decisions of identity-ranker, or a sample of about `sample_rows` rows: the same at each call."""
    import features
    from serving import decision_log

    lines = decision_log.read(settings.decision_log, str(day)).rows
    rows = sampled([line for line in lines if line["model"] == IDENTITY_RANKER], sample_rows)
    signals = history.signals(Lake.of(settings), Window(day, day))

    def bundle(digest: str) -> Scorer:
        return load_bundle(settings.bundles, digest)

    report = replayed(rows, signals, lambda asked, views: features.historical(settings, asked, views), bundle)
    others = Counter(f"{line['model']} is not replayed" for line in lines if line["model"] != IDENTITY_RANKER)
    return _sum(report, ReplayReport(skipped=dict(others)))


def sampled(rows: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """Whole decisions of `most` rows about, by their ids, which are random."""
    if len(rows) <= most:
        return list(rows)
    decisions: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        decisions.setdefault(row["decision_id"].rpartition("-")[0], []).append(row)
    kept: list[Mapping[str, Any]] = []
    for name in sorted(decisions):
        if len(kept) >= most:
            break
        kept += decisions[name]
    return kept


def replayed(
    rows: Sequence[Mapping[str, Any]], signals: pd.DataFrame, as_known: History, bundle: Callable[[str], Scorer]
) -> ReplayReport:
    """Replay rows of the decision log; `signals` are the tables' events, `bundle` loads one by its digest."""
    report = ReplayReport()
    for digest in dict.fromkeys(row["bundle"] for row in rows):
        part = [row for row in rows if row["bundle"] == digest]
        try:
            scorer = bundle(digest)
        except BundleError as wrong:
            report = _sum(report, ReplayReport(skipped={str(wrong): len(part)}))
            continue
        report = _sum(report, _of_bundle(part, signals, as_known, scorer))
    return report


def _of_bundle(rows: Sequence[Mapping[str, Any]], signals: pd.DataFrame, as_known: History, scorer: Scorer) -> ReplayReport:
    known = signals.drop_duplicates("event_id").set_index("event_id")
    found = [row for row in rows if row["subject"] in known.index]
    skipped = {"its event is not in the tables": len(rows) - len(found)} if len(found) < len(rows) else {}
    if not found:
        return ReplayReport(skipped=skipped)
    pairs = _pairs(found, known)
    names = (*scorer.schema.names, "raw", "probability")
    served = _served(found, names)
    offline = _offline(pairs, as_known(pairs, evidence.VIEWS), scorer)
    is_different = ~((served == offline) | (np.isnan(served) & np.isnan(offline)))
    cells = _explained(found, pairs, names, served, offline, is_different, as_known) if is_different.any() else []
    causes = dict(Counter(each.cause for each in cells))
    return ReplayReport(len(found), is_different.size, len(cells), skipped, causes, tuple(cells[:MOST_TOLD]))


def _pairs(rows: Sequence[Mapping[str, Any]], signals: pd.DataFrame) -> pd.DataFrame:
    """Each served option beside its event, as of the instant at which it was served."""
    asked = signals.loc[[row["subject"] for row in rows]].reset_index()
    made_at = pd.to_datetime(pd.Series([row["made_at"] for row in rows]), utc=True).astype("datetime64[us, UTC]")
    options = [row["option"] for row in rows]
    asked = asked.assign(seen_at=made_at, person_id=options, row_id=range(len(rows)))
    return asked.assign(identifier=strongest(asked))


def _served(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Numbers:
    told = [{**row["features"], "raw": row["score"], "probability": row["probability"]} for row in rows]
    return np.array([[row.get(name) for name in names] for row in told], dtype=np.float64)


def _offline(pairs: pd.DataFrame, facts: pd.DataFrame, scorer: Scorer) -> Numbers:
    """Inputs and scores as the log has them: what is no finite number is missing there."""
    matrix = encode(evidence.pair_frame(pairs, facts), scorer.schema)
    raw, probability = scorer.score_matrix(matrix)
    return np.column_stack([np.where(np.isfinite(matrix), matrix, np.nan), raw, probability])


def _explained(
    rows: Sequence[Mapping[str, Any]],
    pairs: pd.DataFrame,
    names: Sequence[str],
    served: Numbers,
    offline: Numbers,
    is_different: npt.NDArray[np.bool_],
    as_known: History,
) -> list[Difference]:
    """Each cell that differs with its likely cause."""
    places = np.flatnonzero(is_different.any(axis=1))
    late = _a_day_before(pairs.iloc[places].reset_index(drop=True), as_known)
    cells = []
    for place, (_, before) in zip(places.tolist(), late.iterrows(), strict=True):
        for column in np.flatnonzero(is_different[place]).tolist():
            was, now = served[place, column], offline[place, column]
            cause = _cause(names[column], was, now, before.get(names[column], np.nan), is_different[place], names)
            row = rows[place]
            cells.append(
                Difference(row["decision_id"], row["subject"], row["option"], names[column], _told(was), _told(now), cause)
            )
    return cells


def _a_day_before(pairs: pd.DataFrame, as_known: History) -> pd.DataFrame:
    """The inputs with the features of the day before, a day older: what a late materialisation serves."""
    views = evidence.VIEWS
    facts = as_known(pairs.assign(seen_at=pairs["seen_at"] - DAY), views)
    facts = facts.assign(**{f"{view}__age_hours": facts[f"{view}__age_hours"] + DAY / timedelta(hours=1) for view in views})
    return evidence.pair_frame(pairs, facts)


def _cause(
    name: str, served: float, offline: float, before: float, is_different: npt.NDArray[np.bool_], names: Sequence[str]
) -> str:
    if name not in evidence.SOURCES:
        return SCORING if is_different[: len(names) - 2].sum() == 0 else "its inputs differ"
    if served == before:
        return LATE
    if np.isnan(served) and not np.isnan(before):
        return ABSENT
    if evidence.SOURCES[name] == "network_features" and not np.isnan(served):
        return PUSHED
    if name in OF_THE_SIGNAL:
        return OTHER_EVENT
    if np.isnan(served):
        return ABSENT
    return GONE if np.isnan(offline) else CODE


def _told(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _sum(one: ReplayReport, other: ReplayReport) -> ReplayReport:
    return replace(
        one,
        rows=one.rows + other.rows,
        cells=one.cells + other.cells,
        different=one.different + other.different,
        skipped=dict(Counter(one.skipped) + Counter(other.skipped)),
        causes=dict(Counter(one.causes) + Counter(other.causes)),
        differences=(one.differences + other.differences)[:MOST_TOLD],
    )
