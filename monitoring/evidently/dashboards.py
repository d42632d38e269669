"""What the dashboards show: a project for the platform and one for each model, each in tabs of a few plots over the days."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from monitoring.checks import SERVICE, Check
from monitoring.findings import LEVELS
from whence.contracts.events import EVENTS
from whence.contracts.models import ATTRIBUTION_RANKER, CONVERSION_VALUE, EXPOSURE_RESPONSE, IDENTITY_RANKER, MODELS

PLATFORM = "platform"
OVERVIEW, DATA, DRIFT, CALIBRATION, SERVING = "Overview", "Data", "Drift", "Calibration", "Serving"
ATTRIBUTION, IDENTITY = "Attribution quality", "Identity"
COLUMNS = "Drift of columns"
"""The part of a day's reports that Evidently itself makes, of a sample of the decisions."""
COMPARED = ("last_touch", "linear", "markov", "shapley", "ranker", "incremental")
"""Algorithms that are drawn beside each other; the others are in the day's report."""
MOST_LINES = 6
"""Lines that a plot holds before nobody can tell them apart."""

NAMES = uuid.uuid5(uuid.NAMESPACE_URL, "https://whence.example/evidently")

Key = tuple[str, str, str]
"""Model or table, metric, segment: what names a measure in `checks`."""


@dataclass(frozen=True)
class Project:
    """One of Evidently's projects: the platform's, or a model's."""

    key: str
    """`platform` or the model's name."""
    name: str
    about: str
    tabs: tuple[str, ...]


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

    tab: str
    title: str
    about: str
    lines: tuple[Line, ...] = ()
    kind: str = "line"


_MODEL = (OVERVIEW, DATA, DRIFT, CALIBRATION, SERVING)
PROJECTS = (
    Project(
        PLATFORM,
        "whence platform",
        "Every day of the platform: what was found, what came in, who is known, and where credit went. Each model has a project of its own.",
        (OVERVIEW, DATA, IDENTITY, ATTRIBUTION, SERVING),
    ),
    Project(
        IDENTITY_RANKER, IDENTITY_RANKER, "Whose is this signal? The probability that a signal is of a candidate person.", _MODEL
    ),
    Project(
        ATTRIBUTION_RANKER,
        ATTRIBUTION_RANKER,
        "Which touch brought this conversion? A probability for each touch of a journey.",
        (*_MODEL[:-1], ATTRIBUTION, SERVING),
    ),
    Project(CONVERSION_VALUE, CONVERSION_VALUE, "Will this touch's person convert within the window?", _MODEL),
    Project(
        EXPOSURE_RESPONSE,
        EXPOSURE_RESPONSE,
        "How much would have come without the ad? Learned from ghosts: who would have seen it and was held out.",
        (*_MODEL[:-1], ATTRIBUTION, SERVING),
    ),
)
LEADS: Mapping[str, str] = {
    OVERVIEW: "One point a day. Click a point to open the day's report, where findings are told in words.",
    DATA: "What came in. For a model: what it was asked about, as it was when it decided.",
    DRIFT: "Inputs and scores against clean days of the same bundle. PSI: 0 is the same, and what chance explains is no drift.",
    CALIBRATION: "Decisions whose outcome is known by now: each a value of that day, with its interval in the day's report.",
    SERVING: "From the decision log and the service's own counts, day by day; second by second it is in Prometheus and Grafana.",
    IDENTITY: "Who is known, how sure that is, and whether one person swallows others.",
    ATTRIBUTION: "Where credit went, and how sure that is. What is true is known in a simulated world alone.",
}
_TABS: Mapping[str, str] = {
    **dict.fromkeys(("null_share", "mean_null_share", "zero_share", "infinite_share", "unseen_share"), DATA),
    **dict.fromkeys(("psi", "drifted_share", "drift_failed", "mean_probability", "score_distance"), DRIFT),
    **dict.fromkeys(
        (
            *("decisions", "requests", "options_per_request", "answered_share", "route_null_share"),
            *("answer_ms", "degraded_share", "bundles", "bundle_age_days"),
        ),
        SERVING,
    ),
}
"""Where a model's measures are shown; those that are not named tell how right it is."""


_ROUTES: Mapping[str, str] = {IDENTITY_RANKER: "/v1/match", ATTRIBUTION_RANKER: "/v1/attribute"}
"""The service's route that a model answers: its project shows how that went, too."""
_CREDITS: Mapping[str, str] = {"ranker": ATTRIBUTION_RANKER, "incremental": EXPOSURE_RESPONSE}
"""The model behind a learned algorithm: its project shows the algorithm's credit, too."""


