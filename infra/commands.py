"""The verbs of `whence`: each is one call to a front door, the same that the DAGs and the tests use."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from dataclasses import fields as dataclass_fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra import (
    alert_commands,
    attribution_commands,
    journal_commands,
    moved_commands,
    records_commands,
    replay_commands,
    report_commands,
    rollout_commands,
    service_commands,
    show,
)
from whence.cli import OF_DAYS, OF_MODELS, OF_PLATFORM, spoken
from whence.contracts.models import MODELS
from whence.contracts.settings import Settings
from whence.contracts.times import Window, one_day

if TYPE_CHECKING:
    from whence.identity.ledger import Changes

app = typer.Typer()
app.add_typer(records_commands.app)
app.add_typer(report_commands.app)
app.add_typer(attribution_commands.app)
app.add_typer(journal_commands.app)
app.add_typer(rollout_commands.app)
app.add_typer(service_commands.app)
app.add_typer(replay_commands.app)
app.add_typer(alert_commands.app)
app.add_typer(moved_commands.app)

Days = Annotated[str, typer.Argument(metavar="DAYS", help="A day, 2026-05-03, or a range, 2026-05-01..2026-05-10.")]
Model = Annotated[str, typer.Argument(metavar="MODEL", help=f"One of {', '.join(MODELS)}.")]
Candidates = Annotated[str, typer.Argument(metavar="DAY", help="Whose candidates: the last day that they may know of.")]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]
NO_CANDIDATES = "There are no candidates of {0}. `whence train MODEL {0}` makes one."


def _window(days: str) -> Window:
    return Window.parse(days)


@app.command(rich_help_panel=OF_PLATFORM)
def up(context: typer.Context, as_json: Json = False) -> None:
    """Start the local platform, and wait until every part of it answers."""
    from infra import platform

    with spoken():
        found = platform.up(context.obj, lambda words: None if as_json else show.console.print(f"  {words}"))
        show.rows(found, as_json=as_json, title="The platform is up")
        if not as_json:
            _addresses(context.obj)


@app.command(rich_help_panel=OF_PLATFORM)
def down(context: typer.Context) -> None:
    """Stop the local platform. Nothing that it wrote is removed."""
    from infra import platform

    with spoken():
        show.console.print("The platform is down." if platform.down(context.obj) else "The platform was not running.")


@app.command(rich_help_panel=OF_PLATFORM)
def status(context: typer.Context, as_json: Json = False) -> None:
    """How every part of the platform is."""
    from infra import platform

    with spoken():
        found = platform.status(context.obj)
        show.rows(found, as_json=as_json, empty="The platform is down. `whence up` starts it.")
        if found and not as_json:
            _addresses(context.obj)
            journal_commands.say_alarms(context.obj, datetime.now(UTC))
        if not found or not all(each.is_well for each in found):
            raise typer.Exit(1)


@app.command(rich_help_panel=OF_PLATFORM)
def demo(
    context: typer.Context,
    source: Annotated[str, typer.Option(help="world, or talkingdata=PATH for a click log.")] = "world",
    kill: Annotated[bool, typer.Option("--kill", help="Kill a task, the scheduler and the scoring service on the way.")] = False,
    off_level: Annotated[
        bool, typer.Option("--off-level", help="Put a champion's probabilities off their level, and see it recalibrated.")
    ] = False,
) -> None:
    """Run the whole loop on real Airflow, from events to a promoted model and dashboards.

    It starts from nothing: what an earlier demo left is removed.
    """
    from infra import demo as demonstration

    with spoken():
        demonstration.run(context.obj, source=source, kill=kill, off_level=off_level)


@app.command(rich_help_panel=OF_PLATFORM)
def simulate(context: typer.Context, as_json: Json = False) -> None:
    """Make the world with known truth: the events of every simulated day, as files."""
    from whence.world import simulate as make

    with spoken(), show.progress("Simulating", quiet=as_json) as advance:
        found = make(context.obj, progress=advance)
        show.facts(found, as_json=as_json, title="Simulated")


@app.command(rich_help_panel=OF_DAYS)
def ingest(
    context: typer.Context,
    days: Annotated[str, typer.Argument(metavar="DAYS", help="A day, or a range of days, of delivery.")] = "",
    suggest: Annotated[
        str, typer.Option(metavar="PATH", help="Print a first mapping for this instead: a file, a folder, s3:// or a database.")
    ] = "",
    table: Annotated[str, typer.Option(help="With --suggest: the database's table, or some, as clicks,orders.")] = "",
    out: Annotated[Path | None, typer.Option(help="With --suggest: write the mapping there.")] = None,
    as_json: Json = False,
) -> None:
    """Bring a window of days from the source into the tables; bad rows go to quarantine with a reason."""
    import whence.ingest

    with spoken():
        if suggest:
            print(whence.ingest.suggest(suggest, out, table))
            return
        if not days:
            raise ValueError("Which days? Write `whence ingest 2026-05-01..2026-05-10`, or `whence ingest --suggest FILE`.")
        with show.progress("Ingesting", quiet=as_json) as advance:
            found = whence.ingest.ingest(context.obj, _window(days), progress=advance)
        if as_json:
            show.facts(found, as_json=True)
        else:
            show.rows(
                [{"table": name, **asdict(tally)} for name, tally in found.tables.items()],
                as_json=False,
                title=f"Ingested {days}",
            )
            if not any(tally.read for tally in found.tables.values()):
                print(f"The source has no row of {days}. Is it delivered, and are days those of seen_at, in UTC?")
            if any(tally.quarantined for tally in found.tables.values()):
                show.rows(_why_quarantined(context.obj, _window(days)), as_json=False, title="\nIn quarantine, by field")
            for name, field, columns in whence.ingest.unfilled(context.obj, _window(days)):
                print(f"No row of {name} has a {field}, which the mapping reads from {columns}. Is that its name in the source?")
            late = whence.ingest.late_days(context.obj, _window(days))
            for each in late:
                print(f"Rows of {each} came or changed since it was taken in. `whence ingest {each}` takes them in, too.")
            if late:
                again = ", ".join(map(str, whence.ingest.days_to_repeat(context.obj, late, _window(days))))
                print(
                    f"Then run resolve, materialise, attribute and watch for {again} once more: what was said there rests on them."
                )


def _why_quarantined(settings: Settings, window: Window) -> list[dict[str, object]]:
    """How many rows of the window wait in quarantine for each field, most first, and the reason of one of them."""
    from whence.lake import Lake

    rows = Lake.of(settings).read("quarantine", window).group_by(["table", "field"], use_threads=False)
    told = rows.aggregate([("reason", "count"), ("source", "first"), ("row", "first"), ("reason", "first")])
    return [
        {
            "table": each["table"],
            "field": each["field"],
            "rows": each["reason_count"],
            "such as": f"row {each['row_first']} of {each['source_first']}: {each['reason_first']}",
        }
        for each in told.sort_by([("reason_count", "descending")]).to_pylist()
    ]


@app.command(rich_help_panel=OF_DAYS)
def resolve(
    context: typer.Context,
    days: Annotated[
        str, typer.Argument(metavar="DAYS", help="A day, or a range of days: decide whose its identifiers are.")
    ] = "",
    inputs: Annotated[
        list[Path] | None,
        typer.Option(
            "--input", "-i", help="A table of records instead: CSV, JSON, Parquet, packed or not; repeat it for each source."
        ),
    ] = None,
    fields: Annotated[
        Path | None, typer.Option(help="What its columns are, in TOML; found otherwise, and left as fields.toml to edit.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="A file of pairs (left_id, right_id, verdict), or the column with the known person.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write; .whence/resolve/NAME otherwise.")] = None,
    beta: Annotated[float, typer.Option(help="Below 1, a wrong link weighs more than a missed one.", min=0.001)] = 1.0,
    threads: Annotated[int, typer.Option(help="Processor cores to use.", min=1)] = 1,
    force: Annotated[
        str, typer.Option(metavar="REASON", help="Publish although the fuse would stop it; kept in the ledger.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and write nothing.")] = False,
    join: Annotated[
        bool, typer.Option("--join", help="The rows join the people in --out, without comparing the old ones again.")
    ] = False,
    context_of_pairs: Annotated[
        bool, typer.Option("--context", help="With labels: let a pair's rivals among the other records count, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Decide who is who: of the identifiers of some days, or, with --input, of the records in any file.

    `whence resolve 2026-05-01..2026-05-10` writes to the tables of the platform. `whence resolve --input people.csv`
    needs nothing else: it finds out what the columns are, and leaves people with stable ids and a report in a folder.
    """
    with spoken():
        if bool(days) == bool(inputs):
            raise ValueError(
                "Give either days, `whence resolve 2026-05-01..2026-05-10`, or files, `whence resolve --input people.csv`"
                f"{', not both' if days else ''}."
            )
        if inputs:
            request = records_commands.Asked(inputs, fields, labels, out, beta, threads, force, dry_run, join, context_of_pairs)
            records_commands.resolve_files(context.obj.home, request, as_json=as_json)
            return
        from serving.daily.batch import preview_identities, resolve_identities

        _say_if_empty(context.obj, days)
        if dry_run:
            _preview(preview_identities(context.obj, one_day(days)), days, as_json=as_json)
            return
        with show.progress("Resolving", quiet=as_json) as advance:
            found = resolve_identities(context.obj, _window(days), progress=advance, force=force)
        show.facts(found, as_json=as_json, title=f"Resolved {days}")


