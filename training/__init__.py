"""The training room's front door: a candidate of one model, made from what was known at the end of a day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.recalibrating import Labels
    from whence.contracts.models import Candidate
    from whence.contracts.settings import Settings


def train(
    settings: Settings, model: str, as_of: date, drill: str = "", progress: Callable[[str], None] | None = None
) -> Candidate:
    """Train, calibrate and measure one model on the days up to `as_of`, and leave a candidate for the gate.

    `model` is one of contracts.models.MODELS. `drill` is "" in earnest, or "shuffled_labels" to make a candidate
    that must be refused. The bundle goes to settings.bundles, its report (test.parquet, metrics.json, params.json,
    data.json, plots) to the candidate's folder. The same tables and settings give the same bundle, and a rerun
    changes nothing. `progress` is told each step. Raises TrainingError with what is missing when there is too
    little to learn from.
    """
    from training.run import run

    return run(settings, model, as_of, drill, progress)


def recalibrate(
    settings: Settings,
    model: str,
    as_of: date,
    champion: str,
    labels: Labels,
    progress: Callable[[str], None] | None = None,
) -> Candidate:
    """Leave a candidate for the gate that has the trees of the bundle `champion`, and a calibrator of newer labels.

    `labels` says what came of decisions: monitoring.labels. Bundle and report go where `train` puts them; a rerun changes
    nothing. Raises TooFewLabels when too few are ripe, and TrainingError for a model that has none, each with what to do.
    """
    from training.recalibrating import recalibrate as run

    return run(settings, model, as_of, champion, labels, progress)
