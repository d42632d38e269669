"""Who is who, as it came to be known: the fuse, the ledger of the platform, and what a day would change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from serving.daily.batch import preview_identities, resolve_identities
from serving.daily.publishing import OverMerged, ledger_of, people
from tests.builders import a_conversion, a_lake, a_sighting, a_touch, some_settings
from whence.contracts.settings import Fuse, Settings
from whence.contracts.times import Window
from whence.lake import Lake

pytestmark = pytest.mark.service

NOW = datetime(2026, 5, 9, tzinfo=UTC)
STRICT = Fuse(max_moved=0.1, max_merged=0.1, max_in_largest=1.0, least=1)


def a_day(number: int) -> Window:
    return Window(date(2026, 5, number), date(2026, 5, number))


@pytest.fixture
def merging(tmp_path: Path) -> Settings:
    """Ann logs in on the first day; on the second a new cookie clicks and buys; on the third Ann logs in with it."""
    settings = some_settings(tmp_path)
    a_lake(
        settings.home,
        touches=[a_touch(on="2026-05-02", cookie_id="new")],
        conversions=[a_conversion(on="2026-05-02", cookie_id="new", value_micros=5_000_000)],
        sightings=[
            a_sighting(on="2026-05-01", email_hash="ann", cookie_id="old"),
            a_sighting(on="2026-05-03", email_hash="ann", cookie_id="new"),
        ],
    )
    return settings


def with_fuse(settings: Settings, fuse: Fuse) -> Settings:
    return replace(settings, identity=replace(settings.identity, fuse=fuse))


def who(settings: Settings) -> Callable[[str, int, int], str | None]:
    ledger = ledger_of(Lake.of(settings))
    return lambda name, valid, known: ledger.resolve(name, a_day(valid).start, a_day(known).end)


def test_the_ledger_says_who_we_thought_it_was_then_and_who_it_was_as_known_now(merging: Settings) -> None:
    resolve_identities(merging, Window(date(2026, 5, 1), date(2026, 5, 3)), now=NOW)
    ask = who(merging)
    assert ask("cookie_id:new", 3, 3) == ask("email_hash:ann", 3, 3) is not None
    assert ask("cookie_id:new", 2, 3) == ask("email_hash:ann", 2, 3) is not None, "who turns out to be one was so all along"
    assert None is not ask("cookie_id:new", 2, 2) != ask("email_hash:ann", 2, 2), "but nobody knew it on the second day"
    assert ask("cookie_id:new", 1, 3) is None, "nobody had seen it on the first"


def test_a_finished_day_run_again_tells_the_ledger_nothing(merging: Settings) -> None:
    for number in (1, 2, 3):
        resolve_identities(merging, a_day(number), now=NOW)
    version = Lake.of(merging).version("person_events")
    for number in (3, 1, 2):
        resolve_identities(merging, a_day(number), now=NOW + timedelta(days=number))
    assert Lake.of(merging).version("person_events") == version


def test_a_day_that_comes_out_differently_is_corrected_from_now_on_and_the_past_stays(merging: Settings) -> None:
    resolve_identities(merging, Window(date(2026, 5, 1), date(2026, 5, 3)), now=NOW)
    before = ledger_of(Lake.of(merging))
    a_lake(merging.home, sightings=[a_sighting(on="2026-05-03", email_hash="bob", cookie_id="new")])
    resolve_identities(merging, a_day(3), now=NOW)
    after = ledger_of(Lake.of(merging))
    end, names = a_day(3).end, before.people()["identifier"]
    assert after.events.slice(0, len(before.events)).equals(before.events)
    assert after.resolve_many(names, end, end).equals(before.resolve_many(names, end, end))
    assert after.resolve("cookie_id:new", end, NOW) == after.resolve("email_hash:bob", end, NOW) is not None
    assert after.resolve("cookie_id:new", end, NOW) != after.resolve("email_hash:ann", end, NOW)


def test_the_fuse_holds_a_day_back_whole_until_a_reason_is_given(merging: Settings) -> None:
    careful = with_fuse(merging, STRICT)
    resolve_identities(careful, Window(date(2026, 5, 1), date(2026, 5, 2)), now=NOW)
    lake = Lake.of(careful)
    versions = {name: lake.version(name) for name in ("persons", "exact_persons", "decisions", "person_events")}
    with pytest.raises(OverMerged, match=r"identity\.fuse\.max_merged .* --force REASON"):
        resolve_identities(careful, a_day(3), now=NOW)
    assert {name: lake.version(name) for name in versions} == versions
    resolve_identities(careful, a_day(3), now=NOW, force="checked by hand")
    assert lake.read("person_events")["cause"].to_pylist()[-1] == "resolve 2026-05-03, forced: checked by hand"


def test_a_preview_counts_what_would_move_with_its_money_and_writes_nothing(merging: Settings) -> None:
    resolve_identities(merging, Window(date(2026, 5, 1), date(2026, 5, 2)), now=NOW)
    lake = Lake.of(merging)
    version = lake.version("persons")
    change = preview_identities(merging, date(2026, 5, 3))
    assert (change.persons_merged, change.persons_split, change.identifiers_moved) == (1, 0, 1)
    assert change.weights_moved == {"conversions": 1.0, "value_USD": 5.0}
    assert lake.version("persons") == version
    report = resolve_identities(merging, a_day(3), now=NOW)
    assert (report.merged, report.split, report.moved) == (1, 0, 1)


def test_the_ledger_agrees_with_the_table_persons_on_every_day_of_a_world(tmp_path: Path) -> None:
    from serving.daily import history
    from tests.builders import a_world

    settings = a_world(tmp_path, people=400, days=6)
    window = Window(date(2026, 5, 1), date(2026, 5, 6))
    resolve_identities(settings, window, now=NOW)
    lake = Lake.of(settings)
    ledger = ledger_of(lake)
    for day in window:
        told: pd.DataFrame = people(history.persons(lake, day)).to_pandas()
        end = Window(day, day).end
        answers: list[Any] = ledger.resolve_many(told["identifier"].tolist(), end, end).to_pylist()
        assert answers == told["person_id"].tolist()