@app.command(rich_help_panel=OF_DAYS)
def materialise(context: typer.Context, days: Days, as_json: Json = False) -> None:
    """Compute the feature tables of the days, and fill the online store."""
    import features

    with spoken(), show.progress("Materialising", quiet=as_json) as advance:
        _say_if_empty(context.obj, days)
        show.facts(
            features.materialise(context.obj, _window(days), progress=advance),
            as_json=as_json,
            title=f"Materialised {days}",
        )


@app.command(rich_help_panel=OF_MODELS)
def train(
    context: typer.Context,
    model: Model,
    as_of: Annotated[str, typer.Argument(metavar="DAY", help="The last day that it may know of.")],
    drill: Annotated[str, typer.Option(help="shuffled_labels spoils the candidate on purpose.")] = "",
    as_json: Json = False,
) -> None:
    """Train a candidate, and register it in MLflow. Nothing is promoted."""
    import registry
    import training

    with spoken():
        candidate = training.train(context.obj, journal_commands.known_model(model), one_day(as_of), drill=drill)
        version = registry.register(context.obj, candidate)
        show.facts({**candidate.as_dict(), "version": version}, as_json=as_json, title="Trained and registered")


@app.command(rich_help_panel=OF_MODELS)
def judge(context: typer.Context, as_of: Candidates, as_json: Json = False) -> None:
    """Judge the candidates of a day, and say why; promotes nothing."""
    import registry

    with spoken():
        verdicts = [
            {
                "model": each.model,
                "bundle": each.bundle[:12],
                "drill": each.drill,
                "verdict": verdict.decision,
                "reasons": list(verdict.reasons),
            }
            for each in registry.candidates(context.obj, one_day(as_of))
            for verdict in [registry.judge(context.obj, each, now=datetime.now(UTC))]
        ]
        show.rows(verdicts, as_json=as_json, empty=NO_CANDIDATES.format(as_of))


