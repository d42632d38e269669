"""A million generated journeys by every algorithm and policy: not a micro lost; and batch, online and plain loops agree on small ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from infra.bench_attribution import few
from infra.bench_attribution.few import Row as Event
from infra.bench_attribution.plain_loops import judged
from infra.benching import Row, verdict
from whence.attribution import credit, markov, paths, rules, shapley
from whence.attribution.journeys import TOUCH_COLUMNS, candidate_touches
from whence.attribution.policy import Policy, load, presets
from whence.attribution.told import Touches

CONVERSIONS = 200_000
"""Under each of five presets: a million journeys."""
AT_ONCE = 50_000
SMALL = 2_000
DAY = 86_400_000_000
FIRST = 1_777_593_600_000_000
"""2026-05-01."""
SUSPECT = 0.05
NEGATIVE = 0.05
LARGEST = 9 * 10**15
"""Micros: nine billion of the currency."""
ALMOST = Fraction(1, 10**12)
"""How far a share in floating point may lie from the exact one."""

Share = Callable[[pd.DataFrame], pd.Series]
Ints = npt.NDArray[np.int64]


def measure(runs: int) -> list[Row]:
    """A row for what is conserved, and one for who agrees; neither is a matter of rounds."""
    return [conserved(CONVERSIONS), agreed(SMALL)]


def conserved(generated: int) -> Row:
    """Generated conversions under each preset, and each journey by all algorithms: sums, signs and no ad."""
    started = time.process_time()
    rows, unearned, checked = 0, 0, dict.fromkeys(presets(), 0)
    names: tuple[str, ...] = ()
    for number, most in enumerate(range(generated, 0, -AT_ONCE)):
        conversions, touches, activity = crowd(number, min(AT_ONCE, most))
        for policy in map(load, presets()):
            pairs = candidate_touches(conversions, touches, policy, activity)
            pairs["suspect"] = np.where(np.random.default_rng(number).random(len(pairs)) < SUSPECT, "click_flood", "")
            shares = dict(algorithms(pairs, touches, policy, number))
            names = tuple(shares)
            for name, share in shares.items():
                given = share(pairs)
                told = credit.credit_rows(conversions, pairs, given, name, clean_shares=rules.clean_share(pairs, share))
                unearned += check(conversions, pairs, told, given)
                rows += len(told)
            checked[policy.name] += len(conversions)
    return Row(
        f"{sum(checked.values()):,} generated journeys, {generated:,} conversions under each of {len(checked)} presets, by "
        f"{len(names)} algorithms",
        "every sum is the value, to the micro",
        target="Σ credit = value",
        verdict=verdict(met=set(checked.values()) == {generated}),
        note=f"none below 0 for a value that is not, and no ad has what touches leave: {unearned:,} of {rows:,} rows; values from "
        f"−{LARGEST / 1e6:,.0f} to {LARGEST / 1e6:,.0f}, with and without suspect touches, by {', '.join(names)} "
        f"({time.process_time() - started:.0f} CPU seconds)",
    )


def algorithms(pairs: pd.DataFrame, touches: pd.DataFrame, policy: Policy, seed: int) -> Iterator[tuple[str, Share]]:
    """The rules, chains of an order that changes with the seed, Shapley by sets and by rates, and shares as a model draws them."""
    for rule in rules.RULES:
        yield rule, lambda some, rule=rule: rules.share(some, rule, policy)  # type: ignore[misc]
    walked = paths.of_journeys(pairs, Touches.of(touches))
    chain, rates = markov.fit(walked, seed % 4 + 1), shapley.fit(walked)
    yield "markov", lambda some: markov.share(some, chain)
    yield "shapley", lambda some: shapley.share(some)
    yield "shapley by rates", lambda some: shapley.share(some, rates)
    drawn = pd.Series(np.random.default_rng([seed, 1]).beta(0.5, 1.5, len(pairs)), index=pairs.index)
    yield "learned", lambda some: rules.ranker_share(some, drawn.loc[some.index])


def check(conversions: pd.DataFrame, pairs: pd.DataFrame, told: pd.DataFrame, shares: pd.Series) -> int:
    """How many rows are of no ad; raises AssertionError where money is made, lost or turned round, or no ad is forgotten."""
    value = conversions.set_index("conversion_id")["value_micros"]
    of = value.index.get_indexer(told["conversion_id"])
    for name in ("credit_micros", "clean_micros"):
        micros = told[name].to_numpy(dtype="int64")
        total = np.zeros(len(value), dtype=np.int64)
        np.add.at(total, of, micros)
        if not np.array_equal(total, value.to_numpy()):
            raise AssertionError(f"{name} do not add up to the value: {value.index[total != value.to_numpy()][0]}.")
        if (np.sign(micros) * np.sign(value.to_numpy()[of]) < 0).any():
            raise AssertionError(f"{name} have another sign than the value.")
    is_no_ad = told["touch_id"].to_numpy() == credit.NO_AD
    left = np.ones(len(value))
    np.subtract.at(left, value.index.get_indexer(pairs["conversion_id"]), shares.to_numpy())
    given = np.zeros(len(value))
    np.add.at(given, of[is_no_ad], told["share"].to_numpy()[is_no_ad])
    if np.abs(given - left).max() > 1e-9:
        raise AssertionError("What the touches leave is not what no ad has.")
    return int(is_no_ad.sum())


def crowd(seed: int, journeys: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Conversions of people who buy twice on average, six touches for each, visits; values of all sizes and both signs."""
    draw = np.random.default_rng(seed)
    people, campaigns, products = journeys // 2 + 1, 50, 5

    def events(name: str, n: int, kinds: Sequence[str], chances: Sequence[float]) -> dict[str, Any]:
        at = FIRST + draw.integers(0, 30 * DAY, n) // 60_000_000 * 60_000_000  # by the minute, so that some are at once
        seen = at + np.where(draw.random(n) < 0.1, draw.integers(0, 3 * DAY, n), 0)
        return {
            f"{name}_id": [f"{name}-{seed}-{number}" for number in range(n)],
            "person_id": _named("p", draw.integers(0, people, n), draw.random(n) < 0.95),
            "person_probability": draw.choice([1.0, 0.9, 0.6], n),
            "happened_at": pd.to_datetime(at, unit="us", utc=True),
            "seen_at": pd.to_datetime(seen, unit="us", utc=True),
            "kind": draw.choice(kinds, n, p=chances),
            "click_id": _named("k", draw.integers(0, people, n), draw.random(n) < 0.05),
            "product": _named("product-", draw.integers(0, products, n), draw.random(n) < 0.5),
        }

    touches = pd.DataFrame(events("touch", 6 * journeys, ("view", "click", "engaged_view", "eligible"), (0.55, 0.3, 0.05, 0.1)))
    campaign = draw.integers(0, campaigns, len(touches))
    touches = touches.assign(campaign_id=_named("campaign-", campaign), channel=_named("channel-", campaign % 8))
    conversions = pd.DataFrame(events("conversion", journeys, ("purchase", "install", "reengagement"), (0.7, 0.2, 0.1)))
    size = np.minimum(np.exp(draw.uniform(0, np.log(LARGEST), journeys)), LARGEST).astype(np.int64) - 1
    sign = np.where(draw.random(journeys) < NEGATIVE, -1, 1)
    conversions = conversions.assign(value_micros=size * sign, currency=draw.choice(["USD", "EUR"], journeys))
    visits = pd.DataFrame(events("sighting", journeys, ("visit",), (1.0,)))
    return conversions, touches, visits


