"""A small page on this machine alone on which a person says of one pair after the other whether it is one person."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from whence.identity.records import review
from whence.identity.records.explain import Waterfall, marked
from whence.identity.records.report import pieces
from whence.identity.records.review import Label
from whence.identity.records.saved import Asked, Saved
from whence.identity.records.store import LABELS

LOOPBACK = "127.0.0.1"
COOKIE = "whence_review"
SHOWN = 8
"""Steps of the evidence that are shown."""
Clock = Callable[[], datetime]


@dataclass
class Sitting:
    """One person's way through the queue."""

    saved: Saved
    author: str
    clock: Clock = lambda: datetime.now(UTC)
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """Opens the page, and proves that an answer comes from it."""
    port: int = 0
    asked: Sequence[Asked] = ()
    said: dict[int, str] = field(default_factory=dict)
    """What was answered in this sitting, by place in the queue."""

    def __post_init__(self) -> None:
        self.asked = self.asked or self.saved.asked(self.author)

    @property
    def address(self) -> str:
        """Where to open it; the token is good for this sitting."""
        return f"http://{LOOPBACK}:{self.port}/?token={self.token}"

    def next(self) -> int | None:
        """The first pair without an answer."""
        return next((at for at in range(len(self.asked)) if at not in self.said), None)

    def answer(self, at: int, verdict: str) -> None:
        """Keep an answer; a later one to the same pair is kept beside it, and counts."""
        pair = self.asked[at]
        review.append(self.saved.folder / LABELS, [Label(pair.left, pair.right, verdict, self.author, self.clock())])
        self.said[at] = verdict


def app(sitting: Sitting) -> Starlette:
    """The page: GET / shows the next pair (or ?at=N), POST /answer keeps what was said."""

    async def show(request: Request) -> Response:
        if refused := _refusal(request, sitting):
            return refused
        if request.query_params.get("token"):
            return _welcome(sitting)
        asked_for = request.query_params.get("at", "")
        at = int(asked_for) if asked_for.isdecimal() and int(asked_for) < len(sitting.asked) else sitting.next()
        nonce = secrets.token_urlsafe(12)
        return _guarded(HTMLResponse(_page(sitting, at, nonce)), nonce)

    async def answer(request: Request) -> Response:
        if refused := _refusal(request, sitting):
            return refused
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        at, verdict = form.get("at", ""), form.get("verdict", "")
        if not secrets.compare_digest(form.get("token", "").encode(), sitting.token.encode()):
            return PlainTextResponse("This answer did not come from the page. Open it again.", 403)
        if verdict not in review.WORDS or not at.isdecimal() or int(at) >= len(sitting.asked):
            return PlainTextResponse("Answer same, different or unsure to a pair of the queue.", 400)
        sitting.answer(int(at), verdict)
        return RedirectResponse("/", 303)

    return Starlette(routes=[Route("/", show), Route("/answer", answer, methods=["POST"])])


def serve(sitting: Sitting, port: int = 0, ready: Callable[[str], None] = print) -> None:
    """Serve the page on the loopback address until it is stopped; any free port when 0."""
    import uvicorn

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOOPBACK, port))
    sitting.port = listener.getsockname()[1]
    ready(sitting.address)
    config = uvicorn.Config(app(sitting), log_level="warning", access_log=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


def _refusal(request: Request, sitting: Sitting) -> Response | None:
    """Why a request is turned away: from another site, through another name, or by somebody without the token."""
    host = request.headers.get("host", "").rsplit(":", 1)[0]
    origin = request.headers.get("origin")
    if host not in (LOOPBACK, "localhost"):
        return PlainTextResponse("This page is for this machine alone.", 403)
    if origin not in (None, f"http://{request.headers['host']}"):
        return PlainTextResponse("Requests from other sites are turned away.", 403)
    shown = request.query_params.get("token") or request.cookies.get(COOKIE, "")
    if not secrets.compare_digest(shown.encode(), sitting.token.encode()):
        return PlainTextResponse("Open the address that `whence review` printed: it holds the token.", 403)
    return None


def _welcome(sitting: Sitting) -> Response:
    """Put the token away, out of the address."""
    response = RedirectResponse("/", 303)
    response.set_cookie(COOKIE, sitting.token, httponly=True, samesite="strict")
    return response


def _guarded(response: Response, nonce: str) -> Response:
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _page(sitting: Sitting, at: int | None, nonce: str) -> str:
    done, total = len(sitting.said), len(sitting.asked)
    share = 100 * done / total if total else 100
    body = _done(sitting) if at is None else _question(sitting, at)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>Same person? · whence</title><style nonce={nonce}>{STYLE}.bar i{{width:{share:.1f}%}}{_widths(sitting, at)}</style>"
        f"<header><b>whence</b><span>review by {escape(sitting.author)}</span><span class=count>{done:,} of {total:,}</span></header>"
        f"<div class=bar><i></i></div><main>{body}</main><script nonce={nonce}>{SCRIPT}</script></html>"
    )


