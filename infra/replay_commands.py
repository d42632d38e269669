"""The verb of `whence` that computes served scores once more."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from infra import show
from whence.cli import OF_MODELS, spoken
from whence.contracts.times import Window

app = typer.Typer()
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]


@app.command(rich_help_panel=OF_MODELS)
def replay(
    context: typer.Context,
    day: Annotated[str, typer.Argument(metavar="DAY", help="The day on which the service answered.")],
    rows: Annotated[int, typer.Option(help="Scored options to replay at most; a sample beyond that.", min=1)] = 100_000,
    as_json: Json = False,
) -> None:
    """Compute what the service served once more, by the path that training takes; exits with 1 where one cell differs."""
    from serving.replay import replay as replay_day

    with spoken():
        window = Window.parse(day)
        if len(window.days) > 1:
            raise ValueError(f"'{day}' is more than a day. Replay one at a time.")
        found = replay_day(context.obj, window.first, rows)
        if as_json:
            show.facts(found, as_json=True)
        else:
            counts = {name: value for name, value in asdict(found).items() if name in ("rows", "cells", "different")}
            show.facts({**counts, **found.skipped, **found.causes}, as_json=False, title=f"Replayed {day}")
            if not found.rows:
                show.console.print(
                    f"No served row of {day} could be compared: on that day the service answered nothing, or nothing of the kind."
                )
            if found.differences:
                show.rows(found.differences, as_json=False, title="The first cells that differ")
        if found.different:
            raise typer.Exit(1)
