"""Row-exact replay: a day's requests answered by the matcher from the online store, then computed once more offline."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import features
from infra.benching import Row, interleaved, verdict
from serving import matcher
from serving.at_once import Blocking, at_once
from serving.daily.batch import resolve_identities
from serving.decision_frames import Decision
from serving.decision_log import DecisionLog
from serving.replay import replay
from whence import calibration
from whence.bundle import Scorer, encode, golden_rows, load_bundle, write_bundle
from whence.contracts.events import EVENTS, IDENTIFIERS
from whence.contracts.models import IDENTITY_RANKER, FeatureSchema
from whence.contracts.settings import Identity, Settings
from whence.contracts.tables import TABLES
from whence.contracts.times import Window
from whence.identity import evidence
from whence.lake import Lake

FIRST = date(2026, 5, 1)
DAYS = 2
SERVED = FIRST + timedelta(days=DAYS)
NETWORKS, PEOPLE, REQUESTS = 400, 20, 5200
ROWS = 100_000
AGENTS = tuple(
    f"{name} {release} on {system}" for name in ("Chrome", "Safari") for release in (120, 121) for system in ("iOS", "Linux")
)
LOCALES, COUNTRIES = ("en-GB", "de-DE", None), ("GB", "DE", None)
SECONDS = 86_400


def measure(runs: int) -> list[Row]:
    """The row of this part; one run, for it is a proof and not a time."""
    found = interleaved({"replay": partial(job, NETWORKS, PEOPLE, REQUESTS)}, 1)["replay"].answers[0]
    is_met = found["rows"] >= ROWS and found["different"] == 0 and not found["skipped"]
    return [
        Row(
            "served rows once more by the offline path",
            f"{found['different']} of {found['cells']} cells differ",
            target=f"0, of ≥ {ROWS} rows",
            verdict=verdict(met=is_met),
            note=f"{found['rows']} rows; features by Feast's as-of join, the same evidence functions and bundle",
        )
    ]


def job(networks: int, people: int, requests: int) -> dict[str, Any]:
    """Serve a made-up day, replay it, and say what came of it: a ReplayReport as a dict."""
    with tempfile.TemporaryDirectory() as folder:
        settings = a_home(Path(folder), networks, people)
        serve(settings, networks, requests)
        return asdict(replay(settings, SERVED, 10 * ROWS))


def a_home(folder: Path, networks: int, people: int, seed: int = 0) -> Settings:
    """Settings of a home where `people` a network logged in on two days, whose identities and features are made."""
    settings = Settings(home=folder, identity=Identity(cut=0.5))
    rng, lake = np.random.default_rng(seed), Lake.of(settings)
    for offset in range(DAYS):
        day = FIRST + timedelta(days=offset)
        _write(lake, day, [row for number in range(networks * people) for row in _log_ins(number, people, day, rng)])
    window = Window(FIRST, SERVED - timedelta(days=1))
    resolve_identities(settings, window)
    features.materialise(settings, window)
    return settings


def serve(settings: Settings, networks: int, requests: int, seed: int = 1) -> None:
    """Ask the matcher about a day of strangers on these networks, log what it scored, and write their events to the tables."""
    rng = np.random.default_rng(seed)
    strangers = [_stranger(number, networks, rng) for number in range(requests)]
    _write(Lake.of(settings), SERVED, strangers)
    scorer, log = a_ranker(settings), DecisionLog(settings.decision_log)
    with features.open_online(settings) as store, closing(log):
        for signal in sorted(strangers, key=lambda row: row["seen_at"]):
            known = matcher.Known(Blocking(store), signal["seen_at"])
            answer = at_once(matcher.match(signal, known, scorer, settings.identity))
            if answer.scored is not None:
                name = secrets.token_hex(16)
                log.offer(Decision(name, known.now, scorer.model, scorer.digest, signal["event_id"], answer.scored))


def a_ranker(settings: Settings) -> Scorer:
    """A bundle of identity-ranker in this home: on made-up rows, for what it says does not matter here."""
    import lightgbm
    import pandas as pd

    schema, rng = FeatureSchema(evidence.SCHEMA_NUMBERS), np.random.default_rng(7)
    rows = pd.DataFrame({name: rng.uniform(0, 30, 2000) for name in schema.numbers}).mask(
        rng.random((2000, len(schema.numbers))) < 0.1
    )
    label = (rows["days_together_14d"].fillna(0) + rng.normal(0, 8, 2000) > 15).astype("float64").to_numpy()
    matrix = encode(rows, schema)
    params = {"objective": "binary", "num_leaves": 15, "verbose": -1, "seed": 7, "deterministic": True, "num_threads": 1}
    booster = lightgbm.train(params, lightgbm.Dataset(matrix, label, feature_name=list(schema.names)), num_boost_round=40)
    level = calibration.fit("platt", np.asarray(booster.predict(matrix, raw_score=True)), label)
    golden, about = golden_rows(rows, schema), {"made_for": "the replay of served rows"}
    digest = write_bundle(settings.bundles, IDENTITY_RANKER, booster.model_to_string(), level.to_json(), schema, golden, about)
    return load_bundle(settings.bundles, digest)


def _log_ins(number: int, people: int, day: date, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """A person's log-ins of a day at home, by one of two cookies."""
    for visit in range(int(rng.integers(1, 4))):
        yield _event(
            f"v{day}-{number}-{visit}",
            _moment(day, rng),
            rng,
            email_hash=f"{number:064x}",
            cookie_id=f"c{number}-{rng.integers(2)}",
            ip_key=f"n{number // people}",
        )


def _stranger(number: int, networks: int, rng: np.random.Generator) -> dict[str, Any]:
    """Somebody without a log-in, on a network where others are known."""
    cookie = f"new{number}" if rng.random() < 0.9 else None
    return _event(f"s{number}", _moment(SERVED, rng), rng, cookie_id=cookie, ip_key=f"n{rng.integers(networks)}")


def _event(event_id: str, at: datetime, rng: np.random.Generator, **identifiers: Any) -> dict[str, Any]:
    drawn = {
        "user_agent": AGENTS[rng.integers(len(AGENTS))] if rng.random() < 0.95 else None,
        "locale": LOCALES[rng.integers(3)],
        "country": COUNTRIES[rng.integers(3)],
    }
    lag = timedelta(microseconds=int(rng.integers(0, 5_000_000)))
    empty = dict.fromkeys(each.name for each in IDENTIFIERS)
    return {**empty, **drawn, **identifiers, "event_id": event_id, "happened_at": at - lag, "seen_at": at, "consent": "granted"}


def _moment(day: date, rng: np.random.Generator) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(
        microseconds=int(rng.integers(10_000_000, SECONDS * 10**6))
    )


def _write(lake: Lake, day: date, rows: Sequence[Mapping[str, Any]]) -> None:
    told = [{**row, "day": str(day), "kind": "login" if row["email_hash"] else "visit"} for row in rows]
    names = ["day", *EVENTS["sightings"].names]
    plain = [{name: row[name] for name in names} for row in told]
    lake.replace("sightings", pa.Table.from_pylist(plain, schema=TABLES["sightings"].schema), Window(day, day))
