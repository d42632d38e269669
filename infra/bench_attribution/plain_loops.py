"""What the policy says in words, told row by row in plain loops: the judge of journeys.candidate_touches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from whence.attribution.policy import Policy, Reach

Row = dict[str, Any]


def judged(conversions: Sequence[Row], touches: Sequence[Row], policy: Policy, activity: Sequence[Row] = ()) -> list[Row]:
    """The pairs with their context, by conversion_id and time."""
    found = []
    for conversion in sorted(_first_told(conversions, "conversion_id"), key=lambda row: row["conversion_id"]):
        in_reach = [touch for touch in _first_told(touches, "touch_id") if _counts(conversion, touch, policy)]
        paid = [touch for touch in in_reach if touch["kind"] != "eligible" and _was_quiet(conversion, touch, policy, activity)]
        if policy.click_over_view and any(touch["kind"] == "click" for touch in paid):
            paid = [touch for touch in paid if touch["kind"] == "click"]
        path = sorted(paid, key=lambda touch: (touch["happened_at"], touch["touch_id"]))[-policy.max_touches :]
        ghosts = [touch for touch in in_reach if touch["kind"] == "eligible"]
        for place, touch in enumerate(path):
            found.append(
                {
                    "conversion_id": conversion["conversion_id"],
                    "touch_id": touch["touch_id"],
                    "via": "person" if _same(conversion, touch, "person_id") else "click_id",
                    "touched_at": touch["happened_at"],
                    "product": touch["product"],
                    "place": place,
                    "from_last": len(path) - 1 - place,
                    "path_length": len(path),
                    "clicks_in_path": sum(each["kind"] == "click" for each in path),
                    "eligible_campaign": sum(each["campaign_id"] == touch["campaign_id"] for each in ghosts),
                    "eligible_any": len(ghosts),
                    "certainty": _certainty(conversion, touch),
                }
            )
    return found


def _first_told(rows: Iterable[Row], name: str) -> list[Row]:
    first: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: row["seen_at"]):
        first.setdefault(row[name], row)
    return list(first.values())


def _counts(conversion: Row, touch: Row, policy: Policy) -> bool:
    if not (_same(conversion, touch, "person_id") or _same(conversion, touch, "click_id")):
        return False
    if touch["happened_at"] >= conversion["happened_at"] or touch["seen_at"] >= _known_by(conversion):
        return False
    age: timedelta = conversion["happened_at"] - touch["happened_at"]
    return age <= timedelta(days=_window(conversion, touch, policy))


def _known_by(conversion: Row) -> datetime:
    given: datetime | None = conversion.get("known_by")
    seen: datetime = conversion["seen_at"]
    return given if given is not None else seen.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _window(conversion: Row, touch: Row, policy: Policy) -> float:
    """Of the windows that let the touch in, the one that names most; a touch that none lets in has none at all."""
    fitting = [each for each in policy.windows if _lets_in(each, conversion, touch)]
    if not fitting:
        return -1.0
    if conversion["kind"] in policy.reengagement.conversions and policy.reengagement.window_days > 0:
        return policy.reengagement.window_days
    return max(fitting, key=_names).days


def _lets_in(window: Reach, conversion: Row, touch: Row) -> bool:
    kind = "view" if touch["kind"] == "eligible" else touch["kind"]
    bought = conversion["product"] if conversion["product"] is not None else touch["product"]
    same = touch["product"] is not None and touch["product"] == conversion["product"]
    return bool(
        window.touch in ("", kind)
        and window.channel in ("", touch["channel"])
        and window.campaign in ("", touch["campaign_id"])
        and window.conversion in ("", conversion["kind"])
        and (window.product == "" or (same if window.product == "same" else window.product == bought))
    )


def _names(window: Reach) -> float:
    plain = [window.touch, window.channel, window.campaign, window.conversion]
    return sum(name != "" for name in plain) + {"": 0.0, "same": 0.5}.get(window.product, 1.0)


def _was_quiet(conversion: Row, touch: Row, policy: Policy, activity: Sequence[Row]) -> bool:
    back = policy.reengagement
    if conversion["kind"] not in back.conversions:
        return True
    since = touch["happened_at"] - timedelta(days=back.inactivity_days)
    return not any(
        _same(touch, each, "person_id")
        and since < each["happened_at"] < touch["happened_at"]
        and each["seen_at"] < _known_by(conversion)
        for each in activity
    )


def _same(one: Row, other: Row, name: str) -> bool:
    return bool(one[name] is not None and one[name] == other[name])


def _certainty(conversion: Row, touch: Row) -> float:
    if _same(conversion, touch, "click_id"):
        return 1.0
    sure = [row["person_probability"] for row in (conversion, touch)]
    return float((1.0 if sure[0] is None else sure[0]) * (1.0 if sure[1] is None else sure[1]))
