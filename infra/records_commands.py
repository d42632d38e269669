"""The verbs of `whence` for tables of records: resolve a file, review what is unsure, explain, and ask who it was."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from rich.markup import escape

from infra import show
from whence.cli import OF_CREDIT, OF_PEOPLE, spoken

if TYPE_CHECKING:
    from whence.contracts.settings import Settings
    from whence.identity.ledger import Ledger
    from whence.identity.records.publish import Outcome
    from whence.identity.records.saved import Saved

app = typer.Typer()

MOST_SHOWN = 30
"""Rows that one person takes in the terminal at most."""

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder that `whence resolve` wrote.")]
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
    is_join: bool
    context: bool


def resolve_files(home: Path, asked: Asked, *, as_json: bool) -> None:
    """Resolve files into a folder, and say what came of it and what to do next."""
    from whence.identity.records.joining import join
    from whence.identity.records.publish import Request, publish

    if asked.is_join and not asked.out:
        raise ValueError("Join whom? Give the folder that `whence resolve` wrote with --out FOLDER.")
    out = asked.out or home / "resolve" / asked.inputs[0].stem
    told = (asked.fields, asked.labels, asked.beta, asked.threads, asked.force, asked.is_dry, asked.is_join, asked.context)
    request = Request(tuple(asked.inputs), out, *told)
    outcome = (join if asked.is_join else publish)(request, datetime.now(UTC))
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
        "probabilities": escape(outcome.basis),
        "took": f"{outcome.seconds:.1f} s",
    }
    show.facts(facts, as_json=False, title=_title(outcome))
    for note in outcome.notes:
        show.console.print(f"[yellow]Note[/yellow] {escape(note)}", highlight=False)
    show.console.print(f"\nLook at {outcome.folder}/report.html; the people are in people.csv.", highlight=False)
    if outcome.to_review:
        show.console.print(
            f"`whence review {outcome.folder}` asks about the {outcome.to_review:,} most useful of the unsure pairs."
        )


def _title(outcome: Outcome) -> str:
    if outcome.is_dry:
        return "What would change; nothing was written"
    return f"People in {outcome.folder}" if outcome.is_new else f"Nothing has changed in {outcome.folder}"


@app.command(rich_help_panel=OF_PEOPLE)
def review(
    folder: Folder,
    page: Annotated[bool, typer.Option("--page", help="On a page in the browser, on this machine alone.")] = False,
    port: Annotated[int, typer.Option(help="With --page: the port; any free one otherwise.", min=0, max=65535)] = 0,
    author: Annotated[str, typer.Option(help="Whose answers these are; your user name otherwise.")] = "",
) -> None:
    """Ask about the unsure pairs of a run, the most useful first; the next run learns from the answers."""
    from infra import review_page, review_terminal
    from whence.identity.records.saved import Saved
    from whence.identity.records.store import Folder as Kept

    with spoken():
        saved, who = Saved.open(Kept(folder)), author or getpass.getuser()
        if page:
            sitting = review_page.Sitting(saved, who)
            review_page.serve(sitting, port, lambda address: _open_at(address, len(sitting.asked)))
            return
        counts = review_terminal.run(saved, who, lambda: datetime.now(UTC), show.console, review_terminal.read_key)
        told = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.items() if count)
        waiting = len(saved.asked(who))
        show.console.print(f"\nKept: {told or 'nothing'}. {waiting:,} pairs wait. `whence resolve` learns from the answers.")


@app.command(rich_help_panel=OF_CREDIT)
def explain(
    context: typer.Context,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="CONVERSION | FOLDER RECORD [OTHER]",
            help="A conversion of the platform; or, after the folder that `whence resolve` wrote, a record, or two.",
        ),
    ],
    page: Annotated[Path | None, typer.Option(help="Of a conversion: write the page into this HTML file, too.")] = None,
    picture: Annotated[Path | None, typer.Option(help="With two records: draw the waterfall into this SVG file.")] = None,
    as_json: Json = False,
) -> None:
    """Say why a conversion got its credit; why two records are, or are not, one person; or why a person's records are together."""
    with spoken():
        if len(names) == 1:
            from infra.explain_terminal import explain as explain_conversion

            explain_conversion(context.obj, names[0], page, as_json=as_json)
            return
        if len(names) > 3:
            raise ValueError(
                f"{len(names)} names came. Write `whence explain CONVERSION`, or `whence explain FOLDER RECORD [OTHER]`."
            )
        from whence.identity.records.saved import Saved
        from whence.identity.records.store import Folder as Kept

        saved = Saved.open(Kept(Path(names[0])))
        if len(names) == 3:
            _explain_pair(saved, names[1], names[2], picture, as_json=as_json)
        else:
            _explain_person(saved, names[1], as_json=as_json)


