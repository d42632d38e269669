"""One signal and the people it may belong to; one conversion and the touches that may have earned it: scored and decided."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt

from features.online import Columns, key_text, micros
from features.shelves import Asked, Block, Question
from serving.remembered import Remembered, is_refund, remembered, unknown
from serving.scored import Scored
from whence.attribution import evidence as journey_evidence
from whence.attribution import one, rules
from whence.attribution.credit import NO_AD
from whence.attribution.one import Journey
from whence.attribution.policy import Policy
from whence.bundle import Scorer
from whence.columns import Kept
from whence.contracts.events import LINK_KEYS
from whence.contracts.models import FeatureSchema
from whence.contracts.settings import Identity
from whence.encoding import encode
from whence.identity import decide, moment, retrieve
from whence.identity import evidence as identity_evidence

Numbers = npt.NDArray[np.float64]
MOST_NETWORKS = 4096
"""Networks whose list of people is remembered as it was read."""
Reads = Mapping[str, tuple[tuple[str, str], ...]]
"""Of each view the columns that a model's evidence reads, and the features that they are."""


def _reads(*names: str) -> Reads:
    views = dict.fromkeys(name.split("__")[0] for name in names)
    return {view: tuple((name, name.split("__")[1]) for name in names if name.startswith(f"{view}__")) for view in views}


_FACTS = (*identity_evidence.FACT_NUMBERS, *identity_evidence.FACT_TIMES, *identity_evidence.FACT_TEXTS)
READS_OF_THE_MOMENT = _reads(*identity_evidence.FACTS_OF_THE_MOMENT)
STANDING_READS = _reads(*(name for name in _FACTS if name not in identity_evidence.FACTS_OF_THE_MOMENT))
NOBODY_NAMED = dict.fromkeys(name for name in identity_evidence.FACTS_OF_THE_MOMENT if name.startswith("identifier_features__"))
"""As an identifier's facts are where it names nobody; where one does, nothing is ranked."""
JOURNEY_READS = _reads(*journey_evidence.COPIED.values())


class Store(Protocol):
    """What we ask of the online features: see features.online.OnlineStore."""

    async def columns_awaited(self, asked: Asked, now: int, question: Question, *, is_whole: bool = False) -> list[Columns]:
        """The rows of several views as of `now`, in microseconds since 1970, in one round trip; see OnlineStore.columns."""


@dataclass(frozen=True)
class Option:
    """A candidate that a model scored."""

    option: str
    """The person or touch."""
    inputs: Mapping[str, Any]
    score: float
    probability: float
    chosen: bool


@dataclass(frozen=True)
class Answer:
    """Whose a signal is: a person, or nobody."""

    person_id: str | None
    probability: float | None
    method: str
    """exact, ranked, or none."""
    scored: Scored | None = None
    """The candidates that the model ranked."""
    degraded: tuple[str, ...] = ()
    """What was missing or too old, and so did not speak."""

    @property
    def options(self) -> tuple[Option, ...]:
        """The candidates one by one."""
        return _options(self.scored)


@dataclass(frozen=True)
class Earned:
    """A touch's part of a conversion; the empty touch is the part that no ad earned."""

    touch_id: str
    campaign_id: str
    channel: str
    share: float
    credit_micros: int


@dataclass(frozen=True)
class Credit:
    """Which touches earned a conversion."""

    person_id: str | None
    algorithm: str
    """The policy's, or last_touch where that one cannot be computed online."""
    earned: tuple[Earned, ...]
    scored: Scored | None = None
    """The touches that the ranker scored."""
    degraded: tuple[str, ...] = ()
    beside: Mapping[str, tuple[Earned, ...]] = field(default_factory=dict)
    """Credit by the ranker, for comparison, where the policy pays by another algorithm."""

    @property
    def options(self) -> tuple[Option, ...]:
        """The touches one by one."""
        return _options(self.scored)


