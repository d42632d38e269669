"""What the dashboard shows: sections of panels, each a few measures over the days. Evidently draws them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from monitoring.findings import LEVELS
from whence.contracts.events import EVENTS
from whence.contracts.models import MODELS

PROJECT = "whence"
ABOUT = (
    "Ads identity and attribution, day by day: is what comes in whole, do the models still see what they learned from, "
    "are their probabilities right, and where does credit go? Each day's report tells the findings in words."
)

Key = tuple[str, str, str]
"""Model or table, metric, segment: what names a measure in `checks`."""


@dataclass(frozen=True)
class Line:
    """One measure over the days."""

    legend: str
    model: str
    metric: str
    segment: str = "all"

    @property
    def key(self) -> Key:
        """The measure's name in `checks`."""
        return self.model, self.metric, self.segment


@dataclass(frozen=True)
class Panel:
    """A plot of kind `line` or `bar`, half the page wide; without lines a heading across the page."""

    section: str
    title: str
    about: str
    lines: tuple[Line, ...] = ()
    kind: str = "line"


def panels(known: Collection[Key]) -> list[Panel]:
    """The panels that have something to show, given the measures that `checks` knows; headings without panels are left out."""
    shown: list[Panel] = []
    for heading, held in ((OVERVIEW, _overview()), (MODEL, _models()), (ATTRIBUTION, _attribution(known)),
                          (IDENTITY, _identity()), (EVENT, _events(known))):  # fmt: skip
        full = [replace(panel, lines=tuple(line for line in panel.lines if _is_known(line, known))) for panel in held]
        full = [panel for panel in full if panel.lines]
        shown += [heading, *full] if full else []
    return shown


OVERVIEW = Panel("overview", "At a glance", "One point a day. Findings in words: Reports, the day's measures.")
MODEL = Panel(
    "models",
    "Models",
    "On decisions whose outcome is known by now: each a value of that day, with its interval in the day's report.",
)
ATTRIBUTION = Panel("attribution", "Attribution", "Where credit went. Truth is known in a simulated world alone.")
IDENTITY = Panel("identity", "Identity", "Who is known, and whether the links are right.")
EVENT = Panel("events", "Events", "What came in, before any model saw it.")


def _is_known(line: Line, known: Collection[Key]) -> bool:
    return line.model == "findings" or line.key in known


def _overview() -> list[Panel]:
    return [
        Panel("overview", "Findings", "How many findings of each level the day has.",
              tuple(Line(level, "findings", level) for level in LEVELS[1:]), kind="bar"),
        Panel("overview", "Inputs that drifted", "The share of a model's inputs that chance does not explain.",
              tuple(Line(model, model, "drifted_share", "inputs and score") for model in MODELS)),
        Panel("overview", "Observed over expected", "Positives that came for each one foretold, on ripe labels: 1 is right.",
              tuple(Line(model, model, "observed_over_expected") for model in MODELS)),
        Panel("overview", "Match rate", "The share of events whose person is known by a log-in.",
              tuple(Line(table, table, "match_rate") for table in EVENTS)),
        Panel("overview", "Identifiers of an event", "The mean number of identifiers that an event carries.",
              tuple(Line(table, table, "identifiers_per_event") for table in EVENTS)),
        Panel("overview", "Unattributed share", "The share of a conversion that no ad earned.",
              tuple(Line(name, "credits", "unattributed_share", name) for name in ("last_touch", "ranker"))),
    ]  # fmt: skip


def _models() -> list[Panel]:
    shown = (
        ("Brier score", "Mean squared error of the probabilities; less is better.", "brier", "all"),
        ("Log-loss", "Negative log-likelihood, in nats; less is better.", "log_loss", "all"),
        ("Calibration error", "Root mean square gap between said and seen, less chance.", "calibration_error", "all"),
        ("ROC AUC", "The chance that a positive scores above a negative.", "roc_auc", "all"),
        ("Mean probability", "What the model says on average.", "mean_probability", "all"),
        ("Missing inputs", "The mean null share of the model's inputs.", "mean_null_share", "all"),
        ("Score drift", "PSI of the raw score against clean days of the same bundle.", "psi", "score"),
        ("Decisions", "Rows that the model scored.", "decisions", "all"),
    )
    return [
        Panel("models", title, about, tuple(Line(model, model, metric, segment) for model in MODELS))
        for title, about, metric, segment in shown
    ]


def _attribution(known: Collection[Key]) -> list[Panel]:
    segments = sorted(segment for model, metric, segment in known if (model, metric) == ("credits", "credit_share"))
    algorithms = sorted({segment.partition(":")[0] for segment in segments})
    credit = [
        Panel("attribution", f"Credit by channel: {algorithm.replace('_', ' ')}", "The share of the day's value.",
              tuple(Line(s.partition(":")[2], "credits", "credit_share", s) for s in segments if s.startswith(f"{algorithm}:")),
              kind="bar")
        for algorithm in ("ranker", "last_touch")
    ]  # fmt: skip
    return [
        *credit,
        Panel("attribution", "Credit on the true cause", "The share given to the touch, or to no ad, that it was.",
              tuple(Line(name.replace("_", " "), "credits", "true_credit", name) for name in algorithms)),
        Panel("attribution", "Channel error", "Half the sum of gaps between credited and true shares.",
              tuple(Line(name.replace("_", " "), "credits", "channel_error", name) for name in algorithms)),
        Panel("attribution", "Claims for each conversion", "If every channel claimed what it touched: above 1 is counted twice.",
              (Line("channels' claims", "credits", "double_counting"),)),
    ]  # fmt: skip


def _identity() -> list[Panel]:
    rates = (("precision", "true_precision"), ("recall", "true_recall"), ("F1", "true_f1"))
    return [
        Panel("identity", "Pairs against the truth", "Of the pairs of events put together, how many are right.",
              tuple(Line(name, "persons", metric) for name, metric in rates)),
        Panel("identity", "New answers", "Identifiers whose person is new or changed on the day.",
              tuple(Line(method, "persons", "links", method) for method in ("exact", "ranked"))),
        Panel("identity", "Largest person", "Its identifiers: a cluster that swallows others shows here.",
              (Line("identifiers", "persons", "largest"),)),
    ]  # fmt: skip


def _events(known: Collection[Key]) -> list[Panel]:
    nulls = ("cookie_id", "device_id", "email_hash", "click_id", "ip_key")
    channels = sorted(s for model, metric, s in known if (model, metric) == ("touches", "rows") and s.startswith("channel="))
    return [
        Panel("events", "Rows", "Rows by table.", tuple(Line(table, table, "rows") for table in EVENTS)),
        Panel("events", "Touches by channel", "A channel that stops is a tracker that stopped.",
              tuple(Line(s.partition("=")[2], "touches", "rows", s) for s in channels)),
        Panel("events", "Missing identifiers", "The share of touches without each.",
              tuple(Line(name, "touches", "null_share", name) for name in nulls)),
        Panel("events", "Consent granted", "The share of events.",
              tuple(Line(table, table, "consent_share", "granted") for table in EVENTS)),
        Panel("events", "Duplicates dropped", "The share of rows read.",
              tuple(Line(table, table, "duplicate_share") for table in EVENTS)),
        Panel("events", "Busiest network", "Its share of the rows: a flood shows here.",
              tuple(Line(table, table, "top_network_share") for table in EVENTS)),
    ]  # fmt: skip
