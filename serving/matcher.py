"""One signal and the people it may belong to; one conversion and the touches that may have earned it: scored and decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import pandas as pd

from features.online import FIELDS, OnlineRow
from serving.remembered import is_refund, remembered, unknown
from serving.scored import Numbers, Scored
from whence.attribution import credit, journeys, rules
from whence.attribution import evidence as journey_evidence
from whence.attribution.customers import standing
from whence.attribution.policy import Policy
from whence.bundle import Scorer
from whence.contracts.events import LINK_KEYS
from whence.contracts.settings import Identity
from whence.encoding import encode
from whence.identity import decide, retrieve
from whence.identity import evidence as identity_evidence

Key = Mapping[str, str | None]


class Store(Protocol):
    """What we ask of the online features: one row for each key, in order, none of them too old."""

    def read(self, view: str, keys: Sequence[Key], now: datetime) -> list[OnlineRow]:
        """The view's rows as of `now`."""


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
    stale: list[str] = field(default_factory=list)
    """The view of each value that was too old."""

    def rows(self, view: str, keys: Sequence[Key]) -> list[OnlineRow]:
        """The view's rows; the first too old and the first missing one of a view are noted."""
        found = self.store.read(view, keys, self.now)
        for row in found:
            if row.is_stale:
                self.stale.append(view)
                self._note(f"{view} is stale: {row.age_hours:.0f} h old")
            elif row.values is None:
                self._note(f"{view} is unknown")
        return found

    def columns(self, view: str, keys: Sequence[Key]) -> dict[str, list[Any]]:
        """The view's features as `features.historical` names them: {view}__{feature} and {view}__age_hours."""
        rows = self.rows(view, keys)
        values = {f"{view}__{name}": [(row.values or {}).get(name) for row in rows] for name in FIELDS[view]}
        return values | {f"{view}__age_hours": [row.age_hours if row.values is not None else None for row in rows]}

    def _note(self, what: str) -> None:
        view = what.split(" is ")[0]
        if not any(note.startswith(f"{view} is ") and ("stale" in note or "stale" not in what) for note in self.degraded):
            self.degraded.append(what)


def match(signal: Mapping[str, Any], known: Known, scorer: Scorer | None, policy: Identity) -> Answer:
    """Whose a signal is: the strongest identifier that names a person, else the surest person of its network.

    Without consent to ad use nobody is searched for by network.
    """
    if named := _named(signal, known):
        person, probability = named
        return Answer(person, probability, "exact" if probability == 1.0 else "ranked", degraded=tuple(known.degraded))
    if signal["consent"] == "denied" or signal["ip_key"] is None:
        return Answer(None, None, "none", degraded=tuple(known.degraded))
    if scorer is None:
        return Answer(None, None, "none", degraded=(*known.degraded, "identity-ranker has no champion"))
    return _ranked(signal, known, scorer, policy)


