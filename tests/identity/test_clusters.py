"""Clusters: the best partition by brute force, laws, refusals, and weakest links."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import networkx as nx
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.identity.clusters import Clusters, Rules, cluster, components
from whence.identity.records.table import MISSING, Pairs

Ints = npt.NDArray[np.int32]


def some_pairs(*pairs: tuple[int, int]) -> Pairs:
    both = np.array(pairs, dtype=np.int32).reshape(-1, 2)
    return Pairs(both[:, 0], both[:, 1])


def people(n: int, links: dict[tuple[int, int], float], rules: Rules | None = None, **more: object) -> Clusters:
    """The clusters of these pairs and their log-odds."""
    return cluster(n, some_pairs(*links), np.array(list(links.values()), dtype=np.float64), rules, **more)  # type: ignore[arg-type]


def partitions(n: int) -> Iterator[list[int]]:
    """Every way to part n records."""
    if n == 0:
        yield []
        return
    for way in partitions(n - 1):
        for person in range(max(way, default=-1) + 2):
            yield [*way, person]


def total(codes: list[int] | Ints, links: dict[tuple[int, int], float], absent: float = 0.0) -> float:
    """The log-odds within people, summed over every pair of records."""
    pairs = itertools.combinations(range(len(codes)), 2)
    return sum(links.get((a, b), absent) for a, b in pairs if codes[a] == codes[b])


@st.composite
def graphs(draw: st.DrawFn, most: int = 7) -> tuple[int, dict[tuple[int, int], float]]:
    """Records, and log-odds in quarters for some of their pairs."""
    n = draw(st.integers(1, most))
    every = list(itertools.combinations(range(n), 2))
    weights = draw(st.lists(st.one_of(st.none(), st.integers(-20, 20)), min_size=len(every), max_size=len(every)))
    return n, {pair: w / 4 for pair, w in zip(every, weights, strict=True) if w is not None}


def random_graph(n: int, share: float, seed: int) -> dict[tuple[int, int], float]:
    """Log-odds that mostly know who is who: people of three, and noise."""
    rng = np.random.default_rng(seed)
    every = [pair for pair in itertools.combinations(range(n), 2) if rng.random() < share]
    return {(a, b): round(float(rng.normal(2.0 if a // 3 == b // 3 else -1.0, 2.0)), 3) for a, b in every}


def test_what_speaks_against_a_chain_parts_it_at_its_weaker_end() -> None:
    assert people(3, {(0, 1): 4.0, (1, 2): 1.0, (0, 2): -3.0}).codes.tolist() == [0, 0, 1]


def test_strong_links_outweigh_one_doubt() -> None:
    assert people(3, {(0, 1): 4.0, (1, 2): 4.0, (0, 2): -3.0}).codes.tolist() == [0, 0, 0]


def test_records_without_pairs_are_people_of_their_own() -> None:
    found = people(3, {})
    assert found.codes.tolist() == [0, 1, 2]
    assert found.sizes.tolist() == [1, 1, 1]
    assert found.cohesion.tolist() == [1.0, 1.0, 1.0]
    assert len(cluster(0, some_pairs(), np.zeros(0))) == 0


def test_the_cut_moves_what_speaks_for() -> None:
    links = {(0, 1): 1.0, (2, 3): 3.0}
    assert people(4, links, Rules(cut=2.0)).codes.tolist() == [0, 1, 2, 2]


def test_pairs_that_nobody_compared_can_speak_against_a_chain() -> None:
    chain = {(0, 1): 2.0, (1, 2): 1.0}
    assert people(3, chain).codes.tolist() == [0, 0, 0]
    assert people(3, chain, Rules(absent=-1.5)).codes.tolist() == [0, 0, 1]


@settings(max_examples=20, deadline=None)
@given(graphs(), st.sampled_from([0.0, -0.25, -2.0]))
def test_small_components_are_as_good_as_the_best_of_all_partitions(
    graph: tuple[int, dict[tuple[int, int], float]], absent: float
) -> None:
    n, links = graph
    best = max(total(way, links, absent) for way in partitions(n))
    assert total(people(n, links, Rules(absent=absent)).codes, links, absent) == pytest.approx(best)


@pytest.mark.parametrize("absent", [0.0, -0.5])
def test_the_greedy_way_reaches_nearly_all_of_the_best(absent: float) -> None:
    ours = best = 0.0
    for seed in range(25):
        links = random_graph(7, 0.7, seed)
        best += max(total(way, links, absent) for way in partitions(7))
        ours += total(people(7, links, Rules(absent=absent, exact=1)).codes, links, absent)
    print(f"greedy reaches {ours / best:.4f} of the best (absent {absent})")
    assert 0.99 * best <= ours <= best + 1e-9


@settings(max_examples=13, deadline=None)
@given(graphs(), st.randoms(use_true_random=False), st.sampled_from([1, 8]), st.sampled_from([0.0, -0.5]))
def test_neither_the_order_of_pairs_nor_of_their_ends_matters(graph, random, exact, absent) -> None:  # type: ignore[no-untyped-def]
    n, links = graph
    rules = Rules(exact=exact, absent=absent)
    shuffled = list(links.items())
    random.shuffle(shuffled)
    turned = {(pair[::-1] if random.random() < 0.5 else pair): weight for pair, weight in shuffled}
    one, other = people(n, links, rules), people(n, turned, rules)
    assert one.codes.tolist() == other.codes.tolist()
    assert one.weakest_pair.tolist() == other.weakest_pair.tolist()


@settings(max_examples=13, deadline=None)
@given(graphs(6), graphs(6), st.sampled_from([1, 8]), st.booleans())
def test_a_component_is_parted_alike_whatever_stands_beside_it(first, second, exact, is_sourced) -> None:  # type: ignore[no-untyped-def]
    (n, links), (m, others) = first, second
    beside = {**links, **{(a + n, b + n): weight for (a, b), weight in others.items()}}
    rules = Rules(exact=exact, absent=-0.25, unique_sources=is_sourced)
    source = np.array([*(np.arange(n) % 2), *(np.arange(m) % 2)], dtype=np.int32)
    alone, together = people(n, links, rules, source=source[:n]), people(n + m, beside, rules, source=source)
    if n > 1:
        assert alone.codes.tolist() == together.codes[:n].tolist()


@settings(max_examples=12, deadline=None)
@given(graphs(12))
def test_weakest_links_are_those_of_the_maximum_spanning_tree(graph) -> None:  # type: ignore[no-untyped-def]
    n, links = graph
    found = people(n, links)
    inside = nx.Graph()
    inside.add_weighted_edges_from((a, b, w) for (a, b), w in links.items() if w > 0 and found.codes[a] == found.codes[b])
    for number, size in enumerate(found.sizes):
        members = np.flatnonzero(found.codes == number).tolist()
        assert len(members) == size
        if size > 1:
            tree = nx.maximum_spanning_tree(inside.subgraph(members))
            assert found.weakest[number] == min(w for *_, w in tree.edges(data="weight"))
            assert links[tuple(found.weakest_pair[number].tolist())] == found.weakest[number]  # type: ignore[index]
        else:
            assert np.isnan(found.weakest[number])
            assert found.weakest_pair[number].tolist() == [MISSING, MISSING]


@settings(max_examples=12, deadline=None)
@given(graphs(12))
def test_components_are_those_of_networkx(graph) -> None:  # type: ignore[no-untyped-def]
    n, links = graph
    judge = nx.Graph()
    judge.add_nodes_from(range(n))
    judge.add_edges_from(links)
    expected = sorted(sorted(each) for each in nx.connected_components(judge))
    codes = components(n, *some_pairs(*links))
    assert [np.flatnonzero(codes == number).tolist() for number in range(codes.max() + 1)] == expected


@settings(max_examples=13, deadline=None)
@given(graphs(), st.sampled_from([1, 8]), st.lists(st.integers(-1, 1), min_size=7, max_size=7))
def test_different_values_of_a_unique_field_are_never_one_person(graph, exact, values) -> None:  # type: ignore[no-untyped-def]
    n, links = graph
    account = np.array(values[:n], dtype=np.int32)
    found = people(n, links, Rules(exact=exact), unique={"account": account})
    for number in range(len(found)):
        assert len(set(account[found.codes == number]) - {MISSING}) <= 1
    if exact == 8:
        fine = (way for way in partitions(n) if all(len({account[i] for i in range(n) if way[i] == p} - {-1}) < 2 for p in way))
        assert total(found.codes, links) == pytest.approx(max(total(way, links) for way in fine))


def test_a_contradiction_is_refused_with_its_reason_and_size() -> None:
    account = np.array([0, MISSING, 1], dtype=np.int32)
    found = people(3, {(0, 1): 3.0, (1, 2): 2.0}, unique={"account": account})
    assert found.codes.tolist() == [0, 0, 1]
    assert [(r.reason, r.size, r.record) for r in found.refusals] == [("contradiction", 3, 0)]
    assert "different values of account" in found.refusals[0].detail


@settings(max_examples=13, deadline=None)
@given(graphs())
def test_two_sources_without_duplicates_are_paired_so_that_the_most_is_kept(graph) -> None:  # type: ignore[no-untyped-def]
    n, links = graph
    source = np.arange(n, dtype=np.int32) % 2
    found = people(n, links, Rules(unique_sources=True), source=source)
    judge = nx.Graph()
    judge.add_weighted_edges_from((a, b, w) for (a, b), w in links.items() if w > 0 and source[a] != source[b])
    best = sum(judge.edges[pair]["weight"] for pair in nx.max_weight_matching(judge))
    assert total(found.codes, {pair: w for pair, w in links.items() if source[pair[0]] != source[pair[1]]}) == pytest.approx(best)
    assert found.sizes.max() <= 2


def test_three_sources_without_duplicates_make_people_of_three_at_most() -> None:
    source = np.array([0, 1, 2, 2], dtype=np.int32)
    found = people(4, {(0, 1): 3.0, (1, 2): 2.0, (0, 3): 1.0}, Rules(unique_sources=True), source=source)
    assert found.codes.tolist() == [0, 0, 0, 1]
    assert "two records of one source" in found.refusals[0].detail


@pytest.mark.parametrize("exact", [1, 8])
def test_what_is_too_large_is_parted_along_its_weakest_links(exact: int) -> None:
    chain = {(0, 1): 5.0, (1, 2): 4.0, (2, 3): 1.0, (3, 4): 5.0, (4, 5): 3.0}
    found = people(6, chain, Rules(max_size=3, exact=exact))
    assert found.codes.tolist() == [0, 0, 0, 1, 1, 1]
    assert [(r.reason, r.size) for r in found.refusals] == [("too large", 6)]
    assert people(6, chain, Rules(max_size=2)).codes.tolist() == [0, 0, 1, 2, 2, 3]


def test_a_crowd_of_equal_links_that_is_too_large_stays_apart() -> None:
    assert len(people(5, {(i, i + 1): 2.0 for i in range(4)}, Rules(max_size=3))) == 5


def test_a_hub_is_left_alone_and_said() -> None:
    star = {(0, other): 2.0 for other in range(1, 6)} | {(1, 2): 2.0}
    found = people(6, star, Rules(max_degree=4))
    assert found.codes.tolist() == [0, 1, 1, 2, 3, 4]
    assert [(r.reason, r.size, r.record) for r in found.refusals] == [("hub", 5, 0)]
    assert "max_degree 4" in found.refusals[0].detail


def test_cohesion_is_the_share_of_pairs_that_speak_for() -> None:
    assert people(3, {(0, 1): 2.0, (1, 2): 2.0}).cohesion.tolist() == [pytest.approx(2 / 3)]


@pytest.mark.parametrize(
    ("links", "said"),
    [
        ({(0, 0): 1.0}, "is of one record"),
        ({(0, 1): 1.0, (1, 0): 2.0}, "is there twice"),
        ({(0, 1): float("nan")}, "has no log-odds"),
        ({(0, 9): 1.0}, "there are 3 records"),
    ],
)
def test_a_wrong_pair_is_named(links: dict[tuple[int, int], float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        people(3, links)


def test_rules_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot speak for"):
        Rules(absent=0.5)
    with pytest.raises(ValueError, match="1 to 9"):
        Rules(exact=12)
    with pytest.raises(ValueError, match="1 or more"):
        Rules(max_size=0)


def test_a_giant_component_is_parted_before_anything_is_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whence.identity.clusters.GIANT", 3)
    links = {(0, 1): 5.0, (1, 2): 4.0, (0, 2): -1.0, (2, 3): 1.0, (3, 4): 5.0, (4, 5): 3.0}
    found = people(6, links, Rules(exact=1))
    assert found.codes.tolist() == [0, 0, 0, 1, 1, 1]
    assert [(r.reason, r.size) for r in found.refusals] == [("too large", 6)]


def test_a_record_leaves_a_group_that_others_have_made_a_burden() -> None:
    links = {(0, 1): 3.0, (0, 2): 2.0, (1, 2): 2.0, (2, 3): 9.0, (0, 3): -4.0, (1, 3): -4.0}
    assert people(4, links, Rules(exact=1)).codes.tolist() == people(4, links).codes.tolist()


def test_a_record_that_moves_out_in_the_last_round_is_a_person_alone() -> None:
    links = {(0, 1): 5.0, (0, 3): -6.0, (1, 2): 3.0, (1, 3): 5.0, (2, 3): 4.0}
    assert people(4, links, Rules(exact=1, rounds=1)).codes.tolist() == people(4, links).codes.tolist() == [0, 1, 1, 1]
