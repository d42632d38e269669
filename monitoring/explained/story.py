"""What the platform knows of one conversion, gathered from its tables: credit, touches, identity, features as known then, model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from whence import bundle_store
from whence.attribution import evidence as journey_evidence
from whence.attribution import policy as policies
from whence.attribution.statements import CURRENT
from whence.bundle import BundleError
from whence.contracts.events import LINK_KEYS
from whence.contracts.models import ATTRIBUTION_RANKER
from whence.contracts.times import Window
from whence.lake import Lake

if TYPE_CHECKING:
    import duckdb

    from registry.journal import Promotion
    from whence.bundle import Scorer
    from whence.contracts.settings import Settings

KEYS = {"campaign_features": "campaign_id", "network_features": "ip_key", "person_features": "person_id"}
"""What each view of the ranker is looked up by; the values come from the touch, and the person from the credit."""


class StoryError(LookupError):
    """Nothing can be told of this conversion; the message says why, and what to do."""


@dataclass(frozen=True)
class Earned:
    """A touch's part of the conversion by one algorithm; the empty touch is the part that no ad earned."""

    touch_id: str
    kind: str
    channel: str
    campaign_id: str
    touched_at: datetime | None
    share: float
    credit_micros: int
    certainty: float | None
    """The probability that touch and conversion are of one person, as known then."""
    suspect: str
    """Why it looks like fraud; empty when it does not."""


@dataclass(frozen=True)
class Statement:
    """One version of what was said of the conversion's credit."""

    algorithm: str
    stated_on: str
    version: int
    cause: str
    known_at: datetime
    policy: str
    bundle: str | None
    data: str
    earned: tuple[Earned, ...]
    """The largest part first, no ad last."""


@dataclass(frozen=True)
class Link:
    """How an identifier of the conversion came to be a person's."""

    identifier: str
    on_conversion: bool
    """Whether the conversion itself carried it; else a touch did."""
    known_at: datetime
    kind: str
    method: str
    """exact or ranked."""
    probability: float | None
    bundle: str | None
    cause: str


@dataclass(frozen=True)
class Input:
    """One feature of a scored touch: its value, where from, how old, and what it added to the raw score."""

    name: str
    value: Any
    view: str
    """The feature view; empty for what the journey itself says."""
    age_hours: float | None
    added: float | None
    """Log-odds; None where the bundle is not here any more."""


@dataclass(frozen=True)
class Scored:
    """How the ranker came to a touch's probability."""

    touch_id: str
    raw: float
    probability: float
    chosen: bool
    base: float | None
    """The raw score before any feature spoke."""
    inputs: tuple[Input, ...]
    """The one that added most first."""


@dataclass(frozen=True)
class Model:
    """The bundle that scored, and the journal's row that let it."""

    name: str
    bundle: str
    calibrator: str
    epoch: int | None
    promoted_at: str
    who: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Story:
    """All that is told of one conversion."""

    conversion: Mapping[str, Any]
    """The row of `conversions` that was seen first."""
    tellings: int
    """How often its order was told, by pixel and server."""
    person_id: str | None
    links: tuple[Link, ...]
    """The least sure first."""
    paid_by: str
    """The policy's algorithm."""
    policy_name: str
    statements: tuple[Statement, ...]
    """Those that hold, the paying one first, then by name."""
    superseded: tuple[Statement, ...]
    """What was said before, newest first, of the paying algorithm."""
    scored: tuple[Scored, ...]
    model: Model | None
    true_cause: str | None
    """What the simulated world knows: a touch, the empty text for no ad; None where nobody knows."""

    @property
    def paying(self) -> Statement:
        """The statement that pays."""
        return self.statements[0]

    @property
    def certainty(self) -> float | None:
        """The least sure link behind a touch that earned something; None where no touch did."""
        known = [
            each.certainty for each in self.paying.earned if each.touch_id and each.credit_micros and each.certainty is not None
        ]
        return min(known, default=None)


