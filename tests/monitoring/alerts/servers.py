"""A web server and a mail server on loopback that keep what they are sent, and fail as often as they are told to."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Web:
    """What was posted: headers and body; the first `failures` posts get a 503."""

    port: int = 0
    failures: int = 0
    answer: int = 200
    posts: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.posts]


@contextmanager
def a_web_server() -> Iterator[Web]:
    kept = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fails = kept.failures > 0
            kept.failures -= fails
            if not fails:
                kept.posts.append((dict(self.headers), body))
            self.send_response(503 if fails else kept.answer)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Post:
    """What was mailed, and whether it came over TLS; `user` is who logged in."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    people: list[str] = field(default_factory=list)
    over_tls: list[bool] = field(default_factory=list)
    user: str = ""


@contextmanager
def a_mail_server(tls: ssl.SSLContext | None = None) -> Iterator[Post]:
    """Speaks as much SMTP as a sender asks for; offers STARTTLS where there is a context."""
    kept, loop, ready = Post(), asyncio.new_event_loop(), threading.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_safe = False

        async def say(*lines: str) -> None:
            code = lines[0][:3]
            more = [f"{code}-{line[4:]}" for line in lines[:-1]]
            writer.write("".join(f"{line}\r\n" for line in [*more, lines[-1]]).encode())
            await writer.drain()

        await say("220 here")
        while line := (await reader.readline()).decode().strip():
            verb = line.split()[0].upper()
            if verb == "EHLO":
                await say("250 here", *(["250 STARTTLS"] if tls and not is_safe else []), "250 AUTH PLAIN")
            elif verb == "STARTTLS":
                await say("220 go on")
                await writer.start_tls(tls)  # type: ignore[arg-type]
                is_safe = True
            elif verb == "AUTH":
                import base64

                kept.user = base64.b64decode(line.split()[2]).decode()
                await say("235 welcome")
            elif verb == "DATA":
                await say("354 go on")
                body = await reader.readuntil(b"\r\n.\r\n")
                kept.mails.append(message_from_bytes(body[:-5], policy=policy.default))  # type: ignore[arg-type]
                kept.over_tls.append(is_safe)
                await say("250 taken")
            elif verb == "QUIT":
                await say("221 bye")
                break
            else:
                if verb == "RCPT":
                    kept.people.append(line.partition("<")[2].rstrip(">"))
                await say("250 fine")
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        kept.port = server.sockets[0].getsockname()[1]
        ready.set()
        async with server:
            await stop.wait()

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    try:
        yield kept
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
