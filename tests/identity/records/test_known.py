"""What people said is learned from with the label column, joins the candidates, and is never overruled."""

from __future__ import annotations

import numpy as np

from whence.identity.records.known import SAID, labelled, settled, with_known
from whence.identity.records.table import MISSING, Pairs, Records

RECORDS = Records(("a", "b", "c", "d"), ())


def pairs_of(*ends: tuple[int, int]) -> Pairs:
    found = np.array(ends, dtype=np.int32).reshape(-1, 2)
    return Pairs(found[:, 0], found[:, 1])


def test_known_pairs_join_the_candidates_once() -> None:
    found = with_known(RECORDS, pairs_of((0, 1), (1, 2)), {("b", "a"): True, ("a", "d"): False})
    assert list(zip(found.left.tolist(), found.right.tolist(), strict=True)) == [(0, 1), (0, 3), (1, 2)]


def test_people_are_what_labels_make_one() -> None:
    rows, same, people = labelled(RECORDS, pairs_of((0, 1), (0, 3), (1, 2)), {("a", "b"): True, ("b", "c"): False})
    assert rows.tolist() == [0, 2]
    assert same.tolist() == [1.0, 0.0]
    assert people[0, 0] == people[0, 1] == people[1, 0] != people[1, 1]


def test_a_persons_word_on_a_pair_counts_more_than_the_label_column() -> None:
    records = Records(RECORDS.ids, (), labels=np.array([0, 0, 1, MISSING], dtype=np.int32))
    rows, same, people = labelled(records, pairs_of((0, 1), (0, 2), (2, 3)), {("a", "b"): False})
    assert rows.tolist() == [0, 1]
    assert same.tolist() == [0.0, 0.0]
    assert people[0, 0] == people[0, 1]


def test_evidence_never_overrules_what_was_said() -> None:
    found = settled(RECORDS, pairs_of((0, 1), (1, 2)), np.array([-3.0, 2.0]), {("a", "b"): True, ("x", "y"): True})
    assert found.tolist() == [SAID, 2.0]


def test_nothing_said_changes_nothing() -> None:
    pairs = pairs_of((0, 1))
    assert settled(RECORDS, pairs, np.array([1.0]), {}).tolist() == [1.0]
    assert len(labelled(RECORDS, pairs, {})[0]) == 0
    assert len(with_known(RECORDS, pairs_of(), {}).left) == 0
