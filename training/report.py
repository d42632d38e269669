"""What a candidate leaves for the gate and for people: test rows, measures with intervals, plots."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq

from training.examples import Examples
from training.split import TEST, Split
from whence import measures
from whence.measures import Measure
from whence.summaries import summarise, to_rows

Floats = npt.NDArray[np.float64]
PLOTS = ("calibration.png", "scores.png", "gains.png")
TOP_GAINS = 20
NDCG_PLACES = 5
MAIN = ("log_loss", "roc_auc", "observed_over_expected", "saved_over_baseline")


def test_rows(examples: Examples, split: Split, baseline: Floats, raw: Floats, probability: Floats) -> pd.DataFrame:
    """The held-out rows as the gate reads them: the inputs, then what is known of each row, baseline, raw, probability.

    `people` is new on the first day that a person is seen in the examples, known after it. `label_age_days` is how long a
    label had to come, `delay_days` how long a positive one took. `content` is a hash of inputs and label.
    """
    tested = split.rows(TEST)
    chosen = examples.keep(tested)
    facts = chosen.facts[["row_id", "label", "person", "group", "segment", "seen_at", "delay_days"]].astype({"label": "int64"})
    facts = facts.assign(
        label_age_days=chosen.elapsed(chosen.now),
        people=_acquaintance(examples.facts)[tested],
        content=_content(chosen),
    )
    scored = {"baseline": baseline[split.rows(TEST)], "raw": raw, "probability": probability}
    return pd.concat([chosen.inputs, facts], axis=1).assign(**scored)


def learned_rows(examples: Examples, split: Split) -> pd.DataFrame:
    """What the final model was fitted on, as hashes: row_id, person and content, and when each was seen; for the gate's canaries."""
    chosen = examples.keep(split.learned)
    return named(chosen.facts[["row_id", "person", "seen_at"]].assign(content=_content(chosen)))


def write_reference(folder: Path, examples: Examples, split: Split, raw: Floats, as_of: str) -> None:
    """Sum up the inputs that the final model was fitted on, who they are about, and the raw scores of the held-out rows.

    reference.parquet has the columns of the `summaries` table: monitoring compares a day's decisions with it.
    """
    learned = examples.keep(split.learned)
    about = learned.facts["group"].where(learned.facts["group"] != "", learned.facts["row_id"])
    found = {**summarise(learned.inputs.assign(subject=about)), **summarise(pd.DataFrame({"score": raw}))}
    found["subject"] = replace(found["subject"], names={})  # how many there are is asked, not who
    rows = to_rows(found, day=as_of, model="")
    pq.write_table(rows, folder / "reference.parquet")


