"""The verbs of `whence rollout`: what challengers are on their way, how it goes with them, and a start or an end by hand."""

from __future__ import annotations

import getpass
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra import show
from infra.journal_commands import entry, known_model
from whence.cli import OF_MODELS, spoken
from whence.contracts.models import MODELS
from whence.contracts.times import Window

if TYPE_CHECKING:
    from registry.rollouts import Rollout
    from whence.contracts.settings import Settings

app = typer.Typer()
rollout = typer.Typer(
    name="rollout", no_args_is_help=True, help="A challenger's way to all traffic: shadow, canary, champion under watch."
)
app.add_typer(rollout, rich_help_panel=OF_MODELS)

Model = Annotated[str, typer.Argument(metavar="MODEL", help=f"One of {', '.join(MODELS)}.")]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]


@rollout.command()
def status(context: typer.Context, as_json: Json = False) -> None:
    """Show every challenger that is on its way: its stage, what was counted, and what each check says so far."""
    from registry.following import under_way
    from registry.journal import Journal

    with spoken():
        journal, now = Journal.of(context.obj), datetime.now(UTC)
        found = list(under_way(journal, now).values())
        if as_json:
            show.rows([_told(context.obj, each, now) for each in found], as_json=True)
            return
        if not found:
            show.console.print(
                "No challenger is on its way. `whence rollout start MODEL BUNDLE --reason WHY` sends one.", highlight=False
            )
        for each in found:
            told = _told(context.obj, each, now)
            checks = told.pop("checks")
            show.facts(told, as_json=False, title=each.model)
            show.rows(checks, as_json=False, empty="No check has been looked at yet.")


@rollout.command()
def start(
    context: typer.Context,
    model: Model,
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="The digest of a bundle, or the beginning of one.")],
    reason: Annotated[str, typer.Option(help="Why; it is written into the journal.")],
    as_json: Json = False,
) -> None:
    """Let a bundle challenge the champion, first in the shadow. The gate does so by itself where rollout.toml says staged."""
    from registry import rollouts

    with spoken():
        digest = _whole(context.obj, bundle)
        row = rollouts.start(context.obj, known_model(model), digest, (reason,), _user(), datetime.now(UTC))
        show.facts(row if as_json else entry(row), as_json=as_json, title="In the shadow")


@rollout.command()
def abort(
    context: typer.Context,
    model: Model,
    reason: Annotated[str, typer.Option(help="Why; it is written into the journal.")],
    as_json: Json = False,
) -> None:
    """Withdraw the challenger; the champion stays. A new champion under watch is taken back by `whence rollback`."""
    from registry import rollouts

    with spoken():
        row = rollouts.abort(context.obj, known_model(model), _user(), reason, datetime.now(UTC))
        show.facts(row if as_json else entry(row), as_json=as_json, title="Aborted")


@rollout.command()
def judge(
    context: typer.Context,
    days: Annotated[str, typer.Argument(metavar="DAYS", help="A day, or a range of days, by whose end labels are known.")],
    as_json: Json = False,
) -> None:
    """Look at the labels of every challenger as they are known by then, and take the step that follows; watch_models does so daily."""
    from monitoring import outcomes
    from serving.rollouts.labelling import look_at_labels

    with spoken():
        found = look_at_labels(context.obj, Window.parse(days), outcomes, datetime.now(UTC))
        show.facts(found or {"rollouts": "none"}, as_json=as_json)


def _told(settings: Settings, found: Rollout, now: datetime) -> dict[str, Any]:
    from serving.rollouts.rollout import stage_name
    from serving.rollouts.steering import labels_seen
    from serving.rollouts.tally import Book, folder_of
    from whence.measures.sequential import outcome

    book = Book(folder_of(settings.home, found), found.epoch, found.policy)
    book.read(time.time())
    labels, _ = labels_seen(settings.home, found)
    checks = [
        {
            "check": name,
            "looks": len(looks),
            "of_the_plan": f"{100 * min(looks[-1].share, 1.0):.0f} %",
            "beyond_tolerated": f"{looks[-1].z:+.1f} standard errors",
            "says": outcome(looks, found.policy.level_each),
        }
        for name, looks in {**book.looks, **labels}.items()
        if looks
    ]
    return {
        "stage": stage_name(found),
        "for_hours": round((now - found.since).total_seconds() / 3600, 1),
        "challenger": found.challenger[:12],
        "champion": found.champion[:12],
        **book.facts(),
        "broken": "; ".join(book.broken()) or "nothing",
        "checks": checks,
    }


def _whole(settings: Settings, bundle: str) -> str:
    found = [path.name for path in settings.bundles.glob(f"{bundle}*") if path.is_dir()] if bundle.isalnum() else []
    if len(found) != 1:
        raise ValueError(f"{len(found)} bundles in {settings.bundles} begin with '{bundle}'. Name one of them.")
    return found[0]


def _user() -> str:
    return f"{getpass.getuser()} on the command line"
