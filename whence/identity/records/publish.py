"""From files to a folder with people in it: read, resolve, decide, keep the ids that people had, and tell what was done."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from whence.identity.clusters import components
from whence.identity.ledger import Changes, Ledger, Limits, changes, fuse
from whence.identity.records import explain, fields, kinds, lists, reading, report, review, store
from whence.identity.records.boosted import FEWEST
from whence.identity.records.known import Known
from whence.identity.records.resolve import Options, Resolved, resolve
from whence.identity.records.saved import APART
from whence.identity.records.store import Folder
from whence.identity.records.table import Fields
from whence.identity.records.verdicts import NAMES, UNSURE, Verdicts, decide

SETTLED = 0.001
"""Pairs below this probability are counted, and not written down."""
MOST_GONE = 0.2
"""The share of the last run's records that may be missing without a reason."""
FEW = 50
"""A person with so many records is nothing to stop for in a small table, whatever its share is."""
IDS = frozenset({"id", "uid", "uuid", "guid", "unique_id", "record_id", "rec_id", "row_id", "rowid", "recid"})
"""Columns that a person takes for the rows' own ids."""
LIST = "found_list"
"""The column that says of which list a row is, where the input has none that does."""
NAMING = frozenset({"text", "name"})
"""Kinds whose words alone may say which rows of two lists are partners."""
NUL_ROW = "\0row"
UNLIKELY = 0.1
SHOWN = 20
"""Rows of a table in the report at most."""
EVEN = 0.5
"""What a pair that was left apart for want of evidence is taken for when questions are put in order."""
QUEUE = 1000
"""Pairs that wait for a person at most; more come when these are answered."""


@dataclass(frozen=True)
class Request:
    """What a user asks for."""

    inputs: tuple[Path, ...]
    out: Path
    fields: Path | None = None
    """What the columns are; else the folder's own fields.toml, else a guess."""
    labels: str | None = None
    """A file of labelled pairs, or the name of a column with the known person."""
    beta: float = 1.0
    threads: int = 1
    force: str = ""
    """Why to publish although the fuse would stop it."""
    is_dry: bool = False
    """Find out what would change, and write nothing."""
    is_join: bool = False
    """The rows join the people of the folder; see `joining`."""
    context: bool = False
    """Let a pair's other candidates count, too."""


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    folder: Path
    records: int
    people: int
    pairs: int
    verdicts: Mapping[str, int]
    to_review: int
    changes: Mapping[str, int]
    """Events in the ledger by kind."""
    is_new: bool
    """False when the folder already held exactly this."""
    notes: tuple[str, ...]
    basis: str
    """What the probabilities rest on."""
    is_dry: bool
    """True when nothing was written because only a look was asked for."""
    seconds: float


@dataclass(frozen=True)
class Labels:
    """What people have said, from the file and from earlier reviews."""

    settled: review.Settled
    notes: tuple[str, ...] = ()


class FuseError(RuntimeError):
    """A run that would change more than a run may change without a reason."""


@dataclass(frozen=True)
class Found:
    """A run in memory, before anything is written."""

    resolved: Resolved
    verdicts: Verdicts
    questions: Sequence[review.Question]
    ledger: Ledger
    changed: Changes
    notes: tuple[str, ...]
    why: Mapping[str, str]
    """Why the columns are what they are."""
    said: npt.NDArray[np.bool_]
    """The pairs that people have spoken of."""


