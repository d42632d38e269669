"""The day's front doors: resolve identities, attribute conversions, and collect what the service decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from whence.contracts.events import EVENTS
from whence.contracts.models import ATTRIBUTION_RANKER, CONVERSION_VALUE, EXPOSURE_RESPONSE, IDENTITY_RANKER
from whence.contracts.times import Window
from whence.lake import Lake

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from serving.daily.attributing import Scored
    from serving.daily.ranking import History
    from serving.daily.resolving import Link, Settled
    from whence.attribution.policy import Policy
    from whence.bundle import Scorer
    from whence.contracts.settings import Settings
    from whence.identity.ledger import Changes

ATTRIBUTING = (ATTRIBUTION_RANKER, CONVERSION_VALUE, EXPOSURE_RESPONSE)
"""The models that take part in attribution."""
Progress = Callable[[int, int], None]
"""Called with days done and days in all."""


@dataclass(frozen=True)
class ResolveReport:
    """What one run of resolve did, summed over its days."""

    signals: int
    """Events that could carry an identifier: touches, conversions, sightings."""
    answers: int
    """Identifiers that are new or whose person changed."""
    pairs: int
    """Pairs of an anonymous signal and a known person that the model compared."""
    linked: int
    """Anonymous persons newly taken to be a known one because the model said so."""
    merged: int
    """Persons that turned out to be another one."""
    split: int
    """Persons whose identifiers went to two or more."""
    moved: int
    """Identifiers known before that changed their person."""
    persons: int
    """Persons at the end of the window."""
    changed: int
    """Tables' days that this run changed; 0 when it ran before."""

    def as_dict(self) -> dict[str, int]:
        """A plain dict, for JSON and XCom."""
        return asdict(self)


@dataclass(frozen=True)
class AttributeReport:
    """What one run of attribute did, summed over its days."""

    conversions: int
    """Conversions credited."""
    refunds: int
    """Refunds taken back from where the credit went."""
    repeats: int
    """Tellings of an order that had been told before, as by pixel and then by server."""
    restated: int
    """Conversions of earlier days that were looked at again because of a day's news."""
    credits: int
    """New rows of credit, over all algorithms; 0 when nothing is said anew."""
    pairs: int
    """Pairs of a conversion and a touch that the ranker scored."""
    touches: int
    """Touches that conversion-value scored."""
    changed: int
    """Tables' days that this run changed; 0 when it ran before."""

    def as_dict(self) -> dict[str, int]:
        """A plain dict, for JSON and XCom."""
        return asdict(self)


@dataclass(frozen=True)
class CollectReport:
    """What came from the service's decision log."""

    decisions: int
    """Online decisions of the window that the table holds now."""
    unreadable: int
    """Lines of the log that are no decision."""
    changed: int
    """Tables' days that this run changed; 0 when nothing was new."""

    def as_dict(self) -> dict[str, int]:
        """A plain dict, for JSON and XCom."""
        return asdict(self)


Report = TypeVar("Report", ResolveReport, AttributeReport, CollectReport)


def resolve_identities(
    settings: Settings, window: Window, progress: Progress | None = None, now: datetime | None = None, force: str = ""
) -> ResolveReport:
    """Find out whose each identifier of the window's days is, and write it to `persons`.

    Exact links come first. Where a signal's identifiers lead to a person without any log-in, the champion of
    `identity-ranker` compares it with the known people on its network; every comparison goes to `decisions`. Which
    champion a day has is pinned by its first run, also when it is none, so that a rerun gives the same rows; a day
    without events pins none.
    Ranking reads the features of the day before; in a window of several days they are made on the way where a
    day before changed. Every change is told to the ledger, `person_events`. Raises OverMerged, with nothing of the day written to
    `persons`, where it would bring too many people together (settings `identity.fuse`), unless `force` gives a
    reason. `now` is written beside the pin, and is when a day run again came to be known.
    """
    from serving.daily import history

    lake, moment = Lake.of(settings), now or datetime.now(UTC)
    total = ResolveReport(*[0] * 9)
    persons_changed = False
    for done, day in enumerate(window, start=1):
        scorer = _ranker(settings, lake, day, moment)
        if scorer is not None and day > window.first:
            _make_features(settings, lake, Window(history.before(day), history.before(day)), persons_changed)
        report, persons_changed = _resolve_day(settings, lake, day, scorer, moment, force)
        total = _sum(total, report)
        if progress:
            progress(done, len(window.days))
    return replace(total, persons=int(history.persons(lake, window.last)["person_id"].nunique()))


