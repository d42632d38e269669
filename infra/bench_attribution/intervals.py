"""Intervals of campaign credit: how often they cover what the rule would credit if everybody were known."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pandas as pd

from infra.bench_attribution.crowds import Crowd, a_crowd
from infra.benching import Row, interleaved, median_range, verdict
from whence.attribution import credit, doubt, journeys, rules
from whence.attribution.credit import NO_AD
from whence.attribution.policy import Policy
from whence.measures import Measure, mean

POLICY = Policy()
RULES = ("last_touch", "linear")
HOUSEHOLDS = 1500
CROWDS_A_RUN = 80
LARGE = 300_000
"""Conversions of the crowd that cost is measured on."""
SEED = 20_000
TIMES = 10
"""How much larger the crowds are on which the mean is judged."""
LOW, HIGH = 0.93, 0.97
TARGET = "93-97 %"
EVERY = 4
"""One crowd in so many is also judged with the ways that are shown for comparison."""

Way = Callable[[Crowd, str], pd.DataFrame]


def known(crowd: Crowd, rule: str) -> pd.DataFrame:
    """Without identity error: everybody is known."""
    conversions, touches = (frame.assign(unit=frame["person"]) for frame in (crowd.conversions, crowd.touches))
    return doubt.from_partitions(conversions, touches, crowd.options.head(0), POLICY, _share(rule))


def drawn(crowd: Crowd, rule: str) -> pd.DataFrame:
    """With identity error: people and partitions resampled."""
    return doubt.from_partitions(crowd.conversions, crowd.touches, crowd.options, POLICY, _share(rule))


def as_given(crowd: Crowd, rule: str) -> pd.DataFrame:
    """The same, by the probabilities as they were given."""
    return doubt.from_partitions(crowd.conversions, crowd.touches, crowd.options, POLICY, _share(rule), is_informed=False)


def naive(crowd: Crowd, rule: str) -> pd.DataFrame:
    """With identity error, as if the links that were taken were the truth: people alone are resampled."""
    taken = crowd.options[crowd.options["is_linked"]].set_index("owner")["target"]
    units = (frame["unit"].map(taken).fillna(frame["unit"]).astype("int64") for frame in (crowd.conversions, crowd.touches))
    conversions, touches = (
        frame.assign(unit=unit) for frame, unit in zip((crowd.conversions, crowd.touches), units, strict=True)
    )
    return doubt.from_partitions(conversions, touches, crowd.options.head(0), POLICY, _share(rule))


def stored(crowd: Crowd, rule: str) -> pd.DataFrame:
    """With identity error, from stored credit alone."""
    return doubt.from_credits(credited(crowd, rule))


def credited(crowd: Crowd, rule: str) -> pd.DataFrame:
    """Rows of `credits`, as the links that were taken have it."""
    taken = crowd.options[crowd.options["is_linked"]].set_index("owner")
    told = [
        frame.assign(
            person_id="p" + frame["unit"].map(taken["target"]).fillna(frame["unit"]).astype("int64").astype(str),
            person_probability=frame["unit"].map(taken["probability"]).fillna(1.0),
        )
        for frame in (crowd.conversions, crowd.touches)
    ]
    pairs = journeys.candidate_touches(told[0], told[1], POLICY)
    return credit.credit_rows(told[0], pairs, rules.share(pairs, rule, POLICY), rule)


WAYS: dict[str, Way] = {"known": known, "drawn": drawn}
BESIDE: dict[str, Way] = {"naive": naive, "as given": as_given, "stored": stored}


def measure(runs: int) -> list[Row]:
    """The rows; 80 crowds for each run."""
    crowds = runs * CROWDS_A_RUN
    found = pd.concat(_judged(crowds), ignore_index=True)
    truth = found[found["way"] == "known"].groupby(["rule", "campaign_id"])["expected_micros"].mean().rename("truth")
    found = found.merge(truth.reset_index(), on=["rule", "campaign_id"])
    found = found.assign(covers=(found["low_micros"] <= found["truth"]) & (found["truth"] <= found["high_micros"]))
    links = f"{found['taken'].mean():.0%} of the anonymous devices linked, {found['right'].mean():.0%} of the links right"
    sizes = found[found["way"] == "known"].groupby("campaign_id")["people"].mean()
    what = f"{crowds} crowds, campaigns of {sizes.min():.0f} to {sizes.max():.0f} credited people, {' and '.join(RULES)} in turn"
    return [
        _row("95 % intervals of campaign credit, everybody known, cover", found, "known", what, is_aim=True),
        _row("the same with identity error: people and partitions resampled, cover", found, "drawn", links, is_aim=True),
        _row("the same, people alone resampled (links that were taken as the truth), cover", found, "naive", ""),
        _row("the same, link probabilities without what journeys say, cover", found, "as given", ""),
        _row("the same from stored credit alone, cover", found, "stored", "false links only; around credit as stated"),
        _large(runs),
        *_costs(runs),
    ]


def cost(way: str, conversions: int) -> dict[str, Any]:
    """CPU seconds of one way for so many conversions, without making the crowd."""
    crowd = a_crowd(round(conversions / 0.965), SEED - 1)
    rows = credited(crowd, "last_touch") if way == "stored" else None
    started = time.process_time()
    found = (
        doubt.from_partitions(crowd.conversions, crowd.touches, crowd.options, POLICY, _share("last_touch"))
        if rows is None
        else doubt.from_credits(rows)
    )
    took = time.process_time() - started
    return {"cpu": took, "conversions": len(crowd.conversions), "touches": len(crowd.touches), "campaigns": len(found)}


def _judged(crowds: int, households: int = HOUSEHOLDS) -> Iterator[pd.DataFrame]:
    for number in range(crowds):
        crowd, rule = a_crowd(households, SEED + number), RULES[number % len(RULES)]
        options = crowd.options
        facts = {
            "crowd": number,
            "rule": rule,
            "taken": options["is_linked"].sum() / options["owner"].nunique(),
            "right": options.loc[options["is_linked"], "is_true"].mean(),
        }
        for name, way in (WAYS | BESIDE if number % (2 * EVERY) < 2 else WAYS).items():
            judged = way(crowd, rule)
            yield judged[judged["campaign_id"] != NO_AD].assign(way=name, **facts)


def _row(what: str, found: pd.DataFrame, way: str, note: str, *, is_aim: bool = False) -> Row:
    mine = found[found["way"] == way]
    cover: Measure = mean(mine["covers"], mine["crowd"])
    below, above = (mine["truth"] < mine["low_micros"]).mean(), (mine["truth"] > mine["high_micros"]).mean()
    off = mine["expected_micros"].sum() / mine["truth"].sum() - 1
    least = mine.groupby("campaign_id")["covers"].mean()
    said = (
        f"n = {cover.n} intervals; truth below {below:.1%}, above {above:.1%}; by campaign {least.min():.1%} to {least.max():.1%}; "
        f"the mean is {off:+.1%} off"
    )
    return Row(
        what,
        f"{cover.value:.1%}",
        f"[{cover.low:.1%}, {cover.high:.1%}]",
        TARGET if is_aim else "",
        verdict(met=LOW <= cover.value <= HIGH) if is_aim else "-",
        "; ".join(filter(None, (said, note))),
    )


def _large(runs: int) -> Row:
    """How far the mean over partitions is off where many people make intervals narrow: it is what limits the level there."""
    pairs = []
    for number in range(runs):
        crowd, rule = a_crowd(TIMES * HOUSEHOLDS, SEED - 2 - number), RULES[number % len(RULES)]
        both = known(crowd, rule).merge(drawn(crowd, rule), on=["campaign_id", "channel", "currency"], suffixes=("_known", ""))
        pairs.append(both[both["campaign_id"] != NO_AD])
    found = pd.concat(pairs)
    off = (found["expected_micros"] - found["expected_micros_known"]) / (found["high_micros"] - found["low_micros"]) * 2
    share = found.groupby("campaign_id")[["expected_micros", "expected_micros_known"]].sum()
    each = share["expected_micros"] / share["expected_micros_known"] - 1
    by_campaign = off.groupby(found["campaign_id"]).mean()
    return Row(
        f"crowds {TIMES} times as large: the mean over partitions against credit with everybody known",
        f"{off.mean():+.2f} of half an interval",
        f"campaigns {by_campaign.min():+.2f} to {by_campaign.max():+.2f}",
        note=f"{runs} crowds; {each.min():+.1%} to {each.max():+.1%} of the credit; the larger the crowd, the more it weighs",
    )


def _share(rule: str) -> doubt.Share:
    return lambda pairs: rules.share(pairs, rule, POLICY)


def _costs(runs: int) -> Iterator[Row]:
    jobs = {name: partial(cost, name, LARGE) for name in ("drawn", "stored")}
    for name, run in interleaved(jobs, min(runs, 2)).items():
        took = median_range([answer["cpu"] for answer in run.answers])
        one = run.answers[0]
        what = "people and partitions resampled" if name == "drawn" else "from stored credit"
        size = f"{one['conversions']:,} conversions, {one['touches']:,} touches, {doubt.DRAWS} partitions"
        peak = f"{max(run.peak_mb):,.0f} MB at most, the crowd included"
        yield Row(f"CPU seconds, {what}", f"{took.value:.1f}", took.show(1), note=f"{size}; {peak}; one thread")
