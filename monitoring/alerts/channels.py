"""The ways out: a JSON POST that chat rooms understand, signed, and an e-mail. Each is tried a few times and no longer."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import smtplib
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Protocol

from monitoring.alerts import AlertError

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

TIMEOUT_SECONDS = 5.0
ATTEMPTS = 3
PAUSE_SECONDS = 0.5
"""Before the second attempt; twice as long before the third."""
SIGNATURE, KEY = "X-Whence-Signature", "Idempotency-Key"


@dataclass(frozen=True)
class Message:
    """What is sent."""

    id: str
    """The same for the same news by the same channel: a receiver that has seen it may leave it."""
    subject: str
    text: str
    items: tuple[dict[str, Any], ...]


class Channel(Protocol):
    """A way out."""

    @property
    def name(self) -> str:
        """Where to, without secrets; records are kept by it."""

    def deliver(self, message: Message, now: datetime) -> None:
        """Send, or raise AlertError."""


def of(settings: Settings) -> list[Channel]:
    """The channels that the settings name. Raises AlertError for one that cannot be."""
    asked = settings.monitoring.alerts
    found: list[Channel] = []
    if asked.webhook:
        found.append(Webhook(asked.webhook, os.environ.get(asked.webhook_key, "")))
    if asked.mail_to:
        host, _, port = asked.smtp.rpartition(":")
        if not host or not port.isdigit():
            raise AlertError(f"monitoring.alerts.smtp is '{asked.smtp}'. Write host:port, as mail.example.com:587.")
        password = os.environ.get(asked.smtp_password, "") if asked.smtp_user else ""
        if asked.smtp_user and not password:
            raise AlertError(f"The password of {asked.smtp_user} is expected in ${asked.smtp_password}, which is not set.")
        people = tuple(each.strip() for each in asked.mail_to.split(",") if each.strip())
        found.append(Mail(host, int(port), asked.mail_from, people, asked.starttls, asked.smtp_user, password))
    return found


@dataclass(frozen=True)
class Webhook:
    """An address that takes a JSON POST with a `text`."""

    address: str
    key: str = ""
    """Messages are signed with it: HMAC-SHA-256 of the body; empty: they are not."""

    @property
    def name(self) -> str:
        """The address is a secret in chat rooms, so its digest stands for it."""
        return f"webhook {hashlib.sha256(self.address.encode()).hexdigest()[:12]}"

    def deliver(self, message: Message, now: datetime) -> None:
        """See Channel."""
        import httpx

        body = json.dumps({"text": message.text, "id": message.id, "items": message.items}, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json", KEY: message.id}
        if self.key:
            headers[SIGNATURE] = "sha256=" + hmac.new(self.key.encode(), body, hashlib.sha256).hexdigest()

        def attempt() -> None:
            try:
                answer = httpx.post(self.address, content=body, headers=headers, timeout=TIMEOUT_SECONDS)
            except (httpx.TransportError, httpx.InvalidURL) as wrong:
                raise _Again(f"{type(wrong).__name__} ({wrong})") from None
            if answer.status_code >= 500 or answer.status_code == 429:
                raise _Again(f"it answers {answer.status_code}")
            if answer.status_code >= 300:
                raise AlertError(f"The webhook refuses the message: it answers {answer.status_code}. Look at its address.")

        _patiently("The webhook", attempt)


@dataclass(frozen=True)
class Mail:
    """Some mailboxes, by a mail server."""

    host: str
    port: int
    sender: str
    people: tuple[str, ...]
    starttls: bool = False
    user: str = ""
    password: str = ""

    @property
    def name(self) -> str:
        """To whom."""
        return f"mail {', '.join(self.people)}"

    def deliver(self, message: Message, now: datetime) -> None:
        """See Channel."""
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = self.sender, ", ".join(self.people), message.subject
        mail["Date"], mail["Message-ID"], mail[KEY] = format_datetime(now), f"<{message.id}@whence>", message.id
        mail.set_content(message.text)

        def attempt() -> None:
            try:
                with smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_SECONDS) as server:
                    if self.starttls:
                        server.starttls(context=ssl.create_default_context())
                    if self.user:
                        server.login(self.user, self.password)
                    server.send_message(mail)
            except (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused, smtplib.SMTPAuthenticationError) as refused:
                raise AlertError(f"The mail server refuses the message: {refused}. Look at [monitoring.alerts].") from None
            except (smtplib.SMTPException, OSError) as wrong:
                raise _Again(f"{type(wrong).__name__} ({wrong})") from None

        _patiently(f"The mail server {self.host}:{self.port}", attempt)


class _Again(Exception):
    """It may work next time."""


def _patiently(who: str, attempt: Callable[[], None]) -> None:
    for number in range(ATTEMPTS):
        try:
            attempt()
            return
        except _Again as wrong:
            if number == ATTEMPTS - 1:
                raise AlertError(f"{who} did not take the message in {ATTEMPTS} attempts: {wrong}.") from None
            time.sleep(PAUSE_SECONDS * 2**number)
