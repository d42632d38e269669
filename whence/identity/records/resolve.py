"""From a table to people, in memory: retrieve, compare, score, calibrate, cluster, with a report of each step."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import expit

from whence.identity.clusters import Refusal, Rules, cluster
from whence.identity.records import (
    boosted,
    cascade,
    context,
    fellegi_sunter,
    logins,
    nulls,
    relatives,
    rivals,
    series,
    strangers,
    variants,
    vouching,
    worded,
)
from whence.identity.records.compare import Comparer
from whence.identity.records.known import Known, labelled, settled, stands_for, with_known
from whence.identity.records.retrieve import Plan, Report
from whence.identity.records.scorer import PairScorer
from whence.identity.records.table import MISSING, Evidence, Fields, Floats, Pairs, Records

CHANCE_PAIRS = 50_000
"""Pairs drawn at random, to see how often strangers agree."""
SAMPLE = 100_000
"""Candidate pairs from which rates of agreement are found."""
WORTH = 0.5
"""How much the fields must have to say about each other before they are believed rather than counted."""
WORTH_LINKED = 0.25
"""The same where a record has one partner at most, which rights much of what is amiss."""
FAR_FEWER = 0.1
"""The share of what fields vouch for that must be rare among strangers, too: where nobody is there twice, hardly any of it is."""
FEWER = 0.3
"""The same where fields say the same of whole groups, which look like people to each other."""
RARE = 0.7
"""What the values that two records share must tell, as a share of what it takes to name one record, to speak for them alone."""
ALIKE = 0.4
"""The share of the joined pairs that share less, from which the run says so."""
LASTING = frozenset({"code", "category", "year", "text", "name", "given_name"})
"""Kinds of which a person or a thing may have one value: amounts and days come and go."""
DATED = frozenset({"date", "day"})
"""Kinds that come and go with what happens to people, and may be a thing's own."""
UNLIKE = 0.8
"""Likeness below which two values are not one misspelt …"""
MOST = 0.5
"""… the share of the joined pairs with such values from which the run says so …"""
FEWEST_JOINED = 30
"""… how many of them must have two values …"""
SHOWN = 3
"""… and how many columns it names."""
ABSENT = -0.5
"""Log-odds of a pair that retrieval did not find worth a look."""
NEVER = -20.0
"""Log-odds of a pair of one source where no source holds anybody twice."""
FEWEST = 200
"""Pairs between two sources below which nothing is learned from their contest."""
UNCONFIRMED = "nobody has confirmed the probabilities."


@dataclass(frozen=True)
class Options:
    """What a user may want otherwise."""

    beta: float = 1.0
    """Below 1, wrong links weigh more than missed ones."""
    budget: int = 20
    """Candidates per record that retrieval aims at."""
    threads: int = 1
    seed: int = 0
    plan: Plan | None = None
    """How candidates are found; suggested from the data where nothing is given."""
    known: Known = field(default_factory=dict)
    """What people have said of single pairs: learned from like labels, and never overruled."""
    context: bool = False
    """Whether a pair's other candidates count, too, so that the same pair has another probability in another table."""


@dataclass(frozen=True)
class Step:
    """What one step took and made."""

    name: str
    seconds: float
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Resolved:
    """The people found, and all that led to them."""

    records: Records
    pairs: Pairs
    evidence: Evidence
    scorer: PairScorer
    log_odds: Floats
    probabilities: Floats
    people: npt.NDArray[np.int64]
    """For each record the number of its person, from 0, in the order of the records."""
    steps: tuple[Step, ...]
    basis: str
    """What the probabilities rest on, in a sentence."""
    refusals: tuple[Refusal, ...] = ()
    """Groups that were not made one person as the pairs alone would have it."""
    retrieved: Report | None = None
    """What retrieval made and left out; None for pairs that were given."""
    plan: Plan | None = None
    """How candidates were found; None for pairs that were given."""
    rules: Rules = field(default_factory=Rules)
    """What could become one person."""
    is_taught: bool = False
    """Whether the probabilities rest on labels."""
    notes: tuple[str, ...] = ()
    """What was left apart because the evidence cannot tell, and what can be done about it."""
    apart: Apart | None = None
    """The pairs that were left apart so."""


class Apart(NamedTuple):
    """Pairs that look like one but for a word of their names: places among the pairs, those that were looked at, and why."""

    places: npt.NDArray[np.int64]
    why: str


