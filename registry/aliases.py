"""MLflow's alias `champion` follows the journal: set from its rows, set right when somebody moved it, and told when that was so.

MLflow's alias has no compare-and-set, no history and no digest, so it decides nothing here. This speaks MLflow's REST
interface itself: MLflow's own client takes seconds and 250 MB to load, too much for a rollback and for a watcher.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx

from registry.alarms import BEHIND, LOST, MOVED, Alarm, Alarms
from registry.journal import Journal, Promotion
from registry.rows import stamp
from whence.contracts.models import ATTRIBUTION_RANKER, CONVERSION_VALUE, EXPOSURE_RESPONSE, IDENTITY_RANKER, MODELS
from whence.contracts.times import utc

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

ALIAS = "champion"
BUNDLE = "bundle_sha256"
EPOCH, SEAL = "champion_epoch", "champion_seal"
"""Tags: of which row the alias was set last. They also remember the row outside of the journal."""
TIMEOUT = httpx.Timeout(5.0, connect=1.0)
SETTLING = timedelta(seconds=30)
"""So long after a row others may still be following the one before it: who then finds the alias there calls it no work of a hand."""
TRIES = 4
MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
QUESTIONS = {
    IDENTITY_RANKER: "Is this signal by this person?",
    ATTRIBUTION_RANKER: "Did this touch earn this conversion?",
    CONVERSION_VALUE: "Will this touch bring a conversion within its window?",
    EXPOSURE_RESPONSE: "How much likelier is a conversion now for what this person was shown?",
}
FOLLOWED = "followed"


class AliasError(RuntimeError):
    """MLflow cannot be reached, or refuses what is asked; the message says which."""


@dataclass(frozen=True)
class Change:
    """What was found of a model's alias, and what became of it."""

    model: str
    kind: str
    """followed: the journal had moved on. moved: somebody moved the alias by hand. lost: MLflow has no version of the champion.
    behind: MLflow knows a row that the journal has not."""
    words: str
    epoch: int
    """The champion's."""

    @property
    def is_alarm(self) -> bool:
        """True when a person should know."""
        return self.kind != FOLLOWED


def reconcile(settings: Settings, now: datetime) -> list[Change]:
    """Set each model's alias from the journal; what had to be changed. Alarms are kept in the journal's database.

    Raises AliasError when MLflow does not answer.
    """
    journal = Journal.of(settings)
    address = f"{settings.mlflow_url}/api/2.0/mlflow/"
    with httpx.Client(base_url=address, timeout=TIMEOUT, trust_env=False, verify=_trusted()) as client:
        models = _Models(client)
        found = [change for model in MODELS for change in _followed(models, journal, model, settings.front_url, now)]
    told = [Alarm(stamp(now), each.model, each.kind, each.epoch, each.words) for each in found if each.is_alarm]
    Alarms.of(settings).settle(told, (LOST, BEHIND), now)
    return found


@cache
def _trusted() -> ssl.SSLContext:
    """Read once: the certificates take longer than the questions, and a watcher asks every few seconds."""
    return ssl.create_default_context()


@dataclass(frozen=True)
class _Models:
    """The few calls of MLflow's model registry that an alias needs."""

    client: httpx.Client

    def model(self, name: str) -> dict[str, Any]:
        """The registered model with its aliases, tags and description; empty when there is none."""
        found = self._ask("GET", "registered-models/get", MISSING, params={"name": name})
        return dict(found.get("registered_model", {}))

    def versions(self, name: str, bundle: str) -> list[dict[str, Any]]:
        """The versions of a bundle, oldest first."""
        wanted = f"name = '{name}' and tags.`{BUNDLE}` = '{bundle}'"
        found = self._ask("GET", "model-versions/search", params={"filter": wanted, "max_results": "1000"})
        return sorted(found.get("model_versions", []), key=lambda each: int(each["version"]))

    def set_alias(self, name: str, version: str) -> None:
        self._ask("POST", "registered-models/alias", json={"name": name, "alias": ALIAS, "version": version})

    def tag(self, name: str, key: str, value: str) -> None:
        self._ask("POST", "registered-models/set-tag", json={"name": name, "key": key, "value": value})

    def tag_version(self, name: str, version: str, key: str, value: str) -> None:
        self._ask("POST", "model-versions/set-tag", json={"name": name, "version": version, "key": key, "value": value})

    def describe(self, name: str, text: str) -> None:
        self._ask("PATCH", "registered-models/update", json={"name": name, "description": text})

    def _ask(self, method: str, path: str, excused: tuple[str, ...] = (), **given: Any) -> dict[str, Any]:
        """Of several who write the same at once MLflow's database refuses all but one (BAD_REQUEST): they ask again."""
        try:
            for _ in range(TRIES):
                answer = self.client.request(method, path, **given)
                said = dict(answer.json())
                if answer.status_code < 400 or said.get("error_code") != "BAD_REQUEST":
                    break
        except (httpx.HTTPError, ValueError) as wrong:
            raise AliasError(
                f"MLflow does not answer at {self.client.base_url} ({type(wrong).__name__}). Is it running?"
            ) from None
        if answer.status_code >= 400 and said.get("error_code") not in excused:
            raise AliasError(f"MLflow refuses {method} {path}: {said.get('error_code')}, {str(said.get('message'))[:200]}")
        return said if answer.status_code < 400 else {}


