"""The same promises of the lake where the tables lie in an object store, over the real S3 protocol."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from tests.test_lake import FIRST, SECOND, counts
from whence.lake import Lake

pytestmark = [pytest.mark.service, pytest.mark.filterwarnings("ignore::DeprecationWarning")]  # botocore's own clock


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    """A bucket in a process of its own: a server in this one would wait for the lock that the lake's client holds."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", address.rpartition(":")[2]]
    with (tmp_path / "moto.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
            retries = Config(retries={"total_max_attempts": 20})
            boto3.client("s3", endpoint_url=address, config=retries, **keys).create_bucket(Bucket="events")
            options = {name.upper().replace("REGION_NAME", "AWS_REGION"): value for name, value in keys.items()}
            yield Lake("s3://events/tables", {**options, "AWS_ENDPOINT_URL": address, "AWS_ALLOW_HTTP": "true"})
        finally:
            server.terminate()
            server.wait(20)


def test_a_day_is_replaced_alone_and_the_same_rows_again_change_nothing(lake: Lake):
    assert lake.read("ingest_counts").num_rows == 0
    assert lake.replace("ingest_counts", counts("2026-05-01", "b", "a"), FIRST)
    assert lake.replace("ingest_counts", counts("2026-05-02", "z"), SECOND)
    version = lake.version("ingest_counts")
    assert not lake.replace("ingest_counts", counts("2026-05-01", "a", "b"), FIRST)
    assert lake.version("ingest_counts") == version
    assert lake.replace("ingest_counts", counts("2026-05-01", "c"), FIRST)
    assert lake.read("ingest_counts")["source"].to_pylist() == ["c", "z"]
    assert lake.days("ingest_counts") == ("2026-05-01", "2026-05-02")
    with lake.connect(SECOND, "ingest_counts") as con:
        assert con.sql("SELECT source FROM ingest_counts").fetchall() == [("z",)]