def project_id(key: str) -> uuid.UUID:
    """The id of the platform's project or a model's, the same on every machine."""
    return uuid.uuid5(NAMES, key)


def path(key: str, tab: str = OVERVIEW) -> str:
    """Where a project's tab is on Evidently's server.

    >>> path("identity-ranker", "Drift")
    '/projects/6a8bfe35-fcf0-5a90-b041-0f94ac99b345?tab=Drift'
    """
    return f"/projects/{project_id(key)}?tab={quote(tab)}"


def places(key: Key) -> list[tuple[str, str]]:
    """The projects and tabs that show a measure.

    >>> places(("identity-ranker", "brier", "all"))
    [('identity-ranker', 'Calibration')]
    >>> places(("credits", "true_credit", "ranker"))
    [('platform', 'Attribution quality'), ('attribution-ranker', 'Attribution quality')]
    """
    model, metric, segment = key
    if model in MODELS:
        return [(model, _TABS.get(metric, CALIBRATION))]
    if model == SERVICE:
        return [(PLATFORM, SERVING), *((name, SERVING) for name, route in _ROUTES.items() if route == segment)]
    if model == "credits":
        behind = _CREDITS.get(segment.partition(":")[0])
        return [(PLATFORM, ATTRIBUTION), *([(behind, ATTRIBUTION)] if behind else [])]
    return [(PLATFORM, IDENTITY if model == "persons" or metric in ("match_rate", "known_share") else DATA)]


def parts(checks: Sequence[Check]) -> dict[tuple[str, str], list[Check]]:
    """Measures by the project and tab whose report of the day holds them; those without a value are left out."""
    found: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        if check.value is not None and check.value == check.value:
            for place in places(check.key):
                found.setdefault(place, []).append(check)
    return found


def panels(project: str, known: Mapping[Key, float]) -> list[Panel]:
    """The project's panels that have something to show, each tab's after a heading; tabs without any are left out.

    `known` are the measures that `checks` knows, with how far their values lie apart over the days: where there are too many to draw,
    those are drawn that moved most.
    """
    (chosen,) = [each for each in PROJECTS if each.key == project]
    held = _platform(known) if project == PLATFORM else _model(project, known)
    shown: list[Panel] = []
    for tab in chosen.tabs:
        full = [replace(panel, lines=_drawn(panel.lines, known)) for panel in held if panel.tab == tab]
        full = [panel for panel in full if panel.lines]
        shown += [Panel(tab, tab, LEADS[tab]), *full] if full else []
    return shown


def _drawn(lines: Sequence[Line], known: Mapping[Key, float]) -> tuple[Line, ...]:
    return tuple(line for line in lines if line.model == "findings" or line.key in known)


def _moved(known: Mapping[Key, float], model: str, metric: str) -> tuple[Line, ...]:
    """The segments of a measure that moved most, by name."""
    segments = {s: apart for (m, name, s), apart in known.items() if (m, name) == (model, metric)}
    most = sorted(segments, key=lambda segment: (-segments[segment], segment))[:MOST_LINES]
    return tuple(Line(segment, model, metric, segment) for segment in sorted(most))


def _segments(known: Mapping[Key, float], model: str, metric: str) -> list[str]:
    return sorted(s for m, name, s in known if (m, name) == (model, metric))


def _each(tab: str, title: str, about: str, metric: str, models: Iterable[str], segment: str = "all") -> Panel:
    return Panel(tab, title, about, tuple(Line(model, model, metric, segment) for model in models))


def _platform(known: Mapping[Key, float]) -> list[Panel]:
    return [*_overview(), *_events(known), *_identity(), *_attribution(known), *_service(known)]


def _overview() -> list[Panel]:
    return [
        Panel(OVERVIEW, "Findings", "How many findings of each level the day has.",
              tuple(Line(level, "findings", level) for level in LEVELS[1:]), kind="bar"),
        _each(OVERVIEW, "Match rate", "The share of events whose person is known by a log-in.", "match_rate", EVENTS),
        _each(OVERVIEW, "Rows", "Rows by table.", "rows", EVENTS),
        _each(OVERVIEW, "Identifiers of an event", "The mean number of identifiers that an event carries.", "identifiers_per_event", EVENTS),
        Panel(OVERVIEW, "Unattributed share", "The share of a conversion that no ad earned.",
              tuple(Line(name.replace("_", " "), "credits", "unattributed_share", name) for name in ("last_touch", "ranker"))),
        Panel(OVERVIEW, "Credit at identity risk", "The share of credit that rests on links between identifiers that may not be so.",
              tuple(Line(name.replace("_", " "), "credits", "at_identity_risk", name) for name in ("last_touch", "ranker"))),
    ]  # fmt: skip


