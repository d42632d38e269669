"""Little worlds in which one thing changed from one day to the next, or two: whatever changed has the change, and nothing else."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.moved_commands import ByDay
from monitoring.moved import kept
from monitoring.moved.metric import MovedError
from monitoring.moved.why import Answer, as_dict, why
from registry.journal import Journal
from serving.daily.batch import attribute_conversions, resolve_identities
from tests.builders import a_click, a_conversion, a_lake, a_sighting, a_touch, rows, some_settings
from tests.serving.tiny import SCHEMAS, trained
from whence import calibration
from whence.bundle import write_bundle
from whence.contracts.models import CONVERSION_VALUE
from whence.contracts.settings import Attribution, Settings
from whence.contracts.times import Window
from whence.lake import Lake

pytestmark = pytest.mark.service

NOW = datetime(2026, 5, 20, tzinfo=UTC)
FIRST, SECOND = date(2026, 5, 2), date(2026, 5, 3)
HALF_A_DAY = 'windows = [{days = 0.5, touch = "click"}, {days = 0.5, touch = "view"}]\nrestate_days = 0\n'
LAST = f'name = "last"\nalgorithm = "last_touch"\nalgorithms = ["last_touch", "linear"]\n{HALF_A_DAY}'
EVEN = f'name = "even"\nalgorithm = "linear"\nalgorithms = ["last_touch", "linear"]\n{HALF_A_DAY}'
TO_SEARCH = "credits/credit_share/search"


def a_shop(folder: Path, *, meets: bool) -> Settings:
    """Each day a cookie sees a social ad and buys, and between the two a device clicks on search; on the second, they may meet."""
    days = (str(FIRST), str(SECOND))
    settings = some_settings(folder)
    a_lake(
        settings.home,
        touches=[
            row
            for day in days
            for row in (
                a_touch("09:00", on=day, cookie_id="c1", channel="social"),
                a_click("10:00", on=day, device_id="d1", channel="search"),
            )
        ],
        conversions=[a_conversion("12:00", on=day, cookie_id="c1") for day in days],
        sightings=[a_sighting("08:00", on=SECOND, kind="form", cookie_id="c1", device_id="d1")] if meets else [],
    )
    return settings


def ruled(settings: Settings, policy: str) -> Settings:
    file = settings.home / f"{policy.split()[2].strip(chr(34))}.toml"
    file.write_text(policy)
    return Settings(home=settings.home, attribution=Attribution(policy=str(file)))


def lived(settings: Settings, *policies: str) -> Settings:
    """The two days, run by a policy each; the settings are those of the second."""
    for day, policy in zip((FIRST, SECOND), policies, strict=True):
        settings = ruled(settings, policy)
        resolve_identities(settings, Window(day, day), now=NOW)
        attribute_conversions(settings, Window(day, day), now=NOW)
    return settings


def asked(settings: Settings, metric: str = TO_SEARCH) -> Answer:
    return why(settings, metric, FIRST, SECOND, ByDay())


def shares(answer: Answer) -> dict[str, float | None]:
    return {each.factor: each.share for each in answer.parts}


def test_only_the_policy_changed(tmp_path: Path) -> None:
    settings = a_shop(tmp_path, meets=True)
    meets = rows("sightings", a_sighting("08:00", on=FIRST, kind="form", cookie_id="c1", device_id="d1"))
    Lake.of(settings).replace("sightings", meets, Window(FIRST, SECOND))
    answer = asked(lived(settings, LAST, EVEN))
    assert answer.values == answer.recorded == (1.0, 0.5)
    assert shares(answer) == {"data": 0.0, "identity": 0.0, "policy": -0.5}


def test_only_who_is_who_changed(tmp_path: Path) -> None:
    answer = asked(lived(a_shop(tmp_path, meets=True), LAST, LAST))
    assert answer.values == answer.recorded == (0.0, 1.0)
    assert shares(answer) == {"data": 0.0, "identity": 1.0, "policy": 0.0}
    assert answer.residual == 0.0


@pytest.fixture(scope="module")
def twice_changed(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """On the second day cookie and device meet, and another policy is in force."""
    return lived(a_shop(tmp_path_factory.mktemp("shop"), meets=True), LAST, EVEN)


def copied(settings: Settings, folder: Path) -> Settings:
    shutil.copytree(settings.home, folder / "home")
    return Settings(home=folder / "home", attribution=settings.attribution)


def test_where_two_changed_the_shares_are_those_worked_out_by_hand_and_the_same_again(
    twice_changed: Settings, tmp_path: Path
) -> None:
    settings = copied(twice_changed, tmp_path)
    answer = asked(settings)
    # nobody met: 0 by either policy; they met: all of it to the last touch, half of it when shared evenly
    assert dict(answer.mixtures)["identity",] == 1.0
    assert dict(answer.mixtures)["policy",] == 0.0
    assert shares(answer) == {"data": 0.0, "identity": 0.75, "policy": -0.25}
    again = rows("conversions", a_conversion("12:00", on=SECOND, cookie_id="c1", value_micros=1))
    Lake.of(settings).replace("conversions", again, Window(SECOND, SECOND))
    once_more = asked(settings)
    assert as_dict(once_more) == as_dict(answer), "a day delivered again is read as its statements saw it"
    page = kept.keep(settings, answer)
    first = page.read_bytes()
    assert kept.keep(settings, once_more).read_bytes() == first
    assert json.loads(page.with_suffix(".json").read_text())["metric"] == TO_SEARCH
    assert page.name in (page.parent / "index.html").read_text()


def test_a_policy_whose_text_is_gone_is_named_and_never_zero(twice_changed: Settings, tmp_path: Path) -> None:
    settings = copied(twice_changed, tmp_path)
    for file in (settings.home / "policies").iterdir():
        file.unlink()
    answer = asked(settings, "credits/credit_share/linear:search")
    policy = next(each for each in answer.parts if each.factor == "policy")
    assert (policy.state, policy.share) == ("untold", None)
    assert "is kept nowhere" in policy.why


def test_only_the_calibrator_changed(tmp_path: Path) -> None:
    settings = lived_by_two_calibrators(a_shop(tmp_path, meets=False))
    answer = asked(settings, "conversion-value/mean_probability")
    told: dict[str, Any] = shares(answer)
    assert told["data"] == told["features"] == told["model"] == 0.0
    assert told["calibrator"] == pytest.approx(answer.values[1] - answer.values[0])
    assert abs(told["calibrator"]) > 0.01
    assert answer.days == (str(FIRST), str(SECOND))


def lived_by_two_calibrators(settings: Settings) -> Settings:
    """The shop's days, its touches valued on the last day by the same trees as before, and by another calibrator."""
    text, level, golden = trained(CONVERSION_VALUE, 1)
    other = calibration.fit("platt", [-1.0, 0.0, 1.0, 2.0] * 20, [0.0, 1.0, 1.0, 0.0] * 20).to_json()
    journal = Journal.of(settings)
    settings = ruled(settings, LAST)
    for epoch, (day, calibrator) in enumerate(((FIRST, level), (SECOND, other))):
        about = {"made_for": "tests", "day": str(day)}
        bundle = write_bundle(settings.bundles, CONVERSION_VALUE, text, calibrator, SCHEMAS[CONVERSION_VALUE], golden, about)
        journal.promote(CONVERSION_VALUE, bundle, "", ("for tests",), "tests", epoch, NOW)
        attribute_conversions(settings, Window(day, day), now=NOW)
    return settings


def test_days_the_wrong_way_round_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MovedError, match="must be before"):
        why(some_settings(tmp_path), TO_SEARCH, SECOND, FIRST, ByDay())
