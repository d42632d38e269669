"""A home with a lake, and Redis when its server can be had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.features.own_redis import a_redis
from whence.contracts.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture(scope="session")
def redis_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_redis(tmp_path_factory.mktemp("redis")) as (_, address):
        yield address