@dataclass
class Known:
    """Online features as of an instant, and a note of whatever was missing or too old."""

    store: Store
    now: datetime
    degraded: list[str] = field(default_factory=list)
    stale: dict[str, int] = field(default_factory=dict)
    """By view, the values that were too old."""
    unknown: dict[str, int] = field(default_factory=dict)
    """By view, the values that were not there."""

    used: dict[str, Columns] = field(default_factory=dict)
    """By view, what was made use of last."""
    question: Question = field(default_factory=Question)

    def __post_init__(self) -> None:
        """Count the instant's microseconds once."""
        self.instant = micros(self.now)

    async def read(self, *asked: tuple[str, Sequence[str | None]], is_whole: bool = False) -> list[Columns]:
        """The rows of some views, in one round trip, with their long texts where they are whole; what is used is to be noted."""
        return await self.store.columns_awaited(asked, self.instant, self.question, is_whole=is_whole)

    def note(self, *used: Columns) -> None:
        """Note what is missing or too old, once a view."""
        for columns in used:
            self.used[columns.layout.view] = columns
            if columns.lacking:
                self._note(columns)

    def age_hours(self, view: str, row: int) -> float | None:
        """How old the values of an option were; one row speaks for all options where only one was read."""
        ages = self.used[view].age_hours
        age = float(ages[row if len(ages) > 1 else 0])
        return None if math.isnan(age) else age

    def _note(self, columns: Columns) -> None:
        view, stale = columns.layout.view, columns.stale
        unknown = columns.lacking - stale
        if stale:
            if view not in self.stale:
                self.degraded.append(f"{view} is stale: {columns.oldest_hours:.0f} h old")
            self.stale[view] = self.stale.get(view, 0) + stale
        if unknown:
            if view not in self.unknown and view not in self.stale:
                self.degraded.append(_missing(columns))
            self.unknown[view] = self.unknown.get(view, 0) + unknown


def _missing(columns: Columns) -> str:
    view = columns.layout.view
    if columns.down:
        return f"{view} is unknown: {columns.down}"
    again = ": it was packed by another version; run whence materialise again" if columns.foreign else ""
    return f"{view} is unknown{again}"


async def match(signal: Mapping[str, Any], known: Known, scorer: Scorer | None, policy: Identity) -> Answer:
    """Whose a signal is: the strongest identifier that names a person, else the surest person of its network.

    Without consent to ad use nobody is searched for by network. Two round trips to the online store at most.
    """
    identifiers, network = await known.read(
        ("identifier_features", _identifiers(signal)), ("network_features", [signal["ip_key"]])
    )
    if named := _named(identifiers, known):
        person, probability = named
        return Answer(person, probability, "exact" if probability == 1.0 else "ranked", degraded=tuple(known.degraded))
    if signal["consent"] == "denied" or signal["ip_key"] is None:
        return Answer(None, None, "none", degraded=tuple(known.degraded))
    if scorer is None:
        return Answer(None, None, "none", degraded=(*known.degraded, "identity-ranker has no champion"))
    return await _ranked(signal, identifiers, network, known, scorer, policy)


async def attribute(
    conversion: Mapping[str, Any],
    touches: Sequence[Mapping[str, Any]],
    person_id: str | None,
    known: Known,
    scorer: Scorer | None,
    policy: Policy,
) -> Credit:
    """Which touches earned a conversion: those of its person that the features know, and those that came with the request.

    The same windows, priorities, cool-downs and rules as by day, from what is known online. What a refund takes back, and an
    order that was told before, has no credit here.
    """
    person = person_id or await _owner(conversion, known)
    memory = await _remembered(person, known, touches)
    if is_refund(conversion):
        return _none(person, known, policy, "what a refund takes back is known by the day")
    if memory.told_before(conversion):
        return _none(person, known, policy, f"order {conversion['order_id']} was told before, and counts once")
    known_by = known.now + timedelta(microseconds=1)
    journey = one.journey(conversion, person, memory.touches, policy, known_by, memory.done)
    known.degraded.extend(unknown(conversion, memory, policy))
    is_ranked = rules.RANKER in policy.algorithms
    if is_ranked and scorer is None:
        known.degraded.append("attribution-ranker has no champion")
    ranked = await _ranked_touches(journey, person, known, scorer) if is_ranked and scorer is not None else None
    algorithm = _answering(policy, ranked is not None)
    if algorithm != policy.algorithm and policy.algorithm != rules.RANKER:
        known.degraded.append(f"{policy.algorithm} is computed by the day, and {algorithm} answers")
    is_paying = one.pays(conversion, memory.sales, policy)
    shares = {rules.RANKER: ranked.shares} if ranked is not None else {}
    if algorithm not in shares:
        shares[algorithm] = one.shares(journey, algorithm, policy)
    earned = {name: _earned(conversion, journey, each, is_paying) for name, each in shares.items()}
    scored = ranked.scored if ranked is not None else None
    return Credit(person, algorithm, earned.pop(algorithm), scored, tuple(known.degraded), earned)


