from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from tests.registry import makers
from whence import measures
from whence.bundle import BundleError, golden_rows, load_bundle, write_bundle
from whence.calibration import CalibrationError, Calibrator, Fields, fit
from whence.contracts.models import FeatureSchema
from whence.encoding import encode

SCHEMA = FeatureSchema(("age", "budget"), {"place": ("home", "search"), "campaign": tuple("abcdefgh")})
COLUMNS = ("budget", "campaign")


def some_rows(n: int = 6_000, seed: int = 1) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Rows of queries of six; a score that orders each query right and knows nothing of the level that it is at."""
    generator = np.random.default_rng(seed)
    budget, score = np.repeat(generator.normal(size=n // 6), 6), generator.normal(size=n)
    campaign = generator.integers(0, 8, n)
    rows = pd.DataFrame({"age": generator.normal(size=n), "budget": budget, "query": np.repeat(np.arange(n // 6), 6)})
    rows = rows.assign(place="home", campaign=np.array(SCHEMA.categories["campaign"])[campaign])
    odds = score - 2 + 1.5 * np.sin(2 * budget) + 0.7 * (campaign - 3.5) / 3.5
    return rows, score, (generator.random(n) < expit(odds)).astype(float)


def fields_of(rows: pd.DataFrame) -> Fields:
    return Fields(encode(rows, SCHEMA), SCHEMA, COLUMNS, rows["query"].to_numpy())


ROWS, SCORES, LABELS = some_rows()
MADE = fit("monotone_gbdt", SCORES, LABELS, fields=fields_of(ROWS))
LATER, LATER_SCORES, LATER_LABELS = some_rows(seed=2)


def test_the_level_of_queries_and_fields_is_found_where_platt_and_isotonic_cannot() -> None:
    loss = {"monotone_gbdt": measures.log_losses(LATER_LABELS, MADE.apply(LATER_SCORES, LATER))}
    for kind in ("platt", "isotonic"):
        loss[kind] = measures.log_losses(LATER_LABELS, fit(kind, SCORES, LABELS).apply(LATER_SCORES))
        assert measures.paired_difference(loss[kind], loss["monotone_gbdt"], LATER["query"]).low > 0.05
    ratio = measures.observed_over_expected(LATER_LABELS, MADE.apply(LATER_SCORES, LATER), LATER["query"])
    assert ratio.low < 1 < ratio.high


def test_a_frame_and_the_models_matrix_get_the_same_answers() -> None:
    matrix = encode(LATER, SCHEMA)
    wanted = MADE.apply(LATER_SCORES, matrix)
    assert np.array_equal(MADE.apply(LATER_SCORES, LATER), wanted)
    assert np.array_equal(MADE.apply(LATER_SCORES, LATER[["campaign", "budget"]]), wanted)
    assert MADE.apply(float(LATER_SCORES[3]), matrix[3:4]) == wanted[3]
    assert np.array_equal(MADE.apply(LATER_SCORES[:0], matrix[:0]), wanted[:0])


@given(
    scores=st.lists(st.floats(allow_nan=False), min_size=2, max_size=12),
    budget=st.one_of(st.none(), st.floats()),
    campaign=st.one_of(st.none(), st.sampled_from("abcdefgh"), st.text(max_size=2)),
)
@settings(max_examples=60, deadline=None)
def test_no_two_scores_of_the_same_fields_turn_round(scores: list[float], budget: float | None, campaign: str | None) -> None:
    rows = pd.DataFrame({"budget": [budget] * len(scores), "campaign": [campaign] * len(scores)}).astype({"budget": float})
    probability = MADE.apply(np.sort(scores), rows)
    assert (np.diff(probability) >= 0).all()
    assert ((probability >= 1e-6) & (probability <= 1 - 1e-6)).all()
    apart = np.linspace(-5, 5, len(scores))
    assert (np.diff(MADE.apply(apart, rows)) > 0).all()


def test_the_order_in_every_query_is_kept_when_its_rows_share_their_fields() -> None:
    rows = LATER.assign(campaign="c")
    said = pd.DataFrame({"query": rows["query"], "score": LATER_SCORES, "said": MADE.apply(LATER_SCORES, rows)})
    said = said.sort_values(["query", "score"])
    assert (said.groupby("query")["said"].diff().dropna() > 0).all()


def test_json_keeps_every_bit_and_changed_trees_are_not_read() -> None:
    told = json.loads(json.dumps(MADE.to_json()))
    again = Calibrator.from_json(told)
    assert again == MADE
    assert np.array_equal(again.apply(LATER_SCORES, LATER), MADE.apply(LATER_SCORES, LATER))
    told["trees"]["lightgbm"] = told["trees"]["lightgbm"].replace("leaf_value=", "leaf_value=9", 1)
    with pytest.raises(CalibrationError, match="were changed"):
        Calibrator.from_json(told)


def test_the_same_rows_give_the_same_text() -> None:
    assert fit("monotone_gbdt", SCORES, LABELS, fields=fields_of(ROWS)) == MADE


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (None, "also looks at budget, campaign. Give it the rows' fields"),
        (np.zeros((2, 3)), r"matrix of shape \(2, 3\) came, and the model has 4 columns"),
        (np.zeros((3, 4)), "2 scores and the fields of 3 rows"),
    ],
)
def test_fields_that_do_not_fit_are_refused_in_words(fields: Any, message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        MADE.apply([0.0, 1.0], fields)


def test_a_field_that_the_schema_has_not_is_refused_when_fitting() -> None:
    with pytest.raises(CalibrationError, match=r"no field weather\. There are age"):
        fit("monotone_gbdt", SCORES, LABELS, fields=Fields(fields_of(ROWS).matrix, SCHEMA, ("weather",)))


def test_a_bundle_keeps_the_trees_and_its_digest_covers_them(tmp_path: Path) -> None:
    rows = makers.some_rows(3000)
    schema, labels = makers.SCHEMA, rows["label"].to_numpy()
    matrix = encode(rows, schema)
    text, platt = makers.some_model(rows, rounds=3)
    raw = lgb.Booster(model_str=text).predict(matrix, raw_score=True)
    made = fit("monotone_gbdt", raw, labels, fields=Fields(matrix, schema, ("channel",), rows["person"].to_numpy()))

    def written(calibrator: Calibrator, taken: FeatureSchema = schema) -> str:
        golden = golden_rows(rows, taken, 32)
        return write_bundle(tmp_path / "bundles", "m", text, calibrator.to_json(), taken, golden, {})

    digest = written(made)
    assert digest != written(platt)
    scored, probability = load_bundle(tmp_path / "bundles", digest).score(rows)
    assert np.array_equal(scored, raw)
    assert np.array_equal(probability, made.apply(raw, matrix))

    other = FeatureSchema(schema.numbers, {"channel": ("search", "video", "social")})
    with pytest.raises(BundleError, match="looks at other fields than the schema has"):
        written(made, other)
