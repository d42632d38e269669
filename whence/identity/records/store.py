"""The folder in which a run leaves its people: replaced file by file, locked against a second run, and never half believed."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

PEOPLE, PAIRS, REVIEW, FIELDS, REPORT = "people.csv", "pairs.parquet", "review.csv", "fields.toml", "report.html"
LEDGER, LABELS, RECORDS, SCORER, RUN = "ledger.parquet", "labels.jsonl", "records.parquet", "scorer.json", "run.json"
LOCK = ".lock"


class BusyError(RuntimeError):
    """Another run writes to the same folder."""


class FolderError(ValueError):
    """A folder that holds no finished run."""


@dataclass(frozen=True)
class Folder:
    """Where a run writes and where review and explain read."""

    path: Path

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one writer; BusyError at once when another has it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self / LOCK).open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                who = file.read().strip()
                raise BusyError(
                    f"Another run{f' (process {who})' if who else ''} writes to {self.path}. "
                    "Wait until it has ended, or give another folder with --out."
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def write(self, files: Mapping[str, bytes], run: Mapping[str, Any]) -> bool:
        """Replace the files that differ, and then write down the run with a digest of each; False when nothing differs.

        A run that is killed on the way leaves files whose digests are not in run.json: readers refuse them, and the
        next run writes all of them again.
        """
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
        told = json.dumps(dict(run) | {"files": digests}, indent=1, ensure_ascii=False, default=str).encode()
        changed = [replace(self / name, data) for name, data in files.items()]
        return replace(self / RUN, told) or any(changed)

    def run(self) -> dict[str, Any]:
        """What the last run wrote down; FolderError where there is none or it did not end."""
        if not (self / RUN).exists():
            raise FolderError(f"{self.path} holds no finished run. `whence resolve --input FILE --out {self.path}` makes one.")
        found: dict[str, Any] = json.loads((self / RUN).read_text(encoding="utf-8"))
        for name, digest in found["files"].items():
            path = self / name
            if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                raise FolderError(
                    f"{path} is not as its run left it: the run was cut off, or the file was changed. Run `whence resolve` again."
                )
        return found

    def table(self, name: str) -> pa.Table:
        """A Parquet file of the folder."""
        return pq.read_table(self / name)


def replace(path: Path, data: bytes) -> bool:
    """Write a file in one step, so that no reader sees half of it; False, and nothing is touched, when it is the same."""
    if path.exists() and path.stat().st_size == len(data) and path.read_bytes() == data:
        return False
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
    return True


def parquet(table: pa.Table) -> bytes:
    """A table as the bytes of a Parquet file, the same for the same table."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=True)
    return bytes(sink.getvalue())


def csv(table: pa.Table) -> bytes:
    """A table as the bytes of a CSV file."""
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(table, sink, pyarrow.csv.WriteOptions(quoting_style="needed"))
    return bytes(sink.getvalue())