def publish(request: Request, now: datetime) -> Outcome:
    """Resolve the files of the request, and leave everything in its folder; nothing is touched when nothing has changed.

    Raises FuseError when people would change more than a run may change them, unless `force` says why they should.
    """
    folder = Folder(request.out)
    with folder.locked(), one_thread():
        started = time.monotonic()
        told = _told_fields(request, folder)
        given = reading.read(request.inputs, told.same if told else None)
        chosen, why = _fields(request, told, given)
        if _may_be_two_lists(request, told, chosen, given):
            given, chosen, why = _told_apart(given, chosen, why, is_guessed=told is None)
        labels = _labels(request, folder, _sides(given, chosen))
        options = Options(beta=request.beta, threads=request.threads, known=labels.settled.known, context=request.context)
        resolved = resolve(given.table, chosen, options)
        answered = _answered(resolved, labels.settled.verdicts)
        verdicts = _with_apart(decide(resolved.pairs, resolved.probabilities, request.beta), resolved, answered)
        questions = _asked(resolved, verdicts, answered)
        ledger, changed = _renewed(folder, resolved, request, now)
        notes = (
            *given.notes,
            *labels.notes,
            *resolved.notes,
            *_nothing_compared(resolved),
            *_large_blocks(resolved),
            *_few_labels(resolved, labels),
            *_of_nobody(resolved, labels),
        )
        found = Found(resolved, verdicts, questions, ledger, changed, notes, why, answered)
        is_new = not request.is_dry and _write(folder, found, given.table, chosen, request)
        return _outcome(found, request, is_new, time.monotonic() - started)


def one_thread() -> threadpool_limits:
    """Linear algebra in one thread: sums of two end in other digits, and a close call may hang on these."""
    return threadpool_limits(limits=1, user_api="blas")


def _with_apart(verdicts: Verdicts, resolved: Resolved, answered: npt.NDArray[np.bool_]) -> Verdicts:
    """The verdicts, where what was left apart for want of evidence is unsure, if nobody has spoken of it."""
    if resolved.apart is None:
        return verdicts
    codes, places = verdicts.codes.copy(), resolved.apart.places
    codes[places[~answered[places]]] = UNSURE
    return replace(verdicts, codes=codes)


def _asked(resolved: Resolved, verdicts: Verdicts, answered: npt.NDArray[np.bool_]) -> list[review.Question]:
    """The questions for a person; of a pair that was left apart for want of evidence it is not known which way it goes."""
    chances, apart = resolved.probabilities, resolved.apart
    if apart is not None:
        chances = chances.copy()
        chances[apart.places] = EVEN
    questions = review.queue(resolved.pairs, chances, verdicts, resolved.people, answered, QUEUE)
    places = frozenset(apart.places.tolist()) if apart else frozenset()
    return [replace(each, why=f"{each.why}; {apart.why}") if apart and each.place in places else each for each in questions]


def _few_labels(resolved: Resolved, labels: Labels) -> list[str]:
    known = labels.settled.known
    if not known or resolved.is_taught:
        return []
    return [
        f"{len(known):,} labelled pairs are too few to learn from ({FEWEST} of each kind are needed); they are taken as said."
    ]


def _of_nobody(resolved: Resolved, labels: Labels) -> list[str]:
    """Labels that name records which are not in the input, as when ids are written otherwise."""
    there = set(resolved.records.ids)
    lost = [pair for pair in labels.settled.verdicts if not there.issuperset(pair)]
    if not lost:
        return []
    missing = next(name for name in lost[0] if name not in there)
    return [
        f"{len(lost):,} of {len(labels.settled.verdicts):,} labelled pairs name records that are not in the input, such as "
        f"'{missing}'; ids here are like '{resolved.records.ids[0]}'."
    ]


def _nothing_compared(resolved: Resolved) -> list[str]:
    """Why nobody was found, where no two records were so much as looked at."""
    if len(resolved.pairs.left) or len(resolved.records) < 2:
        return []
    told = ", ".join(f"{each.field.name} ({len(each.values):,} different)" for each in resolved.records.columns)
    return [
        f"No two of the {len(resolved.records):,} records were compared: nothing in {told} is shared by few enough. "
        "Give a column that tells people apart, or name columns that were left out in fields.toml."
    ]


def _large_blocks(resolved: Resolved) -> list[str]:
    """The cost that was bounded, in one line."""
    capped = resolved.retrieved.capped if resolved.retrieved else ()
    if not capped:
        return []
    worst = max(capped, key=lambda each: each.skipped)
    return [
        f"{worst.records:,} records agree on {worst.key} ('{worst.value}'): {worst.skipped:,} of their pairs were not compared. "
        "If this value says nothing, take the column out of fields.toml."
    ]


