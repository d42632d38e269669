"""The day's front doors on small tables: right, the same twice, and the same in one window as day by day."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from features import materialise
from registry.journal import Journal
from serving.daily.batch import attribute_conversions, preview_identities, resolve_identities
from tests.builders import a_click, a_conversion, a_lake, a_sighting, a_touch, some_settings
from tests.serving.tiny import a_bundle
from whence.contracts.models import CONVERSION_VALUE, IDENTITY_RANKER
from whence.contracts.settings import Settings
from whence.contracts.times import Window
from whence.lake import BrokenTable, Lake

pytestmark = pytest.mark.service

NOW = datetime(2026, 5, 9, tzinfo=UTC)
TABLES = ("persons", "exact_persons", "person_events", "credits", "decisions")


def days(first: int, last: int | None = None) -> Window:
    return Window(date(2026, 5, first), date(2026, 5, last or first))


def on(day: int, **changes: Any) -> dict[str, Any]:
    return {"on": f"2026-05-{day:02d}", **changes}


def some_tables(folder: Path, **tables: Any) -> Settings:
    settings = some_settings(folder)
    a_lake(settings.home, **tables)
    return settings


def versions(settings: Settings) -> dict[str, int]:
    return {name: Lake.of(settings).version(name) for name in TABLES}


def content(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    return {name: Lake.of(settings).read(name).to_pylist() for name in TABLES}


def answer(settings: Settings, identifier: str) -> tuple[str, str]:
    rows = [row for row in Lake.of(settings).read("persons").to_pylist() if row["identifier"] == identifier]
    return max((row["day"], row["person_id"], row["method"]) for row in rows)[1:]


def shop(folder: Path) -> Settings:
    """Ann clicks on one day and buys on the next, told by pixel and server; on the third she sends a part back."""
    order = {"order_id": "o1", "email_hash": "ann", "value_micros": 100}
    back = {"conversion_id": "back", "kind": "refund", "refund_of": "server", "value_micros": -51, "email_hash": "ann"}
    return some_tables(
        folder,
        sightings=[a_sighting(**on(1), email_hash="ann", cookie_id="c1")],
        touches=[a_click(**on(1), cookie_id="c1", touch_id="t1"), a_touch("09:00", **on(2), cookie_id="c1", touch_id="t2")],
        conversions=[
            a_conversion("12:00", **on(2), conversion_id="pixel", **order),
            a_conversion("12:05", **on(2), conversion_id="server", source="server", **order),
            a_conversion(**on(3), **back),
        ],
    )


def test_an_order_is_credited_once_and_its_refund_goes_back_the_same_way(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    resolve_identities(settings, days(1, 3), now=NOW)
    report = attribute_conversions(settings, days(1, 3), now=NOW)
    credits = Lake.of(settings).read("credits").to_pandas()
    linear = credits[credits["algorithm"] == "linear"].groupby(["conversion_id", "touch_id"])["credit_micros"].sum().to_dict()
    assert linear == {("pixel", "t1"): 50, ("pixel", "t2"): 50, ("back", "t1"): -26, ("back", "t2"): -25}
    assert credits.groupby("algorithm")["credit_micros"].sum().eq(49).all()
    assert (report.conversions, report.refunds, report.repeats) == (1, 1, 1)


def test_a_finished_day_run_again_changes_no_table(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    for step in (resolve_identities, attribute_conversions):
        step(settings, days(1, 3), now=NOW)
    before = versions(settings)
    for step in (resolve_identities, attribute_conversions):
        for window in (days(2), days(1, 3)):
            assert step(settings, window, now=NOW).changed == 0
    assert versions(settings) == before


def test_a_window_equals_its_days_run_one_by_one(tmp_path: Path) -> None:
    whole, single = shop(tmp_path / "whole"), shop(tmp_path / "single")
    for step in (resolve_identities, attribute_conversions):
        step(whole, days(1, 3), now=NOW)
        for day in (1, 2, 3):
            step(single, days(day), now=NOW)
    assert content(whole) == content(single)


def home(folder: Path, cookie_names: str | None = None) -> Settings:
    """Ann and Bob live behind one address, Ann also works behind another; a cookie shows up at both without a log-in.

    With `cookie_names`, it logs in under that name a day later.
    """
    week = range(1, 5)
    sightings = [a_sighting("08:00", **on(day), email_hash="ann", cookie_id="ann-phone", ip_key="home") for day in week]
    sightings += [a_sighting("13:00", **on(day), email_hash="ann", cookie_id="ann-phone", ip_key="work") for day in week]
    sightings += [a_sighting("19:00", **on(1), email_hash="bob", cookie_id="bob-phone", ip_key="home")]
    later = [a_sighting("10:00", **on(6), email_hash=cookie_names, cookie_id="new")] if cookie_names else []
    touches = [
        a_touch("09:00", **on(5), cookie_id="new", ip_key="home"),
        a_touch("14:00", **on(5), cookie_id="new", ip_key="work"),
    ]
    settings = some_tables(folder, sightings=sightings + later, touches=touches)
    resolve_identities(settings, days(1, 4), now=NOW)
    materialise(settings, days(1, 4))
    digest = a_bundle(settings.bundles, IDENTITY_RANKER)
    Journal(settings.journal_url).promote(IDENTITY_RANKER, digest, "", ("for tests",), "tests", 0, NOW)
    return settings


def test_a_stranger_on_a_persons_networks_is_linked_until_a_log_in_says_otherwise(tmp_path: Path) -> None:
    settings = home(tmp_path, cookie_names="bob")
    report = resolve_identities(settings, days(5), now=NOW)
    ann, bob = answer(settings, "email_hash:ann")[0], answer(settings, "email_hash:bob")[0]
    assert report.linked == 1
    assert answer(settings, "cookie_id:new") == (ann, "ranked")
    decided = Lake.of(settings).read("decisions", days(5)).to_pandas()
    assert set(decided.loc[decided["chosen"], "option"]) == {ann}
    materialise(settings, days(5))
    resolve_identities(settings, days(6), now=NOW)
    assert answer(settings, "cookie_id:new") == (bob, "exact")


def test_a_finished_day_keeps_its_champion_and_its_rows_when_another_is_promoted(tmp_path: Path) -> None:
    settings = home(tmp_path)
    resolve_identities(settings, days(5), now=NOW)
    before = content(settings)
    journal, other = Journal(settings.journal_url), a_bundle(settings.bundles, IDENTITY_RANKER, seed=2)
    journal.promote(IDENTITY_RANKER, other, "", ("for tests",), "tests", 1, NOW)
    assert resolve_identities(settings, days(3, 5), now=NOW).changed == 0
    assert content(settings) == before
    assert pd.DataFrame(before["decisions"])["bundle"].nunique() == 1


def test_a_day_without_rows_fixes_no_champion_and_neither_does_a_look_ahead(tmp_path: Path) -> None:
    settings, journal = home(tmp_path), Journal(some_settings(tmp_path).journal_url)
    valuer = a_bundle(settings.bundles, CONVERSION_VALUE)
    journal.promote(CONVERSION_VALUE, valuer, "", ("for tests",), "tests", 0, NOW)
    for step in (resolve_identities, attribute_conversions):
        step(settings, days(20), now=NOW)
    preview_identities(settings, days(5).first)
    assert (journal.pinned("2026-05-20"), journal.pinned("2026-05-05")) == ({}, {})
    resolve_identities(settings, days(5), now=NOW)
    assert set(journal.pinned("2026-05-05")) == {IDENTITY_RANKER}


@pytest.mark.parametrize("day", [2, 3])
def test_credit_and_decisions_of_a_day_whose_files_are_broken_are_made_anew(tmp_path: Path, day: int) -> None:
    settings, lake = shop(tmp_path), Lake.of(some_settings(tmp_path))
    digest = a_bundle(settings.bundles, CONVERSION_VALUE)
    Journal(settings.journal_url).promote(CONVERSION_VALUE, digest, "", ("for tests",), "tests", 0, NOW)
    for step in (resolve_identities, attribute_conversions):
        step(settings, days(1, 3), now=NOW)
    before = [lake.read(name).to_pylist() for name in ("credits", "decisions")]
    for file in (*lake.files("credits", days(day)), *lake.files("decisions", days(day))):
        Path(file).write_bytes(b"PAR1")
    with pytest.raises(BrokenTable, match=r"credits has a file that cannot be read: .* `whence attribute DAY` states anew"):
        lake.read("credits")
    attribute_conversions(settings, days(day), now=NOW)
    assert [lake.read(name).to_pylist() for name in ("credits", "decisions")] == before
    assert attribute_conversions(settings, days(1, 3), now=NOW).changed == 0
