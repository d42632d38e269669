"""What Feast is told: entities, views, services and a push source, all derived from the contract's feature tables."""

from __future__ import annotations

import features.tamed  # noqa: F401  before Feast

# isort: split
import hashlib
from datetime import timedelta
from typing import Any

import pyarrow as pa
from feast import Entity, FeatureService, FeatureView, Field, FileSource, Project, PushSource, ValueType
from feast.data_format import DeltaFormat
from feast.types import Float64, Int64, String, UnixTimestamp

import whence.attribution.evidence as attribution_evidence
import whence.attribution.response as attribution_response
import whence.attribution.value as attribution_value
import whence.identity.evidence as identity_evidence
from features.online import FIELDS, JOIN_KEYS
from whence.contracts.models import ATTRIBUTION_RANKER, CONVERSION_VALUE, EXPOSURE_RESPONSE, IDENTITY_RANKER
from whence.contracts.tables import FEATURES

PROJECT = "whence"
OWNER = "identity-and-attribution"
NETWORK_COUNTS = "network_counts"
"""The push source of fresh counts for network_features."""

ENTITIES = {
    "identifier": "identifier",
    "network": "ip_key",
    "campaign": "campaign_id",
    "person": "person_id",
}
"""Each entity and its join key. A pair is a view of two entities: Feast gives an entity one key."""

SERVICES = {
    IDENTITY_RANKER: identity_evidence.VIEWS,
    ATTRIBUTION_RANKER: attribution_evidence.VIEWS,
    CONVERSION_VALUE: attribution_value.VIEWS,
    EXPOSURE_RESPONSE: attribution_response.VIEWS,
}
"""The views that each model reads."""

DIGEST_TAG = "definitions"


def definitions(tables_uri: str, max_age_hours: float) -> list[Any]:
    """Everything to hand to `FeatureStore.apply`, the project first, with a digest of all the rest in its tags.

    A view's TTL is the largest age that is used online, so that training and serving call the same values missing.
    """
    entities = {name: Entity(name=name, join_keys=[key], value_type=ValueType.STRING) for name, key in ENTITIES.items()}
    sources = {view: _source(view, tables_uri) for view in FEATURES}
    push = PushSource(name=NETWORK_COUNTS, batch_source=sources["network_features"], description="Fresh counts of a network.")
    views = {
        view: _view(view, entities, push if view == "network_features" else sources[view], max_age_hours) for view in FEATURES
    }
    services = [FeatureService(name=model, features=[views[view] for view in used]) for model, used in SERVICES.items()]
    objects = [*entities.values(), *sources.values(), push, *views.values(), *services]
    tags = {DIGEST_TAG: _digest(objects)}
    return [Project(name=PROJECT, description="Ads identity matching and attribution.", owner=OWNER, tags=tags), *objects]


def _source(view: str, tables_uri: str) -> FileSource:
    return FileSource(
        name=view,
        path=f"{tables_uri.rstrip('/')}/{view}",
        timestamp_field="seen_at",
        file_format=DeltaFormat(),
        description=FEATURES[view].doc,
        owner=OWNER,
    )


def _view(view: str, entities: dict[str, Entity], source: Any, max_age_hours: float) -> FeatureView:
    schema = FEATURES[view].schema
    by_key = {key: name for name, key in ENTITIES.items()}
    return FeatureView(
        name=view,
        entities=[entities[by_key[key]] for key in JOIN_KEYS[view]],
        ttl=timedelta(hours=max_age_hours),
        schema=[_field(schema.field(column)) for column in (*JOIN_KEYS[view], *FIELDS[view])],
        source=source,
        online=True,
        description=FEATURES[view].doc,
        owner=OWNER,
    )


def _field(column: pa.Field) -> Field:
    return Field(name=column.name, dtype=_type(column.type), description=column.metadata[b"doc"].decode())


def _type(kind: pa.DataType) -> Any:
    if pa.types.is_timestamp(kind):
        return UnixTimestamp
    return {pa.string(): String, pa.int64(): Int64, pa.float64(): Float64}[kind]


def _digest(objects: list[Any]) -> str:
    protos = b"".join(_timeless(each.to_proto()).SerializeToString(deterministic=True) for each in objects)
    return hashlib.sha256(protos).hexdigest()[:63]  # a tag's value


def _timeless(message: Any) -> Any:
    """The message without the moments at which Feast made its parts, which are other ones in every process."""
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        if field.message_type.full_name == "google.protobuf.Timestamp":
            message.ClearField(field.name)
            continue
        for part in value if field.is_repeated else [value]:
            _timeless(part)
    return message
