"""What a day was made with, as it was written down then: its statements' tables and policy, the bundles that decided, and their parts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from whence.attribution import policy as policies
from whence.attribution import policy_archive, statements
from whence.bundle import BundleError, bundle_manifest
from whence.contracts.tables import TABLES
from whence.contracts.times import Window
from whence.lake import Lake

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from whence.attribution.policy import Policy
    from whence.contracts.settings import Settings

TREES = ("model.txt", "schema.json")
"""The files of a bundle that make its raw scores."""
LEVEL = ("calibrator.json",)


@dataclass(frozen=True)
class Ruling:
    """The policy that a day's credit was stated by."""

    digest: str
    policy: Policy | None
    """None where its text is kept nowhere."""

    def __str__(self) -> str:
        return f"{self.digest[:12]}{f' ({self.policy.name})' if self.policy else ''}"


def stated(lake: Lake, day: date) -> pd.DataFrame:
    """The rows of credit of the day's conversions that held at its end."""
    rows = lake.read("credits", Window(day, day)).to_pandas()
    return statements.current(rows[rows["stated_on"] <= str(day)])


def ruling(settings: Settings, credits: pd.DataFrame) -> Ruling:
    """The policy of a day's statements; that of the settings where the day has none."""
    if credits.empty:
        policy = policies.of(settings)
        return Ruling(policies.digest(policy), policy)
    digest = str(credits["policy"].mode().iloc[0])
    return Ruling(digest, policy_archive.find(settings, digest))


def pinned(lake: Lake, credits: pd.DataFrame) -> Lake:
    """The lake with the tables at the versions that a day's statements rest on; as it is now where they are gone or unknown."""
    told = str(credits["data"].mode().iloc[0]) if len(credits) else ""
    found = dict(part.rsplit(" ", 1) for part in told.split(", ") if " " in part)
    versions = {name: int(version) for name, version in found.items() if name in TABLES and int(version) >= 0}
    then = Lake(lake.uri, lake.options, lake.memory_limit, versions)
    return then if all(_is_there(then, name) for name in versions) else lake


def deciding(lake: Lake, model: str, window: Window) -> dict[str, str]:
    """For each day of the window the bundle that decided most."""
    query = """
        SELECT day, bundle FROM (SELECT day, bundle, count(*) AS n FROM decisions WHERE model = ? GROUP BY ALL)
        QUALIFY row_number() OVER (PARTITION BY day ORDER BY n DESC, bundle) = 1 ORDER BY day
    """
    with lake.connect(window, "decisions") as con:
        return dict(con.execute(query, [model]).fetchall())


def part(settings: Settings, bundle: str, files: tuple[str, ...]) -> str:
    """Some files of a bundle by their digests, in one text. Raises BundleError for one that is not on this machine."""
    told: Mapping[str, Mapping[str, str]] = bundle_manifest(settings.bundles, bundle)["files"]
    return " ".join(told[name]["sha256"] for name in files)


def trouble(settings: Settings, bundle: str) -> str:
    """Why a bundle cannot score here; empty when it can."""
    from whence import bundle_store

    try:
        bundle_store.bring(settings, bundle)
        bundle_manifest(settings.bundles, bundle)
    except BundleError as gone:
        return str(gone)
    return ""


def _is_there(lake: Lake, name: str) -> bool:
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        return lake.version(name) >= 0 and all(Path(file).exists() for file in lake.files(name))
    except (DeltaError, TableNotFoundError, OSError):
        return False
