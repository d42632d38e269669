"""Candidates that learned from corrupted days: is one promoted that is worse than the champion on what comes next?

A world is taken through the real steps. Its last days before a training are delivered corrupted, through ingest, data checks,
identities and features; then the real models are trained, and judged by the real gate against the champion, which knows the
days before alone. The judge of the judge is what came on the days after, in the world that was never corrupted: a candidate is
worse where it loses more log-loss there, for sure (95 %, resampled by person). A training leaves out days that the checks stop.
To see what the gate does alone it learns from them all the same, as if nothing had been found; what does harm then is tried
again with the checks as they are.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from infra.bench_monitoring.corrupting import SEVERITIES, corrupted
from infra.bench_monitoring.corruptions import delivered
from infra.bench_monitoring.worlds import FOLDER, NOW, a_world, live, note_lived, on, was_lived
from infra.benching import Row, verdict
from registry import gate
from registry.journal import Journal
from whence import bundle_store, measures
from whence.contracts.models import MODELS
from whence.contracts.settings import Settings
from whence.contracts.times import Window
from whence.lake import Lake
from whence.measures import Measure

PEOPLE, SEED = 4000, 11
KNOWN, CORRUPTED, AFTER = 11, 3, 4
"""Days that the champion knows, that are delivered corrupted, and that tell who is better; conversions ripen in four."""
OPEN = (("an identifier is null", 2), ("a channel is lost", 2), ("the day is cut short", 1), ("hours are lost", 2))
"""What the checks tell and do not stop, with its severity: models may learn from it."""
WRONG = (
    ("rows come again under new ids", 2),
    ("yesterday's rows are replayed", 2),
    ("the clock is off", 2),
    ("columns have changed places", 0),
    ("a category is renamed", 2),
    ("bots flood from one network", 2),
)
"""What the checks stop."""


@dataclass(frozen=True)
class Judged:
    """A candidate, what the gate said, and what it saves over the champion on the days after."""

    model: str
    decision: str
    saved: Measure

    @property
    def is_worse(self) -> bool:
        """It loses more than the champion, for sure."""
        return self.saved.high < 0

    @property
    def is_harm(self) -> bool:
        """It was promoted, and is worse."""
        return self.decision == gate.PROMOTE and self.is_worse


def measure(runs: int) -> list[Row]:
    """A row for candidates of clean days, one for each corruption, and the sums."""
    del runs
    base = a_world(FOLDER / f"candidates-{SEED}", seed=SEED, people=PEOPLE, days=KNOWN + CORRUPTED + AFTER)
    live(base, KNOWN, KNOWN)
    _checked(base, Window(on(0), on(KNOWN - 1)))
    clean = _branch(base, "clean")
    for number in range(KNOWN, KNOWN + CORRUPTED + AFTER):
        if not was_lived(clean, str(on(number))):
            _one_day(clean, on(number))
            note_lived(clean, str(on(number)))
    truth = {model: _afterwards(clean, model) for model in MODELS}
    control = _judged(clean, truth)
    seen = [(name, severity, _judged(_corrupted(base, name, severity), truth)) for name, severity in OPEN]
    blind = [(name, severity, _judged(_corrupted(base, name, severity, blind=clean), truth)) for name, severity in WRONG]
    harmful = [(name, severity) for name, severity, judged in blind if any(each.is_worse for each in judged)]
    stopped = [(name, severity, _judged(_corrupted(base, name, severity), truth)) for name, severity in harmful]
    return [
        _row("nothing is corrupted", control),
        _sum("told and not stopped", seen, is_promised=True),
        _sum("stopped, learned from all the same: checks that have seen nothing, and the gate alone", blind, is_promised=False),
        _sum("that did harm there, with the checks as they are", stopped, is_promised=True),
        *_each("", seen),
        *_each(", unseen", blind),
        *_each(", seen", stopped),
    ]


Tried = tuple[str, int, list[Judged]]
Truth = Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]
"""By model the inputs and the facts of the days after."""


def _corrupted(base: Settings, name: str, severity: int, blind: Settings | None = None) -> Settings:
    """A home that has lived the corrupted days; with `blind`, what was found on them is what was found on its days."""
    settings = _branch(base, f"{name}-{severity}{'-unseen' if blind else ''}")
    for number in range(KNOWN, KNOWN + CORRUPTED):
        day = on(number)
        if was_lived(settings, str(day)):
            continue
        yesterday = delivered(base.world_events, str(on(number - 1)))
        rows = corrupted(name, delivered(base.world_events, str(day)), yesterday, severity, number)
        folder = settings.world_events / f"day={day}"
        for table, each in rows.items():
            for old in folder.glob(f"{table}-*.parquet"):
                old.unlink()
            pq.write_table(each, folder / f"{table}-00000.parquet")
        _one_day(settings, day)
        if blind:
            for table in ("checks", "findings"):
                Lake.of(settings).replace(table, Lake.of(blind).read(table, Window(day, day)), Window(day, day))
        note_lived(settings, str(day))
    return settings


def _branch(base: Settings, name: str) -> Settings:
    """A copy of everything; one that has lived a day stays as it is."""
    settings = replace(base, home=base.home.with_name(f"{base.home.name}-{re.sub('[^a-z0-9]+', '-', name)}"))
    if not was_lived(settings, str(on(KNOWN))):
        shutil.rmtree(settings.home, ignore_errors=True)
        shutil.copytree(base.home, settings.home)
    return settings


def _one_day(settings: Settings, day: date) -> None:
    from features import materialise
    from serving.daily.batch import resolve_identities
    from whence.ingest import ingest

    window = Window(day, day)
    ingest(settings, window)
    _checked(settings, window)
    resolve_identities(settings, window, now=NOW, force="a benchmark")
    materialise(settings, window)


def _checked(settings: Settings, window: Window) -> None:
    from monitoring import check_data

    check_data(settings, window, now=NOW)


def _judged(settings: Settings, truth: Truth) -> list[Judged]:
    """Each model trained as of the last corrupted day, judged by the gate, and by what came afterwards."""
    import training
    from registry.judging import verdict_on

    found = []
    for model in MODELS:
        candidate = training.train(settings, model, on(KNOWN + CORRUPTED - 1))
        champion = Journal.of(settings).champion(model)
        decision = verdict_on(settings, candidate, champion).decision
        assert champion is not None
        found.append(Judged(model, decision, _saved(settings, candidate.bundle, champion.bundle, *truth[model])))
    return found


def _saved(settings: Settings, candidate: str, champion: str, rows: pd.DataFrame, facts: pd.DataFrame) -> Measure:
    """The champion's loss a row less the candidate's."""
    label, who = facts["label"].to_numpy(np.float64), facts["person"].to_numpy()
    losses = [measures.log_losses(label, bundle_store.load(settings, each).score(rows)[1]) for each in (champion, candidate)]
    return measures.paired_difference(losses[0], losses[1], who)


def _afterwards(clean: Settings, model: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Inputs and labels of the days after, as the clean world knows them when they are ripe."""
    from training.datasets import build

    examples = build(clean, model, on(KNOWN + CORRUPTED + AFTER - 1))
    is_after = (examples.seen_at >= pd.Timestamp(Window(on(KNOWN + CORRUPTED), on(KNOWN + CORRUPTED)).start)).to_numpy()
    chosen = examples.keep(is_after & examples.ripe())
    return chosen.inputs, chosen.facts


