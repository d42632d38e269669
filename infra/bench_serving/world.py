"""What the servers know: networks of fifty people each, their features as Feast and as we hold them, and the models."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tomli_w

from features import open_online
from features.online import JOIN_KEYS, key_text, micros, pack
from infra.bench_serving import models
from registry.journal import Journal
from whence import calibration
from whence.bundle import golden_rows, write_bundle
from whence.contracts.models import ATTRIBUTION_RANKER, CONVERSION_VALUE, IDENTITY_RANKER, FeatureSchema
from whence.contracts.settings import Settings, load
from whence.identity import evidence

SETTINGS = "whence.toml"
NETWORKS, CANDIDATES, PEOPLE = 200, 50, 4000
TOUCHES, CAMPAIGNS = 10, 40
"""That each person met, and that there are."""
AGENTS = tuple(
    f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{release}.0 Safari/537.36"
    for system in ("Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "Linux; Android 14; Pixel 8", "iPhone")
    for release in (119, 120, 121, 122)
)
LOCALES, COUNTRIES = ("en-US", "de-DE", "fr-FR"), ("US", "DE", "FR")

View = list[tuple[tuple[str, ...], dict[str, Any]]]
"""Rows by key."""


@dataclass(frozen=True)
class World:
    """Made-up features and the questions about them."""

    seen_at: datetime
    """When the features became known, on a whole second: Feast keeps no finer time."""
    views: Mapping[str, View]
    """What a match reads, here and at the peer."""
    campaigns: View
    signals: tuple[dict[str, Any], ...]
    conversions: tuple[dict[str, Any], ...]
    """Each with its person, who met TOUCHES touches."""

    @classmethod
    def of(cls, now: datetime) -> World:
        """The same world for the same second; its questions are asked as of `now`."""
        rng, seen_at = np.random.default_rng(0), now.replace(microsecond=0) - timedelta(hours=2)
        people = [f"person-{number:06d}" for number in range(PEOPLE)]
        listed = [rng.choice(people, CANDIDATES, replace=False).tolist() for _ in range(NETWORKS)]
        views: dict[str, View] = {
            "network_features": [((_network(place),), _of_network(each, rng, seen_at)) for place, each in enumerate(listed)],
            "person_features": [((person,), _of_person(rng, seen_at)) for person in people],
            "pair_features": [
                ((_network(place), person), _of_pair(rng, seen_at)) for place, each in enumerate(listed) for person in each
            ],
        }
        signals = tuple(_signal(place, rng, now) for place in range(NETWORKS))
        campaigns: View = [((name,), _of_campaign(rng)) for name in models.CAMPAIGNS]
        return cls(seen_at, views, campaigns, signals, tuple(_conversion(place, now) for place in range(NETWORKS)))


def _network(place: int) -> str:
    return f"network-{place:04d}"


def _of_network(people: list[str], rng: np.random.Generator, seen_at: datetime) -> dict[str, Any]:
    week = int(rng.integers(50, 2000))
    return {
        "events_1d": week // 7,
        "events_7d": week,
        "identifiers_7d": int(rng.integers(50, 200)),
        "persons_7d": len(people),
        "people": json.dumps(people),
        "last_seen_at": seen_at,
    }


def _of_person(rng: np.random.Generator, seen_at: datetime) -> dict[str, Any]:
    touches = [
        {
            "touch_id": f"touch-{rng.integers(10**9)}",
            "happened_at": (seen_at - timedelta(hours=float(rng.uniform(1, 160)))).isoformat(),
            "kind": "click",
            "campaign_id": str(rng.choice(models.CAMPAIGNS)),
            "channel": str(rng.choice(models.CHANNELS)),
            "product": None,
            "click_id": f"click-{rng.integers(10**9)}",
            "ip_key": _network(int(rng.integers(NETWORKS))),
            "cookie_id": None,
            "device_id": f"device-{rng.integers(10**9)}",
        }
        for _ in range(TOUCHES)
    ]
    return {
        "identifiers": int(rng.integers(1, 8)),
        "logins_7d": int(rng.integers(0, 9)),
        "touches_7d": int(rng.integers(0, 30)),
        "clicks_7d": int(rng.integers(0, 9)),
        "conversions_14d": int(rng.integers(0, 3)),
        "user_agents": json.dumps(rng.choice(AGENTS, 3, replace=False).tolist()),
        "locale": str(rng.choice(LOCALES)),
        "country": str(rng.choice(COUNTRIES)),
        "mean_hour": float(np.round(rng.uniform(0, 24), 2)),
        "recent_touches": json.dumps(touches),
        "recent_sales": "[]",
        "last_seen_at": _before(seen_at, rng),
    }


def _of_pair(rng: np.random.Generator, seen_at: datetime) -> dict[str, Any]:
    return {
        "days_together_14d": int(rng.integers(1, 14)),
        "events_together_14d": int(rng.integers(1, 200)),
        "share_of_person_14d": float(np.round(rng.uniform(), 3)),
        "last_together_at": _before(seen_at, rng),
    }


def _of_campaign(rng: np.random.Generator) -> dict[str, Any]:
    views, clicks = int(rng.integers(100, 9000)), int(rng.integers(10, 100))
    return {
        "views_7d": views,
        "clicks_7d": clicks,
        "conversions_7d": int(rng.integers(0, 9)),
        "click_rate_7d": clicks / views,
        "conversion_rate_7d": float(np.round(rng.uniform(0, 0.1), 4)),
    }


def _conversion(place: int, now: datetime) -> dict[str, Any]:
    """A purchase by a known person."""
    conversion = {
        "conversion_id": f"conversion-{place}",
        "seen_at": now.isoformat(),
        "kind": "purchase",
        "value_micros": 12_345_678 + place,
        "currency": "USD",
        "ip_key": _network(place),
    }
    return {"conversion": conversion, "person_id": f"person-{place:06d}"}


def _before(moment: datetime, rng: np.random.Generator) -> datetime:
    return moment - timedelta(seconds=int(rng.integers(0, 14 * 86_400)))


def _signal(place: int, rng: np.random.Generator, now: datetime) -> dict[str, Any]:
    """A stranger's click on a known network."""
    return {
        "event_id": f"event-{place}",
        "seen_at": now.isoformat(),
        "cookie_id": f"cookie-{rng.integers(10**9)}",
        "ip_key": _network(place),
        "user_agent": str(rng.choice(AGENTS)),
        "locale": str(rng.choice(LOCALES)),
        "country": str(rng.choice(COUNTRIES)),
    }


