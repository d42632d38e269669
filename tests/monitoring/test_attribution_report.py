"""The report of a period: it adds up on the page, says of what it is, explains what changed, and is left alone otherwise."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import monitoring
from infra.commands import app
from monitoring.attribution_report.amounts import cents, counts
from monitoring.attribution_report.kept import ReportError
from monitoring.attribution_report.making import Asked, Made, publish
from monitoring.attribution_report.reading import Read
from monitoring.attribution_report.words import in_short
from tests.attribution.test_summary import DAY, NEXT, a_credit, no_ad
from tests.builders import a_conversion, a_lake, a_touch, some_settings
from whence.attribution import policy
from whence.attribution.policy import Policy
from whence.contracts.settings import Attribution, Settings
from whence.contracts.tables import TABLES
from whence.contracts.times import Window

NOON = datetime(2026, 5, 3, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BOTH = Window.parse(f"{DAY}..{NEXT}")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
Row = dict[str, Any]


def told(*rows: Row, digest: str = "") -> list[Row]:
    """Rows of credit with all columns of the table."""
    plain = {"suspect": "", "policy": digest or policy.digest(Policy()), "data": "touches 3", "bundle": None, "person_id": None}
    return [
        {**plain, "known_at": pd.Timestamp(f"{row['stated_on']}T23:59Z"), **row, "touched_at": _instant(row["touched_at"])}
        for row in rows
    ]


def _instant(at: Any) -> Any:
    return None if pd.isna(at) else at


def a_home(folder: Path, credits: list[Row], touches: list[Row] | None = None, conversions: list[Row] | None = None) -> Settings:
    """Settings of a home with these tables, and an event of each day so that both are known."""
    shown = [a_touch(on=DAY, campaign_id="campaign-1"), a_touch(on=NEXT)] if touches is None else touches
    bought = [a_conversion(on=DAY), a_conversion(on=NEXT)] if conversions is None else conversions
    a_lake(folder / "home", touches=shown, conversions=bought, credits=credits)
    return some_settings(folder)


def some_credits() -> list[Row]:
    thirds = {"conversion_id": "c", "share": 1 / 3}
    return told(
        a_credit(**thirds, credit_micros=3_333_334, certainty=0.9),
        a_credit(**thirds, credit_micros=3_333_333, campaign_id="campaign-2", touch_id="t2"),
        no_ad(**thirds, credit_micros=3_333_333),
        a_credit(conversion_id="c", algorithm="linear", credit_micros=10_000_000, campaign_id="campaign-2"),
        a_credit(conversion_id="e", day=NEXT, stated_on=NEXT, currency="EUR", credit_micros=5_005_000),
    )


MOVED = a_credit(conversion_id="c", stated_on=NEXT, cause="late_events", campaign_id="campaign-2", touch_id="t2")
"""What late events make of the first of these conversions on the next day."""


def a_read(credits: list[Row], touches: list[Row] | None = None, **changes: Any) -> Read:
    """What these rows look like when they are read."""
    frame = pd.DataFrame(credits, columns=TABLES["credits"].schema.names)
    for name in ("touched_at", "known_at"):
        frame[name] = pd.to_datetime(frame[name], utc=True)
    shown = [a_touch(campaign_id="campaign-1"), a_touch(on=NEXT)] if touches is None else touches
    plain = Read(frame, pd.DataFrame(shown), frozenset(), (), (), {"touches": 0, "credits": 0}, NOON, 2, {"b": 3})
    return replace(plain, **changes)


def a_report(read: Read, folder: Path, now: datetime = NOON, rules: Policy = Policy(), **asked: Any) -> Made:  # noqa: B008
    """The report of both days into the folder."""
    return publish(read, BOTH, rules, Asked(folder, **asked), now)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return monitoring.report(a_home(tmp_path_factory.mktemp("report"), some_credits()), BOTH, NOON)


@pytest.fixture(scope="module")
def page(made: Made) -> str:
    return (made.folder / "report.html").read_text()


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The second report of days of which late events restated a conversion, and a touch more is known; the first is in `earlier`."""
    folder = tmp_path_factory.mktemp("later")
    a_report(a_read(some_credits()), folder)
    return a_report(a_moved_read(), folder, NOON + HOUR)


