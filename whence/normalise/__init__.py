"""Identifiers in one form: versioned rules that turn what people and systems write into what can be compared."""

from whence.normalise.columns import normalise
from whence.normalise.placeholders import is_placeholder

__all__ = ["is_placeholder", "normalise"]
