"""The runbooks as a page: each heading is what a finding's `runbook` names."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt

from monitoring.front.page import STYLE
from whence import page

FILE = Path(__file__).resolve().parents[2] / "docs" / "runbooks.md"


@cache
def html(text: str) -> str:
    """The page of a Markdown text; a second-level heading is its own anchor. Markup inside the text is shown and not obeyed."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    for opened, inline in pairwise(tokens):
        if opened.type == "heading_open" and opened.tag == "h2":
            opened.attrSet("id", inline.content)
    body = parser.renderer.render(tokens[3:] if tokens and tokens[0].tag == "h1" else tokens, parser.options, {})
    return page.document("Runbooks", f"<nav><a href='/'>whence</a></nav><section class=told-in-full>{body}</section>", STYLE)
