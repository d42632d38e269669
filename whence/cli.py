"""The command `whence`: gathers the verbs that the installed rooms offer, and says in one line what went wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from whence.contracts.settings import FILE_VARIABLE, load

GROUP = "whence.commands"
TRACE_VARIABLE = "WHENCE_TRACE"

OF_PLATFORM, OF_DAYS = "The platform", "A day's steps, as Airflow runs them"
OF_MODELS, OF_CREDIT = "Models, from candidate to traffic", "Credit, and why"
OF_PEOPLE = "Who is who"
"""The headings in `whence --help` that a command stands under."""

SettingsFile = Annotated[
    Path | None, typer.Option("--settings", "-s", metavar="FILE", help="Settings file; ./whence.toml otherwise, if there is one.")
]


def main() -> None:
    """Run the command line; a room that is not installed offers nothing, and the rest works."""
    app = typer.Typer(name="whence", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(_start)
    for point in sorted(entry_points(group=GROUP), key=lambda each: each.name):
        try:
            app.add_typer(point.load())
        except ModuleNotFoundError as missing:
            if missing.name != point.module.partition(".")[0]:
                raise
            print(f"'{point.module}' is not installed: run `whence` from a clone of the repository.", file=sys.stderr)
    app()


@contextmanager
def spoken() -> Iterator[None]:
    """Say what went wrong in one line, and exit with 1; with WHENCE_TRACE=1 the whole trace."""
    try:
        yield
    except (typer.Exit, BrokenPipeError):  # of whoever reads no further, as `head`, typer says nothing
        raise
    except Exception as wrong:
        is_others = _is_of_a_database(wrong) or _is_of_a_file(wrong)
        is_told = isinstance(wrong, ValueError | RuntimeError | LookupError | OSError) or is_others
        if os.environ.get(TRACE_VARIABLE) or not is_told:
            raise
        print(f"{type(wrong).__name__}: {_words(wrong)}{_advice(wrong)}", file=sys.stderr)
        raise typer.Exit(1) from None


def _is_of_a_database(wrong: Exception) -> bool:
    """By its module alone, for most commands load no SQLAlchemy."""
    return type(wrong).__module__ == "sqlalchemy.exc"


def _is_of_a_file(wrong: Exception) -> bool:
    """What DuckDB says of a file whose values it cannot read, if it says it while rows are read."""
    return type(wrong).__module__ == "_duckdb" and type(wrong).__name__ in ("InvalidInputException", "IOException", "Error")


def _words(wrong: Exception) -> str:
    is_others = _is_of_a_database(wrong) or _is_of_a_file(wrong)
    return str(wrong).partition("\n")[0] + "." if is_others else str(wrong)


def _advice(wrong: Exception) -> str:
    """What to do where others than we spoke."""
    if _is_of_a_database(wrong):
        return " Is the database there, and may you read and write it? The journal's is `journal` in the settings, or a file in `home`."
    if _is_of_a_file(wrong):
        return " A file of a table is broken: run the step that makes its day again, as `whence ingest DAY` for events, and this again."
    if isinstance(wrong, FileExistsError) and wrong.errno:
        return ". A folder is wanted there: name another place."
    if isinstance(wrong, FileNotFoundError | NotADirectoryError) and wrong.errno:
        return ". Is the name right, and is its folder there?"
    if isinstance(wrong, PermissionError) and wrong.errno:
        return ". Let yourself read and write there, or name another place."
    return ""


def _start(context: typer.Context, settings: SettingsFile = None) -> None:
    """Who was it, and whence did it come? Identity matching and attribution, kept honest.

    Days are UTC days. All that is written goes below one folder, .whence by default.
    """
    if settings:
        os.environ[FILE_VARIABLE] = str(settings.resolve())
    with spoken():
        context.obj = load()