async def _owner(conversion: Mapping[str, Any], known: Known) -> str | None:
    """The person that the conversion's identifiers name."""
    (identifiers,) = await known.read(("identifier_features", _identifiers(conversion)))
    named = _named(identifiers, known)
    return named[0] if named else None


async def _remembered(person: str | None, known: Known, touches: Sequence[Mapping[str, Any]]) -> Remembered:
    """What the features know of the person, with the touches of the request."""
    if person is None:
        return remembered(None, None, touches)
    (row,) = await known.read(("person_features", [person]), is_whole=True)
    known.note(row)
    if row.is_known is not None:
        return remembered(None, None, touches)
    told = {name: row.texts(name)[0] for name in ("recent_touches", "recent_sales")}
    return remembered(told, known.now - timedelta(hours=float(row.age_hours[0])), touches)


@dataclass(frozen=True)
class _Ranked:
    """What the ranker says of a conversion's touches."""

    shares: Numbers
    scored: Scored | None


async def _ranked_touches(journey: Journey, person: str | None, known: Known, scorer: Scorer) -> _Ranked:
    if not journey.touches:
        return _Ranked(np.empty(0), None)
    read = await known.read(
        ("campaign_features", journey.texts("campaign_id")),
        ("network_features", journey.texts("ip_key")),
        ("person_features", [person] * len(journey.touches)),
    )
    known.note(*read)
    facts = {name: values for each in read for name, values in each.named(JOURNEY_READS[each.layout.view]).items()}
    inputs = journey_evidence.pair_columns(journey.path, facts)
    matrix = encode(inputs, scorer.schema)
    raw, probability = scorer.score_matrix(matrix)
    shares = one.ranker_shares(probability)
    best = int(shares.argmax()) if shares.max() > 1.0 - shares.sum() else None
    texts = {name: inputs[name] for name in scorer.schema.categories}
    return _Ranked(shares, Scored(scorer.schema.names, matrix, texts, raw, probability, journey.ids, best))


def _answering(policy: Policy, has_ranker: bool) -> str:
    """The policy's algorithm, or the last touch where that one cannot be computed for one conversion alone."""
    is_there = policy.algorithm in rules.RULES or (policy.algorithm == rules.RANKER and has_ranker)
    return policy.algorithm if is_there else "last_touch"


def _none(person: str | None, known: Known, policy: Policy, why: str) -> Credit:
    return Credit(person, _answering(policy, has_ranker=False), (), None, (*known.degraded, why))


def _identifiers(signal: Mapping[str, Any]) -> list[str]:
    """The signal's identifiers as the views know them, strongest first."""
    return [f"{key}:{signal[key]}" for key in LINK_KEYS if signal[key] is not None]


def _named(identifiers: Columns, known: Known) -> tuple[str, float] | None:
    """The person that the signal's strongest known identifier names, and how sure that is."""
    known.note(identifiers)
    if not len(identifiers):
        return None
    for place, person in enumerate(identifiers.texts("person_id")):
        if person is not None:
            probability = float(identifiers.numbers("person_probability")[place])
            return person, 1.0 if math.isnan(probability) else probability
    return None


async def _ranked(
    signal: Mapping[str, Any], identifiers: Columns, network: Columns, known: Known, scorer: Scorer, policy: Identity
) -> Answer:
    if not len(identifiers):
        (identifiers,) = await known.read(("identifier_features", [None]))
        known.note(identifiers)
    known.note(network)
    options, paired = _asked(signal["ip_key"], network.texts("people")[0], policy.max_candidates)
    if not options:
        return Answer(None, None, "none", degraded=tuple(known.degraded))
    persons, pairs = await known.read(("person_features", options), ("pair_features", paired))
    known.note(persons, pairs)
    matrix = _matrix(_signals(signal, options), _Read(persons, pairs, network), scorer.schema)
    raw, probability = scorer.score_matrix(matrix)
    place, lead = decide.best(options, probability)
    is_taken = probability[place] >= policy.cut and lead >= decide.LEAD
    scored = Scored(scorer.schema.names, matrix, {}, raw, probability, options, place if is_taken else None)
    if not is_taken:
        return Answer(None, None, "none", scored, tuple(known.degraded))
    return Answer(options[place], float(probability[place]), "ranked", scored, tuple(known.degraded))


