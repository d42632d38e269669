"""Fetches what the gate is to look at: bundles, held-out rows, the report of the training, and what monitoring found."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from registry import RegistryError, gate
from registry.gate import recalibration
from registry.policy import Policy, load_policy
from whence import bundle_store
from whence.bundle import BundleError, InputError, Scorer, bundle_bytes, bundle_manifest, encode
from whence.contracts.models import Candidate
from whence.contracts.times import Window
from whence.lake import Lake

if TYPE_CHECKING:
    from registry.journal import Promotion
    from whence.contracts.settings import Settings

NEEDED = ("label", "baseline", "person")
TIMED_ROWS, TIMED_RUNS = 2000, 3


def verdict_on(settings: Settings, candidate: Candidate, champion: Promotion | None) -> gate.Verdict:
    """The gate's verdict on a candidate, against the champion on the candidate's own held-out rows. Raises RegistryError."""
    policy = load_policy(candidate.model, settings.home)
    verdict = replace(_judged(settings, candidate, champion, policy), bundle=candidate.bundle)
    if candidate.drill and verdict.decision == gate.PROMOTE:
        said = f"It was spoiled on purpose ({candidate.drill}), and is never promoted, whatever it measures."
        spoiled = gate.Check("drill", gate.FAIL, said)
        verdict = replace(verdict, decision=gate.REFUSE, reasons=(said,), checks=(*verdict.checks, spoiled))
    basis = {
        "model": candidate.model,
        "as_of": candidate.as_of,
        "policy": policy.digest,
        "owner": policy.owner,
        **_data(candidate),
    }
    if champion is not None:
        verdict = replace(verdict, champion=champion.bundle, epoch=champion.epoch)
    return replace(verdict, basis=basis)


def _judged(settings: Settings, candidate: Candidate, champion: Promotion | None, policy: Policy) -> gate.Verdict:
    rows = held_out(candidate)
    try:
        scorer = bundle_store.load(settings, candidate.bundle)
        new = _evaluation(settings, scorer, candidate.as_of, rows)
    except BundleError as wrong:
        return _stopped("bundle", gate.FAIL, str(wrong))
    except InputError as wrong:
        return _stopped("schema", gate.FAIL, f"The bundle does not take the held-out rows: {wrong}")
    try:
        old = _evaluation(settings, bundle_store.load(settings, champion.bundle), "", rows) if champion else None
    except (BundleError, InputError) as wrong:
        said = f"The champion cannot be scored on the candidate's rows, so nothing compares them: {wrong}"
        return _stopped("champion", gate.UNSURE, said)
    if candidate.recalibrates:
        return _recalibrated(settings, candidate, scorer, new, old, rows, policy)
    new = replace(new, cpu_us=_timed(scorer, rows, Path(candidate.folder)))
    return gate.judge(new, old, policy, _evidence(settings, candidate, scorer, rows))


def _recalibrated(
    settings: Settings,
    candidate: Candidate,
    scorer: Scorer,
    new: gate.Evaluation,
    old: gate.Evaluation | None,
    rows: pd.DataFrame,
    policy: Policy,
) -> gate.Verdict:
    if old is None:
        said = f"{candidate.recalibrates[:12]}, which it recalibrates, is no champion any more. Train a candidate."
        return _stopped("champion", gate.FAIL, said)
    trees = [bundle_manifest(settings.bundles, each)["files"]["model.txt"]["sha256"] for each in (new.bundle, old.bundle)]
    has_same_trees = trees[0] == trees[1] and candidate.recalibrates == old.bundle
    evidence = _evidence(settings, candidate, scorer, rows)
    return recalibration.judge(new, old, policy, evidence, has_same_trees=has_same_trees)


def _stopped(name: str, outcome: str, words: str) -> gate.Verdict:
    return gate.decide((gate.Check(name, outcome, words),))


def held_out(candidate: Candidate) -> pd.DataFrame:
    """The rows that judge, as training left them. Raises RegistryError."""
    path = Path(candidate.folder) / "test.parquet"
    if not path.exists():
        raise RegistryError(f"{candidate.model} has no held-out rows at {path}. Train it again.")
    rows = pd.read_parquet(path)
    if missing := [name for name in NEEDED if name not in rows]:
        raise RegistryError(f"{path} has no column {missing[0]}. Train the candidate again.")
    return rows


def _evaluation(settings: Settings, scorer: Scorer, as_of: str, rows: pd.DataFrame) -> gate.Evaluation:
    raw, probability = scorer.score(rows)
    competes = "group" in rows and (rows["group"] != "").any()
    cut = scorer.about.get("max_candidates")
    return gate.Evaluation(
        bundle=scorer.digest,
        as_of=as_of or str(scorer.about.get("as_of", "")),
        labels=rows["label"].to_numpy(dtype=float),
        probability=probability,
        baseline=rows["baseline"].to_numpy(dtype=float),
        persons=rows["person"].astype(str).to_numpy(),
        slices={name: rows[name].fillna("").astype(str).to_numpy() for name in ("segment", "people") if name in rows},
        queries=rows["group"].astype(str).to_numpy() if competes else None,
        label_age_days=rows["label_age_days"].to_numpy(dtype=float) if "label_age_days" in rows else None,
        ripens_after_days=float(scorer.about.get("ripens_after_days", 0.0)),
        most_candidates=None if cut is None else int(cut),
        unscored=int((~np.isfinite(raw)).sum()),
        size_bytes=bundle_bytes(settings.bundles, scorer.digest),
    )


def _evidence(settings: Settings, candidate: Candidate, scorer: Scorer, rows: pd.DataFrame) -> gate.Evidence:
    folder = Path(candidate.folder)
    blank = pd.Series(np.arange(len(rows)).astype(str))
    return gate.Evidence(
        rows=_hashed(rows.get("row_id", blank)),
        persons=_hashed(rows["person"]),
        content=rows.get("content", pd.Series(np.arange(len(rows)))).to_numpy(dtype=np.uint64),
        seen_at=_times(rows["seen_at"]) if "seen_at" in rows else np.empty(0, dtype="datetime64[us]"),
        delay_days=rows["delay_days"].to_numpy(dtype=float) if "delay_days" in rows else np.full(len(rows), np.nan),
        features=encode(rows, scorer.schema),
        names=scorer.schema.names,
        categories=frozenset(scorer.schema.categories),
        learned=_learned(folder / "learned.parquet"),
        is_by_person=str(scorer.about.get("split", "")).startswith("time and persons"),
        retrieved=_retrieved(folder / "retrieved.parquet"),
        findings=_findings(settings, candidate),
    )


def _learned(path: Path) -> gate.Learned | None:
    if not path.exists():
        return None
    rows = pd.read_parquet(path)
    row, person, content = (rows[name].to_numpy(dtype=np.uint64) for name in ("row_id", "person", "content"))
    return gate.Learned(row, person, content, _times(rows["seen_at"]))


def _retrieved(path: Path) -> gate.Retrieved | None:
    if not path.exists():
        return None
    rows = pd.read_parquet(path)
    return gate.Retrieved(rows["place"].to_numpy(dtype=float), rows["person"].astype(str).to_numpy())


def _findings(settings: Settings, candidate: Candidate) -> tuple[gate.Finding, ...] | None:
    """What monitoring found on the candidate's last day in its model and in the tables that it was made from."""
    day = Window.parse(candidate.as_of)
    told = Lake.of(settings).read("findings", day).to_pylist()
    about = {candidate.model, *_data(candidate).get("tables", {})}
    return tuple(each for row in told for each in _measures(row) if each.model in about) if told else None


