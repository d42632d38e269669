"""Every finding names a runbook that is there, and runbooks name only verbs that there are."""

from __future__ import annotations

import re
from pathlib import Path

import typer.main

from infra.commands import app
from monitoring.findings import causes
from monitoring.findings.rules import RULES

TEXT = (Path(__file__).parents[2] / "docs" / "runbooks.md").read_text()
HEADINGS = set(re.findall(r"^## (\w+)$", TEXT, re.MULTILINE))


def test_every_cause_and_every_measure_that_is_judged_has_a_runbook():
    named = {value for name, value in vars(causes).items() if name.isupper() and isinstance(value, str)}
    assert named >= {"prior_shift", "tracker_outage"}
    assert (named | set(RULES)) - HEADINGS == set()


def test_every_link_leads_somewhere():
    assert set(re.findall(r"\(#(\w+)\)", TEXT)) - HEADINGS == set()


def test_every_command_is_one_that_there_is():
    verbs = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert set(re.findall(r"`whence (\w+)", TEXT)) - verbs == set()
