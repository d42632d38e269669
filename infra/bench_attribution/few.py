"""A few journeys of two people under a policy, drawn evenly from a seed: ties, repeats, late news and all that a policy can ask."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pandas as pd

from whence.attribution.policy import Policy, Reach, Reengagement, load, presets

Row = dict[str, Any]
START = datetime(2026, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)
COMMON = ["happened_at", "seen_at", "kind", "person_id", "click_id", "product", "person_probability"]
TOUCHES = ["touch_id", *COMMON, "campaign_id", "channel"]
CONVERSIONS = ["conversion_id", *COMMON, "known_by"]
ACTIVITY = ["person_id", "happened_at", "seen_at"]


@dataclass(frozen=True)
class Drawn:
    """A few journeys of two people under a policy; drawn evenly from a seed, for hypothesis would mostly draw the same row again."""

    touches: list[Row]
    conversions: list[Row]
    activity: list[Row]
    policy: Policy


def drawn(seed: int) -> Drawn:
    """Those of a seed."""
    random = Random(seed)
    touches = [_a_row(random, "touch", 40, place) | _shown(random) for place in range(random.randrange(50))]
    conversions = [_a_row(random, "conversion", 8, place) | _bought(random) for place in range(random.randrange(9))]
    activity = [_an_activity(random) for _ in range(random.randrange(6))]
    for conversion in conversions:
        hours = random.choice([None, None, 0, 20])
        conversion["known_by"] = (
            None if hours is None else conversion["happened_at"] + hours * HOUR + random.choice([0, 1]) * TICK
        )
    return Drawn(touches, conversions, activity, _a_policy(random))


def _a_row(random: Random, name: str, ids: int, place: int) -> Row:
    """A row whose time of being seen is no other's of its table, so that the first telling of an id is plain."""
    at = START + random.randrange(18) * 6 * HOUR
    return {
        f"{name}_id": f"{name}{random.randrange(ids)}",
        "happened_at": at,
        "seen_at": at + random.choice([0, 0, 1, 30]) * HOUR + place * TICK,
        "person_id": random.choice([None, "p", "p", "p", "q"]),
        "click_id": random.choice([None, None, "k", "l"]),
        "product": random.choice([None, "x", "y"]),
        "person_probability": random.choice([None, 1.0, 0.5]),
    }


def _shown(random: Random) -> Row:
    kind = random.choice(["view", "view", "click", "engaged_view", "eligible"])
    return {"kind": kind, "campaign_id": random.choice("ab"), "channel": random.choice("sd")}


def _bought(random: Random) -> Row:
    return {"kind": random.choice(["purchase", "return"])}


def _an_activity(random: Random) -> Row:
    at = START + random.randrange(18) * 6 * HOUR
    return {"person_id": random.choice("pq"), "happened_at": at, "seen_at": at + random.choice([0, 0, 12, 48]) * HOUR}


def _a_policy(random: Random) -> Policy:
    """Windows of which no two name equally much, and all else that says who may be paid; or one that comes with whence."""
    if random.random() < 0.2:
        return load(random.choice(presets()))

    def days() -> float:
        return random.choice([0.25, 1.0, 2.5, 7.0])

    touch, conversion = random.choice(["click", "view"]), random.choice(["purchase", "return"])
    more = (
        Reach(days(), touch, product="same"),
        Reach(days(), touch, channel="s"),
        Reach(days(), touch, channel="s", product="same"),
        Reach(days(), touch, channel="s", campaign="a"),
        Reach(days(), touch, product="x", conversion=conversion, channel="d", campaign="b"),
    )
    windows = [Reach(days(), kind) for kind in ("click", "view", "engaged_view")]
    windows += [each for each in more if random.random() < 0.5]
    random.shuffle(windows)
    quiet = Reengagement(("return",), random.choice([1.0, 3.0]), random.choice([0.0, 2.0]))
    return Policy(
        windows=tuple(windows),
        click_over_view=random.random() < 0.5,
        max_touches=random.choice([1, 2, 3, 50]),
        reengagement=quiet if random.random() < 0.5 else Reengagement(),
    )


def as_frame(rows: list[Row], columns: list[str]) -> pd.DataFrame:
    """The rows with texts as objects and times in UTC."""
    frame = pd.DataFrame(rows, columns=columns).astype({name: object for name in columns if not name.endswith(("_at", "_by"))})
    times = {name: pd.to_datetime(frame[name], utc=True) for name in columns if name.endswith(("_at", "_by"))}
    return frame.assign(**times)


def frames(given: Drawn) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Conversions, touches and activity."""
    return as_frame(given.conversions, CONVERSIONS), as_frame(given.touches, TOUCHES), as_frame(given.activity, ACTIVITY)