class _Scored(NamedTuple):
    """Evidence and log-odds of all pairs, what gave them, and what they rest on."""

    evidence: Evidence
    scorer: PairScorer
    log_odds: Floats
    basis: str
    is_taught: bool
    notes: tuple[str, ...] = ()
    apart: Apart | None = None


def resolve(table: pa.Table, fields: Fields | None = None, options: Options = Options()) -> Resolved:
    """The person of each row; what the columns are is guessed where `fields` does not say.

    With labels (`fields.label`) boosted trees learn from them; without, fields vouch for each other where they have enough
    to say, and else a model of agreement is fitted to the candidates.
    """
    from whence.identity.records import fields as columns
    from whence.identity.records import retrieve

    watch = _Watch()
    with watch("prepare") as facts:
        chosen = columns.guess(table) if fields is None else fields
        records = columns.prepare(table, chosen)
        facts |= {"records": len(records), "fields": {each.field.name: each.field.kind for each in records.columns}}
    with watch("retrieve") as facts:
        plan = options.plan or retrieve.suggest(records, retrieve.Budget(options.budget))
        found = retrieve.retrieve(records, plan)
        pairs = with_known(records, found.pairs, {**logins.together(records), **options.known})
        facts |= {"pairs": len(pairs.left)}
    return replace(_judged(records, pairs, options, watch), retrieved=found.report, plan=plan)


def _judged(records: Records, pairs: Pairs, options: Options, watch: _Watch) -> Resolved:
    by = _in_context if options.context else _alone
    evidence, scorer, log_odds, basis, is_taught, notes, apart = by(records, pairs, options, watch)
    if _is_linked(records, pairs, evidence):
        records = replace(records, unique_sources=True)
        log_odds = np.where(np.isin(np.arange(len(log_odds)), _asked(records, pairs, True)), log_odds, NEVER)
    log_odds = settled(records, pairs, log_odds, {**logins.together(records), **options.known})
    with watch("cluster") as facts:
        rules = Rules(cut=-2 * float(np.log(options.beta)), absent=ABSENT, unique_sources=records.unique_sources)
        unique = {each.field.name: each.codes for each in records.unique}
        people = cluster(len(records), pairs, log_odds, rules, unique, records.source)
        facts |= {"people": len(people), "refused": len(people.refusals)}
    codes = people.codes.astype(np.int64)
    if not is_taught:
        joined = (codes[pairs.left] == codes[pairs.right]) & (log_odds > 0)
        differing = [] if records.unique_sources else _differing(records, evidence, joined)
        notes = (*notes, *_by_likeness_alone(records, evidence, joined), *differing)
    return Resolved(
        records,
        pairs,
        evidence,
        scorer,
        log_odds,
        expit(log_odds),
        codes,
        tuple(watch.steps),
        basis,
        people.refusals,
        rules=rules,
        is_taught=is_taught,
        notes=notes,
        apart=apart,
    )


def _alone(records: Records, pairs: Pairs, options: Options, watch: _Watch) -> _Scored:
    """Each pair judged by itself."""
    return _in_two_steps(records, pairs, options, watch) or _in_one(records, pairs, options, watch)


def _in_context(records: Records, pairs: Pairs, options: Options, watch: _Watch) -> _Scored:
    """Each pair judged beside its rivals, as labels teach it; ContextError where there are too few."""
    context.require(records, pairs, options.known)
    first = _alone(records, pairs, options, watch)

    def score(shown: Records, known: Known) -> context.Alone | None:
        return _taught(_alone(shown, pairs, replace(options, known=known), _Watch()))

    with watch("learn from rivals") as facts:
        how = {"seed": options.seed, "threads": options.threads}
        evidence, scorer = context.fit(records, pairs, options.known, _taught(first), score, **how)
        log_odds = scorer.log_odds(evidence)
        facts |= {"matches expected": round(float(expit(log_odds).sum()), 1)}
    return _Scored(evidence, scorer, log_odds, f"{first.basis} {context.MEANS}", True)


def _taught(scored: _Scored) -> context.Alone | None:
    """What was learned from labels; nothing where labels were too few."""
    return context.Alone(scored.evidence, scored.scorer, scored.log_odds) if scored.is_taught else None


