"""Today's state, gathered from tables and journal: who serves, what was found, who is known, where credit went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from monitoring import findings, serving_log
from whence import answer_counts
from whence.attribution import doubt
from whence.attribution import policy as policies
from whence.attribution.statements import CURRENT
from whence.contracts.models import MODELS
from whence.contracts.times import Window, utc
from whence.lake import Lake

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

    from whence.contracts.settings import Settings

CREDIT_DAYS = 7
"""Days of conversions whose credit is shown."""
TREND_DAYS = 30
SHOWN = 6
"""Conversions that are offered to be explained."""
ALARM, FAILED = "alarm", "failed"
ALARM_DAYS = 2
MOST_FOUND = 500
FOUND = """day, level, model, reason, coalesce(cause, ''), money_micros, coalesce(currency, ''), coalesce(since, ''), coalesce(runbook, '')"""


@dataclass(frozen=True)
class Dag:
    """How a DAG is: its newest run."""

    name: str
    state: str
    """Airflow's word for the newest run, or `none`."""
    key: str
    address: str


@dataclass(frozen=True)
class Standing:
    """A model and who serves it."""

    model: str
    bundle: str
    """Empty before the first champion."""
    epoch: int
    since: datetime | None
    as_of: str
    """The last day of data that it has seen."""
    observed_over_expected: tuple[float, float, float] | None
    """On the newest ripe labels, with its interval."""
    challenger: str
    """The bundle and the stage of a rollout; empty when there is none."""


@dataclass(frozen=True)
class Found:
    """A finding that is not calm, or an alarm of the journal."""

    day: str
    level: str
    about: str
    words: str
    cause: str = ""
    """What is behind it; empty where nobody knows."""
    micros: int | None = None
    """What the day's rows that it touches are worth; None where nobody knows."""
    currency: str = ""
    since: str = ""
    """The first day of the episode."""
    runbook: str = ""
    """Its anchor in docs/runbooks.md."""


@dataclass(frozen=True)
class Channel:
    """What a channel earned, with its 95 % interval over people; as shares of all value."""

    name: str
    share: float
    low: float
    high: float
    at_risk: float
    """The share that rests on links between identifiers that may not be so."""


@dataclass(frozen=True)
class State:
    """What the front page shows."""

    made_at: datetime
    day: str
    """The last day that was watched; empty before the first."""
    source: str
    standings: tuple[Standing, ...]
    found: tuple[Found, ...]
    trend: tuple[tuple[str, int, int], ...]
    """For each watched day how many findings warned, and how many asked for more."""
    match_rate: tuple[tuple[str, float], ...]
    """For each day the share of conversions whose person is known by a log-in."""
    channels: tuple[Channel, ...]
    algorithm: str
    credit_days: str
    policy: str
    """The policy that the newest credit was made with: its name in the settings, and the first characters of its digest."""
    conversions: tuple[tuple[str, str, int, str], ...]
    """Some conversions of the newest day with credit: id, kind, value in micros, currency."""
    reports: tuple[str, ...]
    """Names of report folders, newest first."""
    dags: tuple[Dag, ...] | None
    """None when Airflow does not answer."""
    answers: Mapping[str, int]
    """How the scoring service answered since yesterday morning, by the clock; see serving_log.fates."""

    @property
    def level(self) -> str:
        """The worst that was found on the last watched day; where that is nothing, an alarm or a failed run, if there is one."""
        order = {level: place for place, level in enumerate(findings.LEVELS)}
        worst = max((each.level for each in self.found if each.level in order), key=order.__getitem__, default=findings.CALM)
        if worst != findings.CALM:
            return worst
        if any(each.level == ALARM for each in self.found):
            return ALARM
        return FAILED if any(each.state == FAILED for each in self.dags or ()) else findings.CALM


def gather(settings: Settings, now: datetime, dags: Callable[[], Sequence[Dag] | None]) -> State:
    """The state at `now`; `dags` asks Airflow. Reads tables and journal, writes nothing."""
    lake = Lake.of(settings)
    days = lake.days("checks")
    day = days[-1] if days else ""
    recent = Window(date.fromisoformat(day) - timedelta(days=TREND_DAYS - 1), date.fromisoformat(day)) if day else None
    algorithm = policies.of(settings).algorithm
    with lake.connect(recent, "checks", "findings") as con:
        trend = _trend(con)
        matched = _series(con, "conversions", "match_rate")
        ripe = {model: _newest(con, model, "observed_over_expected") for model in MODELS}
        found = _findings(con, day)
    channels, span, policy, conversions = _credit(lake, algorithm)
    asked = dags()
    return State(
        made_at=utc(now),
        day=day,
        source=settings.source.kind,
        standings=tuple(_standing(settings, model, ripe[model]) for model in MODELS),
        found=(*_alarms(settings, now), *found),
        trend=trend,
        match_rate=matched,
        channels=channels,
        algorithm=algorithm,
        credit_days=span,
        policy=f"{settings.attribution.policy} {policy[:8]}".strip(),
        conversions=conversions,
        reports=tuple(sorted((each.parent.name for each in settings.home.glob("reports/*/report.html")), reverse=True)),
        dags=None if asked is None else tuple(asked),
        answers=_answers(settings, utc(now).date()),
    )


def history(settings: Settings) -> tuple[Found, ...]:
    """The findings of all days that are not calm, newest day first."""
    with Lake.of(settings).connect(None, "findings") as con:
        rows = con.execute(
            f"SELECT {FOUND} FROM findings WHERE level <> 'calm' ORDER BY day DESC, model, metric, segment LIMIT {MOST_FOUND}"
        ).fetchall()
    return tuple(sorted((Found(*row) for row in rows), key=lambda each: (each.day, findings.URGENCY[each.level]), reverse=True))


