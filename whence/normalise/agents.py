"""User agents reduced to what lasts: browser and its major version, system, class of device."""

from __future__ import annotations

import re
from typing import NamedTuple

from whence.normalise.text import fold

VERSION = "agents-1"

DEVICES = ("desktop", "phone", "tablet", "tv", "console", "watch", "bot", "other")
WRITTEN = re.compile(rf"[^/|]+\|\d*\|[^/|]*\|(?:{'|'.join(DEVICES)})")


class Agent(NamedTuple):
    """A user agent's lasting parts; text in lower case, empty where unknown."""

    family: str
    major: str
    system: str
    device: str
    """One of DEVICES."""


def text(agent: str) -> str | None:
    """The lasting parts as one text, family|major|system|device; nothing when the agent says nothing. Idempotent.

    >>> text("Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 "
    ...      "Mobile/15E148 Safari/604.1")
    'mobile safari|17|ios|phone'
    """
    if WRITTEN.fullmatch(agent):
        return agent
    found = read(agent)
    if not found.family and not found.system:
        return None
    return "|".join(found)


def read(agent: str) -> Agent:
    """What an agent says; a frozen one (see is_frozen) says its system and device only roughly.

    An iPad that asks for desktop pages, as they do since iPadOS 13, says that it is a Mac, and is taken for one.
    """
    from ua_parser import parse

    found = parse(agent[:2000].encode(errors="replace").decode())
    family = _plain(found.user_agent.family) if found.user_agent else ""
    major = (found.user_agent.major or "") if found.user_agent else ""
    system = _plain(found.os.family) if found.os else ""
    return Agent(
        family, re.sub(r"\D", "", major), system, _device(agent, system, _plain(found.device.family) if found.device else "")
    )


def is_frozen(agent: str) -> bool:
    """Whether the browser hides its version, device and system's version, and tells them in client hints alone.

    Chromium does so since its release 110: minor versions are 0.0.0, every Android is "10; K", every Windows 10.0.

    >>> is_frozen("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Mobile Safari/537.36")
    True
    """
    return FROZEN.search(agent) is not None


FROZEN = re.compile(r"\bChrome/\d+\.0\.0\.0\b")
BOT = re.compile(
    r"bot\b|crawl|spider|slurp|monitor|preview|facebookexternalhit|curl/|wget|python-|headless|scrapy|lighthouse", re.I
)
TV = re.compile(r"smart-?tv|\btv\b|hbbtv|appletv|apple tv|roku|aft[a-z]\b|bravia|netcast|web0s|crkey|googletv|tizen.*tv", re.I)
CONSOLE = re.compile(r"playstation|xbox|nintendo", re.I)
WATCH = re.compile(r"watch\b|watchos", re.I)
TABLET = re.compile(
    r"ipad|tablet|kindle|silk/|playbook|\bkf[a-z]{2,}\b|nexus (?:7|9|10)\b|sm-[tx]\d|\bgt-p\d|touch\b.*windows", re.I
)
PHONE = re.compile(r"iphone|ipod|windows phone|blackberry|bb10|opera mini|mobile|phone|symbian|j2me|midp", re.I)
DESKTOP = ("windows", "mac os", "linux", "ubuntu", "chrome os", "fedora", "debian", "freebsd", "openbsd", "netbsd")


def _device(agent: str, system: str, family: str) -> str:
    for pattern, device in (
        (BOT, "bot"),
        (TV, "tv"),
        (CONSOLE, "console"),
        (WATCH, "watch"),
        (TABLET, "tablet"),
        (PHONE, "phone"),
    ):
        if pattern.search(agent):
            return device
    if family == "spider":
        return "bot"
    if "android" in system:
        return "tablet"  # Android's browsers say Mobile on phones alone
    return "desktop" if system.startswith(DESKTOP) else "other"


def _plain(family: str | None) -> str:
    return fold(family or "").replace("|", " ").replace("/", " ")
