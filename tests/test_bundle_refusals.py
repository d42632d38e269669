"""What a damaged, forged or hostile bundle meets: a refusal in words, and a process that goes on with the last good one."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from registry.following import Standings
from serving.champion import Follower
from tests.registry.makers import a_bundle, some_rows
from whence import bundle as bundles
from whence.bundle import BundleBroken, BundleError, BundleWrong, load_bundle, signing_key
from whence.contracts.models import CONVERSION_VALUE

ROWS = some_rows(800)
SEED = 20260511


@dataclass(frozen=True)
class Head:
    bundle: str
    epoch: int


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A folder with a good bundle, and another good one to damage."""
    root = tmp_path_factory.mktemp("home") / "bundles"
    return root, a_bundle(root, rows=ROWS, rounds=6), a_bundle(root, rows=ROWS, rounds=7)


def _cut(data: bytes, luck: random.Random) -> bytes:
    return data[: luck.randrange(len(data))]


def _flip(data: bytes, luck: random.Random) -> bytes:
    place = luck.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << luck.randrange(8))]) + data[place + 1 :]


@pytest.mark.service
@pytest.mark.parametrize("damage", [_cut, _flip])
def test_a_thousand_damaged_bundles_leave_the_last_good_one_and_the_process(
    made: tuple[Path, str, str], tmp_path: Path, damage: Callable[[bytes, random.Random], bytes]
) -> None:
    """Each is promoted, tried and refused; LightGBM, handed one of these texts, would take this very process with it."""
    source, good, bad = made
    shutil.copytree(source.parent, tmp_path / "home")
    root, luck, told = tmp_path / "home" / "bundles", random.Random(SEED), list[tuple[str, str]]()
    heads = {CONVERSION_VALUE: Head(good, 0)}
    follower = Follower(
        lambda: Standings(heads, {}, {}), lambda digest: load_bundle(root, digest), lambda *what: told.append(what)
    )
    follower.poll()
    process, serving = os.getpid(), follower.lineup[CONVERSION_VALUE].scorer
    whole = {name: (root / bad / name).read_bytes() for name in bundles.ALL_FILES}

    for epoch in range(1, 1001):
        name = luck.choice(bundles.ALL_FILES)
        (root / bad / name).write_bytes(damage(whole[name], luck))
        heads[CONVERSION_VALUE] = Head(bad, epoch)
        follower.poll()
        (root / bad / name).write_bytes(whole[name])

    assert told == [(CONVERSION_VALUE, "done"), *[(CONVERSION_VALUE, "failed")] * 1000]
    assert follower.lineup[CONVERSION_VALUE].scorer is serving
    assert os.getpid() == process
    follower.poll()
    heads[CONVERSION_VALUE] = Head(bad, 1001)
    follower.poll()
    assert follower.lineup[CONVERSION_VALUE].scorer.digest == bad, "whole again, it serves"


def forge(root: Path, digest: str, change: Callable[[dict[str, bytes]], None]) -> str:
    """A bundle with right digests and signature and other content: by a bug, or by a thief of the key."""
    content = {name: (root / digest / name).read_bytes() for name in bundles.FILES}
    manifest = json.loads((root / digest / "manifest.json").read_text())
    change(content)
    manifest["files"] = {name: {"bytes": len(data), "sha256": bundles._sha256(data)} for name, data in content.items()}
    raw = bundles._json(manifest)
    forged = bundles._sha256(raw)
    signed = bundles._sign(forged, signing_key(root)).encode()
    bundles.publish_bundle(root, forged, {**content, "manifest.json": raw, "manifest.sig": signed})
    return forged


def text_cut_at(share: float) -> Callable[[dict[str, bytes]], None]:
    """The model's text ends within its trees."""

    def change(content: dict[str, bytes]) -> None:
        trees = content["model.txt"].index(b"end of trees")
        content["model.txt"] = content["model.txt"][: int(trees * share)]

    return change


def _line(name: str, value: str) -> Callable[[dict[str, bytes]], None]:
    """The first line of that name in the model's text gets another value, and the sizes that would tell are left out."""

    def change(content: dict[str, bytes]) -> None:
        lines = content["model.txt"].decode().split("\n")
        place = next(number for number, line in enumerate(lines) if line.startswith(f"{name}="))
        count = len(lines[place].split(" "))
        lines[place] = f"{name}={' '.join([value] * count)}"
        content["model.txt"] = "\n".join(line for line in lines if not line.startswith("tree_sizes=")).encode()

    return change