def _outcome(found: Found, request: Request, is_new: bool, seconds: float) -> Outcome:
    return Outcome(
        folder=request.out,
        records=len(found.resolved.records),
        people=found.changed.persons_after,
        pairs=len(found.resolved.pairs.left),
        verdicts=found.verdicts.counts(),
        to_review=len(found.questions),
        changes=_counts(found.changed),
        is_new=is_new,
        is_dry=request.is_dry,
        notes=found.notes,
        basis=found.resolved.basis,
        seconds=seconds,
    )


def _renewed(folder: Folder, resolved: Resolved, request: Request, now: datetime) -> tuple[Ledger, Changes]:
    """The ledger with this run's events, and what they change; FuseError where that is too much."""
    path = folder / store.LEDGER
    ledger = Ledger.of(pq.read_table(path)) if path.exists() else Ledger()
    cause = f"{'join' if request.is_join else 'resolve'} {', '.join(each.name for each in request.inputs)}{f' ({request.force})' if request.force else ''}"
    events = ledger.publish((resolved.records.ids, resolved.people.tolist()), now, now, cause, complete=True)
    renewed = ledger.plus(events)
    before, after = ledger.people(), renewed.people()
    changed = changes(before, after)
    if not request.is_dry and not request.force:
        _stop(before, after, changed, ledger, now)
    return renewed, changed


def _stop(before: pa.Table, after: pa.Table, changed: Changes, ledger: Ledger, now: datetime) -> None:
    since = (now - ledger.known_until).total_seconds() / 86400 if ledger.known_until else 1.0
    limits = Limits(max_in_largest=max(Limits.max_in_largest, FEW / max(len(after), 1)))
    tripped = fuse(before, after, limits, days=max(since, 1.0))
    if tripped:
        raise FuseError(f"{tripped.message} `--dry-run` shows what would change, and --force REASON publishes it.")
    if changed.identifiers_gone > MOST_GONE * len(before):
        raise FuseError(
            f"Not published: {changed.identifiers_gone:,} of {len(before):,} records of the last run are not in this input. "
            "Give all the records again, another folder with --out, or --force REASON."
        )


def _counts(changed: Changes) -> dict[str, int]:
    named = {
        "records new": changed.identifiers_new,
        "records gone": changed.identifiers_gone,
        "records that changed their person": changed.identifiers_moved,
        "people merged": changed.persons_merged,
        "people split": changed.persons_split,
    }
    return {name: count for name, count in named.items() if count}


def _told_fields(request: Request, folder: Folder) -> Fields | None:
    """What a file says of the columns: the one that was given, or the folder's own, which may have been edited."""
    path = request.fields or (folder / store.FIELDS if (folder / store.FIELDS).exists() else None)
    return fields.read(path) if path else None


def _fields(request: Request, told: Fields | None, given: reading.Input) -> tuple[Fields, Mapping[str, str]]:
    """What the columns are, and why; what a file says wins over a guess."""
    if told:
        chosen, why = told, dict[str, str]()
    else:
        guessed = fields.study(given.table, given.source)
        chosen, why = replace(guessed.fields, same=given.same), {**given.why, **guessed.why}
        if chosen.id is None:
            _refuse_spoilt_id(given)
    if given.source and not chosen.source:
        chosen = replace(chosen, source=given.source, fields=tuple(each for each in chosen.fields if each.name != given.source))
    if request.labels and not Path(request.labels).exists():
        chosen = _with_label(chosen, request.labels, given.table)
    if not chosen.fields:
        raise ValueError(f"No column of {request.inputs[0]} can be compared: {'; '.join(f'{k}: {v}' for k, v in why.items())}.")
    return replace(chosen, source=chosen.source or None), why


def _may_be_two_lists(request: Request, told: Fields | None, chosen: Fields, given: reading.Input) -> bool:
    """Whether it is worth a look if the rows are of two lists: nobody has said whose they are, nor that there is but one.

    Somebody who takes the line out of the folder's own file has said so; a file for many folders says it by `source = ""`.
    """
    if request.labels or chosen.label or LIST in given.table.column_names:
        return False
    if told is None:
        return chosen.source is None
    return told.source == LIST or (told.source is None and request.fields is not None and chosen.source is None)


