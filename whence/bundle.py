"""A model as a folder that cannot change: named by its SHA-256, signed, and proven in a child process before it is used.

    <digest>/model.txt         LightGBM's text
             calibrator.json   raw score, and fields where it looks at them → probability
             schema.json       the inputs in order, and each category's known values
             golden.json       made-up rows with the scores that they must get
             manifest.json     digest and size of each file, versions, what it was trained on
             manifest.sig      HMAC-SHA-256 of the digest, with this installation's key

The digest is the SHA-256 of manifest.json. LightGBM's text has no checksum: one changed character scores wrong in silence
or kills the process. So a reader checks digests, then the signature, then lets a child process score the golden rows, and
only then reads the model itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import math
import os
import secrets
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import numpy.typing as npt

from whence.contracts.models import FeatureSchema
from whence.encoding import InputError, encode, is_missing, number_column

if TYPE_CHECKING:
    import pandas as pd

    from whence.calibration import Calibrator
    from whence.trees import Engine, Trees

__all__ = [
    "BundleBroken",
    "BundleError",
    "BundleMissing",
    "BundleUnsigned",
    "BundleWrong",
    "CrossedScorer",
    "InputError",
    "Scorer",
    "bundle_bytes",
    "bundle_content",
    "bundle_files",
    "bundle_manifest",
    "check_file",
    "encode",
    "golden_rows",
    "load_bundle",
    "publish_bundle",
    "read_manifest",
    "signing_key",
    "write_bundle",
]
FILES = ("model.txt", "calibrator.json", "schema.json", "golden.json")
MANIFEST, SIGNATURE, KEY = "manifest.json", "manifest.sig", "bundle.key"
ALL_FILES = (*FILES, MANIFEST, SIGNATURE)
FORMAT = 1
MAX_BYTES = 256 * 2**20
MAX_MANIFEST_BYTES = 2**20
CHECK_SECONDS = 60
CHECK_CPU_SECONDS = 20
CHECK_MEMORY = 4 * 2**30
HUGE = 1e300
Numbers = npt.NDArray[np.float64]


class BundleError(RuntimeError):
    """A bundle cannot be written, or must not be used."""


class BundleMissing(BundleError):
    """There is no such bundle here."""


class BundleBroken(BundleError):
    """Its files are not the files that its digest names."""


class BundleUnsigned(BundleError):
    """It was not written by this installation."""


class BundleWrong(BundleError):
    """It does not score its golden rows as it did when it was written."""


@dataclass(frozen=True)
class Scorer:
    """A checked model, ready to score; immutable, and safe to share between threads."""

    model: str
    digest: str
    schema: FeatureSchema
    about: Mapping[str, Any]
    _trees: Engine
    _calibrator: Calibrator
    _lightgbm: Trees

    @property
    def engine(self) -> str:
        """What scores: the name of a kernel that was proven on this very model, or lightgbm."""
        return self._trees.engine

    def score(self, frame: pd.DataFrame | Mapping[str, Any]) -> tuple[Numbers, Numbers]:
        """(raw scores, calibrated probabilities), one a row.

        `frame` is a data frame or a mapping from column name to values, with at least the schema's columns in any order.
        Raises InputError for a missing column or a value of the wrong kind.
        """
        return self.score_matrix(encode(frame, self.schema))

    def score_matrix(self, matrix: Numbers) -> tuple[Numbers, Numbers]:
        """The same for rows × features as whence.encoding.encode makes them, in the schema's order."""
        raw = self._trees.raw(matrix)
        return raw, self._calibrator.apply(raw, matrix)

    @property
    def calibrator_kind(self) -> str:
        """What turns raw scores into probabilities: see whence.calibration."""
        return self._calibrator.kind

    def contributions(self, matrix: Numbers) -> Numbers:
        """What each feature adds to each row's raw score, rows × features, and the mean score last; a row sums to its score."""
        return self._lightgbm.contributions(matrix)


