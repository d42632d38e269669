"""Pairs are believed only as far as they outnumber what shuffled columns bring."""

from __future__ import annotations

import numpy as np

from whence.identity.records import nulls
from whence.identity.records.table import Evidence

NAMES = ("area:likeness", "rooms:likeness", "street:likeness")


class Adds:
    """Log-odds that are the sum of what agrees, less what is needed."""

    def __init__(self, needed: float) -> None:
        self.needed = needed

    def log_odds(self, evidence: Evidence):
        return 4 * (evidence.values == 1.0).sum(axis=1) - self.needed


def drawn(areas: int) -> Evidence:
    """Pairs of strangers: of so many areas, with as many rooms in flats of one size, and streets that never agree."""
    area, rooms = (np.random.default_rng(0).random(20_000) < share for share in (1 / areas, 1 / 5))
    return Evidence(NAMES, np.column_stack([area, area | rooms, np.full(20_000, 0.3)]).astype(np.float32))


def believed(log_odds, needed: float, areas: int = 50):
    nobody = np.eye(3, dtype=bool)
    return nulls.outnumbering(Adds(needed), np.asarray(log_odds), drawn(areas), 100_000.0, 1.0, nobody, 0)


def test_pairs_that_agree_in_no_more_than_strangers_do_are_believed_no_longer():
    odds = believed([2.0] * 1_500 + [5.0] * 300, needed=6.0)
    assert (odds[:1_500] <= 0).all()
    assert (odds[1_500:] > 0).all()


def test_columns_that_go_together_are_shuffled_together():
    assert nulls._go_together(drawn(50)).tolist() == [[True, True, False], [True, True, False], [False, False, True]]


def test_nothing_changes_where_strangers_hardly_reach_the_score():
    assert believed([2.0] * 1_500 + [5.0] * 300, needed=9.0) is None
    assert believed([2.0] * 50_000, needed=6.0) is None


def test_nothing_is_said_where_strangers_reach_the_best_scores_too():
    assert believed([2.0] * 1_500 + [5.0] * 300, needed=4.0) is None


def test_without_pairs_of_strangers_nothing_is_said():
    nothing = Evidence(NAMES, np.empty((0, 3), dtype=np.float32))
    assert nulls.outnumbering(Adds(6.0), np.array([2.0]), nothing, 1.0, 1.0, np.eye(3, dtype=bool), 0) is None
