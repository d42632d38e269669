"""Devices of one person: who is compared, what is known when, and how well the world's people are found."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from whence.contracts.settings import World
from whence.identity.devices import graph, index, pairs, profiles, quality, ranker
from whence.identity.devices.profiles import Profiles
from whence.identity.records.boosted import BoostedError, TooFewLabels
from whence.identity.records.table import Evidence, Pairs
from whence.measures import calibration_error
from whence.world.browsing import SCHEMA, Browsed, browse
from whence.world.ids import toss

FIRST = datetime(2026, 5, 1, tzinfo=UTC)
LATER = FIRST + timedelta(days=30)


def a_request(device: str = "cookie_id:a", day: int = 0, hour: float = 12.0, **changes: Any) -> dict[str, Any]:
    """A request from a home network, seen when it happened."""
    at = FIRST + timedelta(days=day, hours=hour)
    plain = {"device": device, "happened_at": at, "seen_at": at, "ip_key": "home", "site": "news", "country": "GB"}
    return {**plain, "user_agent": "Chrome 137 Windows", "locale": "en-GB", **changes}


def requests(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def some_profiles(*rows: dict[str, Any], as_of: datetime = LATER) -> Profiles:
    """Profiles of devices that were seen however little."""
    return profiles.profile(requests(*rows), as_of, least_requests=1, least_days=1)


def some_pairs(*pairs_: tuple[int, int]) -> Pairs:
    left, right = np.array(pairs_, dtype=np.int32).reshape(-1, 2).T
    return Pairs(left, right)


def counts_of(found: Profiles, view: str) -> dict[str, float]:
    return dict(zip(found.devices, np.asarray(found.counts[view].sum(axis=1)).ravel().tolist(), strict=True))


@pytest.mark.service
def test_a_request_that_was_seen_later_is_not_known_yet() -> None:
    rows = [a_request(), a_request(day=1), a_request("cookie_id:b", seen_at=FIRST + timedelta(days=5))]
    assert some_profiles(*rows, as_of=FIRST + timedelta(days=2)).devices == ("cookie_id:a",)
    assert counts_of(some_profiles(*rows), "network") == {"cookie_id:a": 2.0, "cookie_id:b": 1.0}


def test_a_device_seen_on_one_day_is_left_out_and_counted() -> None:
    rows = [a_request(day=day) for day in range(3)] + [a_request("cookie_id:b", hour=h) for h in range(12)]
    found = profiles.profile(requests(*rows), LATER, least_requests=3, least_days=2)
    assert (found.devices, found.left_out) == (("cookie_id:a",), 1)


def test_a_device_without_network_agent_or_site_has_empty_rows() -> None:
    found = some_profiles(
        a_request(), a_request("cookie_id:b", ip_key=None, user_agent=None, site=None, locale=None, country=None)
    )
    told = pairs.evidence(found, some_pairs((0, 1)))
    assert counts_of(found, "site") == {"cookie_id:a": 1.0, "cookie_id:b": 0.0}
    assert index.candidates(found).pairs.left.tolist() == []
    assert told.values[0, told.names.index("network_shared")] == 0


def test_requests_that_lack_a_column_are_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match="lack ip_key"):
        profiles.profile(requests(a_request()).drop_columns(["ip_key"]), LATER)


def test_no_requests_give_no_devices_and_no_pairs() -> None:
    compared = graph.compare(requests(), LATER)
    assert len(compared.profiles) == 0
    assert len(compared.pairs.left) == 0
    with pytest.raises(TooFewLabels):
        graph.learn(compared, {})


def test_devices_on_a_private_network_are_candidates_and_those_in_a_crowd_are_not() -> None:
    rows = [a_request(f"cookie_id:{name}", ip_key=ip) for name, ip in (("a", "home"), ("b", "home"), ("c", "x"), ("d", "y"))]
    crowd = [a_request(f"cookie_id:{name}", ip_key="tower") for name in "abcd"]
    found = index.candidates(some_profiles(*rows, *crowd), max_degree=3)
    assert (found.pairs.left.tolist(), found.pairs.right.tolist(), found.capped) == ([0], [1], 1)


def test_a_device_keeps_its_likeliest_candidates() -> None:
    office = [a_request(f"cookie_id:{name}", ip_key="office") for name in "abcde"]
    home = [a_request(f"cookie_id:{name}", ip_key="home", day=day) for name in "ab" for day in range(3)]
    found = index.candidates(some_profiles(*office, *home), max_candidates=1)
    assert (0, 1) in set(zip(found.pairs.left.tolist(), found.pairs.right.tolist(), strict=True))
    assert found.joined == 10
    assert found.per_device(5) < 4


def test_candidates_are_those_that_brute_force_finds() -> None:
    rng = np.random.default_rng(7)
    rows = [a_request(f"cookie_id:{d:02d}", ip_key=f"ip{rng.integers(12)}", site=None) for d in rng.integers(0, 30, 150)]
    found = some_profiles(*rows)
    met = index.candidates(found, max_degree=20, max_candidates=1000).pairs
    networks = [set(found.counts["network"][row].indices) for row in range(len(found))]
    size = np.bincount(found.counts["network"].indices)
    expected = [
        (a, b)
        for a in range(len(found))
        for b in range(a + 1, len(found))
        if any(size[token] <= 20 for token in networks[a] & networks[b])
    ]
    assert list(zip(met.left.tolist(), met.right.tolist(), strict=True)) == expected


def test_the_evidence_is_the_same_whichever_device_comes_first() -> None:
    rng = np.random.default_rng(7)
    rows = [
        a_request(
            f"cookie_id:{d}", day=int(rng.integers(9)), ip_key=f"ip{rng.integers(4)}", site=f"s{rng.integers(9)}", hour=float(h)
        )
        for d, h in zip(rng.integers(0, 8, 200), rng.integers(0, 24, 200), strict=True)
    ]
    found = some_profiles(*rows)
    one = some_pairs(*((a, b) for a in range(8) for b in range(a + 1, 8)))
    told, turned = (pairs.evidence(found, each).values for each in (one, Pairs(one.right, one.left)))
    np.testing.assert_allclose(told, turned, rtol=1e-5, atol=1e-6)


def test_a_shared_rare_site_speaks_louder_than_one_that_everybody_visits() -> None:
    rows = [a_request(f"cookie_id:{name}", site="portal") for name in "abcdef"]
    rows += [a_request(f"cookie_id:{name}", site="knitting") for name in "ab"]
    told = pairs.evidence(some_profiles(*rows), some_pairs((0, 1), (2, 3)))
    for name in ("site_cosine", "site_surprise", "site_rarity"):
        rare, common = told.values[:, told.names.index(name)]
        assert rare > common, name


def test_rivals_that_are_equally_good_share_a_rank_and_have_no_lead() -> None:
    found = pairs.against_rivals(np.array([0.5, 0.5 + 1e-12, 0.25]), some_pairs((0, 1), (0, 2), (0, 3)), 4)
    assert found["worst_rank"].tolist() == [0.0, 0.0, 2.0]
    assert found["worst_lead"].tolist() == [0.0, 0.0, -0.25]


def test_neighbours_that_two_devices_have_in_common_support_them() -> None:
    triangle = some_pairs((0, 1), (0, 2), (1, 2), (2, 3))
    bare = Evidence((), np.empty((4, 0), np.float32))
    told = ranker.with_neighbours(bare, np.array([-50.0, 50.0, 50.0, -50.0]), triangle, 4)
    assert told.values[:, told.names.index("neighbours_support")].round(3).tolist() == [1.0, 0.0, 0.0, 0.0]
    assert told.values[:, told.names.index("neighbours_against_most")].round(3).tolist() == [0.0, 1.0, 1.0, 2.0]


def test_probabilities_move_to_the_share_of_matches_that_there_is() -> None:
    rng = np.random.default_rng(7)
    is_match = rng.random(40_000) < 0.3
    fair = np.log(0.3 / 0.7) + np.where(is_match, 2.0, -2.0) + 2 * rng.normal(size=40_000)  # log-odds of normal scores
    rare = fair + np.log(0.1 / 0.9) - np.log(0.3 / 0.7)
    stub: Any = None
    made = ranker.adapted(ranker.Ranker((stub, stub), stub), rare, 0.1)
    assert made.shift == pytest.approx(np.log(0.3 / 0.7) - np.log(0.1 / 0.9), abs=0.05)


def test_a_device_without_partners_is_right_to_get_none() -> None:
    truth, compared = some_pairs((0, 1)), some_pairs((0, 1), (1, 2))
    taken = np.array([[True, True], [False, False]])
    good = quality.fbeta(compared, taken, truth, [0, 1, 2], [0, 0, 2], with_partners=False)
    assert good.value == 1.0
    wrong = quality.fbeta(compared, np.array([[True, True], [True, True]]), truth, [0, 1, 2], [0, 0, 2], with_partners=False)
    assert wrong.value == pytest.approx((1.0 + 1.25 * 1 / (2 + 0.25) + 0.0) / 3)


def test_true_pairs_are_those_with_an_owner_in_common() -> None:
    assert quality.true_pairs([], []).left.tolist() == []
    found = quality.true_pairs([3, 1, 2, 2], [8, 8, 8, 9])
    assert list(zip(found.left.tolist(), found.right.tolist(), strict=True)) == [(1, 2), (1, 3), (2, 3)]


def test_a_model_that_was_changed_is_refused() -> None:
    with pytest.raises(BoostedError, match="no ranker of devices"):
        ranker.Ranker.from_json({"kind": "boosted"})


def judged(browsed: Browsed, compared: graph.Compared) -> tuple[Pairs, np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """The truth, and each device's household and person, by position."""
    owners = browsed.owners.to_pandas()
    owners["at"] = owners["device"].map({name: at for at, name in enumerate(compared.profiles.devices)})
    owners = owners.dropna(subset="at").astype({"at": int})
    household = owners.groupby("at")["household"].first().to_numpy()
    return quality.true_pairs(owners["at"], owners["person"]), household, owners.groupby("at")["person"].first().to_numpy()


