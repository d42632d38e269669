"""Evidently's projects: one report a day and tab, the same bytes again, tests that say what the judge said, tabs that can be asked for."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitoring.checks import Check, share
from monitoring.drift import Column
from monitoring.evidently import dashboards
from monitoring.evidently.compared import Drift, compare
from monitoring.evidently.dashboards import ATTRIBUTION, CALIBRATION, COLUMNS, DATA, IDENTITY, OVERVIEW, PLATFORM, project_id
from monitoring.evidently.metrics import limit
from monitoring.evidently.project import draw, open_projects, publish
from monitoring.findings import Finding
from monitoring.findings.rules import Rule
from whence.contracts.models import ATTRIBUTION_RANKER, IDENTITY_RANKER

pytestmark = pytest.mark.service

DAY = "2026-05-02"
MEASURES = [
    share("touches", "null_share", "cookie_id", 2, 10),
    share("touches", "null_share", "device_id", 3, 10),
    share("touches", "null_share", "ip_key", 0, 10),
    share("touches", "match_rate", "all", 5, 10),
    Check(IDENTITY_RANKER, "brier", "all", 0.1, 0.08, 0.12, 50),
    Check("credits", "true_credit", "ranker", 0.4, None, None, 50),
    Check("credits", "true_credit", "markov", None, None, None, 0),
]
SERIES = {"series": [{"model": "touches", "metric": "null_share", "segment": name} for name in ("cookie_id", "device_id")]}
TOLD = [
    Finding("touches", "warn", "null_share", "cookie_id", "Too many.", evidence=json.dumps(SERIES)),
    Finding(IDENTITY_RANKER, "calm", "all", "all", "Fine."),
]


def a_drift(rows: int = 200) -> Drift:
    now, then = (np.random.default_rng(seed) for seed in (1, 2))
    frames = [
        pd.DataFrame({"age": side.normal(0, 1, rows), "channel": side.choice(["search", "social"], rows)}) for side in (now, then)
    ]
    columns = [Column("age", True, 0.1), Column("channel", False, 0.1)]
    found = compare(frames[0].astype("object"), frames[1].astype("object"), columns, datetime(2026, 5, 2, tzinfo=UTC))
    assert found is not None
    return found


def publish_day(root: Path, measures: Sequence[Check] = MEASURES) -> None:
    publish(root, DAY, measures, TOLD, {IDENTITY_RANKER: a_drift()})
    draw(root, {check.key: 0.0 for check in measures})


def held(root: Path, project: str) -> dict[str, Any]:
    """The project's reports by tab."""
    workspace = open_projects(root)
    of = project_id(project)
    runs = [workspace.read_snapshot(of, run) for run in workspace.list_snapshots(of)]
    return {run.metadata["tab"]: run for run in runs}


def values(report: Any) -> dict[tuple[str, ...], float]:
    results = [each for each in report.metric_results.values() if "segment" in each.metric_value_location.metric.params]
    return {tuple(r.metric_value_location.metric.params[k] for k in ("model", "metric", "segment")): r.value for r in results}


def written(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.json"))}


@pytest.fixture(scope="module")
def a_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("evidently")
    publish_day(root)
    return root


def test_each_measure_is_in_the_report_of_its_project_and_tab(a_day: Path) -> None:
    platform, ranker = held(a_day, PLATFORM), held(a_day, IDENTITY_RANKER)
    assert set(platform) == {OVERVIEW, DATA, IDENTITY, ATTRIBUTION}
    assert set(ranker) == {OVERVIEW, CALIBRATION, COLUMNS}
    assert values(platform[DATA])["touches", "null_share", "cookie_id"] == 0.2
    assert values(platform[OVERVIEW])["findings", "warn", "all"] == 1
    assert values(ranker[OVERVIEW])["findings", "warn", "all"] == 0
    assert values(held(a_day, ATTRIBUTION_RANKER)[ATTRIBUTION]) == {("credits", "true_credit", "ranker"): 0.4}


def test_a_measure_fails_its_test_where_the_judge_found_something_and_passes_elsewhere(a_day: Path) -> None:
    (tests,) = [w for w in held(a_day, PLATFORM)[DATA].tests_widgets if "tests" in w.params]
    told = {each["description"].split(": ")[1]: each["state"] for each in tests.params["tests"]}
    states = {"cookie_id": "warning", "device_id": "warning", "ip_key": "success"}
    assert told == {f"null_share of {name}": state for name, state in states.items()}


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule("share", "up", 0.15, None, ""), "at most 0.15 above clean days"),
        (Rule("ratio", "both", math.log(1.6), None, ""), "at most 1.6 times away from clean days"),
        (Rule("level", "up", 0.34, None, ""), "at most 0.34"),
        (Rule("factor", "both", math.log(1.3), None, "", target=1.0), "within 1.3 times of 1"),
    ],
    ids=["share", "ratio", "level", "factor"],
)
def test_a_test_says_from_where_on_its_rule_speaks(rule: Rule, words: str) -> None:
    assert limit(rule) == words


def test_a_day_written_again_is_the_same_bytes_and_what_is_gone_is_taken_away(tmp_path: Path) -> None:
    publish_day(tmp_path)
    before = written(tmp_path)
    publish_day(tmp_path)
    assert written(tmp_path) == before
    publish_day(tmp_path, [check for check in MEASURES if check.metric != "brier"])
    assert set(held(tmp_path, IDENTITY_RANKER)) == {OVERVIEW, COLUMNS}


def test_tabs_and_panels_without_anything_to_show_are_not_drawn() -> None:
    shown = dashboards.panels(PLATFORM, {("touches", "match_rate", "all"): 0.1, ("touches", "rows", "channel=search"): 2.0})
    assert [(panel.tab, panel.title) for panel in shown] == [
        (OVERVIEW, OVERVIEW),
        (OVERVIEW, "Findings"),
        (OVERVIEW, "Match rate"),
        (DATA, DATA),
        (DATA, "Touches by channel"),
        (IDENTITY, IDENTITY),
        (IDENTITY, "Match rate"),
    ]


def test_of_too_many_lines_those_are_drawn_that_moved_most() -> None:
    known = {(IDENTITY_RANKER, "psi", f"input {number}"): float(number) for number in range(9)}
    (panel,) = [each for each in dashboards.panels(IDENTITY_RANKER, known) if each.title == "Inputs that moved most"]
    assert [line.segment for line in panel.lines] == [f"input {number}" for number in range(3, 9)]


WRITE = "import sys; from pathlib import Path; from tests.monitoring.evidently.test_project import publish_day; publish_day(Path(sys.argv[1]))"


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    """Texts hash differently in each process, and Evidently adds up in the order of a set."""
    for seed in ("1", "2"):
        asked = [sys.executable, "-c", WRITE, str(tmp_path / seed)]
        subprocess.run(asked, check=True, env={**os.environ, "PYTHONHASHSEED": seed}, cwd=Path(__file__).parents[3])
    assert written(tmp_path / "1") == written(tmp_path / "2")


def test_a_dashboard_holds_each_panel_once_and_in_one_tab(tmp_path: Path) -> None:
    draw(tmp_path, {check.key: 0.0 for check in MEASURES})
    model = json.loads((tmp_path / str(project_id(PLATFORM)) / "dashboard.json").read_text())
    ids = [panel["id"] for panel in model["panels"]]
    assert sorted(ids) == sorted(panel for tab in model["tabs"] for panel in tab["panels"])
    assert len(set(ids)) == len(ids)