def _told_apart(
    given: reading.Input, chosen: Fields, why: Mapping[str, str], is_guessed: bool
) -> tuple[reading.Input, Fields, Mapping[str, str]]:
    """The input with a column that says of which list each row is, if the rows are written in two ways.

    Where what the columns are is a guess, a column that says the same, or of more lists, is taken for it.
    """
    there = [each for each in chosen.fields if each.name in given.table.column_names]
    second = lists.told_apart(given.table, [each.name for each in there], {each.name for each in there if each.kind in NAMING})
    if second is None:
        return given, replace(chosen, source=None), why
    names = [each.name for each in there]
    few = [name for name in names if 2 <= pc.count_distinct(given.table[name], "all").as_py() <= kinds.FEW]
    if is_guessed and (name := lists.telling(given.table, names, few, second)):
        return _told_by(name, given)
    column = pa.array(np.where(second, "second", "first").tolist(), pa.string())
    note = (
        f"The rows look like two lists, of {int((~second).sum()):,} and {int(second.sum()):,}, which are written in two ways. If that is wrong, "
        f'take the line source = "{LIST}" out of fields.toml.'
    )
    found = replace(given, table=given.table.append_column(LIST, column), notes=(*given.notes, note))
    return found, replace(chosen, source=LIST), {**why, LIST: "no column of the input: the rows are written in two ways"}


def _told_by(name: str, given: reading.Input) -> tuple[reading.Input, Fields, Mapping[str, str]]:
    """The input, and what its columns are if this one tells lists apart."""
    guessed = fields.study(given.table, name)
    note = (
        f"The column '{name}' seems to tell lists apart: what is alike lies with different values of it, which are written in "
        f'different ways. If that is wrong, take the line source = "{name}" out of fields.toml.'
    )
    why = {**given.why, **guessed.why, name: "tells lists apart: what is alike lies with different values of it"}
    return replace(given, notes=(*given.notes, note)), replace(guessed.fields, same=given.same), why


def _refuse_spoilt_id(given: reading.Input) -> None:
    """A column that is called an id, and holds one twice: better asked about than numbered over."""
    by = [given.source] if given.source else []
    for name in (each for each in given.table.column_names if each.strip().casefold() in IDS):
        counted = given.table.append_column(NUL_ROW, pa.array(np.arange(1, len(given.table) + 1))).select([name, *by, NUL_ROW])
        counts = counted.group_by([name, *by]).aggregate([(NUL_ROW, "count"), (NUL_ROW, "min"), (NUL_ROW, "max")])
        twice = counts.filter(pc.and_(pc.greater(counts[f"{NUL_ROW}_count"], 1), pc.is_valid(counts[name]))).sort_by(
            f"{NUL_ROW}_min"
        )
        if len(twice):
            row = twice.slice(0, 1).to_pylist()[0]
            raise ValueError(
                f"The column '{name}' seems to name the rows, but {len(twice):,} of its values come more than once: '{row[name]}' in "
                f"rows {row[NUL_ROW + '_min']:,} and {row[NUL_ROW + '_max']:,}. Take the copies out, or say what the column is "
                "with --fields (without an id, rows are numbered)."
            )


def _with_label(chosen: Fields, label: str, table: pa.Table) -> Fields:
    if label not in table.column_names:
        raise ValueError(
            f"--labels names '{label}', which is neither a file nor a column. The columns are {', '.join(table.column_names)}."
        )
    return replace(chosen, label=label, fields=tuple(each for each in chosen.fields if each.name != label))


def _sides(given: reading.Input, chosen: Fields) -> tuple[str, str] | None:
    """The sources of the two columns of a file of labels, where two files use the same ids."""
    if given.source is None or chosen.source != given.source or chosen.id not in given.table.column_names:
        return None
    first, *others = pc.unique(given.table[given.source]).to_pylist()
    return (
        (first, others[0]) if len(others) == 1 and pc.count_distinct(given.table[chosen.id]).as_py() < len(given.table) else None
    )


def _labels(request: Request, folder: Folder, sides: tuple[str, str] | None = None) -> Labels:
    """Labels of the file and of earlier reviews together; where authors disagree, a note says so."""
    said = review.read(folder / store.LABELS)
    if request.labels and Path(request.labels).exists():
        said = [*said, *review.from_table(Path(request.labels), sides)]
    settled = review.settle(said)
    notes = [f"Labels disagree on {each}." for each in settled.conflicts[:5]]
    if len(settled.conflicts) > 5:
        notes.append(f"Labels disagree on {len(settled.conflicts) - 5:,} more pairs.")
    return Labels(settled, (*notes, *_at_odds(settled.known)))


