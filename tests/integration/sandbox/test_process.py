"""The sandbox as a process: started, killed, started again."""

from __future__ import annotations

import shlex
import smtplib
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from kundresa.channels import account_from_uri
from kundresa.sandbox import Sandbox, SandboxError, counts
from kundresa.sandbox.reader import message_ids

MAIL = "Message-ID: <{id}@x.example>\r\nX-Kundresa-Run: r--1\r\nSubject: Hi\r\n\r\nHello\r\n"


def send_until_it_dies(port: int, name: str, acknowledged: list[str]) -> None:
    """Notes what was acknowledged, and nothing else."""
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            for number in range(100_000):
                key = f"{name}-{number}"
                client.sendmail("a@x.example", ["b@x.example"], MAIL.format(id=key))
                acknowledged.append(key)
    except (smtplib.SMTPException, OSError):
        return


def test_a_killed_sandbox_has_all_that_it_acknowledged(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path).start()
    acknowledged: list[list[str]] = [[], [], []]
    threads = [
        threading.Thread(target=send_until_it_dies, args=(sandbox.smtp_port, f"c{number}", each))
        for number, each in enumerate(acknowledged)
    ]
    for thread in threads:
        thread.start()
    while min(map(len, acknowledged)) < 20:
        threads[0].join(0.01)
    sandbox.kill()
    for thread in threads:
        thread.join(20)
    stored = message_ids(tmp_path / "sandbox", "r--1", "email")
    sent = {key for each in acknowledged for key in each}
    assert sent <= set(stored)
    # What was stored and not acknowledged is at most the one message in hand per connection.
    assert len(stored) - len(sent) <= len(threads)

    ports = sandbox.smtp_port, sandbox.http_port
    with sandbox.start():
        assert (sandbox.smtp_port, sandbox.http_port) == ports
        with smtplib.SMTP("127.0.0.1", sandbox.smtp_port, timeout=10) as client:
            client.sendmail("a@x.example", ["b@x.example"], MAIL.format(id="after"))
        assert (
            httpx.get(f"{sandbox.url}counts.json", trust_env=False).json()[0]["arrivals"] == len(stored) + 1
        )
    assert message_ids(tmp_path / "sandbox", "r--1", "email") == sorted([*stored, "after"])


def test_its_connections_are_accounts(tmp_path: Path) -> None:
    with Sandbox(tmp_path) as sandbox:
        email, sms = account_from_uri(sandbox.ports.smtp_uri), account_from_uri(sandbox.ports.sms_uri)
        assert (email.kind, email.port, email.security) == ("smtp", sandbox.smtp_port, "none")
        assert (sms.kind, sms.port, sms.path) == (
            "http",
            sandbox.http_port,
            "/2010-04-01/Accounts/sandbox/Messages.json",
        )
        pid = sandbox.pid
        assert sandbox.start().pid == pid
    assert sandbox.pid is None
    sandbox.stop()
    assert counts(tmp_path / "sandbox") == []


def test_it_listens_on_the_loopback_interface_alone(tmp_path: Path) -> None:
    with Sandbox(tmp_path) as sandbox:
        for port in (sandbox.smtp_port, sandbox.http_port):
            with socket.socket() as other, pytest.raises(ConnectionRefusedError):
                # 127.0.0.2 is loopback too: a listener on all interfaces would answer there.
                other.connect(("127.0.0.2", port))


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(SandboxError, match="the sandbox cannot start"),
    ):
        Sandbox(tmp_path, smtp_port=taken.getsockname()[1]).start()


def test_the_command_stops_in_order_on_sigterm(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "kundresa.sandbox",
        "--home",
        str(tmp_path),
        "--smtp-port",
        "0",
        "--http-port",
        "0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert set(process.stdout.readline()) >= set('{"smtp": ')
        process.terminate()
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert errors == ""


@pytest.mark.parametrize(("flags", "texts"), [((), "http"), (("--smpp",), "smpp")])
def test_the_command_writes_the_connections_of_the_projects_accounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], texts: str
) -> None:
    """One for each account that the shipped specs name, and each leads to this sandbox."""
    monkeypatch.setenv("KUNDRESA_HOME", str(tmp_path))
    command = [sys.executable, "-m", "kundresa.cli.main", "sandbox"]
    command += ["--smtp-port", "0", "--http-port", "0", "--push-port", "0", "--smpp-port", "0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline(), process.stdout.readline()
        process.terminate()
        process.communicate(timeout=20)
    file = tmp_path / "sandbox" / "connections.sh"
    assert f". {file}" in said[1]
    words = shlex.split(file.read_text())
    assert words[::2] == ["export"] * (len(words) // 2)
    accounts = dict(word.split("=", 1) for word in words[1::2])
    found = {
        name.removeprefix("AIRFLOW_CONN_KUNDRESA_"): account_from_uri(uri) for name, uri in accounts.items()
    }
    assert {name: account.kind for name, account in found.items()}.items() >= {
        "NEWSLETTER": "smtp", "TEXTS": texts, "APP": "fcm", "WEB_SHOP": "file",
    }.items()  # fmt: skip
    assert f":{found['NEWSLETTER'].port} " in said[0]
    assert f":{found['APP'].port} " in said[0]
    assert f":{found['TEXTS'].port}" in said[0]
    assert "BEGIN PRIVATE KEY" in found["APP"].password
