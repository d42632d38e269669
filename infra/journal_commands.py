"""The verbs of `whence` about promotions: who is champion, who was, whether anybody touched the rows, and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra import show
from whence.cli import OF_MODELS, spoken
from whence.contracts.models import LABELLED, MODELS
from whence.contracts.times import one_day, utc

if TYPE_CHECKING:
    from registry.journal import Promotion
    from whence.contracts.settings import Settings

app = typer.Typer()
book = typer.Typer(help="List the promotions, and verify that nobody has changed one.", invoke_without_command=True)
app.add_typer(book, name="journal", rich_help_panel=OF_MODELS)

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]
OneModel = Annotated[str, typer.Option("--model", metavar="MODEL", help=f"One of {', '.join(MODELS)}; all of them otherwise.")]


@book.callback()
def journal(context: typer.Context, model: OneModel = "", as_json: Json = False) -> None:
    """List the promotions, and verify that nobody has changed one."""
    if context.invoked_subcommand:
        return
    from registry.journal import Journal

    with spoken():
        rows = Journal.of(context.obj).rows(known_model(model) if model else None)
        show.rows(
            rows if as_json else [entry(row) for row in rows], as_json=as_json, empty="Nothing was promoted yet.", title="Journal"
        )
        found = _verified(context.obj)
        if not as_json:
            show.console.print(found["says"])
        if not found["holds"]:
            raise typer.Exit(1)


@book.command()
def verify(context: typer.Context, as_json: Json = False) -> None:
    """Recompute every seal, check every signature and the anchor; the first row that does not hold is named."""
    with spoken():
        found = _verified(context.obj)
        if as_json:
            show.facts(found, as_json=True)
        else:
            show.console.print(found["says"])
        if not found["holds"]:
            raise typer.Exit(1)


@book.command("renew-key")
def renew_key(context: typer.Context) -> None:
    """Sign promotions with another key from now on; rows of the old one still hold."""
    from registry.journal import Journal
    from registry.signing import PUBLIC

    with spoken():
        Journal.of(context.obj).keys.renew()
        show.console.print(f"Copy {context.obj.home / PUBLIC} to every server before the next promotion.")


@book.command()
def at(
    context: typer.Context,
    instant: Annotated[str, typer.Argument(metavar="INSTANT", help="With its zone, as 2026-05-03T14:05Z.")],
    model: OneModel = "",
    as_json: Json = False,
) -> None:
    """Say what served at an instant: each model's bundle, since when, by whom, and what it was made of."""
    with spoken():
        served = serving_at(context.obj, _instant(instant), (known_model(model),) if model else MODELS)
        title = f"Served at {_instant(instant):%Y-%m-%d %H:%M:%S} UTC"
        show.rows(served if as_json else [_short(each) for each in served], as_json=as_json, title=title)


@app.command(rich_help_panel=OF_MODELS)
def rollback(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help=f"One of {', '.join(MODELS)}.")],
    reason: Annotated[str, typer.Option(help="Why; it is written into the journal.")],
    epoch: Annotated[int | None, typer.Option(help="The epoch to take back; refused when another is champion by then.")] = None,
    as_json: Json = False,
) -> None:
    """Give the place of champion back to the one before; a row in the journal, nothing is deleted."""
    import registry

    with spoken():
        found = registry.rollback(
            context.obj, known_model(model), who=operator(), reason=reason, now=datetime.now(UTC), expected_epoch=epoch
        )
        show.facts(found if as_json else entry(found), as_json=as_json, title="Rolled back")