@app.command(rich_help_panel=OF_MODELS)
def promote(context: typer.Context, as_of: Candidates, as_json: Json = False) -> None:
    """Judge the candidates of a day, and make those that pass champion."""
    import registry

    with spoken():
        found = registry.judge_and_promote(
            context.obj, one_day(as_of), who=journal_commands.operator(), now=datetime.now(UTC), is_person=True
        )
        show.facts(found, as_json=as_json, title="Verdicts", empty=NO_CANDIDATES.format(as_of))


@app.command(rich_help_panel=OF_DAYS)
def attribute(context: typer.Context, days: Days, as_json: Json = False) -> None:
    """Credit the conversions of the days to the touches that earned them."""
    from serving.daily.batch import attribute_conversions

    with spoken(), show.progress("Attributing", quiet=as_json) as advance:
        _say_if_empty(context.obj, days)
        found = attribute_conversions(context.obj, _window(days), progress=advance)
        show.facts(found, as_json=as_json, title=f"Attributed {days}")


@app.command(rich_help_panel=OF_DAYS)
def watch(context: typer.Context, days: Days, as_json: Json = False) -> None:
    """Check the days for drift, lost calibration and bad attribution, and put them on the dashboards."""
    from monitoring import watch as look
    from serving.daily.batch import collect_online

    with spoken(), show.progress("Watching", quiet=as_json) as advance:
        collect_online(context.obj, _window(days))
        found = look(context.obj, _window(days), now=datetime.now(UTC), progress=advance)
        show.rows(found.findings, as_json=as_json, title=f"Findings of {days}")


@app.command(rich_help_panel=OF_PLATFORM)
def serve(context: typer.Context) -> None:
    """Run the scoring service here, in the foreground. `whence up` runs it supervised."""
    with spoken():
        os.execv(sys.executable, [sys.executable, "-m", "serving"])


@app.command(rich_help_panel=OF_PLATFORM)
def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Look for what commonly goes wrong, and say what to do about it."""
    from infra.doctor import examine

    with spoken():
        found = examine(context.obj)
        show.rows(found, as_json=as_json)
        if not all(each.is_well for each in found):
            raise typer.Exit(1)


def _say_if_empty(settings: Settings, days: str) -> None:
    """Say, beside the answer, that it is one about nothing: no event of the days was brought in."""
    from whence.contracts.events import EVENTS
    from whence.lake import Lake

    lake = Lake.of(settings)
    if not any({*lake.days(table)} & {*_window(days).days} for table in EVENTS):
        print(f"No event of {days} is in the tables. `whence ingest {days}` brings them in.", file=sys.stderr)


def _preview(change: Changes, days: str, *, as_json: bool) -> None:
    """What would change in all, and the largest moves from person to person."""
    largest = [
        {name: round(cell) if isinstance(cell, float) else cell for name, cell in row.items()}
        for row in change.rows.slice(0, 10).to_pylist()
    ]
    counts = {
        each.name: getattr(change, each.name) for each in dataclass_fields(change) if each.name not in ("rows", "weights_moved")
    }
    moved = {f"{name}_moved": round(weight) for name, weight in change.weights_moved.items()}
    if as_json:
        show.facts({**counts, **moved, "largest": largest}, as_json=True)
        return
    show.facts({**counts, **moved}, as_json=False, title=f"Resolving {days} would change")
    show.rows(largest, as_json=False, title="The largest moves", empty="Nobody moves.")


def _addresses(settings: Settings) -> None:
    from infra import platform

    show.facts(platform.addresses(settings), as_json=False)
