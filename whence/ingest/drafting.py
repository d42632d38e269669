"""Drafts a mapping for a file that nobody has mapped yet, from the names and the shapes of its columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import islice

import pyarrow as pa

from whence.contracts.events import EVENTS
from whence.ingest.read import Place, chunks, columns

LOOKED_AT = 1000
"""How many values of a column are looked at."""

NAMES: dict[str, tuple[str, ...]] = {
    "event_id": ("event_id", "eventid", "message_id", "messageid", "uuid", "id"),
    "happened_at": (
        "happened_at",
        "timestamp",
        "event_time",
        "click_time",
        "time",
        "ts",
        "created_at",
        "date",
        "datetime",
        "occurred_at",
    ),
    "seen_at": ("seen_at", "received_at", "ingested_at", "loaded_at", "stored_at", "server_time"),
    "kind": ("kind", "type", "event", "event_type", "event_name", "action"),
    "campaign_id": ("campaign_id", "campaign", "utm_campaign", "campaignid"),
    "ad_id": ("ad_id", "adid", "ad", "adgroup", "ad_group"),
    "creative_id": ("creative_id", "creative", "utm_content", "banner"),
    "channel": ("channel", "medium", "utm_medium", "utm_source", "source", "network"),
    "placement": ("placement", "position", "site", "publisher"),
    "product": ("product", "product_id", "sku", "item_id", "asin", "content_id"),
    "price_micros": ("price", "cost", "spend", "price_micros", "cpm"),
    "value_micros": ("value", "revenue", "amount", "total", "order_value", "value_micros", "conversion_value"),
    "currency": ("currency", "currency_code", "cur", "ccy", "iso_currency"),
    "order_id": ("order_id", "orderid", "transaction_id", "order"),
    "refund_of": ("refund_of",),
    "click_id": ("click_id", "gclid", "fbclid", "clickid", "msclkid", "ttclid"),
    "cookie_id": ("cookie_id", "cookie", "anonymous_id", "visitor_id", "client_id", "uid", "ga_client_id"),
    "device_id": ("device_id", "idfa", "gaid", "aaid", "advertising_id", "maid"),
    "email_hash": ("email_hash", "email", "mail", "e_mail", "email_address", "hashed_email", "email_sha256"),
    "phone_hash": ("phone_hash", "phone", "phone_number", "mobile", "telephone"),
    "external_id": ("external_id", "customer_id", "user_id", "userid", "customer", "account_id", "member_id"),
    "ip_key": ("ip_key", "ip", "ip_address", "remote_addr", "client_ip"),
    "user_agent": ("user_agent", "useragent", "ua", "browser"),
    "locale": ("locale", "language", "lang"),
    "country": ("country", "country_code", "geo"),
    "consent": ("consent", "gdpr_consent"),
}
"""For each field the column names that usually hold it, the surest first."""

OURS = {"imp": "view", "impression": "view", "clk": "click", "order": "purchase", "signup": "sign_up"}
"""Sources' usual words for our kinds."""

EMAIL, SHA = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+"), re.compile(r"[0-9a-fA-F]{64}")
ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F]*:[0-9a-fA-F:.]+")


def draft(path: str) -> str:
    """A mapping as TOML, with a note wherever a person has to decide; raises IngestError for a file that cannot be read."""
    place = Place(path, {})
    names = columns(place)
    looks = _look(place, names)
    found = _match(names, looks)
    table = "conversions" if "value_micros" in found or "order_id" in found else "touches"
    if table == "touches" and not {"campaign_id", "channel"} & set(found):
        table = "sightings"
    lines = [
        f"# A first mapping for {path.rsplit('/', 1)[-1]}, from a look at its columns. Read every line before you use it.",
        "",
    ]
    lines += [
        f"[{table}]",
        *(_line(field, found.get(field), looks) for field in EVENTS[table].names if _matters(table, field, found)),
    ]
    unused = [name for name in names if name not in found.values()]
    lines += ["", f"# Columns that were not used: {', '.join(unused) or 'none'}."]
    return "\n".join(lines) + "\n"


