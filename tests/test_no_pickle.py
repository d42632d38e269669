"""A pickle runs what its writer likes. Nothing here makes one, and no loader that we have opens one."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

import registry
from infra import platform
from registry.journal import Journal
from tests.builders import some_settings
from tests.registry.makers import a_bundle, some_rows
from tests.test_bundle_refusals import forge
from whence import bundle as bundles
from whence.calibration import Calibrator
from whence.contracts.models import CONVERSION_VALUE
from whence.contracts.settings import Settings
from whence.contracts.times import Window
from whence.lake import Lake

REPOSITORY = Path(__file__).parents[1]
ROOMS = ("whence", "features", "training", "registry", "serving", "monitoring", "infra", "dags")
UNPICKLERS = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "skops"}
VARIABLE = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"
DAY = date(2026, 5, 10)


class Bomb:
    """Unpickled, it leaves a file."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "it went off"


@pytest.fixture
def bomb(mark: Path) -> bytes:
    data = pickle.dumps(Bomb(mark))
    pickle.loads(data)
    assert mark.exists(), "the bomb is a real one"
    mark.rmdir()
    return data


def test_no_room_imports_what_reads_pickles():
    paths = [each for room in ROOMS for each in (REPOSITORY / room).rglob("*.py")]
    suspects = {path: text for path in paths if any(word in (text := path.read_text()) for word in (*UNPICKLERS, "pickle"))}
    found = []
    for path, text in suspects.items():
        for node in ast.walk(ast.parse(text)):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [f"{path}: {name}" for name in names if name.partition(".")[0] in UNPICKLERS]
            if isinstance(node, ast.Attribute) and node.attr in ("read_pickle", "to_pickle"):
                found.append(f"{path}: {node.attr}")
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and getattr(node.value, "value", None) is not False:
                found.append(f"{path}: allow_pickle")
    assert len(paths) > 100
    assert found == []


@pytest.mark.service
def test_a_pickle_in_the_place_of_any_file_of_a_bundle_does_not_go_off(tmp_path: Path, bomb: bytes, mark: Path):
    root = tmp_path / "bundles"
    good = a_bundle(root, rows=some_rows(400), rounds=2)
    for name in bundles.FILES:

        def plant(content: dict[str, bytes], name: str = name) -> None:
            content[name] = bomb

        with pytest.raises(bundles.BundleWrong):
            bundles.load_bundle(root, forge(root, good, plant))
    for name in (*bundles.ALL_FILES, "model.pkl"):
        kept = (root / good / name).read_bytes() if name in bundles.ALL_FILES else None
        (root / good / name).write_bytes(bomb)
        with pytest.raises(bundles.BundleError):
            bundles.load_bundle(root, good)
        (root / good / name).unlink() if kept is None else (root / good / name).write_bytes(kept)
    assert not mark.exists()


def test_a_pickle_in_a_calibrator_or_a_candidates_report_does_not_go_off(tmp_path: Path, bomb: bytes, mark: Path):
    for given in ({"kind": bomb}, {"kind": "platt", "base_rate": bomb}, {"kind": "platt", "parameters": bomb.decode("latin-1")}):
        with pytest.raises(ValueError, match="calibrator"):
            Calibrator.from_json(given)
    settings = some_settings(tmp_path)
    folder = settings.candidates / CONVERSION_VALUE / str(DAY) / ("0" * 64)
    folder.mkdir(parents=True)
    (folder / "candidate.json").write_bytes(bomb)
    with pytest.raises(ValueError, match=r"codec|JSON|Expecting"):
        registry.candidates(settings, DAY)
    assert not mark.exists()


def test_a_pickle_in_the_journal_is_text_and_no_row(tmp_path: Path, bomb: bytes, mark: Path):
    journal = Journal(f"sqlite:///{tmp_path / 'journal.db'}")
    text = bomb.decode("latin-1")
    journal.promote(CONVERSION_VALUE, "a" * 64, text[:64], (text,), "ana", 0, datetime(2026, 5, 3, tzinfo=UTC), {"data": text})
    assert journal.champion(CONVERSION_VALUE).versions == {"data": text}  # type: ignore[union-attr]
    with journal._engine.execution_options(writes=True).begin() as con:
        con.exec_driver_sql("DROP TRIGGER promotions_no_UPDATE")
        for column in ("reasons", "details", "versions"):
            con.exec_driver_sql(f"UPDATE promotions SET {column} = ?", (bomb,))
    with contextlib.suppress(Exception):
        journal.rows()
    with pytest.raises(Exception, match=r"Row 1|bytes|codec"):
        journal.verify()
    assert not mark.exists()


@pytest.mark.service
def test_a_pickle_in_the_place_of_a_tables_files_does_not_go_off(tmp_path: Path, bomb: bytes, mark: Path):
    from tests.test_lake import counts

    lake = Lake(str(tmp_path / "tables"))
    assert lake.replace("ingest_counts", counts("2026-05-01", "a"), Window.parse("2026-05-01"))
    for path in [*tmp_path.rglob("*.parquet"), *tmp_path.rglob("*.json")]:
        path.write_bytes(bomb)
        with pytest.raises(Exception, match=r"."):
            Lake(str(tmp_path / "tables")).read("ingest_counts")
    assert not mark.exists()


def test_every_process_of_the_platform_forbids_mlflow_to_unpickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, "true")
    assert platform.environment(Settings(home=tmp_path))[VARIABLE] == "false"
    assert f"{VARIABLE}=false" in (REPOSITORY / "infra/compose/Dockerfile").read_text()


@pytest.mark.service
def test_mlflow_refuses_a_pickle_once_we_have_opened_it_whatever_was_set(tmp_path: Path, bomb: bytes, mark: Path):
    """The door to MLflow is registry.store; a model that somebody put there with a pickle in it is not ours, and is not opened."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.pkl").write_bytes(bomb)
    flavor = (
        "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    model_path: model.pkl\n    predict_fn: predict\n"
    )
    sklearn = "  sklearn:\n    pickled_model: model.pkl\n    serialization_format: cloudpickle\n    sklearn_version: '1.9.1'\n"
    (model / "MLmodel").write_text(flavor + sklearn)
    code = f"""
import json, os
from pathlib import Path
from registry import store
from whence.contracts.settings import Settings
store._client(Settings(home=Path({str(tmp_path)!r})))
import mlflow.pyfunc, mlflow.sklearn
said = []
for load in (mlflow.pyfunc.load_model, mlflow.sklearn.load_model):
    try:
        load({str(model)!r})
    except Exception as refused:
        said.append(str(refused))
print(json.dumps([os.environ[{VARIABLE!r}], said]))
"""
    given = {**os.environ, VARIABLE: "true"}
    done = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True, cwd=tmp_path)
    value, said = json.loads(done.stdout.strip().splitlines()[-1])
    assert value == "false"
    assert len(said) == 2
    assert all("pickle" in each.lower() for each in said), said
    assert not mark.exists()
