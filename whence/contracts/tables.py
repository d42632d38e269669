"""Every table by name: its schema, its key, and what a row of it means. All are partitioned by `day`."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from whence.contracts.events import CONVERSIONS, INSTANT, SIGHTINGS, TOUCHES, column

DAY = column(
    "day", pa.string(), "The UTC day that the row belongs to: of seen_at for events, of the run for the rest.", required=True
)


@dataclass(frozen=True)
class Table:
    """A table's name, its columns (with `day`), its key, and one sentence on its rows."""

    name: str
    schema: pa.Schema
    key: tuple[str, ...]
    doc: str
    parts: tuple[str, ...] = ()
    """Columns that say which step a day's rows are of, where several write to one day."""
    again: str = "The step that makes the day writes it anew, as `whence ingest DAY` for events."
    """How rows that were lost are made again."""


def _table(
    name: str, fields: list[pa.Field] | pa.Schema, key: tuple[str, ...], doc: str, parts: tuple[str, ...] = (), again: str = ""
) -> Table:
    return Table(name, pa.schema([DAY, *fields], metadata={"doc": doc}), key, doc, parts, again or Table.again)


def _as_of(*fields: pa.Field) -> list[pa.Field]:
    return [column("seen_at", INSTANT, "When the row could first be known: the end of its day.", required=True), *fields]


def _text(name: str, doc: str, *, required: bool = False) -> pa.Field:
    return column(name, pa.string(), doc, required=required)


def _count(name: str, doc: str) -> pa.Field:
    return column(name, pa.int64(), doc)


def _number(name: str, doc: str) -> pa.Field:
    return column(name, pa.float64(), doc)


def _bytes(name: str, doc: str) -> pa.Field:
    return column(name, pa.binary(), doc)


def _instant(name: str, doc: str) -> pa.Field:
    return column(name, INSTANT, doc)


FEATURES = {
    "identifier_features": _table(
        "identifier_features",
        _as_of(
            _text("identifier", "kind:value, as cookie_id:c81…", required=True),
            _text("person_id", "Who it belongs to, as known then."),
            _number("person_probability", "How sure that is, 0 to 1."),
            _count("events_1d", "Events that carried it on the day."),
            _count("events_7d", "Events that carried it in seven days."),
            _count("networks_7d", "Distinct ip_keys it came from in seven days."),
            _instant("last_seen_at", "When it was last seen."),
        ),
        ("day", "identifier"),
        "An identifier's recent life, at the end of a day.",
    ),
    "network_features": _table(
        "network_features",
        _as_of(
            _text("ip_key", "The network.", required=True),
            _count("events_1d", "Events from it on the day."),
            _count("events_7d", "Events from it in seven days."),
            _count("identifiers_7d", "Distinct identifiers on it in seven days."),
            _count("persons_7d", "Distinct persons on it in seven days."),
            _text("people", "Up to 20 persons seen on it in 14 days, most events first: a JSON list of person ids."),
            _instant("last_seen_at", "When it was last seen."),
        ),
        ("day", "ip_key"),
        "A network's recent life: the fewer people on it, the more it says about who.",
    ),
    "campaign_features": _table(
        "campaign_features",
        _as_of(
            _text("campaign_id", "The campaign.", required=True),
            _count("views_7d", "Views in seven days."),
            _count("clicks_7d", "Clicks in seven days."),
            _count("conversions_7d", "Conversions in seven days whose click_id is one of its clicks."),
            _number("click_rate_7d", "Clicks per view or click, shrunk to the mean of all campaigns."),
            _number("conversion_rate_7d", "Conversions per click, shrunk to the mean of all campaigns."),
            _number("price_mean_micros_7d", "Mean price paid in millionths."),
        ),
        ("day", "campaign_id"),
        "How a campaign has done lately, as known then.",
    ),
    "person_features": _table(
        "person_features",
        _as_of(
            _text("person_id", "The person.", required=True),
            _count("identifiers", "Identifiers that belong to the person."),
            _count("logins_7d", "Log-ins in seven days."),
            _count("touches_7d", "Touches in seven days, ghosts left out."),
            _count("clicks_7d", "Clicks in seven days."),
            _count("conversions_14d", "Conversions in 14 days, refunds left out."),
            _text("user_agents", "Up to five user agents in 14 days, most events first: a JSON list."),
            _text("locale", "The most frequent locale in 14 days."),
            _text("country", "The most frequent country in 14 days."),
            _number("mean_hour", "Circular mean of the hour of day, 0 to 24, over 14 days."),
            _text(
                "recent_touches",
                "Up to 50 latest touches in 14 days, newest first: a JSON list of objects: touch_id, happened_at (ISO), kind, "
                "campaign_id, channel, product, click_id, ip_key, cookie_id, device_id.",
            ),
            _text(
                "recent_sales",
                "Up to 50 latest conversions in 14 days, newest first, refunds left out and an order once: a JSON list of objects: "
                "sale (the order, or the conversion where there is none), happened_at (ISO), conversion_id (of the telling seen first), kind.",
            ),
            _instant("last_seen_at", "When the person was last seen."),
        ),
        ("day", "person_id"),
        "What a person did lately, as known then.",
    ),
    "pair_features": _table(
        "pair_features",
        _as_of(
            _text("ip_key", "The network.", required=True),
            _text("person_id", "The person.", required=True),
            _count("days_together_14d", "Days in 14 on which the person was seen on the network."),
            _count("events_together_14d", "Events in 14 days by the person from the network."),
            _number("share_of_person_14d", "Of the person's events in 14 days, the share from this network."),
            _instant("last_together_at", "When the person was last seen there."),
        ),
        ("day", "ip_key", "person_id"),
        "A person on a network: how often, how lately.",
    ),
}