def _events(known: Mapping[Key, float]) -> list[Panel]:
    channels = [s for s in _segments(known, "touches", "rows") if s.startswith("channel=")]
    return [
        _each(DATA, "Rows by table", "A table that stops is a source that stopped.", "rows", EVENTS),
        Panel(DATA, "Touches by channel", "A channel that stops is a tracker that stopped.",
              tuple(Line(s.partition("=")[2], "touches", "rows", s) for s in channels)),
        Panel(DATA, "Missing identifiers of touches", "The share of touches without each.",
              tuple(Line(name, "touches", "null_share", name) for name in ("cookie_id", "device_id", "email_hash", "click_id", "ip_key"))),
        _each(DATA, "Consent granted", "The share of events.", "consent_share", EVENTS, "granted"),
        _each(DATA, "Duplicates dropped", "The share of rows read.", "duplicate_share", EVENTS),
        _each(DATA, "Quarantined", "The share of rows read that broke the contract.", "quarantined_share", EVENTS),
        _each(DATA, "Late", "The share of rows that came more than a day after they happened.", "late_share", EVENTS, "24h"),
        _each(DATA, "Busiest network", "Its share of the rows: a flood shows here.", "top_network_share", EVENTS),
    ]  # fmt: skip


def _identity() -> list[Panel]:
    rates = (("precision", "true_precision"), ("recall", "true_recall"), ("F1", "true_f1"))
    sizes = (("half", "0.5"), ("nine of ten", "0.9"), ("99 of 100", "0.99"))
    return [
        _each(IDENTITY, "Match rate", "The share of events whose person is known by a log-in.", "match_rate", EVENTS),
        _each(IDENTITY, "Known person", "The share of events that belong to anybody at all.", "known_share", EVENTS),
        Panel(IDENTITY, "New answers", "Identifiers whose person is new or changed on the day.",
              tuple(Line(method, "persons", "links", method) for method in ("exact", "ranked"))),
        Panel(IDENTITY, "Identifiers of a person", "This many or fewer have …", tuple(Line(name, "persons", "size", q) for name, q in sizes)),
        Panel(IDENTITY, "Largest person", "Its identifiers: a cluster that swallows others shows here.", (Line("identifiers", "persons", "largest"),)),
        Panel(IDENTITY, "Over-merged", "Of persons with an account, those with more than one; of identifiers, those in persons that are too large.",
              (Line("two accounts in one person", "persons", "contradicting_share"), Line("identifiers in too large persons", "persons", "crowded_share"))),
        Panel(IDENTITY, "Surely found", "Of compared signals, those whose best candidate leads by far: falls when retrieval misses the right one.",
              (Line("share", "persons", "sure_share"),)),
        Panel(IDENTITY, "Pairs against the truth", "Of the pairs of events put together, how many are right.",
              tuple(Line(name, "persons", metric) for name, metric in rates)),
    ]  # fmt: skip


