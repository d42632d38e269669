"""The bundle store: the same promises by a shared folder and by S3, and a machine that needs neither for what it has used."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.cutting import CuttingProxy
from tests.registry.makers import a_bundle, some_rows
from whence import bundle_store
from whence.bundle import BundleBroken, BundleMissing, BundleUnsigned, bundle_content
from whence.bundle_store import BundleStore, FolderStore, ObjectStore, StoreDown
from whence.contracts.settings import Bundles, Settings

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # botocore's own clock
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home with its key and one bundle."""
    home = tmp_path_factory.mktemp("home")
    return home, a_bundle(home / "bundles", rows=some_rows(600), rounds=6)


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an S3 server in a process of its own, with a bucket."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with (tmp_path_factory.mktemp("moto") / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log
        )
        try:
            s3_at(port, attempts=20).create_bucket(Bucket="models")
            yield port
        finally:
            server.terminate()
            server.wait(20)


def s3_at(port: int, attempts: int = 3) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    return boto3.client(
        "s3", endpoint_url=f"http://127.0.0.1:{port}", config=Config(retries={"total_max_attempts": attempts}), **keys
    )


def options(port: int) -> dict[str, str]:
    return {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}


class Place:
    """A store with a hand in its back, for tests to damage what it keeps."""

    def __init__(self, store: BundleStore, change: Any):
        self.store, self.change = store, change


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.service)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty store of each kind; `change(key, data)` puts other bytes at a key, or none."""
    if request.param == "folder":
        root = tmp_path / "shared"

        def on_disk(key: str, data: bytes | None) -> None:
            (root / key).unlink() if data is None else (root / key).write_bytes(data)

        return Place(FolderStore(root), on_disk)
    port, prefix = request.getfixturevalue("moto"), tmp_path.name

    def in_bucket(key: str, data: bytes | None) -> None:
        named = {"Bucket": "models", "Key": f"{prefix}/{key}"}
        s3_at(port).delete_object(**named) if data is None else s3_at(port).put_object(**named, Body=data)

    return Place(ObjectStore.at(f"s3://models/{prefix}", options(port)), in_bucket)


def test_what_is_kept_comes_back_byte_for_byte_and_keeping_twice_is_keeping_once(made: tuple[Path, str], place: Place) -> None:
    home, digest = made
    content = bundle_content(home / "bundles", digest)
    with pytest.raises(BundleMissing, match=digest):
        place.store.fetch(digest)
    for _ in range(2):
        place.store.keep(digest, content)
    assert place.store.fetch(digest) == content


def test_a_writer_that_died_in_the_middle_left_nothing_to_read_and_is_finished_by_the_next(
    made: tuple[Path, str], place: Place
) -> None:
    home, digest = made
    content = bundle_content(home / "bundles", digest)
    place.store.keep(digest, content)
    place.change(f"{digest}/manifest.json", None)
    with pytest.raises((BundleMissing, BundleBroken), match=digest[:12]):
        place.store.fetch(digest)
    place.store.keep(digest, content)
    assert place.store.fetch(digest) == content


@pytest.mark.parametrize("name", ["model.txt", "golden.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "grown"])
def test_a_damaged_copy_is_refused_and_mended_by_keeping_it_again(
    made: tuple[Path, str], place: Place, name: str, damage: str
) -> None:
    home, digest = made
    content = bundle_content(home / "bundles", digest)
    place.store.keep(digest, content)
    data = content[name]
    place.change(f"{digest}/{name}", {"flipped": bytes([data[0] ^ 1]) + data[1:], "cut": data[:-1], "grown": data * 2}[damage])
    with pytest.raises(BundleBroken, match=digest[:12] if damage != "grown" else "promised|another one|changed"):
        place.store.fetch(digest)
    place.store.keep(digest, content)
    assert place.store.fetch(digest) == content


def test_writers_at_once_leave_one_whole(made: tuple[Path, str], place: Place) -> None:
    home, digest = made
    content = bundle_content(home / "bundles", digest)
    failed: list[BaseException] = []

    def keep() -> None:
        try:
            place.store.keep(digest, content)
        except Exception as wrong:
            failed.append(wrong)

    writers = [threading.Thread(target=keep) for _ in range(4)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert failed == []
    assert place.store.fetch(digest) == content


def a_server(home: Path, tmp_path: Path, uri: str, given: dict[str, str] | None = None) -> Settings:
    """Another machine: the installation's key, and no bundle yet."""
    settings = Settings(home=tmp_path / "server", bundle_store=Bundles(uri, given or {}))
    settings.home.mkdir()
    shutil.copy(home / "bundle.key", settings.home)
    return settings


@pytest.mark.service
def test_a_machine_gets_what_it_has_not_and_needs_the_store_no_more(made: tuple[Path, str], tmp_path: Path) -> None:
    home, digest = made
    shared = tmp_path / "shared"
    bundle_store.share(Settings(home=home, bundle_store=Bundles(str(shared))), digest)
    server = a_server(home, tmp_path, str(shared))

    assert bundle_store.load(server, digest).digest == digest
    shutil.rmtree(shared)
    assert bundle_store.load(server, digest).digest == digest
    (server.bundles / digest / "model.txt").write_text("gone")
    with pytest.raises(BundleMissing):
        bundle_store.load(server, digest)


def test_a_machine_without_the_key_loads_nothing_from_the_store(made: tuple[Path, str], tmp_path: Path) -> None:
    home, digest = made
    bundle_store.share(Settings(home=home, bundle_store=Bundles(str(tmp_path / "shared"))), digest)
    server = a_server(home, tmp_path, str(tmp_path / "shared"))
    (server.home / "bundle.key").unlink()
    with pytest.raises(BundleUnsigned):
        bundle_store.load(server, digest)


@pytest.mark.service
def test_a_body_that_was_cut_is_asked_for_again_and_a_store_that_is_down_does_not_touch_what_is_here(
    made: tuple[Path, str], moto: int, tmp_path: Path
) -> None:
    home, digest = made
    with CuttingProxy(("127.0.0.1", moto)) as proxy:
        at = Bundles(f"s3://models/{tmp_path.name}", options(proxy.port))
        bundle_store.share(Settings(home=home, bundle_store=at), digest)
        server = a_server(home, tmp_path, at.uri, dict(at.options))

        proxy.cuts = 3
        assert bundle_store.load(server, digest).digest == digest
        assert proxy.cut == 3, "bodies were cut"

        proxy.is_refusing = True
        started = time.monotonic()
        assert bundle_store.load(server, digest).digest == digest, "it lies here"
        with pytest.raises(StoreDown, match="does not do as asked"):
            bundle_store.load(server, "0" * 64)
        assert time.monotonic() - started < 20
        shutil.rmtree(server.bundles)
        proxy.is_refusing, proxy.cuts = False, 100
        with pytest.raises(StoreDown, match="cut the body"):
            bundle_store.bring(server, digest)
        assert not (server.bundles / digest).exists()