HOMES = {
    "sqlite": "sqlite",
    "redis": "redis",
    "unscored": "sqlite",
    "first-sqlite": "sqlite",
    "first-redis": "redis",
}
"""By name, the online store of each; no two servers write into one home."""


def homes(folder: Path, world: World, redis: str, ports: Iterator[int], now: datetime) -> dict[str, Settings]:
    """Homes with the features in their online store and both models in service."""
    return {name: _home(folder / name, kind, world, redis, (next(ports), next(ports)), now) for name, kind in HOMES.items()}


def _home(home: Path, kind: str, world: World, redis: str, ports: tuple[int, int], now: datetime) -> Settings:
    home.mkdir(parents=True)
    said = {
        "home": str(home),
        "features": {"online": kind, "redis": redis},
        "identity": {"max_candidates": CANDIDATES},
        "ports": {"serving": ports[0], "serving_admin": ports[1]},
    }
    (home / SETTINGS).write_text(tomli_w.dumps(said))
    settings = load(home / SETTINGS)
    with open_online(settings) as store:
        for view, rows in {**world.views, "campaign_features": world.campaigns}.items():
            store.shelf.put(view, [(key_text(key), pack(view, values, micros(world.seen_at))) for key, values in rows])
    journal = Journal.of(settings)
    for model, digest in _bundles(settings.bundles).items():
        journal.promote(model, digest, "", ("for a benchmark",), "infra.bench_serving", 0, now)
    return settings


def _bundles(root: Path) -> dict[str, str]:
    """The rankers of identities and of touches, and the model of forty features in the place of conversion values."""
    import pandas as pd

    met = pd.DataFrame(models.journey_columns(models.journey_rows(400, seed=5)))
    touches = models.text("attribution"), calibrator("attribution").to_json(), models.JOURNEY, golden_rows(met, models.JOURNEY)
    wide = pd.DataFrame(models.columns(models.rows(400, seed=5)))
    value = models.text("categorical"), calibrator("categorical").to_json(), models.SCHEMA, golden_rows(wide, models.SCHEMA)
    return {
        IDENTITY_RANKER: ranker(root),
        ATTRIBUTION_RANKER: write_bundle(root, ATTRIBUTION_RANKER, *touches, {}),
        CONVERSION_VALUE: write_bundle(root, CONVERSION_VALUE, *value, {}),
    }


def ranker(root: Path, **about: str) -> str:
    """The digest of a bundle that ranks identities; what else is said `about` it makes another one that scores the same."""
    import pandas as pd

    frame = pd.DataFrame(models.identity_rows(400, seed=5), columns=list(evidence.SCHEMA_NUMBERS))
    schema = FeatureSchema(evidence.SCHEMA_NUMBERS)
    parts = models.text("identity"), calibrator("identity").to_json(), schema, golden_rows(frame, schema)
    return write_bundle(root, IDENTITY_RANKER, *parts, about)


def calibrator(kind: str) -> calibration.Calibrator:
    """A staircase fitted to the model's scores on rows of its own."""
    from whence.trees import Trees

    made, _ = models.KINDS[kind]
    matrix = made(3000, 6)
    labels: npt.NDArray[np.int64] = models.labels(matrix, seed=2)
    return calibration.fit("isotonic", Trees(models.text(kind)).raw(matrix), labels)


def environment(settings: Settings) -> dict[str, str]:
    """What a process needs to serve these settings."""
    return {**os.environ, "WHENCE_SETTINGS": str(settings.home / SETTINGS)}


def now() -> datetime:
    """The time of the benchmark, on a whole second."""
    return datetime.now(UTC).replace(microsecond=0)


def feast_frame(view: str, world: World) -> Any:
    """A view's rows as Feast writes them online."""
    import pandas as pd

    rows = [{**dict(zip(JOIN_KEYS[view], key, strict=True)), **values} for key, values in world.views[view]]
    return pd.DataFrame(rows).assign(seen_at=pd.Timestamp(world.seen_at))