def tell(settings: Settings, conversion_id: str, load: Callable[[str], Scorer] | None = None) -> Story:
    """Everything known of the conversion; `load` finds a bundle by its digest, from the settings' store where none is given.

    Raises StoryError for a conversion that is not there, or has no credit yet.
    """
    lake, policy = Lake.of(settings), policies.of(settings)
    rows = _tellings(lake, conversion_id)
    with lake.connect(Window(*(date.fromisoformat(rows[at]["day"]) for at in (0, -1))), "credits", "truth_conversions") as con:
        current, before = _statements(con, conversion_id)
        person = con.execute("SELECT max(person_id) FROM credits WHERE conversion_id = ?", [conversion_id]).fetchall()[0][0]
        truth = con.execute(
            "SELECT coalesce(caused_by, '') FROM truth_conversions WHERE conversion_id = ?", [conversion_id]
        ).fetchall()
    if not current:
        raise StoryError(_not_yet(rows[0]))
    paid_by = policy.algorithm if policy.algorithm in {each.algorithm for each in current} else current[0].algorithm
    current.sort(key=lambda each: (each.algorithm != paid_by, each.algorithm))
    with lake.connect(_journey(rows[0], [*current, *before]), "touches", "decisions") as con:
        touches = {each["touch_id"]: each for each in _touches(con, [*current, *before])}
        decided = _decided(con, conversion_id)
    with lake.connect(None, "persons", "person_events", *KEYS) as con:
        links = _links(con, rows[0], person, [touches[name] for name in _named(current) if name in touches], current[0].known_at)
        ages = _ages(con, rows[0]["seen_at"], person, {each["option"]: touches.get(each["option"], {}) for each in decided})
    scored, model = _scored(settings, decided, ages, load or partial(bundle_store.load, settings))
    kinds = {name: touch["kind"] for name, touch in touches.items()}
    return Story(
        conversion=rows[0],
        tellings=len(rows),
        person_id=person,
        links=links,
        paid_by=paid_by,
        policy_name=policy.name,
        statements=tuple(_with_kinds(each, kinds) for each in current),
        superseded=tuple(_with_kinds(each, kinds) for each in before if each.algorithm == paid_by),
        scored=scored,
        model=model,
        true_cause=str(truth[0][0]) if truth else None,
    )


def _tellings(lake: Lake, conversion_id: str) -> list[dict[str, Any]]:
    """The conversion's rows, the one that was seen first in front."""
    with lake.connect(None, "conversions") as con:
        query = "SELECT * FROM conversions WHERE conversion_id = ? ORDER BY seen_at, event_id"
        if rows := _dicts(con, query, [conversion_id]):
            return rows
        raise StoryError(_unknown(con, conversion_id))


def _journey(conversion: Mapping[str, Any], statements: Sequence[Statement]) -> Window:
    """From the first touch that is named, whose clock may be ahead, to the last statement: no other days are looked into."""
    touched = [each.touched_at.date() - timedelta(days=1) for one in statements for each in one.earned if each.touched_at]
    seen = date.fromisoformat(conversion["day"])
    return Window(min([seen, *touched]), max([seen, *(date.fromisoformat(each.stated_on) for each in statements)]))


def _unknown(con: duckdb.DuckDBPyConnection, conversion_id: str) -> str:
    near = con.execute(
        "SELECT conversion_id FROM conversions WHERE conversion_id LIKE ? || '%' ORDER BY 1 LIMIT 3", [conversion_id[:4]]
    )
    names = [str(name) for (name,) in near.fetchall()]
    some = f" Near it: {', '.join(names)}." if names else ""
    return f"There is no conversion {conversion_id!r} in the tables.{some} The front page links the newest day's largest; the ids are in the table `conversions`."


def _not_yet(row: Mapping[str, Any]) -> str:
    if row["refund_of"] or row["value_micros"] < 0:
        return f"{row['conversion_id']} takes back money of {row['refund_of'] or 'an order'}: explain that one instead."
    return (
        f"{row['conversion_id']}, seen on {row['day']}, has no credit: run `whence attribute {row['day']}`, or it was told twice."
    )


