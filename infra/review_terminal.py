"""The review in the terminal: both records side by side, what differs marked, and one key for an answer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from whence.identity.records import explain, review
from whence.identity.records.explain import marked
from whence.identity.records.review import Label
from whence.identity.records.saved import Asked, Saved
from whence.identity.records.store import LABELS

KEYS = {"s": "same", "d": "different", "u": "unsure"}
ASKED = "[bold]s[/bold] same   [bold]d[/bold] different   [bold]u[/bold] unsure   [bold]m[/bold] what the model makes of it   [bold]q[/bold] quit"


def run(saved: Saved, author: str, clock: Callable[[], datetime], console: Console, key: Callable[[], str]) -> dict[str, int]:
    """Ask about one pair after the other until the queue ends or q; each answer is kept at once. The counts by verdict."""
    asked = saved.asked(author)
    counts = dict.fromkeys(review.WORDS, 0)
    for number, pair in enumerate(asked, 1):
        console.print(f"\n[bold]{number:,} of {len(asked):,}[/bold]  {pair.why}", highlight=False)
        console.print(_beside(saved, pair))
        verdict = _answer(saved, pair, console, key)
        if verdict is None:
            break
        review.append(saved.folder / LABELS, [Label(pair.left, pair.right, verdict, author, clock())])
        counts[verdict] += 1
    return counts


def read_key() -> str:
    """One key of the terminal, without Enter; a line's first letter where there is no terminal. Empty at the end."""
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        return line.strip()[:1].casefold() or ("" if not line else " ")
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        return sys.stdin.read(1).casefold()
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def _answer(saved: Saved, pair: Asked, console: Console, key: Callable[[], str]) -> str | None:
    console.print(ASKED, highlight=False)
    while True:
        pressed = key()
        if pressed in ("q", "", "\x04", "\x1b"):
            return None
        if pressed in KEYS:
            console.print(f"→ {KEYS[pressed]}")
            return KEYS[pressed]
        if pressed == "m":
            console.print(explain.text(saved.fall(pair.left, pair.right), saved.values(pair.left), saved.values(pair.right)))


def _beside(saved: Saved, pair: Asked) -> Table:
    table = Table(header_style="dim")
    table.add_column("")
    table.add_column(pair.left, overflow="fold", ratio=1)
    table.add_column(pair.right, overflow="fold", ratio=1)
    left, right = saved.values(pair.left), saved.values(pair.right)
    for name in left:
        if left[name] is not None or right.get(name) is not None:
            ours, theirs = marked(left[name], right.get(name))
            table.add_row(Text(name, style="dim"), _cell(ours), _cell(theirs))
    return table


def _cell(value: list[tuple[str, bool]]) -> Text:
    if not value:
        return Text("–", style="dim")
    return Text.assemble(*((piece, "bold yellow" if differs else "") for piece, differs in value))
