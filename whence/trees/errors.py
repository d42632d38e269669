"""What can be wrong with a model's text, or with the rows that it is given."""

from __future__ import annotations


class TreesError(RuntimeError):
    """LightGBM refused a model or a matrix."""


class TextError(TreesError):
    """The text is no LightGBM model that can be read here exactly; the message says what is in the way."""