def preview_identities(settings: Settings, day: date) -> Changes:
    """What resolving this day would change in who is who, and what goes with it downstream; writes nothing, nor pins a champion.

    The weights are the conversions of the fortnight until then and their value, a column a currency.
    """
    from registry.journal import Journal
    from serving.daily import publishing

    lake = Lake.of(settings)
    digest = Journal.of(settings).would_pin("resolve", day.isoformat(), IDENTITY_RANKER)
    found = _resolved(settings, lake, day, _scorer(settings, digest))
    return publishing.changes(found.before, found.after, publishing.weights(lake, day))


def attribute_conversions(
    settings: Settings, window: Window, progress: Progress | None = None, now: datetime | None = None
) -> AttributeReport:
    """Share out each conversion of the window's days among the touches before it, and state it in `credits`.

    Every algorithm of the policy has its rows, the learned ones when their model has a champion; these and
    `conversion-value`, which scores the day's touches, write to `decisions`. The champions of a day are pinned by
    its first run, also when there are none, if it has rows for them. An order told twice counts once; a refund takes its value from where
    its conversion's credit went. A day's news states anew what it changes of the days before; nothing stated is
    ever changed. `now` is written beside the pin, and is when a day run again came to be known.
    """
    from whence.attribution import policy as policies
    from whence.attribution import policy_archive

    lake, moment, policy = Lake.of(settings), now or datetime.now(UTC), policies.of(settings)
    policy_archive.keep(settings)
    total = AttributeReport(*[0] * 8)
    for done, day in enumerate(window, start=1):
        total = _sum(total, _attribute_day(settings, lake, day, policy, moment))
        if progress:
            progress(done, len(window.days))
    return total


def collect_online(settings: Settings, window: Window, progress: Progress | None = None) -> CollectReport:
    """Bring what the scoring service decided on the window's days into `decisions`.

    The online rows of a day are those that the table has and those in the log, each once; batch rows belong to
    resolve and attribute and are not touched. Run it again when more has come in, or when the log is gone.
    """
    from serving import decision_log, decisions

    lake = Lake.of(settings)
    total = CollectReport(0, 0, 0)
    for done, day in enumerate(window, start=1):
        today = Window(day, day)
        lines = decision_log.read(settings.decision_log, str(today))
        held = lake.mended("decisions", today, partial(lake.read, "decisions", today, part={"route": "online"}))
        rows = decisions.online(today, lines.rows, held)
        changed = int(lake.replace("decisions", rows, today, {"route": "online"}))
        if lines.files:  # a log that is gone says nothing of what it was
            changed += lake.replace("decision_files", decisions.files(today, lines.files), today)
        total = _sum(total, CollectReport(rows.num_rows, lines.unreadable, changed))
        if progress:
            progress(done, len(window.days))
    return total


@dataclass(frozen=True)
class _Day:
    """What a day's resolve found, before any of it is written."""

    signals: int
    linked: int
    before: pa.Table
    """Who was who."""
    after: pa.Table
    settled: Settled
    decisions: pa.Table


def _resolve_day(
    settings: Settings, lake: Lake, day: date, scorer: Scorer | None, moment: datetime, force: str
) -> tuple[ResolveReport, bool]:
    from serving.daily import publishing

    found, today = _resolved(settings, lake, day, scorer), Window(day, day)
    publishing.check(found.before, found.after, settings.identity, force)
    change = publishing.changes(found.before, found.after)
    decided = lake.replace("decisions", found.decisions, today, {"route": "batch", "model": IDENTITY_RANKER})
    below = lake.replace("exact_persons", _rows("exact_persons", found.settled.beneath, today), today)
    above = lake.replace("persons", _rows("persons", found.settled.answers, today), today)
    told = publishing.tell(lake, today, f"resolve {day}" + (f", forced: {force}" if force else ""), moment)
    report = ResolveReport(
        signals=found.signals,
        answers=len(found.settled.answers),
        pairs=found.decisions.num_rows,
        linked=found.linked,
        merged=change.persons_merged,
        split=change.persons_split,
        moved=change.identifiers_moved,
        persons=0,
        changed=below + above + decided + told,
    )
    return report, above


def _resolved(settings: Settings, lake: Lake, day: date, scorer: Scorer | None) -> _Day:
    import pandas as pd

    from serving import decisions
    from serving.daily import history, publishing, resolving
    from whence.identity import exact

    signals = history.signals(lake, Window(day, day))
    answers = history.persons(lake, history.before(day))
    beneath = history.exact_persons(lake, history.before(day))
    before = pd.Series(beneath["person_id"].to_numpy(), index=beneath["identifier"].to_numpy(), dtype=object)
    now = resolving.exact_now(before, exact.link(signals, beneath, settings.identity.max_identifiers))
    links = resolving.carried(answers, before, now)
    found: dict[str, Link] = {}
    rows = decisions.none_made()
    if scorer is not None:
        found, rows = _ranked(settings, lake, Window(day, day), scorer, signals, before, now, frozenset(links))
    links = resolving.room_for({**found, **links}, now, settings.identity.max_identifiers)
    settled = resolving.settle(answers, before, now, links)
    was, is_now = publishing.people(answers), publishing.people(answers, settled.answers)
    return _Day(len(signals), len(found), was, is_now, settled, rows)


