"""One conversion by itself, in plain values: the touches that may earn it, whether it pays, and who is credited.

The same as journeys, customers, rules and credit say of it in a table: a table of one row costs as much as one of ten thousand,
and a service is asked for one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from whence.attribution import credit, paths, rules
from whence.attribution.customers import DAY, PURCHASE
from whence.attribution.journeys import CLICK, GHOST
from whence.attribution.journeys import DAY as DAY_MICROS
from whence.attribution.paths import Floats
from whence.attribution.policy import SAME_PRODUCT, Policy, Reach, weight
from whence.contracts.times import micros

Row = Mapping[str, Any]
"""A row of `touches` or `conversions`; None, or no such name, is missing."""


@dataclass(frozen=True)
class Journey:
    """The touches that may earn a conversion, in the order of time."""

    touches: tuple[Row, ...]
    path: dict[str, Any]
    """Of each touch what evidence.pair_columns reads beside the features: FROM_JOURNEY, converted_at, SCHEMA_CATEGORIES."""

    @property
    def ids(self) -> list[str]:
        """The touches' ids."""
        return [touch["touch_id"] for touch in self.touches]

    def texts(self, name: str) -> list[str | None]:
        """A text of each touch."""
        return [touch.get(name) for touch in self.touches]


def journey(
    conversion: Row, person_id: str | None, touches: Sequence[Row], policy: Policy, known_by: datetime, done: Sequence[datetime]
) -> Journey:
    """What journeys.candidate_touches finds for one conversion.

    `touches` are of its person, each id once; where nobody knows the person, those that share its click_id count. `done` is when
    the person is known to have done something, all of it seen at once: what re-engagement asks for. Times have zones.
    """
    at, end = micros(conversion["happened_at"]), micros(known_by)
    windows = sorted(policy.windows, key=weight)[::-1]
    busy = _busy(conversion, person_id, policy, done, end)
    met: list[tuple[int, str, Row]] = []
    for touch in touches:
        if person_id is None and not (conversion.get("click_id") and touch.get("click_id") == conversion["click_id"]):
            continue
        when = micros(touch["happened_at"])
        seen = touch.get("seen_at")
        is_known = (when if seen is None else micros(seen)) < end
        is_met = when < at and is_known and when >= at - _look_back(touch, conversion, windows, policy)
        if is_met and (touch["kind"] == GHOST or not busy.before(when)):  # a ghost is context, whoever was busy
            met.append((when, touch["touch_id"], touch))
    met.sort(key=lambda each: each[:2])
    return _journey(conversion, at, _paid(met, policy), [touch for _, _, touch in met if touch["kind"] == GHOST])


def pays(conversion: Row, before: Sequence[Row], policy: Policy) -> bool:
    """Whether the conversion may pay anybody, as customers.standing says; `before` are its person's conversions (conversion_id,
    kind, happened_at), none where nobody knows the person.
    """
    now = conversion["happened_at"], conversion["conversion_id"]
    earlier = [each for each in before if (each["happened_at"], each["conversion_id"]) <= now]

    def since(kind: str) -> timedelta | None:
        return min((now[0] - each["happened_at"] for each in earlier if each["kind"] == kind), default=None)

    brand = policy.new_to_brand
    if brand.only and (gap := since(PURCHASE)) is not None and gap <= DAY * brand.look_back_days:
        return False
    return not any(
        conversion["kind"] in pause.blocked and (gap := since(pause.conversion)) is not None and gap < DAY * pause.days
        for pause in policy.cool_downs
    )


def shares(walked: Journey, algorithm: str, policy: Policy) -> Floats:
    """Each touch's share by a rule, as rules.share."""
    return rules.shares_along(paths.alone(len(walked.touches)), walked.path["hours_before"], algorithm, policy)


def ranker_shares(probability: Floats) -> Floats:
    """Each touch's share by its probability, as rules.ranker_share."""
    return rules.ranker_shares_along(paths.alone(len(probability)), probability)


def credits(value_micros: int, walked: Journey, earned: Floats, is_paying: bool) -> list[tuple[Row | None, float, int]]:
    """Touches (None for no ad) with their share and their whole micros, as credit.credit_rows: the largest share first."""
    rows = credit.shared_out(value_micros, walked.ids, earned.tolist()) if is_paying else credit.shared_out(value_micros, [], [])
    told = [(None if place is None else walked.touches[place], share, part) for place, share, part in rows]
    return sorted(told, key=lambda each: -each[1])


