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