def _statements(con: duckdb.DuckDBPyConnection, conversion_id: str) -> tuple[list[Statement], list[Statement]]:
    """What holds now, and what held before, newest first."""
    query = """
        SELECT * FROM ({rows}) WHERE conversion_id = ?
        ORDER BY algorithm, stated_on DESC, version DESC, touch_id = '', share DESC, touch_id
    """
    now = _grouped(_dicts(con, query.format(rows=CURRENT), [conversion_id]))
    everything = _grouped(_dicts(con, query.format(rows="FROM credits"), [conversion_id]))
    holding = {(each.algorithm, each.stated_on, each.version) for each in now}
    past = [each for each in everything if (each.algorithm, each.stated_on, each.version) not in holding]
    return now, sorted(past, key=lambda each: (each.stated_on, each.version), reverse=True)


def _grouped(rows: Sequence[Mapping[str, Any]]) -> list[Statement]:
    parts: dict[tuple[str, str, int], list[Mapping[str, Any]]] = {}
    for row in rows:
        parts.setdefault((row["algorithm"], row["stated_on"], row["version"]), []).append(row)
    return [
        Statement(
            *key,
            cause=part[0]["cause"],
            known_at=part[0]["known_at"],
            policy=part[0]["policy"],
            bundle=part[0]["bundle"],
            data=part[0]["data"],
            earned=tuple(_earned(row) for row in part),
        )
        for key, part in parts.items()
    ]


def _earned(row: Mapping[str, Any]) -> Earned:
    names = ("touch_id", "channel", "campaign_id", "touched_at", "share", "credit_micros", "certainty", "suspect")
    return Earned(kind="", **{name: row[name] for name in names})


def _with_kinds(statement: Statement, kinds: Mapping[str, str]) -> Statement:
    return replace(statement, earned=tuple(replace(each, kind=kinds.get(each.touch_id, "")) for each in statement.earned))


def _named(statements: Sequence[Statement]) -> list[str]:
    return sorted({earned.touch_id for each in statements for earned in each.earned if earned.touch_id})


def _touches(con: duckdb.DuckDBPyConnection, statements: Sequence[Statement]) -> list[dict[str, Any]]:
    query = "SELECT * FROM touches WHERE touch_id IN (SELECT unnest(?::VARCHAR[])) QUALIFY row_number() OVER (PARTITION BY touch_id ORDER BY seen_at, event_id) = 1 ORDER BY happened_at, touch_id"
    return _dicts(con, query, [_named(statements)])


def _links(
    con: duckdb.DuckDBPyConnection,
    conversion: Mapping[str, Any],
    person: str | None,
    touches: Sequence[Mapping[str, Any]],
    known_at: datetime,
) -> tuple[Link, ...]:
    """For each identifier of the conversion and its touches that was the person's when credit was stated: since when, and why."""
    mine = {f"{key}:{conversion[key]}" for key in LINK_KEYS if conversion[key]}
    theirs = {f"{key}:{touch[key]}" for touch in touches for key in LINK_KEYS if touch[key]}
    query = """
        SELECT e.identifier, e.known_at, e.kind, e.cause, p.method, p.probability, p.bundle
        FROM person_events AS e LEFT JOIN persons AS p
             ON p.identifier = e.identifier AND p.person_id = e.person_id AND p.seen_at <= ?
        WHERE e.person_id = ? AND e.known_at <= ? AND e.identifier IN (SELECT unnest(?::VARCHAR[]))
        QUALIFY row_number() OVER (PARTITION BY e.identifier ORDER BY e.known_at DESC, p.seen_at DESC) = 1
    """
    found = _dicts(con, query, [known_at, person, known_at, sorted(mine | theirs)])
    links = [
        Link(
            identifier=row["identifier"],
            on_conversion=row["identifier"] in mine,
            known_at=row["known_at"],
            kind=row["kind"],
            method=row["method"] or "exact",
            probability=row["probability"],
            bundle=row["bundle"],
            cause=row["cause"],
        )
        for row in found
    ]
    return tuple(
        sorted(
            links,
            key=lambda each: (1.0 if each.probability is None else each.probability, not each.on_conversion, each.identifier),
        )
    )