def attribute(
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
    person = person_id or (_named(conversion, known) or (None, 0.0))[0]
    row = known.rows("person_features", [{"person_id": person}])[0] if person else None
    known_at = known.now - timedelta(hours=row.age_hours) if row and row.age_hours is not None else None
    memory = remembered(person, row.values if row else None, known_at, touches)
    if is_refund(conversion):
        return _none(person, known, policy, "what a refund takes back is known by the day")
    if memory.told_before(conversion):
        return _none(person, known, policy, f"order {conversion['order_id']} was told before, and counts once")
    asked = pd.DataFrame([{**conversion, "person_id": person, "known_by": known.now + timedelta(microseconds=1)}])
    asked = asked.assign(**{name: values.array for name, values in standing(asked, memory.sales, policy).items()})
    pairs = journeys.candidate_touches(asked, memory.touches, policy, memory.activity)
    known.degraded.extend(unknown(conversion, memory, policy))
    is_ranked = rules.RANKER in policy.algorithms
    if is_ranked and scorer is None:
        known.degraded.append("attribution-ranker has no champion")
    ranked = _ranked_touches(pairs, known, scorer) if is_ranked and scorer is not None else None
    algorithm = _answering(policy, ranked is not None)
    if algorithm != policy.algorithm and policy.algorithm != rules.RANKER:
        known.degraded.append(f"{policy.algorithm} is computed by the day, and {algorithm} answers")
    by_ranker = {rules.RANKER: _earned(asked, pairs, ranked.shares, rules.RANKER)} if ranked is not None else {}
    earned = by_ranker.pop(algorithm, None)
    if earned is None:
        earned = _earned(asked, pairs, rules.share(pairs, algorithm, policy), algorithm)
    return Credit(person, algorithm, earned, ranked.scored if ranked is not None else None, tuple(known.degraded), by_ranker)


@dataclass(frozen=True)
class _Ranked:
    """What the ranker says of a conversion's touches."""

    shares: pd.Series
    scored: Scored | None


def _ranked_touches(pairs: pd.DataFrame, known: Known, scorer: Scorer) -> _Ranked:
    if pairs.empty:
        return _Ranked(pd.Series(dtype="float64"), None)
    facts = known.columns("campaign_features", [{"campaign_id": each} for each in pairs["campaign_id"]])
    facts |= known.columns("network_features", [{"ip_key": each} for each in pairs["ip_key"]])
    facts |= known.columns("person_features", [{"person_id": each} for each in pairs["person_id"]])
    inputs = journey_evidence.pair_frame(pairs, pd.DataFrame(facts, dtype=object))
    raw, probability = scorer.score(inputs)
    shares = rules.ranker_share(pairs, probability)
    best = int(shares.to_numpy().argmax()) if shares.max() > 1.0 - shares.sum() else None
    return _Ranked(shares, _scored(scorer, pairs["touch_id"], inputs, raw, probability, best))


def _answering(policy: Policy, has_ranker: bool) -> str:
    """The policy's algorithm, or the last touch where that one cannot be computed for one conversion alone."""
    is_there = policy.algorithm in rules.RULES or (policy.algorithm == rules.RANKER and has_ranker)
    return policy.algorithm if is_there else "last_touch"


def _none(person: str | None, known: Known, policy: Policy, why: str) -> Credit:
    return Credit(person, _answering(policy, has_ranker=False), (), None, (*known.degraded, why))


def _named(signal: Mapping[str, Any], known: Known) -> tuple[str, float] | None:
    """The person that the signal's strongest known identifier names, and how sure that is."""
    keys = [{"identifier": f"{key}:{signal[key]}"} for key in LINK_KEYS if signal[key] is not None]
    for row in known.rows("identifier_features", keys):
        if row.values is not None and row.values["person_id"] is not None:
            sure = row.values["person_probability"]
            return row.values["person_id"], 1.0 if sure is None else float(sure)
    return None


def _ranked(signal: Mapping[str, Any], known: Known, scorer: Scorer, policy: Identity) -> Answer:
    network = known.rows("network_features", [{"ip_key": signal["ip_key"]}])[0]
    people = (network.values or {}).get("people")
    found = retrieve.candidates(pd.DataFrame([signal]), pd.Series([people], dtype=object), max_candidates=policy.max_candidates)
    if found.empty:
        return Answer(None, None, "none", degraded=tuple(known.degraded))
    pairs = pd.DataFrame([{**signal, "person_id": person} for person in found["person_id"]])
    identifier = _strongest(signal)
    facts = known.columns("identifier_features", [{"identifier": identifier}] * len(pairs))
    facts |= known.columns("network_features", [{"ip_key": signal["ip_key"]}] * len(pairs))
    facts |= known.columns("person_features", [{"person_id": person} for person in pairs["person_id"]])
    together = [{"ip_key": signal["ip_key"], "person_id": person} for person in pairs["person_id"]]
    facts |= known.columns("pair_features", together)
    inputs = identity_evidence.pair_frame(pairs, pd.DataFrame(facts, dtype=object))
    raw, probability = scorer.score(inputs)
    links = decide.links(pairs.assign(event_id="this", probability=probability), policy.cut)
    person, sure = (str(links["person_id"].iloc[0]), float(links["probability"].iloc[0])) if len(links) else (None, None)
    chosen = pairs["person_id"].tolist().index(person) if person else None
    scored = _scored(scorer, pairs["person_id"], inputs, raw, probability, chosen)
    return Answer(person, sure, "ranked" if person else "none", scored, tuple(known.degraded))


def _strongest(signal: Mapping[str, Any]) -> str | None:
    return next((f"{key}:{signal[key]}" for key in LINK_KEYS if signal[key] is not None), None)


def _earned(conversion: pd.DataFrame, pairs: pd.DataFrame, shares: pd.Series, algorithm: str) -> tuple[Earned, ...]:
    rows = credit.credit_rows(conversion, pairs, shares, algorithm).sort_values("share", ascending=False, kind="stable")
    columns = ["touch_id", "campaign_id", "channel", "share", "credit_micros"]
    return tuple(Earned(*row) for row in rows[columns].itertuples(index=False, name=None))


def _scored(
    scorer: Scorer, options: pd.Series, inputs: pd.DataFrame, raw: Numbers, probability: Numbers, chosen: int | None
) -> Scored:
    texts = {name: inputs[name].tolist() for name in scorer.schema.categories}
    matrix = encode(inputs, scorer.schema)
    return Scored(scorer.schema.names, matrix, texts, raw, probability, options.tolist(), chosen)


def _options(scored: Scored | None) -> tuple[Option, ...]:
    if scored is None:
        return ()
    rows = zip(scored.options, scored.raw.tolist(), scored.probability.tolist(), strict=True)
    return tuple(Option(name, scored.inputs(i), raw, sure, i == scored.chosen) for i, (name, raw, sure) in enumerate(rows))
