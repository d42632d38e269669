"""Everything that a user may set, read from one TOML file; the defaults run the demo on one machine."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

FILE_VARIABLE = "WHENCE_SETTINGS"
HOME_VARIABLE = "WHENCE_HOME"


class SettingsError(ValueError):
    """A setting that cannot be, named with its place in the file."""


@dataclass(frozen=True)
class Within:
    """Numbers that a setting may be, both ends included."""

    least: float
    most: float = math.inf

    def __contains__(self, value: float) -> bool:
        """Whether it may be this one."""
        return self.least <= value <= self.most

    def __str__(self) -> str:
        """In words.

        >>> str(Within(0, 1)), str(Within(1))
        ('0 to 1', '1 or more')
        """
        return f"{self.least} or more" if self.most == math.inf else f"{self.least} to {self.most}"


@dataclass(frozen=True)
class Like:
    """Texts that a setting may be."""

    pattern: str
    such_as: str

    def __contains__(self, value: str) -> bool:
        """Whether it may be this one."""
        return re.fullmatch(self.pattern, value) is not None

    def __str__(self) -> str:
        """An example."""
        return f"like {self.such_as}"


Share = Annotated[float, Within(0, 1)]
Amount = Annotated[float, Within(0)]
Count = Annotated[int, Within(1)]
Port = Annotated[int, Within(1, 65_535)]


@dataclass(frozen=True)
class Source:
    """Where events come from."""

    kind: Annotated[str, ("world", "talkingdata", "criteo", "mapping")] = "world"
    """mapping for one's own events."""
    path: str = ""
    """File, folder, s3:// address or SQLAlchemy URL."""
    mapping: str = ""
    """The mapping file, for kind = mapping."""
    shift_days: int = 0
    """Days added to every time of the source; the public logs are years old."""


@dataclass(frozen=True)
class Scenario:
    """Something that goes wrong in the world from a day on."""

    name: Annotated[str, ("signal_loss", "tracker_outage", "mix_shift", "bot_flood", "unit_change")]
    first: date


@dataclass(frozen=True)
class World:
    """The simulator's size and seed."""

    seed: int = 7
    people: Count = 6000
    first_day: date = date(2026, 5, 1)
    days: Count = 16
    workers: Count = 1
    scenarios: tuple[Scenario, ...] = ()


@dataclass(frozen=True)
class Tables:
    """Where the Delta tables lie: a folder or an s3:// address."""

    uri: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    """Passed to the object store: AWS_ENDPOINT_URL and the like."""
    memory_limit: Annotated[str, Like(r"[\d.]+ ?[KMGT]i?B", "2GB")] = "2GB"


@dataclass(frozen=True)
class Features:
    """The feature store."""

    online: Annotated[str, ("sqlite", "redis")] = "sqlite"
    redis: str = "localhost:6379"
    max_age_hours: Amount = 48.0
    """An online value older than this counts as missing."""


@dataclass(frozen=True)
class Fuse:
    """What one day may change in who is who before a person has to look at it."""

    max_moved: Share = 0.05
    """The share of the identifiers known before that change their person."""
    max_merged: Share = 0.05
    """The share of the persons known before that are absorbed."""
    max_in_largest: Share = 0.01
    """The share of all identifiers that one person may hold."""
    least: int = 1000
    """With fewer identifiers than this, shares say nothing."""


@dataclass(frozen=True)
class Identity:
    """When a ranked match is taken, and when a day's answers are held back."""

    cut: Share = 0.7
    """The least calibrated probability of a match that is linked."""
    max_candidates: Count = 20
    max_identifiers: Count = 50
    """A person with more identifiers is a hub, and is not linked further."""
    fuse: Fuse = Fuse()


@dataclass(frozen=True)
class Attribution:
    """Who may be paid for a conversion."""

    policy: str = "whence"
    """A preset, as `whence policy list` names them, or the path of a policy's TOML file."""


@dataclass(frozen=True)
class Training:
    """What a model is trained on."""

    window_days: Count = 14
    holdout_persons: Share = 0.5
    """The share of people kept out of the fit: a third of them calibrates, the rest tests."""
    holdout_time: Share = 0.3
    """The last share of the time that is tested on."""
    seed: int = 7
    threads: Count = 1
    """Two models are trained at once on a machine with two cores; more threads than cores slow all of them down."""
    max_rows: Count = 200_000
    """Rows beyond this are sampled, by person."""
    conversion_days: Amount = 3.0
    """The window in which a touch may bring a conversion; labels ripen in it."""
    delay: Annotated[str, ("contest", "fsiw", "soft", "em", "rescale", "naive")] = "contest"
    """What makes up for labels that are not ripe; contest lets the others compete at an earlier deadline, where fsiw stays unless another is better for sure."""


