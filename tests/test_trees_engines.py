"""Our kernel against LightGBM: the same bits for any row, or LightGBM itself."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pytest

import whence.trees
from hatch_build import build
from whence.trees import Trees, TreesError, blend, fastest
from whence.trees.engines import NUMBERS, adversarial, is_same
from whence.trees.layout import lay_out
from whence.trees.text import read

Floats = npt.NDArray[np.float64]

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler here, so no kernel was built")

MODELS: Mapping[str, Mapping[str, Any]] = {
    "numbers": {},
    "categories": {"categorical_feature": [2, 3, 4], "max_cat_threshold": 60, "min_data_per_group": 1, "cat_smooth": 1},
    "zero is missing": {"zero_as_missing": True},
    "nothing is missing": {"use_missing": False},
    "boosted from nothing": {"boost_from_average": False, "objective": "regression"},
    "no tree can split": {"min_data_in_leaf": 100_000},
    "stumps": {"num_leaves": 2},
    "as many leaves as fit": {"num_leaves": 256, "min_data_in_leaf": 1, "min_sum_hessian_in_leaf": 0.0, "rounds": 3},
    "as many thresholds as fit": {"max_bin": 255, "num_leaves": 200, "min_data_in_leaf": 3, "rounds": 25},
}
LEFT_TO_LIGHTGBM: Mapping[str, Mapping[str, Any]] = {
    "257 leaves": {"num_leaves": 300, "min_data_in_leaf": 1, "min_sum_hessian_in_leaf": 0.0, "rounds": 1, "max_bin": 2000},
    "linear leaves": {"linear_tree": True, "rounds": 2},
    "an average of trees": {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5, "rounds": 2},
}


def some_rows(count: int = 1500, seed: int = 0) -> Floats:
    """Two skewed numbers, two small categories and one of 700 codes; some are missing, some are zero."""
    rng = np.random.default_rng(seed)
    rows = np.column_stack(
        [
            rng.normal(size=count),
            np.round(rng.exponential(size=count) * 100),
            rng.integers(0, 5, count),
            rng.integers(0, 150, count),
            rng.integers(0, 700, count),
        ]
    ).astype(np.float64)
    rows[rng.random(rows.shape) < 0.05] = np.nan
    rows[rng.random(rows.shape) < 0.05] = 0.0
    return rows


@cache
def a_model(more: tuple[tuple[str, Any], ...]) -> str:
    """The text of a model of these rows, with these parameters."""
    rows = some_rows()
    known = np.nan_to_num(rows)
    odds = known[:, 0] + 0.01 * known[:, 1] + (known[:, 3] % 7 == 3) - (known[:, 4] % 5 == 1) - 1
    labels = np.random.default_rng(1).random(len(rows)) < 1 / (1 + np.exp(-odds))
    given = {name: list(value) if isinstance(value, tuple) else value for name, value in more}
    rounds, categories = given.pop("rounds", 12), given.pop("categorical_feature", "auto")
    quiet = {"verbosity": -1, "num_threads": 1, "deterministic": True, "seed": 1}
    parameters = {"objective": "binary", "num_leaves": 31, "min_data_in_leaf": 5, **quiet, **given}
    data = lgb.Dataset(rows, labels.astype(int), categorical_feature=categories, params={**quiet, **parameters})
    told: str = lgb.train(parameters, data, rounds).model_to_string()
    return told


def made(parameters: Mapping[str, Any]) -> str:
    """The model of some parameters, trained once."""
    return a_model(tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in parameters.items()))


@pytest.mark.parametrize("vectors", range(len(blend.NAMES)), ids=blend.NAMES)
@pytest.mark.parametrize("parameters", MODELS.values(), ids=MODELS)
def test_the_kernel_scores_every_row_as_lightgbm_does_bit_by_bit(parameters: Mapping[str, Any], vectors: int) -> None:
    if vectors > blend.vectors():
        pytest.skip("this processor has no such vectors")
    text = made(parameters)
    rows = np.concatenate([some_rows(70, seed=7), adversarial(read(text), seed=5)])
    wanted = Trees(text).raw(rows)

    kernel = blend.Blend(read(text), vectors)

    assert is_same(kernel.raw(rows), wanted)
    for count in (0, 1, 7, 31, 32, 33, 63, 64, 65, 129):
        assert is_same(kernel.raw(rows[:count]), wanted[:count]), f"{count} rows"


@pytest.mark.parametrize("parameters", MODELS.values(), ids=MODELS)
def test_the_fastest_engine_of_a_plain_model_is_the_kernel(parameters: Mapping[str, Any]) -> None:
    text = made(parameters)
    assert fastest(text, Trees(text), some_rows(40)).engine == blend.NAMES[blend.vectors()]


@pytest.mark.parametrize("parameters", LEFT_TO_LIGHTGBM.values(), ids=LEFT_TO_LIGHTGBM)
def test_what_the_kernel_cannot_do_exactly_is_left_to_lightgbm(parameters: Mapping[str, Any]) -> None:
    text, rows = made(parameters), some_rows(40)
    engine = fastest(text, Trees(text))
    assert engine.engine == "lightgbm"
    assert is_same(engine.raw(rows), np.asarray(lgb.Booster(model_str=text).predict(rows, raw_score=True)))


@pytest.mark.parametrize(
    ("categories", "said"), [("auto", "has 2\\d\\d thresholds"), ([0], "tells 1\\d\\d\\d codes")], ids=["thresholds", "codes"]
)
def test_more_thresholds_or_codes_than_fit_are_left_to_lightgbm(categories: Any, said: str) -> None:
    column = np.random.default_rng(0).permutation(9000) % 3000
    shape = {"num_leaves": 150, "min_data_in_leaf": 1, "max_bin": 4000, "min_data_per_group": 1, "cat_smooth": 0, "verbosity": -1}
    many = {"objective": "regression", "max_cat_threshold": 2000, "num_threads": 1, **shape}
    data = lgb.Dataset(column[:, None].astype(float), column * 7919 % 3000, categorical_feature=categories, params=many)
    text = lgb.train(many, data, 2).model_to_string()
    with pytest.raises(TreesError, match=said):
        lay_out(read(text))
    assert fastest(text, Trees(text)).engine == "lightgbm"


def test_a_category_whose_codes_are_hashes_is_left_to_lightgbm() -> None:
    codes = np.random.default_rng(0).integers(0, 4, 400) * 700_000
    shape = {"objective": "regression", "min_data_in_leaf": 1, "min_data_per_group": 1, "cat_smooth": 0, "verbosity": -1}
    data = lgb.Dataset(codes[:, None].astype(float), codes % 3, categorical_feature=[0], params={**shape, "num_threads": 1})
    text = lgb.train({**shape, "num_threads": 1}, data, 1).model_to_string()
    with pytest.raises(TreesError, match=r"has a code of \d+, and those below 1048576 are taken"):
        lay_out(read(text))
    assert fastest(text, Trees(text)).engine == "lightgbm"


def test_an_engine_that_scores_one_row_otherwise_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    text, other = made(MODELS["numbers"]), made(MODELS["stumps"])
    with caplog.at_level(logging.ERROR):
        assert fastest(text, Trees(other)).engine == "lightgbm"
    assert "does not score this model as LightGBM does" in caplog.text


def test_adversarial_rows_hold_every_threshold_its_neighbours_and_what_no_feature_should_hold() -> None:
    forest = read(made(MODELS["stumps"]))
    rows = adversarial(forest)
    for feature in range(5):
        known = forest.threshold[forest.feature == feature]
        wanted = [*known, *np.nextafter(known, np.inf), *np.nextafter(known, -np.inf), *NUMBERS]
        assert np.isin(np.array(wanted)[~np.isnan(wanted)], rows[:, feature]).all()
        assert np.isnan(rows[:, feature]).any()


def test_threads_that_score_at_once_get_their_own_rows_scores() -> None:
    text = made(MODELS["categories"])
    engine, parts = fastest(text, Trees(text)), [some_rows(500, seed=seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        for rows, scores in zip(parts * 4, pool.map(engine.raw, parts * 4), strict=True):
            assert is_same(scores, engine.raw(rows))


def test_rows_of_another_width_are_refused_by_every_engine() -> None:
    text = made(MODELS["numbers"])
    for engine in (Trees(text), fastest(text, Trees(text))):
        with pytest.raises(TreesError, match=r"takes 5 columns, and a matrix of shape \(3, 4\)"):
            engine.raw(np.zeros((3, 4)))


def test_rows_in_any_order_of_memory_or_kind_of_number_score_the_same() -> None:
    text = made(MODELS["numbers"])
    engine, rows = fastest(text, Trees(text)), some_rows(90)
    assert is_same(engine.raw(np.asfortranarray(rows)), engine.raw(rows))
    assert is_same(engine.raw(rows[::3]), engine.raw(rows)[::3])
    assert is_same(engine.raw(np.ones((4, 5), np.float32)), engine.raw(np.ones((4, 5))))


@pytest.mark.parametrize("name", ["numbers", "categories", "no tree can split"])
def test_contributions_of_a_row_add_up_to_its_score(name: str) -> None:
    trees, rows = Trees(made(MODELS[name])), some_rows(50)
    told = trees.contributions(rows)
    assert told.shape == (50, 6)
    assert np.allclose(told.sum(axis=1), trees.raw(rows), rtol=0, atol=1e-9)


def test_a_kernel_is_built_once_and_older_ones_go(tmp_path: Path) -> None:
    source = tmp_path / "blend.c"
    source.write_text("int one(void) { return 1; }\n")
    first = build(source, "cc")
    assert build(source, "cc") == first
    source.write_text("int one(void) { return 2; }\n")
    second = build(source, "cc")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["blend.c", second.name])
    assert first != second


def test_without_a_compiler_or_with_a_source_that_does_not_compile_nothing_is_left_behind(tmp_path: Path) -> None:
    source = tmp_path / "blend.c"
    source.write_text("no C at all\n")
    with pytest.raises(OSError, match="no-such-compiler"):
        build(source, "no-such-compiler")
    with pytest.raises(subprocess.CalledProcessError):
        build(source, "cc")
    assert [path.name for path in tmp_path.iterdir()] == ["blend.c"]


@pytest.mark.service
def test_without_the_kernel_lightgbm_scores_and_says_what_to_install(tmp_path: Path) -> None:
    package = Path(whence.trees.__file__).parent
    shutil.copytree(package, tmp_path / "whence" / "trees", ignore=shutil.ignore_patterns("_blend-*", "__pycache__"))
    (tmp_path / "whence" / "__init__.py").touch()
    (tmp_path / "model.txt").write_text(made(MODELS["numbers"]))
    code = (
        "import logging, pathlib; logging.basicConfig(level=logging.INFO); from whence.trees import Trees, fastest; "
        "text = pathlib.Path('model.txt').read_text(); print(fastest(text, Trees(text)).engine)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "lightgbm"
    assert "Install a C compiler" in done.stderr