def _ranked(
    settings: Settings,
    lake: Lake,
    today: Window,
    scorer: Scorer,
    signals: pd.DataFrame,
    before: pd.Series,
    now: pd.Series,
    linked: frozenset[str],
) -> tuple[dict[str, Link], pa.Table]:
    """The model's new links, and its decisions behind them."""
    import pandas as pd

    from serving import decisions
    from serving.daily import history, ranking, resolving
    from whence.identity.exact import who

    went = resolving.moved(before, now)
    persons = who(signals, pd.DataFrame({"identifier": now.index, "person_id": now.to_numpy()}))
    here = pd.DataFrame({"person_id": persons, "ip_key": signals["ip_key"]}).dropna()
    earlier = history.networks(lake, history.before(today.first))
    earlier["person_id"] = [went.get(person, person) for person in earlier["person_id"]]
    found = ranking.rank(
        signals,
        now,
        resolving.known(now),
        went,
        linked,
        pd.concat([earlier, here], ignore_index=True),
        _history(settings),
        scorer,
        settings.identity,
    )
    return found.links, decisions.batch(today, scorer, found.subjects, found.inputs, found.raw, found.probability)


def _attribute_day(settings: Settings, lake: Lake, day: date, policy: Policy, moment: datetime) -> AttributeReport:
    from serving.daily import crediting

    today = Window(day, day)
    models = crediting.Models(lambda at, model: _pinned(settings, "attribute", at, model, moment), _history(settings))
    found = lake.mended("credits", today, lambda: crediting.of_day(lake, day, policy, models, moment))
    parts = crediting.merged(lake, day, found.rows)
    changed = sum(lake.replace("credits", rows, window, {"stated_on": str(day)}) for window, rows in parts)
    made = {}
    for model in ATTRIBUTING:
        rows = _decided(today, *found.said[model]) if model in found.said else iter(())
        made[model] = lake.fill("decisions", rows, today, {"route": "batch", "model": model})
        changed += made[model].changed
    return AttributeReport(
        conversions=found.conversions,
        refunds=found.refunds,
        repeats=found.repeats,
        restated=found.restated,
        credits=len(found.rows),
        pairs=made[ATTRIBUTION_RANKER].rows,
        touches=made[CONVERSION_VALUE].rows,
        changed=changed,
    )


def _decided(day: Window, scorer: Scorer, parts: Iterable[Scored]) -> Iterator[pa.Table]:
    from serving import decisions

    for each in parts:
        yield decisions.batch(day, scorer, each.subjects, each.inputs, each.raw, each.probability)


def _ranker(settings: Settings, lake: Lake, day: date, moment: datetime) -> Scorer | None:
    """The day's champion of `identity-ranker`; a day without events has nothing to compare, and fixes none."""
    has_events = any(str(day) in lake.days(table) for table in EVENTS)
    return _pinned(settings, "resolve", day, IDENTITY_RANKER, moment) if has_events else None


def _pinned(settings: Settings, step: str, day: date, model: str, now: datetime) -> Scorer | None:
    """The champion that the day's first run of the step had, loaded and checked; None when there was none."""
    from registry.journal import Journal

    return _scorer(settings, Journal.of(settings).pin(step, day.isoformat(), model, now))


def _scorer(settings: Settings, digest: str | None) -> Scorer | None:
    from whence import bundle_store

    if digest is None:
        return None
    bundle_store.bring(settings, digest)
    return _loaded(settings.bundles, digest)


@lru_cache(maxsize=16)
def _loaded(bundles: Path, digest: str) -> Scorer:
    """A bundle is what its digest says, and a scorer does not change: days with the same champion share it."""
    from whence.bundle import load_bundle

    return load_bundle(bundles, digest)


def _history(settings: Settings) -> History:
    from features import historical

    return lambda rows, views: historical(settings, rows, views)


def _make_features(settings: Settings, lake: Lake, day: Window, is_stale: bool) -> None:
    if is_stale or str(day) not in lake.days("network_features"):
        from features import materialise

        materialise(settings, day)


def _rows(name: str, frame: pd.DataFrame, day: Window) -> pa.Table:
    import pyarrow as pa

    from whence.contracts.tables import TABLES

    full = frame.assign(day=str(day), seen_at=day.end)
    return pa.Table.from_pandas(full, schema=TABLES[name].schema, preserve_index=False)


def _sum(one: Report, other: Report) -> Report:
    return type(one)(**{name: number + other.as_dict()[name] for name, number in one.as_dict().items()})