def agreed(examples: int) -> Row:
    """Small journeys under policies that ask for everything: credit by batch, by the service, and by plain loops and fractions."""
    rows, online = 0, 0
    for seed in range(examples):
        found = batch_and_loops(seed)
        rows += found
        online += batch_and_service(seed)
    return Row(
        f"{examples:,} small journeys under drawn policies",
        "batch = online = plain loops",
        target="equal",
        verdict=verdict(met=rows > examples and online > examples),
        note=f"{rows:,} pairs with their context against plain loops, and by five rules the shares of each within "
        f"{float(ALMOST):g} of fractions and the money within a micro; {online:,} rows of credit from the service equal to the micro",
    )


def batch_and_loops(seed: int) -> int:
    """How many pairs plain loops find, and the batch too; raises AssertionError where they differ."""
    some = few.drawn(seed)
    conversions, touches, activity = few.frames(some)
    pairs = candidate_touches(conversions, touches, some.policy, activity)
    told = judged(some.conversions, some.touches, some.policy, some.activity)
    names = list(told[0]) if told else []
    if pairs[names].replace({np.nan: None}).to_dict("records") != (told or [{}] * len(pairs)):
        raise AssertionError(f"Plain loops find other journeys than the batch from seed {seed}.")
    value = _values(seed, conversions["conversion_id"])
    bought = conversions.drop_duplicates("conversion_id").assign(
        value_micros=lambda rows: rows["conversion_id"].map(value), currency="USD"
    )
    for rule in rules.RULES:
        rows = credit.credit_rows(bought, pairs, rules.share(pairs, rule, some.policy), rule)
        _same_money(rows, told, rule, some.policy, value)
    return len(told)


def _same_money(rows: pd.DataFrame, told: Sequence[Event], rule: str, policy: Policy, value: dict[str, int]) -> None:
    """Each touch has its exact part, but for less than a micro and the dust of floating point."""
    parts = {(row["conversion_id"], row["touch_id"]): _part(row, told, rule, policy) for row in told}
    found = {(row.conversion_id, row.touch_id): row for row in rows.itertuples() if row.touch_id != credit.NO_AD}
    if set(found) != {key for key, part in parts.items() if part > 0}:
        raise AssertionError(f"{rule} pays other touches than by fractions.")
    for (conversion, _), row in found.items():
        part = parts[conversion, row.touch_id]
        if abs(Fraction(row.share) - part) > ALMOST or abs(row.credit_micros - part * value[conversion]) > 1 + ALMOST * abs(
            value[conversion]
        ):
            raise AssertionError(f"{rule} gives {row.touch_id} {row.credit_micros}, and by fractions it has {part}.")