def _file(name: str, data: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda content: content.update({name: data})


FORGERIES: dict[str, Callable[[dict[str, bytes]], None]] = {
    **{f"text cut at {share}": text_cut_at(share) for share in (0.0, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.95)},
    "leaves moved": _line("leaf_value", "0.5"),
    "leaves not numbers": _line("leaf_value", "nan"),
    "thresholds moved": _line("threshold", "0"),
    "two billion leaves": _line("num_leaves", "2000000000"),
    "children out of the tree": _line("left_child", "99999999"),
    "features out of the matrix": _line("split_feature", "77777"),
    "no calibrator": _file("calibrator.json", b"{}"),
    "a calibrator of nested lists": _file("calibrator.json", b"[" * 100_000),
    "golden rows of nothing": _file("golden.json", b'{"columns": {}, "raw": [], "probability": []}'),
    "a schema that is a number": _file("schema.json", b"7"),
    "a schema of a million columns": _file("schema.json", json.dumps({"numbers": ["x"] * 10**6, "categories": []}).encode()),
    "a text that is a pickle": _file("model.txt", b"cos\nsystem\n(S'touch owned'\ntR."),
}


@pytest.mark.service
def test_forged_bundles_with_right_digests_and_signatures_die_in_the_child(made: tuple[Path, str, str], tmp_path: Path) -> None:
    source, good, _ = made
    shutil.copytree(source.parent, tmp_path / "home")
    root = tmp_path / "home" / "bundles"

    def refused(change: Callable[[dict[str, bytes]], None]) -> str:
        forged = forge(root, good, change)
        with pytest.raises(BundleWrong, match=forged[:12]) as told:
            load_bundle(root, forged)
        return str(told.value)

    with ThreadPoolExecutor(2) as pool:
        words = dict(zip(FORGERIES, pool.map(refused, FORGERIES.values()), strict=True))
    assert sum("killed the process that tried it" in each for each in words.values()) >= 5, words
    assert load_bundle(root, good).digest == good


def _link(folder: Path) -> None:
    (folder / "model.txt").rename(folder.parent / "elsewhere")
    (folder / "model.txt").symlink_to(folder.parent / "elsewhere")


def _pipe(folder: Path) -> None:
    (folder / "model.txt").unlink()
    os.mkfifo(folder / "model.txt")  # who reads it waits for ever


def _device(folder: Path) -> None:
    (folder / "model.txt").unlink()
    (folder / "model.txt").symlink_to("/dev/zero")


def _folder(folder: Path) -> None:
    (folder / "model.txt").unlink()
    (folder / "model.txt").mkdir()


def _ten_gigabytes(folder: Path) -> None:
    os.truncate(folder / "model.txt", 10 * 10**9)


def _manifest_of_ten_gigabytes(folder: Path) -> None:
    os.truncate(folder / "manifest.json", 10 * 10**9)


def _signature_of_ten_gigabytes(folder: Path) -> None:
    os.truncate(folder / "manifest.sig", 10 * 10**9)


def _hidden(folder: Path) -> None:
    (folder / ".model.txt.swp").write_bytes(b"x")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_link, "model.txt cannot be opened as a file"),
        (_device, "model.txt cannot be opened as a file"),
        (_pipe, "model.txt is no plain file"),
        (_folder, "model.txt is no plain file"),
        (_ten_gigabytes, r"model.txt has 10000000000 bytes, more than the \d+ that were promised"),
        (_manifest_of_ten_gigabytes, r"manifest.json has 10000000000 bytes"),
        (_signature_of_ten_gigabytes, "is not signed"),
        (_hidden, r"there is a file '\.model\.txt\.swp'"),
    ],
)
def test_a_hostile_folder_is_refused_in_words(
    made: tuple[Path, str, str], tmp_path: Path, change: Callable[[Path], None], said: str
) -> None:
    source, good, _ = made
    shutil.copytree(source.parent, tmp_path / "home")
    root = tmp_path / "home" / "bundles"
    change(root / good)
    with pytest.raises(BundleError, match=said):
        load_bundle(root, good)


def test_a_real_device_in_the_place_of_a_file_is_refused(made: tuple[Path, str, str], tmp_path: Path) -> None:
    source, good, _ = made
    shutil.copytree(source.parent, tmp_path / "home")
    folder = tmp_path / "home" / "bundles" / good
    (folder / "model.txt").unlink()
    try:
        os.mknod(folder / "model.txt", 0o20644, os.makedev(1, 5))  # as /dev/zero
    except PermissionError:
        pytest.skip("only root may make a device")
    with pytest.raises(BundleBroken, match=r"no plain file|cannot be opened"):
        load_bundle(folder.parent, good)


def claiming(promise: object) -> bytes:
    return json.dumps({"format": 1, "files": dict.fromkeys(bundles.FILES, promise)}).encode()


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"[" * 200_000,
        b'{"format": 1, "files": []}',
        b'{"format": 1, "files": {"../../etc/passwd": {"bytes": 1, "sha256": ""}}}',
        *(claiming({"bytes": size, "sha256": "0" * 64}) for size in (10**10, -1, "1", True, None)),
        claiming([1]),
    ],
    ids=range(13),
)
def test_a_manifest_with_claims_that_cannot_be_is_refused_signed_or_not(tmp_path: Path, manifest: bytes) -> None:
    root, digest = tmp_path / "bundles", bundles._sha256(manifest)
    (root / digest).mkdir(parents=True)
    (root / digest / "manifest.json").write_bytes(manifest)
    with pytest.raises(BundleError, match="not signed"):
        load_bundle(root, digest)
    (root / digest / "manifest.sig").write_text(bundles._sign(digest, signing_key(root)))
    with pytest.raises(BundleBroken, match=digest[:12]):
        load_bundle(root, digest)