@dataclass(frozen=True)
class CrossedScorer(Scorer):
    """The trees of one bundle with the calibrator of another, to tell what each of the two changed; it never serves."""

    @classmethod
    def of(cls, trees: Scorer, calibrator: Scorer) -> CrossedScorer:
        """Score by the trees of one bundle, calibrate by the other."""
        digest = f"{trees.digest[:12]} calibrated by {calibrator.digest[:12]}"
        parts = trees._trees, calibrator._calibrator, trees._lightgbm
        return cls(trees.model, digest, trees.schema, trees.about, *parts)

    def score(self, frame: pd.DataFrame | Mapping[str, Any]) -> tuple[Numbers, Numbers]:
        """The same as of any scorer; the calibrator reads its fields by its own bundle's codes. Raises InputError for one that is missing."""
        raw = self._trees.raw(encode(frame, self.schema))
        return raw, self._calibrator.apply(raw, frame)

    def score_matrix(self, matrix: Numbers) -> tuple[Numbers, Numbers]:
        """Refused: a matrix has the codes of one bundle, and the calibrator may know others."""
        raise BundleError(f"{self.digest} scores frames alone.")


def golden_rows(frame: pd.DataFrame, schema: FeatureSchema, rows: int = 256, seed: int = 0) -> pd.DataFrame:
    """Made-up rows in the ranges of `frame`: every column drawn on its own, so that no row is a person's.

    Numbers lie between the 1st and 99th percentile; a tenth is missing; the first rows hold the extremes: all missing,
    all zero, all huge, all tiny, and every category unseen.
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    matrix = encode(frame, schema)
    made: dict[str, Any] = {}
    for place, name in enumerate(schema.names):
        column = matrix[:, place][np.isfinite(matrix[:, place])]
        if name in schema.categories:
            made[name] = _golden_categories(schema.categories[name], rows, rng)
        else:
            made[name] = _golden_numbers(column, rows, rng)
    return pd.DataFrame(made)


def _golden_numbers(column: Numbers, rows: int, rng: np.random.Generator) -> Numbers:
    low, high = np.percentile(column, [1, 99]) if len(column) else (0.0, 1.0)
    values = rng.uniform(low, high, rows)
    if len(column) and np.all(column == np.round(column)):
        values = np.round(values)
    values[rng.random(rows) < 0.1] = math.nan
    extremes = [math.nan, 0.0, HUGE, -HUGE, float(low)]
    values[: len(extremes)] = extremes[:rows]
    return values


def _golden_categories(known: tuple[str, ...], rows: int, rng: np.random.Generator) -> list[str | None]:
    values: list[str | None] = [known[place] for place in rng.integers(0, len(known), rows)] if known else ["(none)"] * rows
    values = [None if is_left_out else value for value, is_left_out in zip(values, rng.random(rows) < 0.1, strict=True)]
    extremes: list[str | None] = [None, "(unseen)", None, "(unseen)", known[0] if known else None]
    return [*extremes, *values[len(extremes) :]][:rows]


def signing_key(root: Path) -> bytes:
    """This installation's key, `bundle.key` beside the folder of bundles; made at first use, for its owner's eyes only."""
    path = root.parent / KEY
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{KEY}.{os.getpid()}.{secrets.token_hex(4)}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32))
        try:
            os.link(draft, path)  # of two first users one makes the key, and both read it
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    if path.stat().st_mode & 0o077:
        raise BundleError(f"Others can read {path}, which signs models. Run chmod 600 on it, or delete it and retrain.")
    return bytes.fromhex(path.read_text().strip())


def write_bundle(
    root: Path,
    model: str,
    booster_text: str,
    calibrator: Mapping[str, Any],
    schema: FeatureSchema,
    golden: pd.DataFrame | Mapping[str, Any],
    about: Mapping[str, Any],
    key: bytes | None = None,
) -> str:
    """Write a bundle below `root` and return its digest; the same content gives the same digest and is written once.

    `booster_text` is Booster.model_to_string(); `calibrator` is Calibrator.to_json(); `golden` are made-up rows
    (see golden_rows); `about` says what it was trained on and must not name a time or a machine. Raises BundleError
    when the model does not take the schema's columns or scores a golden row as no number.
    """
    scorer = _assemble(model, "", booster_text, calibrator, schema, about)
    rows = _plain_columns(golden, schema)
    raw, probability = scorer.score(rows)
    _demand_numbers(raw, probability)
    content = {
        "model.txt": booster_text.encode(),
        "calibrator.json": _json(dict(calibrator)),
        "schema.json": _json(_schema_content(schema)),
        "golden.json": _json({"columns": rows, "raw": raw.tolist(), "probability": probability.tolist()}),
    }
    manifest = _json(
        {
            "format": FORMAT,
            "model": model,
            "about": dict(about),
            "files": {name: {"bytes": len(data), "sha256": _sha256(data)} for name, data in content.items()},
            "versions": {"lightgbm": version("lightgbm"), "numpy": version("numpy")},
        }
    )
    digest = _sha256(manifest)
    signature = _sign(digest, key if key is not None else signing_key(root))
    publish_bundle(root, digest, {**content, MANIFEST: manifest, SIGNATURE: signature.encode()})
    return digest


def load_bundle(root: Path, digest: str, key: bytes | None = None) -> Scorer:
    """The checked scorer of a bundle: digests, signature, golden rows in a child process, golden rows here.

    Raises BundleMissing, BundleBroken, BundleUnsigned or BundleWrong; nothing of the bundle is used before that.
    """
    manifest, content = _read(root / _plain(digest), digest, key if key is not None else signing_key(root))
    _check_in_child(root / digest, digest)
    return _prove(digest, manifest, content)


def bundle_files(root: Path, digest: str) -> list[Path]:
    """A bundle's files on disk, for an archive such as MLflow; raises BundleBroken when they are not what they were."""
    _read(root / _plain(digest), digest)
    return [root / digest / name for name in ALL_FILES]


