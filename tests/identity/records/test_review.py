"""Labels are kept for good, the latest word of each author counts, and the most useful pair is asked about first."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.identity.records.review import EARLIEST, Label, LabelError, append, from_table, queue, read, settle
from whence.identity.records.table import Pairs
from whence.identity.records.verdicts import SAME, UNSURE, Verdicts

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def a_label(verdict: str = "same", *, by: str = "Ada", left: str = "a", right: str = "b", minute: int = 0) -> Label:
    return Label(left, right, verdict, by, NOON + timedelta(minutes=minute))


def pairs_of(*ends: tuple[int, int]) -> Pairs:
    left, right = zip(*ends, strict=True)
    return Pairs(np.array(left, dtype=np.int32), np.array(right, dtype=np.int32))


def unsure(n: int) -> Verdicts:
    return Verdicts(np.full(n, UNSURE, dtype=np.int8), np.zeros(n, dtype=bool), 1.0)


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "labels.jsonl"
    append(path, [a_label()])
    append(path, [a_label("unsure", by="Bö", minute=1)])
    assert read(path) == [a_label(), a_label("unsure", by="Bö", minute=1)]


def test_nothing_was_said_where_there_is_no_file(tmp_path: Path) -> None:
    assert read(tmp_path / "labels.jsonl") == []


def test_a_line_cut_off_by_a_crash_is_left_out_and_then_replaced(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    append(path, [a_label()])
    with path.open("a") as file:
        file.write('{"left": "a", "ri')
    assert read(path) == [a_label()]
    append(path, [a_label("different", minute=1)])
    assert read(path) == [a_label(), a_label("different", minute=1)]


def test_a_line_that_is_no_label_is_named(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    append(path, [a_label()])
    with path.open("a") as file:
        file.write('{"left": "a", "right": "b", "verdict": "maybe", "author": "Ada", "at": "2026-05-01T12:00:00+00:00"}\n')
    with pytest.raises(LabelError, match=r"labels.jsonl, line 2 is no label .*maybe"):
        read(path)


def test_two_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    writers = [
        threading.Thread(target=lambda by=by: [append(path, [a_label(by=by, minute=m)]) for m in range(20)])
        for by in ("Ada", "Bo")
    ]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert len(read(path)) == 40


def test_the_latest_word_of_an_author_counts() -> None:
    said = [a_label("same"), a_label("different", minute=5)]
    assert settle(said).verdicts == {("a", "b"): "different"}
    assert settle(said).conflicts == ()


def test_contradicting_authors_are_reported_and_the_majority_holds() -> None:
    said = [a_label("same"), a_label("different", by="Bo"), a_label("same", by="Cy", left="b", right="a")]
    found = settle(said)
    assert found.known == {("a", "b"): True}
    assert str(found.conflicts[0]) == "a and b: Ada says same, Bo says different, Cy says same"


def test_a_tie_is_unsure_and_teaches_nothing() -> None:
    found = settle([a_label("same"), a_label("different", by="Bo")])
    assert found.verdicts == {("a", "b"): "unsure"}
    assert found.known == {}


def test_who_says_two_things_at_one_time_is_not_sure_and_is_named() -> None:
    found = settle([a_label("same"), a_label("different")])
    assert found.verdicts == {("a", "b"): "unsure"}
    assert [word for _, word in found.conflicts[0].said] == ["different", "same"]
    assert settle([a_label("same"), a_label("same")]).conflicts == ()


@given(
    st.lists(st.tuples(st.sampled_from(["same", "different", "unsure"]), st.sampled_from("ABC"), st.integers(0, 9)), max_size=9),
    st.randoms(),
)
def test_the_order_of_lines_does_not_matter(said: list[tuple[str, str, int]], random: object) -> None:
    labels = [a_label(verdict, by=by, minute=minute) for verdict, by, minute in said]
    assert settle(labels) == settle(labels[::-1])


@pytest.mark.parametrize(
    ("verdict", "author", "right", "words"),
    [("maybe", "Ada", "b", "one of same"), ("same", " ", "b", "needs an author"), ("same", "Ada", "a", "two records")],
)
def test_impossible_labels_are_refused(verdict: str, author: str, right: str, words: str) -> None:
    with pytest.raises(LabelError, match=words):
        Label("a", right, verdict, author, NOON)
    with pytest.raises(LabelError, match="without a zone"):
        Label("a", "b", "same", "Ada", datetime(2026, 5, 1))  # noqa: DTZ001


def test_the_pair_between_the_larger_people_comes_first() -> None:
    pairs = pairs_of((0, 1), (2, 5))
    people = np.array([0, 1, 2, 2, 2, 3, 3, 3, 3])
    found = queue(pairs, np.array([0.5, 0.5]), unsure(2), people)
    assert [(each.place, each.impact) for each in found] == [(1, 12), (0, 1)]
    assert found[0].why == "would put 12 pairs of records together"


def test_a_link_that_holds_two_halves_together_matters_more_than_one_beside_others() -> None:
    pairs = pairs_of((0, 1), (0, 2), (1, 2), (2, 3), (3, 4))
    chances = np.array([0.95, 0.5, 0.95, 0.5, 0.95])
    verdicts = Verdicts(np.array([SAME, UNSURE, SAME, UNSURE, SAME], dtype=np.int8), np.ones(5, dtype=bool), 1.0)
    found = queue(pairs, chances, verdicts, np.zeros(5, dtype=np.int64))
    assert [(each.place, each.impact) for each in found] == [(3, 6), (1, 1)]
    assert found[0].why == "holds 6 pairs of records together"


def test_the_most_doubtful_of_equal_impact_comes_first_and_answered_pairs_do_not_come() -> None:
    pairs = pairs_of((0, 1), (2, 3), (4, 5))
    found = queue(pairs, np.array([0.9, 0.5, 0.4]), unsure(3), np.arange(6), answered=np.array([False, True, False]))
    assert [each.place for each in found] == [2, 0]


def test_there_is_nothing_to_ask_when_all_is_sure() -> None:
    sure = Verdicts(np.array([SAME], dtype=np.int8), np.ones(1, dtype=bool), 1.0)
    assert queue(pairs_of((0, 1)), np.array([0.99]), sure, np.zeros(2, dtype=np.int64)) == []


def test_one_question_about_two_people_comes_before_a_second_about_them() -> None:
    pairs = pairs_of((0, 2), (1, 2), (3, 4))
    found = queue(pairs, np.array([0.5, 0.5, 0.4]), unsure(3), np.array([0, 0, 1, 2, 3]))
    assert [each.place for each in found] == [0, 2, 1]


def test_labels_of_a_file_are_read_under_the_names_they_have(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("left_id,right_id,verdict,author,at\na,b,same,Ada,2026-05-01T12:00:00\nc,d,0,,\n")
    assert from_table(path) == [a_label(), Label("c", "d", "different", "pairs.csv", EARLIEST)]


@pytest.mark.parametrize("text", ["idAbt,idBuy\n7,7\n", "_id,ltable_id,rtable_id,label\n0,7,7,1\n", "id1,id2\nabt/7,buy/7\n"])
def test_pairs_of_two_shops_that_number_alike_are_of_one_shop_each(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gold.csv"
    path.write_text(text)
    assert from_table(path, ("abt", "buy")) == [Label("abt/7", "buy/7", "same", "gold.csv", EARLIEST)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b,c\n1,2,3\n", "has no column 'left_id'; it has a, b, c"),
        ("left_id,right_id,verdict\na,b,same\na,c,perhaps\n", "row 2: the verdict is 'perhaps'"),
        ("left_id,right_id,verdict\na,a,same\n", "row 1: A label is of two records"),
    ],
)
def test_a_file_of_labels_that_is_none_is_named_by_row(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(LabelError, match=words):
        from_table(path)
