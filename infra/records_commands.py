"""The verbs of `whence` for tables of records: resolve a file, review what is unsure, explain, and ask who it was."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from infra import show

if TYPE_CHECKING:
    from whence.identity.records.publish import Outcome

app = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]


class Asked(NamedTuple):
    """The options of `whence resolve --input`."""

    inputs: list[Path]
    fields: Path | None
    labels: str | None
    out: Path | None
    beta: float
    threads: int
    force: str
    is_dry: bool


def resolve_files(home: Path, asked: Asked, *, as_json: bool) -> None:
    """Resolve files into a folder, and say what came of it and what to do next."""
    from whence.identity.records.publish import Request, publish

    out = asked.out or home / "resolve" / asked.inputs[0].stem
    request = Request(tuple(asked.inputs), out, asked.fields, asked.labels, asked.beta, asked.threads, asked.force, asked.is_dry)
    outcome = publish(request, datetime.now(UTC))
    if as_json:
        show.facts(asdict(outcome), as_json=True)
    else:
        _say(outcome)


def _say(outcome: Outcome) -> None:
    facts = {
        "records": outcome.records,
        "people": outcome.people,
        "pairs compared": outcome.pairs,
        "same": outcome.verdicts["same"],
        "unsure": outcome.verdicts["unsure"],
        "changes": ", ".join(f"{count:,} {kind}" for kind, count in outcome.changes.items()) or "none",
        "probabilities": outcome.basis,
        "took": f"{outcome.seconds:.1f} s",
    }
    show.facts(facts, as_json=False, title=_title(outcome))
    for note in outcome.notes:
        show.console.print(f"[yellow]Note[/yellow] {note}", highlight=False)
    show.console.print(f"\nLook at {outcome.folder}/report.html; the people are in people.csv.", highlight=False)
    if outcome.to_review:
        show.console.print(
            f"`whence review {outcome.folder}` asks about the {outcome.to_review:,} most useful of the unsure pairs."
        )


def _title(outcome: Outcome) -> str:
    if outcome.is_dry:
        return "What would change; nothing was written"
    return f"People in {outcome.folder}" if outcome.is_new else f"Nothing has changed in {outcome.folder}"
