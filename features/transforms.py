"""What the recent past says about identifiers, networks, campaigns, persons and pairs: Ibis expressions, and nothing else.

Each function takes tables and returns an expression whose rows are what was known at the end of a day D. It reads partitions
with day ≤ D alone, so that a later run gives the same rows. D itself is a row of the table `today`, not a part of the
expression, which is therefore the same for every day and is turned into SQL once. An expression names its tables (`touches`,
`persons`, `signals`) and is bound to no engine: DuckDB runs it on one machine, and Spark can where one machine is outgrown.
Sums that could depend on the order of rows are taken over integers, so that a rerun gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ibis
from ibis import _

from whence.contracts.events import LINK_KEYS
from whence.contracts.tables import TABLES

Expr = Any
"""An Ibis table or column; Ibis ships no types that mypy could read quickly."""

LOOK_BACK_DAYS = 14
WEEK_DAYS = 7
PEOPLE_ON_A_NETWORK = 20
USER_AGENTS_OF_A_PERSON = 5
TOUCHES_OF_A_PERSON = 50
SALES_OF_A_PERSON = 50
PRIOR_TOUCHES = 100
"""A campaign's click rate is pulled to the mean as if it had this many touches at the mean."""
PRIOR_CLICKS = 20
"""The same for its conversion rate, in clicks."""

SHOWN = ("view", "engaged_view", "click")
"""Touches that a person could have noticed; `eligible` is a ghost."""

SIGNALS = ibis.schema(
    {
        "event_id": "string",
        "day": "string",
        "days_ago": "int64",
        "happened_at": "timestamp('UTC', 6)",
        "seen_at": "timestamp('UTC', 6)",
        "what": "string",
        "kind": "string",
        "touch_id": "string",
        "campaign_id": "string",
        "channel": "string",
        "product": "string",
        "price_micros": "int64",
        "sale": "string",
        "conversion_id": "string",
        "click_id": "string",
        **dict.fromkeys(LINK_KEYS, "string"),
        "ip_key": "string",
        "user_agent": "string",
        "locale": "string",
        "country": "string",
        "person_id": "string",
    }
)
"""Touches, conversions and sightings in one form, with the person each belongs to as known at the end of the day.

`days_ago` is 0 for events of D itself; `what` is touch, conversion or sighting; `sale` names what was bought (an order counts once, however many trackers told of
it) and is null for refunds and for all that is no conversion.
"""

OWNERS = ibis.schema({"identifier": "string", "person_id": "string", "probability": "float64"})
"""Whose an identifier is as of the day."""

TODAY = ibis.schema({"day": "string", "seen_at": "timestamp('UTC', 6)"})
"""One row: the day D, and its end, when its rows become known."""


def named(name: str) -> Expr:
    """A table of the contract as an expression that any engine can run."""
    return ibis.table(ibis.Schema.from_pyarrow(TABLES[name].schema), name=name)


def owners(persons: Expr, today: Expr) -> Expr:
    """For each identifier its latest answer with day ≤ D."""
    known = persons.filter(persons.day <= today.day.as_scalar())
    latest = known.group_by("identifier").agg(day=known.day.max())
    return known.semi_join(latest, ["identifier", "day"]).select(*OWNERS)


def signals(touches: Expr, conversions: Expr, sightings: Expr, owners: Expr, today: Expr) -> Expr:
    """All events of the 14 days that end with D, each with its person: of its strongest identifier that has one.

    Ghost impressions are signals too: their request was real, and carried real identifiers.
    """
    sale = ibis.ifelse(
        conversions.refund_of.isnull() & (conversions.kind != "refund"),
        ibis.coalesce(conversions.order_id, conversions.conversion_id),
        ibis.null("string"),
    )
    events = ibis.union(
        _signal(touches, "touch"),
        _signal(conversions.mutate(sale=sale), "conversion"),
        _signal(sightings, "sighting"),
    )
    events = events.mutate(days_ago=today.day.as_scalar().cast("date").delta(events.day.cast("date"), unit="day"))
    events = events.filter(events.days_ago >= 0, events.days_ago < LOOK_BACK_DAYS)
    for key in LINK_KEYS:
        mine = owners.select(**{f"of_{key}": owners.identifier, f"person_of_{key}": owners.person_id})
        events = events.mutate(**{f"text_{key}": identifier(events, key)})
        events = events.left_join(mine, [events[f"text_{key}"] == mine[f"of_{key}"]])
    person = ibis.coalesce(*(events[f"person_of_{key}"] for key in LINK_KEYS))
    return events.mutate(person_id=person).select(*SIGNALS)