def _in_one(records: Records, pairs: Pairs, options: Options, watch: _Watch) -> _Scored:
    """All pairs compared in full, and scored."""
    comparer = Comparer(records)
    with watch("compare") as facts:
        evidence = comparer(pairs)
        facts |= {"signals": len(evidence.names)}
    how: Any = {"seed": options.seed, "threads": options.threads}
    with watch("score") as facts:
        taught = _by_words(records, pairs, evidence, options) or _learned(records, pairs, evidence, options)
        chance = Evidence((), np.empty((0, 0), dtype=np.float32)) if taught else comparer(chance_pairs(records, options.seed))
        seen, scorer, basis = taught or (evidence, *_untaught(records, pairs, evidence, chance, options))
        notes, apart = tuple[str, ...](), None
        if taught is None and not _is_linked(records, pairs, evidence):
            people, told = _unlike_strangers(records, pairs, evidence, scorer, basis, options)
            people, told, doubts = _unlike_chance(records, evidence, people, chance, told, options)
            scorer, basis, notes, apart = _unlike_series(records, pairs, evidence, people, scorer, told, options)
            notes = (*doubts, *notes)
        if taught is None and (found := logins.fit(records, pairs, evidence, scorer.log_odds(evidence), **how)):
            scorer, basis = found[0], f"{found[1]:,} pairs by log-ins, of which a person may have several; {UNCONFIRMED}"
        log_odds = scorer.log_odds(seen)
        facts |= {"basis": basis, "matches expected": round(float(expit(log_odds).sum()), 1)}
    return _Scored(seen, scorer, log_odds, basis, taught is not None, notes, apart)


def _in_two_steps(records: Records, pairs: Pairs, options: Options, watch: _Watch) -> _Scored | None:
    """Whole values first, texts for the pairs that those leave open; nothing where pairs or labels are too few for it."""
    rows, same, people = labelled(records, pairs, options.known)
    if not cascade.is_worth_it(pairs, same):
        return None
    with watch("compare and score") as facts:
        try:
            found = cascade.fit(records, pairs, rows, same, people, seed=options.seed, threads=options.threads)
        except boosted.TooFewLabels:
            return None
        basis = f"{len(same)} labelled pairs; calibrated on people that were not learned from."
        facts |= {"basis": basis, "texts compared": found.compared}
    return _Scored(found.evidence, found.scorer, found.log_odds, basis, True)


def _by_words(records: Records, pairs: Pairs, told: Evidence, options: Options) -> tuple[Evidence, PairScorer, str] | None:
    """Learned from labels with a closer look at texts; nothing where there are no labels, or no texts."""
    rows, same, people = labelled(records, pairs, options.known)
    if not len(rows) or not worded.is_worth_it(records):
        return None
    try:
        how = {"seed": options.seed, "threads": options.threads}
        scorer, evidence = worded.fit(records, pairs, told, rows, same, people, **how)
    except boosted.TooFewLabels:
        return None
    return evidence, scorer, f"{len(same)} labelled pairs; calibrated on people that were not learned from."


def _learned(records: Records, pairs: Pairs, evidence: Evidence, options: Options) -> tuple[Evidence, PairScorer, str] | None:
    """Learned from labels as the evidence stands; nothing where there are too few."""
    rows, same, people = labelled(records, pairs, options.known)
    if not len(rows):
        return None
    shown = Evidence(evidence.names, evidence.values[rows])
    try:
        weights = stands_for(records, same)
        scorer = boosted.fit(shown, same, people, weights=weights, seeds=(options.seed,), threads=options.threads)
    except boosted.TooFewLabels:
        return None
    return evidence, scorer, f"{len(same)} labelled pairs; calibrated on people that were not learned from."


