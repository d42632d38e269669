"""The verbs of `whence` about findings that people are told of: try the ways out, and let a held day go."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from infra import show
from infra.journal_commands import operator
from whence.cli import OF_CREDIT, OF_PLATFORM, spoken
from whence.contracts.times import one_day

app = typer.Typer()
alert = typer.Typer(name="alert", no_args_is_help=True, help="Who is told of findings, and by what way.")
app.add_typer(alert, rich_help_panel=OF_PLATFORM)


@alert.callback()
def about() -> None:
    """Who is told of findings, and by what way."""


@alert.command()
def test(context: typer.Context) -> None:
    """Send a message that says that it is a test, by every way that the settings name."""
    from monitoring import alerts

    with spoken():
        sent = alerts.test(context.obj, datetime.now(UTC))
        show.console.print(f"Sent by {' and '.join(sent.channels)}.", highlight=False, markup=False)


@app.command(rich_help_panel=OF_CREDIT)
def release(
    context: typer.Context,
    day: Annotated[str, typer.Argument(metavar="DAY", help="A day that findings hold back, as 2026-05-03.")],
    reason: Annotated[str, typer.Option(help="Why its credit may be published after all; it is kept.")],
) -> None:
    """Let a held day be published as it is, on your word; a day that is mended and watched again lets itself go."""
    from monitoring import holding

    with spoken():
        found = holding.release(context.obj, one_day(day), reason, operator(), datetime.now(UTC))
        show.console.print(f"{found.day} is released. It was held because: {found.reason}", highlight=False, markup=False)
