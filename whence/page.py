"""The look of our reports: one HTML file that needs nothing else, in light, in dark and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def document(title: str, body: str, style: str = "") -> str:
    """A whole page around a body that is markup already; `style` is added to the common one."""
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width,initial-scale=1'><link rel=icon href='data:,'>"
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style><main><h1>{escape(title)}</h1>{body}</main></html>\n"
    )


def figures(told: Sequence[tuple[str, str]]) -> str:
    """The few numbers at the top of a page: value and what it is.

    >>> figures([("3", "records")])
    '<div class=figures><div class=figure><b>3</b><span>records</span></div></div>'
    """
    each = "".join(f"<div class=figure><b>{escape(value)}</b><span>{escape(what)}</span></div>" for value, what in told)
    return f"<div class=figures>{each}</div>"


def notes(told: Sequence[str]) -> str:
    """What a reader must not miss; nothing when there is nothing."""
    return f"<ul class=notes>{''.join(f'<li>{escape(note)}</li>' for note in told)}</ul>" if told else ""


STYLE = """
:root{color-scheme:light dark;--ink:#23262d;--soft:#5d636e;--line:#e4e6ea;--paper:#fff;--back:#f6f7f9;--same:#2f7d5b;--different:#b5483d;
--unsure:#966410;--bar:#4a6fa5;--note:#fff8e8;--note-line:#f0e0b6;--mark:#ffe7a3}
@media screen and (prefers-color-scheme:dark){:root{--ink:#e7e9ed;--soft:#a3abb8;--line:#333a44;--paper:#1d2229;--back:#14181d;--same:#2f7d5b;
--different:#b5483d;--unsure:#966410;--bar:#7ba1d8;--note:#2b2617;--note-line:#54471f;--mark:#6b5413}}
*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1040px;margin:0 auto;padding:36px 24px 80px}h1{font-size:26px;margin:0 0 20px;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:17px;margin:0 0 4px}h3{font-size:15px;margin:0 0 12px;font-weight:600;overflow-wrap:anywhere}p{margin:0 0 12px;color:var(--soft)}
a{color:var(--bar);text-underline-offset:3px}
section,article{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:20px 22px;margin:0 0 16px}
main>h2{margin:32px 0 4px}.figures{display:flex;flex-wrap:wrap;gap:12px;margin:0 0 16px}
.figure{flex:1 1 140px;background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:14px 18px}
.figure b{display:block;font-size:24px;font-weight:600;font-variant-numeric:tabular-nums}.figure span{color:var(--soft);font-size:13px}
.notes{margin:0 0 16px;padding:14px 18px 14px 36px;background:var(--note);border:1px solid var(--note-line);border-radius:10px}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:13.5px}th{text-align:left;font-weight:600;color:var(--soft)}
th,td{padding:4px 18px 4px 0;vertical-align:top;border-bottom:1px solid var(--line);overflow-wrap:anywhere}tr:last-child td,tr:last-child th{border-bottom:0}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
@media(max-width:640px){main{padding:20px 12px 60px}section,article{padding:16px 14px}th,td{padding-right:12px;overflow-wrap:break-word}
.wide{background:linear-gradient(90deg,var(--paper),transparent) 0 0/40px 100% no-repeat local,linear-gradient(270deg,var(--paper),transparent) 100% 0/40px 100% no-repeat local,
linear-gradient(90deg,var(--line),transparent) 0 0/14px 100% no-repeat scroll,linear-gradient(270deg,var(--line),transparent) 100% 0/14px 100% no-repeat scroll}}
@media print{body{background:#fff;font-size:12px}main{padding:0;max-width:none}section,article,.figure{break-inside:avoid}.wide{overflow:visible}}
""".strip().replace("\n", "")
