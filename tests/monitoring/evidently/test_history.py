"""What Evidently's pages ask for is answered from values alone, and as Evidently's own storage answers it from whole reports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitoring.checks import Check, share
from monitoring.evidently.dashboards import DATA, OVERVIEW, PLATFORM, project_id
from monitoring.evidently.project import draw, publish
from monitoring.findings import Finding

pytestmark = [
    pytest.mark.service,
    pytest.mark.filterwarnings("ignore"),  # Evidently's service and what it imports warn of their own dependencies
]

ID = project_id(PLATFORM)
DAYS = ("2026-05-01", "2026-05-02", "2026-05-03")


def measures(number: int) -> list[Check]:
    """More from day to day: a line begins late, and one has a gap."""
    found = [share("touches", "null_share", "cookie_id", number, 10), share("touches", "match_rate", "all", 5, 10)]
    return found + ([share("touches", "null_share", "ip_key", 1, 10)] if number != 1 else [])


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("evidently")
    for number, day in enumerate(DAYS):
        publish(root, day, measures(number), [Finding("touches", "warn", "null_share", "ip_key", "Too many.")][:number], {})
    draw(root, {check.key: 0.0 for check in measures(2)})
    return root


def asked(workspace: Path) -> Iterator[list[Any]]:
    """The filters of each panel, as the page sends them; and some that a person could set by hand."""
    from evidently.ui.service.base import SeriesFilter

    told = json.loads((workspace / str(ID) / "dashboard.json").read_text())
    for panel in told["panels"]:
        yield [
            SeriesFilter(tags=[], **{name: each[name] for name in ("metric", "metadata", "metric_labels")})
            for each in panel["values"]
        ]
    yield [SeriesFilter(tags=[DATA], metadata={}, metric="*", metric_labels={"segment": "ip_key"})]
    yield [
        SeriesFilter(tags=[], metadata={}, metric="*", metric_labels={}),
        SeriesFilter(tags=[OVERVIEW], metadata={}, metric="*", metric_labels={}),
    ]
    yield []


def test_plots_get_the_lines_that_evidentlys_own_storage_gives_them(workspace: Path) -> None:
    from evidently.ui.service.storage.local import InMemoryDataStorage, LocalState

    from monitoring.evidently.history import Months, Values

    theirs, ours = InMemoryDataStorage(str(workspace), LocalState.load(str(workspace), None)), Values(Months(str(workspace)))
    drawn = 0
    for filters in asked(workspace):
        answers = [asyncio.run(each.get_data_series(ID, filters, None, None)) for each in (theirs, ours)]
        assert answers[1].dict() == answers[0].dict()
        drawn += len(answers[1].series)
    assert drawn > 10
    for question in ((ID, [DATA], {}), (ID, [], {"tab": OVERVIEW})):
        assert asyncio.run(ours.get_metrics(*question)) == sorted(asyncio.run(theirs.get_metrics(*question)))
        labels = [set(asyncio.run(each.get_metric_labels(*question, "evidently:metric_v2:Measured"))) for each in (ours, theirs)]
        assert labels[0] == labels[1] - {"tests"}
        values = [
            asyncio.run(each.get_metric_label_values(*question, "evidently:metric_v2:Measured", "metric"))
            for each in (ours, theirs)
        ]
        assert values[0] == sorted(values[1])


def test_a_report_that_cannot_be_read_is_told_and_left_out(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from monitoring.evidently.history import Months

    before = len(Months(str(workspace)).reports(ID))
    torn = workspace / str(ID) / "snapshots" / "00000000-0000-0000-0000-000000000001.json"
    torn.write_text('{"name": "2026-05-04 da')
    try:
        assert len(Months(str(workspace)).reports(ID)) == before
        assert "is no report of ours" in capsys.readouterr().err
    finally:
        torn.unlink()