def _answers(settings: Settings, today: date) -> Mapping[str, int]:
    days = [answer_counts.read(settings.answer_counts, day) for day in (today - timedelta(days=1), today)]
    return serving_log.fates(sum((Counter(each) for each in days), Counter()))


def _standing(settings: Settings, model: str, ripe: tuple[float, float, float] | None) -> Standing:
    from registry.journal import Journal

    journal = Journal.of(settings)
    row, challenger = journal.champion(model), journal.challenger(model)
    told = f"{challenger.bundle[:8]}, {challenger.kind}" if challenger else ""
    if row is None:
        return Standing(model, "", 0, None, "", ripe, told)
    since = datetime.fromisoformat(row.at)
    return Standing(model, row.bundle, row.epoch, since, _as_of(settings, model, row.bundle), ripe, told)


def _as_of(settings: Settings, model: str, bundle: str) -> str:
    """The day in the path of the candidate that became this bundle; empty when its folder is gone."""
    found = next(iter(sorted(settings.candidates.glob(f"{model}/*/{bundle}"))), None)
    return found.parent.name if found else ""


def _alarms(settings: Settings, now: datetime) -> tuple[Found, ...]:
    """What the watcher of the journal told lately."""
    from registry.alarms import Alarms

    since = utc(now) - timedelta(days=ALARM_DAYS)
    return tuple(
        Found(each.at[:10], ALARM, each.model or "journal", each.words.removeprefix(f"{each.model}: "))
        for each in reversed(Alarms.of(settings).since(since))
    )


def _findings(con: duckdb.DuckDBPyConnection, day: str) -> tuple[Found, ...]:
    rows = con.execute(
        f"SELECT {FOUND} FROM findings WHERE day = ? AND level <> 'calm' ORDER BY money_micros DESC NULLS LAST, model, metric, segment",
        [day],
    ).fetchall()
    order = {level: place for place, level in enumerate(findings.LEVELS)}
    return tuple(sorted((Found(*row) for row in rows), key=lambda each: -order.get(each.level, 0)))


def _trend(con: duckdb.DuckDBPyConnection) -> tuple[tuple[str, int, int], ...]:
    rows = con.execute(
        "SELECT day, count(*) FILTER (level = 'warn'), count(*) FILTER (level NOT IN ('warn', 'calm')) FROM findings GROUP BY 1 ORDER BY 1"
    )
    return tuple((str(day), int(warned), int(more)) for day, warned, more in rows.fetchall())


def _series(con: duckdb.DuckDBPyConnection, model: str, metric: str) -> tuple[tuple[str, float], ...]:
    query = "SELECT day, value FROM checks WHERE model = ? AND metric = ? AND segment = 'all' AND value IS NOT NULL ORDER BY day"
    return tuple((str(day), float(value)) for day, value in con.execute(query, [model, metric]).fetchall())


def _newest(con: duckdb.DuckDBPyConnection, model: str, metric: str) -> tuple[float, float, float] | None:
    query = """
        SELECT value, low, high FROM checks
        WHERE model = ? AND metric = ? AND segment = 'all' AND value IS NOT NULL AND low IS NOT NULL AND high IS NOT NULL
        ORDER BY day DESC LIMIT 1
    """
    row = con.execute(query, [model, metric]).fetchall()
    return (float(row[0][0]), float(row[0][1]), float(row[0][2])) if row else None


def _credit(lake: Lake, algorithm: str) -> tuple[tuple[Channel, ...], str, str, tuple[tuple[str, str, int, str], ...]]:
    """By channel, over the last days with credit; the days; the last one's policy; and some conversions of the last one."""
    days = lake.days("credits")
    if not days:
        return (), "", "", ()
    last = date.fromisoformat(days[-1])
    window = Window(max(last - timedelta(days=CREDIT_DAYS - 1), date.fromisoformat(days[0])), last)
    with lake.connect(window, "credits", "conversions") as con:
        rows = con.sql(f"SELECT * FROM ({CURRENT}) WHERE credit_micros >= 0 ORDER BY ALL").to_arrow_table().to_pandas()
        query = """
            SELECT conversion_id, any_value(kind), max(value_micros), any_value(currency) FROM conversions
            WHERE day = ? AND conversion_id IN (SELECT conversion_id FROM credits WHERE touch_id <> '') GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT ?
        """
        some = tuple((str(a), str(b), int(c), str(d)) for a, b, c, d in con.execute(query, [days[-1], SHOWN]).fetchall())
    paid = rows[rows["algorithm"] == algorithm]
    policy = str(rows.sort_values("known_at")["policy"].iloc[-1]) if len(rows) else ""
    return _channels(paid if len(paid) else rows[rows["algorithm"] == "last_touch"]), str(window), policy, some


def _channels(paid: pd.DataFrame) -> tuple[Channel, ...]:
    if paid.empty:
        return ()
    currency = paid.groupby("currency")["credit_micros"].sum().idxmax()  # amounts of two currencies are never added
    told = doubt.from_credits(paid[paid["currency"] == currency], by=("channel",))
    total = float(told["credit_micros"].sum()) or 1.0
    found = [
        Channel(
            row.channel or "no ad",
            row.credit_micros / total,
            max(row.low_micros / total, 0.0),
            min(row.high_micros / total, 1.0),
            row.at_risk_micros / total,
        )
        for row in told.itertuples()
    ]
    return tuple(sorted(found, key=lambda each: (each.name == "no ad", -each.share)))
