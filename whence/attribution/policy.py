"""The attribution policy: which touches may earn which conversions, who goes first, and what a conversion is worth."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

ALGORITHMS = (
    "last_touch",
    "first_touch",
    "linear",
    "position",
    "time_decay",
    "markov",
    "shapley",
    "ranker",
    "incremental",
)
"""What a policy may ask for; `ranker` and `incremental` want a champion, and have no rows without one."""

PAID_KINDS = ("click", "engaged_view", "view")
"""The kinds of touch that can earn anything: a ghost was never shown."""

SAME_PRODUCT = "same"
"""As a window's product: the touch advertised just what was bought."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with a line (None: with the file), and what to do about it."""

    line: int | None
    what: str


class PolicyError(ValueError):
    """A policy that cannot be: its file, the lines, what is wrong with each, and what to do."""

    def __init__(self, file: str, problems: tuple[Problem, ...]):
        self.file = file
        self.problems = problems
        super().__init__("\n".join(_told(file, each) for each in problems))


def _told(file: str, problem: Problem) -> str:
    return f"{file}: {problem.what}" if problem.line is None else f"{file}, line {problem.line}: {problem.what}"


@dataclass(frozen=True)
class Reach:
    """How long after a touch a conversion may still be its doing; an empty text stands for any.

    Where several fit, the one that names most counts (`product = "same"` counts half); those that name as much as each other
    may not disagree about the same touch.
    """

    days: float
    touch: str = ""
    """click, engaged_view or view."""
    channel: str = ""
    campaign: str = ""
    product: str = ""
    """What was bought or, where the conversion does not say, advertised; `same` asks for both to be one."""
    conversion: str = ""
    """The conversion's kind: purchase, install, …"""


@dataclass(frozen=True)
class Reengagement:
    """When a touch wins back a person who had gone quiet, rather than meet one who was there anyway."""

    conversions: tuple[str, ...] = ()
    """Kinds of conversion that it holds for; empty switches it off."""
    inactivity_days: float = 0.0
    """A touch counts only if its person did nothing (no conversion, no sighting) so long before it."""
    window_days: float = 0.0
    """How long such a touch may earn these conversions; 0 leaves it to the windows."""


@dataclass(frozen=True)
class CoolDown:
    """After a counted conversion of a kind, further ones of the same person earn nobody anything for a while."""

    conversion: str
    days: float
    blocks: tuple[str, ...] = ()
    """The kinds that earn nothing meanwhile; the same kind when empty."""

    @property
    def blocked(self) -> tuple[str, ...]:
        """The kinds that earn nothing meanwhile."""
        return self.blocks or (self.conversion,)


@dataclass(frozen=True)
class Orders:
    """Which telling of an order counts, when pixel and server both tell of it."""

    prefer: str = "first"
    """first, or a source: server, pixel, sdk, offline. A preferred telling counts when it came on the same day."""
    look_back_days: int = 60


@dataclass(frozen=True)
class Refunds:
    """What becomes of credit when money goes back."""

    mode: str = "take_back"
    """take_back: from where the credit went, on the refund's date; ignore: no rows for refunds."""
    within_days: float = 60.0
    """A later refund takes from no ad."""


@dataclass(frozen=True)
class NewToBrand:
    """Who counts as a new customer."""

    look_back_days: int = 365
    """Without a purchase so long before."""
    only: bool = False
    """Whether conversions of earlier customers earn nobody anything."""


@dataclass(frozen=True)
class Fraud:
    """From where on a touch looks like fraud; suspect touches are marked, and credit is stated with and without them.

    The kinds are those of the trade: clicks injected into an install under way (CTIT of seconds), clicks flooded over many
    devices (CTIT flat instead of early), single sources that click too much, and orders of events that cannot be. See Adjust's
    "Distribution Modeling" (85 % of honest installs within an hour of the click), Airbridge's "Injection Prevention" and the
    Invalid Traffic guidelines of the Media Rating Council. The numbers are bounds that honest people do not come near.
    """

    install_seconds: float = 10.0
    """A click so shortly before an install cannot have led to it: store, download and start take longer. Usual are 2 to 10."""
    other_seconds: float = 1.0
    """The same for all other conversions: a page must load first."""
    clicks_a_day: int = 50
    """More clicks of one person, cookie or device on one day (UTC) are a flood."""
    network_clicks_a_day: int = 30
    """More clicks from one network on one day are a flood, where they are also too many for the people on it:"""
    network_clicks_per_person: float = 2.0
    """clicks per person there on that day. A carrier's network has many clicks, and few for each."""
    flat_conversions: int = 100
    """Click-to-conversion times of a source (campaign and placement) are judged from so many conversions on."""
    flat_distance: float = 0.15
    """They are flat when nowhere further from a uniform spread over the window (Kolmogorov's distance); honest ones have 0.3 up."""
    flat_clicks_per_conversion: float = 500.0
    """And are a flood only where the source also has so many clicks for each conversion."""
    persons_per_identifier: int = 10
    """A cookie or device with more persons is a hub."""
    persons_per_network: int = 500
    """A network with more persons on one day is a hub."""
    clock_seconds: float = 300.0
    """How far clocks may differ before a touch that was seen before it happened is impossible."""


