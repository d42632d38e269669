"""A little world whose truth is known: signals of two housemates each, a champion that knows one thing, a challenger that knows two.

How often a person touches ads (`touches_7d`) tells as much as the days that person and network were seen together. The
challenger learned it, and passes the gate; what becomes of it online is up to the features that it then finds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa

from features import open_online
from features.online import key_text, micros
from features.packing import pack
from tests.builders import a_touch, rows
from tests.registry.makers import watched
from training.report import hashed
from whence import calibration
from whence.bundle import encode, golden_rows, write_bundle
from whence.contracts.models import IDENTITY_RANKER, Candidate, FeatureSchema
from whence.contracts.settings import Settings
from whence.contracts.tables import TABLES
from whence.contracts.times import Window
from whence.lake import Lake

NOON = datetime(2026, 5, 12, 12, tzinfo=UTC)
DAY = Window.parse("2026-05-12")
LEARNED_UNTIL = "2026-05-10"
TOGETHER, TOUCHES = "days_together_14d", "person_touches_7d"
UNSERVED = "a_feature_that_nobody_serves"
CHAMPION, CHALLENGER, BROKEN = (FeatureSchema((TOGETHER, *more)) for more in ((), (TOUCHES,), (UNSERVED,)))


@dataclass(frozen=True)
class Signals:
    """Signals with two candidates each; what was seen of them, and whose they are."""

    name: str
    count: int
    seed: int

    @cached_property
    def drawn(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Days together and touches, signals × candidates; and the owner's place, 2 for neither."""
        rng = np.random.default_rng(self.seed)
        together, touches = rng.integers(0, 14, (self.count, 2)), rng.integers(0, 21, (self.count, 2))
        worth = np.exp(np.column_stack([(together - 6.5) / 2 + (touches - 10) / 7, np.zeros(self.count)]))
        owner = (rng.random(self.count)[:, None] * worth.sum(axis=1, keepdims=True) > worth.cumsum(axis=1)).sum(axis=1)
        return together, touches, owner

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """A row a candidate, as training has it."""
        together, touches, owner = self.drawn
        query, place = np.divmod(np.arange(2 * self.count), 2)
        return pd.DataFrame(
            {
                "group": [f"{self.name}-{each}" for each in query],
                "person": [f"{self.name}-{each // 2}" for each in query],
                TOGETHER: together.ravel().astype(float),
                TOUCHES: touches.ravel().astype(float),
                "label": (owner[query] == place).astype(int),
            }
        )


def a_bundle(root: Path, schema: FeatureSchema) -> str:
    """A model of the schema's inputs that learned from signals of before."""
    learned = Signals("learned", 3000, 1).pairs
    learned = learned.assign(**{UNSERVED: learned[TOUCHES]})
    matrix, labels = encode(learned, schema), learned["label"].to_numpy(dtype=float)
    half = len(learned) // 2
    data = lightgbm.Dataset(matrix[:half], labels[:half], feature_name=list(schema.names))
    params = {
        "objective": "binary",
        "num_leaves": 7,
        "learning_rate": 0.1,
        "verbose": -1,
        "deterministic": True,
        "num_threads": 1,
    }
    booster = lightgbm.train(params, data, num_boost_round=60)
    level = calibration.fit("platt", np.asarray(booster.predict(matrix[half:], raw_score=True)), labels[half:])
    about = {"as_of": LEARNED_UNTIL, "max_candidates": 20, "made_for": "tests"}
    return write_bundle(
        root, IDENTITY_RANKER, booster.model_to_string(), level.to_json(), schema, golden_rows(learned, schema, 64), about
    )