@pytest.mark.service
def test_people_never_learned_from_are_found_with_calibrated_probabilities_whatever_the_order_of_requests() -> None:
    browsed = browse(World(seed=7, people=500, days=14, first_day=date(2026, 5, 1)))
    as_of = FIRST + timedelta(days=14)
    compared = graph.compare(browsed.requests, as_of)
    truth, household, person = judged(browsed, compared)
    names = compared.profiles.devices
    is_held = toss("held out", household) < 0.4
    known = {name: str(p) for name, p, held in zip(names, person, is_held, strict=True) if not held}
    made = graph.learn(compared, known, {name: str(household[at]) for at, name in enumerate(names) if name in known})
    linked = graph.link(compared, made)
    assert index.recall(compared.pairs, truth, len(names)) > 0.97
    assert quality.fbeta(compared.pairs, linked.is_partner, truth, np.flatnonzero(is_held), household).value > 0.9
    is_judged = is_held[compared.pairs.left] & is_held[compared.pairs.right]
    is_true = quality.is_among(compared.pairs, truth)[is_judged]
    assert calibration_error(is_true, linked.probabilities[is_judged], household[compared.pairs.left][is_judged]).low < 0.03

    shuffled = browsed.requests.take(np.random.default_rng(7).permutation(browsed.requests.num_rows))
    again = graph.compare(shuffled, as_of)
    assert again.profiles.devices == names
    np.testing.assert_array_equal(again.evidence.values, compared.evidence.values)
    read = ranker.Ranker.from_json(json.loads(json.dumps(made.to_json())))
    assert graph.link(again, read).table().equals(linked.table())


def test_counts_are_coded_by_the_names_of_their_tokens() -> None:
    found = some_profiles(a_request(ip_key="b"), a_request(ip_key="a"), a_request(ip_key="b", device="cookie_id:z"))
    assert sparse.issparse(found.counts["network"])
    assert found.counts["network"].toarray().tolist() == [[1.0, 1.0], [0.0, 1.0]]
