"""One training from tables to a candidate: examples, split, fit, bundle, report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from training import datasets, known, refunds, report
from training.audit import Audited, Trained
from training.delayed import CHOICES
from training.errors import TooFewLabels, TrainingError
from training.examples import Examples
from training.fit import BASELINE_PRIOR, DRILLS, PARAMETERS, Fitted, baseline, fit
from training.learner import ROUNDS
from training.split import CALIBRATE, FIT, FRESH, TEST, Split, split
from whence.bundle import encode, golden_rows, write_bundle
from whence.contracts.models import CONVERSION_VALUE, MODELS, Candidate
from whence.contracts.settings import Settings
from whence.contracts.times import Window
from whence.lake import Lake
from whence.measures import Measure
from whence.trees import Trees

Progress = Callable[[str], None]


def run(settings: Settings, model: str, as_of: date, drill: str = "", progress: Progress | None = None) -> Candidate:
    """See training.train."""
    say = progress or _quiet
    _check(model, drill, settings.training.delay)
    say(f"{model}: reading what was known at the end of {as_of}")
    examples = datasets.build(settings, model, as_of)
    if not len(examples.facts):
        raise TooFewLabels(f"There is not one example for {model} up to {as_of}. {_MISSING[model]}")
    chosen = settings.training
    cut = split(
        examples.seen_at, examples.facts["person"], examples.ripe(), chosen.holdout_time, chosen.holdout_persons, chosen.seed
    )
    say(f"{model}: fitting on {int(cut.learned.sum())} of {len(examples.facts)} examples")
    fitted = fit(examples, cut, chosen.seed, chosen.threads, drill, chosen.delay)
    audited = _audited(examples, cut, fitted)
    about = _about(settings, examples, cut, as_of, drill) | dict(audited.about)
    golden = golden_rows(examples.inputs[cut.learned], fitted.schema)
    digest = write_bundle(settings.bundles, model, fitted.text, fitted.calibrator.to_json(), fitted.schema, golden, about)
    say(f"{model}: measuring bundle {digest[:12]}")
    folder = settings.candidates / model / str(as_of) / digest
    lake = Lake.of(settings)
    data = _data(lake, model, about)
    back = refunds.expected(settings, lake, known.history(lake, as_of, chosen.window_days)) if model == CONVERSION_VALUE else {}
    report.publish(folder, lambda draft: _report(draft, examples, cut, fitted, about, data, {**back, **audited.measures}))
    return Candidate(model, digest, str(as_of), str(folder), drill)


_MISSING = {
    "identity-ranker": "It learns from signals with a log-in (sightings, conversions) on networks that feature tables know: "
    "ingest more days, resolve identities and materialise features first.",
    "attribution-ranker": "It learns from conversions that carry the click_id of an earlier click of the same person: "
    "ingest more days and resolve identities first.",
    "conversion-value": "It learns from touches: ingest events first.",
    "exposure-response": "It learns from conversions of known persons: ingest more days and resolve identities first.",
}


def _check(model: str, drill: str, delay: str) -> None:
    if model not in MODELS:
        raise TrainingError(f"There is no model '{model}'. There are {', '.join(MODELS)}.")
    if drill not in DRILLS:
        raise TrainingError(f"There is no drill '{drill}'. There is {', '.join(each for each in DRILLS if each)}.")
    if delay not in CHOICES:
        raise TrainingError(f"training.delay cannot be '{delay}'. It may be {', '.join(CHOICES)}.")


def _audited(examples: Examples, cut: Split, fitted: Fitted) -> Audited:
    if examples.audit is None:
        return Audited()
    strangers = set(examples.facts["person"]) - set(examples.facts.loc[cut.learned, "person"])
    return examples.audit(Trained(fitted.schema, Trees(fitted.text), fitted.calibrator), strangers)


def _about(settings: Settings, examples: Examples, cut: Split, as_of: date, drill: str) -> dict[str, Any]:
    """What the bundle says of its making; nothing of when or where, so that the same inputs give the same digest."""
    parts = {part: examples.labels[cut.rows(part)] for part in (FIT, FRESH, CALIBRATE, TEST)}
    stopped = known.stopped_days(Lake.of(settings), Window(as_of, as_of).back(settings.training.window_days))
    return {
        "as_of": str(as_of),
        **({"left_out": ", ".join(stopped)} if stopped else {}),
        "drill": drill,
        "examples": examples.digest(),
        "seed": settings.training.seed,
        "split": _apart(examples, cut),
        "calibrate_from": cut.calibrate_from.isoformat(),
        "test_from": cut.test_from.isoformat(),
        "label_window_days": examples.window_days,
        "learning": dict(examples.learning),
        "ripens_after_days": round(examples.ripens_after(), 4),
        **({"max_candidates": settings.identity.max_candidates} if examples.retrieval is not None else {}),
        "rows": {part: len(labels) for part, labels in parts.items()},
        "positives": {part: int(labels.sum()) for part, labels in parts.items()},
    }


def _data(lake: Lake, model: str, about: Mapping[str, Any]) -> dict[str, Any]:
    names = datasets.READS[model]
    return {"tables": known.versions(lake, names), **{name: about[name] for name in ("examples", "rows", "positives", "as_of")}}


def _parameters(fitted: Fitted, about: Mapping[str, Any]) -> dict[str, Any]:
    learner = {f"lightgbm.{name}": value for name, value in {**PARAMETERS, **about["learning"]}.items()}
    made = {
        "rounds": fitted.rounds,
        "most_rounds": ROUNDS,
        "calibrator": fitted.calibrator.kind,
        "lightgbm.objective": fitted.objective,
        "unripe_rows_weighed": fitted.weighted,
        "baseline_prior_rows": BASELINE_PRIOR,
    }
    flat = {name: json.dumps(value, sort_keys=True) if isinstance(value, dict) else value for name, value in about.items()}
    return {**learner, **made, **fitted.words, **flat}


def _apart(examples: Examples, cut: Split) -> str:
    """How the judging rows were kept apart from what is learned."""
    if cut.is_by_person:
        return "time and persons, by lot"
    persons = examples.facts["person"]
    is_met = persons[cut.rows(TEST)].isin(set(persons[cut.learned])).any()
    return "time alone: many persons are met again" if is_met else "time and persons: who is met twice does not judge"


def _report(
    folder: Path,
    examples: Examples,
    cut: Split,
    fitted: Fitted,
    about: Mapping[str, Any],
    data: Mapping[str, Any],
    more: Mapping[str, Measure],
) -> None:
    matrix = encode(examples.inputs[cut.rows(TEST)], fitted.schema)
    raw = Trees(fitted.text).raw(matrix)
    rows = report.test_rows(examples, cut, baseline(examples, cut), raw, fitted.calibrator.apply(raw, matrix))
    taken = report.measure(rows) | report.measure_first(rows, fitted.first_raw, fitted.first_probability) | dict(fitted.numbers)
    taken |= more
    if not cut.is_by_person:
        met = set(examples.facts.loc[cut.learned, "person"])
        taken |= report.measure_strangers(rows, met)
    report.write(folder, rows, taken, _parameters(fitted, about) | {"worst_segment": report.worst(rows)}, data, fitted.gains)
    report.learned_rows(examples, cut).to_parquet(folder / "learned.parquet", index=False)
    report.write_reference(folder, examples, cut, raw, about["as_of"])
    if examples.retrieval is not None:
        report.retrieved(examples.retrieval, rows, cut).to_parquet(folder / "retrieved.parquet", index=False)


def _quiet(_: str) -> None:
    """Say nothing."""