def _untaught(records: Records, pairs: Pairs, evidence: Evidence, chance: Evidence, options: Options) -> tuple[PairScorer, str]:
    """What can be found out without labels; `chance` are pairs drawn at random."""
    is_linked = _is_linked(records, pairs, evidence)
    rows = _asked(records, pairs, is_linked)
    asked = Evidence(evidence.names, evidence.values[rows]) if is_linked else evidence
    some = _some(asked, options.seed)
    share = len(some.values) / max(len(asked.values), 1)
    others = share * max(_possible(records) - len(asked.values), 0.0)
    implied = vouching.implied(records)
    is_implied = bool(implied.sum() > len(implied))
    weights = fellegi_sunter.fit_to_all(some, chance, others, implied)
    vouched = vouching.fit(records, asked, weights, implied, seed=options.seed, threads=options.threads)
    how: Any = {"seed": options.seed, "threads": options.threads}
    if is_linked and (odds := _contested(records, pairs, evidence, some, vouched, how)) is not None:
        return vouching.student(asked, odds[rows], **how), f"No labels: partners against what strangers look like; {UNCONFIRMED}"
    scorer, basis = _counted(some, weights, vouched, WORTH_LINKED if is_linked else WORTH, is_implied, options)
    believed = scorer.log_odds(some)
    told = relatives.told_apart(records, some, believed, weights, chance, others)
    if told is None:
        return scorer, basis
    doubting = vouching.student(some, np.minimum(believed, told.log_odds), **how)
    return doubting, f"{basis.removesuffix(UNCONFIRMED)}{', '.join(told.fields)} tell relatives apart; {UNCONFIRMED}"


def _contested(
    records: Records, pairs: Pairs, evidence: Evidence, some: Evidence, vouched: vouching.Vouched | None, how: Any
) -> Floats | None:
    """Log-odds by how much better partners between sources look than strangers; None where fields vouch for no more than that."""
    if records.source is None or len(some.values) < FEWEST:
        return None
    if vouched is None or vouched.worth < WORTH_LINKED:
        start = fellegi_sunter.fit(some).log_odds(evidence)
    else:
        start = vouched.scorer.log_odds(evidence)
        if not rivals.outnumbered(len(records), pairs, records.source, start):
            return None
    return rivals.judged(len(records), pairs, evidence, records.source, start, **how)


def _counted(
    some: Evidence,
    weights: fellegi_sunter.FellegiSunter,
    vouched: vouching.Vouched | None,
    worth: float,
    is_implied: bool,
    options: Options,
) -> tuple[PairScorer, str]:
    """By fields that vouch for each other where they have enough to say; else by how often they agree."""
    if vouched is None:
        return fellegi_sunter.fit(some), f"No labels: a model of agreement fitted to the candidates; {UNCONFIRMED}"
    said, rare = vouched.scorer.log_odds(some), weights.log_odds(some)
    fewest = (FEWER if is_implied else FAR_FEWER) * expit(said).sum()
    if vouched.worth >= worth and expit(rare).sum() >= fewest:
        return vouched.scorer, _vouching(vouched)
    least = np.minimum(said, rare)
    scorer = vouching.student(some, least, seed=options.seed, threads=options.threads)
    return scorer, f"No labels: fields say little of each other, so that a pair must be rare among strangers too; {UNCONFIRMED}"


def _vouching(vouched: vouching.Vouched) -> str:
    return f"No labels: {', '.join(vouched.witnesses)} vouched for each other; {UNCONFIRMED}"


def _unlike_strangers(
    records: Records, pairs: Pairs, evidence: Evidence, scorer: PairScorer, basis: str, options: Options
) -> tuple[PairScorer, str]:
    """The same scorer, or one that has learned to doubt it where those whom it joins agree in too little to be people."""
    some = _some(evidence, options.seed)
    believed = scorer.log_odds(some)
    agreed, is_alone = strangers.agreement(records, some, believed), len(records.columns) == 1
    mostly = strangers.ALONE if is_alone else strangers.MOSTLY
    least = strangers.doubted(agreed, believed, strangers.are_lone(records, some, believed), mostly)
    how = {"seed": options.seed, "threads": options.threads}
    chance = strangers.coincide(records, some, believed)
    if least is None:
        if not chance.any():
            return scorer, basis
        told = "what agrees in one field and differs in three is chance"
        odds = np.where(chance, np.minimum(believed, strangers.REFUSED), believed)
        return vouching.student(some, odds, **how), f"{basis.removesuffix(UNCONFIRMED)}{told}; {UNCONFIRMED}"
    if is_alone and some is evidence:
        contest = np.minimum(believed, rivals.alone(len(records), pairs, believed))
        odds = np.maximum(least, contest - strangers.CAUTION)
        return vouching.student(some, odds, **how), f"No labels: partners against the next best; {UNCONFIRMED}"
    shares, mailed = strangers.named(records, some)
    odds = np.where(mailed, np.maximum(believed, strangers.MAILED), np.where(shares, believed, least))
    odds = np.where(chance, np.minimum(odds, strangers.REFUSED), odds)
    told = "a pair must agree in nearly all, or share what only one has"
    return vouching.student(
        some, odds, **how
    ), f"No labels: hardly anybody seems to be there twice, so that {told}; {UNCONFIRMED}"


