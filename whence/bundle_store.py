"""Where bundles are kept for every machine: a folder that all can see, or S3. What a machine has used lies in its own folder.

A bundle is named by its digest and never changes, so keeping it twice is keeping it once, and a copy on this machine is as
good as the original: with the store out of reach, a service serves on, and goes back to whatever it has served before.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from whence.bundle import (
    FILES,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    SIGNATURE,
    BundleBroken,
    BundleError,
    BundleMissing,
    Scorer,
    bundle_content,
    check_file,
    load_bundle,
    publish_bundle,
    read_manifest,
)

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

ATTEMPTS = 4
CLIENT_OPTIONS = {
    "AWS_ENDPOINT_URL": "endpoint_url",
    "AWS_ACCESS_KEY_ID": "aws_access_key_id",
    "AWS_SECRET_ACCESS_KEY": "aws_secret_access_key",
    "AWS_SESSION_TOKEN": "aws_session_token",
    "AWS_REGION": "region_name",
}
"""The settings' names, which are the table store's, too, and boto3's."""
log = logging.getLogger("whence.bundle_store")


class StoreDown(BundleError):
    """The store cannot be reached, or does not give what it has; what lies on this machine is not touched by that."""


class BundleStore(Protocol):
    """A place that keeps bundles."""

    def keep(self, digest: str, content: Mapping[str, bytes]) -> None:
        """Keep a bundle's files, whole or not at all; a damaged copy is mended. Raises StoreDown."""

    def fetch(self, digest: str) -> dict[str, bytes]:
        """A bundle's files by name, each proven by its digest. Raises BundleMissing, BundleBroken or StoreDown."""


@dataclass(frozen=True)
class FolderStore:
    """Bundles in a folder that every machine can see."""

    root: Path

    def keep(self, digest: str, content: Mapping[str, bytes]) -> None:
        """See BundleStore."""
        try:
            publish_bundle(self.root, digest, content)
        except OSError as wrong:
            raise StoreDown(f"Bundle {digest[:12]} cannot be kept in {self.root}: {wrong}. Look at the disk.") from None

    def fetch(self, digest: str) -> dict[str, bytes]:
        """See BundleStore."""
        return bundle_content(self.root, digest)


@dataclass(frozen=True)
class ObjectStore:
    """Bundles in an S3 bucket, below a prefix; the manifest is written last, and what has none is not there."""

    bucket: str
    prefix: str
    options: Mapping[str, str]

    @classmethod
    def at(cls, uri: str, options: Mapping[str, str]) -> ObjectStore:
        """The store at s3://bucket/prefix."""
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        return cls(bucket, prefix.strip("/"), options)

    def keep(self, digest: str, content: Mapping[str, bytes]) -> None:
        """See BundleStore."""
        for name in (*FILES, SIGNATURE, MANIFEST):
            self._put(f"{digest}/{name}", content[name])

    def fetch(self, digest: str) -> dict[str, bytes]:
        """See BundleStore; a body that was cut is asked for again."""
        raw = self._get(f"{digest}/{MANIFEST}", MAX_MANIFEST_BYTES)
        if raw is None:
            raise BundleMissing(f"There is no bundle {digest} in s3://{self.bucket}/{self.prefix}. Train it again.")
        manifest = read_manifest(digest, raw)
        content = {name: self._get(f"{digest}/{name}", manifest["files"][name]["bytes"]) or b"" for name in FILES}
        for name, data in content.items():
            check_file(digest, manifest, name, data)
        return {**content, MANIFEST: raw, SIGNATURE: self._get(f"{digest}/{SIGNATURE}", 1024) or b""}

    def _put(self, key: str, data: bytes) -> None:
        """Write if nothing is there; what is there and is another thing was damaged, and is replaced as it was seen."""
        from botocore.exceptions import BotoCoreError, ClientError

        condition = {"IfNoneMatch": "*"}
        for _ in range(ATTEMPTS):
            try:
                self._client.put_object(**self._named(key), Body=data, **condition)
                return
            except ClientError as refused:
                if _code(refused) not in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
                    raise self._down(refused) from None
            except BotoCoreError as wrong:
                raise self._down(wrong) from None
            tag, found = self._look(key, len(data))
            if found == data:
                return
            condition = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
        raise StoreDown(f"s3://{self.bucket}/{self._named(key)['Key']} is being changed by somebody else. Try again.")

    def _get(self, key: str, limit: int) -> bytes | None:
        """An object of at most `limit` bytes; None when there is none."""
        tag, data = self._look(key, limit)
        if data is None and tag:
            raise BundleBroken(
                f"s3://{self.bucket}/{self._named(key)['Key']} has more than the {limit} bytes that were promised."
            )
        return data

    def _look(self, key: str, limit: int) -> tuple[str, bytes | None]:
        """(its tag, its bytes); no bytes of one that is longer than `limit`, and no tag when there is none.

        boto3 tries again when it gets no answer, but not when the body of an answer ends early.
        """
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        for _ in range(ATTEMPTS):
            try:
                answer = self._client.get_object(**self._named(key))
            except ClientError as refused:
                if _code(refused) in ("NoSuchKey", "404"):
                    return "", None
                raise self._down(refused) from None
            except BotoCoreError as wrong:
                raise self._down(wrong) from None
            tag, body = str(answer["ETag"]), answer["Body"]
            if answer["ContentLength"] > limit:
                body.close()
                return tag, None
            try:
                return tag, body.read()
            except (BotoCoreError, HTTPError, OSError) as cut:
                body.close()
                log.warning("The body of %s ended early (%s); asking again", key, type(cut).__name__)
        raise StoreDown(f"The bundle store s3://{self.bucket}/{self.prefix} cut the body of {key} {ATTEMPTS} times.")

    def _named(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": f"{self.prefix}/{key}" if self.prefix else key}

    def _down(self, wrong: Exception) -> StoreDown:
        return StoreDown(f"The bundle store s3://{self.bucket}/{self.prefix} does not do as asked: {wrong}")

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        limits = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
        given = {CLIENT_OPTIONS[name]: value for name, value in self.options.items() if name in CLIENT_OPTIONS}
        return boto3.client("s3", config=limits, **given)


def store_of(settings: Settings) -> BundleStore | None:
    """The store of the settings; None where this machine's own folder is all there is."""
    uri = settings.bundle_store.uri
    if not uri:
        return None
    return ObjectStore.at(uri, settings.bundle_store.options) if uri.startswith("s3://") else FolderStore(Path(uri))


def share(settings: Settings, digest: str) -> None:
    """Keep a bundle of this machine in the store, for the others. Raises StoreDown."""
    if (store := store_of(settings)) is not None:
        store.keep(digest, bundle_content(settings.bundles, digest))


def bring(settings: Settings, digest: str) -> None:
    """See that a bundle lies on this machine, whole; fetched from the store when it does not."""
    store = store_of(settings)
    try:
        bundle_content(settings.bundles, digest)
    except (BundleMissing, BundleBroken):
        if store is None:
            raise
        publish_bundle(settings.bundles, digest, store.fetch(digest))


def load(settings: Settings, digest: str) -> Scorer:
    """The checked scorer of a bundle, from this machine or the store; see whence.bundle.load_bundle."""
    bring(settings, digest)
    return load_bundle(settings.bundles, digest)


def _code(refused: Any) -> str:
    return str(refused.response.get("Error", {}).get("Code", ""))