def _sum(what: str, tried: Sequence[Tried], *, is_promised: bool) -> Row:
    judged = [each for _, _, found in tried for each in found]
    promoted = [each for each in judged if each.decision == gate.PROMOTE]
    harm = sum(each.is_harm for each in judged)
    worse = sum(each.is_worse for each in judged)
    return Row(
        f"candidates that were promoted and are worse, of corruptions {what}",
        f"{harm} of {len(judged)}",
        target="0" if is_promised else "",
        verdict=verdict(met=not harm) if is_promised else "-",
        note=f"{len(promoted)} promoted; {worse} worse for sure on the {AFTER} days after",
    )


def _each(how: str, tried: Sequence[Tried]) -> Iterator[Row]:
    return (_row(f"{name}, {SEVERITIES[severity]}{how}", judged) for name, severity, judged in tried)


def _row(what: str, judged: Sequence[Judged]) -> Row:
    said = "; ".join(
        f"{each.model}: {each.decision.replace('_', ' ')}, saves {each.saved.value:+.4f} [{each.saved.low:+.4f}, {each.saved.high:+.4f}] of {each.saved.n:,}"
        for each in judged
    )
    promoted = sum(each.decision == gate.PROMOTE for each in judged)
    worse = sum(each.is_worse for each in judged)
    return Row(what, f"{promoted} of {len(judged)} promoted, {worse} worse", note=said)
