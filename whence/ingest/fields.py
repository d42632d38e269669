"""How a mapping says that a field is read from a column, as lines of TOML, with a note wherever a person has to decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from whence.contracts.events import EVENTS
from whence.ingest import guessing
from whence.ingest.guessing import CONVERSIONS, SHA, SIGHTINGS, TOUCHES, Column

if TYPE_CHECKING:
    from whence.ingest.sections import Section

USUAL = {"source": "server", "currency": "USD", "channel": "unknown", "campaign_id": "unknown", "value_micros": 0}
"""What stands for a field that no column holds."""
OF_KIND = {TOUCHES: "click", CONVERSIONS: "purchase", SIGHTINGS: "visit"}
DERIVED = ("event_id", "touch_id", "conversion_id", "seen_at", "consent")
MONEY = ("value_micros", "price_micros", "bid_micros")


def written(section: Section) -> list[str]:
    """The section's lines below its name."""
    table, found = section.table, section.found
    fields = [name for name in EVENTS[table].names if name in found or _is_needed(table, name)]
    if table == TOUCHES:
        is_paid = bool(set(MONEY[1:]) & set(found))
        fields = [name for name in EVENTS[table].names if (is_paid if name == "currency" else name in fields)]
    return [*filter(None, (section.files, _only(section))), *(_line(name, found.get(name), section) for name in fields)]


def _only(section: Section) -> str:
    if not section.only:
        return ""
    told = section.only[0] if len(section.only) == 1 else f"[{', '.join(section.only)}]"
    return f"only = {told}{f'  # {section.why}' if section.why else ''}"


def _is_needed(table: str, field: str) -> bool:
    return not EVENTS[table].field(field).nullable and field not in DERIVED


def _line(field: str, column: Column | None, section: Section) -> str:
    if field == "kind" and section.is_negative:
        return 'kind = { value = "refund" }'
    if field == "kind" and (column is None or not section.kinds):
        return f'kind = {{ value = "{OF_KIND[section.table]}" }}{"" if section.only else "  # no column says it: is it right?"}'
    if column is None:
        usual = USUAL.get(field, "?")
        return f"{field} = {{ value = {usual if isinstance(usual, int) else quoted(usual)} }}  # no column looks like it: is this constant right?"
    parts, note = how(field, column, section.kinds, is_refund=section.is_refund)
    cells = section.rows[column.name]
    if not EVENTS[section.table].field(field).nullable and field in USUAL and cells.null_count:
        empty = _commonest(cells) if field == "currency" else USUAL[field]
        parts["empty"] = str(empty) if isinstance(empty, int) else quoted(empty or str(USUAL[field]))
    name = listed([column.name, *column.others])
    told = f"{{ column = {name}, {', '.join(f'{word} = {said}' for word, said in parts.items())} }}" if parts else name
    return f"{field} = {told}{f'  # {note}' if note else ''}"


def how(
    field: str, column: Column, kinds: Mapping[str, str] | None = None, *, is_refund: bool = False
) -> tuple[dict[str, str], str]:
    """What the mapping says of a field beside its column, and what a person should look at."""
    if column.is_joined:
        return {"joined": "true", "hash": '"keyed"'}, "one touch, however many rows tell of it"
    if field in ("happened_at", "seen_at"):
        return _time(column)
    if field in MONEY:
        return _money(column, -1 if is_refund else 1)
    if field in ("email_hash", "phone_hash"):
        if column.mostly(lambda text: SHA.fullmatch(text) is not None):
            return {}, ""
        return {
            "hash": f'"{field[:5]}"'
        }, 'add region = "GB" if its numbers carry no country code' if field == "phone_hash" else ""
    if field == "ip_key":
        is_plain = column.mostly(lambda text: guessing.ADDRESS.fullmatch(text) is not None)
        return {"hash": '"ip"' if is_plain else '"keyed"'}, ""
    if field == "external_id":
        return {"hash": '"keyed"'}, ""
    if field == "kind":
        renamed = {word: kind for word, kind in (kinds or {}).items() if word != kind}
        return ({"map": _inline(renamed)}, "from the source's word to ours") if renamed else ({}, "")
    if field == "consent":
        said = {word: guessing.consent(word) for word in sorted({str(value) for value in column.values})}
        renamed = {word: kind for word, kind in said.items() if word != kind}
        return (
            ({"map": _inline(renamed), "empty": '"unknown"'}, "from the source's word to ours")
            if renamed
            else ({"empty": '"unknown"'}, "")
        )
    return {}, ""


def _money(column: Column, sign: int) -> tuple[dict[str, str], str]:
    note = "a refund takes back" if sign < 0 else ""
    comma = {"decimal": '","'} if column.has_commas else {}
    if column.tokens & {"cpm", "ecpm"}:
        return {"scale": f"{sign * 1_000:_}", **comma}, "the price of a thousand, a thousandth of it each: is it in whole units?"
    if "micros" in column.tokens:
        return ({"scale": "-1"}, note) if sign < 0 else ({}, "")
    if column.tokens & {"cents", "cent", "minor", "pence"}:
        return {"scale": f"{sign * 10_000:_}", **comma}, note
    return {"scale": f"{sign * 1_000_000:_}", **comma}, note or "if it holds whole units of the currency"


def _time(column: Column) -> tuple[dict[str, str], str]:
    first = next(iter(column.values), None)
    unzoned = "its times carry no zone: is it UTC?"
    if isinstance(first, date):
        return ({}, "") if isinstance(first, datetime) and first.tzinfo else ({"zone": '"UTC"'}, unzoned)
    if column.is_counted:
        digits = len(str(first).split(".")[0])
        return {"unit": '"s"' if digits <= 10 else '"ms"' if digits <= 13 else '"us"'}, ""
    if column.forms:
        either = f"; or is it {column.forms[1]}: day and month cannot be told apart" if len(column.forms) > 1 else ""
        return {"form": quoted(column.forms[0]), "zone": '"UTC"'}, unzoned + either
    if column.mostly(lambda text: _has_zone(text)):
        return {}, ""
    return {"zone": '"UTC"'}, unzoned


def _has_zone(text: str) -> bool:
    try:
        return datetime.fromisoformat(text.strip()).tzinfo is not None
    except ValueError:
        return False


def _commonest(values: pa.ChunkedArray) -> str:
    counts = Counter(value for value in values.to_pylist() if value is not None)
    return str(counts.most_common(1)[0][0]) if counts else ""


def listed(words: Sequence[str], *, always: bool = False) -> str:
    """Words as TOML; one alone as itself unless it is `always` to be a list."""
    return quoted(words[0]) if len(words) == 1 and not always else f"[{', '.join(map(quoted, words))}]"


def _inline(words: Mapping[str, str]) -> str:
    return "{ " + ", ".join(f"{quoted(word)} = {quoted(said)}" for word, said in words.items()) + " }"


def quoted(text: object) -> str:
    """A text as TOML."""
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
    return f'"{escaped}"'
