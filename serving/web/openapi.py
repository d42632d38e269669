"""The OpenAPI 3.1 document, made from the definitions that check the requests."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from serving.web import answers
from serving.web.doors import JSON, Endpoint
from serving.web.shapes import Object, Shape, titled

REFUSALS = {
    401: "No known, live token.",
    403: "The token does not allow this.",
    413: "The body is too large.",
    415: "The body is no JSON in UTF-8.",
    422: "A field cannot be read; it is named.",
    429: "Too much at once; Retry-After says in how many seconds to come again.",
    500: "The service failed, and its log says how.",
}
OF_POST = (413, 415, 422, 429)


def document(endpoints: Sequence[Endpoint], most: int) -> dict[str, Any]:
    """The document of these routes; `most` is how many questions a batch may hold."""
    shapes: list[Shape] = [answers.ERROR]
    for each in endpoints:
        shapes += [shape for shape in (each.request, each.answer) if shape is not None]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "whence",
            "version": version("whence"),
            "description": "Whose is a signal, and what earned a conversion?",
        },
        "paths": {each.path: {each.method.lower(): _operation(each, most)} for each in endpoints},
        "components": {
            "schemas": titled(shapes),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint, most: int) -> dict[str, Any]:
    made: dict[str, Any] = {"summary": endpoint.doc, "operationId": endpoint.path.strip("/").replace("/", "_")}
    made["responses"] = {"200": _content("The answer.", endpoint.media, _answer(endpoint))}
    for status, why in _refusals(endpoint).items():
        made["responses"][str(status)] = _content(why, JSON, answers.ERROR.schema())
    if endpoint.scope:
        made["security"] = [{"bearer": []}]
        made["description"] = f"The token must allow {endpoint.scope}."
        made["responses"]["401"]["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}}
    if endpoint.request is not None:
        made["requestBody"] = {
            "required": True,
            "content": {JSON: {"schema": _request(endpoint.request, endpoint.is_batch, most)}},
        }
        made["responses"]["429"]["headers"] = {
            "Retry-After": {"schema": {"type": "string", "pattern": "^[0-9]+$"}, "required": True}
        }
    for status, why in endpoint.replies.items():
        made["responses"][str(status)] = _content(why, endpoint.media, _answer(endpoint))
    return made


def _refusals(endpoint: Endpoint) -> dict[int, str]:
    """The statuses that this route may refuse with."""
    wanted = [500, *((401, 403) if endpoint.scope else ()), *(OF_POST if endpoint.request is not None else ())]
    return {status: REFUSALS[status] for status in sorted(wanted)} | dict(endpoint.statuses)


def _answer(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.answer is None:
        return {"type": "string"} if endpoint.media != JSON else {}
    one = endpoint.answer.schema()
    return {"anyOf": [one, answers.several(endpoint.answer).schema()]} if endpoint.is_batch else one


def _request(shape: Object, is_batch: bool, most: int) -> dict[str, Any]:
    if not is_batch:
        return shape.schema()
    # An item is not described further: what is wrong with one is its own answer, and the batch is taken.
    several = {
        "type": "object",
        "properties": {"requests": {"type": "array", "minItems": 1, "maxItems": most, "items": {}}},
        "required": ["requests"],
        "additionalProperties": False,
        "description": "Several questions at once, each as above; one answer an item, an error where it cannot be answered.",
    }
    return {"anyOf": [shape.schema(), several]}


def _content(why: str, media: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": why, "content": {media: {"schema": schema}}}