@dataclass(frozen=True)
class Bundles:
    """Where bundles are kept for every machine; home/bundles holds those that this one has made or used."""

    uri: str = ""
    """A folder that all can see, or s3://bucket/prefix; empty where home/bundles is all there is."""
    options: Mapping[str, str] = field(default_factory=dict)
    """For the object store: AWS_ENDPOINT_URL and the like."""


@dataclass(frozen=True)
class Ports:
    """Where the local platform listens, on the loopback address alone."""

    front: Port = 8000
    """The page to begin with."""
    airflow: Port = 8080
    mlflow: Port = 5000
    evidently: Port = 8001
    serving: Port = 8100
    serving_admin: Port = 8101
    """Metrics and what else only operators may see, of the scoring service."""


@dataclass(frozen=True)
class Serving:
    """The scoring service."""

    host: str = "127.0.0.1"
    """Where it listens; in a container, 0.0.0.0."""
    workers: Count = 1
    """Processes that share the port; one a core."""
    rate: Amount = 20_000.0
    """Questions a second that one token may ask of one worker."""
    certificate: str = ""
    """A PEM file; with it and `key` the service speaks TLS alone."""
    key: str = ""


@dataclass(frozen=True)
class Alerts:
    """Whom the watcher tells what it found; nobody, without a webhook and without a mailbox."""

    webhook: str = ""
    """An http(s) address that takes a JSON POST, as those of chat rooms do."""
    webhook_key: str = "WHENCE_WEBHOOK_KEY"
    """The environment variable with the key that messages are signed with; unset, they are not signed."""
    mail_to: str = ""
    """Mailboxes, with commas between them."""
    mail_from: str = "whence@localhost"
    smtp: str = "localhost:25"
    """Host and port of the mail server."""
    starttls: bool = False
    """Speak TLS to it, and speak to no server that does not."""
    smtp_user: str = ""
    smtp_password: str = "WHENCE_SMTP_PASSWORD"
    """The environment variable with the password of smtp_user."""
    least: Annotated[str, ("warn", "recalibrate", "retrain", "rollback", "stop")] = "warn"
    """The least urgent level that is told."""
    again_days: Count = 7
    """What goes on is told again after so many days."""


@dataclass(frozen=True)
class Monitoring:
    """What is done about findings."""

    rollback: Annotated[str, ("person", "automatic")] = "person"
    """person: an alert asks for it; automatic: the champion before is brought back at once."""
    late_hours: Amount = 1.5
    """A daily run that has not succeeded so long after it was queued is late, and somebody is told."""
    alerts: Alerts = Alerts()


