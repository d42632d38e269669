"""The bundle: what comes back is what went in, and anything else is refused before it can do harm."""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.registry.makers import SCHEMA, a_bundle, some_model, some_rows
from whence import bundle as bundle_module
from whence.bundle import (
    BundleBroken,
    BundleError,
    BundleMissing,
    BundleUnsigned,
    BundleWrong,
    InputError,
    Scorer,
    encode,
    golden_rows,
    load_bundle,
    signing_key,
    write_bundle,
)
from whence.contracts.models import FeatureSchema

ROWS = some_rows(1500)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    root = tmp_path_factory.mktemp("home") / "bundles"
    return root, a_bundle(root, rows=ROWS, rounds=8)


@pytest.fixture
def copy(made: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    """A bundle of one's own to break, with the key beside it."""
    root, digest = made
    shutil.copytree(root.parent, tmp_path / "home")
    return tmp_path / "home" / "bundles", digest


def test_a_loaded_bundle_scores_as_lightgbm_and_the_calibrator_do(made: tuple[Path, str]) -> None:
    _, digest = made
    text, calibrator = some_model(ROWS, rounds=8)
    scorer = _scorer(made)

    raw, probability = scorer.score(ROWS)

    wanted = lgb.Booster(model_str=text).predict(encode(ROWS, SCHEMA), raw_score=True)
    assert np.array_equal(raw, wanted)
    assert np.array_equal(probability, calibrator.apply(wanted))
    assert (scorer.model, scorer.digest, scorer.schema) == ("conversion-value", digest, SCHEMA)
    assert scorer.about == {"as_of": "2026-05-10"}


def test_the_same_content_has_the_same_digest_and_is_written_once(made: tuple[Path, str]) -> None:
    root, digest = made
    before = (root / digest / "model.txt").stat().st_mtime_ns
    assert a_bundle(root, rows=ROWS, rounds=8) == digest
    assert (root / digest / "model.txt").stat().st_mtime_ns == before
    assert [path.name for path in root.iterdir()] == [digest]


def test_another_calibrator_schema_or_history_is_another_bundle(made: tuple[Path, str]) -> None:
    root, digest = made
    assert a_bundle(root, rows=ROWS, rounds=8, about={"as_of": "2026-05-11"}) != digest
    assert a_bundle(root, rows=ROWS, rounds=7) != digest


def test_a_row_scores_the_same_in_any_column_order_alone_or_in_a_batch(made: tuple[Path, str]) -> None:
    scorer = _scorer(made)
    whole = scorer.score(ROWS[["channel", "hour", "age", "label"]])[1]
    alone = [scorer.score({"hour": [r.hour], "channel": [r.channel], "age": [r.age]})[1][0] for r in ROWS.head(50).itertuples()]
    assert alone == whole[:50].tolist()


def test_no_rows_give_no_scores(made: tuple[Path, str]) -> None:
    raw, probability = _scorer(made).score(ROWS.head(0))
    assert len(raw) == len(probability) == 0


@pytest.mark.service
@settings(max_examples=60, deadline=None)
@given(
    age=st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.integers(-(10**12), 10**12)),
    hour=st.one_of(st.none(), st.floats()),
    channel=st.one_of(st.none(), st.text(), st.sampled_from(["search", "video"])),
)
def test_any_value_of_the_right_kind_gets_a_probability(made: tuple[Path, str], age: Any, hour: Any, channel: Any) -> None:
    scorer = _scorer(made)
    raw, probability = scorer.score({"age": [age], "hour": [hour], "channel": [channel]})
    assert np.isfinite(raw).all()
    assert 0 < probability[0] < 1


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"age": [1.0], "hour": [2]}, "no column channel"),
        ({"age": ["1.0"], "hour": [2], "channel": ["video"]}, r"Column age takes numbers, and '1\.0' \(str\)"),
        ({"age": [1.0], "hour": [2], "channel": [3]}, r"Column channel is a category and takes text, and 3 \(int\)"),
        ({"age": [1.0, 2.0], "hour": [2], "channel": ["video"]}, "different lengths"),
        ({"age": [[1.0, 2.0]], "hour": [2], "channel": ["video"]}, "Column age"),
    ],
)
def test_rows_that_do_not_fit_are_refused_by_name(made: tuple[Path, str], rows: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        _scorer(made).score(rows)


def test_pandas_own_missing_values_are_missing() -> None:
    schema = FeatureSchema(("n",), {"c": ("x",)})
    frame = pd.DataFrame({"n": pd.array([1, None], "Int64"), "c": pd.array(["x", None], "string")})
    assert encode(frame, schema)[0].tolist() == [1.0, 0.0]
    assert np.isnan(encode(frame, schema)[1]).all()


def test_golden_rows_are_made_up_one_column_at_a_time() -> None:
    rows = pd.DataFrame({"age": [10.5, 20.25] * 50, "hour": [1, 2] * 50, "channel": ["search", "video"] * 50})
    schema = FeatureSchema(("age", "hour"), {"channel": ("search", "video")})
    made_up = golden_rows(rows, schema, 200)

    kept = made_up.iloc[5:].dropna()
    assert not kept["age"].isin([10.5, 20.25]).any(), "no value of a person's comes back"
    assert {(hour, channel) for hour, channel in zip(kept["hour"], kept["channel"], strict=True)} >= {
        (1.0, "video"),
        (2.0, "search"),
    }
    assert made_up.equals(golden_rows(rows, schema, 200)), "the same rows give the same golden rows"
    assert made_up.iloc[0].isna().all()


def _change_a_byte(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(bytes(data))

    return change


def _cut(name: str, share: float) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, int((folder / name).stat().st_size * share))


def _link(folder: Path) -> None:
    (folder / "model.txt").rename(folder.parent / "elsewhere.txt")
    (folder / "model.txt").symlink_to(folder.parent / "elsewhere.txt")


@pytest.mark.parametrize(
    "damage",
    [
        *(pytest.param(_change_a_byte(name), id=f"a byte of {name}") for name in (*bundle_module.FILES, "manifest.json")),
        *(pytest.param(_cut("model.txt", share), id=f"model cut at {share}") for share in (0.0, 0.3, 0.9, 0.999)),
        *(
            pytest.param(lambda folder, n=name: (folder / n).unlink(), id=f"no {name}")
            for name in (*bundle_module.FILES, "manifest.json")
        ),
        pytest.param(lambda folder: (folder / "model.txt").write_bytes(b"x" * 10_000_000), id="a huge model"),
        pytest.param(lambda folder: (folder / "extra.pkl").write_bytes(b"cos\nsystem\n"), id="a pickle beside it"),
        pytest.param(_link, id="a link"),
    ],
)
def test_a_broken_bundle_is_refused_before_anything_reads_it(copy: tuple[Path, str], damage: Callable[[Path], None]) -> None:
    root, digest = copy
    damage(root / digest)
    with pytest.raises(BundleBroken, match=digest[:12]):
        load_bundle(root, digest)


def test_a_bundle_of_another_installation_or_without_signature_is_refused(copy: tuple[Path, str]) -> None:
    root, digest = copy
    with pytest.raises(BundleUnsigned):
        load_bundle(root, digest, key=b"another key")
    (root / digest / "manifest.sig").unlink()
    with pytest.raises(BundleUnsigned):
        load_bundle(root, digest)


@pytest.mark.parametrize("name", ["0" * 64, "../../etc", "", "A" * 64, "0" * 63 + "/"])
def test_a_bundle_that_is_not_there_is_named(made: tuple[Path, str], name: str) -> None:
    with pytest.raises(BundleMissing):
        load_bundle(made[0], name)


def _forge(root: Path, change: Callable[[dict[str, bytes]], None]) -> str:
    """A bundle with right digests and signature whose content is wrong: what a bug or a thief of the key would make."""
    digest = a_bundle(root, rows=ROWS, rounds=8)
    content = {name: (root / digest / name).read_bytes() for name in bundle_module.FILES}
    manifest = json.loads((root / digest / "manifest.json").read_text())
    change(content)
    manifest["files"] = {name: {"bytes": len(data), "sha256": bundle_module._sha256(data)} for name, data in content.items()}
    raw = bundle_module._json(manifest)
    forged = bundle_module._sha256(raw)
    signature = bundle_module._sign(forged, signing_key(root)).encode()
    bundle_module.publish_bundle(root, forged, {**content, "manifest.json": raw, "manifest.sig": signature})
    return forged


def _move_a_leaf(content: dict[str, bytes]) -> None:
    lines = content["model.txt"].decode().splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if line.startswith("leaf_value="))
    values = lines[place].removeprefix("leaf_value=").split()
    lines[place] = "leaf_value=" + " ".join(["1.5", *values[1:]]) + "\n"
    sizes = next(number for number, line in enumerate(lines) if line.startswith("tree_sizes="))
    lines[sizes] = ""
    content["model.txt"] = "".join(lines).encode()