def identifier(events: Expr, key: str) -> Expr:
    """An identifier as text with its kind, `cookie_id:c81…`; null when the event lacks it."""
    return ibis.literal(f"{key}:").concat(events[key])


def identifier_features(signals: Expr, owners: Expr, today: Expr) -> Expr:
    """Rows of `identifier_features` for each identifier that was seen in 14 days."""
    uses = _uses(signals)
    lives = uses.group_by("identifier").agg(
        events_1d=_on_the_day(uses),
        events_7d=_in_the_week(uses),
        networks_7d=uses.ip_key.nunique(where=uses.days_ago < WEEK_DAYS),
        last_seen_at=_last(uses),
    )
    mine = owners.rename(person_probability="probability")
    return _as_of(lives.left_join(mine, "identifier"), "identifier_features", today)


def network_features(signals: Expr, owners: Expr, today: Expr) -> Expr:
    """Rows of `network_features` for each network that was seen in 14 days."""
    there = signals.filter(signals.ip_key.notnull())
    uses = _uses(there)
    lives = there.group_by("ip_key").agg(
        events_1d=_on_the_day(there),
        events_7d=_in_the_week(there),
        persons_7d=there.person_id.nunique(where=there.days_ago < WEEK_DAYS),
        last_seen_at=_last(there),
    )
    crowd = uses.group_by("ip_key").agg(identifiers_7d=uses.identifier.nunique(where=uses.days_ago < WEEK_DAYS))
    people = _frequent(there, "ip_key", "person_id", PEOPLE_ON_A_NETWORK, "people")
    rows = lives.left_join(crowd, "ip_key").drop("ip_key_right").left_join(people, "ip_key")
    filled = rows.mutate(identifiers_7d=rows.identifiers_7d.fill_null(0), people=rows.people.fill_null("[]"))
    return _as_of(filled, "network_features", today)


def campaign_features(signals: Expr, owners: Expr, today: Expr) -> Expr:
    """Rows of `campaign_features` for each campaign that touched somebody in 14 days, ghosts left out.

    A conversion counts for a campaign when it carries the click_id of one of the campaign's clicks of 14 days.
    """
    shown = signals.filter(signals.what == "touch", signals.kind.isin(SHOWN))
    recent = shown.days_ago < WEEK_DAYS
    clicks = shown.filter(shown.kind == "click", shown.click_id.notnull()).select("click_id", "campaign_id").distinct()
    sales = signals.filter(signals.sale.notnull(), signals.days_ago < WEEK_DAYS).select("click_id", "sale")
    earned = sales.inner_join(clicks, "click_id").group_by("campaign_id").agg(conversions_7d=_.sale.nunique())
    priced = recent & shown.price_micros.notnull()
    done = shown.group_by("campaign_id").agg(
        views_7d=shown.count(where=recent & (shown.kind != "click")),
        clicks_7d=shown.count(where=recent & (shown.kind == "click")),
        price_mean_micros_7d=shown.price_micros.sum(where=priced).cast("float64") / shown.count(where=priced).nullif(0),
    )
    rows = done.left_join(earned, "campaign_id").drop("campaign_id_right").mutate(conversions_7d=_.conversions_7d.fill_null(0))
    rates = rows.mutate(
        click_rate_7d=_shrunk(rows.clicks_7d, rows.views_7d + rows.clicks_7d, PRIOR_TOUCHES),
        conversion_rate_7d=_shrunk(rows.conversions_7d, rows.clicks_7d, PRIOR_CLICKS),
    )
    return _as_of(rates, "campaign_features", today)


