"""The measures whose change can be shared out, by the names that checks and findings give them, and what each rests on."""

from __future__ import annotations

from dataclasses import dataclass

from monitoring.moved.shares import CALIBRATOR, DATA, FACTORS, FEATURES, IDENTITY, MODEL, POLICY
from whence.attribution.policy import ALGORITHMS
from whence.contracts.events import EVENTS
from whence.contracts.models import ATTRIBUTION_RANKER, CONVERSION_VALUE, IDENTITY_RANKER

MATCH_RATE = "match_rate"
UNATTRIBUTED, CREDIT_SHARE, CREDIT = "unattributed_share", "credit_share", "credit"
MEAN, RATIO, LOG_LOSS, BRIER = "mean_probability", "observed_over_expected", "log_loss", "brier"
CREDITS = "credits"
OF_CREDIT = (UNATTRIBUTED, CREDIT_SHARE, CREDIT)
OF_MODELS = (MEAN, RATIO, LOG_LOSS, BRIER)
MODELS = (IDENTITY_RANKER, ATTRIBUTION_RANKER, CONVERSION_VALUE)
"""Those with labels."""
LEARNED = {"ranker": ATTRIBUTION_RANKER, "incremental": "exposure-response"}
"""The algorithms that ask a model."""
ALGORITHM_OF = {model: algorithm for algorithm, model in LEARNED.items()}
CAMPAIGN = "campaign="
NO_AD = "no ad"

KNOWN = (
    f"Known are TABLE/{MATCH_RATE} (of {', '.join(EVENTS)}), MODEL/{'|'.join(OF_MODELS)} (of {', '.join(MODELS)}), "
    f"{CREDITS}/{UNATTRIBUTED}, and {CREDITS}/{CREDIT_SHARE}/WHOM or {CREDITS}/{CREDIT}/WHOM, where WHOM is a channel, '{NO_AD}' or "
    f"{CAMPAIGN}ID, and an amount may name its currency, as search@EUR; of one algorithm as {CREDITS}/{UNATTRIBUTED}/linear or {CREDITS}/{CREDIT_SHARE}/linear:search."
)


class MovedError(ValueError):
    """A change that cannot be shared out; the message says why, and what can be."""


@dataclass(frozen=True)
class Metric:
    """A measure: of which table or model, which one, and of which part."""

    about: str
    name: str
    algorithm: str = ""
    """Of credit: the one asked for; empty for the one that each day's policy pays by."""
    whom: str = ""
    """Of credit: a channel, `no ad`, or campaign=ID."""
    currency: str = ""
    """Of an amount: the one that is counted; empty where all are the same."""

    def __str__(self) -> str:
        part = ":".join(each for each in (self.algorithm, self.whom) if each) + (f"@{self.currency}" if self.currency else "")
        return "/".join(each for each in (self.about, self.name, part) if each)

    def rests_on(self, algorithms: tuple[str, ...]) -> tuple[str, ...]:
        """The factors that can move it; `algorithms` are those that pay on the two days."""
        if self.name == MATCH_RATE:
            return (DATA, IDENTITY)
        if self.about == CREDITS:
            is_learned = any(each in LEARNED for each in algorithms)
            return FACTORS if is_learned else (DATA, IDENTITY, POLICY)
        if self.about == ATTRIBUTION_RANKER:
            return FACTORS
        labels = () if self.name == MEAN else (IDENTITY,)
        return tuple(each for each in FACTORS if each in (DATA, FEATURES, *labels, MODEL, CALIBRATOR))


def parse(text: str) -> Metric:
    """The measure that a name means. Raises MovedError for a name that means none.

    >>> str(parse("match_rate")), str(parse("credits/credit_share/linear:search"))
    ('conversions/match_rate', 'credits/credit_share/linear:search')
    """
    first, _, rest = text.strip("/").partition("/")
    if first == MATCH_RATE and not rest:
        return Metric("conversions", MATCH_RATE)
    if first in OF_CREDIT:
        first, rest = CREDITS, f"{first}/{rest}" if rest else first
    name, _, part = rest.partition("/")
    if first in EVENTS and name == MATCH_RATE and part in ("", "all"):
        return Metric(first, name)
    if first in MODELS and name in OF_MODELS and part in ("", "all"):
        return Metric(first, name)
    if first == CREDITS and name in OF_CREDIT:
        return _of_credit(text, name, part)
    raise MovedError(f"'{text}' is no measure whose change can be shared out. {KNOWN}")


def _of_credit(text: str, name: str, part: str) -> Metric:
    head, _, tail = part.partition(":")
    algorithm, whom = (head, tail) if head in ALGORITHMS else ("", part)
    if (name == UNATTRIBUTED) == bool(whom):
        raise MovedError(f"'{text}' does not say whose credit, or says too much. {KNOWN}")
    whom, currency = whom.rsplit("@", 1) if name == CREDIT and "@" in whom else (whom, "")
    return Metric(CREDITS, name, algorithm, whom, currency)