def _truncate_the_text(content: dict[str, bytes]) -> None:
    content["model.txt"] = content["model.txt"][: len(content["model.txt"]) // 2]


def _swap_columns(content: dict[str, bytes]) -> None:
    content["schema.json"] = (
        content["schema.json"].replace(b'"age"', b'"x"').replace(b'"hour"', b'"age"').replace(b'"x"', b'"hour"')
    )


def _reorder_categories(content: dict[str, bytes]) -> None:
    schema = json.loads(content["schema.json"])
    schema["categories"][0][1].reverse()
    content["schema.json"] = json.dumps(schema).encode()


def _lose_golden_rows(content: dict[str, bytes]) -> None:
    content["golden.json"] = b'{"columns": {}, "raw": [], "probability": []}'


@pytest.mark.service
@pytest.mark.parametrize("change", [_move_a_leaf, _truncate_the_text, _swap_columns, _reorder_categories, _lose_golden_rows])
def test_a_signed_bundle_that_scores_otherwise_or_kills_is_refused_by_a_child(
    copy: tuple[Path, str], change: Callable[[dict[str, bytes]], None]
) -> None:
    root, _ = copy
    forged = _forge(root, change)
    with pytest.raises(BundleWrong, match=forged[:12]):
        load_bundle(root, forged)


def test_a_text_that_kills_is_told_as_a_signal(copy: tuple[Path, str]) -> None:
    root, _ = copy
    with pytest.raises(BundleWrong, match=r"killed the process that tried it \(signal \d+\)"):
        load_bundle(root, _forge(root, _truncate_the_text))


def test_a_damaged_bundle_is_mended_by_writing_it_again(copy: tuple[Path, str]) -> None:
    root, digest = copy
    (root / digest / "model.txt").write_text("gone")
    assert a_bundle(root, rows=ROWS, rounds=8) == digest
    assert load_bundle(root, digest).digest == digest
    assert not list(root.glob(".draft-*"))


def test_drafts_of_writers_that_died_are_swept(copy: tuple[Path, str]) -> None:
    root, _ = copy
    for name in (".draft-old", ".draft-young"):
        (root / name).mkdir()
    os.utime(root / ".draft-old", (1, 1))
    a_bundle(root, rows=ROWS, rounds=3)
    assert [path.name for path in root.glob(".draft-*")] == [".draft-young"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": FeatureSchema(("hour", "age"), SCHEMA.categories)}, "Train it on the schema"),
        ({"schema": FeatureSchema(("age", "age"))}, "each column once"),
        ({"golden": ROWS.head(0)}, "no golden rows"),
        ({"about": {"loss": float("nan")}}, "plain JSON alone"),
        ({"about": {"when": object()}}, "plain JSON alone"),
    ],
)
def test_what_cannot_be_a_bundle_is_not_written(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    text, calibrator = some_model(ROWS, rounds=2)
    given = {"schema": SCHEMA, "golden": golden_rows(ROWS, SCHEMA, 16), "about": {}, **change}
    with pytest.raises(BundleError, match=said):
        write_bundle(tmp_path / "bundles", "m", text, calibrator.to_json(), **given)
    assert not (tmp_path / "bundles").exists() or not list((tmp_path / "bundles").iterdir())


def test_a_leaf_that_is_no_number_is_not_written(tmp_path: Path) -> None:
    text, calibrator = some_model(ROWS, rounds=1)
    line = next(line for line in text.splitlines() if line.startswith("leaf_value="))
    first = line.removeprefix("leaf_value=").split()[0]
    poisoned = text.replace(f"leaf_value={first}", f"leaf_value={'nan':<{len(first)}}")
    with pytest.raises(BundleError, match="no number"):
        write_bundle(tmp_path / "bundles", "m", poisoned, calibrator.to_json(), SCHEMA, golden_rows(ROWS, SCHEMA), {})


def test_the_signing_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    root = tmp_path / "bundles"
    key = signing_key(root)
    assert len(key) == 32
    assert signing_key(root) == key
    assert (tmp_path / "bundle.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.key"]
    (tmp_path / "bundle.key").chmod(0o644)
    with pytest.raises(BundleError, match="chmod 600"):
        signing_key(root)


def _write_at_once(root: str) -> str:
    return a_bundle(Path(root), rows=some_rows(400), rounds=2)


@pytest.mark.service
def test_processes_that_write_the_same_bundle_at_once_leave_one_whole(tmp_path: Path) -> None:
    root = tmp_path / "bundles"
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        (digest,) = set(pool.map(_write_at_once, [str(root)] * 4))
    assert [path.name for path in root.iterdir()] == [digest]
    assert load_bundle(root, digest).digest == digest


@pytest.mark.service
def test_scoring_needs_neither_pandas_nor_scikit_learn_nor_lightgbms_wrapper(made: tuple[Path, str]) -> None:
    root, digest = made
    code = (
        "import sys; from pathlib import Path; from whence.bundle import load_bundle; "
        f"load_bundle(Path({str(root)!r}), {digest!r}).score({{'age': [1.0], 'hour': [2], 'channel': ['video']}}); "
        "print([m for m in ('pandas', 'sklearn', 'lightgbm', 'pyarrow', 'mlflow') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@functools.cache
def _scorer(made: tuple[Path, str]) -> Scorer:
    return load_bundle(*made)
