"""What training says when it cannot go on."""

from __future__ import annotations


class TrainingError(RuntimeError):
    """No candidate can be made; the message says what came, what is needed, and what to do."""
