"""A folder is replaced in whole files, locked, and refused when a run did not end."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from whence.identity.records.store import BusyError, Folder, FolderError, csv, parquet, replace


def test_the_same_files_again_touch_nothing(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert folder.write({"a": b"1"}, {"records": 2})
    before = (tmp_path / "a").stat().st_mtime_ns, (tmp_path / "run.json").stat().st_mtime_ns
    assert not folder.write({"a": b"1"}, {"records": 2})
    assert before == ((tmp_path / "a").stat().st_mtime_ns, (tmp_path / "run.json").stat().st_mtime_ns)
    assert folder.run()["records"] == 2


def test_a_second_run_at_once_is_refused(tmp_path: Path) -> None:
    with (
        Folder(tmp_path).locked(),
        pytest.raises(BusyError, match=r"Another run \(process \d+\) writes"),
        Folder(tmp_path).locked(),
    ):
        pass
    with Folder(tmp_path).locked():
        pass


def test_a_run_that_was_cut_off_is_not_believed(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with pytest.raises(FolderError, match="holds no finished run"):
        folder.run()
    folder.write({"a": b"1", "b": b"1"}, {})
    replace(tmp_path / "a", b"2")
    with pytest.raises(FolderError, match="is not as its run left it"):
        folder.run()


def test_tables_have_the_same_bytes_each_time() -> None:
    table = pa.table({"id": ["a", "b"], "p": [0.5, None]})
    assert parquet(table) == parquet(table)
    assert csv(table).decode() == '"id","p"\n"a",0.5\n"b",\n'