def _part(row: Event, told: Sequence[Event], rule: str, policy: Policy) -> Fraction:
    """The exact share of a touch, from the words of the rule."""
    path = [each for each in told if each["conversion_id"] == row["conversion_id"]]
    weights = [_weight(place, len(path), rule, policy, each, path) for place, each in enumerate(path)]
    return weights[row["place"]] / sum(weights)


def _weight(place: int, length: int, rule: str, policy: Policy, row: Event, path: Sequence[Event]) -> Fraction:
    is_first, is_last = place == 0, place == length - 1
    if rule == "time_decay":
        older: timedelta = path[-1]["touched_at"] - row["touched_at"]
        return Fraction(2.0 ** -(older / timedelta(days=policy.parameter(rule, "half_life_days", 2.0))))
    if rule == "position":
        first, last = (Fraction(str(policy.parameter(rule, name, 0.4))) for name in ("first", "last"))
        if length <= 2:
            return Fraction(1) if length == 1 else first if is_first else last
        return first if is_first else last if is_last else (1 - first - last) / (length - 2)
    return Fraction({"first_touch": is_first, "last_touch": is_last, "linear": True}[rule])


def batch_and_service(seed: int) -> int:
    """How many rows of credit the service gives when it is asked of each conversion with its person's touches, as the batch does."""
    from serving import matcher
    from serving.at_once import at_once

    some = few.drawn(seed)
    policy = replace(some.policy, algorithm=rules.RULES[seed % len(rules.RULES)], reengagement=Policy().reengagement)
    policy = replace(policy, cool_downs=(), new_to_brand=Policy().new_to_brand)
    touches = [_whole(each, TOUCH_COLUMNS) for each in some.touches if each["person_id"] == "p"]
    asked, count = [*few.CONVERSIONS, "order_id", "refund_of", *_IDENTIFIERS], 0
    shown = few.as_frame(touches, list(TOUCH_COLUMNS)).assign(person_probability=1.0)
    for conversion in {each["conversion_id"]: each for each in some.conversions if each["person_id"] == "p"}.values():
        value = abs(_values(seed, [conversion["conversion_id"]])[conversion["conversion_id"]])  # below 0 it is a refund
        told = {**_whole(conversion, asked), "value_micros": value, "currency": "USD", "person_probability": 1.0}
        now: datetime = conversion["seen_at"]
        known = matcher.Known(_Nothing(), now)
        given = sorted((each for each in touches if each["seen_at"] <= now), key=lambda each: each["seen_at"])
        online = at_once(matcher.attribute({**told, "known_by": None}, given, "p", known, None, policy))
        bought = few.as_frame([told], list(told)).assign(known_by=pd.Timestamp(now) + pd.Timedelta(microseconds=1))
        pairs = candidate_touches(bought, shown, policy)
        rows = credit.credit_rows(bought, pairs, rules.share(pairs, policy.algorithm, policy), policy.algorithm)
        batch = sorted(zip(rows["touch_id"], rows["share"], rows["credit_micros"], strict=True))
        if batch != sorted((each.touch_id, each.share, each.credit_micros) for each in online.earned):
            raise AssertionError(f"The service credits conversion {conversion['conversion_id']} of seed {seed} in another way.")
        count += len(batch)
    return count


_IDENTIFIERS = ("cookie_id", "device_id", "email_hash", "phone_hash", "external_id", "ip_key")


class _Nothing:
    """A store of features that knows nobody."""

    async def columns_awaited(
        self, asked: Sequence[tuple[str, Sequence[str | None]]], now: int, question: Any, *, is_whole: bool = False
    ) -> list[Any]:
        """A row for each key, all unknown."""
        from features.online import nothing

        return [nothing(view, len(keys), now, "nobody is known here") for view, keys in asked]


def _whole(row: Event, names: Sequence[str]) -> Event:
    return {name: row.get(name) for name in names}


def _values(seed: int, ids: Sequence[str] | pd.Series) -> dict[str, int]:
    """What each conversion is worth: from nothing to thousands, some below it."""
    return {each: (seed * 7919 + sum(map(ord, each)) * 104_729) % 50_000_007 - 5_000_000 for each in ids}


def _named(letter: str, numbers: Ints, is_known: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.object_]:
    names = np.array([f"{letter}{number}" for number in range(int(numbers.max(initial=0)) + 1)], dtype=object)[numbers]
    if is_known is not None:
        names[~is_known] = None
    return names