def bundle_content(root: Path, digest: str) -> dict[str, bytes]:
    """A bundle's files by name, for another place to keep them; raises BundleBroken when they are not what they were."""
    _, content = _read(root / _plain(digest), digest)
    return {**content, **{name: _read_file(root / digest, name, MAX_MANIFEST_BYTES) for name in (MANIFEST, SIGNATURE)}}


def bundle_manifest(root: Path, digest: str) -> dict[str, Any]:
    """What a bundle says of itself: its model, what it was trained on, and the versions of the libraries that made it."""
    return _read(root / _plain(digest), digest)[0]


def bundle_bytes(root: Path, digest: str) -> int:
    """How much disk a bundle takes, in bytes."""
    return sum(path.stat().st_size for path in bundle_files(root, digest))


def _assemble(
    model: str, digest: str, text: str, calibrator: Mapping[str, Any], schema: FeatureSchema, about: Mapping[str, Any]
) -> Scorer:
    from whence.calibration import Calibrator
    from whence.trees import Trees

    if len(set(schema.names)) != len(schema.names) or not schema.names:
        raise BundleError(f"The schema of {model} must name each column once, and names {', '.join(schema.names) or 'none'}.")
    trees = Trees(text)
    if trees.names != schema.names:
        said = f"The model takes {', '.join(trees.names)}, and the schema says {', '.join(schema.names)}."
        raise BundleError(f"{said} Train it on the schema.")
    level = Calibrator.from_json(dict(calibrator))
    if level.trees is not None and not level.trees.reads(schema):
        raise BundleError(f"The calibrator of {model} looks at other fields than the schema has. Fit it on the schema's matrix.")
    return Scorer(model, digest, schema, dict(about), trees, level, trees)


def _demand_numbers(raw: Numbers, probability: Numbers) -> None:
    if not len(raw):
        raise BundleError("There are no golden rows, so nobody could prove the bundle later. Make some with golden_rows.")
    if not np.isfinite(raw).all():
        raise BundleError(f"{int((~np.isfinite(raw)).sum())} of {len(raw)} golden rows score as no number. Retrain the model.")
    if not ((probability > 0) & (probability < 1)).all():
        raise BundleError("The calibrator leaves the open interval from 0 to 1 on golden rows. Fit it again.")


def _plain_columns(golden: Any, schema: FeatureSchema) -> dict[str, list[Any]]:
    """The golden rows as JSON can hold them: null for missing, huge numbers for infinite ones."""
    encode(golden, schema)  # refuses what does not fit, by name
    columns: dict[str, list[Any]] = {}
    for name in schema.numbers:
        values = number_column(name, golden[name]).clip(-HUGE, HUGE)
        columns[name] = [None if math.isnan(value) else value for value in values.tolist()]
    for name in schema.categories:
        columns[name] = [None if is_missing(value) else value for value in np.asarray(golden[name], dtype=object).tolist()]
    return columns


def _schema_content(schema: FeatureSchema) -> dict[str, Any]:
    return {"numbers": list(schema.numbers), "categories": [[name, list(known)] for name, known in schema.categories.items()]}


