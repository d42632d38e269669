"""A policy is read whole or refused by the line, means the same in any order, and says in English what it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import some_settings
from whence.attribution import policy as policies
from whence.attribution import reach
from whence.attribution.policy import (
    ALGORITHMS,
    PAID_KINDS,
    SAME_PRODUCT,
    CoolDown,
    Fraud,
    NewToBrand,
    Orders,
    Policy,
    PolicyError,
    Reach,
    Reengagement,
    Refunds,
    weight,
)
from whence.attribution.policy_file import PARAMETERS, read
from whence.attribution.toml_lines import lines
from whence.contracts.settings import Attribution, load

WINDOW = '[[windows]]\ntouch = "click"\ndays = 7\n'


def said(text: str) -> str:
    with pytest.raises(PolicyError) as wrong:
        read(text, "ours.toml")
    return str(wrong.value)


def test_the_default_preset_is_the_default_policy() -> None:
    assert policies.load("whence") == Policy()
    assert policies.presets()[0] == "whence"


@pytest.mark.parametrize("name", policies.presets())
def test_every_preset_is_sound_and_says_where_its_figures_come_from(name: str) -> None:
    text, _ = policies.source(name)
    assert policies.load(name).name == name
    assert "figures come from" in text or name == "whence"
    assert all(len(line) <= 130 for line in text.splitlines())


def test_a_file_may_leave_out_whatever_is_as_usual(tmp_path: Path) -> None:
    ours = tmp_path / "ours.toml"
    ours.write_text('name = "ours"\nclick_over_view = true\n')
    assert policies.load(ours) == Policy(name="ours", click_over_view=True)


def test_the_settings_name_a_preset_or_a_file_beside_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WHENCE_HOME", raising=False)
    (tmp_path / "ours.toml").write_text('name = "ours"\nmax_touches = 5\n')
    (tmp_path / "whence.toml").write_text('[attribution]\npolicy = "ours.toml"\n')
    assert policies.of(load(tmp_path / "whence.toml")) == Policy(name="ours", max_touches=5)
    assert policies.of(some_settings(tmp_path, attribution=Attribution("mobile"))).click_over_view


def test_every_kind_of_line_is_read() -> None:
    text = """
name = "all"
algorithm = "markov"
algorithms = ["markov", "linear"]
windows = [
  { touch = "click", days = 30 },   # the usual
  { touch = "click", channel = "search", campaign = "c", product = "p", conversion = "install", days = 2.5 },
]
reengagement = { conversions = ["reengagement"], inactivity_days = 7, window_days = 30 }

[[cool_downs]]
conversion = "install"
days = 1
blocks = ["install", "reengagement"]