@dataclass(frozen=True)
class Policy:
    """Everything that decides who may be paid; the same in batch and online."""

    name: str = "whence"
    algorithm: str = "last_touch"
    """The one whose credit is paid by."""
    algorithms: tuple[str, ...] = ALGORITHMS
    """Those that are computed side by side."""
    windows: tuple[Reach, ...] = (Reach(7.0, "click"), Reach(1.0, "engaged_view"), Reach(1.0, "view"))
    click_over_view: bool = False
    """Whether views earn nothing where a click is in reach."""
    max_touches: int = 50
    """The latest touches of a conversion that are looked at."""
    reporting_date: str = "conversion"
    """conversion or touch: the day under which reports put the credit."""
    reengagement: Reengagement = Reengagement()
    cool_downs: tuple[CoolDown, ...] = ()
    orders: Orders = Orders()
    refunds: Refunds = Refunds()
    new_to_brand: NewToBrand = NewToBrand()
    fraud: Fraud = Fraud()
    restate_days: int = 7
    """How long late events may still restate a conversion's credit."""
    parameters: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Of the algorithms: time_decay.half_life_days, position.first and position.last, markov.order, …"""

    @property
    def reach_days(self) -> float:
        """The longest window."""
        return max([each.days for each in self.windows] + [self.reengagement.window_days])

    def parameter(self, algorithm: str, name: str, otherwise: float) -> float:
        """A parameter of an algorithm, or its default."""
        return float(self.parameters.get(algorithm, {}).get(name, otherwise))


def weight(window: Reach) -> float:
    """How much a window names; where several fit a touch, the one with the highest weight counts."""
    names = (window.touch, window.channel, window.campaign, window.product, window.conversion)
    return sum(0.5 if name == window.product == SAME_PRODUCT else 1.0 for name in names if name)


def presets() -> tuple[str, ...]:
    """The names of the policies that come with whence, its default first."""
    names = sorted(each.name.removesuffix(".toml") for each in _shelf().iterdir() if each.name.endswith(".toml"))
    return ("whence", *(name for name in names if name != "whence"))


def source(where: str | Path) -> tuple[str, str]:
    """A policy's text, and what to call its file; `where` is a preset's name or a path ending in .toml.

    Raises PolicyError where there is none.
    """
    name = str(where)
    if name in presets():
        return _shelf().joinpath(f"{name}.toml").read_text(encoding="utf-8"), f"preset {name}"
    path = Path(name)
    if not path.is_file():
        what = f"There is no such file, and no preset of this name. Presets are {', '.join(presets())}; a file ends in .toml."
        raise PolicyError(name, (Problem(None, what),))
    try:
        return path.read_text(encoding="utf-8"), name
    except UnicodeDecodeError:
        raise PolicyError(name, (Problem(None, "The file is no text in UTF-8. Save it as UTF-8."),)) from None


def load(where: str | Path) -> Policy:
    """A policy by the name of a preset or the path of a TOML file, checked whole.

    Raises PolicyError, which names every line that cannot be, and what to write there.

    >>> load("whence") == Policy()
    True
    """
    from whence.attribution.policy_file import read

    text, name = source(where)
    return read(text, name)


def of(settings: Settings) -> Policy:
    """The policy that the settings name."""
    return load(settings.attribution.policy)


def digest(policy: Policy) -> str:
    """SHA-256 of what the policy decides: the same for any order of its lines, and under any name.

    >>> digest(Policy()) == digest(Policy(name="ours", windows=Policy().windows[::-1]))
    True
    """
    content = asdict(policy)
    del content["name"]
    for name in ("algorithms", "windows", "cool_downs"):
        content[name] = sorted(content[name], key=str)
    content["parameters"] = {name: dict(values) for name, values in content["parameters"].items() if values}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def describe(policy: Policy) -> str:
    """The policy in plain English, a sentence a line."""
    from whence.attribution.policy_words import describe as told

    return told(policy)


def _shelf() -> resources.abc.Traversable:
    return resources.files("whence.attribution").joinpath("policies")
