"""Print files to a bucket: one PUT under the final name, against a peer that answers as S3 does."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from kundresa.channels import AccountError, Sender, account_from_uri, open_sender
from kundresa.channels.print_file import RETRY_AFTER, PrintFileSender
from kundresa.spec.channels import DirectMailChannel
from kundresa.spec.messages import DirectMailContent, Message
from kundresa.spec.vocabulary import MessageState

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
SECRET = "top+secret"
CHANNEL = DirectMailChannel.model_validate(
    {
        "kind": "direct_mail",
        "template": "letter",
        "account": "printer",
        "layout": {"columns": [{"name": "message_id"}, {"name": "full_name"}]},
    }
)
LETTERS = [
    Message(f"{number:032x}", "Storgatan 1, 903 26 Umeå, SE", DirectMailContent((f"{number:032x}", name)))
    for number, name in enumerate(("Åsa", "Bo"))
]


@dataclass
class Bucket:
    """Keeps what is put; answers each request with the next of ``answers``, then with 200. ``drop`` keeps it
    and says nothing, ``lose`` neither."""

    port: int = 0
    answers: list[tuple[int, str] | str] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)

    def uri(self, bucket: str = "letters") -> str:
        endpoint = f"endpoint=http://127.0.0.1:{self.port}"
        return f"s3://KEYID:{SECRET}@{bucket}/to/printer?region=eu-north-1&timeout=2&{endpoint}"


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    kept = Bucket()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            octets = self.rfile.read(int(self.headers["Content-Length"]))
            kept.requests.append((self.command, self.path, dict(self.headers)))
            answer = kept.answers.pop(0) if kept.answers else (200, "")
            if isinstance(answer, str):
                if answer == "drop":
                    kept.objects[self.path] = octets
                self.close_connection = True
                return
            assert isinstance(answer, tuple)
            status, code = answer
            if status == 200:
                kept.objects[self.path] = octets
            said = f"<Error><Code>{code}</Code><Message>of KEYID</Message></Error>".encode() if code else b""
            self.send_response(status)
            self.send_header("ETag", '"x"')
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def do_HEAD(self) -> None:
            kept.requests.append((self.command, self.path, dict(self.headers)))
            answer = kept.answers.pop(0) if kept.answers else (200 if self.path in kept.objects else 404, "")
            if isinstance(answer, str):
                self.close_connection = True
                return
            self.send_response(answer[0])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Not on the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        kept.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield kept
        server.shutdown()
        thread.join(5)


@pytest.fixture
def opened() -> Iterator[Callable[[str], Sender]]:
    with contextlib.ExitStack() as stack:

        def build(uri: str) -> Sender:
            account = account_from_uri(uri, name="printer")
            sender = open_sender(CHANNEL, account, lambda: NOW, run_key="winback--1")
            stack.callback(sender.close)
            return sender

        yield build


def test_a_file_is_one_put_under_its_name_and_the_same_again(
    bucket: Bucket, opened: Callable[[str], Sender]
) -> None:
    sender = opened(bucket.uri())
    for _ in range(2):
        receipts = list(sender.send(LETTERS))
        assert {each.state for each in receipts} == {MessageState.ACCEPTED}
    [(path, octets)] = bucket.objects.items()
    assert path == f"/letters/to/printer/{receipts[0].provider_id}"
    assert octets.decode().splitlines()[1] == f"{LETTERS[0].message_id},Åsa"
    assert [(method, asked) for method, asked, _ in bucket.requests] == [("PUT", path)] * 2
    for _, _, headers in bucket.requests:
        assert "Credential=KEYID/" in headers["Authorization"]
        assert SECRET not in str(headers)


@pytest.mark.parametrize(
    "answer",
    [
        (403, "AccessDenied"),
        (403, "SignatureDoesNotMatch"),
        (404, "NoSuchBucket"),
        (400, "AuthorizationHeaderMalformed"),
    ],
)
def test_what_a_person_must_look_at(
    bucket: Bucket, opened: Callable[[str], Sender], answer: tuple[int, str]
) -> None:
    bucket.answers.append(answer)
    with pytest.raises(AccountError, match=f"letters/to/printer: {answer[1]}") as caught:
        list(opened(bucket.uri()).send(LETTERS))
    assert SECRET not in str(caught.value)
    assert bucket.objects == {}


@pytest.mark.parametrize("answer", [(503, "SlowDown"), (409, "OperationAborted"), (429, "TooManyRequests")])
def test_what_may_pass_defers_after_one_try(
    bucket: Bucket, opened: Callable[[str], Sender], answer: tuple[int, str]
) -> None:
    bucket.answers.append(answer)
    sender = opened(bucket.uri())
    assert {each.state for each in sender.send(LETTERS)} == {MessageState.DEFERRED}
    assert len(bucket.requests) == 1
    assert {each.state for each in sender.send(LETTERS)} == {MessageState.ACCEPTED}
    assert len(bucket.objects) == 1


@pytest.mark.parametrize(
    ("query", "states"),
    [("", {MessageState.UNKNOWN}), ("&kept=true", {MessageState.DEFERRED})],
)
@pytest.mark.parametrize("answer", ["drop", "lose", (500, "InternalError")])
def test_an_answer_that_is_lost_is_asked_for(
    bucket: Bucket,
    opened: Callable[[str], Sender],
    answer: tuple[int, str] | str,
    query: str,
    states: set[MessageState],
) -> None:
    """Whether the object is there: one that is not may have been taken away, unless the account says no."""
    bucket.answers += [answer] * 5  # the client may ask once more over a new connection
    sender = opened(bucket.uri() + query)
    assert isinstance(sender, PrintFileSender)
    assert {each.state for each in sender.send(LETTERS)} == {MessageState.UNKNOWN}
    bucket.answers.clear()
    receipts = sender.ask(LETTERS)
    if answer == "drop":
        assert {each.state for each in receipts} == {MessageState.ACCEPTED}
        [path] = bucket.objects
        assert path.endswith(f"/{receipts[0].provider_id}")
    else:
        assert {each.state for each in receipts} == states
        assert {each.retry_at for each in receipts} == {NOW}
        assert not bucket.objects


@pytest.mark.parametrize(
    ("answer", "retry_at"),
    [((403, ""), NOW), ((503, "SlowDown"), NOW + RETRY_AFTER), ("lose", NOW + RETRY_AFTER)],
)
def test_a_bucket_that_does_not_answer_leaves_it_unknown(
    bucket: Bucket, opened: Callable[[str], Sender], answer: tuple[int, str] | str, retry_at: datetime
) -> None:
    """For good where it never will: who may not list hears that of every object that is not there."""
    sender = opened(bucket.uri() + "&kept=true")
    assert isinstance(sender, PrintFileSender)
    bucket.answers += [answer] * 5
    receipts = sender.ask(LETTERS)
    assert {(each.state, each.retry_at) for each in receipts} == {(MessageState.UNKNOWN, retry_at)}


def test_a_store_that_is_away_defers(opened: Callable[[str], Sender]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    receipts = list(opened(Bucket(port).uri()).send(LETTERS))
    assert {each.state for each in receipts} == {MessageState.DEFERRED}
    assert SECRET not in str(receipts)


def test_no_key_anywhere(
    bucket: Bucket, opened: Callable[[str], Sender], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(AccountError, match="no key is given"):
        list(opened(bucket.uri().replace(f"KEYID:{SECRET}@", "")).send(LETTERS))
    assert bucket.requests == []


@pytest.mark.parametrize(
    ("account", "machine", "said"),
    [
        (
            "KEYID:secret@letters/in?region=eu north",
            {},
            "region_name 'eu north' doesn't match a supported format",
        ),
        (
            "KEYID@letters/in?region=eu-north-1",
            {},
            "Partial credentials found in explicit, missing: aws_secret",
        ),
        ("letters/in", {"AWS_ACCESS_KEY_ID": "KEYID"}, "found in env, missing: AWS_SECRET_ACCESS_KEY"),
        ("letters/in", {"AWS_PROFILE": "printer"}, r"The config profile \(printer\) could not be found"),
        (
            "letters/in",
            {"AWS_CONFIG_FILE": "broken", "AWS_PROFILE": "x"},
            "Unable to parse config file: .*broken",
        ),
        ("KEYID:secret@le..tters!/in?region=eu-north-1", {}, "Invalid bucket name"),
        ("KEYID:secret@letters/in?endpoint=https://a b", {}, "Invalid endpoint: https://a b"),
    ],
)
def test_what_is_not_as_it_is_to_be_written_is_said(
    opened: Callable[[str], Sender],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
    account: str,
    machine: dict[str, str],
    said: str,
) -> None:
    """It would be so at the next try as well."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "broken").write_text("no section")
    for name, value in machine.items():
        monkeypatch.setenv(name, str(tmp_path / value) if value == "broken" else value)
    with pytest.raises(AccountError, match=said) as caught:
        list(opened(f"s3://{account}").send(LETTERS))
    assert "account printer (s3): " in str(caught.value)
    assert "secret@" not in str(caught.value)


def test_a_machine_whose_keys_are_not_handed_out_now_defers(
    opened: Callable[[str], Sender], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config").write_text("[profile printer]\ncredential_process = /bin/false\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "printer")
    receipts = opened("s3://letters/in?region=eu-north-1").send(LETTERS)
    assert {each.state for each in receipts} == {MessageState.DEFERRED}


def test_certificates_that_are_not_there(opened: Callable[[str], Sender]) -> None:
    with pytest.raises(AccountError, match=r"ca_file is no file: /nowhere\.pem"):
        opened("s3://KEYID:secret@letters/in?ca_file=/nowhere.pem")


def test_an_endpoint_is_encrypted(opened: Callable[[str], Sender]) -> None:
    with pytest.raises(AccountError, match="endpoint takes https"):
        opened("s3://KEYID:secret@letters/in?endpoint=http://store.example")