def _done(sitting: Sitting) -> str:
    if not sitting.asked:
        return "<div class=end><h1>Nothing to ask</h1><p>There are no unsure pairs that you have not answered.</p></div>"
    counts = [sum(said == word for said in sitting.said.values()) for word in review.WORDS]
    told = ", ".join(f"{count:,} {word}" for count, word in zip(counts, review.WORDS, strict=True))
    return (
        f"<div class=end><h1>That was all</h1><p>{told}.</p><p>Your answers are in <code>{escape(str(sitting.saved.folder / LABELS))}"
        "</code>. Run <code>whence resolve</code> again: it learns from them. You can close this page.</p></div>"
    )


def _question(sitting: Sitting, at: int) -> str:
    pair = sitting.asked[at]
    left, right = sitting.saved.values(pair.left), sitting.saved.values(pair.right)
    buttons = "".join(
        f"<button name=verdict value={word} class='{word}{' chosen' if sitting.said.get(at) == word else ''}'>"
        f"{label}<kbd>{word[0]}</kbd></button>"
        for word, label in (("same", "Same"), ("unsure", "Not sure"), ("different", "Different"))
    )
    back = f"<a id=back href='/?at={at - 1}'>← back<kbd>b</kbd></a>" if at else "<span></span>"
    return (
        f"<h1>Is this one person?</h1><p class=why>{escape(pair.why.capitalize())}.</p>"
        f"<table><tr><th></th><th>{escape(pair.left)}</th><th>{escape(pair.right)}</th></tr>{_rows(left, right)}</table>"
        f"<form method=post action=/answer><input type=hidden name=token value={sitting.token}>"
        f"<input type=hidden name=at value={at}>{buttons}</form>"
        f"<nav>{back}<a id=skip href='/?at={(at + 1) % len(sitting.asked)}'>later<kbd>l</kbd> →</a></nav>{_opinion(sitting, pair)}"
    )


def _rows(left: dict[str, str | None], right: dict[str, str | None]) -> str:
    return "".join(
        f"<tr class={_alike(left[name], right.get(name))}><th>{escape(name)}</th>{''.join(map(pieces, marked(left[name], right.get(name))))}</tr>"
        for name in left
        if left[name] is not None or right.get(name) is not None
    )


def _alike(left: str | None, right: str | None) -> str:
    if left is None or right is None:
        return "half"
    return "equal" if left.strip().casefold() == right.strip().casefold() else "unlike"


def _opinion(sitting: Sitting, pair: Asked) -> str:
    """What the model makes of it, folded away so that it does not answer for the person."""
    fall = sitting.saved.fall(pair.left, pair.right)
    rows = "".join(
        f"<tr><th>{escape(each.name)}</th><td class=number>{each.log_odds:+.1f}</td><td><i class='{'up' if each.log_odds > 0 else 'down'} w{at}'></i></td></tr>"
        for at, each in enumerate(fall.steps[:SHOWN])
    )
    return (
        f"<details><summary>What the model makes of it<kbd>m</kbd></summary><p>Probability {pair.probability:.0%}. "
        f"What each field adds to the log-odds:</p><table class=steps>{rows}</table></details>"
    )


def _widths(sitting: Sitting, at: int | None) -> str:
    """Widths of the bars as rules, since the page allows no styles in its elements."""
    if at is None:
        return ""
    fall: Waterfall = sitting.saved.fall(sitting.asked[at].left, sitting.asked[at].right)
    longest = max((abs(each.log_odds) for each in fall.steps), default=1.0) or 1.0
    return "".join(
        f".w{place}{{width:{max(1.0, 100 * abs(each.log_odds) / longest):.1f}%}}" for place, each in enumerate(fall.steps[:SHOWN])
    )