def _at_odds(known: Known) -> list[str]:
    """Records that are said to be different, and one by way of others.

    >>> _at_odds({("a", "b"): True, ("b", "c"): True, ("a", "c"): False})
    ["Labels contradict each other: 'a' and 'c' are said to be different, and the same by way of others (1 such pair)."]
    """
    if all(known.values()):
        return []
    place = {name: at for at, name in enumerate(sorted({name for pair in known for name in pair}))}
    ends = np.array([[place[name] for name in pair] for pair, same in known.items() if same], dtype=np.int32).reshape(-1, 2)
    person = components(len(place), ends[:, 0], ends[:, 1])
    odd = [pair for pair, same in known.items() if not same and person[place[pair[0]]] == person[place[pair[1]]]]
    if not odd:
        return []
    (left, right), more = odd[0], f"{len(odd):,} such pair{'s' if len(odd) > 1 else ''}"
    return [
        f"Labels contradict each other: '{left}' and '{right}' are said to be different, and the same by way of others ({more})."
    ]


def _answered(resolved: Resolved, said: Mapping[tuple[str, str], str]) -> npt.NDArray[np.bool_]:
    mask = np.zeros(len(resolved.pairs.left), dtype=bool)
    place = {name: at for at, name in enumerate(resolved.records.ids)}
    size = len(resolved.records)
    keys = resolved.pairs.left.astype(np.int64) * size + resolved.pairs.right
    for left, right in said:
        if left in place and right in place:
            low, high = sorted((place[left], place[right]))
            at = int(np.searchsorted(keys, low * size + high))
            mask[at : at + 1] |= at < len(keys) and bool(keys[at] == low * size + high)
    return mask


def _weakest(resolved: Resolved) -> dict[int, float]:
    inner = resolved.people[resolved.pairs.left] == resolved.people[resolved.pairs.right]
    tree = explain.forest(resolved.pairs, resolved.probabilities, inner)
    found: dict[int, float] = {}
    whose = resolved.people[resolved.pairs.left[tree.links]]
    for person, chance in zip(whose.tolist(), resolved.probabilities[tree.links].tolist(), strict=True):
        found[person] = min(chance, found.get(person, 1.0))
    return found


def _write(folder: Folder, found: Found, table: pa.Table, chosen: Fields, request: Request) -> bool:
    """Write what was found, and what a later join has to know of how."""
    if request.fields or not (folder / store.FIELDS).exists():
        store.replace(folder / store.FIELDS, fields.to_toml(chosen, found.why).encode())
    resolved = found.resolved
    run: dict[str, Any] = {"inputs": [path.name for path in request.inputs], "beta": request.beta, "basis": resolved.basis}
    run["compared"] = [each.field.name for each in resolved.records.columns]
    if resolved.apart is not None:
        run["apart"] = resolved.apart.why
    run |= {"fields": asdict(chosen), "rules": asdict(resolved.rules), "plan": resolved.plan.to_json() if resolved.plan else None}
    return replaced(folder, found, _records(found, table, chosen), request, run)


def replaced(folder: Folder, found: Found, records: pa.Table, request: Request, run: Mapping[str, Any]) -> bool:
    """Write what differs; the report is renewed only when something else is, since it tells times and changes.

    The ledger is the first to be written: after a crash the next run finds the ids that this one gave.
    """
    files = {
        store.LEDGER: store.parquet(found.ledger.events),
        store.PEOPLE: store.csv(_people(found)),
        store.PAIRS: store.parquet(_pairs(found)),
        store.RECORDS: store.parquet(records),
        store.REVIEW: store.csv(_questions(found)),
        store.SCORER: json.dumps(found.resolved.scorer.to_json(), indent=1).encode(),
    }
    page = folder / store.REPORT
    is_same = page.exists() and all(
        (folder / name).exists() and (folder / name).read_bytes() == data for name, data in files.items()
    )
    files[store.REPORT] = page.read_bytes() if is_same else report.html(_report(found, request)).encode()
    return folder.write(files, run)


