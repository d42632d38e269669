"""LightGBM's model text as arrays of numbers, or a refusal by name: what is not understood is not guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from whence.trees.errors import TextError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

HEAD = frozenset(
    (
        "version",
        "num_class",
        "num_tree_per_iteration",
        "label_index",
        "max_feature_idx",
        "objective",
        "feature_names",
        "feature_infos",
        "monotone_constraints",
        "tree_sizes",
    )
)
TREE = frozenset(
    (
        "num_leaves",
        "num_cat",
        "split_feature",
        "split_gain",
        "threshold",
        "decision_type",
        "left_child",
        "right_child",
        "leaf_value",
        "leaf_weight",
        "leaf_count",
        "internal_value",
        "internal_weight",
        "internal_count",
        "cat_boundaries",
        "cat_threshold",
        "is_linear",
        "shrinkage",
    )
)
CATEGORY, DEFAULT_LEFT = 1, 2
"""Bits of a node's decision; the two bits above them say what is missing."""
NONE, ZERO, NAN = 0, 1, 2


@dataclass(frozen=True)
class Forest:
    """The trees of a model, one after the other in each array."""

    names: tuple[str, ...]
    leaves: Ints
    """The number of leaves of each tree; its nodes are one fewer."""
    feature: Ints
    """Of each node …"""
    threshold: Floats
    """… a value at most this goes left; for a category the number of its set within the tree …"""
    decision: Ints
    left: Ints
    right: Ints
    """… and children: a node's number within the tree, or −1 − a leaf's number."""
    value: Floats
    """Of each leaf."""
    sets: Ints
    """The number of sets of each tree."""
    bounds: Ints
    """Where each set starts among the words, and at the end where the last ends."""
    words: npt.NDArray[np.uint32]
    """Sets of category codes that go left, a bit each, the lowest first."""

    @property
    def is_category(self) -> npt.NDArray[np.bool_]:
        """Which nodes split a category."""
        return np.asarray(self.decision & CATEGORY, dtype=np.bool_)

    @property
    def missing(self) -> Ints:
        """What each node takes for missing: NONE, ZERO or NAN."""
        return self.decision >> 2

    @property
    def tree(self) -> Ints:
        """The tree of each node."""
        return np.repeat(np.arange(len(self.leaves)), self.leaves - 1)

    def members(self, nodes: Ints) -> tuple[Ints, Ints]:
        """(place among `nodes`, code) for each code of each node's set."""
        first = np.cumsum(self.sets) - self.sets
        chosen = first[self.tree[nodes]] + self.threshold[nodes].astype(np.int64)
        start, sizes = self.bounds[chosen], self.bounds[chosen + 1] - self.bounds[chosen]
        owner = np.repeat(np.arange(len(nodes)), sizes)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        octets = self.words[np.repeat(start, sizes) + place].view(np.uint8)
        filled = np.flatnonzero(octets)
        octet, bit = np.divmod(np.flatnonzero(np.unpackbits(octets[filled], bitorder="little")), 8)
        word, part = np.divmod(filled[octet], 4)
        return owner[word], place[word] * 32 + part * 8 + bit


def read(text: str) -> Forest:
    """The trees of a model text with one output a row; raises TextError for anything else, and for a text that was cut."""
    body, end, _ = text.partition("\nend of trees\n")
    if not end:
        raise TextError("The text does not say 'end of trees', so it is cut or no LightGBM model.")
    head, *blocks = body.split("\nTree=")
    names = _names(_head(head))
    trees = [_tree(number, block) for number, block in enumerate(blocks)]
    if not trees:
        raise TextError("The model has no trees.")
    leaves = np.array([_count(tree, "num_leaves", 1) for tree in trees])
    sets = np.array([_count(tree, "num_cat", 0) for tree in trees])
    counts = (leaves - 1).tolist()
    bounds, words = _sets(trees, sets.tolist())
    made = Forest(
        names=names,
        leaves=leaves,
        feature=_joined(trees, "split_feature", counts, int),
        threshold=_joined(trees, "threshold", counts, float),
        decision=_joined(trees, "decision_type", counts, int),
        left=_joined(trees, "left_child", counts, int),
        right=_joined(trees, "right_child", counts, int),
        value=_joined(trees, "leaf_value", leaves.tolist(), float),
        sets=sets,
        bounds=bounds,
        words=words,
    )
    _check(made)
    return made


