"""What went wrong is said in one line with what to do, and a fault of ours is shown whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from whence.cli import spoken


def a_missing_folder(folder: Path) -> None:
    (folder / "none" / "page.html").write_text("")


def a_file_for_a_folder(folder: Path) -> None:
    (folder / "home").touch()
    (folder / "home").mkdir()


def a_database_that_is_not_there(folder: Path) -> None:
    import sqlalchemy

    sqlalchemy.create_engine(f"sqlite:///{folder}/none/journal.db").connect()


def a_file_with_other_bytes_in_its_midst(folder: Path) -> None:
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "rows.parquet"
    pq.write_table(pa.table({"name": [f"name {number}" for number in range(500)]}), path)
    held = path.read_bytes()
    path.write_bytes(held[:500] + b"\xff" * 500 + held[1000:])
    duckdb.sql(f"FROM read_parquet('{path}')").fetchall()


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        (a_missing_folder, "page.html'. Is the name right, and is its folder there?"),
        (a_file_for_a_folder, "home'. A folder is wanted there: name another place."),
        (a_database_that_is_not_there, "unable to open database file. Is the database there"),
        (a_file_with_other_bytes_in_its_midst, 'rows.parquet": Snappy decompression failure. A file of a table is broken'),
    ],
)
def test_what_others_say_comes_in_one_line_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: Callable[[Path], None], advice: str
) -> None:
    with pytest.raises(typer.Exit), spoken():
        wrong(tmp_path)
    said = capsys.readouterr().err
    assert advice in said
    assert said.count("\n") == 1


def test_a_fault_of_ours_is_shown_whole() -> None:
    with pytest.raises(AttributeError), spoken():
        raise AttributeError