def _measures(row: Mapping[str, Any]) -> list[gate.Finding]:
    """A finding as one for each measure behind it: what spoils a training may not be what it is told by."""
    series = json.loads(row["evidence"] or "{}").get("series") or [row]
    first = {(each["model"], each["metric"]): each["segment"] for each in reversed(series)}
    return [gate.Finding(model, row["level"], metric, segment, row["reason"]) for (model, metric), segment in first.items()]


def _data(candidate: Candidate) -> dict[str, Any]:
    """The versions of the tables that it was made from."""
    path = Path(candidate.folder) / "data.json"
    return {"tables": json.loads(path.read_text()).get("tables", {})} if path.exists() else {}


def _timed(scorer: Scorer, rows: pd.DataFrame, folder: Path) -> float:
    """Microseconds of CPU a row; measured once and kept, so that judging again says the same."""
    kept = folder / "timing.json"
    if kept.exists():
        return float(json.loads(kept.read_text())["cpu_us"])
    some = rows.head(TIMED_ROWS)
    spent = []
    for _ in range(TIMED_RUNS):
        started = time.process_time()
        scorer.score(some)
        spent.append(time.process_time() - started)
    cpu_us = round(min(spent) / max(len(some), 1) * 1e6, 3)
    draft = kept.with_name(f".{kept.name}.{secrets.token_hex(4)}")
    draft.write_text(json.dumps({"cpu_us": cpu_us, "rows": len(some)}))
    os.replace(draft, kept)
    return cpu_us


def _hashed(names: pd.Series) -> np.ndarray:
    return np.asarray(pd.util.hash_array(names.astype(str).to_numpy(dtype=object)), dtype=np.uint64)


def _times(column: pd.Series) -> np.ndarray:
    return np.asarray(pd.to_datetime(column, utc=True).dt.tz_localize(None).to_numpy(dtype="datetime64[us]"))
