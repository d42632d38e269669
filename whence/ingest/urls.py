"""What web addresses say of the ad that brought a visit: their parameters, as columns of their own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa

NAMED = re.compile(r"(?P<column>.+)\?(?P<parameter>[\w.-]+)")
CAMPAIGNS = (
    "utm_campaign",
    "utm_medium",
    "utm_source",
    "utm_content",
    "gclid",
    "fbclid",
    "msclkid",
    "ttclid",
    "dclid",
    "gbraid",
    "wbraid",
)
"""Parameters that ad platforms and their users put into addresses."""


def column(name: str) -> str:
    """The column that a name is read from.

    >>> column("page.url?utm_campaign"), column("paid?"), column("page.url")
    ('page.url', 'paid?', 'page.url')
    """
    found = NAMED.fullmatch(name)
    return found["column"] if found else name


def with_parameters(rows: pa.RecordBatch, names: Iterable[str]) -> pa.RecordBatch:
    """The columns of these names, those of parameters made from the addresses; what a name is read from must be there."""
    told: dict[str, list[dict[str, str]]] = {}
    made = {}
    for name in dict.fromkeys(names):
        found = NAMED.fullmatch(name)
        if found is None:
            made[name] = rows[name]
            continue
        if found["column"] not in told:
            told[found["column"]] = [_parameters(each) for each in rows[found["column"]].to_pylist()]
        made[name] = pa.array([each.get(found["parameter"]) for each in told[found["column"]]], pa.string())
    return pa.record_batch(made) if made else rows


def of_campaigns(name: str, values: Iterable[object]) -> list[str]:
    """The names of those parameters of CAMPAIGNS that addresses in a column have."""
    there = {each for value in values for each in _parameters(value)}
    return [f"{name}?{each}" for each in CAMPAIGNS if each in there]


def _parameters(address: object) -> dict[str, str]:
    """An address's parameters; none where it is no address, or a broken one."""
    if not isinstance(address, str) or "?" not in address:
        return {}
    try:
        return dict(parse_qsl(urlsplit(address).query))
    except ValueError:
        return {}
