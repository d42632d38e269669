"""A policy's TOML file, read and checked: every line that cannot be is named, with what to write instead."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from itertools import combinations
from typing import Any, get_type_hints

from whence.attribution.policy import (
    ALGORITHMS,
    PAID_KINDS,
    CoolDown,
    Fraud,
    NewToBrand,
    Orders,
    Policy,
    PolicyError,
    Problem,
    Reach,
    Reengagement,
    Refunds,
    weight,
)
from whence.attribution.policy_words import span
from whence.attribution.toml_lines import Lines, Path, lines
from whence.contracts.events import CONVERSION_SOURCES

MAX_DAYS = 3650
"""Ten years; nothing that is longer is meant."""
REFUND = "refund"


@dataclass(frozen=True)
class _Bound:
    """What a parameter may be."""

    least: float
    most: float
    is_whole: bool = False
    may_be_least: bool = True


PARAMETERS: Mapping[str, Mapping[str, _Bound]] = {
    "time_decay": {"half_life_days": _Bound(0, MAX_DAYS, may_be_least=False)},
    "position": {"first": _Bound(0, 1), "last": _Bound(0, 1)},
    "markov": {"order": _Bound(1, 4, is_whole=True)},
    "incremental": {"backwards": _Bound(0, 1, is_whole=True)},
}
"""The parameters of each algorithm that has any."""

_SECTIONS: Mapping[str, type] = {
    "fraud": Fraud,
    "reengagement": Reengagement,
    "orders": Orders,
    "refunds": Refunds,
    "new_to_brand": NewToBrand,
}
_LISTS: Mapping[str, type] = {"windows": Reach, "cool_downs": CoolDown}
_EXAMPLES = {"days": "days = 7", "conversion": 'conversion = "install"'}
_Say = Callable[[Path, str], None]


def read(text: str, file: str) -> Policy:
    """The policy that a TOML text writes down; whatever it leaves out is as in Policy. Raises PolicyError."""
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        raise PolicyError(file, (_no_toml(wrong, text),)) from None
    check = _Check(lines(text))
    policy = check.policy(given)
    if policy is not None:
        check.meaning(policy)
    if check.problems:
        raise PolicyError(file, tuple(sorted(set(check.problems), key=lambda each: (each.line or 0, each.what))))
    assert policy is not None
    return policy


def _no_toml(wrong: tomllib.TOMLDecodeError, text: str) -> Problem:
    words = str(wrong)
    what, _, place = words.partition(" (at ")
    if place.startswith("line "):
        return Problem(int(place.removeprefix("line ").split(",")[0]), f"This is no TOML: {what}.")
    return Problem(max(len(text.splitlines()), 1), f"This is no TOML: {what}, at the end of the file.")


class _Check:
    """Problems found so far, each at the line of its path."""

    def __init__(self, places: Lines):
        self.places = places
        self.problems: list[Problem] = []

    def say(self, path: Path, what: str) -> None:
        self.problems.append(Problem(self.places.of(*path), what))

    def policy(self, given: Mapping[str, Any]) -> Policy | None:
        values = self._values(Policy, given, ())
        if self.problems:
            return None
        return Policy(**values)

    def meaning(self, policy: Policy) -> None:
        for rule in _RULES:
            rule(policy, self.say)

    def _values(self, kind: type, given: Mapping[str, Any], path: Path) -> dict[str, Any]:
        hints = get_type_hints(kind)
        known = [each.name for each in fields(kind)]
        values: dict[str, Any] = {}
        for name, value in given.items():
            if name not in known:
                where = f" in [{'.'.join(str(part) for part in path if isinstance(part, str))}]" if path else ""
                self.say((*path, name), f"There is no '{name}'{where}. Known here are {', '.join(known)}.")
            else:
                values[name] = self._value(name, hints[name], value, (*path, name))
        needed = {"days", "conversion"} if kind is CoolDown else {"days"} if kind is Reach else set()
        for name in sorted(needed - set(given)):
            self.say(path, f"This needs '{name}'. Write {_EXAMPLES[name]}, or what you mean.")
        return values

    def _value(self, name: str, hint: Any, value: Any, path: Path) -> Any:
        if name in _LISTS and len(path) == 1:
            return self._list(name, value, path)
        if name in _SECTIONS and len(path) == 1:
            if not isinstance(value, dict):
                return self.say(path, f"'{name}' must be a table: write [{name}], and its settings below.")
            made = self._values(_SECTIONS[name], value, path)
            return _SECTIONS[name](**made) if not self.problems else None
        if name == "parameters" and len(path) == 1:
            return self._parameters(value, path)
        return self._plain(name, hint, value, path)

    def _list(self, name: str, value: Any, path: Path) -> Any:
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            return self.say(path, f"'{name}' must be a list of tables: write [[{name}]] before each, and its settings below.")
        made = [self._values(_LISTS[name], each, (*path, place)) for place, each in enumerate(value)]
        return None if self.problems else tuple(_LISTS[name](**each) for each in made)

    def _plain(self, name: str, hint: Any, value: Any, path: Path) -> Any:
        if hint == tuple[str, ...]:
            if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                return self.say(path, f"'{name}' must be a list of texts, as [\"install\"], and is {value!r}.")
            return tuple(value)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if hint is float and is_number:
            return float(value)
        if type(value) is not hint:
            kind = {float: "a number", int: "a whole number", bool: "true or false", str: "a text in quotes"}[hint]
            return self.say(path, f"'{name}' must be {kind}, and is {_toml(value)}.")
        return value

    def _parameters(self, value: Any, path: Path) -> Any:
        if not isinstance(value, dict):
            return self.say(path, "'parameters' must be tables, as [parameters.time_decay].")
        found: dict[str, dict[str, float]] = {}
        for algorithm, given in value.items():
            at = (*path, algorithm)
            if algorithm not in PARAMETERS or not isinstance(given, dict):
                what = "is no algorithm" if algorithm not in ALGORITHMS else "has no parameters"
                what = what if isinstance(given, dict) else "is no table"
                self.say(at, f"'{algorithm}' {what}. Parameters there are of {', '.join(PARAMETERS)}, as [parameters.markov].")
                continue
            found[algorithm] = {}
            for name, number in given.items():
                if name not in PARAMETERS[algorithm]:
                    known = ", ".join(PARAMETERS[algorithm])
                    self.say((*at, name), f"'{algorithm}' has no parameter '{name}'. It has {known}.")
                elif wrong := _outside(number, PARAMETERS[algorithm][name]):
                    self.say((*at, name), f"'{algorithm}.{name}' must be {wrong}, and is {_toml(number)}.")
                else:
                    found[algorithm][name] = float(number)
        return found


def _outside(number: Any, bound: _Bound) -> str:
    """What the number should have been; empty when it is."""
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    kind = "a whole number" if bound.is_whole else "a number"
    said = f"{kind} {'from' if bound.may_be_least else 'above'} {bound.least:g} {'to' if bound.may_be_least else 'and at most'} {bound.most:g}"
    if not is_number or (bound.is_whole and int(number) != number if is_number and abs(number) < 2**53 else False):
        return said
    is_inside = bound.least <= number <= bound.most and (bound.may_be_least or number > bound.least)
    return "" if is_inside else said


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _names(policy: Policy, say: _Say) -> None:
    if not policy.name.strip():
        say(("name",), "The name is empty. Give the policy one, for its reports.")
    for place, name in enumerate(policy.algorithms):
        if name not in ALGORITHMS:
            say(("algorithms", place), f"There is no algorithm '{name}'. There are {', '.join(ALGORITHMS)}.")
        elif name in policy.algorithms[:place]:
            say(("algorithms", place), f"'{name}' is listed twice. Remove one.")
    if policy.algorithm not in ALGORITHMS:
        say(("algorithm",), f"There is no algorithm '{policy.algorithm}'. There are {', '.join(ALGORITHMS)}.")
    elif policy.algorithm not in policy.algorithms:
        listed = ", ".join(policy.algorithms) or "none"
        say(("algorithm",), f"'{policy.algorithm}' is paid by, and `algorithms` does not compute it ({listed}). Add it there.")
    for algorithm in policy.parameters:
        if algorithm not in policy.algorithms:
            what = f"Parameters of '{algorithm}' have no effect: `algorithms` does not compute it. Add it there, or remove them."
            say(("parameters", algorithm), what)
    if policy.parameter("position", "first", 0.4) + policy.parameter("position", "last", 0.4) > 1:
        say(
            ("parameters", "position"),
            "'first' and 'last' add up to more than 1 (each is 0.4 unless you say otherwise). Lower one.",
        )


def _choices(policy: Policy, say: _Say) -> None:
    choices: tuple[tuple[Path, str, tuple[str, ...]], ...] = (
        (("reporting_date",), policy.reporting_date, ("conversion", "touch")),
        (("refunds", "mode"), policy.refunds.mode, ("take_back", "ignore")),
        (("orders", "prefer"), policy.orders.prefer, ("first", *CONVERSION_SOURCES)),
    )
    for path, value, known in choices:
        if value not in known:
            say(path, f"'{path[-1]}' must be one of {', '.join(known)}, and is '{value}'.")
    if not 1 <= policy.max_touches <= 100_000:
        say(("max_touches",), f"'max_touches' must be from 1 to 100,000, and is {policy.max_touches}.")


def _durations(policy: Policy, say: _Say) -> None:
    for place, window in enumerate(policy.windows):
        _days(window.days, ("windows", place, "days"), "A window that is not above 0 lets nothing be earned: leave it out", say)
    for place, pause in enumerate(policy.cool_downs):
        _days(pause.days, ("cool_downs", place, "days"), "A cool-down that is not above 0 does nothing: leave it out", say)
    some_days: tuple[tuple[Path, float], ...] = (
        (("orders", "look_back_days"), policy.orders.look_back_days),
        (("refunds", "within_days"), policy.refunds.within_days),
        (("new_to_brand", "look_back_days"), policy.new_to_brand.look_back_days),
    )
    for path, days in some_days:
        _days(days, path, "Give it a day at least", say)
    none_or_more: tuple[tuple[Path, float], ...] = (
        (("restate_days",), policy.restate_days),
        (("reengagement", "inactivity_days"), policy.reengagement.inactivity_days),
        (("reengagement", "window_days"), policy.reengagement.window_days),
    )
    for path, days in none_or_more:
        if not 0 <= days <= MAX_DAYS:
            say(path, f"'{path[-1]}' must be from 0 to {MAX_DAYS} days, and is {days:g}.")
    if policy.refunds.within_days > policy.orders.look_back_days:
        what = f"Refunds are followed for {policy.refunds.within_days:g} days, and conversions looked up for {policy.orders.look_back_days}."
        say(("refunds", "within_days"), f"{what} Raise orders.look_back_days to that, or lower this.")


def _days(days: float, path: Path, otherwise: str, say: _Say) -> None:
    if not days > 0:
        say(path, f"'{path[-1]}' is {days:g}. {otherwise}.")
    elif days > MAX_DAYS:
        say(path, f"'{path[-1]}' is {days:g}, more than ten years ({MAX_DAYS} days). Are these hours or seconds? Write days.")


def _windows(policy: Policy, say: _Say) -> None:
    if not policy.windows:
        say(("windows",), 'There are no windows, so no touch could earn anything. Write [[windows]], touch = "click", days = 7.')
    for place, window in enumerate(policy.windows):
        for name in ("touch", "channel", "campaign", "product", "conversion"):
            value = getattr(window, name)
            if value != value.strip():
                say(("windows", place, name), f"'{value}' begins or ends with a space, and would fit nothing. Take it away.")
        if window.touch and window.touch not in PAID_KINDS:
            say(("windows", place, "touch"), _no_touch(window.touch))
        if window.conversion == REFUND:
            what = "Refunds are not earned, they take back what was (see [refunds]), so this window can never apply. Remove it."
            say(("windows", place, "conversion"), what)


def _no_touch(kind: str) -> str:
    if kind == "eligible":
        return "A touch of kind 'eligible' is a ghost: it was never shown, and earns nothing. Remove the window."
    return f"There is no touch of kind '{kind}'. There are {', '.join(PAID_KINDS)}."


def _contradictions(policy: Policy, say: _Say) -> None:
    numbered = [(place, window) for place, window in enumerate(policy.windows) if _is_sound(window)]
    for (_, first), (place, second) in combinations(numbered, 2):
        if _asks(first) == _asks(second):
            again = _words(second).removeprefix("The window ")
            say(("windows", place), f"There is a window {again} above already ({span(first.days)}). Keep one of the two.")
        elif weight(first) == weight(second) and first.days != second.days and _overlap(first, second):
            beside = _words(second).removeprefix("The window ")
            what = f"{_words(first)} has {span(first.days)} and that {beside} has {span(second.days)}, and a touch may be both."
            both = {name: a or b for name, a, b in zip(_NAMES, _asks(first), _asks(second), strict=True) if a or b}
            written = ", ".join(f'{name} = "{value}"' for name, value in both.items())
            if not _is_settled(both, policy.windows):
                say(("windows", place), f"{what} Say which holds: add a window with {written}.")
    for place, window in numbered:
        if not window.touch and all(_covered(window, kind, policy.windows) for kind in PAID_KINDS):
            what = f"{_words(window)} can never apply: clicks, engaged views and views have windows of their own. Remove it."
            say(("windows", place), what)


def _is_sound(window: Reach) -> bool:
    return 0 < window.days <= MAX_DAYS and window.touch in ("", *PAID_KINDS) and window.conversion != REFUND


_NAMES = ("touch", "channel", "campaign", "product", "conversion")


def _asks(window: Reach) -> tuple[str, ...]:
    return (window.touch, window.channel, window.campaign, window.product, window.conversion)


def _overlap(first: Reach, second: Reach) -> bool:
    return all(not a or not b or a == b for a, b in zip(_asks(first), _asks(second), strict=True))


def _is_settled(both: Mapping[str, str], windows: tuple[Reach, ...]) -> bool:
    """Whether a window that asks just for what both ask decides between them."""
    return any({name: value for name, value in zip(_NAMES, _asks(each), strict=True) if value} == both for each in windows)


def _covered(window: Reach, kind: str, windows: tuple[Reach, ...]) -> bool:
    return any(each.touch == kind and _asks(each)[1:] == _asks(window)[1:] for each in windows)


def _words(window: Reach) -> str:
    named = [f"{name} '{value}'" for name, value in zip(_NAMES, _asks(window), strict=True) if value]
    return f"The window of {', '.join(named)}" if named else "The window of every touch"


def _reengagement(policy: Policy, say: _Say) -> None:
    back = policy.reengagement
    if not back.conversions:
        if back.inactivity_days or back.window_days:
            what = 'Re-engagement is of no kind of conversion, and so switched off. Write conversions = ["reengagement"], or remove it.'
            say(("reengagement",), what)
        return
    if REFUND in back.conversions:
        say(("reengagement", "conversions"), "Refunds are not earned, so nobody is won back by one. Remove 'refund'.")
    if not back.inactivity_days and not back.window_days:
        say(("reengagement",), "This changes nothing: give it inactivity_days or window_days, or remove it.")
    if back.window_days:
        for place, window in enumerate(policy.windows):
            if window.conversion in back.conversions:
                what = f"reengagement.window_days stands in its place for '{window.conversion}'. Its days can never apply."
                say(("windows", place), f"{_words(window)}: {what} Remove one of the two.")


def _fraud(policy: Policy, say: _Say) -> None:
    for each in fields(policy.fraud):
        value = getattr(policy.fraud, each.name)
        if not value > 0:
            say(
                ("fraud", each.name),
                f"'{each.name}' must be above 0, and is {value:g}. To suspect nothing by it, make it very high.",
            )


def _cool_downs(policy: Policy, say: _Say) -> None:
    known: dict[tuple[str, str], float] = {}
    for place, pause in enumerate(policy.cool_downs):
        at = ("cool_downs", place)
        if not pause.conversion:
            say((*at, "conversion"), 'A cool-down needs the kind of conversion that starts it, as conversion = "install".')
        if REFUND in (pause.conversion, *pause.blocks):
            say((*at, "conversion"), "Refunds earn nothing and start no cool-down. Name another kind.")
        for kind in pause.blocked:
            if (pause.conversion, kind) in known:
                days = known[pause.conversion, kind]
                what = f"After '{pause.conversion}', '{kind}' is cooling down for {span(days)} already. Keep one of the two."
                say(at, what)
            known[pause.conversion, kind] = pause.days


_RULES: tuple[Callable[[Policy, _Say], None], ...] = (
    _names,
    _choices,
    _durations,
    _windows,
    _contradictions,
    _reengagement,
    _cool_downs,
    _fraud,
)
