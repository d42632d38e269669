"""The attribution policy: which touches may earn which conversions, who goes first, and what a conversion is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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


@dataclass(frozen=True)
class Reach:
    """How long after a touch a conversion may still be its doing; an empty text stands for any.

    Where several fit, the one that names most counts, and the later of the file among equals.
    """

    days: float
    touch: str = ""
    """click, engaged_view or view."""
    channel: str = ""
    campaign: str = ""
    product: str = ""
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
    network_clicks_a_day: int = 50
    """More clicks from one network on one day are a flood, where they are also too many for the people on it:"""
    network_clicks_per_person: float = 5.0
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