def _decided(con: duckdb.DuckDBPyConnection, conversion_id: str) -> list[dict[str, Any]]:
    """What the ranker said of each touch by day, from the log of decisions; nothing where it was not asked."""
    query = """
        SELECT option, bundle, features, score, probability, coalesce(chosen, false) AS chosen FROM decisions
        WHERE model = ? AND subject = ? AND route = 'batch'
        QUALIFY row_number() OVER (PARTITION BY option ORDER BY day DESC) = 1 ORDER BY probability DESC, option
    """
    return _dicts(con, query, [ATTRIBUTION_RANKER, conversion_id])


def _ages(
    con: duckdb.DuckDBPyConnection, seen_at: datetime, person: str | None, touches: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, float]]:
    """For each touch how old each view's row was when the conversion was seen, in hours; a view without a row is left out."""
    found: dict[str, dict[str, float]] = {name: {} for name in touches}
    for view, key in KEYS.items():
        values = {name: person if key == "person_id" else touch.get(key) for name, touch in touches.items()}
        query = (
            f'SELECT "{key}", max(seen_at) FROM {view} WHERE "{key}" IN (SELECT unnest(?::VARCHAR[])) AND seen_at <= ? GROUP BY 1'
        )
        newest = dict(con.execute(query, [sorted({each for each in values.values() if each}), seen_at]).fetchall())
        for name, value in values.items():
            if value in newest:
                found[name][view] = (seen_at - newest[value]).total_seconds() / 3600
    return found


def _scored(
    settings: Settings,
    decided: Sequence[Mapping[str, Any]],
    ages: Mapping[str, Mapping[str, float]],
    load: Callable[[str], Scorer],
) -> tuple[tuple[Scored, ...], Model | None]:
    """How the ranker came to what it said of each touch."""
    if not decided:
        return (), None
    bundle = decided[0]["bundle"]
    try:
        scorer = load(bundle)
    except BundleError:
        scorer = None  # the decision stands without it; only the parts of its score cannot be told
    return tuple(_one_scored(row, ages[row["option"]], scorer) for row in decided), _model(settings, bundle, scorer)


def _one_scored(row: Mapping[str, Any], ages: Mapping[str, float], scorer: Scorer | None) -> Scored:
    values = json.loads(row["features"])
    added, base = _added(values, scorer)
    inputs = [
        Input(name, value, view := journey_evidence.SOURCES.get(name, ""), ages.get(view), added.get(name))
        for name, value in values.items()
    ]
    inputs.sort(key=lambda each: (-abs(each.added or 0.0), each.name))
    return Scored(row["option"], row["score"], row["probability"], bool(row["chosen"]), base, tuple(inputs))


def _added(values: Mapping[str, Any], scorer: Scorer | None) -> tuple[dict[str, float], float | None]:
    """What each feature added to the raw score (TreeSHAP), and the base that they were added to."""
    if scorer is None:
        return {}, None
    from whence.encoding import encode

    parts = scorer.contributions(encode({name: [values.get(name)] for name in scorer.schema.names}, scorer.schema))[0]
    return dict(zip(scorer.schema.names, parts[:-1].tolist(), strict=True)), float(parts[-1])


def _model(settings: Settings, bundle: str, scorer: Scorer | None) -> Model:
    from registry.journal import CHAMPION_KINDS, Journal

    rows = [row for row in Journal.of(settings).rows(ATTRIBUTION_RANKER) if row.bundle == bundle and row.kind in CHAMPION_KINDS]
    row: Promotion | None = rows[0] if rows else None
    return Model(
        name=ATTRIBUTION_RANKER,
        bundle=bundle,
        calibrator=scorer.calibrator_kind if scorer else "",
        epoch=row.epoch if row else None,
        promoted_at=row.at if row else "",
        who=row.who if row else "",
        reasons=row.reasons if row else (),
    )


def _dicts(con: duckdb.DuckDBPyConnection, query: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    cursor = con.execute(query, list(values))
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
