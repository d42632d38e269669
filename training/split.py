"""Who is learned from, who calibrates and who judges: parts that share neither time nor people."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

FIT, FRESH, CALIBRATE, TEST, UNUSED = "fit", "fresh", "calibrate", "test", ""
CALIBRATORS = 1 / 3
"""Of the people who are never learned from, the share that calibrates; the rest tests, where doubt costs a decision."""
MOST = 0.5
"""Persons are kept apart when at least this share of the rows is of persons seen on more than one day."""

NEARLY_ALL = 0.8
"""Where persons are not kept apart by lot, those met twice are left out of the judging rows when this share remains."""


@dataclass(frozen=True)
class Split:
    """The part of each row, and how it was cut."""

    part: npt.NDArray[np.object_]
    """fit, fresh (later rows of the fit's people), calibrate, test, or empty for a row of nobody's part."""
    is_by_person: bool
    """False where rows are mostly of people seen on one day: then keeping them apart would throw rows away for nothing."""
    calibrate_from: pd.Timestamp
    test_from: pd.Timestamp
    levels: npt.NDArray[np.bool_]
    """What the final model is calibrated on: ripe rows of the people who calibrate, of all days before the test."""

    def rows(self, part: str) -> npt.NDArray[np.bool_]:
        """Which rows are of the part."""
        return np.asarray(self.part == part)

    @property
    def learned(self) -> npt.NDArray[np.bool_]:
        """What the final model is fitted on: all days, up to the newest, of people who neither calibrate nor test.

        Where people are not kept apart, all that is before the test.
        """
        return self.rows(FIT) | (self.rows(FRESH) if self.is_by_person else self.rows(CALIBRATE))


def split(
    seen_at: pd.Series, persons: pd.Series, ripe: npt.NDArray[np.bool_], holdout_time: float, holdout_persons: float, seed: int
) -> Split:
    """Cut rows in time and in people: fit < calibrate < test in time, and nobody in two of them.

    The last `holdout_time` of the ripe rows is tested on, and the same share before it calibrates; only ripe rows
    do either. `holdout_persons` of the people, chosen by a hash that is the same in every training of this seed, are
    never fitted on: a third of them calibrates, the rest tests. So a champion has never learned from a later candidate's judges.
    """
    cuts = seen_at[ripe].sort_values(ignore_index=True) if ripe.any() else seen_at.sort_values(ignore_index=True)
    test_from = cuts.iloc[int(len(cuts) * (1 - holdout_time))]
    calibrate_from = cuts.iloc[int(len(cuts) * (1 - 2 * holdout_time))]
    is_by_person = seen_again(seen_at, persons) >= MOST
    place = buckets(persons, seed) if is_by_person else None
    late, latest = (seen_at >= calibrate_from).to_numpy(), (seen_at >= test_from).to_numpy()
    fits, between, tests = ~late, late & ~latest, latest & ripe
    calibrates, fresh, levels = between & ripe, np.zeros_like(between), between & ripe
    if place is not None:
        is_taught, is_judge = place >= holdout_persons, place < holdout_persons * CALIBRATORS
        fits, fresh = fits & is_taught, late & is_taught
        calibrates, levels = calibrates & is_judge, ~latest & ripe & is_judge
        tests = tests & ~is_judge & ~is_taught
    else:
        calibrates = levels = _apart(persons, calibrates, fits)
        tests = _apart(persons, tests, fits | calibrates)
    part = np.select([fits, fresh, calibrates, tests], [FIT, FRESH, CALIBRATE, TEST], UNUSED).astype(object)
    return Split(part, is_by_person, calibrate_from, test_from, levels)


def _apart(persons: pd.Series, judges: npt.NDArray[np.bool_], taught: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The judging rows without those of people that are taught too, where that leaves nearly all; else all of them."""
    strangers = judges & ~persons.isin(set(persons[taught])).to_numpy()
    return strangers if strangers.sum() >= NEARLY_ALL * judges.sum() else judges


def seen_again(seen_at: pd.Series, persons: pd.Series) -> float:
    """The share of rows that are of persons seen on more than one day.

    >>> days = pd.Series(pd.to_datetime(["2026-05-01", "2026-05-02", "2026-05-02", "2026-05-02"], utc=True))
    >>> seen_again(days, pd.Series(["ann", "ann", "bob", "bob"]))
    0.5
    """
    days = pd.DataFrame({"person": persons.to_numpy(), "day": seen_at.dt.floor("D").to_numpy()})
    return float((days.groupby("person")["day"].transform("nunique") > 1).mean())


def buckets(persons: pd.Series, seed: int) -> npt.NDArray[np.float64]:
    """A place in [0, 1) for each row, the same for all rows of a person, by SHA-256 of the seed and the person."""
    named = persons.unique()
    places = {name: int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big") / 2**64 for name in named}
    return np.asarray(persons.map(places).to_numpy(dtype=np.float64))
