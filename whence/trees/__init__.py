"""Forests of decision trees: LightGBM's own library, and faster engines that give the same scores bit by bit."""

from whence.trees.engines import Engine, fastest
from whence.trees.errors import TreesError
from whence.trees.lightgbm import Trees

__all__ = ["Engine", "Trees", "TreesError", "fastest"]
