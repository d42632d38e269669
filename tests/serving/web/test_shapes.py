"""A shape takes what its schema allows and no more; and strict JSON is as strict as the slow, plain way."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from serving.web import answers, openapi, requests, strict
from serving.web.shapes import Object, RequestError, Shape, titled

VALUES: list[Any] = [
    None,
    "",
    "a",
    "a" * 256,
    "a" * 257,
    "ann@example.org",
    "10.0.0.1",
    "0" * 64,
    "A" * 64,
    0,
    -(2**63) + 1,
    2**63,
    1.5,
]
VALUES += [True, [], {}, ["a"], {"a": 1}, "click", "granted", "unknown", "2026-05-01T10:00:00Z", "2026-05-01T10:00:00.5+02:00"]
ALONE = {
    f"{shape.title}.{name}": Object({name: field}, (name,) if name in shape.required else ())
    for shape in (requests.SIGNAL, requests.CONVERSION, requests.TOUCH)
    for name, field in shape.fields.items()
    if "format" not in field.schema()  # which is a note in JSON Schema, and checks nothing
}
"""Each field as an object's only one."""


@pytest.mark.parametrize("place", sorted(ALONE))
def test_a_field_takes_what_its_schema_allows_and_nothing_else(place: str) -> None:
    shape, name = ALONE[place], place.split(".")[1]
    allows = Draft202012Validator(shape.content())
    for value in VALUES:
        assert takes(shape, {name: value}) is allows.is_valid({name: value}), value
    assert takes(shape, {}) is allows.is_valid({})


def takes(shape: Shape, content: dict[str, Any]) -> bool:
    try:
        shape.read(content)
    except RequestError:
        return False
    return True


def test_every_reference_of_the_document_leads_somewhere() -> None:
    shapes = [
        requests.MATCH,
        requests.ATTRIBUTE,
        requests.SCORE,
        requests.EXPLAIN,
        answers.MATCH,
        answers.EXPLAIN,
        answers.SERVED,
    ]
    named = titled([answers.ERROR, *shapes])
    text = json.dumps([each.schema() for each in shapes] + list(named.values()))
    assert {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]} <= set(named)
    assert openapi.REFUSALS.keys() >= {401, 403, 413, 415, 422, 429, 500}


NAMES = st.text(st.sampled_from('ab:"\\u'), max_size=3)
PIECES = st.recursive(
    st.sampled_from(["1", '"a:b"', '"\\u003a"', "null", '"\\\\"', '"é"']) | NAMES.map(json.dumps),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]")
        | st.lists(st.tuples(NAMES.map(json.dumps), inner), max_size=3).map(
            lambda pairs: "{" + " ,".join(f"{name} : {value}" for name, value in pairs) + "}"
        )
    ),
    max_leaves=8,
)


@settings(max_examples=60)
@given(PIECES)
def test_a_name_is_found_twice_exactly_when_it_is_there_twice(text: str) -> None:
    if has_a_name_twice(text):
        with pytest.raises(RequestError, match="is there twice"):
            strict.loads(text.encode())
    else:
        assert strict.loads(text.encode()) == json.loads(text)


def has_a_name_twice(text: str) -> bool:
    repeated: list[int] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        repeated.append(len(pairs) - len(dict(pairs)))

    json.loads(text, object_pairs_hook=look)
    return any(repeated)


@pytest.mark.parametrize(
    "body",
    [
        b"NaN",
        b'{"a": Infinity}',
        b"1e999",
        b'"\xff"',
        b'"\\ud800"',
        b"\xef\xbb\xbf{}",
        b"{} {}",
        b"[1,]",
        b"",
        b"[" * 2000 + b"]" * 2000,
    ],
    ids=[
        "nan",
        "infinity",
        "beyond floats",
        "no utf-8",
        "half a surrogate",
        "a mark",
        "two values",
        "a comma",
        "nothing",
        "deep",
    ],
)
def test_what_is_no_strict_json_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError, match="is no JSON"):
        strict.loads(body)