def person_features(signals: Expr, owners: Expr, today: Expr) -> Expr:
    """Rows of `person_features` for each person that was seen in 14 days; hours are of the world's time, in UTC."""
    theirs = signals.filter(signals.person_id.notnull())
    week = theirs.days_ago < WEEK_DAYS
    shown = (theirs.what == "touch") & theirs.kind.isin(SHOWN)
    angle = (theirs.happened_at.epoch_seconds() % 86400).cast("float64") * (2 * math.pi / 86400)
    lives = theirs.group_by("person_id").agg(
        logins_7d=theirs.count(where=week & (theirs.what == "sighting") & (theirs.kind == "login")),
        touches_7d=theirs.count(where=week & shown),
        clicks_7d=theirs.count(where=week & shown & (theirs.kind == "click")),
        conversions_14d=theirs.sale.nunique(),
        sine=_exactly(angle.sin()).sum(),
        cosine=_exactly(angle.cos()).sum(),
        last_seen_at=_last(theirs),
    )
    rows = lives.mutate(mean_hour=_hour(lives.sine, lives.cosine))
    belongings = owners.group_by("person_id").agg(identifiers=owners.count())
    for part in (
        belongings,
        _frequent(theirs, "person_id", "user_agent", USER_AGENTS_OF_A_PERSON, "user_agents"),
        _most(theirs, "person_id", "locale"),
        _most(theirs, "person_id", "country"),
        _recent_touches(theirs),
        _recent_sales(theirs),
    ):
        rows = rows.left_join(part, "person_id").drop("person_id_right")
    filled = rows.mutate(
        identifiers=rows.identifiers.fill_null(0),
        user_agents=rows.user_agents.fill_null("[]"),
        recent_touches=rows.recent_touches.fill_null("[]"),
        recent_sales=rows.recent_sales.fill_null("[]"),
    )
    return _as_of(filled, "person_features", today)


def pair_features(signals: Expr, owners: Expr, today: Expr) -> Expr:
    """Rows of `pair_features` for each network and person that were seen together in 14 days."""
    theirs = signals.filter(signals.person_id.notnull())
    together = theirs.filter(theirs.ip_key.notnull())
    pairs = together.group_by("ip_key", "person_id").agg(
        days_together_14d=together.day.nunique(),
        events_together_14d=together.count(),
        last_together_at=_last(together),
    )
    lives = theirs.group_by("person_id").agg(events=theirs.count())
    rows = pairs.left_join(lives, "person_id").drop("person_id_right")
    shares = rows.mutate(share_of_person_14d=rows.events_together_14d.cast("float64") / rows.events.cast("float64"))
    return _as_of(shares, "pair_features", today)


TRANSFORMS: dict[str, Callable[[Expr, Expr, Expr], Expr]] = {
    "identifier_features": identifier_features,
    "network_features": network_features,
    "campaign_features": campaign_features,
    "person_features": person_features,
    "pair_features": pair_features,
}
"""The transform of each feature table: (signals, owners, today) → its rows."""


def _signal(events: Expr, what: str) -> Expr:
    given = {name: events[name] for name in SIGNALS if name in events.columns}
    absent = {name: ibis.null(kind) for name, kind in SIGNALS.items() if name not in given}
    row = {**given, **absent, "what": ibis.literal(what)}
    return events.select(**{name: row[name].cast(kind) for name, kind in SIGNALS.items()})


def _uses(signals: Expr) -> Expr:
    columns = ("days_ago", "seen_at", "ip_key")
    each = [signals.select(*columns, identifier=identifier(signals, key)) for key in LINK_KEYS]
    uses = ibis.union(*each)
    return uses.filter(uses.identifier.notnull())


def _on_the_day(events: Expr) -> Expr:
    return events.count(where=events.days_ago == 0)


def _in_the_week(events: Expr) -> Expr:
    return events.count(where=events.days_ago < WEEK_DAYS)


def _last(events: Expr) -> Expr:
    return events.seen_at.max().truncate("s")  # Feast's online timestamps are whole seconds: keep online equal to offline


def _shrunk(hits: Expr, trials: Expr, prior: int) -> Expr:
    everywhere = ibis.window()
    mean = hits.sum().over(everywhere).cast("float64") / trials.sum().over(everywhere).nullif(0).cast("float64")
    return (hits.cast("float64") + prior * mean) / (trials.cast("float64") + prior)