@lru_cache(MOST_NETWORKS)
def _asked(network: str, people: str | None, most: int) -> tuple[Sequence[str], Sequence[str]]:
    """The candidates of a network's list, and the keys of what is known of each together with the network."""
    options, start = retrieve.listed(None, people, most), key_text([network, ""])
    return cast("Sequence[str]", Kept(options)), tuple(start + person for person in options)


class _Read(NamedTuple):
    """What is known of a signal's candidates; of its network a row for all of them. Of its identifiers none names anybody."""

    persons: Columns
    pairs: Columns
    network: Columns

    def facts(self, reads: Reads) -> dict[str, Any]:
        """Some of it, as evidence takes it."""
        network = self.network.named(reads.get("network_features", ()), len(self.persons))
        return {**self.persons.named(reads["person_features"]), **self.pairs.named(reads["pair_features"]), **network}


class _Standing(NamedTuple):
    """Inputs without those of the moment, which are NaN; and what they are made of, for the next signal like this one."""

    schema: FeatureSchema
    pairs: Block | None
    network: Block | None
    matrix: Numbers
    places: tuple[int, ...]
    """The columns of the inputs of the moment."""
    facts: Mapping[str, Any]
    """What these rest on, but for the network's age."""


def _matrix(signals: Mapping[str, Any], read: _Read, schema: FeatureSchema) -> Numbers:
    """The model's inputs, options × features."""
    standing = _standing(signals, read, schema)
    matrix = standing.matrix.copy()
    moment.write(matrix, standing.places, signals, {**standing.facts, "network_features__age_hours": read.network.first_age})
    return matrix


def _standing(signals: Mapping[str, Any], read: _Read, schema: FeatureSchema) -> _Standing:
    """Kept with the candidates' rows: who visits asks again and again, and what is known changes once a day."""
    pairs, network, kept = read.pairs.block, read.network.block, read.persons.block
    like = signals["user_agent"], signals["locale"], signals["country"]
    known = kept.made.get(like) if kept is not None else None
    if known is not None and known.pairs is pairs and known.network is network and known.schema == schema:
        return cast("_Standing", known)
    lacking = dict.fromkeys(identity_evidence.OF_THE_MOMENT, np.full(len(read.persons), np.nan))
    inputs = identity_evidence.standing_columns(signals, read.facts(STANDING_READS)) | lacking
    places = tuple(schema.names.index(name) if name in schema.names else moment.NOWHERE for name in lacking)
    facts = {**read.facts(READS_OF_THE_MOMENT), **NOBODY_NAMED}
    made = _Standing(schema, pairs, network, encode(inputs, schema), places, facts)
    if kept is not None and pairs is not None and network is not None:
        kept.keep(like, made)
    return made


def _signals(signal: Mapping[str, Any], options: Sequence[str]) -> dict[str, Any]:
    """The signal beside each candidate, as evidence takes it: all candidates share its times and texts."""
    times = {name: micros(signal[name]) for name in identity_evidence.SIGNAL_TIMES}
    texts = {name: signal[name] for name in ("user_agent", "locale", "country")}
    return {**times, **texts, "person_id": options}


def _earned(conversion: Mapping[str, Any], journey: Journey, shares: Numbers, is_paying: bool) -> tuple[Earned, ...]:
    rows = one.credits(conversion["value_micros"], journey, shares, is_paying)
    return tuple(
        Earned(NO_AD, NO_AD, NO_AD, share, part)
        if touch is None
        else Earned(touch["touch_id"], touch["campaign_id"], touch["channel"], share, part)
        for touch, share, part in rows
    )


def _options(scored: Scored | None) -> tuple[Option, ...]:
    if scored is None:
        return ()
    rows = zip(scored.options, scored.raw.tolist(), scored.probability.tolist(), strict=True)
    return tuple(Option(name, scored.inputs(i), raw, sure, i == scored.chosen) for i, (name, raw, sure) in enumerate(rows))