def _unlike_chance(
    records: Records, evidence: Evidence, scorer: PairScorer, chance: Evidence, basis: str, options: Options
) -> tuple[PairScorer, str, tuple[str, ...]]:
    """The same scorer, or one that believes pairs only as far as they outnumber what chance alone would bring, and a note that says so."""
    some = _some(evidence, options.seed)
    believed, share = scorer.log_odds(some), len(some.values) / max(len(evidence.values), 1)
    odds = nulls.outnumbering(scorer, believed, chance, _possible(records), share, vouching.implied(records), options.seed)
    if odds is None:
        return scorer, basis, ()
    doubting = vouching.student(some, odds, seed=options.seed, threads=options.threads)
    note = (
        f"{round(((believed > 0) & (odds <= 0)).sum() / share):,} pairs that look alike were not joined: if the columns said nothing of each "
        "other, chance would bring about as many. If some of them are one, label a few with `whence review`, or name a column that few share."
    )
    return doubting, f"{basis.removesuffix(UNCONFIRMED)}what chance would bring as well is left apart; {UNCONFIRMED}", (note,)


def _unlike_series(
    records: Records, pairs: Pairs, evidence: Evidence, scorer: PairScorer, before: PairScorer, basis: str, options: Options
) -> tuple[PairScorer, str, tuple[str, ...], Apart | None]:
    """The same scorer, or one that has learned to keep apart what differs in a word, a number, a year or an attribute; notes that
    say so; and which pairs."""
    rows = _sampled(len(evidence.values), options.seed)
    some = Evidence(evidence.names, evidence.values[rows])
    both = Pairs(pairs.left[rows], pairs.right[rows])
    believed = scorer.log_odds(some)
    told = series.told_apart(records, both, some, believed, before.log_odds(some))
    odds = believed if told is None else told.log_odds
    attributes = variants.told_apart(records, both, some, odds)
    if told is None and attributes is None:
        return scorer, basis, (), None
    share = len(evidence.values) / max(len(rows), 1)
    said, notes, why, places = [], [], [], np.empty(0, dtype=np.int64)
    if told is not None:
        what = " or ".join(f"a {kind} in {name}" for name, kind in told.columns.items())
        said += [" or ".join(f"another {kind} in {name}" for name, kind in told.columns.items()) + " means another one"]
        notes += [_of_series(round(len(told.apart) * share), what, " or ".join(told.columns))]
        why += [f"each has {what} that the other has not"]
        places = told.apart
    if attributes is not None:
        odds, names = attributes.log_odds, " or ".join(attributes.columns)
        said += [f"another {names} means another one"]
        notes += [_of_variants(round(len(attributes.apart) * share), attributes.columns)]
        why += [f"they differ in {names}"]
        places = np.union1d(places, attributes.apart)
    doubting = vouching.student(some, odds, seed=options.seed, threads=options.threads)
    apart = Apart(rows[places], f"left apart: {', or '.join(why)}")
    return doubting, f"{basis.removesuffix(UNCONFIRMED)}{'; '.join(said)}; {UNCONFIRMED}", tuple(notes), apart


def _of_series(count: int, what: str, names: str) -> str:
    return (
        f"{count:,} pairs that look alike otherwise were left apart: each has "
        f"{what} that the other has not, as things of one series and members of one family have. Nothing here can "
        "tell which of them are one. They are in the review, up to 1,000 pairs in all: label some there or with --labels, name a "
        f"column `source` if the rows are of several lists, or take {names} out of fields.toml if it says nothing of what is what."
    )


def _of_variants(count: int, columns: Sequence[str]) -> str:
    names = " or ".join(columns)
    return (
        f"{count:,} pairs that look alike otherwise were left apart, since they differ in {names}: those who differ there look like "
        "variants of one thing, such as a drug of two strengths. They are in the review, up to 1,000 pairs in all. If a column says "
        "nothing of what is what, take it out of fields.toml; if it says who lists a thing, name it as `source` there."
    )


