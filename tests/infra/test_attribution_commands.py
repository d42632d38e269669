"""`whence policy` as a person types it: what it lists, says, refuses and compares."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.commands import app
from tests.builders import a_click, a_conversion, a_lake, a_touch, some_settings
from whence.attribution import policy as policies
from whence.contracts.settings import Attribution, Settings

pytestmark = pytest.mark.service
DAY = "2026-05-09"


def whence(settings: Settings, *words: str) -> Any:
    return CliRunner().invoke(app, ["policy", *words], obj=settings)


def a_file(folder: Path, text: str) -> str:
    path = folder / "ours.toml"
    path.write_text(text)
    return str(path)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Two sales: one after a click of 8 days ago and a view of an hour ago, one after a click of 8 days ago alone."""
    settings = some_settings(tmp_path_factory.mktemp("shop"))
    a_lake(
        settings.home,
        touches=[
            a_click("12:00", "2026-05-01", campaign_id="search", click_id="k"),
            a_touch("11:00", DAY, campaign_id="video", click_id="k"),
            a_click("12:00", "2026-05-01", campaign_id="search", click_id="l"),
        ],
        conversions=[
            a_conversion("12:00", DAY, conversion_id="both", click_id="k", value_micros=30_000_000),
            a_conversion("12:00", DAY, conversion_id="one", click_id="l", value_micros=12_500_000),
        ],
    )
    return settings


def test_the_list_says_which_policy_is_in_use(tmp_path: Path) -> None:
    found = json.loads(whence(some_settings(tmp_path), "list", "--json").stdout)
    assert [row["policy"] for row in found] == list(policies.presets())
    assert [row["policy"] for row in found if row["in_use"]] == ["whence"]
    ours = a_file(tmp_path, 'name = "ours"')
    found = json.loads(whence(some_settings(tmp_path, attribution=Attribution(ours)), "list", "--json").stdout)
    assert [row["policy"] for row in found if row["in_use"]] == [ours]


def test_a_policy_is_shown_in_english_and_as_the_file_itself(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    assert "A click can earn a conversion within 7 days after it." in whence(settings, "show").stdout
    copied = a_file(tmp_path, whence(settings, "show", "mobile", "--toml").stdout)
    assert policies.load(copied) == policies.load("mobile")
    assert json.loads(whence(settings, "show", "mobile", "--json").stdout)["digest"] == policies.digest(policies.load("mobile"))


def test_a_sound_policy_is_said_to_be_and_another_refused_by_its_lines(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    sound = whence(settings, "check", a_file(tmp_path, 'name = "ours"'))
    assert (sound.exit_code, "is sound: policy 'ours'" in sound.stdout.replace("\n", " ")) == (0, True)
    wrong = whence(settings, "check", a_file(tmp_path, 'name = "ours"\nmax_touches = 0\nrestate_days = -1'))
    assert wrong.exit_code == 1
    assert "ours.toml, line 2: 'max_touches' must be from 1 to 100,000, and is 0." in wrong.stderr
    assert "ours.toml, line 3: 'restate_days'" in wrong.stderr


def test_the_difference_of_two_policies_is_what_moves_and_from_whom_to_whom(shop: Settings) -> None:
    told = json.loads(whence(shop, "diff", "whence", "marketplace14", DAY, "--json").stdout)
    assert told["summary"] == [
        {"currency": "USD", "conversions": 2, "moved_conversions": 2, "before_micros": 42_500_000, "moved_micros": 42_500_000}
    ]
    assert told["flows"] == [
        {"currency": "USD", "from_campaign": "video", "to_campaign": "search", "micros": 30_000_000, "conversions": 1},
        {"currency": "USD", "from_campaign": "", "to_campaign": "search", "micros": 12_500_000, "conversions": 1},
    ]
    after = {row["campaign_id"]: row["after_micros"] for row in told["totals"]}
    assert after == {"search": 42_500_000, "video": 0, "": 0}


def test_the_difference_is_told_in_words_and_in_money_for_the_last_days_by_itself(shop: Settings) -> None:
    told = whence(shop, "diff", "whence", "marketplace14").stdout
    assert "- Clicks and views compete as equals." in told
    assert "+ A click can earn a conversion within 14 days after it." in told
    assert "42.50 USD of 42.50 USD (100.0%) moves, in 2 of 2 conversions." in told
    rows = [line.split() for line in told.splitlines()]
    assert ["video", "search", "30.00", "USD", "1"] in rows
    assert ["no", "ad", "12.50", "USD", "0.00", "USD", "-12.50", "USD"] in rows


def test_another_telling_of_an_order_is_not_another_conversion(tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    tellings = [
        a_conversion(at, DAY, order_id="o", click_id="k", source=source, value_micros=value)
        for at, source, value in (("12:00", "pixel", 10_000_000), ("13:00", "server", 9_000_000))
    ]
    a_lake(settings.home, touches=[a_click("12:00", "2026-05-08", campaign_id="search", click_id="k")], conversions=tellings)
    server = a_file(tmp_path, 'name = "server"\n[orders]\nprefer = "server"')
    told = json.loads(whence(settings, "diff", "whence", server, DAY, "--json").stdout)
    assert [(row["from_campaign"], row["to_campaign"], row["micros"]) for row in told["flows"]] == [
        ("search", "(not counted)", 1_000_000)
    ]


def test_a_policy_against_itself_moves_nothing(shop: Settings) -> None:
    told = whence(shop, "diff", "whence", "whence", DAY).stdout
    assert "Both mean the same." in told
    assert "Nobody has more or less." in told


def test_what_cannot_be_compared_says_what_to_do(shop: Settings, tmp_path: Path) -> None:
    nothing = whence(some_settings(tmp_path), "diff", "whence", "mobile")
    assert (nothing.exit_code, "There are no conversions yet. `whence ingest DAYS` brings some in." in nothing.stderr) == (
        1,
        True,
    )
    wrong_days = whence(shop, "diff", "whence", "mobile", "2026-06-01")
    assert "There are no conversions of 2026-06-01." in wrong_days.stderr
    ranked = a_file(tmp_path, 'name = "ours"\nalgorithm = "ranker"')
    unknown = whence(shop, "diff", "whence", ranked, DAY)
    assert "Policy 'ours' pays by ranker, and gives no credit for 2026-05-09: its model has no champion." in unknown.stderr
    assert "no preset of this name" in whence(shop, "diff", "whence", "mobil").stderr
