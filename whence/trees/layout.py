"""A forest in the order that `blend.c` reads: columns of bytes, and groups of trees whose nodes come children first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from whence.trees.errors import TextError
from whence.trees.text import DEFAULT_LEFT, NAN, NONE, Forest

Ints = npt.NDArray[np.int64]

NUMBER = np.dtype([("feature", "i4"), ("first", "i4"), ("steps", "i4"), ("missing", "u1", 2), ("zero", "u1", 2)])
CATEGORY = np.dtype([("feature", "i4"), ("first", "i4"), ("count", "i4")])
SPLIT = np.dtype([("column", "u2"), ("node", "u2"), ("set", "u4"), ("chunks", "u4")])
FORK = np.dtype([("column", "u2"), ("threshold", "i1"), ("leaf", "u1")])
NODE = np.dtype([("column", "u2"), ("left", "u2"), ("right", "u2"), ("threshold", "i1"), ("unused", "i1")])
TREE = np.dtype([("leaves", "i4"), ("root", "i4")])
GROUP = np.dtype([("trees", "i4"), ("splits", "i4"), ("forks", "i4"), ("nodes", "i4")])

MOST_LEAVES, MOST_THRESHOLDS, MOST_CODES, MOST_SLOTS = 256, 255, 1024, 8192
MOST_RAW_CODES, MOST_WORDS = 2**20, 2**24
"""A larger code would make a table of its own size; more words of sets would take a gigabyte to turn."""
EIGHTHS = 8
"""Places are in eighths of a slot."""
CHUNK = 16
"""Bytes of a set that one look-up covers."""
GROUP_NODES = 256
"""Nodes of a group: enough to be busy while a node waits for its children, few enough that all slots stay in 32 kB of cache."""
LEFT, RIGHT = 0, 255
"""Ranks below and above every threshold, for a value that is missing."""
SIGN = 0x80
"""Ranks are stored with this bit turned, since vectors compare signed bytes."""


@dataclass(frozen=True)
class Layout:
    """The arrays of `struct forest` in `blend.c`, by its names, and its counts."""

    arrays: dict[str, npt.NDArray[Any]]
    counts: dict[str, int]


def lay_out(forest: Forest) -> Layout:
    """The forest as the kernel reads it; raises TextError for one that does not fit into bytes."""
    if forest.leaves.max() > MOST_LEAVES:
        raise TextError(f"A tree has {forest.leaves.max()} leaves, and {MOST_LEAVES} fit into a byte.")
    if len(forest.words) > MOST_WORDS:
        raise TextError(f"The sets of categories have {len(forest.words)} words, and {MOST_WORDS} are taken.")
    heights = _heights(forest)
    numbers, thresholds, number_column, rank = _numbers(forest)
    sets = _categories(forest, 2 * len(numbers))
    inputs = 2 * (len(numbers) + len(sets.categories))
    first = inputs + int(forest.leaves.max())
    group = _grouped(forest.leaves - 1)
    order = np.lexsort((heights, group[forest.tree]))
    slot, sizes = _slots(group[forest.tree][order], order, first, int(group[-1]) + 1)
    if first + int(sizes.max(initial=0)) > MOST_SLOTS:
        raise TextError(f"The model has {len(forest.names)} features, and its columns do not fit into {MOST_SLOTS} slots.")
    number = _leaf_numbers(forest)
    is_fork = heights[order] == 1  # the lowest come first in each group
    column = np.where(forest.is_category, slot, number_column)[order] * EIGHTHS
    threshold = np.where(forest.is_category, -1, rank - SIGN)[order]
    left, right = (_child_slots(forest, child, slot, inputs, number)[order] for child in (forest.left, forest.right))
    forks, nodes = np.zeros(int(is_fork.sum()), FORK), np.zeros(int((~is_fork).sum()), NODE)
    forks["column"], forks["threshold"], forks["leaf"] = column[is_fork], threshold[is_fork], (left - inputs)[is_fork]
    nodes["column"], nodes["threshold"] = column[~is_fork], threshold[~is_fork]
    nodes["left"], nodes["right"] = left[~is_fork] * EIGHTHS, right[~is_fork] * EIGHTHS
    by_chunks = np.lexsort((sets.chunks, group[forest.tree]))
    by_chunks = by_chunks[forest.is_category[by_chunks]]
    splits = np.zeros(len(by_chunks), SPLIT)
    splits["column"], splits["node"] = sets.slot[by_chunks] * EIGHTHS, slot[by_chunks] * EIGHTHS
    splits["set"], splits["chunks"] = sets.first[by_chunks], sets.chunks[by_chunks]
    return Layout(
        {
            "numbers": numbers,
            "thresholds": thresholds,
            "categories": sets.categories,
            "codes": sets.codes,
            "groups": _groups(group, sizes, group[forest.tree][by_chunks], group[forest.tree][order][is_fork]),
            "trees": _trees(forest, slot, inputs),
            "splits": splits,
            "sets": sets.bits,
            "forks": forks,
            "nodes": nodes,
            "leaves": _leaf_values(forest, number),
        },
        {
            "number_count": len(numbers),
            "category_count": len(sets.categories),
            "group_count": int(group[-1]) + 1,
            "leaf_slots": int(forest.leaves.max()),
            "slots": first + int(sizes.max(initial=0)),
            "features": len(forest.names),
        },
    )


def _heights(forest: Forest) -> Ints:
    """How far each node is above its farthest leaf; raises TextError when the children do not make trees."""
    start = np.cumsum(forest.leaves - 1) - (forest.leaves - 1)
    leaf = np.cumsum(forest.leaves) - forest.leaves
    tree, many = forest.tree, len(forest.feature)
    met_nodes, met_leaves = np.zeros(many, np.int64), np.zeros(len(forest.value), np.int64)
    children = []
    for child in (forest.left, forest.right):
        is_leaf = child < 0
        np.add.at(met_nodes, (start[tree] + child)[~is_leaf], 1)
        np.add.at(met_leaves, (leaf[tree] - 1 - child)[is_leaf], 1)
        children.append(np.where(is_leaf, many, start[tree] + child))
    met_nodes[start[forest.leaves > 1]] += 1
    met_leaves[leaf[forest.leaves == 1]] += 1
    heights = np.zeros(many + 1, np.int64)
    for _ in range(int(forest.leaves.max())):
        before, heights[:many] = heights.copy(), 1 + np.maximum(heights[children[0]], heights[children[1]])
        if np.array_equal(before, heights):
            break
    if (met_nodes != 1).any() or (met_leaves != 1).any() or (many and heights.max() >= forest.leaves.max()):
        raise TextError("A tree's nodes and leaves do not hang together as a tree.")
    return heights[:many]


def _numbers(forest: Forest) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64], Ints, Ints]:
    """Columns of numbers and their thresholds; each node's slot, and its threshold's rank."""
    nodes = np.flatnonzero(~forest.is_category)
    keys, column = np.unique(forest.feature[nodes] * 4 + forest.missing[nodes], return_inverse=True)
    made, known, first = np.zeros(len(keys), NUMBER), [np.empty(0)], 0
    slot, rank = (np.zeros(len(forest.feature), np.int64) for _ in range(2))
    for place, key in enumerate(keys.tolist()):
        mine = nodes[column == place]
        own, rank[mine] = np.unique(forest.threshold[mine], return_inverse=True)
        if len(own) > MOST_THRESHOLDS:
            raise TextError(f"{forest.names[key // 4]} has {len(own)} thresholds, and {MOST_THRESHOLDS} fit into a byte.")
        steps = len(own).bit_length()
        zero = int((own < 0).sum())
        default, known_zero = (LEFT, RIGHT), (zero, zero)
        missing = known_zero if key % 4 == NONE else default
        made[place] = (key // 4, first, steps, _bytes(missing), _bytes(known_zero if key % 4 in (NONE, NAN) else default))
        known.append(np.append(own, np.full(2**steps - 1 - len(own), np.inf)))
        first += 2**steps - 1
        slot[mine] = 2 * place + ((forest.decision[mine] & DEFAULT_LEFT) == 0)
    return made, np.concatenate(known), slot, rank


def _bytes(ranks: tuple[int, int]) -> tuple[int, int]:
    return ranks[0] ^ SIGN, ranks[1] ^ SIGN


@dataclass(frozen=True)
class _Sets:
    """Columns of categories, and the set of each node."""

    categories: npt.NDArray[Any]
    codes: npt.NDArray[np.int16]
    """The dense code of each raw code, or −1; those in most sets come first, so that most sets are short."""
    bits: npt.NDArray[np.uint8]
    slot: Ints
    """Of each node: its column, …"""
    first: Ints
    """… where its set starts, in chunks, …"""
    chunks: Ints
    """… and how many they are."""


def _categories(forest: Forest, first_slot: int) -> _Sets:
    features = np.unique(forest.feature[forest.is_category])
    made, dense, bits = np.zeros(len(features), CATEGORY), [np.empty(0, np.int16)], [np.empty(0, np.uint8)]
    slot, first, chunks = (np.zeros(len(forest.feature), np.int64) for _ in range(3))
    codes_before = chunks_before = 0
    for place, feature in enumerate(features.tolist()):
        mine = np.flatnonzero(forest.is_category & (forest.feature == feature))
        owner, code = forest.members(mine)
        known, count = np.unique(code, return_counts=True)
        if len(known) > MOST_CODES:
            raise TextError(f"{forest.names[feature]} tells {len(known)} codes apart, and {MOST_CODES} are taken.")
        if (largest := int(known.max(initial=-1))) >= MOST_RAW_CODES:
            raise TextError(f"{forest.names[feature]} has a code of {largest}, and those below {MOST_RAW_CODES} are taken.")
        own = np.full(largest + 1, -1, np.int16)
        own[known[np.argsort(-count, kind="stable")]] = np.arange(len(known))
        made[place] = (feature, codes_before, len(own))
        mine_first, mine_chunks, mine_bits = _packed(owner, own[code].astype(np.int64), len(mine))
        first[mine], chunks[mine] = chunks_before + mine_first, mine_chunks
        bits.append(mine_bits)
        slot[mine] = first_slot + 2 * place
        dense.append(own)
        codes_before, chunks_before = codes_before + len(own), chunks_before + int(mine_chunks.sum())
    return _Sets(made, np.concatenate(dense), np.concatenate(bits), slot, first, chunks)


def _packed(owner: Ints, code: Ints, count: int) -> tuple[Ints, Ints, npt.NDArray[np.uint8]]:
    """Sets as bits, each only as long as it must be: where each starts, how many chunks it has, and the bytes of all."""
    longest = np.zeros(count, np.int64)
    np.maximum.at(longest, owner, code + 1)
    chunks = -(-longest // (8 * CHUNK))
    first = np.cumsum(chunks) - chunks
    bits = np.zeros(int(chunks.sum()) * CHUNK, np.uint8)
    np.bitwise_or.at(bits, first[owner] * CHUNK + (code >> 3), (1 << (code & 7)).astype(np.uint8))
    return first, chunks, bits


def _grouped(nodes: Ints) -> Ints:
    """The group of each tree: neighbours, as long as their nodes fit."""
    group, number, room = np.zeros(len(nodes), np.int64), 0, GROUP_NODES
    for tree, count in enumerate(nodes.tolist()):
        if tree and count > room:
            number, room = number + 1, GROUP_NODES
        group[tree] = number
        room -= count
    return group


def _slots(group: Ints, order: Ints, first: int, many: int) -> tuple[Ints, Ints]:
    """The slot of each node, and the number of nodes of each group; `group` is in that order."""
    sizes = np.bincount(group, minlength=many)
    slot = np.empty(len(order), np.int64)
    slot[order] = first + np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return slot, sizes


def _leaf_numbers(forest: Forest) -> Ints:
    """A new number within its tree for each leaf: those of a fork one after the other, the left one first."""
    first = np.cumsum(forest.leaves) - forest.leaves
    is_fork = (forest.left < 0) & (forest.right < 0)
    key = np.zeros(len(forest.value), np.int64)
    for side, child in enumerate((forest.left, forest.right)):
        above = np.flatnonzero(child < 0)
        key[(first[forest.tree] - 1 - child)[above]] = 2 * np.where(is_fork[above], above, above + len(child)) + side
    tree = np.repeat(np.arange(len(forest.leaves)), forest.leaves)
    number = np.empty(len(key), np.int64)
    number[np.lexsort((key, tree))] = np.arange(len(key)) - first[tree]
    return number


def _leaf_values(forest: Forest, number: Ints) -> npt.NDArray[np.float64]:
    values = np.empty_like(forest.value)
    values[np.repeat(np.cumsum(forest.leaves) - forest.leaves, forest.leaves) + number] = forest.value
    return values


def _child_slots(forest: Forest, child: Ints, slot: Ints, inputs: int, number: Ints) -> Ints:
    start = (np.cumsum(forest.leaves - 1) - (forest.leaves - 1))[forest.tree]
    leaf = (np.cumsum(forest.leaves) - forest.leaves)[forest.tree] - 1 - child
    is_leaf = child < 0
    return np.where(is_leaf, inputs + number[np.where(is_leaf, leaf, 0)], slot[np.where(is_leaf, 0, start + child)])


def _trees(forest: Forest, slot: Ints, inputs: int) -> npt.NDArray[Any]:
    made = np.zeros(len(forest.leaves), TREE)
    made["leaves"] = np.cumsum(forest.leaves) - forest.leaves
    start = np.cumsum(forest.leaves - 1) - (forest.leaves - 1)
    is_lone = forest.leaves == 1
    made["root"] = inputs * EIGHTHS
    made["root"][~is_lone] = slot[start[~is_lone]] * EIGHTHS
    return made


def _groups(group: Ints, sizes: Ints, of_splits: Ints, of_forks: Ints) -> npt.NDArray[Any]:
    made = np.zeros(len(sizes), GROUP)
    made["trees"] = np.bincount(group, minlength=len(sizes))
    made["splits"] = np.bincount(of_splits, minlength=len(sizes))
    made["forks"] = np.bincount(of_forks, minlength=len(sizes))
    made["nodes"] = sizes - made["forks"]
    return made