@app.command(rich_help_panel=OF_PEOPLE)
def who(
    context: typer.Context,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="[FOLDER] NAME",
            help="A record's id, after the folder that `whence resolve` wrote; alone, an identifier of the platform, cookie_id:c81.",
        ),
    ],
    valid_at: Annotated[
        str, typer.Option(metavar="TIME", help="Who was it then? 2026-05-03 or 2026-05-03T14:05Z; now otherwise.")
    ] = "",
    known_at: Annotated[
        str, typer.Option(metavar="TIME", help="Who did we think it was, by what was known then? Now otherwise.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Whom a record or an identifier belongs to, or belonged to at a time, or was thought to belong to at a time."""
    with spoken():
        *folders, record = names
        if len(folders) > 1:
            raise ValueError(f"{len(names)} names came. Write `whence who FOLDER RECORD`, or `whence who kind:value`.")
        ledger, now = _ledger(context.obj, folders), datetime.now(UTC)
        history = ledger.history(record)
        if not len(history):
            where = (
                f"{folders[0]}. The ids are in people.csv"
                if folders
                else "the platform. Identifiers are kind:value, as cookie_id:c81"
            )
            raise LookupError(f"'{record}' is not in the ledger of {where}.")
        valid, known = _time(valid_at) or now, _time(known_at) or now
        person = ledger.resolve(record, valid, known)
        told = [{"known at": str(each["known_at"])[:19], "what": each["kind"], "person": each["person_id"] or "nobody",
                 "before": each["from_person"], "cause": each["cause"]} for each in history.to_pylist()]  # fmt: skip
        if as_json:
            show.facts({"record": record, "person": person, "valid_at": valid, "known_at": known, "history": told}, as_json=True)
            return
        show.console.print(f"{record} {'is' if not valid_at and not known_at else 'was'} {person or 'nobody'}.", highlight=False)
        show.rows(told, as_json=False, title="What was ever said of it")


def _ledger(settings: Settings, folders: list[str]) -> Ledger:
    """The ledger of a folder, or the platform's."""
    if not folders:
        from serving.daily.publishing import ledger_of
        from whence.lake import Lake

        return ledger_of(Lake.of(settings))
    from whence.identity.records.saved import Saved
    from whence.identity.records.store import Folder as Kept

    return Saved.open(Kept(Path(folders[0]))).ledger


@app.command(rich_help_panel=OF_PEOPLE)
def adjudicate(
    folder: Folder,
    url: Annotated[str, typer.Option(help="An OpenAI-compatible endpoint, up to and with /v1.")],
    model: Annotated[str, typer.Option(help="The model's name there.")],
    send: Annotated[
        list[str], typer.Option(help="A column that may be sent; may be repeated. Nothing else leaves this machine.")
    ],
    calls: Annotated[int, typer.Option(help="Calls at most, retries included.", min=0)] = 100,
    money: Annotated[float, typer.Option(help="Money at most, in the currency of the prices.", min=0)] = 1.0,
    price_in: Annotated[float, typer.Option(help="Price of a million tokens sent.", min=0)] = 0.0,
    price_out: Annotated[float, typer.Option(help="Price of a million tokens received.", min=0)] = 0.0,
    as_json: Json = False,
) -> None:
    """Ask a language model about unsure pairs, and say whether its answers help, by what people have labelled.

    The key is read from the environment, WHENCE_ADJUDICATOR_KEY. Answers go to adjudicated.csv; no run uses them by itself.
    """
    import httpx

    from whence.identity.records.adjudicate import Adjudicator, Budget, Endpoint, second_opinion
    from whence.identity.records.saved import Saved
    from whence.identity.records.store import Folder as Kept

    with spoken(), httpx.Client() as client:
        saved = Saved.open(Kept(folder))
        endpoint = Endpoint(url, model, price_in=price_in, price_out=price_out)
        asker = Adjudicator(endpoint, _columns(saved, send), folder / "answers.sqlite", Budget(calls, money), client)
        asked, verdict = second_opinion(saved, asker)
        told = {
            "answers": sum(each is not None for each in asked.answers),
            "of them from the cache": asked.cached,
            "calls": asked.calls,
            "spent": round(asked.spent, 6),
            "unusable answers": asked.malformed,
            "stopped": asked.stopped or "no: all were asked",
            "admitted": verdict.is_admitted,
            "why": verdict.reason,
        }
        show.facts(told, as_json=as_json, title=f"A second opinion, in {folder}/adjudicated.csv")


def _columns(saved: Saved, wanted: list[str]) -> list[str]:
    for name in wanted:
        if name not in saved.shown:
            raise ValueError(f"--send names '{name}', which was not compared. The columns are {', '.join(saved.shown)}.")
    return wanted


def _open_at(address: str, waiting: int) -> None:
    show.console.print(
        f"{waiting:,} pairs wait. Open this address; it works on this machine alone, until Ctrl+C:", highlight=False
    )
    print(address, flush=True)


def _explain_pair(saved: Saved, left: str, right: str, picture: Path | None, *, as_json: bool) -> None:
    from whence.identity.records import explain as told
    from whence.identity.records.store import replace

    fall = saved.fall(left, right)
    verdict = saved.verdict(left, right)
    if picture:
        replace(picture, told.picture(fall, f"{left} and {right}").encode())
    if as_json:
        show.facts({"left": left, "right": right, "verdict": verdict, **asdict(fall)}, as_json=True)
        return
    is_one = saved.person(left) == saved.person(right)
    show.console.print(
        f"[bold]{left} and {right}[/bold]: {verdict or 'not among the pairs kept'}; {'one person' if is_one else 'two people'}."
    )
    show.console.print(told.text(fall, saved.values(left), saved.values(right)))
    if picture:
        show.console.print(f"The picture is in {picture}.")


def _explain_person(saved: Saved, record: str, *, as_json: bool) -> None:
    why = saved.why(record)
    if as_json:
        show.facts({"person": saved.person(record), **asdict(why)}, as_json=True)
        return
    show.rows(
        [{"record": each, **saved.values(each)} for each in why.records[:MOST_SHOWN]],
        as_json=False,
        title=f"{saved.person(record)}: {len(why.records):,} record{'s' if len(why.records) > 1 else ''}",
    )
    if why.weakest is None:
        show.console.print("One record alone: nothing was sure enough to join it.")
        return
    links = [{"from": each.left, "to": each.right, "probability": round(each.probability, 4)} for each in why.links]
    show.console.print("\nThe links that hold them together, the weakest last", style="bold")
    show.rows(links[-MOST_SHOWN:], as_json=False)
    near, far = (len(side) for side in why.sides)
    show.console.print(
        f"\nWithout the weakest, {why.weakest.left} – {why.weakest.right} ({why.weakest.probability:.1%}), "
        f"they would be {near} and {far} records. `whence explain {saved.folder.path} {why.weakest.left} {why.weakest.right}` says more.",
        highlight=False,
    )


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"'{text}' is no time. Write 2026-05-03 or 2026-05-03T14:05Z.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