def _attribution(known: Mapping[Key, float]) -> list[Panel]:
    segments = _segments(known, "credits", "credit_share")
    algorithms = sorted({segment.partition(":")[0] for segment in segments})
    credit = [
        Panel(ATTRIBUTION, f"Credit by channel: {algorithm.replace('_', ' ')}", "The share of the day's value.",
              tuple(Line(s.partition(":")[2], "credits", "credit_share", s) for s in segments if s.startswith(f"{algorithm}:")),
              kind="bar")
        for algorithm in ("ranker", "last_touch")
    ]  # fmt: skip
    waits = (("half", "0.5"), ("nine of ten", "0.9"))

    def by_algorithm(title: str, about: str, metric: str) -> Panel:
        lines = tuple(Line(name.replace("_", " "), "credits", metric, name) for name in COMPARED if name in algorithms)
        return Panel(ATTRIBUTION, title, about, lines)

    return [
        *credit,
        by_algorithm("Unattributed share", "The share of a conversion that no ad earned.", "unattributed_share"),
        by_algorithm("At identity risk", "The share of credit that rests on links between identifiers that may not be so.", "at_identity_risk"),
        by_algorithm("Credited for each one lifted", "Credit of campaigns with a held-out group over what the group says they brought: 1 is right.", "credited_over_lift"),
        Panel(ATTRIBUTION, "Claims for each conversion", "If every channel claimed what it touched: above 1 is counted twice.",
              (Line("channels' claims", "credits", "double_counting"),)),
        Panel(ATTRIBUTION, "Days from touch to conversion", "By Kaplan–Meier: how long until so many of those who convert have.",
              tuple(Line(name, "credits", "days_to_convert", q) for name, q in waits)),
        Panel(ATTRIBUTION, "Changes of version", "A bar where credit was made with a policy or a model that the day before did not know.",
              tuple(Line(name, "credits", "changed", name) for name in _segments(known, "credits", "changed") if known["credits", "changed", name]), kind="bar"),
        by_algorithm("Credit on the true cause", "The share given to the touch, or to no ad, that it was.", "true_credit"),
        by_algorithm("Channel error", "Half the sum of gaps between credited and true shares.", "channel_error"),
    ]  # fmt: skip


def _service(known: Mapping[Key, float]) -> list[Panel]:
    return [
        Panel(SERVING, "Questions to the service", "Answers of the day by route, whatever their status.", _moved(known, SERVICE, "answers")),
        Panel(SERVING, *_FATE, _fates("all")),
        Panel(SERVING, "Failed by route", "The share of a route's answers that were a 5xx.", _moved(known, SERVICE, "failed_share")),
    ]  # fmt: skip


_FATE = (
    "Failed, turned away, refused",
    "Shares of the answers: 5xx, which should never be; 429, too much at once; 4xx, the caller's mistake.",
)


def _fates(segment: str) -> tuple[Line, ...]:
    named = (("failed", "failed_share"), ("turned away", "turned_away_share"), ("refused", "refused_share"))
    return tuple(Line(legend, SERVICE, metric, segment) for legend, metric in named)


def _model(model: str, known: Mapping[Key, float]) -> list[Panel]:
    return [
        *_at_a_glance(model),
        *_inputs(model, known),
        *_drift(model, known),
        *_calibration(model, known),
        *_credit_of(model, known),
        *_serving(model),
    ]


def _at_a_glance(model: str) -> list[Panel]:
    return [
        Panel(OVERVIEW, "Findings", "How many findings of each level the day has about this model.",
              tuple(Line(level, "findings", level) for level in LEVELS[1:]), kind="bar"),
        Panel(OVERVIEW, *_LEVEL, _right(model)),
        Panel(OVERVIEW, "Inputs that drifted", "The share of the inputs that chance does not explain.",
              (Line("inputs and score", model, "drifted_share", "inputs and score"),)),
        Panel(OVERVIEW, "Mean probability", "What the model says on average.", (Line("mean probability", model, "mean_probability"),)),
        Panel(OVERVIEW, "Missing inputs", "The mean null share of the inputs.", (Line("mean null share", model, "mean_null_share"),)),
        Panel(OVERVIEW, "Decisions", "Rows that the model scored.", (Line("decisions", model, "decisions"),)),
    ]  # fmt: skip


_LEVEL = (
    "Observed over expected",
    "Positives that came for each one foretold: 1 is right. Corrected: before labels are ripe, by how they ripen.",
)


def _right(model: str) -> tuple[Line, ...]:
    return Line("ripe labels", model, "observed_over_expected"), Line("corrected", model, "corrected_observed_over_expected")


def _inputs(model: str, known: Mapping[Key, float]) -> list[Panel]:
    return [
        Panel(DATA, "Missing", "The null share of the inputs that changed most.", _moved(known, model, "null_share")),
        Panel(DATA, "Zero", "The share of zeros of the inputs that changed most.", _moved(known, model, "zero_share")),
        Panel(DATA, "Never seen in training", "The share of new values of the categories that changed most.", _moved(known, model, "unseen_share")),
        Panel(DATA, "Infinite", "The share of infinite values of the inputs that changed most.", _moved(known, model, "infinite_share")),
    ]  # fmt: skip


