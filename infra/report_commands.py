"""The verb of `whence` that reports: who earned what, how sure that is, and what changed since the last report."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from infra import show
from whence.cli import OF_CREDIT, spoken
from whence.contracts.times import Window

if TYPE_CHECKING:
    from monitoring.attribution_report.making import Intervals, Made
    from whence.contracts.settings import Settings

app = typer.Typer()


@app.command(rich_help_panel=OF_CREDIT)
def report(
    context: typer.Context,
    days: Annotated[str, typer.Argument(metavar="DAYS", help="A day, 2026-05-03, or a range, 2026-05-01..2026-05-10.")],
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where to; home/reports/DAYS otherwise.")] = None,
    algorithm: Annotated[str, typer.Option(help="The one to pay by; the policy's own otherwise.")] = "",
    by: Annotated[str, typer.Option(help="What a row is: campaign or channel.")] = "campaign",
    intervals: Annotated[
        str, typer.Option(help="quick: from stored credit; full: journeys joined anew for sampled identities.")
    ] = "quick",
    since: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The report.json to compare with; the folder's own otherwise.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")] = False,
) -> None:
    """Report a period's attribution: a page to forward, its tables as CSV and Parquet, and what changed since the last one."""
    import monitoring

    with spoken():
        made = monitoring.report(
            context.obj,
            Window.parse(days),
            datetime.now(UTC),
            out=out,
            algorithm=algorithm,
            by=by,
            intervals=_intervals(context.obj, intervals),
            since=since,
        )
        if as_json:
            show.facts(_told(made), as_json=True)
        else:
            _say(made)


def _intervals(settings: Settings, name: str) -> Intervals | None:
    """Full ones join journeys anew, which is the serving room's; None stands for the quick ones."""
    if name == "quick":
        return None
    if name != "full":
        raise ValueError(f"Intervals are quick or full, and '{name}' is neither.")
    from monitoring.attribution_report.making import Intervals
    from serving.daily import doubting

    return Intervals(name, doubting.COVERS, lambda rows, view: doubting.credit_intervals(settings, rows, view))


def _say(made: Made) -> None:
    from monitoring.attribution_report.words import in_short

    what = "The report of" if made.is_new else "Nothing has changed since the report of"
    show.console.print(f"[bold]{what} {made.report.period}[/bold]", highlight=False)
    for day, why in made.report.held.items():
        show.console.print(f"[bold red]Held[/bold red] {day} is not final: {escape(why)}", highlight=False)
    for note in made.report.notes:
        show.console.print(f"[yellow]Note[/yellow] {escape(note)}", highlight=False)
    for sentence in in_short(made.report):
        show.console.print(f"· {sentence}", highlight=False, markup=False)
    show.console.print(f"\nLook at {made.folder}/report.html; its tables are beside it.", highlight=False)


def _told(made: Made) -> dict[str, Any]:
    """The report for programs: amounts in whole micros, None where there is none."""
    told = made.report
    return {
        **made.as_dict(),
        "algorithm": told.view.algorithm,
        "policy": {"name": told.policy_name, "digest": told.policy_digest},
        "basis": asdict(told.basis),
        "compared_with": told.compared.made_at if told.compared else None,
        **{name: _rows(table) for name, table in told.tables.named().items()},
    }


def _rows(table: Any) -> list[dict[str, Any]]:
    plain = table.astype(object).where(table.notna(), None)
    found: list[dict[str, Any]] = plain.to_dict("records")
    return found