def _by_likeness_alone(records: Records, evidence: Evidence, joined: npt.NDArray[np.bool_]) -> list[str]:
    """That many of the pairs that were joined share no value that few others have, where it is so."""
    at = [place for place, name in enumerate(evidence.names) if name.endswith(":rarity")]
    rare = np.nansum(evidence.values[joined][:, at], axis=1)
    few = int((rare < RARE * np.log(max(len(records), 2))).sum())
    if few < ALIKE * max(len(rare), 1):
        return []
    return [
        f"{few:,} of {len(rare):,} joined pairs share no value that few others have: only likeness speaks for them, and things of one "
        "kind are alike, too. Look at some in pairs.parquet before you use them, and label some with `whence review`."
    ]


def _differing(records: Records, evidence: Evidence, joined: npt.NDArray[np.bool_]) -> list[str]:
    """The columns in which most of the pairs that were joined differ, if any: an edition is a remark to one, and a book to another."""
    told, is_of_people = [], variants.are_people(records)
    for column in records.columns:
        likeness = evidence.values[joined, evidence.names.index(f"{column.field.name}:likeness")]
        known = int((~np.isnan(likeness)).sum())
        differ = int((likeness < (1.0 if column.field.kind in DATED else UNLIKE)).sum())  # the next day is another one
        may_last = column.field.kind in LASTING or (column.field.kind in DATED and not is_of_people)
        if may_last and known >= FEWEST_JOINED and differ >= MOST * known:
            told.append((differ / known, column.field.name, differ, known))
    if not told:
        return []
    shown = sorted(told, key=lambda each: (-each[0], each[1]))[:SHOWN]
    counts = ", ".join(f"{name} ({differ:,} of {known:,})" for _, name, differ, known in shown)
    unique = ", ".join(f'"{name}"' for _, name, _, _ in shown)
    return [
        f"Most joined pairs that have two values differ in {counts}. If one of yours has one value there, as a drug has one strength, "
        f"write `unique = [{unique}]` above [fields] in fields.toml, with those for which that is so, and run again."
    ]


def _is_linked(records: Records, pairs: Pairs, evidence: Evidence) -> bool:
    """Whether no source holds anybody twice, as was said, or as it looks where nothing is known."""
    if records.unique_sources or records.source is None or records.labels is not None:
        return records.unique_sources
    return rivals.are_without_repeats(pairs, evidence, records.source, strangers.named(records, evidence)[0])


def _asked(records: Records, pairs: Pairs, is_linked: bool) -> npt.NDArray[np.int64]:
    """The pairs that may be of one person."""
    if not is_linked or records.source is None:
        return np.arange(len(pairs.left))
    return np.flatnonzero(records.source[pairs.left] != records.source[pairs.right])


def _some(evidence: Evidence, seed: int) -> Evidence:
    if len(evidence.values) <= SAMPLE:
        return evidence
    return Evidence(evidence.names, evidence.values[_sampled(len(evidence.values), seed)])


def _sampled(n: int, seed: int) -> npt.NDArray[np.int64]:
    if n <= SAMPLE:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, SAMPLE, replace=False))


def _possible(records: Records) -> float:
    """How many pairs of records could be compared at all."""
    n = float(len(records))
    within = (
        np.bincount(records.source[records.source != MISSING]).astype(float)
        if records.unique_sources and records.source is not None
        else np.zeros(0)
    )
    return float(n * (n - 1) / 2 - (within * (within - 1) / 2).sum())


def chance_pairs(records: Records, seed: int = 0, count: int = CHANCE_PAIRS) -> Pairs:
    """Pairs of different records drawn at random; of different sources where a source holds no person twice."""
    n = len(records)
    if n < 2:
        return Pairs(np.empty(0, np.int32), np.empty(0, np.int32))
    drawn = np.random.default_rng(seed).integers(0, n, (2, count)).astype(np.int32)
    left, right = drawn.min(axis=0), drawn.max(axis=0)
    kept = left < right
    if records.unique_sources and records.source is not None:
        kept &= records.source[left] != records.source[right]
    return Pairs(left[kept], right[kept])


class _Watch:
    """Notes what each step took."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    @contextmanager
    def __call__(self, name: str) -> Iterator[dict[str, Any]]:
        started, facts = time.process_time(), dict[str, Any]()
        yield facts
        self.steps.append(Step(name, time.process_time() - started, facts))
