"""A day's look at labels: what came of the questions that champion and challenger both scored, and what follows from it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from registry.following import under_way
from registry.journal import Conflict, Journal
from registry.rollouts import Rollout, Step, proceed
from serving.rollouts import mirrored
from serving.rollouts.rollout import LEVEL, LOSS, stage_name
from serving.rollouts.steering import WHO, decide, keep_labels
from serving.rollouts.tally import Book, folder_of
from whence.contracts.times import Window
from whence.measures import arms

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

LEAST_PEOPLE = 10
"""With a positive, and with a negative: with fewer nothing is looked at."""
Label = Callable[["Settings", str, date, pd.DataFrame], pd.DataFrame]
"""Settings, model, day, and rows of serving.rollouts.mirrored.COLUMNS in; those that somebody can judge by the day's end, with label and
cluster, out: see monitoring.outcomes."""


def look_at_labels(settings: Settings, window: Window, label: Label, now: datetime) -> dict[str, str]:
    """Look at the labels of every rollout as they are known at the end of each of the window's days, and take what steps follow.

    A day that was looked at before stays as it was seen. What rollouts left that ended long ago is removed. Gives what came of each model's rollout, in words.
    """
    journal = Journal.of(settings)
    rollouts = list(under_way(journal, now).values())
    mirrored.sweep(settings.home, rollouts, now)
    told = {}
    for rollout in rollouts:
        for day in window:
            if seen := look(settings, rollout, day, label):
                keep_labels(settings.home, rollout, day, seen)
        book = Book(folder_of(settings.home, rollout), rollout.epoch, rollout.policy)
        book.read(time.time())
        step = decide(settings.home, rollout, book, now.timestamp())
        told[rollout.model] = _taken(journal, rollout, step, now) if step else f"{stage_name(rollout)} goes on"
    return told


def _taken(journal: Journal, rollout: Rollout, step: Step, now: datetime) -> str:
    try:
        proceed(journal, rollout, step, WHO, now)
    except Conflict as heard:
        return f"another process was first: {heard}"
    return f"{step.kind}: {' '.join(step.reasons)}"


def look(settings: Settings, rollout: Rollout, day: date, label: Label) -> dict[str, Any]:
    """How both did on the labels that are known at the day's end; empty while there are too few of one kind to judge by.

    Before the first positives come, whoever foretells less of them looks better for sure.
    """
    decisions = mirrored.read(settings.home, rollout, day)
    if decisions.empty:
        return {}
    rows = label(settings, rollout.model, day, decisions)
    if rows.empty or rows.groupby("label")["cluster"].nunique().reindex([0, 1], fill_value=0).min() < LEAST_PEOPLE:
        return {}
    both = (rows["label"], rows["champion"], rows["challenger"], rows["cluster"])
    return {
        "people": int(rows["cluster"].nunique()),
        "rows": len(rows),
        "positives": int(rows["label"].sum()),
        "expected": {
            "champion": round(float(rows["champion"].sum()), 1),
            "challenger": round(float(rows["challenger"].sum()), 1),
        },
        LOSS: arms.loss(*both, rollout.policy.loss),
        LEVEL: arms.level(*both, rollout.policy.calibration),
    }
