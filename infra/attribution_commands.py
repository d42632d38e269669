"""The verbs of `whence policy`: which policies there are, what one means, whether it is sound, and what a change would move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from infra import show
from whence.attribution import policy as policies
from whence.cli import OF_CREDIT, spoken
from whence.contracts.times import Window

if TYPE_CHECKING:
    import pandas as pd

    from serving.daily.comparing import Moved
    from whence.attribution.policy import Policy, Reach

app = typer.Typer()
policy = typer.Typer(
    name="policy", no_args_is_help=True, help="Who may be paid for a conversion: show, check and compare policies."
)
app.add_typer(policy, rich_help_panel=OF_CREDIT)

PLACE = "A preset of `whence policy list`, or a TOML file."
Where = Annotated[str, typer.Argument(metavar="POLICY", help=PLACE)]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]


@policy.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """The policies that come with whence, and the one in use."""
    with spoken():
        used = context.obj.attribution.policy
        names = [*policies.presets(), *([used] if used not in policies.presets() else [])]
        rows = [_row(name, policies.load(name), is_used=name == used) for name in names]
        show.rows(rows, as_json=as_json)
        if not as_json:
            show.console.print(
                "\n`whence policy show NAME` says what one means; `--toml` prints it, to copy and change.", highlight=False
            )


@policy.command("show")
def show_(
    context: typer.Context,
    where: Annotated[str, typer.Argument(metavar="POLICY", help=f"{PLACE} The one in use otherwise.")] = "",
    as_toml: Annotated[bool, typer.Option("--toml", help="Print the file itself, to copy and change.")] = False,
    as_json: Json = False,
) -> None:
    """Say in plain English what a policy means."""
    with spoken():
        name = where or context.obj.attribution.policy
        found = policies.load(name)
        if as_json:
            show.facts({"digest": policies.digest(found), **show.plain(found)}, as_json=True)
        elif as_toml:
            print(policies.source(name)[0], end="")
        else:
            _say(policies.describe(found).splitlines())


@policy.command()
def check(where: Where) -> None:
    """Say whether a policy is sound, and name every line that is not."""
    with spoken():
        found = policies.load(where)
        show.console.print(f"{where} is sound: policy '{found.name}', {policies.digest(found)[:12]}.", highlight=False)


@policy.command()
def diff(
    context: typer.Context,
    before: Annotated[str, typer.Argument(metavar="A", help=PLACE)],
    after: Annotated[str, typer.Argument(metavar="B", help="The one that would take its place.")],
    days: Annotated[
        str, typer.Argument(metavar="DAYS", help="A day, or a range of days, of conversions; the last week of them otherwise.")
    ] = "",
    top: Annotated[int, typer.Option(help="Show so many of the largest moves; --json has all.", min=1)] = 20,
    as_json: Json = False,
) -> None:
    """Say how much money moves from which campaign to which when policy B takes the place of policy A. Nothing is written."""
    from serving.daily import comparing
    from whence.lake import Lake

    with spoken():
        first, second = policies.load(before), policies.load(after)
        window = Window.parse(days) if days else comparing.latest(Lake.of(context.obj))
        moved = comparing.compare(context.obj, window, first, second)
        if as_json:
            show.facts(_facts(first, second, moved), as_json=True)
            return
        _say_difference(first, second)
        _say_moves(first, second, moved, top)


def _row(name: str, found: Policy, *, is_used: bool) -> dict[str, object]:
    windows = sorted({_window(each) for each in found.windows})
    return {
        "policy": name,
        "in_use": is_used,
        "pays_by": found.algorithm,
        "windows": ", ".join(windows),
        "views": "earn where no click does" if found.click_over_view else "compete with clicks",
        "digest": policies.digest(found)[:12],
    }


def _window(window: Reach) -> str:
    named = (window.channel, window.campaign, window.product and f"{window.product} product", window.conversion)
    only = ", ".join(filter(None, named))
    return f"{window.touch or 'any touch'} {window.days:g} d{only and f' ({only})'}"


def _say(sentences: Sequence[str]) -> None:
    head, *rest = sentences
    show.console.print(head, style="bold", highlight=False)
    for sentence in rest:
        show.console.print(sentence if sentence.startswith(" ") else f"- {sentence}", highlight=False, markup=False)


def _facts(first: Policy, second: Policy, moved: Moved) -> dict[str, object]:
    return {
        "before": {"name": first.name, "digest": policies.digest(first)},
        "after": {"name": second.name, "digest": policies.digest(second)},
        "first_day": moved.window.first,
        "last_day": moved.window.last,
        "summary": moved.summary.to_dict("records"),
        "flows": moved.flows.to_dict("records"),
        "totals": moved.totals.to_dict("records"),
    }


def _say_difference(first: Policy, second: Policy) -> None:
    was, will_be = (policies.describe(each).splitlines()[1:] for each in (first, second))
    lines = [f"- {line}" for line in was if line not in will_be] + [f"+ {line}" for line in will_be if line not in was]
    show.console.print(f"From '{first.name}' to '{second.name}'", style="bold", highlight=False)
    for line in lines:
        show.console.print(line, style="red" if line[0] == "-" else "green", highlight=False, markup=False)
    if not lines:
        show.console.print("Both mean the same.")


def _say_moves(first: Policy, second: Policy, moved: Moved, top: int) -> None:
    for told in moved.summary.itertuples():
        flows = moved.flows[moved.flows["currency"] == told.currency]
        totals = moved.totals[moved.totals["currency"] == told.currency].query("change_micros != 0")
        share = f" ({told.moved_micros / told.before_micros:.1%})" if told.before_micros > 0 else ""
        words = f"{_money(told.moved_micros, told.currency)} of {_money(told.before_micros, told.currency)}{share} moves"
        counts = f"in {told.moved_conversions:,} of {told.conversions:,} conversions"
        show.console.print(f"\n{moved.window}: {words}, {counts}.", style="bold", highlight=False)
        show.rows(_moves(flows.head(top)), as_json=False, empty="Nobody has more or less.")
        if len(flows) > top:
            show.console.print(f"… and {len(flows) - top:,} smaller moves; --top or --json show them.", highlight=False)
        if len(totals):
            show.console.print()
            show.rows(_standings(totals.head(top), first, second), as_json=False, title="Who has more and who has less")


def _moves(flows: pd.DataFrame) -> list[dict[str, object]]:
    return [
        {
            "from": _campaign(row.from_campaign),
            "to": _campaign(row.to_campaign),
            "moves": _money(row.micros, row.currency),
            "conversions": row.conversions,
        }
        for row in flows.itertuples()
    ]


def _standings(totals: pd.DataFrame, first: Policy, second: Policy) -> list[dict[str, object]]:
    names = (first.name, second.name) if first.name != second.name else ("before", "after")
    return [
        {
            "campaign": _campaign(row.campaign_id),
            names[0]: _money(row.before_micros, row.currency),
            names[1]: _money(row.after_micros, row.currency),
            "change": _money(row.change_micros, row.currency, "+"),
        }
        for row in totals.itertuples()
    ]


def _campaign(name: str) -> str:
    return name or "no ad"


def _money(micros: int, currency: str, sign: str = "") -> str:
    return f"{micros / 1e6:{sign},.2f} {currency}"
