"""What a report leaves in its folder for the next one: its manifest, and which statements it rests on."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd

from monitoring.attribution_report.amounts import exact
from whence.attribution.statements import OF, ORDER
from whence.attribution.summary import PLACE, View

MANIFEST, STATEMENTS, EARLIER = "report.json", "statements.parquet", "earlier"
FORM = 1
TOTALS = ["algorithm", *PLACE, "credit_micros"]
SPENT = [*PLACE, "spend_micros"]
POSITIONS = [*OF, *ORDER]


class ReportError(ValueError):
    """A report that cannot be made, or an earlier one that cannot be compared with; the message says what to do."""


@dataclass(frozen=True)
class Last:
    """A report that was made before: what it said, and of which statements."""

    manifest: Mapping[str, Any]
    positions: pd.DataFrame
    has_positions: bool
    """False when the file beside the manifest is gone or another's: then nobody can tell why anything changed."""

    @property
    def view(self) -> View:
        """How it was looked at."""
        return View(
            tuple(self.manifest["days"]), self.manifest["algorithm"], self.manifest["reporting_date"], self.manifest["by"]
        )

    @property
    def totals(self) -> pd.DataFrame:
        """Its credit by algorithm and place."""
        return pd.DataFrame(self.manifest["credit"], columns=TOTALS).astype({"credit_micros": "int64"})

    @property
    def spent(self) -> pd.DataFrame:
        """Its spend by place."""
        return pd.DataFrame(self.manifest["spend"], columns=SPENT).astype({"spend_micros": "int64"})


def open_last(file: Path, period: str) -> Last:
    """The report whose manifest this is; raises ReportError for a file that is none, or of another period."""
    try:
        manifest = json.loads(file.read_text())
        made_of, form = manifest["period"], manifest["form"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ReportError(f"{file} is no {MANIFEST} of `whence report`. Name the one of the report to compare with.") from None
    if form != FORM:
        raise ReportError(f"{file} has form {form}, and this is form {FORM}. Make that report anew, into another folder.")
    if made_of != period:
        raise ReportError(f"{file} is of {made_of}, and this report is of {period}. Reports of one period alone are compared.")
    beside = file.parent / STATEMENTS
    body = beside.read_bytes() if beside.is_file() else b""
    has_positions = sha256(body).hexdigest() == manifest["files"].get(STATEMENTS)
    positions = pd.read_parquet(io.BytesIO(body)) if has_positions else pd.DataFrame(columns=POSITIONS)
    return Last(manifest, positions, has_positions)


def held(folder: Path, period: str) -> Last | None:
    """The report that lies in the folder, None in an empty one; raises ReportError when it is of another period."""
    file = folder / MANIFEST
    if not file.exists():
        return None
    try:
        return open_last(file, period)
    except ReportError as wrong:
        raise ReportError(f"{wrong} Give this one a folder of its own with --out FOLDER.") from None


def earlier(folder: Path, period: str) -> Last | None:
    """The report that the folder's own one was compared with."""
    file = folder / EARLIER / MANIFEST
    return open_last(file, period) if file.exists() else None


def put_aside(folder: Path) -> None:
    """Keep the folder's report for comparison, in place of the one before it."""
    for name in (STATEMENTS, MANIFEST):
        if (folder / name).exists():
            replace(folder / EARLIER / name, (folder / name).read_bytes())


def is_whole(folder: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether every file of the report is there as it was written."""
    return all(
        (folder / name).is_file() and sha256((folder / name).read_bytes()).hexdigest() == digest
        for name, digest in manifest["files"].items()
    )


def write(folder: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
    """Write every file in one step each, the manifest last; what is cut off on the way is made anew by the next run."""
    for name, body in files.items():
        replace(folder / name, body)
    digests = {name: sha256(body).hexdigest() for name, body in sorted(files.items())}
    replace(folder / MANIFEST, (json.dumps({**manifest, "files": digests}, indent=1, ensure_ascii=False) + "\n").encode())


def replace(file: Path, body: bytes) -> None:
    """Put a file in the place of another in one step."""
    file.parent.mkdir(parents=True, exist_ok=True)
    written = file.with_name(f".{file.name}.{os.getpid()}")
    written.write_bytes(body)
    written.replace(file)


def as_parquet(frame: pd.DataFrame) -> bytes:
    """A table with amounts in whole micros."""
    written = io.BytesIO()
    frame.to_parquet(written, index=False)
    return written.getvalue()


def as_csv(frame: pd.DataFrame) -> bytes:
    """A table with amounts in units of the currency, to the millionth: `credit_micros` becomes `credit`.

    >>> as_csv(pd.DataFrame({"currency": ["USD"], "credit_micros": [1_500_000]}))
    b'currency,credit\\nUSD,1.500000\\n'
    """
    amounts = [str(name) for name in frame.columns if str(name).endswith("_micros")]
    told = frame.assign(**{name: [exact(each) for each in frame[name]] for name in amounts})
    text: str = told.rename(columns={name: name.removesuffix("_micros") for name in amounts}).to_csv(
        index=False, lineterminator="\n"
    )
    return text.encode()