def publish_bundle(root: Path, digest: str, content: Mapping[str, bytes]) -> None:
    """Keep a bundle's files below `root`, whole or not at all: a draft folder is written through to disk, then renamed."""
    target = root / digest
    if _holds(target, content):
        return
    root.mkdir(parents=True, exist_ok=True)
    draft, damaged = (root / f".draft-{secrets.token_hex(8)}" for _ in range(2))
    draft.mkdir()
    try:
        for name, data in content.items():
            _write_through(draft / name, data)
        if target.exists() and not _holds(target, content):
            target.rename(damaged)
        draft.rename(target)
        _sweep(root, target.stat().st_mtime)
    except OSError:
        if not _holds(target, content):  # else another writer of the same content was first
            raise
    finally:
        for left in (draft, damaged):
            shutil.rmtree(left, ignore_errors=True)
    _sync_folder(root)


def _write_through(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _holds(folder: Path, content: Mapping[str, bytes]) -> bool:
    try:
        return {path.name for path in folder.iterdir()} == set(content) and all(
            (folder / name).read_bytes() == data for name, data in content.items()
        )
    except OSError:
        return False


def _sweep(root: Path, now: float) -> None:
    """Remove drafts that a dead writer left, an hour before `now` by the disk's own clock."""
    for draft in root.glob(".draft-*"):
        with contextlib.suppress(FileNotFoundError):
            if draft.stat().st_mtime < now - 3600:
                shutil.rmtree(draft, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(folder: Path, digest: str, key: bytes | None = None) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest and the files, each read once, and nothing of them used before it is known to be what it was.

    With a key, the signature is demanded before the manifest is parsed.
    """
    if not folder.is_dir() or folder.is_symlink():
        raise BundleMissing(f"There is no bundle {digest} in {folder.parent}. Train it again, or copy its folder there.")
    raw = _read_file(folder, MANIFEST, MAX_MANIFEST_BYTES)
    if _sha256(raw) != digest:
        _broken(digest, f"{MANIFEST} is another one")
    if key is not None:
        _demand_signature(folder, digest, key)
    if extra := sorted({path.name for path in folder.iterdir()} - set(ALL_FILES)):
        _broken(digest, f"there is a file {extra[0]!r} that the manifest does not name")
    manifest = read_manifest(digest, raw)
    content = {name: _read_file(folder, name, manifest["files"][name]["bytes"]) for name in FILES}
    for name, data in content.items():
        check_file(digest, manifest, name, data)
    return manifest, content


def read_manifest(digest: str, raw: bytes) -> dict[str, Any]:
    """The manifest that a digest names, with believable claims about each file; raises BundleBroken for any other."""
    if _sha256(raw) != digest:
        _broken(digest, f"{MANIFEST} is another one")
    try:
        manifest: dict[str, Any] = json.loads(raw)
        found = manifest["format"]
        sizes = {name: promised["bytes"] for name, promised in manifest["files"].items()}
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        _broken(digest, f"{MANIFEST} is no manifest")
    if found != FORMAT or set(sizes) != set(FILES):
        _broken(digest, f"its format is {str(found)[:20]!r}, and this version reads {FORMAT}")
    for name, size in sizes.items():
        if type(size) is not int or not 0 <= size <= MAX_BYTES:
            _broken(digest, f"{name} claims to have {str(size)[:20]} bytes, and at most {MAX_BYTES} are read")
    return manifest


def check_file(digest: str, manifest: Mapping[str, Any], name: str, data: bytes) -> None:
    """Raise BundleBroken when a file is not the one that the manifest names."""
    promised = manifest["files"][name]
    if len(data) != promised["bytes"] or _sha256(data) != promised.get("sha256"):
        _broken(digest, f"{name} was changed")


def _demand_signature(folder: Path, digest: str, key: bytes) -> None:
    try:
        signature = _read_file(folder, SIGNATURE, 1024).decode("ascii").strip()
    except (BundleBroken, UnicodeDecodeError):
        signature = ""
    if not hmac.compare_digest(signature, _sign(digest, key)):
        raise BundleUnsigned(f"Bundle {digest[:12]} is not signed with this installation's key. Train it here, or bring its key.")


def _read_file(folder: Path, name: str, limit: int) -> bytes:
    """A plain file of at most `limit` bytes: no link is followed, no device opened for good, no more read than was promised."""
    try:
        handle = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        _broken(folder.name, f"{name} is missing")
    except OSError as wrong:
        _broken(folder.name, f"{name} cannot be opened as a file ({wrong.strerror})")
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        _broken(folder.name, f"{name} is no plain file")
    with open(handle, "rb") as file:
        if found.st_size > limit:
            _broken(folder.name, f"{name} has {found.st_size} bytes, more than the {limit} that were promised")
        return file.read(limit)


def _prove(digest: str, manifest: Mapping[str, Any], content: Mapping[str, bytes]) -> Scorer:
    """The scorer, once its golden rows score as they did when it was written, with the fastest engine that scores the same."""
    from whence.trees import fastest

    schema = json.loads(content["schema.json"])
    fields = FeatureSchema(tuple(schema["numbers"]), {name: tuple(known) for name, known in schema["categories"]})
    golden = json.loads(content["golden.json"])
    text = content["model.txt"].decode()
    scorer = _assemble(manifest["model"], digest, text, json.loads(content["calibrator.json"]), fields, manifest["about"])
    for name, came in zip(("raw", "probability"), scorer.score(golden["columns"]), strict=True):
        wanted = np.array(golden[name], dtype=np.float64)
        is_same = np.abs(came - wanted) <= 1e-12 * (1 + np.abs(wanted))
        if not is_same.all():
            made, here = manifest["versions"]["lightgbm"], version("lightgbm")
            raise BundleWrong(
                f"Bundle {digest[:12]} scores {int((~is_same).sum())} of its {len(wanted)} golden rows otherwise than when "
                f"it was written ({name}; LightGBM {made} then, {here} now). Retrain with this version."
            )
    return replace(scorer, _trees=fastest(text, scorer._lightgbm, encode(golden["columns"], fields)))


def _check_in_child(folder: Path, digest: str) -> None:
    """Let a process that may die read the model first: a broken text aborts, crashes or hangs, and raises nothing."""
    command = [sys.executable, "-I", "-m", "whence.bundle", "check", str(folder)]
    bare = {each: value for each in ("PATH", "LD_LIBRARY_PATH") if (value := os.environ.get(each))}
    name = f"Bundle {digest[:12]}"
    try:
        done = subprocess.run(
            command,
            env={**bare, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CHECK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BundleWrong(
            f"Bundle {digest[:12]} did not score its golden rows in {CHECK_SECONDS} s. Retrain the model."
        ) from None
    if done.returncode < 0:
        raise BundleWrong(
            f"Bundle {digest[:12]} killed the process that tried it (signal {-done.returncode}). Retrain the model."
        )
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise BundleWrong(f"{name} failed its check in a child process: {words[-1]}")


def _limit_this_process() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CHECK_CPU_SECONDS, CHECK_CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (CHECK_MEMORY, CHECK_MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _leave_the_network() -> None:
    """Into a network of its own where the system allows that; where it does not, the other limits must do."""
    import ctypes

    new_user, new_network = 0x10000000, 0x40000000  # CLONE_NEWUSER, CLONE_NEWNET of linux/sched.h
    if sys.platform == "linux":
        ctypes.CDLL(None).unshare(new_user | new_network)


def _broken(digest: str, what: str) -> NoReturn:
    raise BundleBroken(f"Bundle {digest[:12]} is broken: {what}. Delete its folder and train it again, or copy it from MLflow.")


def _plain(digest: str) -> str:
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise BundleMissing(f"{digest!r} is no bundle's digest: 64 hexadecimal digits are expected.")
    return digest


def _sign(digest: str, key: bytes) -> str:
    return hmac.new(key, digest.encode(), hashlib.sha256).hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _json(content: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(content, sort_keys=True, allow_nan=False, ensure_ascii=False, indent=1).encode()
    except (TypeError, ValueError) as wrong:
        raise BundleError(f"A bundle holds plain JSON alone: {wrong}. Give text, finite numbers, lists and dicts.") from None


def _main(arguments: list[str]) -> int:
    if len(arguments) != 2 or arguments[0] != "check":
        print("usage: python -m whence.bundle check FOLDER", file=sys.stderr)
        return 2
    _limit_this_process()
    _leave_the_network()
    folder = Path(arguments[1])
    try:
        manifest, content = _read(folder, folder.name)
        _prove(folder.name, manifest, content)
    except Exception as wrong:  # whatever a hostile file can raise is a reason not to load it
        print(f"{type(wrong).__name__}: {wrong}".replace("\n", " "), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
