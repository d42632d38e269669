"""Where events lie: a file, a folder of files, a bucket or a database; and its files one by one, by what tells a changed one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from whence.ingest.errors import IngestError

JSON = (".jsonl", ".ndjson", ".json", ".jsonl.gz", ".ndjson.gz", ".json.gz")
SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", *JSON)


@dataclass(frozen=True)
class Place:
    """Where a source lies and how to read it: a file, a folder of files, an s3:// address or a SQLAlchemy URL."""

    path: str
    options: Mapping[str, str]
    """For S3: AWS_ENDPOINT_URL, AWS_REGION and the like."""
    delimiter: str = ""
    """Of a CSV file; by default a tab for .tsv and a comma otherwise."""
    queries: Mapping[str, str] = field(default_factory=dict)
    """For SQL: what to select, by the name of what it selects from."""

    @property
    def name(self) -> str:
        """What to call it, without a password."""
        if not self.is_sql:
            return self.path
        import sqlalchemy as sa

        return sa.make_url(self.path).set(query={}).render_as_string(hide_password=True)

    def called(self, query: str) -> str:
        """What to call what one of its queries selects: the database alone where there is but one."""
        return self.name if len(self.queries) == 1 else f"{self.name}/{query}"

    @property
    def is_sql(self) -> bool:
        """Whether the path is a database's address."""
        return "://" in self.path and not self.path.startswith("s3://")


@dataclass(frozen=True)
class File:
    """A file of a source."""

    name: str
    """What to call it: its place below the source's folder, or its address in the bucket."""
    mark: str
    """Another one when the file is written anew."""
    opened: Callable[[], AbstractContextManager[Path]]
    """Gives the file on this machine; what has to be fetched is gone again afterwards."""


@contextmanager
def files(place: Place) -> Iterator[list[File]]:
    """The source's files, by name; nothing of them is read or fetched yet. Raises IngestError where there is none."""
    if not place.path:
        raise IngestError("source.path is empty. Name a file, a folder, an s3:// address or a SQLAlchemy URL.")
    if place.path.startswith("s3://"):
        with tempfile.TemporaryDirectory(prefix="whence-s3-") as folder:
            yield _in_bucket(place, Path(folder))
        return
    path = Path(place.path)
    if not path.exists():
        raise IngestError(f"There is nothing at {place.path}. Name a file, a folder, an s3:// address or a SQLAlchemy URL.")
    if path.is_file():
        yield [_on_disk(path.name, path)]
        return
    found = sorted(each for each in path.rglob("*") if each.name.endswith(SUFFIXES))
    if not found:
        raise IngestError(f"The folder {place.path} holds no file that ends with {', '.join(SUFFIXES)}.")
    yield [_on_disk(str(each.relative_to(path)), each) for each in found]


def _on_disk(name: str, path: Path) -> File:
    if not os.access(path, os.R_OK):
        raise IngestError(f"You may not read {path}. Let yourself read it, or take it out of the source.")
    now = path.stat()
    return File(name, f"{now.st_ino} {now.st_size} {now.st_mtime_ns} {now.st_ctime_ns}", lambda: nullcontext(path))


def _in_bucket(place: Place, folder: Path) -> list[File]:
    import boto3

    bucket, _, key = place.path.removeprefix("s3://").partition("/")
    with _understood(place):
        s3 = boto3.client(
            "s3",
            endpoint_url=place.options.get("AWS_ENDPOINT_URL"),
            region_name=place.options.get("AWS_REGION"),
            aws_access_key_id=place.options.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=place.options.get("AWS_SECRET_ACCESS_KEY"),
        )
        marks = _marks(s3, bucket, key)
    if not marks:
        raise IngestError(f"There is no file below {place.path} that ends with {', '.join(SUFFIXES)}.")

    @contextmanager
    def fetched(name: str) -> Iterator[Path]:
        path = folder / Path(name).name
        with _understood(place):
            s3.download_file(bucket, name, str(path))
        try:
            yield path
        finally:
            path.unlink()

    return [File(f"s3://{bucket}/{name}", marks[name], partial(fetched, name)) for name in sorted(marks)]


@contextmanager
def _understood(place: Place) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as wrong:
        raise IngestError(
            f"{place.path} could not be fetched: {wrong}. Check the address, the region and the credentials."
        ) from None


def _marks(s3: Any, bucket: str, key: str) -> dict[str, str]:
    """The marks of the files below a key, by name; of one that is no folder, its own."""
    if key and not key.endswith("/"):
        return {key: str(s3.head_object(Bucket=bucket, Key=key)["ETag"])}
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
    found = {str(each["Key"]): str(each["ETag"]) for page in pages for each in page.get("Contents", ())}
    return {name: mark for name, mark in found.items() if name.endswith(SUFFIXES)}