def _head(head: str) -> dict[str, str]:
    first, *lines = head.splitlines()
    if first != "tree":
        raise TextError(f"The text starts with {first[:20]!r}, and a LightGBM model with 'tree'.")
    found = _pairs(lines, HEAD, "head")
    for name in ("num_class", "num_tree_per_iteration"):
        if found.get(name) != "1":
            raise TextError(f"The model has {name}={found.get(name)}, and only one output a row is read here.")
    return found


def _names(head: dict[str, str]) -> tuple[str, ...]:
    names = tuple(head.get("feature_names", "").split())
    if head.get("max_feature_idx") != str(len(names) - 1):
        raise TextError(f"The text names {len(names)} features, and says that the last is number {head.get('max_feature_idx')}.")
    return names


def _tree(number: int, block: str) -> dict[str, str]:
    said, *lines = block.splitlines()
    if said != str(number):
        raise TextError(f"Tree {number} is called {said[:20]!r}.")
    found = _pairs(lines, TREE, f"tree {number}")
    if found.get("is_linear", "0") != "0":
        raise TextError(f"Tree {number} has linear models in its leaves.")
    return found


def _pairs(lines: Iterable[str], known: frozenset[str], where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in filter(None, lines):
        name, _, value = line.partition("=")
        if name not in known or name in found:
            raise TextError(f"The {where} says {line[:40]!r}, which is not known here, or says it twice.")
        found[name] = value
    return found


def _count(tree: dict[str, str], name: str, least: int) -> int:
    (count,) = _numbers(tree.get(name, ""), 1, int, name)
    if count < least:
        raise TextError(f"A tree has {name}={count}.")
    return int(count)


def _joined(trees: list[dict[str, str]], name: str, counts: list[int], kind: Callable[[str], Any]) -> npt.NDArray[Any]:
    numbers: list[Any] = []
    for tree, count in zip(trees, counts, strict=True):
        numbers += _numbers(tree.get(name, ""), count, kind, name)
    return _array(numbers, np.float64 if kind is float else np.int64, name)


def _numbers(line: str, count: int, kind: Callable[[str], Any], name: str) -> list[Any]:
    words = line.split()
    if len(words) != count or "_" in line:
        raise TextError(f"A tree has {len(words)} numbers in {name}, and {count} are expected.")
    try:
        return list(map(kind, words))
    except ValueError as wrong:
        raise TextError(f"{name} is not made of numbers: {wrong}.") from None


def _sets(trees: list[dict[str, str]], sets: list[int]) -> tuple[Ints, npt.NDArray[np.uint32]]:
    bounds, words = [0], list[int]()
    for tree, count in zip(trees, sets, strict=True):
        if not count:
            continue
        own = _numbers(tree.get("cat_boundaries", ""), count + 1, int, "cat_boundaries")
        if own[0] != 0 or sorted(own) != own:
            raise TextError("The sets of a tree's categories overlap.")
        bounds += [len(words) + bound for bound in own[1:]]
        words += _numbers(tree.get("cat_threshold", ""), own[-1], int, "cat_threshold")
    return _array(bounds, np.int64, "cat_boundaries"), _array(words, np.uint32, "cat_threshold")


def _array(numbers: list[Any], kind: Any, name: str) -> npt.NDArray[Any]:
    try:
        return np.array(numbers, dtype=kind)
    except (OverflowError, ValueError) as wrong:
        raise TextError(f"A number in {name} is too large: {wrong}.") from None


def _check(made: Forest) -> None:
    if ((made.feature < 0) | (made.feature >= len(made.names))).any():
        raise TextError("A node asks for a feature that the model does not name.")
    if ((made.decision < 0) | (made.missing > NAN)).any():
        raise TextError("A node decides in a way that is not known here.")
    if np.isnan(made.threshold).any():
        raise TextError("A threshold is no number.")
    chosen, at_hand = made.threshold[made.is_category], made.sets[made.tree[made.is_category]]
    if ((chosen < 0) | (chosen >= at_hand) | (chosen != np.floor(chosen))).any():
        raise TextError("A node asks for a set of categories that its tree does not have.")
    for child in (made.left, made.right):
        size = made.leaves[made.tree]
        if ((child >= size - 1) | (child < -size)).any():
            raise TextError("A node has a child that its tree does not have.")