@dataclass(frozen=True)
class _Busy:
    """When a person did something, and how long before a touch that speaks against it, in microseconds."""

    at: Sequence[int]
    back: int

    def before(self, when: int) -> bool:
        return any(when - self.back < each < when for each in self.at)


def _busy(conversion: Row, person_id: str | None, policy: Policy, done: Sequence[datetime], end: int) -> _Busy:
    back = policy.reengagement
    if person_id is None or not back.inactivity_days or conversion["kind"] not in back.conversions:
        return _Busy((), 0)
    return _Busy([at for at in map(micros, done) if at < end], round(back.inactivity_days * DAY_MICROS))


def _look_back(touch: Row, conversion: Row, windows: Sequence[Reach], policy: Policy) -> int:
    """How long the touch may earn the conversion, as reach.days says, in microseconds; `windows` are those that name most first."""
    days = next((each.days for each in windows if _fits(each, touch, conversion)), 0.0)
    back = policy.reengagement
    if days > 0 and back.window_days and conversion["kind"] in back.conversions:
        days = back.window_days
    return round(days * DAY_MICROS)


def _fits(window: Reach, touch: Row, conversion: Row) -> bool:
    """A ghost would have been a view."""
    kind, bought, shown = touch["kind"], conversion.get("product"), touch.get("product")
    return (
        (not window.touch or window.touch == ("view" if kind == GHOST else kind))
        and (not window.channel or window.channel == touch.get("channel"))
        and (not window.campaign or window.campaign == touch.get("campaign_id"))
        and (not window.conversion or window.conversion == conversion["kind"])
        and (not window.product or _fits_product(window.product, bought, shown))
    )


def _fits_product(wanted: str, bought: str | None, shown: str | None) -> bool:
    if wanted == SAME_PRODUCT:
        return shown is not None and shown == bought
    return wanted == (shown if bought is None else bought)


def _paid(met: Sequence[tuple[int, str, Row]], policy: Policy) -> list[tuple[int, str, Row]]:
    """Of the touches met those that may be paid: no ghosts, clicks before views where the policy says so, the latest."""
    paid = [each for each in met if each[2]["kind"] != GHOST]
    clicks = [each for each in paid if each[2]["kind"] == CLICK] if policy.click_over_view else []
    paid = clicks or paid
    return paid[max(len(paid) - policy.max_touches, 0) :]


def _journey(conversion: Row, at: int, paid: Sequence[tuple[int, str, Row]], ghosts: Sequence[Row]) -> Journey:
    touches = tuple(touch for _, _, touch in paid)
    kinds, campaigns = [touch["kind"] for touch in touches], [touch.get("campaign_id") for touch in touches]
    held = [ghost.get("campaign_id") for ghost in ghosts]
    length = len(touches)
    place = np.arange(length, dtype=np.float64)
    path = {
        "hours_before": np.array([(at - when) / 1e6 / 3600 for when, _, _ in paid], dtype=np.float64),
        "place": place,
        "from_last": length - 1 - place,
        "path_length": np.full(length, float(length)),
        "clicks_in_path": np.full(length, float(kinds.count(CLICK))),
        "eligible_campaign": np.array([held.count(each) for each in campaigns], dtype=np.float64),
        "eligible_any": np.full(length, float(len(held))),
        **{name: np.array(list(_alike(conversion, touches, key)), dtype=np.float64) for name, key in SAME.items()},
        "converted_at": np.full(length, at),
        "channel": [touch.get("channel") for touch in touches],
        "touch_kind": kinds,
        "campaign_id": campaigns,
        "conversion_kind": [conversion["kind"]] * length,
    }
    return Journey(touches, path)


SAME = {"same_cookie": "cookie_id", "same_device": "device_id", "same_ip": "ip_key"}
"""What touch and conversion may share, by the input that says so."""


def _alike(conversion: Row, touches: Sequence[Row], key: str) -> Iterator[float]:
    """1 or 0; NaN where one of the two does not say."""
    mine = conversion.get(key)
    for touch in touches:
        theirs = touch.get(key)
        yield math.nan if mine is None or theirs is None else float(mine == theirs)
