"""What the dashboard shows: tabs of panels, each a few measures over the days. Evidently draws them."""

from __future__ import annotations

from dataclasses import dataclass

from whence.contracts.events import EVENTS
from whence.contracts.models import ATTRIBUTION_RANKER, CONVERSION_VALUE, IDENTITY_RANKER, MODELS

PROJECT = "whence"
ABOUT = (
    "Ads identity and attribution, day by day: is what comes in whole, do the models still see what they learned from, "
    "are their probabilities right, and where does credit go? Findings in words are in each day's report."
)


@dataclass(frozen=True)
class Line:
    """One measure over the days."""

    legend: str
    model: str
    metric: str
    segment: str = "all"


@dataclass(frozen=True)
class Panel:
    """A plot: `line`, `bar`, or `counter` with the latest value."""

    tab: str
    title: str
    about: str
    lines: tuple[Line, ...]
    kind: str = "line"
    is_half: bool = True


OVERVIEW, IDENTITY, ATTRIBUTION, EVENTS_TAB, MODEL_TAB = "Overview", "Identity", "Attribution", "Events", "Models"


def panels(channels: tuple[str, ...] = (), algorithms: tuple[str, ...] = ()) -> list[Panel]:
    """All panels; `channels` and `algorithms` are those that the tables know."""
    return [*_overview(), *_models(), *_events(channels), *_identity(), *_attribution(channels, algorithms)]


def _overview() -> list[Panel]:
    return [
        Panel(
            OVERVIEW,
            "Findings",
            "How many findings of each level the day has; open the day's report for the reasons.",
            tuple(Line(level, "findings", level) for level in ("warn", "retrain")),
            kind="bar",
        ),
        Panel(
            OVERVIEW,
            "Inputs that drifted",
            "The share of each model's inputs that chance does not explain.",
            tuple(Line(model, model, "drifted_share", "inputs and score") for model in MODELS),
        ),
        Panel(
            OVERVIEW,
            "Observed over expected",
            "Positives that came for each one foretold, on ripe labels: 1 is right.",
            tuple(Line(model, model, "observed_over_expected") for model in MODELS),
        ),
        Panel(
            OVERVIEW,
            "Match rate",
            "The share of events whose person is known.",
            tuple(Line(table, table, "match_rate") for table in EVENTS),
        ),
        Panel(
            OVERVIEW,
            "Identifiers for each event",
            "The mean number of identifiers that an event carries.",
            tuple(Line(table, table, "identifiers_per_event") for table in EVENTS),
        ),
        Panel(
            OVERVIEW,
            "Unattributed share",
            "The share of conversions' value that no ad earned, by last touch and by the ranker.",
            tuple(Line(name, "credits", "unattributed_share", name) for name in ("last_touch", "ranker")),
        ),
    ]


def _models() -> list[Panel]:
    shown = (
        ("Brier score", "Mean squared error of probabilities on ripe labels; less is better.", "brier"),
        ("Log-loss", "Negative log-likelihood on ripe labels, in nats; less is better.", "log_loss"),
        ("Calibration error", "Root mean square gap between said and seen, less chance.", "calibration_error"),
        ("Mean probability", "What the model says on average.", "mean_probability"),
        ("Decisions", "Rows that the model scored.", "decisions"),
    )
    made = [Panel(MODEL_TAB, title, about, tuple(Line(m, m, metric) for m in MODELS)) for title, about, metric in shown]
    score = tuple(Line(m, m, "psi", "score") for m in MODELS)
    return [*made, Panel(MODEL_TAB, "Score drift", "PSI of the raw score against the days before, same bundle.", score)]


def _events(channels: tuple[str, ...]) -> list[Panel]:
    nulls = ("cookie_id", "device_id", "email_hash", "click_id", "ip_key")
    return [
        Panel(EVENTS_TAB, "Rows", "Rows by table.", tuple(Line(t, t, "rows") for t in EVENTS)),
        Panel(EVENTS_TAB, "Touches by channel", "A channel that stops is a tracker that stopped.",
              tuple(Line(c, "touches", "rows", f"channel={c}") for c in channels)),
        Panel(EVENTS_TAB, "Missing identifiers", "The share of touches without each.",
              tuple(Line(name, "touches", "null_share", name) for name in nulls)),
        Panel(EVENTS_TAB, "Consent granted", "The share of events.", tuple(Line(t, t, "consent_share", "granted") for t in EVENTS)),
        Panel(EVENTS_TAB, "Duplicates dropped", "The share of rows read.", tuple(Line(t, t, "duplicate_share") for t in EVENTS)),
        Panel(EVENTS_TAB, "Busiest network", "Its share of the rows: a flood shows here.",
              tuple(Line(t, t, "top_network_share") for t in EVENTS)),
    ]  # fmt: skip


def _identity() -> list[Panel]:
    rates = (("precision", "true_precision"), ("recall", "true_recall"), ("F1", "true_f1"))
    return [
        Panel(IDENTITY, "Pairs against the truth", "Of pairs of events put together, how many are right, and how many right ones are found. Known in a simulated world alone.",
              tuple(Line(name, "persons", metric) for name, metric in rates)),
        Panel(IDENTITY, "Ranked links", "Identifiers linked by the ranker on the day.", (Line("ranked", "persons", "links", "ranked"), Line("exact", "persons", "links", "exact"))),
        Panel(IDENTITY, "Null share of the ranker's inputs", "The worst input of the identity ranker.", (Line(IDENTITY_RANKER, IDENTITY_RANKER, "worst_null_share"),)),
        Panel(IDENTITY, "Largest person", "Identifiers of the person who has the most: a cluster that swallows others shows here.", (Line("identifiers", "persons", "largest"),)),
    ]  # fmt: skip


def _attribution(channels: tuple[str, ...], algorithms: tuple[str, ...]) -> list[Panel]:
    return [
        Panel(ATTRIBUTION, "Credit by channel, ranker", "The share of the day's value.",
              tuple(Line(c, "credits", "credit_share", f"ranker:{c}") for c in channels), kind="bar"),
        Panel(ATTRIBUTION, "Credit by channel, last touch", "The share of the day's value.",
              tuple(Line(c, "credits", "credit_share", f"last_touch:{c}") for c in channels), kind="bar"),
        Panel(ATTRIBUTION, "Credit on the true cause", "The share of caused conversions' credit that lies on the touch which caused them. Known in a simulated world alone.",
              tuple(Line(a, "credits", "true_credit", a) for a in algorithms)),
        Panel(ATTRIBUTION, "Channel error against the truth", "Half the sum of gaps between credited and true shares.",
              tuple(Line(a, "credits", "channel_error", a) for a in algorithms)),
        Panel(ATTRIBUTION, "Claims for each conversion", "If every channel claimed what it touched: above 1 is double counting.",
              (Line("channels' claims", "credits", "double_counting"),)),
        Panel(ATTRIBUTION, "Ranker and value inputs", "The worst null share of a model's inputs.",
              tuple(Line(m, m, "worst_null_share") for m in (ATTRIBUTION_RANKER, CONVERSION_VALUE))),
    ]  # fmt: skip
