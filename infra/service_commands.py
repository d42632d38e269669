"""The verbs about the scoring service: who may ask it what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from infra import show
from whence.cli import OF_PLATFORM, spoken

app = typer.Typer()
token = typer.Typer(help="Who may ask the scoring service, and what.", no_args_is_help=True)
app.add_typer(token, name="token", rich_help_panel=OF_PLATFORM)

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]


@token.command("add")
def add(
    context: typer.Context,
    holder: Annotated[
        str,
        typer.Argument(
            metavar="HOLDER", help="Who gets it. A holder may have two live keys, so that one can take the other's place."
        ),
    ],
    scopes: Annotated[str, typer.Option(help="What it allows: score, explain, admin; several with commas.")] = "score",
    days: Annotated[int, typer.Option(help="For how many days.", min=1)] = 90,
    as_json: Json = False,
) -> None:
    """Make a token, and show it: the only time that it is seen. A running service knows it within a second."""
    from serving.web import tokens

    now = datetime.now(UTC)
    with spoken():
        expires = now + timedelta(days=days)
        made = tokens.add(context.obj, holder, [each.strip() for each in scopes.split(",")], expires, now)
        show.facts({"holder": holder, "token": made, "scopes": scopes, "expires": expires.isoformat()}, as_json=as_json)


@token.command("list")
def listed(context: typer.Context, as_json: Json = False) -> None:
    """Every token, without the token itself."""
    from serving.web import tokens

    now = datetime.now(UTC)
    with spoken():
        path = tokens.tokens_file(context.obj)
        found = [
            {
                "id": each.id,
                "holder": each.holder,
                "scopes": ", ".join(each.scopes),
                "expires": each.expires.isoformat() if each.expires else "never",
                "is_live": each.is_live(now),
            }
            for each in (tokens.read(path) if path.exists() else ())
        ]
        show.rows(found, as_json=as_json, empty="There are no tokens yet. `whence token add HOLDER` makes one.")


@token.command("revoke")
def revoke(
    context: typer.Context,
    which: Annotated[
        str, typer.Argument(metavar="WHICH", help="A holder, for all of its tokens, or a token's id from `whence token list`.")
    ],
    as_json: Json = False,
) -> None:
    """Take tokens back. A running service lets nobody in with them after a second."""
    from serving.web import tokens

    with spoken():
        gone = tokens.revoke(context.obj, which)
        show.rows([{"id": each.id, "holder": each.holder} for each in gone], as_json=as_json, title="Revoked")