def a_moved_read() -> Read:
    return a_read(
        [*some_credits(), *told(MOVED)], [a_touch(campaign_id="campaign-1"), a_touch(on=NEXT), a_touch(price_micros=20_000)]
    )


class Tables(HTMLParser):
    """The tables of a page: of each the cells of its rows, body and foot, as text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.heads: list[list[str]] = []
        self.feet: list[list[str]] = []
        self.headers_without_scope = 0
        self._cell: list[str] | None = None
        self._part = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
            self.heads.append([])
            self.feet.append([])
        if tag in ("thead", "tbody", "tfoot"):
            self._part = tag
        if tag == "tr" and self._part == "tbody":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self._cell = []
            self.headers_without_scope += tag == "th" and "scope" not in dict(attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None:
            text, self._cell = "".join(self._cell), None
            if self._part in ("thead", "tfoot"):
                (self.heads if self._part == "thead" else self.feet)[-1].append(text)
            elif self._part == "tbody" and self.tables[-1]:
                self.tables[-1][-1].append(text)
        if tag == "table":
            self._part = ""

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)


def number(text: str) -> float | None:
    plain = text.replace("−", "-").replace("+", "").replace(",", "")
    return float(plain) if re.fullmatch(r"-?\d+\.\d+", plain) else None


def test_the_page_needs_nothing_from_outside(page: str) -> None:
    assert not re.findall(r"""(?:src|href)=(?!["']?data:)|@import|url\((?!#)""", page)
    assert "<script" not in page


def sums_checked(page: str) -> int:
    """Check each sum below a column of amounts, as shown; how many there were."""
    seen, checked = Tables(page), 0
    for head, body, foot in zip(seen.heads, seen.tables, seen.feet, strict=True):
        for column, total in enumerate(foot[1:], start=1):
            cells = [number(row[column]) for row in body]
            if (
                head[column] != "return"
                and not head[column].startswith("cost")
                and number(total) is not None
                and all(cell is not None for cell in cells)
            ):
                assert round(sum(cell or 0 for cell in cells), 6) == number(total)
                checked += 1
    return checked


def test_amounts_on_the_page_add_up_to_the_sums_below_them(page: str) -> None:
    assert sums_checked(page) >= 10


def test_of_many_campaigns_the_page_shows_the_most_telling_and_adds_up_the_rest(tmp_path: Path) -> None:
    names = [f"campaign-{number:02d}" for number in range(60)]
    rows = told(*(
        a_credit(campaign_id=name, credit_micros=1_000_003 * (at + 1), algorithm=algorithm, conversion_id=name)
        for at, name in enumerate(names) for algorithm in ("last_touch", "linear")
    ))  # fmt: skip
    page = (a_report(a_read(rows), tmp_path).folder / "report.html").read_text()
    assert sums_checked(page) >= 5
    assert "35 others" in page
    assert "campaign-59" in page
    assert "campaign-07" not in page


def test_every_table_has_headers_and_every_plot_words(page: str) -> None:
    assert Tables(page).headers_without_scope == 0
    for svg in re.findall(r"<svg[^>]*>", page):
        assert "aria-hidden" in svg or "aria-label" in svg or "overflow=visible" in svg
    assert page.count("<caption") >= 4


def test_it_says_of_which_data_identity_policy_and_model_it_is(made: Made, page: str) -> None:
    digest = policy.digest(Policy())
    for fact in ("touches version 0", "credits version 0", digest, f"stated on {DAY}..{NEXT}", "touches 3", "none was champion"):
        assert fact in page
    manifest = json.loads((made.folder / "report.json").read_text())
    assert manifest["policy"] == {"name": "whence", "digest": digest, "stated_by": {digest: 2}}
    assert manifest["tables"]["credits"] == 0


def test_the_files_have_every_millionth(made: Made) -> None:
    parquet, csv = (pd.read_parquet(made.folder / "campaigns.parquet"), pd.read_csv(made.folder / "campaigns.csv", dtype=str))
    assert parquet["credit_micros"].sum() == 15_005_000
    assert csv["credit"].tolist() == ["5.005000", "3.333334", "3.333333", "3.333333"]


def test_currencies_have_a_part_each(made: Made, page: str) -> None:
    assert page.index("Who earned what, in USD") < page.index("What changed")
    assert "Who earned what, in EUR" in page
    assert made.report.tables.overview["currency"].tolist() == ["EUR", "USD"]


def test_it_says_in_short_what_is_sure_and_what_is_not(made: Made) -> None:
    said = " ".join(in_short(made.report))
    assert "2 conversions were worth 10.00 USD and 5.00 EUR." in said
    assert "Revenue at identity risk: 0.33 USD (5\u00a0%)." in said
    assert "What would not have come without ads is not known" in said


def test_names_in_the_data_are_never_markup(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>"
    rows = told(
        a_credit(campaign_id=bad, channel=bad, currency="<b>"), a_credit(campaign_id=bad, channel=bad, algorithm="linear")
    )
    made = a_report(a_read(rows, [a_touch(campaign_id=bad, channel=bad, currency="<b>")]), tmp_path)
    page = (made.folder / "report.html").read_text()
    assert "<script" not in page
    assert "<b>" not in re.sub(r"<div class=figure><b>[^<]*</b>", "", page)
    assert "&lt;script&gt;" in page


def test_the_same_again_writes_nothing(tmp_path: Path) -> None:
    first = a_report(a_read(some_credits()), tmp_path)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = a_report(a_read(some_credits()), tmp_path, NOON + HOUR)
    assert (first.is_new, again.is_new) == (True, False)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    (tmp_path / "days.csv").unlink()  # as when it was cut off
    assert a_report(a_read(some_credits()), tmp_path).is_new


def test_what_changed_since_the_last_report_is_explained_to_the_micro(later: Made) -> None:
    changes = later.report.tables.changes.set_index(["currency", "campaign_id"])
    assert changes.loc[("USD", "campaign-1"), "late_events_micros"] == -3_333_334
    assert changes.loc[("USD", "campaign-2"), "late_events_micros"] == 10_000_000 - 3_333_333
    assert (changes["unexplained_micros"] == 0).all()
    page = (later.folder / "report.html").read_text()
    assert "Against the report of 2026-05-03 12:00 UTC" in page
    assert "late events" in page
    assert "Spend in USD was 0.01 and is 0.03: touches were told late." in page
    assert json.loads((later.folder / "report.json").read_text())["compared_with"] == NOON.isoformat()


def test_another_look_at_the_same_data_is_compared_with_what_the_first_look_was(later: Made, tmp_path: Path) -> None:
    shutil.copytree(later.folder, tmp_path, dirs_exist_ok=True)
    look = a_report(a_moved_read(), tmp_path, NOON + 2 * HOUR, by="channel")
    assert look.is_new
    assert look.report.compared is not None
    assert look.report.compared.made_at == NOON.isoformat()
    changes = look.report.tables.changes
    assert changes.loc[changes["channel"].eq("social") & changes["currency"].eq("USD"), "late_events_micros"].tolist() == [
        3_333_333
    ]


def test_a_report_can_be_compared_with_one_that_lies_elsewhere(later: Made, tmp_path: Path) -> None:
    first = later.folder / "earlier" / "report.json"
    elsewhere = a_report(a_moved_read(), tmp_path / "out", since=first)
    assert elsewhere.report.tables.changes["late_events_micros"].ne(0).any()


def test_reports_of_other_days_are_not_compared(later: Made, tmp_path: Path) -> None:
    day, first = Window.parse(DAY), later.folder / "earlier" / "report.json"
    with pytest.raises(ReportError, match=r"is of 2026-05-01\.\.2026-05-02, and this report is of 2026-05-01\."):
        publish(a_read([]), day, Policy(), Asked(tmp_path, since=first), NOON)
    with pytest.raises(ReportError, match=r"Give this one a folder of its own with --out FOLDER\."):
        publish(a_read([]), day, Policy(), Asked(later.folder), NOON)
    with pytest.raises(ReportError, match=r"is no report\.json"):
        a_report(a_read([]), tmp_path, since=tmp_path / "nothing.json")


def test_without_the_files_of_the_last_report_the_difference_is_unexplained_and_said(tmp_path: Path) -> None:
    a_report(a_read(some_credits()), tmp_path)
    (tmp_path / "statements.parquet").unlink()
    second = a_report(a_read([*some_credits(), *told(MOVED)]), tmp_path, NOON + HOUR)
    changes = second.report.tables.changes
    causes = changes.filter(regex="_micros$").drop(columns=["before_micros", "now_micros"]).sum(axis=1)
    assert (changes["before_micros"] + causes == changes["now_micros"]).all()
    assert any("no statement of credit accounts for" in note for note in second.report.notes)


def test_days_without_any_data_have_no_report(tmp_path: Path) -> None:
    nothing = a_read([], [], without_events=BOTH.days)
    with pytest.raises(ReportError, match=r"There is no data of 2026-05-01\.\.2026-05-02: .*whence ingest 2026-05-01"):
        a_report(nothing, tmp_path)


@pytest.mark.service
def test_days_that_are_not_attributed_yet_are_named(tmp_path: Path) -> None:
    settings = a_home(tmp_path, [row for row in some_credits() if row["day"] == DAY])
    notes = " ".join(monitoring.report(settings, Window.parse(f"{DAY}..2026-05-04"), NOON).report.notes)
    assert f"No credit yet for the conversions of {NEXT}." in notes
    assert "No data of 2026-05-03..2026-05-04:" in notes


def test_conversions_without_any_credit_or_touch_are_a_report_that_says_what_to_run(tmp_path: Path) -> None:
    report = monitoring.report(a_home(tmp_path, [], touches=[]), BOTH, NOON).report
    assert any(f"No credit yet for the conversions of {DAY}..{NEXT}. Run whence attribute" in note for note in report.notes)


def test_conversions_that_wait_in_quarantine_are_said_to_be_in_no_sum(tmp_path: Path) -> None:
    settings = a_home(tmp_path, some_credits())
    assert not any("quarantine" in note for note in monitoring.report(settings, BOTH, NOON).report.notes)
    bad = {"source": "shop.csv", "row": 1, "event_id": None, "field": "value_micros", "reason": "It is 'ten'. Expected a number."}
    rows = [bad | {"day": DAY, "table": name, "row": at} for at, name in enumerate(("conversions", "conversions", "touches"))]
    a_lake(settings.home, quarantine=rows)
    notes = monitoring.report(settings, BOTH, NOON).report.notes
    assert "In quarantine, and in no sum, are 2 rows of conversions. What whence ingest says of these days tells why." in notes


def test_spend_without_any_credit_still_has_a_report(tmp_path: Path) -> None:
    made = a_report(a_read([]), tmp_path)
    assert in_short(made.report)[0] == "Ads cost 0.01 USD."
    assert made.report.tables.campaigns["note"].tolist() == ["spend, and no credit"]


def test_conversions_without_a_value_are_counted(tmp_path: Path) -> None:
    halves = {"conversion_id": "c", "share": 0.5, "credit_micros": 0}
    rows = told(a_credit(**halves), a_credit(**halves, campaign_id="campaign-2", touch_id="t2"), a_credit(credit_micros=0))
    made = a_report(a_read(rows), tmp_path)
    assert (
        in_short(made.report)[0] == "2 conversions, none of which carries a value: by last touch, ads earned 100\u00a0% of them."
    )
    page = (tmp_path / "report.html").read_text()
    assert "Who earned how many conversions, in USD" in page
    assert sums_checked(page) >= 1


def test_an_algorithm_without_rows_is_refused_by_name(tmp_path: Path) -> None:
    read = a_read(some_credits())
    with pytest.raises(ReportError, match=r"was credited by markov\. There are last_touch, linear\."):
        a_report(read, tmp_path, algorithm="markov")
    with pytest.raises(ReportError, match="There is no algorithm 'luck'"):
        a_report(read, tmp_path, algorithm="luck")
    assert a_report(read, tmp_path, algorithm="linear").report.tables.campaigns["credit_micros"].sum() == 10_000_000


def test_a_policy_that_pays_by_a_model_without_a_champion_shows_another_and_says_so(tmp_path: Path) -> None:
    report = a_report(a_read(some_credits()), tmp_path, rules=Policy(name="ours", algorithm="ranker")).report
    assert report.view.algorithm == "last_touch"
    assert any("pays by ranker, which has no rows" in note for note in report.notes)
    assert any("not stated by the policy in force alone" in note for note in report.notes)


@pytest.mark.service
def test_by_the_touch_date_conversions_of_later_days_count(tmp_path: Path) -> None:
    home = a_home(tmp_path, told(a_credit(day="2026-05-09", stated_on="2026-05-09"), a_credit()))
    (tmp_path / "rules.toml").write_text('name = "ours"\nreporting_date = "touch"\n')
    settings = replace(home, attribution=Attribution(policy=str(tmp_path / "rules.toml")))
    assert monitoring.report(settings, Window.parse(DAY), NOON).report.tables.overview["value_micros"].tolist() == [20_000_000]


@pytest.mark.service
def test_refunds_are_known_by_their_conversions(tmp_path: Path) -> None:
    bought = [a_conversion(conversion_id="c"), a_conversion(conversion_id="r", kind="refund", value_micros=-4_000_000)]
    credits = told(a_credit(conversion_id="c"), a_credit(conversion_id="r", credit_micros=-4_000_000))
    made = monitoring.report(a_home(tmp_path, credits, conversions=bought), Window.parse(DAY), NOON)
    assert made.report.tables.campaigns["refunds_micros"].tolist() == [-4_000_000]
    assert made.report.tables.campaigns["conversions"].tolist() == [1.0]


def test_every_kind_of_table_is_of_the_contract() -> None:
    assert set(told(a_credit())[0]) == set(TABLES["credits"].schema.names)


@pytest.mark.service
def test_the_command_says_it_in_short_and_in_json(tmp_path: Path) -> None:
    settings = a_home(tmp_path, some_credits())
    spoken = CliRunner().invoke(app, ["report", str(BOTH)], obj=settings)
    assert spoken.exit_code == 0
    assert "2 conversions were worth" in spoken.output
    answered = json.loads(CliRunner().invoke(app, ["report", str(BOTH), "--json", "--by", "channel"], obj=settings).output)
    assert sum(row["credit_micros"] for row in answered["campaigns"]) == 15_005_000


@given(st.lists(st.floats(0, 1e6), max_size=30))
def test_counts_add_up_as_they_are_shown(numbers: list[float]) -> None:
    cells, total = counts(numbers)
    assert round(sum(float(cell.replace(",", "")) for cell in cells), 1) == float(total.replace(",", ""))


@given(st.lists(st.integers(-(10**15), 10**15), max_size=30))
def test_cents_add_up_and_stay_near(micros: list[int]) -> None:
    found = cents(micros)
    assert abs(sum(found) * 10_000 - sum(micros)) <= 5_000
    assert all(abs(cent * 10_000 - micro) < 10_000 for cent, micro in zip(found, micros, strict=True))


@pytest.mark.service
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_a_browser_shows_it_on_a_phone_in_the_dark_and_on_paper(made: Made) -> None:
    from tests.end_to_end.pages import browser

    with browser() as chromium:
        tab = chromium.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
        complaints: list[str] = []
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("request", lambda request: complaints.append(request.url) if not request.url.startswith("file:") else None)
        tab.goto(f"file://{made.folder / 'report.html'}")
        assert complaints == []
        assert tab.evaluate("document.documentElement.scrollWidth") == 390
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = tab.evaluate(ground)
        tab.emulate_media(color_scheme="light")
        assert tab.evaluate(ground) != dark
        folded = "document.querySelector('details table')"
        assert not tab.evaluate(f"{folded}.checkVisibility()")
        tab.emulate_media(media="print")
        assert tab.evaluate(f"{folded}.checkVisibility()")
        assert tab.evaluate(ground) == "rgb(255, 255, 255)"
