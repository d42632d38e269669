"""Partners in other sources against what strangers look like."""

from __future__ import annotations

import numpy as np

from whence.identity.records import rivals
from whence.identity.records.table import Codes, Evidence, Floats, Pairs

PEOPLE = 200
SOURCE = np.repeat(np.arange(3, dtype=np.int32), PEOPLE)
NOBODY = np.zeros(100_000, dtype=np.bool_)


def some_pairs(seed: int = 0) -> tuple[Pairs, Floats, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Three sources of the same people, all partners and ten strangers a record; partners score 4 and strangers 0, give or take 1."""
    draw = np.random.default_rng(seed)
    one = np.arange(PEOPLE)
    true = np.concatenate([np.column_stack([one + a * PEOPLE, one + b * PEOPLE]) for a, b in ((0, 1), (0, 2), (1, 2))])
    drawn = np.sort(draw.integers(0, 3 * PEOPLE, (10 * 3 * PEOPLE, 2)), axis=1)
    strangers = np.unique(drawn[drawn[:, 0] % PEOPLE != drawn[:, 1] % PEOPLE], axis=0)
    both = np.concatenate([true, strangers]).astype(np.int32)
    is_true = np.arange(len(both)) < len(true)
    return Pairs(both[:, 0], both[:, 1]), np.where(is_true, 4.0, 0.0) + draw.normal(0, 1, len(both)), is_true


def alike(pairs: Pairs, source: Codes, is_true: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> bool:
    both = np.where(is_true, 1.0, 0.2)[:, None].astype(np.float32)
    names = ("name:likeness", "name:rarity", "born:likeness", "born:rarity")
    evidence = Evidence(names, np.column_stack([both, 6 * (both == 1), both, 6 * (both == 1)]).astype(np.float32))
    return rivals.are_without_repeats(pairs, evidence, source, NOBODY[: len(pairs.left)])


def test_a_record_may_have_a_partner_in_each_of_several_sources() -> None:
    pairs, score, is_true = some_pairs()
    best, second, within = rivals._contest(rivals._Sides(3 * PEOPLE, pairs, SOURCE), score)
    assert best[is_true].mean() > 0.9
    assert not (second & best).any()
    assert not is_true[within].any()


def test_three_sources_are_without_repeats_when_who_is_alike_lies_between_them() -> None:
    pairs, _, is_true = some_pairs()
    assert alike(pairs, SOURCE, is_true)
    assert not alike(pairs, (np.arange(3 * PEOPLE) % PEOPLE % 3).astype(np.int32), is_true)


def test_a_column_that_says_how_somebody_was_won_is_no_source() -> None:
    pairs, _, is_true = some_pairs()
    two = (SOURCE[pairs.left] < 2) & (SOURCE[pairs.right] < 2)
    won = np.random.default_rng(1).integers(0, 8, 3 * PEOPLE).astype(np.int32)
    assert not alike(Pairs(pairs.left[two], pairs.right[two]), won, is_true[two])


def test_a_record_with_two_partners_in_a_source_shows_that_it_holds_people_twice() -> None:
    """Three sources of which the second and third are called one: everybody in the first has two partners there."""
    pairs, _, is_true = some_pairs()
    two = np.minimum(SOURCE, 1).astype(np.int32)
    apart = two[pairs.left] != two[pairs.right]
    assert not alike(Pairs(pairs.left[apart], pairs.right[apart]), two, is_true[apart])


def test_a_source_that_has_a_device_often_has_somebody_twice() -> None:
    """Each device is in five rows, of which hardly anything else is told."""
    left, right = (np.arange(400, dtype=np.int32) + by for by in (0, 1))
    evidence, is_one = Evidence(("device:likeness", "device:rarity"), np.ones((400, 2), dtype=np.float32)), left % 5 != 4
    source = (np.arange(401) >= 300).astype(np.int32)
    assert rivals.are_without_repeats(Pairs(left, right), evidence, source, NOBODY[:400])
    assert not rivals.are_without_repeats(Pairs(left, right), evidence, source, is_one)


def test_songs_of_one_album_are_no_repeats_though_all_but_their_titles_agree() -> None:
    """Two shops, albums of five songs; titles of different songs are half alike."""
    album, song = np.divmod(np.arange(400) // 2, 5)
    left, right = (each.astype(np.int32) for each in np.nonzero(np.triu(album[:, None] == album, 1)))
    title, rest = np.where(song[left] == song[right], 1.0, 0.5), np.ones(len(left))
    names = tuple(f"{field}:{signal}" for field in ("title", *"abcd") for signal in ("likeness", "rarity"))
    values = np.column_stack([title, 6 * (title == 1), *[rest, 2 * rest] * 4]).astype(np.float32)
    assert rivals.are_without_repeats(
        Pairs(left, right), Evidence(names, values), (np.arange(400) % 2).astype(np.int32), NOBODY[: len(left)]
    )


def test_believing_every_best_partner_is_believing_too_many_where_most_look_like_strangers() -> None:
    pairs, score, is_true = some_pairs()
    few = is_true & (np.arange(len(is_true)) % 4 > 0)
    kept = np.flatnonzero(~few)
    some = Pairs(pairs.left[kept], pairs.right[kept])
    assert rivals.outnumbered(3 * PEOPLE, some, SOURCE, score[kept] + 8)
    assert not rivals.outnumbered(3 * PEOPLE, pairs, SOURCE, 4 * (score - 3))


def test_in_one_table_the_next_best_shows_what_strangers_look_like() -> None:
    pairs, score, is_true = some_pairs()
    two = (SOURCE[pairs.left] < 2) & (SOURCE[pairs.right] < 2)
    odds = rivals.alone(3 * PEOPLE, Pairs(pairs.left[two], pairs.right[two]), score[two])
    assert np.median(odds[is_true[two]]) > 2
    assert np.quantile(odds[~is_true[two]], 0.9) < 0
