"""Devices of one person in the world's browsing, judged on people that nothing was learned from."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from scipy.special import expit

from infra.benching import Row, verdict
from whence.contracts.settings import Settings, World
from whence.identity.devices import graph, index, quality, ranker
from whence.identity.devices.graph import Compared
from whence.identity.devices.ranker import NOBODY, Ranker
from whence.identity.records.table import Evidence, Pairs
from whence.measures import Measure, calibration_error
from whence.world import simulate
from whence.world.browsing import SESSIONS, browse
from whence.world.ids import toss

PEOPLE, DAYS = 6000, 14
WORLD = World(seed=7, people=PEOPLE, days=DAYS)
FEWER = replace(WORLD, people=3000)
HELD_OUT = 0.5
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Case:
    """Compared devices, and the truth about them: whom each belongs to, by position."""

    compared: Compared
    truth: Pairs
    household: Ints
    machine: npt.NDArray[np.str_]
    is_held: Mask
    """Whether the device's household is kept out of all learning."""

    @property
    def units(self) -> Ints:
        """The household of each device that may be learned from."""
        return np.where(self.is_held, NOBODY, self.household)

    @property
    def labels(self) -> npt.NDArray[np.float64]:
        """1 for each compared pair of one person, else 0."""
        return quality.is_among(self.compared.pairs, self.truth).astype(np.float64)


@dataclass(frozen=True)
class Figures:
    """What is measured on the held-out people."""

    across: Measure
    """F0.5 of each device's partners on other machines."""
    every: Measure
    """F0.5 of all its partners: other machines, and other cookies or apps of its own."""
    alone: Measure
    """The same, with the devices that have no partner, which are right to get none."""
    calibration: Measure


def measure(runs: int) -> list[Row]:
    """The rows; `runs` is not used, since nothing is timed against a peer."""
    started = time.process_time()
    case = _case(WORLD)
    compared_in = time.process_time() - started
    made = _fitted(case)
    figures = _judged(case, made)
    seen, left_out = len(case.compared.profiles), case.compared.profiles.left_out
    across = _across(case.compared.pairs, case)
    recall = index.recall(case.compared.pairs, case.truth, seen)
    far = index.recall(case.compared.pairs, _only(case.truth, _across(case.truth, case)), seen)
    what = f"{PEOPLE} people, {DAYS} days, {SESSIONS:g} sessions a day; {seen} devices of ten requests on two days or more"
    rows = [
        _row(
            "cross-device F0.5, partners on other machines, households held out",
            figures.across,
            0.90,
            note=f"{what}, {left_out} others left out",
        ),
        Row(
            "cross-device candidate recall",
            f"{recall:.4f}",
            f"{far:.4f} on other machines",
            "≥ 0.98",
            verdict(met=min(recall, far) >= 0.98),
            f"{case.compared.candidates.per_device(seen):.0f} candidates a device, {len(case.compared.pairs.left)} pairs, "
            f"{across.mean():.0%} on two machines; world and comparison {compared_in:.0f} CPU s",
        ),
        Row(
            "cross-device calibration error",
            f"{figures.calibration.value:.4f}",
            _spread(figures.calibration),
            "≤ 0.01",
            verdict(met=figures.calibration.value <= 0.01),
            "equal-mass bins less their noise, all candidate pairs of held-out people",
        ),
        _row("all partners, other cookies and apps of the same machine too", figures.every),
        _row("all partners, devices without any counted", figures.alone, note="right when none is given"),
    ]
    return [*rows, *_less(case), _elsewhere(made), _by_log_ins(case), _seen_little(), *_denser()]


def _less(case: Case) -> list[Row]:
    """What each part is worth: the figure without it."""
    bare = _evidence(case, lambda name: not name.startswith("site"))
    return [
        _row(
            "ranked without sites",
            _judged(bare, _fitted(bare)).across,
            note="ICDM'15 fifth place, networks alone: 0.861, other data",
        ),
        _row(
            "ranked without the neighbours of a pair",
            _judged_alone(case),
            note="the mean of two rankers with half of the people each",
        ),
    ]


def _elsewhere(made: Ranker) -> Row:
    """The same model in a world of other people, other networks and other sites."""
    other = replace(_case(replace(FEWER, seed=11)))
    everyone = replace(other, is_held=np.ones(len(other.household), dtype=bool))
    return _row(
        "the same model in another world, everybody judged", _judged(everyone, made).across, note=f"{FEWER.people} people"
    )


def _by_log_ins(case: Case) -> Row:
    """Learned from log-ins alone, as where nobody knows the truth; the log-ins of held-out households are not used."""
    accounts = _log_ins(case)
    made = graph.learn(case.compared, accounts)
    found = _judged(case, made)
    return _row(
        "learned from log-ins alone",
        found.across,
        note=f"{len(accounts)} devices with a log-in; calibration error {found.calibration.value:.4f} {_spread(found.calibration)}",
    )


def _seen_little() -> Row:
    """The figure when no device is left out, though it was seen once."""
    case = _case(FEWER, least_requests=1, least_days=1)
    found, seen = _judged(case, _fitted(case)), len(case.compared.profiles)
    note = f"{FEWER.people} people; candidate recall {index.recall(case.compared.pairs, case.truth, seen):.4f}"
    return _row("every device, though it was seen once", found.across, note=note)


