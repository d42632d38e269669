"""A policy in plain English, as an analyst would sign it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from whence.attribution.policy import SAME_PRODUCT, CoolDown, Fraud, Policy, Reach, digest, weight

ALGORITHM_WORDS = {
    "last_touch": "all of a conversion's value goes to the last touch",
    "first_touch": "all of a conversion's value goes to the first touch",
    "linear": "a conversion's value goes to all its touches alike",
    "position": "{first:.0%} of a conversion's value goes to the first touch, {last:.0%} to the last, the rest to those between",
    "time_decay": "a conversion's value is shared by its touches, the weight halved for each {half_life} further back",
    "markov": "by how many conversions would be lost without each channel, in a Markov chain of order {order:g}",
    "shapley": "by the Shapley value of each channel among those of the journey",
    "ranker": "by the probability, by attribution-ranker's champion, that each touch was the one; what is left goes to no ad",
    "incremental": "by what each touch added, by exposure-response's champion; what would have come without ads goes to no ad",
}
"""How a conversion's value is shared by each algorithm, with its parameters."""

DEFAULTS = {"position": {"first": 0.4, "last": 0.4}, "time_decay": {"half_life_days": 2.0}, "markov": {"order": 1.0}}


def describe(policy: Policy) -> str:
    """The policy in sentences, one a line."""
    return "\n".join(_sentences(policy))


def _sentences(policy: Policy) -> Iterator[str]:
    yield f"Attribution policy '{policy.name}' ({digest(policy)[:12]})."
    yield f"Paid by {_algorithm(policy.algorithm)}: {_share(policy)}."
    others = [_algorithm(name) + _set(policy, name) for name in policy.algorithms if name != policy.algorithm]
    if others:
        yield f"Computed beside it, for comparison: {_and(others)}."
    for window in sorted(policy.windows, key=lambda each: (-weight(each), -each.days)):
        yield _window(window)
    yield "A touch that none of these lets in earns nothing, nor does one after the conversion or one never shown (a ghost)."
    yield f"At most the latest {policy.max_touches:,} touches of a conversion are looked at."
    yield _priority(policy)
    yield from _reengagement(policy)
    yield from (_cool_down(each) for each in policy.cool_downs)
    yield from _money(policy)
    yield from _fraud(policy.fraud)
    yield f"Late events restate the credit of a conversion for {span(policy.restate_days)} after it was first stated."
    if policy.reporting_date == "touch":
        yield "Reports put a touch's credit under the day on which it happened, and that of no ad under the conversion's."
    else:
        yield "Reports put all credit under the day on which the conversion came to be known."


def _share(policy: Policy) -> str:
    if policy.algorithm == "incremental" and policy.parameter("incremental", "backwards", 0):
        return f"{ALGORITHM_WORDS['incremental']}; touches are taken away from the last backwards"
    given = {**DEFAULTS.get(policy.algorithm, {}), **policy.parameters.get(policy.algorithm, {})}
    return ALGORITHM_WORDS[policy.algorithm].format(half_life=span(given.get("half_life_days", 0)), **given)


def _set(policy: Policy, name: str) -> str:
    """The parameters that the policy sets, as ` (order 2)`."""
    given = [f"{_algorithm(key)} {value:g}" for key, value in policy.parameters.get(name, {}).items()]
    return f" ({', '.join(given)})" if given else ""


def _algorithm(name: str) -> str:
    return name.replace("_", " ")


def _window(window: Reach) -> str:
    kind = {"click": "A click", "view": "A view", "engaged_view": "An engaged view"}.get(window.touch, "Any touch")
    where = f" in the channel {window.channel}" if window.channel else ""
    where += f" of campaign {window.campaign}" if window.campaign else ""
    what = f"a conversion of kind {window.conversion}" if window.conversion else "a conversion"
    if window.product == SAME_PRODUCT:
        what += " of the very product that it advertised"
    elif window.product:
        what += f" of the product {window.product}"
    return f"{kind}{where} can earn {what} within {span(window.days)} after it."


def _priority(policy: Policy) -> str:
    if policy.click_over_view:
        return "Where a click can earn a conversion, views and engaged views earn nothing of it."
    return "Clicks and views compete as equals."


def _reengagement(policy: Policy) -> Iterator[str]:
    back = policy.reengagement
    if not back.conversions:
        return
    kinds = f"Conversions of kind {_and(back.conversions)}"
    if back.inactivity_days:
        quiet = f"did nothing, no conversion and no sighting, in the {span(back.inactivity_days)} before the touch"
        yield f"{kinds} are earned only by a touch that found its person gone quiet: one who {quiet}."
    if back.window_days:
        yield f"{kinds} may be earned within {span(back.window_days)} after the touch, in place of the windows above."


def _cool_down(pause: CoolDown) -> str:
    kinds = _and(pause.blocked)
    again = ", and starts the days anew" if pause.conversion in pause.blocked else ""
    return f"For {span(pause.days)} after a person's {pause.conversion}, a further {kinds} of theirs is earned by no ad{again}."


def _money(policy: Policy) -> Iterator[str]:
    orders, refunds, brand = policy.orders, policy.refunds, policy.new_to_brand
    counts = "the telling that came first counts"
    if orders.prefer != "first":
        counts = f"the {orders.prefer}'s telling counts if it came on the day of the first, and otherwise the first"
    yield f"An order told twice, as by pixel and by server, counts once: of the last {span(orders.look_back_days)}, {counts}."
    if refunds.mode == "ignore":
        yield "Refunds take nothing back: credit stays as it was given."
    else:
        yield (
            f"A refund within {span(refunds.within_days)} of its conversion takes its value from where the credit went, "
            "under its own day, and at most what was given; a later one, one in another currency, and one of an order not known by then take from no ad."
        )
    new = f"without a purchase in the {span(brand.look_back_days)} before"
    yield f"A customer is new to the brand {new}." + (" Conversions of others are earned by no ad." if brand.only else "")


def _fraud(fraud: Fraud) -> Iterator[str]:
    yield "What looks like fraud is marked, and credit is stated with and without it; each of these does:"
    yield f"  a click less than {fraud.install_seconds:g} s before an install, or {fraud.other_seconds:g} s before another conversion;"
    yield (
        f"  more than {fraud.clicks_a_day} clicks of one person, cookie or device on a day, or {fraud.network_clicks_a_day} of one "
        f"network and {fraud.network_clicks_per_person:g} for each person on it;"
    )
    yield (
        f"  a source of {fraud.flat_conversions} conversions and more, with over {fraud.flat_clicks_per_conversion:g} clicks for each, "
        f"whose times from click to conversion are within {fraud.flat_distance:g} of a uniform spread;"
    )
    yield (
        f"  a cookie or device of more than {fraud.persons_per_identifier} persons, a network of more than "
        f"{fraud.persons_per_network} on a day, and a touch seen {fraud.clock_seconds:g} s before it happened."
    )


def span(days: float) -> str:
    """Days in words, and less than whole days in hours."""
    if days < 1 or days != int(days):
        hours = days * 24
        return f"{hours:g} hour{'' if hours == 1 else 's'}"
    return f"{days:g} day{'' if days == 1 else 's'}"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