def _people(found: Found) -> pa.Table:
    people = found.resolved.people
    sizes = np.bincount(people)
    asked = np.zeros(len(people), dtype=bool)
    rows = np.flatnonzero(found.verdicts.codes == UNSURE)
    weakest, persons = _weakest(found.resolved), found.ledger.people()
    asked[found.resolved.pairs.left[rows]] = asked[found.resolved.pairs.right[rows]] = True
    refused = {each.record: f"refused: {each.reason}" for each in found.resolved.refusals}
    flags = ["; ".join(filter(None, (refused.get(at), "in review" if each else None))) for at, each in enumerate(asked.tolist())]
    return pa.table(
        {
            "record_id": pa.array(found.resolved.records.ids, pa.string()),
            "person_id": persons["person_id"],
            "records": sizes[people],
            "weakest_link": pa.array([_rounded(weakest.get(person)) for person in people.tolist()], pa.float64()),
            "flags": pa.array(flags, pa.string()),
        }
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _pairs(found: Found) -> pa.Table:
    """The pairs with their verdicts and evidence; those that are surely different are left out, unless people said so."""
    resolved, rows = found.resolved, np.flatnonzero(shown(found))
    ids = np.asarray(resolved.records.ids, dtype=object)
    verdict = pa.DictionaryArray.from_arrays(found.verdicts.codes[rows] - min(NAMES), [NAMES[code] for code in sorted(NAMES)])
    columns: dict[str, Any] = {
        "left_id": pa.array(ids[resolved.pairs.left[rows]], pa.string()),
        "right_id": pa.array(ids[resolved.pairs.right[rows]], pa.string()),
        "probability": resolved.probabilities[rows],
        "verdict": verdict,
        "is_one_person": resolved.people[resolved.pairs.left[rows]] == resolved.people[resolved.pairs.right[rows]],
    }
    if resolved.apart is not None:
        columns[APART] = np.isin(rows, resolved.apart.places)
    columns |= {name: resolved.evidence.values[rows, at] for at, name in enumerate(resolved.evidence.names)}
    return pa.table(columns)


def shown(found: Found) -> npt.NDArray[np.bool_]:
    """The pairs that are written down: those that may be one, and those that people have spoken of."""
    is_unsure = found.verdicts.codes == UNSURE
    return np.asarray((found.resolved.probabilities >= SETTLED) | found.verdicts.is_taken | is_unsure | found.said)


def _records(found: Found, table: pa.Table, chosen: Fields) -> pa.Table:
    """The input as it came, in the order of the record ids, so that a person can look at the values."""
    names = fields._ids(table, chosen)
    order = np.argsort(np.array(names, dtype=object), kind="stable")
    shown = table.select([name for name in table.column_names if name != chosen.label]).take(order)
    return pa.table(
        {
            "record_id": pa.array(found.resolved.records.ids, pa.string()),
            **dict(zip(shown.column_names, shown.columns, strict=True)),
        }
    )


def _questions(found: Found) -> pa.Table:
    pairs, ids = found.resolved.pairs, found.resolved.records.ids
    places = [each.place for each in found.questions]
    return pa.table(
        {
            "left_id": pa.array([ids[pairs.left[at]] for at in places], pa.string()),
            "right_id": pa.array([ids[pairs.right[at]] for at in places], pa.string()),
            "probability": pa.array([round(float(found.resolved.probabilities[at]), 6) for at in places], pa.float64()),
            "impact": pa.array([each.impact for each in found.questions], pa.int64()),
            "why": pa.array([each.why for each in found.questions], pa.string()),
        }
    )


def _report(found: Found, request: Request) -> report.Report:
    resolved, counts, why = found.resolved, found.verdicts.counts(), found.why
    people = len(np.unique(resolved.people))
    figures = [
        (f"{len(resolved.records):,}", "records"),
        (f"{people:,}", "people"),
        (f"{len(resolved.records) - people:,}", "records that are a further one of somebody"),
        (f"{counts['unsure']:,}", "pairs that nobody can be sure of"),
    ]
    steps = [(each.name, each.seconds, _told(each.facts)) for each in resolved.steps]
    columns = [
        (each.field.name, each.field.kind, why.get(each.field.name, "as the fields file says"))
        for each in resolved.records.columns
    ]
    left_out = [(name, "left out", reason) for name, reason in why.items() if name not in {row[0] for row in columns}]
    return report.Report(
        f"Who is who in {', '.join(path.name for path in request.inputs)}",
        figures,
        [
            report.Table(
                "What the columns are",
                "Edit fields.toml and run again where this is wrong.",
                ("column", "kind", "why"),
                columns + left_out,
            ),
            *_retrieval(resolved),
            report.Bars("How sure we are", f"Pairs by probability. {resolved.basis}", report.histogram(resolved.probabilities)),
            report.Bars("How many records people have", "People by the number of their records.", report.sizes(resolved.people)),
            _refusals(resolved),
            report.Table(
                "What has changed since the last run",
                ", ".join(f"{count:,} {what}" for what, count in _counts(found.changed).items()) or "Nothing.",
                ("from", "to", "records"),
                [
                    (row["from_person"], row["to_person"] or "nobody", row["identifiers"])
                    for row in found.changed.rows.slice(0, SHOWN).to_pylist()
                ],
            ),
            report.Table("What it took", "CPU seconds of each step.", ("step", "seconds", ""), steps),
        ],
        [_sample(found, at) for at in _sampled(found)],
        found.notes,
    )


def _retrieval(resolved: Resolved) -> list[report.Table]:
    """How candidates were found, and the blocks that were too large to compare everyone with everyone."""
    told = resolved.retrieved
    if told is None:
        return []
    tables = [
        report.Table(
            "Which pairs were compared",
            f"{told.per_record:.1f} candidates a record. {_hint(told.estimated_recall)}",
            ("found by", "pairs", "by nothing else"),
            [(each.by, each.pairs, each.only) for each in told.found],
        )
    ]
    if told.capped:
        rows = [(each.key, each.value, each.records, each.skipped) for each in told.capped[:SHOWN]]
        lead = (
            "So many records agree here that not all were compared with all; their pairs are found by other keys, or not at all."
        )
        tables.append(report.Table("Blocks that were too large", lead, ("key", "value", "records", "pairs left out"), rows))
    return tables


def _hint(estimated: float | None) -> str:
    """What can be said without labels of how many true pairs are among those compared."""
    if estimated is None:
        return "Nothing here tells how many of the true pairs are among them."
    return (
        f"Keys of different columns find {estimated:.0%} of each other's likely pairs. That is a hint of how many true pairs are "
        "among the candidates, and no measurement: what is wrong in all columns at once is seen by no key."
    )


def _refusals(resolved: Resolved) -> report.Table:
    found = resolved.refusals
    lead = f"{len(found):,} groups of records were not made one person." if found else "No group of records was refused."
    rows = [(each.reason, each.size, resolved.records.ids[each.record], each.detail) for each in found[:SHOWN]]
    return report.Table("What was refused", lead, ("why", "size", "first record", ""), rows)


def _told(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:,}" for name, value in facts.items() if isinstance(value, int | float))


def _sampled(found: Found) -> list[int]:
    """One pair of each verdict: the median same, the most useful unsure, the likeliest of the unlikely."""
    chances, codes = found.resolved.probabilities, found.verdicts.codes
    same, different = np.flatnonzero(codes == 1), np.flatnonzero(codes == -1)
    middle = same[np.argsort(chances[same], kind="stable")[len(same) // 2 : len(same) // 2 + 1]]
    nearest = different[np.lexsort((-chances[different], chances[different] > UNLIKELY))[:1]]
    return [*middle.tolist(), *(each.place for each in found.questions[:1]), *nearest.tolist()]


def _sample(found: Found, at: int) -> report.Sample:
    resolved = found.resolved
    left, right = int(resolved.pairs.left[at]), int(resolved.pairs.right[at])
    return report.Sample(
        NAMES[int(found.verdicts.codes[at])],
        resolved.records.ids[left],
        resolved.records.ids[right],
        explain.values(resolved.records, left),
        explain.values(resolved.records, right),
        explain.waterfall(resolved.scorer, resolved.evidence, at, float(resolved.probabilities[at])),
    )
