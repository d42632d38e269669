"""The model text: what is read is what LightGBM means, and what is not understood is refused, never guessed and never fatal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_trees_engines import MODELS, made, pytestmark, some_rows
from whence.trees import Trees, TreesError, blend
from whence.trees.engines import fastest
from whence.trees.text import read

__all__ = ["pytestmark"]  # the same skip as there
SMALL = {**MODELS["categories"], "rounds": 2, "num_leaves": 8}


def test_a_forest_is_read_as_lightgbm_lists_it() -> None:
    text = made(SMALL)
    forest = read(text)
    listed = Trees(text)
    assert forest.names == listed.names
    assert forest.leaves.tolist() == [8, 8]
    assert (len(forest.feature), len(forest.value)) == (14, 16)
    assert forest.sets.sum() == forest.is_category.sum() > 0


def test_the_codes_of_a_set_are_the_bits_of_its_words() -> None:
    whole = read(made(SMALL))
    node = int(np.flatnonzero(whole.is_category)[0])
    owner, codes = whole.members(np.array([node, node]))
    start, end = whole.bounds[int(whole.threshold[node])], whole.bounds[int(whole.threshold[node]) + 1]
    bits = [
        32 * place + bit for place, word in enumerate(whole.words[start:end].tolist()) for bit in range(32) if word >> bit & 1
    ]
    assert codes.tolist() == bits * 2
    assert owner.tolist() == [0] * len(bits) + [1] * len(bits)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("tree\n", "forest\n", "starts with 'forest'"),
        ("num_class=1", "num_class=3", "num_class=3"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=2", "num_tree_per_iteration=2"),
        ("label_index=0", "label_index=0\naverage_output", "average_output"),
        ("label_index=0", "label_index=0\nlabel_index=0", "twice"),
        ("max_feature_idx=4", "max_feature_idx=5", "names 5 features"),
        ("Tree=1\n", "Tree=2\n", "Tree 1 is called '2'"),
        ("is_linear=0", "is_linear=1", "linear models"),
        ("num_leaves=8", "num_leaves=9", "8 are expected"),
        ("num_leaves=8", "num_leaves=0", "num_leaves=0"),
        ("split_feature=", "split_feature=1 ", "8 numbers in split_feature"),
        ("leaf_value=", "leaf_value=x", "not made of numbers"),
        ("cat_boundaries=0 ", "cat_boundaries=1 ", "sets of a tree's categories overlap"),
        ("cat_threshold=", "cat_threshold=1 ", "cat_threshold"),
        ("end of trees", "end of", "cut or no LightGBM model"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(old: str, new: str, said: str) -> None:
    text = made(SMALL)
    assert old in text
    with pytest.raises(TreesError, match=said):
        read(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("line", "change", "said"),
    [
        ("split_feature", "9", "feature that the model does not name"),
        ("decision_type", "12", "decides in a way"),
        ("threshold", "nan", "no number"),
        ("left_child", "7", "child that its tree does not have"),
        ("right_child", "-9", "child that its tree does not have"),
        ("left_child", "0", "hang together"),
    ],
)
def test_a_node_that_cannot_be_is_refused(line: str, change: str, said: str) -> None:
    text = made({"num_leaves": 8, "rounds": 2})
    start = text.index(f"\n{line}=") + len(line) + 2
    end = start + text[start:].index(" ")
    with pytest.raises(TreesError, match=said):
        blend.Blend(read(text[:start] + change + text[end:]), 0)


@settings(max_examples=120, deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), letter=st.sampled_from([*"0123456789 .=-\nex_", None]))
def test_a_cut_or_changed_text_is_refused_or_read_and_never_fatal(where: float, letter: str | None) -> None:
    text = made(SMALL)
    body = text.index("end of trees") + 13
    place = int(where * body)
    changed = text[:place] if letter is None else text[:place] + letter + text[place + 1 :]
    try:
        scores = blend.Blend(read(changed), blend.vectors()).raw(some_rows(40))
    except TreesError:
        return
    assert scores.shape == (40,)


def test_a_changed_leaf_is_caught_by_the_comparison_and_not_served() -> None:
    text = made(MODELS["numbers"])
    start = text.index("leaf_value=") + len("leaf_value=")
    changed = text[:start] + "1" + text[start:]
    assert fastest(changed, Trees(text)).engine == "lightgbm"