def _drift(model: str, known: Mapping[Key, float]) -> list[Panel]:
    return [
        Panel(DRIFT, "Inputs that drifted", "The share of the inputs that chance does not explain.",
              (Line("inputs and score", model, "drifted_share", "inputs and score"),)),
        Panel(DRIFT, "Score", "PSI of the raw score.", (Line("score", model, "psi", "score"),)),
        Panel(DRIFT, "Inputs that moved most", "PSI of each.", _moved(known, model, "psi")),
        Panel(DRIFT, "Mean probability", "What the model says on average.", (Line("mean probability", model, "mean_probability"),)),
    ]  # fmt: skip


def _calibration(model: str, known: Mapping[Key, float]) -> list[Panel]:
    worst = tuple(
        Line(field, model, "worst_observed_over_expected", field)
        for field in _segments(known, model, "worst_observed_over_expected")
    )

    def beside(title: str, about: str, metric: str) -> Panel:
        lines = Line("ripe labels", model, metric), Line("estimated without labels", model, f"estimated_{metric}")
        return Panel(CALIBRATION, title, about, lines)

    return [
        Panel(CALIBRATION, *_LEVEL, _right(model)),
        Panel(CALIBRATION, "Worst segment", "Of each field the value whose observed over expected is off most for sure.", worst),
        beside("Log-loss", "Negative log-likelihood, in nats; less is better. The estimate believes the probabilities.", "log_loss"),
        beside("Brier score", "Mean squared error of the probabilities; less is better.", "brier"),
        beside("ROC AUC", "The chance that a positive scores above a negative.", "roc_auc"),
        Panel(CALIBRATION, "Calibration error", "Root mean square gap between said and seen, less chance.",
              (Line("calibration error", model, "calibration_error"),)),
        Panel(CALIBRATION, "Labels", "Decisions whose outcome is known.", (Line("labelled", model, "labelled"),)),
    ]  # fmt: skip


def _credit_of(model: str, known: Mapping[Key, float]) -> list[Panel]:
    name = next((algorithm for algorithm, behind in _CREDITS.items() if behind == model), "")
    shares = [s for s in _segments(known, "credits", "credit_share") if s.startswith(f"{name}:")] if name else []
    shown = (
        ("Unattributed share", "The share of a conversion that no ad earned.", "unattributed_share"),
        (
            "At identity risk",
            "The share of credit that rests on links between identifiers that may not be so.",
            "at_identity_risk",
        ),
        (
            "Credited for each one lifted",
            "Credit over what held-out groups say the ads brought: 1 is right.",
            "credited_over_lift",
        ),
        ("Credit on the true cause", "The share given to the touch, or to no ad, that it was.", "true_credit"),
        ("Channel error", "Half the sum of gaps between credited and true shares.", "channel_error"),
    )
    return [
        Panel(ATTRIBUTION, "Credit by channel", "The share of the day's value.",
              tuple(Line(s.partition(":")[2], "credits", "credit_share", s) for s in shares), kind="bar"),
        *(Panel(ATTRIBUTION, title, about, (Line(name, "credits", metric, name),)) for title, about, metric in shown),
    ]  # fmt: skip


def _serving(model: str) -> list[Panel]:
    def routes(title: str, about: str, metric: str) -> Panel:
        return Panel(SERVING, title, about, tuple(Line(route, model, metric, route) for route in ("batch", "online")))

    return [
        routes("Requests", "Questions of the day, by the day's run and by the service.", "requests"),
        routes("Options", "Candidates of a question: few mean that retrieval finds little.", "options_per_request"),
        routes("Answered", "The share of the questions of which an option was chosen.", "answered_share"),
        routes("Missing inputs", "Online above batch: the store knows less than the tables.", "route_null_share"),
        Panel(
            SERVING,
            "Time to an answer",
            "Milliseconds from the request until the service had decided: half of the answers took less, and all but one in a hundred.",
            tuple(Line(segment, model, "answer_ms", segment) for segment in ("median", "99 of 100")),
        ),
        Panel(
            SERVING,
            "Degraded answers",
            "The share of the service's answers that had to do without something, and without what.",
            tuple(Line(kind, model, "degraded_share", kind) for kind in ("all", "stale", "unknown")),
        ),
        Panel(SERVING, *_FATE, _fates(_ROUTES[model]) if model in _ROUTES else ()),
        Panel(SERVING, "Bundles", "How many different bundles decided on the day.", (Line("bundles", model, "bundles"),)),
        Panel(
            SERVING, "Age of the bundle", "Days since the day that it learned until.", (Line("days", model, "bundle_age_days"),)
        ),
    ]