def a_candidate(settings: Settings, bundle: str) -> Candidate:
    """The challenger with the report that training would leave for the gate."""
    folder = settings.candidates / IDENTITY_RANKER / LEARNED_UNTIL / bundle
    folder.mkdir(parents=True)
    _reported(Signals("held", 2000, 2).pairs).to_parquet(folder / "test.parquet")
    learned = _reported(Signals("learned", 3000, 1).pairs, days_before=3)
    hashes = {name: hashed(learned[name]) for name in ("row_id", "person")}
    pd.DataFrame({**hashes, "content": learned["content"], "seen_at": learned["seen_at"]}).to_parquet(folder / "learned.parquet")
    found = learned[learned["label"] == 1]
    pd.DataFrame({"place": np.zeros(len(found)), "person": found["person"]}).to_parquet(folder / "retrieved.parquet")
    watched(settings, LEARNED_UNTIL)
    (folder / "data.json").write_text(json.dumps({"tables": {"touches": 3}}))
    return Candidate(IDENTITY_RANKER, bundle, LEARNED_UNTIL, str(folder))


def _reported(pairs: pd.DataFrame, days_before: int = 0) -> pd.DataFrame:
    midnight = pd.Timestamp(LEARNED_UNTIL, tz="UTC") - pd.Timedelta(days=days_before)
    seen_at = midnight + pd.to_timedelta(np.arange(len(pairs)) % 1400, unit="min")
    content = pd.util.hash_pandas_object(pairs.drop(columns=["group"]), index=False).to_numpy()
    told: dict[str, Any] = {
        "row_id": [f"{group}-{number % 2}" for number, group in enumerate(pairs["group"])],
        "segment": "sightings",
        "people": "new",
        "baseline": pairs["label"].mean(),
        "label_age_days": 1.0,
        "delay_days": np.where(pairs["label"] > 0, 0.5, np.nan),
        "seen_at": seen_at,
        "content": content,
    }
    return pairs.assign(**told)


def put_online(settings: Settings, signals: Signals, factor: float = 1.0, age: timedelta = timedelta(hours=6)) -> None:
    """Fill the online store; touches times `factor`, and known for `age`."""
    together, touches, _ = signals.drawn
    fresh, known = micros(NOON - timedelta(hours=6)), micros(NOON - age)
    places = [(q, c) for q in range(signals.count) for c in range(2)]
    with open_online(settings) as store:
        people = {q: json.dumps([_person(signals, q, c) for c in range(2)]) for q in range(signals.count)}
        store.shelf.put("network_features", [(f"net{q}", pack("network_features", {"people": people[q]}, fresh)) for q in people])
        store.shelf.put(
            "pair_features",
            [
                (key_text([f"net{q}", _person(signals, q, c)]), pack("pair_features", {TOGETHER: int(together[q, c])}, fresh))
                for q, c in places
            ],
        )
        store.shelf.put(
            "person_features",
            [
                (_person(signals, q, c), pack("person_features", {"touches_7d": int(touches[q, c] * factor)}, known))
                for q, c in places
            ],
        )


def put_labels(settings: Settings, signals: Signals) -> None:
    """Write the signals into the tables, and that a log-in told later on the day whose each was."""
    _, _, owner = signals.drawn
    lake = Lake.of(settings)
    seen = [
        a_touch(NOON, event_id=f"e{q}", cookie_id=f"c{q}", ip_key=f"net{q}", user_agent="a browser") for q in range(signals.count)
    ]
    lake.replace("touches", rows("touches", *seen), DAY)
    told = [(f"{kind}:{q}", _person(signals, q, int(owner[q]))) for q in range(signals.count) for kind in ("email_hash",)]
    told += [(f"cookie_id:c{q}", _person(signals, q, int(owner[q]))) for q in range(signals.count)]
    columns = {"day": str(DAY), "seen_at": DAY.end, "probability": 1.0, "method": "exact", "bundle": None}
    table = pa.Table.from_pylist(
        [{"identifier": name, "person_id": person, **columns} for name, person in sorted(told)], schema=TABLES["persons"].schema
    )
    lake.replace("persons", table, DAY)


def questions(signals: Signals) -> list[dict[str, Any]]:
    """What a caller asks of each signal."""
    return [
        {"signal": {"event_id": f"e{q}", "cookie_id": f"c{q}", "ip_key": f"net{q}", "seen_at": NOON.isoformat()}}
        for q in range(signals.count)
    ]


def _person(signals: Signals, query: int, place: int) -> str:
    return f"{signals.name}-{query}-{place}"
