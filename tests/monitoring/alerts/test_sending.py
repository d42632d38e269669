"""Messages to a real web server and a real mail server: once, signed, in time, and never twice."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.commands import app
from monitoring import alerts
from monitoring.alerts import AlertError, channels
from monitoring.findings import CLOSED, Finding, to_arrow
from tests.builders import some_settings
from tests.monitoring.alerts.servers import Web, a_mail_server, a_web_server
from tests.monitoring.alerts.test_episodes import a_finding
from whence.contracts.settings import Alerts, Monitoring, Settings
from whence.contracts.times import Window
from whence.lake import Lake

pytestmark = pytest.mark.service

NOW = datetime(2026, 5, 6, 5, tzinfo=UTC)
DAY = Window.parse("2026-05-03")
RETRAIN = a_finding("retrain", model="touches", cause="signal_loss", runbook="signal_loss")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "PAUSE_SECONDS", 0.0)


@pytest.fixture
def web():
    with a_web_server() as server:
        yield server


def told_by(folder: Path, web: Web | None = None, **given: object) -> Settings:
    """Settings that alert by the web server, or as `given`."""
    named = {"webhook": web.address} if web else {}
    return some_settings(folder, monitoring=Monitoring(alerts=Alerts(**{**named, **given})))


def found(settings: Settings, *findings: Finding, day: Window = DAY) -> None:
    Lake.of(settings).replace("findings", to_arrow(str(day), findings), day)


def test_a_finding_is_posted_once_with_words_for_people_and_a_signature_for_programs(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WHENCE_WEBHOOK_KEY", "secret")
    settings = told_by(tmp_path, web)
    found(settings, RETRAIN, a_finding("stop", model="conversions", cause="missing_day"))
    first, second = alerts.send(settings, DAY, NOW), alerts.send(settings, DAY, NOW + timedelta(hours=1))
    assert (len(first.told), second.told) == (2, ())
    ((headers, body),) = web.posts
    assert headers["X-Whence-Signature"] == "sha256=" + hmac.new(b"secret", body, hashlib.sha256).hexdigest()
    told = json.loads(body)
    assert headers["Idempotency-Key"] == told["id"]
    assert told["text"].splitlines()[:3] == ["whence 2026-05-03: 2 new", "", "2026-05-03"]
    assert "• stop (new), conversions" in told["text"].splitlines()[3], "the most urgent comes first"
    assert "docs/runbooks.md#signal_loss" in told["text"]
    assert "whence release 2026-05-03 --reason WHY" in told["text"]
    assert [each["level"] for each in told["items"]] == ["stop", "retrain"]
    assert web.address not in (settings.home / "alerts" / "sent.jsonl").read_text(), (
        "an address that lets anybody post is a secret"
    )


def test_a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not(web: Web, tmp_path: Path):
    settings = told_by(tmp_path, web)
    found(settings, RETRAIN)
    web.failures = 2
    assert alerts.send(settings, DAY, NOW).channels
    assert len(web.posts) == 1
    refused = replace(settings, home=tmp_path / "other", tables=replace(settings.tables, uri=settings.tables_uri))
    web.answer = 404
    with pytest.raises(AlertError, match="answers 404"):
        alerts.send(refused, DAY, NOW)
    assert len(web.posts) == 2


def test_what_could_not_be_sent_is_sent_with_the_next_day_and_closes_by_itself(web: Web, tmp_path: Path):
    settings, nxt, last = told_by(tmp_path, web), Window.parse("2026-05-04"), Window.parse("2026-05-05")
    found(settings, RETRAIN)
    web.failures = 3
    with pytest.raises(AlertError, match="3 attempts: it answers 503"):
        alerts.send(settings, DAY, NOW)
    found(settings, replace(RETRAIN), day=nxt)
    assert len(alerts.send(settings, nxt, NOW).told) == 1
    found(settings, replace(RETRAIN, level="calm", status=CLOSED, reason="Signals are back."), day=last)
    assert alerts.send(settings, last, NOW).told == ("2026-05-05 closed (over), touches: Signals are back.",)
    assert [each["text"].splitlines()[0] for each in web.told] == ["whence 2026-05-03: 1 new", "whence 2026-05-05: 1 over"]


def test_two_senders_at_once_tell_it_once(web: Web, tmp_path: Path):
    settings = told_by(tmp_path, web)
    found(settings, RETRAIN)
    both = [threading.Thread(target=alerts.send, args=(settings, DAY, NOW)) for _ in range(4)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert len(web.posts) == 1


def test_a_kill_between_sending_and_writing_repeats_the_message_with_the_same_id(web: Web, tmp_path: Path):
    settings = told_by(tmp_path, web)
    found(settings, RETRAIN)
    alerts.send(settings, DAY, NOW)
    record = settings.home / "alerts" / "sent.jsonl"
    record.write_text(record.read_text()[:40])
    alerts.send(settings, DAY, NOW)
    one, other = web.told
    assert one["id"] == other["id"]
    assert alerts.send(settings, DAY, NOW).told == (), "the line that was cut off hides none that came after"


def test_a_mail_goes_to_each_mailbox_over_tls_with_a_password_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    context, authority = a_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    monkeypatch.setenv("MAIL_WORD", "hunter2")
    with a_mail_server(context) as post:
        settings = told_by(
            tmp_path,
            mail_to="ana@example.com, bo@example.com",
            smtp=f"localhost:{post.port}",
            starttls=True,
            smtp_user="whence",
            smtp_password="MAIL_WORD",
        )
        found(settings, replace(RETRAIN, reason="Line one.\r\nBcc: mallory@example.com"))
        alerts.send(settings, DAY, NOW)
        alerts.send(settings, DAY, NOW)
    (mail,) = post.mails
    assert (post.over_tls, post.user, post.people) == ([True], "\0whence\0hunter2", ["ana@example.com", "bo@example.com"])
    assert mail["Subject"] == "[whence] retrain: 1 new, 2026-05-03"
    assert mail["Bcc"] is None
    assert mail["Message-ID"] == f"<{mail['Idempotency-Key']}@whence>"
    assert "retrain (new), touches: Line one." in mail.get_content()


def test_a_password_is_sent_to_no_server_without_tls_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WHENCE_SMTP_PASSWORD", "hunter2")
    with a_mail_server() as post:
        asked = {"mail_to": "ana@example.com", "smtp": f"localhost:{post.port}", "smtp_user": "whence"}
        settings = told_by(tmp_path, starttls=True, **asked)
        found(settings, RETRAIN)
        with pytest.raises(AlertError, match="STARTTLS"):
            alerts.send(settings, DAY, NOW)
    assert (post.mails, post.user) == ([], "")


def test_a_channel_that_is_down_keeps_no_other_from_its_message(web: Web, tmp_path: Path):
    settings = told_by(tmp_path, web, mail_to="ana@example.com", smtp="127.0.0.1:1")
    found(settings, RETRAIN)
    with pytest.raises(AlertError, match="mail server"):
        alerts.send(settings, DAY, NOW)
    assert len(web.posts) == 1


def test_a_late_run_is_told_once(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "whence.toml").write_text(f'home = "home"\n[monitoring.alerts]\nwebhook = "{web.address}"')
    monkeypatch.setenv("WHENCE_SETTINGS", str(tmp_path / "whence.toml"))
    context = {
        "dag_run": {"dag_id": "watch_models", "partition_key": "2026-05-03"},
        "deadline": {"deadline_time": NOW.isoformat()},
    }
    alerts.late(context)
    alerts.late(context)
    (told,) = web.told
    assert "the run of watch_models for 2026-05-03 has not succeeded by 2026-05-06 05:00 UTC" in told["text"]


def test_the_command_line_sends_a_test_and_says_where_it_went(web: Web, tmp_path: Path):
    file = tmp_path / "whence.toml"
    file.write_text(f'home = "home"\n[monitoring.alerts]\nwebhook = "{web.address}"')
    done = CliRunner().invoke(app, ["alert", "test"], obj=told_by(tmp_path, web), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "This is a test" in web.told[0]["text"]
    silent = CliRunner().invoke(app, ["alert", "test"], obj=told_by(tmp_path))
    assert silent.exit_code != 0


def a_certificate(folder: Path):
    """A server's TLS context for localhost, and the file of the authority that signed it."""
    import ssl

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "server.pem", folder / "server.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    return context, pem