PERSON_EVENTS = [
    column("event_id", pa.string(), "The instant it came to be known and the identifier; one event each.", required=True),
    column(
        "kind",
        pa.string(),
        "assign: new, or known to hold earlier; merge: its person was absorbed; split: its person lives on without it; "
        "retract: it belongs to nobody.",
        required=True,
    ),
    column("identifier", pa.string(), "kind:value, as email_hash:9f2…, or a record's id.", required=True),
    column("person_id", pa.string(), "The person that it belongs to from valid_at on; null for a retract."),
    column("from_person", pa.string(), "The person that it belonged to before; null for a new one."),
    column("valid_at", INSTANT, "From when on it is so in the world.", required=True),
    column("known_at", INSTANT, "From when on we know it.", required=True),
    column("cause", pa.string(), "What made it known: a run, a model, a person's name and reason.", required=True),
]
"""Whose an identifier is, as it came to be known: what `whence.identity.ledger` writes and reads."""

TABLES: dict[str, Table] = {
    "touches": _table("touches", TOUCHES, ("event_id",), "Ads seen, clicked, or held out."),
    "conversions": _table("conversions", CONVERSIONS, ("event_id",), "What people did that is worth money."),
    "sightings": _table("sightings", SIGHTINGS, ("event_id",), "Identifiers seen together."),
    "quarantine": _table(
        "quarantine",
        [
            _text("table", "The table that it was meant for.", required=True),
            _text("source", "The file or table that it came from.", required=True),
            column("row", pa.int64(), "The row there, counted from 1 without the header.", required=True),
            _text("event_id", "Its event id, when it has one."),
            _text("field", "The field that broke the contract.", required=True),
            _text("reason", "What was expected, what came, what to do.", required=True),
        ],
        ("day", "table", "source", "row"),
        "Rows that broke the contract, with the reason.",
    ),
    "ingest_counts": _table(
        "ingest_counts",
        [
            _text("table", "The table.", required=True),
            _text("source", "Where the rows came from.", required=True),
            _count("read", "Rows that came; accepted + duplicates + quarantined."),
            _count("accepted", "Rows written."),
            _count("duplicates", "Rows whose event id was there already."),
            _count("quarantined", "Rows that broke the contract."),
        ],
        ("day", "table", "source"),
        "What became of every row of a day.",
    ),
    "truth_signals": _table(
        "truth_signals",
        [
            _text("event_id", "The event.", required=True),
            _text("true_person", "Who it really was.", required=True),
            column("is_bot", pa.bool_(), "True for simulated bot traffic."),
        ],
        ("event_id",),
        "The world's answer to who; used to judge, never to train or serve.",
    ),
    "truth_conversions": _table(
        "truth_conversions",
        [
            _text("conversion_id", "The conversion.", required=True),
            _text("true_person", "Who it really was.", required=True),
            _text("caused_by", "The touch_id that caused it; null when it would have come without ads."),
        ],
        ("conversion_id",),
        "The world's answer to whence; used to judge, never to train or serve.",
    ),
    "persons": _table(
        "persons",
        _as_of(
            _text("identifier", "kind:value, as email_hash:9f2…", required=True),
            _text("person_id", "The person that it belongs to from this day on.", required=True),
            _number("probability", "How sure that is: 1 for an exact link."),
            _text("method", "exact or ranked.", required=True),
            _text("bundle", "The model bundle that ranked it; null for exact links."),
        ),
        ("day", "identifier"),
        "New or changed answers to whose an identifier is; the latest row with day ≤ D is the answer as of D.",
    ),
    "exact_persons": _table(
        "exact_persons",
        _as_of(
            _text("identifier", "kind:value, as email_hash:9f2…", required=True),
            _text("person_id", "The person that exact links alone give it to.", required=True),
        ),
        ("day", "identifier"),
        "The exact answer beneath a ranked one in `persons`, so that a later log-in can take the ranked one back.",
    ),
    "person_events": _table(
        "person_events",
        PERSON_EVENTS,
        ("day", "known_at", "identifier"),
        "Every change in whose an identifier is, never rewritten; `day` is that of known_at.",
    ),
    "credits": _table(
        "credits",
        [
            _text("conversion_id", "The conversion.", required=True),
            _text("algorithm", "One of whence.attribution.policy.ALGORITHMS.", required=True),
            _text("touch_id", "The touch credited; the empty text for the share that no ad earned.", required=True),
            _text("stated_on", "The day whose run stated this; later than `day` where late events restated it.", required=True),
            column(
                "version", pa.int64(), "1 for the first statement of the conversion; a higher one supersedes it.", required=True
            ),
            _text("cause", "Why it was stated: first, late_events, identity, policy, model or correction.", required=True),
            column("known_at", INSTANT, "When this came to be known.", required=True),
            _text("campaign_id", "Its campaign; the empty text for no ad.", required=True),
            _text("channel", "Its channel; the empty text for no ad.", required=True),
            _text("person_id", "Who converted, as known then."),
            column("touched_at", INSTANT, "When the touch happened; null for no ad."),
            _number("share", "The share of the conversion, 0 to 1."),
            column(
                "credit_micros",
                pa.int64(),
                "The credit in millionths of the currency; sums to the conversion's value exactly.",
                required=True,
            ),
            _text("currency", "ISO 4217 code.", required=True),
            _text("suspect", "Why the touch looks like fraud, as `click_flood`; empty when it does not.", required=True),
            column(
                "clean_micros", pa.int64(), "The credit when suspect touches earn nothing; sums to the value, too.", required=True
            ),
            _number("certainty", "The probability that this touch and the conversion are of one person, as known then."),
            column("new_to_brand", pa.bool_(), "Whether the conversion was of a new customer."),
            _text("policy", "SHA-256 of the policy.", required=True),
            _text("bundle", "The model bundle, for learned algorithms; null for the others."),
            _text("data", "The versions of the tables that it was made from.", required=True),
        ],
        ("day", "conversion_id", "algorithm", "stated_on", "version", "touch_id"),
        "Which touch earned which part of a conversion seen on the day. A statement is never changed, a new version supersedes it.",
        ("stated_on",),
        "`whence attribute DAY` states anew what was stated on DAY.",
    ),
    "decisions": _table(
        "decisions",
        [
            _text("decision_id", "The id of one scored row.", required=True),
            column("made_at", INSTANT, "When it was decided; the event's seen_at for batch.", required=True),
            _text("route", "batch or online.", required=True),
            _text("model", "The model's name.", required=True),
            _text("bundle", "The bundle that scored it.", required=True),
            _text("subject", "The event or conversion decided about.", required=True),
            _text("option", "The candidate person or touch."),
            _text("features", "The model's inputs by name: a JSON object, null where missing.", required=True),
            _number("score", "The raw score."),
            _number("probability", "The calibrated probability."),
            column("chosen", pa.bool_(), "True when the decision took this option."),
            _count("micros", "Microseconds from the request until it was decided; null for batch."),
            _text("degraded", "The kinds of what the answer had to do without, with commas; null for batch."),
        ],
        ("day", "decision_id"),
        "Everything that a model decided, with what it saw.",
        ("route", "model"),
        "`whence resolve DAY` and `whence attribute DAY` make the batch rows anew; `whence watch DAY` takes the online ones from the "
        "service's log, and those that the log has no more are lost.",
    ),
    "summaries": _table(
        "summaries",
        [
            _text("model", "The model whose inputs and scores are summed up.", required=True),
            _text("bundle", "The bundle that decided.", required=True),
            _text("column", "The input; `score` and `subject` for the raw score and who was decided about.", required=True),
            _text("part", "Of a column of vectors their `length`, their `norm`, or a direction; empty for the column itself."),
            _count("rows", "Rows; nulls and the kinds of values add up to it."),
            _count("nulls", "Rows without a value."),
            _count("numbers", "Values that are numbers."),
            _count("truths", "Values that are true or false."),
            _count("texts", "Values that are texts."),
            _count("instants", "Values that are points in time."),
            _count("naive_instants", "Points in time without a zone."),
            _count("vectors", "Lists of numbers, as embeddings are."),
            _count("others", "Other lists, mappings and the like."),
            _count("infinite", "Numbers that are infinite, and vectors that hold one."),
            _count("zeros", "Numbers that are zero, and vectors of zeros alone."),
            _count("inexact", "Whole numbers of which a float loses digits."),
            _count("longest", "Characters of the longest text."),
            _number("low", "The least finite number."),
            _number("high", "The greatest finite number."),
            *(
                field
                for name, what in (("spread", "finite numbers"), ("words", "texts"))
                for field in (
                    _count(f"{name}_bits", f"How many leading bits of a code make a bucket of the {what}."),
                    _bytes(f"{name}_buckets", f"The buckets of the {what}: 64-bit little-endian whole numbers in order."),
                    _bytes(f"{name}_counts", f"How many {what} each bucket holds: 64-bit little-endian whole numbers."),
                )
            ),
            _text("names", "The texts behind the buckets, while each has its own: a JSON object."),
            _bytes("sketch", "The 512 smallest hashes of the values, from which `distinct` is estimated and merged."),
            _number("distinct", "How many different values, about."),
        ],
        ("day", "model", "bundle", "column", "part"),
        "Each column of a day's decisions in a few kilobytes that merge exactly: a month is the merge of its days.",
    ),
    "decision_files": _table(
        "decision_files",
        [
            _text("file", "The file's name.", required=True),
            _count("rows", "Decisions that it holds, a row for each scored option."),
            _count("unreadable", "What is damaged in its midst, and no decision."),
            column("is_torn", pa.bool_(), "True when it ends in half a decision, as a killed process leaves it.", required=True),
        ],
        ("day", "file"),
        "Every file of the scoring service's decision log, as it was when the day was collected.",
    ),
    "checks": _table(
        "checks",
        [
            _text("model", "The model, or the table that was looked at.", required=True),
            _text("metric", "What was measured.", required=True),
            _text("segment", "On which part: a column, a channel, all.", required=True),
            _number("value", "The value."),
            _number("low", "Lower end of its 95 % interval."),
            _number("high", "Upper end of its 95 % interval."),
            _count("n", "Rows behind it."),
        ],
        ("day", "model", "metric", "segment"),
        "Every measure that monitoring took, a row each.",
    ),
    "findings": _table(
        "findings",
        [
            _text("model", "The model or table that it is about.", required=True),
            _text("level", "calm, warn, recalibrate, retrain, rollback or stop (publish nothing of the day).", required=True),
            _text("metric", "The measure that decided.", required=True),
            _text("segment", "On which part.", required=True),
            _text("reason", "In words: what was expected, what came, what to do.", required=True),
            _text("cause", "What is behind it, as far as the pattern tells: tracker_outage, signal_loss, …; empty if unknown."),
            column("money_micros", pa.int64(), "What the day's rows that it touches are worth, in millionths; null if unknown."),
            _text("currency", "ISO 4217 code of that money."),
            _text("runbook", "The anchor in docs/runbooks.md."),
            _text(
                "evidence",
                "A JSON object: what was expected, what came, its interval, n, how sure it is, the series that are off.",
            ),
            _text("since", "The first day of the episode, as 2026-05-03; empty on a calm row."),
            _text("status", "open, or closed on the first day without the harm; empty on a calm row that closes nothing."),
        ],
        ("day", "model", "metric", "segment"),
        "What a person should know about the day; a calm day has a calm row for each model.",
    ),
    "holds": _table(
        "holds",
        [
            _text(
                "kind",
                "hold: findings say that nothing of the day should be published; release: a person says it may.",
                required=True,
            ),
            _text(
                "about",
                "SHA-256 of the findings that it is about; a release lets go of the hold about the same ones.",
                required=True,
            ),
            _text("reason", "Why, in words.", required=True),
            _text("who", "Who released it; empty for a hold."),
            column("at", INSTANT, "When it was released; null for a hold."),
        ],
        ("day", "kind", "about"),
        "Days whose credit is not final: a day is held while it has a hold without its release.",
        ("kind",),
        "`whence watch DAY` holds the day anew where its findings ask for it; a release is a person's word, and is given again by "
        "`whence release DAY --reason WHY`.",
    ),
    **FEATURES,
}
