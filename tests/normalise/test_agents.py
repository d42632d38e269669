"""User agents: family, major version, system and class of device, against published expectations."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.normalise.agents import Agent, is_frozen, read, text
from whence.normalise.text import fold

DATA = Path(__file__).parents[2] / "../shared/data/user_agents"
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"no user agents in {DATA}")
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36"
PHONE = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Mobile Safari/537.36"
OLD = "Mozilla/5.0 (Windows NT 6.1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/87.0.4280.141 Safari/537.36"


def test_an_agent_is_reduced_to_what_lasts() -> None:
    assert read(MAC) == Agent("chrome", "124", "mac os x", "desktop")
    assert read(PHONE) == Agent("chrome mobile", "124", "android", "phone")
    assert read(PHONE.replace(" Mobile", "")).device == "tablet"
    assert read("Googlebot/2.1 (+http://www.google.com/bot.html)").device == "bot"
    assert text("nothing to see") is None


def test_a_browser_that_tells_its_version_in_client_hints_alone_is_frozen() -> None:
    assert is_frozen(MAC)
    assert is_frozen(PHONE)
    assert not is_frozen(OLD)


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=())))
def test_no_text_breaks_an_agent(agent: str) -> None:
    found = text(agent)
    assert found is None or text(found) == found


def test_a_reduced_agent_stays_as_it_is() -> None:
    for agent in (MAC, PHONE, OLD):
        found = text(agent)
        assert found is not None
        assert text(found) == found


def cases(name: str) -> list[dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: list[dict[str, Any]] = yaml.load(gzip.decompress((DATA / name).read_bytes()), Loader=loader)["test_cases"]
    return found


@needs_data
@pytest.mark.service
def test_families_versions_and_systems_are_those_that_uap_core_expects() -> None:
    for case in cases("uap_test_ua.yaml.gz"):
        agent = read(case["user_agent_string"])
        assert agent.family == fold(case["family"]).replace("/", " ") or case["family"] == "Other"
        assert not (case["major"] or "").isdecimal() or agent.major == case["major"]
    for case in cases("uap_test_os.yaml.gz"):
        assert case["family"] == "Other" or read(case["user_agent_string"]).system == case["family"].lower()


@needs_data
@pytest.mark.service
def test_the_class_of_device_is_that_of_ten_thousand_real_fingerprints() -> None:
    rows = json.loads(gzip.decompress((DATA / "npm_user_agents.json.gz").read_bytes()))
    devices = {agent: read(agent).device for agent in {row["userAgent"] for row in rows}}
    right = sum(devices[row["userAgent"]] == row["deviceCategory"].replace("mobile", "phone") for row in rows)
    assert right == len(rows) == 10_000