def _denser() -> list[Row]:
    """The figure by how much of people's browsing is heard."""
    rows = []
    for sessions in (1.0, 2.0, 4.0, 12.0):
        case = _case(FEWER, sessions)
        found = _judged(case, _fitted(case))
        seen, left_out = len(case.compared.profiles), case.compared.profiles.left_out
        recall = index.recall(case.compared.pairs, case.truth, seen)
        note = f"{FEWER.people} people; {seen / (seen + left_out):.0%} of devices seen enough; candidate recall {recall:.4f}"
        rows.append(_row(f"at {sessions:g} sessions a day", found.across, note=note))
    return rows


def _case(world: World, sessions: float = SESSIONS, **least: int) -> Case:
    browsed = browse(world, sessions)
    compared = graph.compare(browsed.requests, _end(world), **least)  # type: ignore[arg-type]
    owners = browsed.owners.to_pandas()
    owners["at"] = owners["device"].map({name: at for at, name in enumerate(compared.profiles.devices)})
    owners = owners.dropna(subset="at").astype({"at": "int64"})
    first = owners.groupby("at").first()
    household = first["household"].to_numpy()
    truth = quality.true_pairs(owners["at"].to_numpy(), owners["person"].to_numpy())
    is_held = toss("held out", household) < HELD_OUT
    return Case(compared, truth, household, first["machine"].to_numpy().astype(str), is_held)


def _end(world: World) -> datetime:
    return datetime.combine(world.first_day + timedelta(days=world.days), datetime.min.time(), UTC)


def _fitted(case: Case) -> Ranker:
    return ranker.fit(case.compared.evidence, case.compared.pairs, case.labels, case.units, share=1 - HELD_OUT)


def _judged(case: Case, made: Ranker) -> Figures:
    pairs, household = case.compared.pairs, case.household
    probabilities = expit(made.log_odds(case.compared.evidence, pairs, len(household), case.units))
    taken = graph.partners(pairs, probabilities)
    devices = np.flatnonzero(case.is_held)
    both = np.concatenate([pairs.left, pairs.right])
    is_judged = case.is_held[both]
    labels, twice = np.tile(case.labels, 2)[is_judged], np.tile(probabilities, 2)[is_judged]
    return Figures(
        _f_across(case, taken),
        quality.fbeta(pairs, taken, case.truth, devices, household),
        quality.fbeta(pairs, taken, case.truth, devices, household, with_partners=False),
        calibration_error(labels, twice, household[both][is_judged]),
    )


def _judged_alone(case: Case) -> Measure:
    """The figure when each pair is judged by itself."""
    one = _fitted(case).alone
    odds = sum(each.log_odds(case.compared.evidence) for each in one) / 2
    return _f_across(case, graph.partners(case.compared.pairs, expit(odds)))


def _f_across(case: Case, taken: Mask) -> Measure:
    """F0.5 of the partners on other machines; one on the same machine is neither right nor wrong."""
    pairs, devices = case.compared.pairs, np.flatnonzero(case.is_held)
    far = _across(pairs, case)
    truth = _only(case.truth, _across(case.truth, case))
    return quality.fbeta(_only(pairs, far), taken[far], truth, devices, case.household)


def _across(pairs: Pairs, case: Case) -> Mask:
    return np.asarray(case.machine[pairs.left] != case.machine[pairs.right])


def _only(pairs: Pairs, where: Mask) -> Pairs:
    return Pairs(pairs.left[where], pairs.right[where])


def _evidence(case: Case, keeps: Callable[[str], bool]) -> Case:
    full = case.compared.evidence
    kept = [at for at, name in enumerate(full.names) if keeps(name)]
    some = Evidence(tuple(full.names[at] for at in kept), full.values[:, kept])
    return replace(case, compared=replace(case.compared, evidence=some))


def _log_ins(case: Case) -> Mapping[str, str]:
    """The account of each device that logged in to one alone, from the world's own events."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder), world=WORLD)
        simulate(settings)
        files = sorted(settings.world_events.rglob("sightings-*.parquet"))
        told = pq.ParquetDataset(files).read().to_pandas()
    told = told[(told["kind"] == "login") & (told["seen_at"] < _end(WORLD))]
    app, web = "device_id:" + told["device_id"], "cookie_id:" + told["cookie_id"]
    told = told.assign(device=app.where(told["device_id"].notna(), web)).dropna(subset="device")
    known = told.groupby("device")["external_id"].agg(["first", "nunique"])
    free = {name for name, held in zip(case.compared.profiles.devices, case.is_held, strict=True) if not held}
    return {name: account for name, account in known.loc[known["nunique"] == 1, "first"].items() if name in free}


def _row(what: str, found: Measure, least: float | None = None, note: str = "") -> Row:
    target = f"≥ {least:.2f}" if least else ""
    told = verdict(met=found.value >= least) if least else "-"
    return Row(what, f"{found.value:.4f}", _spread(found), target, told, f"{found.n} devices" + (f"; {note}" if note else ""))


def _spread(found: Measure) -> str:
    return f"[{found.low:.4f}, {found.high:.4f}]"