def _look(place: Place, names: tuple[str, ...]) -> dict[str, list[object]]:
    for chunk in chunks(place, names):
        rows = chunk.rows.slice(0, LOOKED_AT)
        return {name: [value for value in _plain(rows[name]) if value is not None] for name in names}
    return {name: [] for name in names}


def _plain(values: pa.Array) -> list[object]:
    return list(islice(values.to_pylist(), LOOKED_AT))


def _match(names: tuple[str, ...], looks: dict[str, list[object]]) -> dict[str, str]:
    """Fields and the columns for them: by what the values look like where that is certain, else by name."""
    found: dict[str, str] = {}
    for name in names:
        field = _by_shape(looks[name])
        if field and field not in found:
            found[field] = name
    for field, usual in NAMES.items():
        free = {_key(name): name for name in names if name not in found.values()}
        if field not in found and (hit := next((free[each] for each in usual if each in free), None)):
            found[field] = hit
    return found


def _by_shape(values: list[object]) -> str | None:
    if _mostly(values, lambda text: EMAIL.fullmatch(text) is not None):
        return "email_hash"
    if _mostly(values, lambda text: ADDRESS.fullmatch(text) is not None and ("." in text or text.count(":") > 2)):
        return "ip_key"
    return None


def _mostly(values: list[object], claim: Callable[[str], bool]) -> bool:
    return bool(values) and sum(claim(str(value)) for value in values) >= 0.9 * len(values)


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()).strip("_")


def _matters(table: str, field: str, found: dict[str, str]) -> bool:
    derived = {"event_id", "touch_id", "conversion_id", "seen_at", "consent"}
    return field in found or (not EVENTS[table].field(field).nullable and field not in derived)


def _line(field: str, column: str | None, looks: dict[str, list[object]]) -> str:
    if column is None:
        usual = {"kind": "view", "source": "server", "currency": "USD", "channel": "unknown"}.get(field, "?")
        return f'{field} = {{ value = "{usual}" }}  # no column looks like it: is this constant right?'
    values, name = looks[column], _quoted(column)
    if field in ("happened_at", "seen_at"):
        return f"{field} = {_time(name, values)}"
    if field in ("price_micros", "value_micros") and not column.endswith("micros"):
        return f"{field} = {{ column = {name}, scale = 1_000_000 }}  # if it holds whole units of the currency"
    if field in ("email_hash", "phone_hash") and not _mostly(values, lambda text: SHA.fullmatch(text) is not None):
        where = '  # add region = "GB" if its numbers carry no country code' if field == "phone_hash" else ""
        return f'{field} = {{ column = {name}, hash = "{field[:5]}" }}{where}'
    if field == "ip_key":
        kind = "ip" if _mostly(values, lambda text: ADDRESS.fullmatch(text) is not None) else "keyed"
        return f'{field} = {{ column = {name}, hash = "{kind}" }}'
    if field == "external_id":
        return f'{field} = {{ column = {name}, hash = "keyed" }}'
    if field == "kind":
        return f"{field} = {{ column = {name}, map = {{ {_words(values)} }} }}  # from the source's word to ours"
    return f"{field} = {name}"


def _time(name: str, values: list[object]) -> str:
    first = next(iter(values), None)
    if isinstance(first, datetime):
        return name if first.tzinfo else f'{{ column = {name}, zone = "UTC" }}  # its times carry no zone: is it UTC?'
    if _mostly(values, lambda text: re.fullmatch(r"\d{9,16}(\.\d+)?", text) is not None):
        digits = len(str(first).split(".")[0])
        return f'{{ column = {name}, unit = "{"s" if digits <= 10 else "ms" if digits <= 13 else "us"}" }}'
    if _mostly(values, lambda text: re.search(r"(Z|[+-]\d\d:?\d\d)$", text) is not None):
        return name
    return f'{{ column = {name}, zone = "UTC" }}  # its times carry no zone: is it UTC?'


def _words(values: Iterable[object]) -> str:
    words = sorted({str(value) for value in values})[:12]
    return ", ".join(f"{_quoted(word)} = {_quoted(OURS.get(word.lower(), word))}" for word in words)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