def description(model: str, front: str, champion: Promotion | None = None, version: str = "") -> str:
    """What MLflow's page of a model says, for people; `front` is the address of the front page."""
    text = f"**{QUESTIONS.get(model, model)}**\n\nOwner: ml-platform. Judged by `registry/policy.toml`; the champion follows the journal."
    text += f"\n\n{links(model, front)}"
    if champion is None:
        return text
    reasons = "\n".join(f"- {reason}" for reason in champion.reasons)
    head = f"Champion since {champion.at}: version {version}, epoch {champion.epoch}, by {champion.kind} of {champion.who}; seal `{champion.seal}`."
    return f"{text}\n\n{head}\n\n{reasons}"


def links(model: str, front: str) -> str:
    """Where else a model is told of, in Markdown.

    >>> links("identity-ranker", "http://whence")
    '[Front page](http://whence/) · [dashboards of identity-ranker](http://whence/models/identity-ranker) · [findings](http://whence/findings)'
    """
    return f"[Front page]({front}/) · [dashboards of {model}]({front}/models/{model}) · [findings]({front}/findings)"


def _followed(models: _Models, journal: Journal, model: str, front: str, now: datetime) -> Iterator[Change]:
    """Follow the newest row; and the one that came meanwhile, which another has followed already, and this one undone."""
    before: Promotion | None = None
    while (champion := journal.champion(model)) and champion != before:
        yield from _follow(models, journal, champion, front, now)
        before = champion


def _follow(models: _Models, journal: Journal, champion: Promotion, front: str, now: datetime) -> Iterator[Change]:
    """Alias first, then the tags that say of which row it was set: who dies between the two is followed by another try."""
    name, epoch = champion.model, champion.epoch
    kept = models.model(name)
    tags = {each["key"]: each["value"] for each in kept.get("tags", [])}
    if said := _unknown_row(journal, tags):
        yield Change(name, BEHIND, f"{name}: {said}", epoch)
    found = models.versions(name, champion.bundle)
    if not found:
        words = f"{name}: the champion {champion.bundle[:12]} is not registered in MLflow. Register its candidate again."
        yield Change(name, LOST, words, epoch)
        return
    wanted, stands = str(found[0]["version"]), _alias(kept)
    if stands != wanted:
        models.set_alias(name, wanted)
        is_by_hand = tags.get(EPOCH) == str(epoch) and not _is_overtaken(models, champion, stands, now)
        words = f"{name}: alias {ALIAS} set to version {wanted}; it was {stands or 'not set'}"
        yield Change(name, MOVED if is_by_hand else FOLLOWED, words + (", moved by hand." if is_by_hand else "."), epoch)
    for version in found:
        if _tags(version).get(EPOCH) != str(epoch):
            models.tag_version(name, str(version["version"]), EPOCH, str(epoch))
    if (text := description(name, front, champion, wanted)) != kept.get("description"):
        models.describe(name, text)
    for key, value in ((SEAL, champion.seal), (EPOCH, str(epoch))):
        if tags.get(key) != value:
            models.tag(name, key, value)


def _is_overtaken(models: _Models, champion: Promotion, stands: str, now: datetime) -> bool:
    """Whether the alias may be the work of one who followed the row before while this one was followed already."""
    if utc(now) - datetime.fromisoformat(champion.at) > SETTLING:
        return False
    return stands in [str(each["version"]) for each in models.versions(champion.model, champion.previous)]


def _unknown_row(journal: Journal, tags: Mapping[str, str]) -> str:
    """What is wrong when MLflow remembers a row that the journal does not have: it was cut short or replaced."""
    if EPOCH not in tags or SEAL not in tags:
        return ""
    if any(row.seal == tags[SEAL] for row in journal.rows()):
        return ""
    return f"MLflow followed a row of epoch {tags[EPOCH]} (seal {tags[SEAL][:12]}) that the journal does not have. Restore the database."


def _alias(kept: Mapping[str, Any]) -> str:
    """The version that the alias names; empty when it names none."""
    return next((str(each["version"]) for each in kept.get("aliases", []) if each["alias"] == ALIAS), "")


def _tags(version: Mapping[str, Any]) -> dict[str, str]:
    return {each["key"]: each["value"] for each in version.get("tags", [])}
