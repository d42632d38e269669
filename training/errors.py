"""What training says when it cannot go on."""

from __future__ import annotations


class TrainingError(RuntimeError):
    """No candidate can be made; the message says what came, what is needed, and what to do."""


class TooFewLabels(TrainingError):
    """There is too little to learn from yet; the message says how much there is, and how much is needed."""