@dataclass(frozen=True)
class Settings:
    """All settings; `home` is the only folder that is written to."""

    home: Path
    source: Source = Source()
    world: World = World()
    tables: Tables = Tables()
    features: Features = Features()
    identity: Identity = Identity()
    attribution: Attribution = Attribution()
    training: Training = Training()
    serving: Serving = Serving()
    bundle_store: Bundles = Bundles()
    ports: Ports = Ports()
    monitoring: Monitoring = Monitoring()
    journal: str = ""
    """SQLAlchemy URL of the promotion journal; a file under home by default."""
    ingest_cron: str = ""
    """When events are fetched by themselves, as `0 3 * * *`; empty means on request."""

    @property
    def tables_uri(self) -> str:
        """Where the Delta tables lie."""
        return self.tables.uri or str(self.home / "tables")

    @property
    def journal_url(self) -> str:
        """Where promotions are written."""
        return self.journal or f"sqlite:///{self.home / 'journal.db'}"

    @property
    def bundles(self) -> Path:
        """Folder of the bundles on this machine, each named by its digest."""
        return self.home / "bundles"

    @property
    def candidates(self) -> Path:
        """Folder of what training left for the gate."""
        return self.home / "candidates"

    @property
    def world_events(self) -> Path:
        """Folder of the simulator's output."""
        return self.home / "world"

    @property
    def evidently_workspace(self) -> Path:
        """Folder of Evidently's projects."""
        return self.home / "evidently"

    @property
    def decision_log(self) -> Path:
        """Folder where the scoring service writes its decisions."""
        return self.home / "decision_log"

    @property
    def answer_counts(self) -> Path:
        """Folder where the scoring service writes how many it answered, and how."""
        return self.home / "answer_counts"

    @property
    def front_url(self) -> str:
        """The page to begin with, without a slash at its end."""
        return f"http://127.0.0.1:{self.ports.front}"

    @property
    def mlflow_url(self) -> str:
        """The MLflow server."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"http://127.0.0.1:{self.ports.mlflow}"


def load(path: Path | None = None) -> Settings:
    """Settings from a TOML file: the one given, $WHENCE_SETTINGS, ./whence.toml, or the defaults.

    `home`, `source.path`, `source.mapping`, `bundle_store.uri`, `serving.certificate`, `serving.key` and a file in
    `attribution.policy` are relative to the file; $WHENCE_HOME overrides `home`. Raises SettingsError for a key that
    does not exist and for a value that is not allowed.
    """
    chosen = path or (Path(named) if (named := os.environ.get(FILE_VARIABLE)) else Path("whence.toml"))
    if not chosen.exists():
        if path or os.environ.get(FILE_VARIABLE):
            raise SettingsError(
                f"There is no settings file {chosen}. Copy infra/whence.toml there, or name another by --settings or {FILE_VARIABLE}."
            )
        given: dict[str, Any] = {}
    else:
        try:
            given = tomllib.loads(chosen.read_text())
        except ValueError as wrong:  # of a letter that is no UTF-8, too
            raise SettingsError(f"{chosen} is no TOML: {wrong}") from None
    home = os.environ.get(HOME_VARIABLE) or _value(str, given.get("home", ".whence"), f"{chosen}: home")
    settings = _fill(Settings, {**given, "home": (chosen.parent / home).resolve()}, str(chosen))
    assert isinstance(settings, Settings)
    source = settings.source
    rooted = replace(source, path=_rooted(source.path, chosen.parent), mapping=_rooted(source.mapping, chosen.parent))
    serving = settings.serving
    keyed = replace(serving, certificate=_rooted(serving.certificate, chosen.parent), key=_rooted(serving.key, chosen.parent))
    policy = settings.attribution.policy
    if policy.endswith(".toml"):
        policy = _rooted(policy, chosen.parent)
    kept = replace(settings.bundle_store, uri=_rooted(settings.bundle_store.uri, chosen.parent))
    return replace(
        settings, source=rooted, serving=keyed, bundle_store=kept, attribution=replace(settings.attribution, policy=policy)
    )


def _rooted(path: str, folder: Path) -> str:
    """A path from the file's folder; an address with a scheme and an empty one stay as they are."""
    return path if not path or "://" in path else str((folder / path).resolve())


def _fill(kind: type, given: Any, where: str) -> Any:
    if not isinstance(given, Mapping):
        raise SettingsError(f"{where} must be a section of settings, and is {given!r}.")
    hints = get_type_hints(kind, include_extras=True)
    known = {f.name for f in fields(kind)}
    if unknown := sorted(set(given) - known):
        raise SettingsError(f"{where}: there is no setting '{unknown[0]}'. Known here: {', '.join(sorted(known))}.")
    return kind(**{name: _value(hints[name], value, f"{where}: {name}") for name, value in given.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    if get_origin(hint) is Annotated:
        inner, allowed = get_args(hint)
        found = _value(inner, value, where)
        if found not in allowed:
            raise SettingsError(f"{where} cannot be {value!r}. It may be {_told(allowed)}.")
        return found
    if is_dataclass(hint):
        return _fill(hint, value, where)  # type: ignore[arg-type]
    if hint == tuple[Scenario, ...]:
        return tuple(_fill(Scenario, each, where) for each in _value(list, value, where))
    if hint == Mapping[str, str]:
        return {name: _value(str, each, f"{where}: {name}") for name, each in _value(dict, value, where).items()}
    if hint is Path:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and type(value) is not hint:
        raise SettingsError(f"{where} must be {hint.__name__}, and is {value!r} ({type(value).__name__}).")
    return value


def _told(allowed: Any) -> str:
    return ", ".join(allowed) if isinstance(allowed, tuple) else str(allowed)