SCRIPT = """
document.addEventListener('keydown',function(e){
 if(e.ctrlKey||e.metaKey||e.altKey)return;
 var b={s:'same',d:'different',u:'unsure'}[e.key.toLowerCase()];
 if(b){var x=document.querySelector('button.'+b);if(x)x.click();return}
 var l={b:'back',l:'skip'}[e.key.toLowerCase()];
 if(l){var y=document.getElementById(l);if(y)y.click();return}
 if(e.key.toLowerCase()=='m'){var d=document.querySelector('details');if(d)d.open=!d.open}
});
document.querySelectorAll('form').forEach(function(f){f.addEventListener('submit',function(e){
 if(f.dataset.sent){e.preventDefault()}f.dataset.sent='1'})});
""".strip()

STYLE = """
:root{--ink:#1f2329;--soft:#6b7280;--line:#e5e7eb;--paper:#fff;--back:#f5f6f8;--same:#2f7d5b;--different:#b5483d;--unsure:#8a6417;--mark:#ffe39a;--bar:#4a6fa5;--tint:#f1f8f4}
@media(prefers-color-scheme:dark){:root{--ink:#e7e9ed;--soft:#9aa2af;--line:#333a44;--paper:#1d2229;--back:#14181d;--same:#3d9970;--different:#cb5d51;--unsure:#a97f2a;--mark:#6b5413;--tint:#1b2a24}}
*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
header{display:flex;gap:16px;align-items:baseline;padding:14px 28px;background:var(--paper)}header span{color:var(--soft);font-size:14px}
.count{margin-left:auto;font-variant-numeric:tabular-nums}.bar{height:3px;background:var(--line)}.bar i{display:block;height:3px;background:var(--bar)}
main{max-width:860px;margin:0 auto;padding:36px 24px 60px}h1{font-size:24px;margin:0;letter-spacing:-.01em}.why{margin:2px 0 20px;color:var(--soft)}
table{width:100%;border-collapse:separate;border-spacing:0;background:var(--paper);border:1px solid var(--line);border-radius:12px;overflow:hidden;table-layout:fixed}
th,td{padding:10px 18px;text-align:left;vertical-align:top;border-bottom:1px solid var(--line);overflow-wrap:anywhere}tr:last-child>*{border-bottom:0}
th:first-child{width:24%;font-weight:500;color:var(--soft);font-size:14px}tr:first-child th{color:var(--soft);font-size:13px;font-weight:500}
td{font-size:17px}.equal td{background:var(--tint)}.none{color:var(--soft)}mark{background:var(--mark);color:inherit;border-radius:3px;padding:0 1px}
form{display:grid;grid-template-columns:repeat(3,1fr);gap:12px;margin:22px 0 12px}
button{font:inherit;font-weight:600;color:#fff;border:0;border-radius:10px;padding:14px;cursor:pointer}button:hover{filter:brightness(1.08)}button:focus-visible{outline:3px solid var(--bar);outline-offset:2px}
.same{background:var(--same)}.different{background:var(--different)}.unsure{background:var(--unsure)}.chosen{box-shadow:0 0 0 3px var(--back),0 0 0 6px var(--ink)}
kbd{font:12px ui-monospace,monospace;border:1px solid currentColor;border-radius:4px;padding:1px 6px;margin-left:10px;opacity:.75}
nav{display:flex;justify-content:space-between;margin:0 0 26px}a{color:var(--soft);text-decoration:none;font-size:14px}a:hover{color:var(--ink)}nav kbd{margin:0 6px}
details{color:var(--soft);font-size:14px}summary{cursor:pointer}details p{margin:10px 0}.steps td,.steps th{padding:5px 14px;font-size:14px}.steps td:nth-child(2){width:80px}.steps td{vertical-align:middle}
.number{text-align:right;font-variant-numeric:tabular-nums}.steps i{display:block;height:10px;border-radius:3px}.up{background:var(--same)}.down{background:var(--different)}
.end{text-align:center;padding:60px 0}.end p{color:var(--soft)}code{background:var(--line);border-radius:4px;padding:1px 6px;overflow-wrap:anywhere}
@media(max-width:560px){th,td{padding:8px 10px}form{grid-template-columns:1fr}}
""".strip().replace("\n", "")