def named(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows without what they say: hashes of row_id and person, `content`, and `seen_at`."""
    return rows[["row_id", "person", "content", "seen_at"]].assign(**{name: hashed(rows[name]) for name in ("row_id", "person")})


def retrieved(retrieval: pd.DataFrame, rows: pd.DataFrame, split: Split) -> pd.DataFrame:
    """The queries of the people and days that test, with the place at which each one's positive was listed."""
    tested = (retrieval["seen_at"] >= split.test_from) & retrieval["person"].isin(set(rows["person"]))
    return retrieval[tested].reset_index(drop=True)


def hashed(names: pd.Series) -> npt.NDArray[np.uint64]:
    """A 64-bit number for each name, the same in every process."""
    return np.asarray(pd.util.hash_array(names.astype(str).to_numpy(dtype=object)), dtype=np.uint64)


def _content(examples: Examples) -> npt.NDArray[np.uint64]:
    told = examples.inputs.assign(label=examples.labels)
    return np.asarray(pd.util.hash_pandas_object(told, index=False).to_numpy(), dtype=np.uint64)


def _acquaintance(facts: pd.DataFrame) -> npt.NDArray[np.object_]:
    days = facts["seen_at"].dt.floor("D")
    is_first = (days == days.groupby(facts["person"].to_numpy()).transform("min")).to_numpy()
    return np.where(is_first, "new", "known").astype(object)


def measure(rows: pd.DataFrame) -> dict[str, Measure]:
    """Every measure of the test rows, by name; intervals are over persons."""
    y, p, who = rows["label"], rows["probability"], rows["person"].to_numpy()
    loss, other = measures.log_losses(y, p), measures.log_losses(y, rows["baseline"])
    taken = {
        "log_loss": measures.log_loss(y, p, who),
        "baseline_log_loss": measures.log_loss(y, rows["baseline"], who),
        "saved_over_baseline": measures.paired_difference(other, loss, who),
        "brier": measures.brier(y, p, who),
        "observed_over_expected": measures.observed_over_expected(y, p, who),
        "calibration_error": measures.calibration_error(y, p, who),
        "field_calibration_error": measures.field_calibration_error(y, p, rows["segment"], who),
        "roc_auc": measures.roc_auc(y, p, who),
        "average_precision": measures.average_precision(y, p, who),
        "positive_share": measures.mean(y, who),
    }
    if worst := measures.worst_segment(y, p, rows["segment"], who):
        taken["worst_segment"] = worst.ratio
    if (rows["group"] != "").any():
        taken[f"ndcg_at_{NDCG_PLACES}"] = measures.ndcg_at(NDCG_PLACES, y, p, rows["group"], who)
        taken["top1"] = measures.top1(y, p, rows["group"], who)
    return taken


def worst(rows: pd.DataFrame) -> str:
    """The segment of the test rows whose level is off furthest, in words."""
    found = measures.worst_segment(rows["label"], rows["probability"], rows["segment"], rows["person"].to_numpy())
    if found is None:
        return "no segment has rows enough to judge"
    said = "is off" if found.is_off else "may be right, and so may all others"
    return f"{found.segment} {said}: observed / expected {found.ratio}, worst of {found.among}"


def measure_strangers(rows: pd.DataFrame, met: set[str]) -> dict[str, Measure]:
    """The main measures on the test rows of persons that the model never met, when it was not kept from the others."""
    strangers = rows[~rows["person"].isin(met)]
    taken = measure(strangers) if len(strangers) else {}
    return {f"{name}_of_strangers": taken[name] for name in MAIN if name in taken}


def measure_first(rows: pd.DataFrame, raw: Floats, probability: Floats) -> dict[str, Measure]:
    """The main measures of the first model, which met neither the days nor the people of the test."""
    taken = measure(rows.assign(raw=raw, probability=probability))
    return {f"{name}_before_last_fit": taken[name] for name in MAIN}


def write(
    folder: Path,
    rows: pd.DataFrame,
    taken: Mapping[str, Measure],
    parameters: Mapping[str, Any],
    data: Mapping[str, Any],
    gains: Mapping[str, float],
) -> None:
    """Write the report into an empty folder: test.parquet, metrics.json, params.json, data.json and the plots."""
    rows.to_parquet(folder / "test.parquet", index=False)
    for name, content in (
        ("metrics.json", {name: measure.as_dict() for name, measure in taken.items()}),
        ("params.json", dict(parameters)),
        ("data.json", dict(data)),
    ):
        (folder / name).write_text(json.dumps(_plain(content), indent=1, sort_keys=True))
    _plot(folder, rows, gains)


def publish(folder: Path, write: Callable[[Path], None]) -> None:
    """Write a folder whole or not at all; one that is there already holds the same and is left alone."""
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.{secrets.token_hex(4)}")
    draft.mkdir()
    try:
        write(draft)
        draft.rename(folder)
    except OSError:
        if not folder.exists():  # else another run of the same training was first
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _plain(content: Any) -> Any:
    """JSON has no NaN: null stands for a measure that cannot be taken."""
    if isinstance(content, dict):
        return {name: _plain(value) for name, value in content.items()}
    return None if isinstance(content, float) and not np.isfinite(content) else content


def _plot(folder: Path, rows: pd.DataFrame, gains: Mapping[str, float]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    for name, draw in zip(PLOTS, (_draw_calibration, _draw_scores, _draw_gains), strict=True):
        figure = Figure(figsize=(6, 4.5), dpi=100, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure.add_subplot(), rows, gains)
        figure.savefig(folder / name)


def _draw_calibration(axes: Any, rows: pd.DataFrame, _: Mapping[str, float]) -> None:
    """Said against seen, on doubly logarithmic axes: rates of a thousandth and of a half are both to be read."""
    p, y, who = rows["probability"].to_numpy(), rows["label"].to_numpy(dtype=np.float64), rows["person"].to_numpy()
    bins = np.nan_to_num(pd.qcut(p, 10, labels=False, duplicates="drop"))
    cells = [(p[bins == each].mean(), measures.mean(y[bins == each], who[bins == each])) for each in np.unique(bins)]
    said, seen = np.array([each for each, _ in cells]), np.array([each.value for _, each in cells])
    floor = 0.3 * min(said.min(), seen[seen > 0].min(initial=1.0))
    reach = np.array([[max(each.value - each.low, 0), max(each.high - each.value, 0)] for _, each in cells]).T
    ends = [floor, min(1.0, 2 * max(said.max(), seen.max()))]
    axes.plot(ends, ends, color="black", linewidth=1, linestyle="--", label="said = seen")
    axes.errorbar(
        said,
        np.maximum(seen, floor),
        yerr=reach,
        fmt="o",
        color="black",
        markerfacecolor="white",
        capsize=3,
        label="tenths of the test rows, 95 % by person",
    )
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    axes.set(
        xlabel="probability said", ylabel="share seen (the lowest edge is none)", title="Calibration on held-out people and days"
    )
    axes.legend(frameon=False, loc="upper left")


def _draw_scores(axes: Any, rows: pd.DataFrame, _: Mapping[str, float]) -> None:
    edges = np.histogram_bin_edges(rows["raw"], bins=40)
    for label, filled, words in ((0, "0.8", "negatives"), (1, "none", "positives")):
        taken = rows.loc[rows["label"] == label, "raw"]
        hatch = "////" if label else None
        axes.hist(
            taken, bins=edges, density=True, histtype="stepfilled", facecolor=filled, edgecolor="black", hatch=hatch, label=words
        )
    axes.set(xlabel="raw score", ylabel="density", title="Scores of the test rows")
    axes.legend(frameon=False)


def _draw_gains(axes: Any, _: pd.DataFrame, gains: Mapping[str, float]) -> None:
    ordered = sorted(gains.items(), key=lambda pair: (-pair[1], pair[0]))[:TOP_GAINS][::-1]
    axes.barh([name for name, _ in ordered], [gain for _, gain in ordered], color="0.4")
    axes.tick_params(axis="y", labelsize=7)
    axes.set(xlabel="gain in training", title="What the model looks at")
