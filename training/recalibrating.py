"""The champion's trees unchanged, with a calibrator moved to what came of its own latest decisions: seconds, not hours.

When the level of the world moves, the order of its rows mostly stays: the log-odds that the champion says are shifted, and
stretched where that is better for sure, to the ripe labels of the decision log. The rows that judge are later than those
that were fitted to.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, logit

from training import contest, known, report
from training.datasets import READS
from training.errors import TooFewLabels, TrainingError
from whence import bundle_store, measures
from whence.bundle import Scorer, bundle_content, golden_rows, write_bundle
from whence.calibration import Calibrator, moved
from whence.calibration import fit as fit_calibrator
from whence.contracts.models import CONVERSION_VALUE, LABELLED, Candidate
from whence.contracts.settings import Settings
from whence.contracts.times import Window
from whence.lake import Lake

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Labels = Callable[[Settings, str, date, pd.DataFrame], pd.DataFrame]
"""What came of decisions, as known at the end of a day: settings, model, day and decisions with day, subject and option in;
the columns row (a decision's place), label and cluster out."""
Progress = Callable[[str], None]

LEAST = 50
"""Labels of each class that are fitted to …"""
LEAST_JUDGES = 30
"""… and that judge."""
MOST_SHIFT = 40.0
"""Log-odds; no two calibrated probabilities are further apart."""


@dataclass(frozen=True)
class Move:
    """How a calibrator's log-odds are moved, and why so."""

    shift: float
    stretch: float
    words: str

    def of(self, calibrator: Calibrator) -> Calibrator:
        """The calibrator, moved."""
        return moved(calibrator, self.shift, self.stretch)


def recalibrate(
    settings: Settings, model: str, as_of: date, champion: str, labels: Labels, progress: Progress | None = None
) -> Candidate:
    """A candidate with the trees of the bundle `champion` and a calibrator of its own, from what came of decisions by `as_of`.

    Looks at the newest ripe days, since the level moved, of those that the trees have not learned from; days on which nothing
    should be published are left out. The same tables give the same bundle, also once it is champion itself. Raises
    TooFewLabels with what came, and TrainingError for a model that has no labels.
    """
    if model not in LABELLED:
        raise TrainingError(f"{model} has no labels to be calibrated on. Recalibrate {', '.join(LABELLED)}.")
    say = progress or _quiet
    scorer = _base(settings, champion, as_of)
    say(f"{model}: reading what came of the decisions since {_since(scorer)}")
    lake = Lake.of(settings)
    found = _labelled(settings, lake, scorer, as_of, labels)
    demand(found, f"are ripe by {as_of} of decisions since {_since(scorer)}; {model} {scorer.digest[:12]} is of the days before")
    rows = found.assign(baseline=scorer.score(_inputs(found, scorer))[1])
    rows = latest(rows)
    inputs = _inputs(rows, scorer)
    raw, said = scorer.score(inputs)
    rows = rows.assign(baseline=said, raw=raw)
    fits = earlier(rows)
    taught = rows[fits]
    old, schema, text = _parts(settings, scorer)
    move = fitted(
        taught["baseline"].to_numpy(), taught["label"].to_numpy(float), taught["person"].to_numpy(), is_line=old.trees is None
    )
    say(f"{model}: {move.words}, on {len(taught)} of {len(rows)} decisions")
    calibrator = move.of(old)
    about = {**scorer.about, "recalibrated": _lineage(scorer, as_of, taught, rows[~fits], move)}
    golden = golden_rows(inputs[fits], schema)
    digest = write_bundle(settings.bundles, model, text, calibrator.to_json(), schema, golden, about)
    judged = rows[~fits].assign(probability=calibrator.apply(raw[~fits], inputs[~fits]))
    folder = settings.candidates / model / str(as_of) / digest
    tables = known.versions(lake, (*READS[model], "decisions"))
    report.publish(folder, lambda draft: _report(draft, taught, judged, inputs, about, tables, text))
    return Candidate(model, digest, str(as_of), str(folder), recalibrates=scorer.digest)


def fitted(probability: Floats, labels: Floats, persons: npt.NDArray[Any], *, is_line: bool = True) -> Move:
    """How to move log-odds so that these probabilities agree with the labels; a stretch only where it is better for sure.

    The two compete on rows of people that they were not fitted to, where there are enough of them. Raises TooFewLabels when
    all labels are of one class.
    """
    if not 0 < labels.sum() < len(labels):
        raise TooFewLabels(
            f"All of {len(labels)} labels are {labels.max(initial=0):g}. Wait until some of the other kind are ripe."
        )
    odds = logit(probability)

    def by_shift(taught: Bools, asked: Bools) -> Floats:
        return np.asarray(expit(odds[asked] + _shift(odds[taught], labels[taught])))

    def by_line(taught: Bools, asked: Bools) -> Floats:
        stretch, shift = _line(odds[taught], labels[taught])
        return np.asarray(expit(stretch * odds[asked] + shift))

    if is_line and min(len(set(persons[labels == each])) for each in (0, 1)) >= LEAST:
        shifted, stretched = (measures.log_losses(labels, contest.crossed(persons, each)) for each in (by_shift, by_line))
        saved = measures.paired_difference(shifted, stretched, persons)
        if saved.low > 0:
            stretch, shift = _line(odds, labels)
            return Move(shift, stretch, f"log-odds times {stretch:.3f}, plus {shift:+.3f}: saves {saved} nats over a shift alone")
    shift = _shift(odds, labels)
    return Move(shift, 1.0, f"log-odds plus {shift:+.3f}")


def _shift(odds: Floats, labels: Floats) -> float:
    """What makes the expected number of positives the observed one, which is also what is likeliest."""
    return float(brentq(lambda shift: expit(odds + shift).sum() - labels.sum(), -MOST_SHIFT, MOST_SHIFT))


def _line(odds: Floats, labels: Floats) -> tuple[float, float]:
    """The likeliest stretch and shift."""
    stretch, shift = fit_calibrator("platt", odds, labels).parameters
    return stretch, shift


def _base(settings: Settings, champion: str, as_of: date) -> Scorer:
    """The bundle to start from: the champion, or what it was made from when it was made on this very day."""
    scorer = bundle_store.load(settings, champion)
    made = scorer.about.get("recalibrated", {})
    if made.get("as_of", "") > str(as_of):
        raise TrainingError(f"The champion {champion[:12]} is calibrated on labels up to {made['as_of']}, later than {as_of}.")
    return bundle_store.load(settings, made["from"]) if made.get("as_of") == str(as_of) else scorer


def _since(scorer: Scorer) -> date:
    """The first day whose decisions can tell of a level: after those that the trees learned from, and of the calibrator's world."""
    made = scorer.about.get("recalibrated")
    return Window.parse(made["days"]).first if made else date.fromisoformat(str(scorer.about["as_of"])) + timedelta(days=1)


def _labelled(settings: Settings, lake: Lake, scorer: Scorer, as_of: date, labels: Labels) -> pd.DataFrame:
    """Decisions about rows that the trees have not learned from, with their ripe labels, by time."""
    first = max(_since(scorer), as_of - timedelta(days=settings.training.window_days - 1))
    decisions = _decisions(settings, lake, scorer, first, as_of)
    if decisions.empty:
        return pd.DataFrame({"day": [], "label": []})
    told = labels(settings, scorer.model, as_of, decisions)
    reach = settings.training.conversion_days if scorer.model == CONVERSION_VALUE else 0.0
    rows = decisions.iloc[told["row"].to_numpy(dtype=np.int64)].reset_index(drop=True)
    rows = rows.assign(label=told["label"].to_numpy(dtype=np.int64), person=told["cluster"].astype(str).to_numpy())
    stopped = map(date.fromisoformat, known.stopped_days(lake, Window(first, as_of)))
    spoiled = {str(day - timedelta(days=back)) for day in stopped for back in range(math.ceil(reach) + 1)}
    return rows[~rows["day"].isin(spoiled)].sort_values(["made_at", "decision_id"], ignore_index=True)


def _decisions(settings: Settings, lake: Lake, scorer: Scorer, first: date, as_of: date) -> pd.DataFrame:
    """At most training.max_rows decisions, whole subjects, that say all that the trees want to know; one a subject and option."""
    if first > as_of:
        return pd.DataFrame()
    query = """
        SELECT day, decision_id, made_at, subject, option, features FROM decisions WHERE model = ?
        QUALIFY row_number() OVER (PARTITION BY subject, option ORDER BY made_at DESC, decision_id) = 1
        ORDER BY md5(subject), decision_id LIMIT ?
    """
    with lake.connect(Window(first, as_of), "decisions") as con:
        found: pd.DataFrame = con.execute(query, [scorer.model, settings.training.max_rows]).df()
    wanted = set(scorer.schema.names)
    is_whole = [wanted <= json.loads(text).keys() for text in found["features"]]
    return found[is_whole].reset_index(drop=True)


def demand(rows: pd.DataFrame, which: str) -> None:
    """Raise TooFewLabels unless there are labels enough of both classes to fit to, and to judge by."""
    positive, least = int(rows["label"].sum()), LEAST + LEAST_JUDGES
    if min(positive, len(rows) - positive) < least:
        raise TooFewLabels(
            f"{positive} positive and {len(rows) - positive} negative labels {which}. {least} of each are needed. "
            "Wait for more days, or retrain."
        )


def latest(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the latest days that have a level of their own: those since which a shift explains most.

    `rows` have day, label and `baseline`, what is said of them now; there must be labels enough for `demand`.
    """
    days = rows["day"].to_numpy()
    odds, labels = logit(rows["baseline"].to_numpy()), rows["label"].to_numpy(dtype=np.float64)
    since = {day: days >= day for day in np.unique(days)}
    least = LEAST + LEAST_JUDGES
    told = {day: at for day, at in since.items() if min(labels[at].sum(), (1 - labels[at]).sum()) >= least}
    best = max(told, key=lambda day: _explained(odds[told[day]], labels[told[day]]))
    return rows[told[best]].reset_index(drop=True)


def _explained(odds: Floats, labels: Floats) -> float:
    """The nats that a shift saves on all of the rows."""
    before, after = (measures.log_losses(labels, expit(each)).sum() for each in (odds, odds + _shift(odds, labels)))
    return float(before - after)


def earlier(rows: pd.DataFrame) -> Bools:
    """The rows before the instant at which half of the rarer label has come: they are fitted to, and later ones judge."""
    label = rows["label"].to_numpy()
    rare = np.flatnonzero(label == int(label.mean() < 0.5))
    middle = rows["made_at"].iloc[rare[len(rare) // 2]]
    return np.asarray(rows["made_at"] < middle)


def _inputs(rows: pd.DataFrame, scorer: Scorer) -> pd.DataFrame:
    """What the trees take, as it was when decided."""
    told = pd.DataFrame.from_records([json.loads(text) for text in rows["features"]], columns=list(scorer.schema.names))
    return told.astype(dict.fromkeys(scorer.schema.numbers, "float64") | dict.fromkeys(scorer.schema.categories, "object"))


def _parts(settings: Settings, scorer: Scorer) -> tuple[Calibrator, Any, str]:
    content = bundle_content(settings.bundles, scorer.digest)
    return Calibrator.from_json(json.loads(content["calibrator.json"])), scorer.schema, content["model.txt"].decode()


def _lineage(scorer: Scorer, as_of: date, taught: pd.DataFrame, judged: pd.DataFrame, move: Move) -> dict[str, Any]:
    """From which bundle, on which days, and how: nothing of when or where it was made."""
    return {
        "from": scorer.digest,
        "as_of": str(as_of),
        "days": f"{taught['day'].min()}..{judged['day'].max()}",
        "judged_from": judged["made_at"].min().isoformat(),
        "rows": len(taught),
        "positives": int(taught["label"].sum()),
        "shift": round(move.shift, 6),
        "stretch": round(move.stretch, 6),
    }


def _report(
    folder: Path,
    taught: pd.DataFrame,
    judged: pd.DataFrame,
    inputs: pd.DataFrame,
    about: dict[str, Any],
    tables: dict[str, int],
    text: str,
) -> None:
    import lightgbm

    end = Window.parse(about["recalibrated"]["as_of"]).end
    rows = _as_rows(judged, inputs, end)
    booster = lightgbm.Booster(model_str=text)
    gains = dict(zip(booster.feature_name(), booster.feature_importance("gain").tolist(), strict=True))
    parameters = {f"recalibrated.{name}": value for name, value in about["recalibrated"].items()} | {"as_of": about["as_of"]}
    data = {"tables": tables, "rows": {"calibrate": len(taught), "test": len(judged)}}
    report.write(folder, rows, report.measure(rows), parameters, data, gains)
    report.named(_as_rows(taught, inputs, end)).to_parquet(folder / "learned.parquet", index=False)


def _as_rows(rows: pd.DataFrame, inputs: pd.DataFrame, end: datetime) -> pd.DataFrame:
    """Rows as the gate reads them; what stands for a baseline is what the bundle says that is recalibrated."""
    told = inputs.loc[rows.index]
    facts = rows[["label", "person", "baseline", "raw"]].assign(
        row_id=rows["subject"].str.cat(rows["option"].fillna(""), sep="|"),
        group=rows["subject"].where(rows["option"].notna(), ""),
        segment=told["channel"].fillna("") if "channel" in told else "all",
        seen_at=rows["made_at"],
        delay_days=np.nan,
        label_age_days=(pd.Timestamp(end) - rows["made_at"]).dt.total_seconds() / 86_400,
        content=pd.util.hash_pandas_object(told.assign(label=rows["label"]), index=False).to_numpy(dtype=np.uint64),
        **({"probability": rows["probability"]} if "probability" in rows else {}),
    )
    return pd.concat([told, facts], axis=1).reset_index(drop=True)


def _quiet(_: str) -> None:
    """Say nothing."""