@app.command(rich_help_panel=OF_MODELS)
def recalibrate(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help=f"One of {', '.join(LABELLED)}.")],
    day: Annotated[str, typer.Argument(metavar="DAY", help="The last day that it may know of.")],
    as_json: Json = False,
) -> None:
    """Move the champion's level to its newest ripe labels, which takes seconds; promoted when the gate finds it better."""
    import monitoring
    import registry
    import training

    with spoken():
        settings = context.obj
        serving = registry.champion(settings, known_model(model))
        if serving is None:
            raise ValueError(f"{model} has no champion to recalibrate. `whence train {model} {day}` makes a candidate.")
        made = training.recalibrate(settings, model, one_day(day), serving.bundle, monitoring.labels)
        version = registry.register(settings, made)
        came_of = registry.decide(settings, made, who=operator(), now=datetime.now(UTC), is_person=True)
        show.facts({**made.as_dict(), "version": version, "came of it": came_of}, as_json=as_json, title="Recalibrated")


def known_model(name: str) -> str:
    """The name, if there is such a model. Raises ValueError otherwise."""
    if name not in MODELS:
        raise ValueError(f"There is no model '{name}'. There are {', '.join(MODELS)}.")
    return name


def operator() -> str:
    """Who asks, as the journal keeps it."""
    import getpass

    return f"{getpass.getuser()} on the command line"


def entry(row: Promotion) -> dict[str, object]:
    """A journal row as a person reads it; seals, signatures, versions and digests in full are in --json."""
    return {
        "epoch": row.epoch,
        "at": row.at[:19],
        "model": row.model or "–",
        "kind": row.kind,
        "bundle": row.bundle[:12] or "–",
        "instead of": row.previous[:12] or "–",
        "who": row.who,
        "why": " ".join(row.reasons),
    }


def say_alarms(settings: Settings, now: datetime) -> None:
    """What a person should know about promotions of the last day, such as an alias that somebody moved."""
    from registry.alarms import Alarms

    for alarm in Alarms.of(settings).since(now - timedelta(days=1)):
        show.console.print(f"{alarm.at[:19]}  {alarm.words}", style="bold red")


def serving_at(settings: Settings, instant: datetime, models: Sequence[str] = MODELS) -> list[dict[str, Any]]:
    """What served for each model at an instant, and which challenger was tried beside it."""
    from registry.journal import Journal

    kept = Journal.of(settings)
    found = ((model, kept.champion(model, instant), kept.challenger(model, instant)) for model in models)
    return [_served(model, champion, challenger) for model, champion, challenger in found]


def _served(model: str, champion: Promotion | None, challenger: Promotion | None) -> dict[str, Any]:
    return {
        "model": model,
        "bundle": champion.bundle if champion else None,
        "epoch": champion.epoch if champion else None,
        "since": champion.at if champion else None,
        "who": champion.who if champion else None,
        "versions": dict(champion.versions) if champion else {},
        "challenger": {"bundle": challenger.bundle, "kind": challenger.kind, **challenger.details} if challenger else None,
    }


def _short(served: Mapping[str, Any]) -> dict[str, Any]:
    tried = served["challenger"]
    made_of = {kind: each for kind, each in served["versions"].items() if each}
    return {
        **served,
        "bundle": (served["bundle"] or "none yet")[:12],
        "since": (served["since"] or "–")[:19],
        "versions": [f"{kind}: {_listed(each)}" for kind, each in made_of.items()],
        "challenger": f"{tried['kind']} of {tried['bundle'][:12]}" if tried else None,
    }


def _listed(versions: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {str(version)[:12]}" for name, version in versions.items())


def _verified(settings: Settings) -> dict[str, Any]:
    from registry.journal import Journal, JournalError

    try:
        rows = Journal.of(settings).verify()
    except JournalError as wrong:
        return {"holds": False, "rows": None, "says": str(wrong)}
    return {"holds": True, "rows": rows, "says": f"{rows} rows; every seal and signature holds, and none was cut off."}


def _instant(text: str) -> datetime:
    try:
        return utc(datetime.fromisoformat(text))
    except ValueError as wrong:
        raise ValueError(f"'{text}' is no instant with a zone ({wrong}). Write it as 2026-05-03T14:05Z.") from None