def _exactly(value: Expr) -> Expr:
    return (value * 1e9).round().cast("int64")


def _hour(sine: Expr, cosine: Expr) -> Expr:
    hour = sine.cast("float64").atan2(cosine.cast("float64")) * (12 / math.pi)
    nowhere = (sine == 0) & (cosine == 0)
    return ibis.ifelse(nowhere, ibis.null("float64"), ibis.ifelse(hour < 0, hour + 24, hour).round(6) % 24)


def _ranked(events: Expr, by: str, value: str) -> Expr:
    counted = events.filter(events[by].notnull(), events[value].notnull()).group_by(by, value).agg(events=_.count())
    order = ibis.window(group_by=by, order_by=[counted.events.desc(), counted[value].asc()])
    return counted.mutate(place=ibis.row_number().over(order))


def _frequent(events: Expr, by: str, value: str, most: int, name: str) -> Expr:
    top = _ranked(events, by, value)
    top = top.filter(top.place < most)
    return top.group_by(by).agg(**{name: _json_list(_json_text(top[value]), top.place)})


def _most(events: Expr, by: str, value: str) -> Expr:
    top = _ranked(events, by, value)
    return top.filter(top.place == 0).select(by, value)


_TOLD = ("kind", "campaign_id", "channel", "product", "click_id", "ip_key", "cookie_id", "device_id")


def _recent_touches(theirs: Expr) -> Expr:
    touches = theirs.filter(theirs.what == "touch")
    order = ibis.window(
        group_by="person_id", order_by=[touches.happened_at.desc(), touches.touch_id.asc(), touches.event_id.asc()]
    )
    latest = touches.mutate(place=ibis.row_number().over(order))
    latest = latest.filter(latest.place < TOUCHES_OF_A_PERSON)
    latest = latest.mutate(text=_json_object(latest, "touch_id", *_TOLD))
    return latest.group_by("person_id").agg(recent_touches=_json_list(latest.text, latest.place))


def _recent_sales(theirs: Expr) -> Expr:
    sales = theirs.filter(theirs.sale.notnull())
    told = ibis.window(group_by=["person_id", "sale"], order_by=[sales.seen_at.asc(), sales.event_id.asc()])
    first = sales.mutate(telling=ibis.row_number().over(told))
    first = first.filter(first.telling == 0)
    order = ibis.window(group_by="person_id", order_by=[first.happened_at.desc(), first.sale.asc()])
    latest = first.mutate(place=ibis.row_number().over(order))
    latest = latest.filter(latest.place < SALES_OF_A_PERSON)
    latest = latest.mutate(text=_json_object(latest, "sale", "conversion_id", "kind"))
    return latest.group_by("person_id").agg(recent_sales=_json_list(latest.text, latest.place))


def _json_object(rows: Expr, first: str, *names: str) -> Expr:
    """The columns as a JSON object, the first and happened_at before the rest."""
    fields = {
        first: _json_text(rows[first]),
        "happened_at": _json_text(rows.happened_at.strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")),
        **{name: _json_text(rows[name]) for name in names},
    }
    text = ibis.literal("{")
    for place, (name, value) in enumerate(fields.items()):
        text = text.concat(f'{", " if place else ""}"{name}": ', value)
    return text.concat("}")


def _json_list(texts: Expr, place: Expr) -> Expr:
    return ibis.literal("[").concat(texts.group_concat(", ", order_by=place.asc()), "]")


def _json_text(value: Expr) -> Expr:
    plain = value.re_replace(r"[\x00-\x1f]", " ").replace("\\", "\\\\").replace('"', '\\"')
    return ibis.coalesce(ibis.literal('"').concat(plain, '"'), ibis.literal("null"))


def _as_of(rows: Expr, name: str, today: Expr) -> Expr:
    schema = ibis.Schema.from_pyarrow(TABLES[name].schema)
    full = rows.mutate(day=today.day.as_scalar(), seen_at=today.seen_at.as_scalar())
    return full.select(**{column: full[column].cast(kind) for column, kind in schema.items()})
