"""The service as people write it: FastAPI, pydantic models, Feast on Redis, LightGBM on a data frame, and the calibrator.

It does the same as /v1/match does for a stranger on a known network, with the same features, evidence and models, and so
gives the same answers; it only does it with the tools' own interfaces.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import features.tamed  # noqa: F401  before Feast

# isort: split
import pandas as pd
from fastapi import FastAPI
from feast import FeatureStore
from feast.repo_config import RepoConfig
from pydantic import BaseModel

from features.definitions import PROJECT, definitions
from infra.bench_serving import models
from infra.bench_serving.world import CANDIDATES, World, calibrator, feast_frame
from whence.contracts.tables import FEATURES
from whence.identity import decide
from whence.identity.evidence import FACT_NUMBERS, FACT_TEXTS, FACT_TIMES, pair_frame

FOLDER = "WHENCE_BENCH_PEER"
"""Names the folder with the peer's registry and models."""
CUT = 0.7
READ = [name.replace("__", ":") for name in (*FACT_NUMBERS, *FACT_TIMES, *FACT_TEXTS) if not name.endswith("age_hours")]
FIRST = [name for name in READ if name.startswith(("network_features", "identifier_features"))]
SECOND = [name for name in READ if name.startswith(("person_features", "pair_features"))]


class Signal(BaseModel):
    """One event and its identifiers."""

    event_id: str
    seen_at: datetime
    cookie_id: str
    ip_key: str
    user_agent: str | None = None
    locale: str | None = None
    country: str | None = None


class MatchRequest(BaseModel):
    """Whose is this signal?"""

    signal: Signal


class Ranked(BaseModel):
    """A candidate."""

    person_id: str
    probability: float


class MatchResponse(BaseModel):
    """Whose it is, and the best candidates."""

    person_id: str | None
    probability: float | None
    candidates: list[Ranked]


def opened(folder: Path, redis: str) -> FeatureStore:
    """Feast with our definitions, its own Redis store, and a registry in the folder."""
    return FeatureStore(
        config=RepoConfig(
            project=PROJECT,
            provider="local",
            registry={"registry_type": "file", "path": str(folder / "registry.pb"), "cache_ttl_seconds": 0},
            offline_store={"type": "features.plugins.LakeOfflineStore", "uri": str(folder / "tables")},
            online_store={"type": "redis", "connection_string": redis},
            entity_key_serialization_version=3,
        )
    )


def fill(folder: Path, redis: str, world: World) -> None:
    """Apply the definitions and write the world's features into Feast's own store."""
    folder.mkdir(parents=True)
    (folder / "redis").write_text(redis)
    store = opened(folder, redis)
    store.apply(definitions(str(folder / "tables"), 48.0))
    for view in world.views:
        store.write_to_online_store(view, feast_frame(view, world))
    (folder / "model.txt").write_text(models.text("identity"))
    (folder / "calibrator.json").write_text(json.dumps(calibrator("identity").to_json()))


def create() -> FastAPI:
    """The application; it reads everything once, at start."""
    import lightgbm

    from whence.calibration import Calibrator

    folder = Path(os.environ[FOLDER])
    store = opened(folder, (folder / "redis").read_text())
    booster = lightgbm.Booster(model_str=(folder / "model.txt").read_text())
    level = Calibrator.from_json(json.loads((folder / "calibrator.json").read_text()))
    app = FastAPI()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/match")
    def match(request: MatchRequest) -> MatchResponse:
        signal = request.signal
        entity = {"ip_key": signal.ip_key, "identifier": f"cookie_id:{signal.cookie_id}"}
        first = _read(store, FIRST, [entity], signal.seen_at)
        people = json.loads(first["network_features__people"].iloc[0])[:CANDIDATES]
        second = _read(store, SECOND, [{"ip_key": signal.ip_key, "person_id": person} for person in people], signal.seen_at)
        facts = second.assign(**{name: first[name].iloc[0] for name in first.columns if "__" in name})
        asked = pd.DataFrame({**signal.model_dump(), "person_id": people}).assign(happened_at=signal.seen_at)
        frame = pair_frame(asked, facts)
        probability = level.apply(booster.predict(frame, raw_score=True, num_threads=1))
        place, lead = decide.best(people, probability)
        is_taken = probability[place] >= CUT and lead >= decide.LEAD
        best = sorted(zip(people, probability.tolist(), strict=True), key=lambda each: (-each[1], each[0]))[:5]
        return MatchResponse(
            person_id=people[place] if is_taken else None,
            probability=float(probability[place]) if is_taken else None,
            candidates=[Ranked(person_id=person, probability=each) for person, each in best],
        )

    return app


def _read(store: FeatureStore, names: list[str], entities: list[dict[str, str]], now: datetime) -> pd.DataFrame:
    """What Feast knows online, and the age of the network's features, which the model looks at, too."""
    answer = store.get_online_features(features=names, entity_rows=entities, full_feature_names=True)
    with_times = names is FIRST
    frame = answer.to_df(include_event_timestamps=with_times)
    for column in FACT_TIMES:
        if column in frame:
            frame[column] = pd.to_datetime(frame[column], utc=True)
    if with_times:
        known_at = pd.to_datetime(frame["network_features__people__ts"], unit="s", utc=True)
        frame["network_features__age_hours"] = (pd.Timestamp(now) - known_at) / pd.Timedelta(hours=1)
    return frame


def serve(argv: list[Any]) -> None:
    """Serve on the port that is given, with one worker and uvicorn's own defaults."""
    import uvicorn

    uvicorn.run(create(), host="127.0.0.1", port=int(argv[0]), log_level="warning", access_log=False)


if __name__ == "__main__":
    assert set(FEATURES) >= {name.split(":")[0] for name in READ}
    serve(sys.argv[1:])