[parameters.markov]
order = 3
"""
    found = read(text, "all.toml")
    assert found.windows == (Reach(30.0, "click"), Reach(2.5, "click", "search", "c", "p", "install"))
    assert found.reengagement == Reengagement(("reengagement",), 7.0, 30.0)
    assert found.cool_downs == (CoolDown("install", 1.0, ("install", "reengagement")),)
    assert found.parameter("markov", "order", 1) == 3
    assert found.reach_days == 30


BAD = [
    ("name = \n", "ours.toml, line 1: This is no TOML: Invalid value."),
    ("[orders]\nx = [1,\n2", "ours.toml, line 3: This is no TOML: Unclosed array, at the end of the file."),
    ('name = ""', "line 1: The name is empty. Give the policy one"),
    ("colour = 3", "line 1: There is no 'colour'. Known here are name, algorithm, "),
    ("\n[orders]\ncolour = 3", "line 3: There is no 'colour' in [orders]. Known here are prefer, look_back_days."),
    ("max_touches = 2.5", "line 1: 'max_touches' must be a whole number, and is 2.5."),
    ("max_touches = 0", "line 1: 'max_touches' must be from 1 to 100,000, and is 0."),
    ('click_over_view = "yes"', "line 1: 'click_over_view' must be true or false, and is \"yes\"."),
    ("algorithms = 3", "line 1: 'algorithms' must be a list of texts"),
    ('[windows]\ntouch = "click"', "line 1: 'windows' must be a list of tables: write [[windows]] before each"),
    ("orders = 3", "line 1: 'orders' must be a table: write [orders]"),
    ('[[windows]]\ntouch = "click"', "line 1: This needs 'days'. Write days = 7, or what you mean."),
    ("[[cool_downs]]\ndays = 3", "line 1: This needs 'conversion'. Write conversion = \"install\""),
    (f'algorithm = "lasttouch"\n{WINDOW}', "line 1: There is no algorithm 'lasttouch'. There are last_touch, "),
    ('algorithms = [\n  "last_touch",\n  "magic", # ]\n]', "line 3: There is no algorithm 'magic'."),
    ('algorithms = ["last_touch",\n "last_touch"]', "line 2: 'last_touch' is listed twice. Remove one."),
    (
        'algorithm = "linear"\nalgorithms = ["last_touch"]',
        "line 1: 'linear' is paid by, and `algorithms` does not compute it (last_touch).",
    ),
    ("[parameters.markov]\norder = 5", "line 2: 'markov.order' must be a whole number from 1 to 4, and is 5."),
    ("[parameters.markov]\norder = 1.5", "line 2: 'markov.order' must be a whole number from 1 to 4, and is 1.5."),
    ("[parameters.markov]\nsize = 5", "line 2: 'markov' has no parameter 'size'. It has order."),
    ("[parameters.linear]\nsize = 5", "line 1: 'linear' has no parameters."),
    ("[parameters.magic]\nsize = 5", "line 1: 'magic' is no algorithm."),
    ("parameters = { markov = 3 }", "line 1: 'markov' is no table."),
    (
        "[parameters.time_decay]\nhalf_life_days = 0",
        "line 2: 'time_decay.half_life_days' must be a number above 0 and at most 3650, and is 0.",
    ),
    (
        "[parameters.time_decay]\nhalf_life_days = nan",
        "line 2: 'time_decay.half_life_days' must be a number above 0 and at most 3650, and is nan.",
    ),
    ("[parameters.position]\nfirst = 0.7", "line 1: 'first' and 'last' add up to more than 1"),
    ('algorithms = ["last_touch"]\n[parameters.markov]\norder = 2', "line 2: Parameters of 'markov' have no effect"),
    ('reporting_date = "click"', "line 1: 'reporting_date' must be one of conversion, touch, and is 'click'."),
    ('[refunds]\nmode = "forget"', "line 2: 'mode' must be one of take_back, ignore, and is 'forget'."),
    ('[orders]\nprefer = "fax"', "line 2: 'prefer' must be one of first, pixel, sdk, server, offline, and is 'fax'."),
    ("[orders]\nlook_back_days = 0", "line 2: 'look_back_days' is 0. Give it a day at least."),
    ("[refunds]\nwithin_days = 90", "line 2: Refunds are followed for 90 days, and conversions looked up for 60."),
    ("restate_days = -1", "line 1: 'restate_days' must be from 0 to 3650 days, and is -1."),
    ("windows = []", "line 1: There are no windows, so no touch could earn anything."),
    (
        '[[windows]]\ntouch = "click"\ndays = 0',
        "line 3: 'days' is 0. A window that is not above 0 lets nothing be earned: leave it out.",
    ),
    ('[[windows]]\ntouch = "click"\ndays = -7', "line 3: 'days' is -7. A window that is not above 0"),
    ('[[windows]]\ntouch = "click"\ndays = nan', "line 3: 'days' is nan. A window that is not above 0"),
    ('[[windows]]\ntouch = "click"\ndays = inf', "line 3: 'days' is inf, more than ten years (3650 days)."),
    (
        '[[windows]]\ntouch = "click"\ndays = 604800',
        "line 3: 'days' is 604800, more than ten years (3650 days). Are these hours or seconds?",
    ),
    ('[[windows]]\ntouch = "hover"\ndays = 7', "line 2: There is no touch of kind 'hover'. There are click, engaged_view, view."),
    ('[[windows]]\ntouch = "eligible"\ndays = 7', "line 2: A touch of kind 'eligible' is a ghost"),
    (
        f'{WINDOW}[[windows]]\ndays = 3\nchannel = "email "',
        "line 6: 'email ' begins or ends with a space, and would fit nothing.",
    ),
    ('[[windows]]\ndays = 3\nconversion = "refund"', "line 3: Refunds are not earned"),
    (f"{WINDOW}{WINDOW}", "line 4: There is a window of touch 'click' above already (7 days). Keep one of the two."),
    (f"{WINDOW}{WINDOW.replace('7', '14')}", "line 4: There is a window of touch 'click' above already (7 days)."),
    (
        f'{WINDOW}[[windows]]\nchannel = "email"\ndays = 3',
        "line 4: The window of touch 'click' has 7 days and that of channel 'email' has 3 days, and a touch may be both. "
        'Say which holds: add a window with touch = "click", channel = "email".',
    ),
    (
        "\n".join(f'[[windows]]\ntouch = "{kind}"\nchannel = "tv"\ndays = 1' for kind in PAID_KINDS)
        + '\n[[windows]]\nchannel = "tv"\ndays = 2',
        "line 13: The window of channel 'tv' can never apply: clicks, engaged views and views have windows of their own. Remove it.",
    ),
    ("[reengagement]\ninactivity_days = 7", "line 1: Re-engagement is of no kind of conversion, and so switched off."),
    (
        '[reengagement]\nconversions = ["open"]',
        "line 1: This changes nothing: give it inactivity_days or window_days, or remove it.",
    ),
    (
        '[reengagement]\nconversions = ["open"]\ninactivity_days = -1',
        "line 3: 'inactivity_days' must be from 0 to 3650 days, and is -1.",
    ),
    (
        '[reengagement]\nconversions = ["refund"]\ninactivity_days = 7',
        "line 2: Refunds are not earned, so nobody is won back by one.",
    ),
    (
        '[[windows]]\nconversion = "open"\ndays = 3\n[reengagement]\nconversions = ["open"]\nwindow_days = 30',
        "line 1: The window of conversion 'open': reengagement.window_days stands in its place for 'open'.",
    ),
    (
        '[[cool_downs]]\nconversion = "install"\ndays = 0',
        "line 3: 'days' is 0. A cool-down that is not above 0 does nothing: leave it out.",
    ),
    ('[[cool_downs]]\nconversion = ""\ndays = 1', "line 2: A cool-down needs the kind of conversion that starts it"),
    ('[[cool_downs]]\nconversion = "refund"\ndays = 1', "line 2: Refunds earn nothing and start no cool-down."),
    (
        '[[cool_downs]]\nconversion = "install"\ndays = 1\n[[cool_downs]]\nconversion = "install"\ndays = 2',
        "line 4: After 'install', 'install' is cooling down for 1 day already. Keep one of the two.",
    ),
    ("[fraud]\ninstall_seconds = 0", "line 2: 'install_seconds' must be above 0, and is 0."),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[message[:50] for _, message in BAD])
def test_what_cannot_be_is_refused_by_its_line(text: str, message: str) -> None:
    assert message in said(text)


def test_everything_wrong_is_told_at_once_in_the_order_of_the_lines() -> None:
    found = said('reporting_date = "x"\nmax_touches = 0\n[orders]\nprefer = "fax"').splitlines()
    assert [line.split(":")[0] for line in found] == ["ours.toml, line 1", "ours.toml, line 2", "ours.toml, line 4"]


def test_no_such_policy_says_which_there_are() -> None:
    with pytest.raises(
        PolicyError, match=r"^nothing.toml: There is no such file, and no preset of this name. Presets are whence, "
    ):
        policies.load("nothing.toml")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ours.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match="no text in UTF-8"):
        policies.load(tmp_path / "ours.toml")


def test_a_contradiction_is_settled_by_a_window_that_names_both() -> None:
    both = '[[windows]]\ntouch = "click"\nchannel = "email"\ndays = 5\n'
    found = read(f'{WINDOW}[[windows]]\nchannel = "email"\ndays = 3\n{both}', "ours.toml")
    pairs = kinds(("click", "email"), ("click", "search"), ("view", "email"), ("view", "search"))
    assert reach.days(pairs, found).tolist() == [5, 7, 3, 0]


def kinds(*rows: tuple[str, str], **more: Any) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["touch_kind", "channel"])
    return table.assign(**{"campaign_id": "c", "conversion_kind": "purchase", **more})


def test_a_window_of_the_same_product_asks_for_both_to_be_one() -> None:
    policy = policies.load("marketplace14")
    pairs = kinds(*[("view", "display")] * 4, touch_product=["a", "a", None, None], product=["a", "b", "a", None])
    assert reach.days(pairs, policy).tolist() == [14, 1, 1, 1]


def test_a_product_is_what_was_bought_and_where_that_is_unsaid_what_was_advertised() -> None:
    policy = Policy(windows=(Reach(7, "click"), Reach(30, "click", product="car")))
    pairs = kinds(*[("click", "x")] * 3, touch_product=["car", "hat", "car"], product=["hat", "car", None])
    assert reach.days(pairs, policy).tolist() == [7, 30, 30]


def test_the_window_of_reengagement_stands_in_place_of_the_windows() -> None:
    policy = replace(Policy(), windows=(Reach(7, "click"),), reengagement=Reengagement(("open",), 7, 30))
    pairs = kinds(("click", "x"), ("view", "x"), ("click", "x"), conversion_kind=["open", "open", "purchase"])
    assert reach.days(pairs, policy).tolist() == [30, 0, 7]


names = st.sampled_from(["", "", "a", "b"])
windows = st.builds(Reach, st.integers(1, 30).map(float), st.sampled_from(["", *PAID_KINDS]), names, names, names, names)


@pytest.mark.service
@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(windows, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_a_policy_that_is_taken_means_the_same_in_any_order_of_its_windows(given: list[Reach], random: Any) -> None:
    text = tomli_w.dumps({"windows": [{name: value for name, value in vars(each).items() if value} for each in given]})
    policy = _taken(text)
    if policy is None:
        return
    shuffled = list(policy.windows)
    random.shuffle(shuffled)
    other = replace(policy, windows=tuple(shuffled))
    assert policies.digest(other) == policies.digest(policy)
    values = [(kind, *rest) for kind in PAID_KINDS for rest in [("a", "b", "a", "b"), ("b", "b", "b", "c"), ("c", "a", "c", "a")]]
    pairs = pd.DataFrame(values, columns=["touch_kind", "channel", "campaign_id", "product", "conversion_kind"])
    assert reach.days(pairs, other).tolist() == reach.days(pairs, policy).tolist()
    assert reach.days(pairs, policy).tolist() == [_by_hand(policy, *row) for row in values]


def _taken(text: str) -> Policy | None:
    """The policy, or None where it is refused, which then has to be by the lines of its windows."""
    try:
        return read(text, "ours.toml")
    except PolicyError as error:
        refused = error.problems
    rows = text.splitlines()
    assert all(each.line and rows[each.line - 1].strip().startswith(("[[windows]]", "{")) for each in refused)
    return None


def _by_hand(policy: Policy, *touch: str) -> float:
    fitting = [
        each for each in policy.windows if all(not a or a == b for a, b in zip(list(vars(each).values())[1:], touch, strict=True))
    ]
    return max(fitting, key=weight).days if fitting else 0


def test_the_digest_tells_policies_apart_and_not_their_names() -> None:
    found = {policies.digest(policies.load(name)) for name in policies.presets()}
    assert len(found) == len(policies.presets())
    assert policies.digest(Policy(name="a")) == policies.digest(Policy(name="b"))
    assert policies.digest(Policy(max_touches=49)) != policies.digest(Policy())


def test_a_policy_says_what_it_does() -> None:
    told = policies.describe(policies.load("mobile"))
    assert "Paid by last touch: all of a conversion's value goes to the last touch." in told
    assert "A click can earn a conversion within 7 days after it." in told
    assert "Where a click can earn a conversion, views and engaged views earn nothing of it." in told
    assert "in the 7 days before the touch" in told
    assert (
        "For 90 days after a person's install, a further install of theirs is earned by no ad, and starts the days anew." in told
    )
    assert "the sdk's telling counts if it came on the day of the first" in told


def _others() -> Iterator[Policy]:
    """Policies that each differ from the default in one thing that decides something."""
    yield from (Policy(algorithm=name) for name in policies.ALGORITHMS[1:])
    yield from (Policy(algorithms=ALGORITHMS[:1]), Policy(click_over_view=True), Policy(max_touches=5), Policy(restate_days=1))
    yield from (
        Policy(windows=(Reach(7, **{name: "view"}),)) for name in ("touch", "channel", "campaign", "product", "conversion")
    )
    yield from (Policy(windows=(Reach(7, product=SAME_PRODUCT),)), Policy(windows=(Reach(8),)), Policy(reporting_date="touch"))
    yield from (
        Policy(reengagement=back) for back in (Reengagement(("a",), 1), Reengagement(("b",), 1), Reengagement(("a",), 0, 1))
    )
    yield from (Policy(cool_downs=(pause,)) for pause in (CoolDown("a", 1), CoolDown("a", 2), CoolDown("a", 1, ("b",))))
    yield from (Policy(orders=Orders(look_back_days=90)), Policy(orders=Orders("sdk")), Policy(refunds=Refunds("ignore")))
    yield from (
        Policy(refunds=Refunds(within_days=9)),
        Policy(new_to_brand=NewToBrand(9)),
        Policy(new_to_brand=NewToBrand(only=True)),
    )
    yield from (Policy(fraud=replace(Fraud(), **{each.name: 7})) for each in fields(Fraud))
    for algorithm, parameters in PARAMETERS.items():
        for paid in ("linear", algorithm):
            yield from (Policy(algorithm=paid, parameters={algorithm: {name: 0.25}}) for name in parameters)


def test_two_policies_that_differ_say_so() -> None:
    told: dict[str, str] = {}
    for each in (Policy(), *_others()):
        words = policies.describe(each).partition("\n")[2]
        digest = policies.digest(each)
        assert told.setdefault(words, digest) == digest, words


@pytest.mark.parametrize("algorithm", policies.ALGORITHMS)
def test_every_algorithm_is_described_with_its_parameters(algorithm: str) -> None:
    told = policies.describe(
        Policy(algorithm=algorithm, parameters={"time_decay": {"half_life_days": 0.5}, "markov": {"order": 2}})
    )
    assert "{" not in told
    assert (algorithm == "time_decay") == ("halved for each 12 hours" in told)
    assert (algorithm == "markov") == ("of order 2" in told)


documents = st.recursive(
    st.just(0),
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from(["a", "b", "c d", "e.f"]), inner, max_size=3),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(["x", "y", "z"]), documents, min_size=1))
def test_the_line_of_every_value_is_found(document: dict[str, Any]) -> None:
    numbers = iter(range(1000, 2000))
    numbered = _numbered(document, numbers)
    text = tomli_w.dumps(numbered)
    found = lines(text)
    for path, value in _leaves(numbered, ()):
        depth = next((i for i, step in enumerate(path) if isinstance(step, int) and i + 1 < len(path)), None)
        if depth is None:  # inside lists of lists or of inline tables, the line of the outer element is all that is told
            assert str(value) in text.splitlines()[found.of(*path) - 1]


def _numbered(value: Any, numbers: Iterator[int]) -> Any:
    if isinstance(value, dict):
        return {name: _numbered(each, numbers) for name, each in value.items()}
    if isinstance(value, list):
        return [_numbered(each, numbers) for each in value]
    return next(numbers)


def _leaves(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], int]]:
    if isinstance(value, dict | list):
        for step, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(each, (*path, step))
    else:
        yield path, value
