"""Print files: to a folder and to a real SFTP server, encrypted, and never twice."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paramiko
import pytest

from kundresa.channels import AccountError, account_from_uri, open_sender
from kundresa.channels.folder import Folder, Found, part_name
from kundresa.channels.print_file import PrintFileSender
from kundresa.spec.channels import DirectMailChannel
from kundresa.spec.messages import DirectMailContent, Message
from kundresa.spec.vocabulary import DeliveryReason, MessageState

ACCEPTED, DEFERRED, WITHHELD = MessageState.ACCEPTED, MessageState.DEFERRED, MessageState.WITHHELD
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
LONG_AFTER = datetime(2199, 1, 1, tzinfo=UTC)
SIGNS_ONLY = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEaw5LqxYJKwYBBAHaRw8BAQdA3xnZf9jBvBGSh/vov4ADpB+8liJ5OPFqe05n
af5hDe20HFByaW50ZXIgPGluQHByaW50ZXIuZXhhbXBsZT6IkAQTFggAOBYhBEZm
m76YuQJLvpinntQ6OnVlbSp7BQJrDkurAhsDBQsJCAcCBhUKCQgLAgQWAgMBAh4B
AheAAAoJENQ6OnVlbSp7e1cA/ihys/ys4yRsHFmu+t/LNEHeNX3KCRFhRx/R/4Or
ScnhAQC8FdGo/yj4hYopw9O3LAAjV0QfL18XI6IGCr0w7tTFAw==
=oLMO
-----END PGP PUBLIC KEY BLOCK-----
"""
"""An OpenPGP certificate whose only key signs and does not encrypt; nobody has kept its secret half."""
COLUMNS = [{"name": "message_id", "width": 32}, {"name": "full_name", "header": "NAME", "width": 12}]


def channel(**layout: Any) -> DirectMailChannel:
    return DirectMailChannel.model_validate(
        {
            "kind": "direct_mail",
            "template": "letter",
            "account": "printer",
            "layout": {"columns": COLUMNS, **layout},
        }
    )


def letters(names: list[str]) -> list[Message]:
    return [
        Message(f"{number:032x}", "Storgatan 1, 903 26 Umeå, SE", DirectMailContent((f"{number:032x}", name)))
        for number, name in enumerate(names)
    ]


def opened(uri: str, *, now: datetime = NOW, **layout: Any) -> PrintFileSender:
    account = account_from_uri(uri, name="printer")
    sender = open_sender(channel(**layout), account, lambda: now, run_key="winback--1")
    assert isinstance(sender, PrintFileSender)
    return sender


def test_one_file_with_each_row_once(tmp_path: Path) -> None:
    sender = opened(f"file://{tmp_path}", delimiter=";")
    messages = letters(["Åsa; Ek", 'Bo "B" Ek', "Åsa; Ek", "Åsa; Ek"])
    receipts = {each.message_id: each for each in sender.send(messages)}
    assert [receipts[each.message_id].state for each in messages] == [ACCEPTED, ACCEPTED, WITHHELD, WITHHELD]
    assert receipts[messages[2].message_id].reason is DeliveryReason.DUPLICATE_ROW
    [file] = tmp_path.iterdir()
    assert receipts[messages[0].message_id].provider_id == file.name
    rows = list(csv.reader(io.StringIO(file.read_bytes().decode(), newline=""), delimiter=";"))
    assert rows == [
        ["message_id", "NAME"],
        [messages[0].message_id, "Åsa; Ek"],
        [messages[1].message_id, 'Bo "B" Ek'],
    ]


def test_the_same_rows_again_are_the_same_file(tmp_path: Path) -> None:
    messages = letters(["Åsa", "Bo", "Bo"])
    list(opened(f"file://{tmp_path}").send(messages))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    list(opened(f"file://{tmp_path}").send(messages[::-1]))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    list(opened(f"file://{tmp_path}").send(messages[:1]))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_of_fixed_width(tmp_path: Path) -> None:
    messages = letters(["Åsa", "Bo"])
    list(opened(f"file://{tmp_path}", format="fixed", encoding="latin-1", header=False).send(messages))
    [file] = tmp_path.iterdir()
    assert file.suffix == ".txt"
    lines = file.read_bytes().split(b"\r\n")
    assert lines == [
        messages[0].message_id.encode() + "Åsa         ".encode("latin-1"),
        messages[1].message_id.encode() + b"Bo          ",
        b"",
    ]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AccountError, match="No such file or directory"):
        list(opened(f"file://{tmp_path}/nowhere").send(letters(["Bo"])))
    with pytest.raises(AccountError, match="direct_mail takes file, sftp or s3"):
        opened("https://printer.example")


def test_only_the_printer_can_read_an_encrypted_file(tmp_path: Path) -> None:
    from pysequoia import Tsk, decrypt

    secret = Tsk.generate("Printer <in@printer.example>")
    key = tmp_path / "printer.pgp"
    key.write_text(str(secret.extract_certificate()))
    out = tmp_path / "out"
    out.mkdir()
    list(opened(f"file://{out}?pgp_key_file={key}").send(letters(["Åsa Ek"])))
    [file] = out.iterdir()
    assert file.name.endswith(".csv.pgp")
    assert "Åsa".encode() not in file.read_bytes()
    plain = decrypt(file.read_bytes(), decryptor=secret.decryptor())
    assert "Åsa Ek" in bytes(plain.bytes or b"").decode()


def test_a_certificate_that_nobody_may_encrypt_for_is_told_before_a_message_is_claimed(
    tmp_path: Path,
) -> None:
    from pysequoia import Tsk

    secret = Tsk.generate("Printer <in@printer.example>")
    certificate = secret.extract_certificate()
    for_years = Tsk.generate("Printer <in@printer.example>", validity_seconds=10**8).extract_certificate()
    key = tmp_path / "printer.pgp"

    def refused(content: bytes | None, why: str) -> None:
        key.unlink(missing_ok=True)
        if content is not None:
            key.write_bytes(content)
        with pytest.raises(
            AccountError, match=f"^account printer: pgp_key_file cannot be used: {why}"
        ) as told:
            opened(f"file://{tmp_path}?pgp_key_file={key}", now=LONG_AFTER)
        assert "\n" not in str(told.value)

    refused(None, "Reading .*No such file")
    refused(b"not a certificate", "")
    refused(
        SIGNS_ONLY.encode(), "No suitable encryption subkey for 46669BBE98B9024BBE98A79ED43A3A75656D2A7B$"
    )
    refused(bytes(certificate) + bytes(certificate.revoke(secret.certifier())), "its owner has revoked it$")
    refused(bytes(for_years), r"it expired at 20\d\d-")
    opened(f"file://{tmp_path}?pgp_key_file={key}", now=NOW)


class _Files(paramiko.SFTPServerInterface):
    """A folder over SFTP."""

    root = Path()
    breaks = ""
    """At which step it hangs up: open, write, before_rename, after_rename, look; or is full, which it says of
    a write."""
    hang_up: Callable[[], None]

    def _at(self, step: str) -> None:
        if type(self).breaks == step:
            type(self).hang_up()

    def list_folder(self, path: str) -> Any:
        self._at("look")
        try:
            entries = [*self._path(path).iterdir()]
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        return [paramiko.SFTPAttributes.from_stat(each.stat(), each.name) for each in entries]

    def remove(self, path: str) -> int:
        try:
            self._path(path).unlink()
        except OSError as error:
            return int(paramiko.SFTPServer.convert_errno(error.errno or 0))
        return int(paramiko.SFTP_OK)

    def _path(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def open(self, path: str, flags: int, attr: Any) -> Any:  # noqa: ARG002
        try:
            descriptor = os.open(self._path(path), flags, 0o600)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        self._at("open")
        handle = _Handle(flags)
        handle.files = self
        file = os.fdopen(descriptor, "wb")
        handle.filename = path  # type: ignore[attr-defined]
        handle.writefile = file  # type: ignore[attr-defined]
        handle.readfile = file  # type: ignore[attr-defined]
        return handle

    def posix_rename(self, oldpath: str, newpath: str) -> int:
        self._at("before_rename")
        if self.breaks == "before_rename":
            return int(paramiko.SFTP_FAILURE)
        self._path(oldpath).replace(self._path(newpath))
        self._at("after_rename")
        return int(paramiko.SFTP_OK)

    def rename(self, oldpath: str, newpath: str) -> int:
        self._at("before_rename")
        if self.breaks == "before_rename" or self._path(newpath).exists():
            return int(paramiko.SFTP_FAILURE)
        self._path(oldpath).rename(self._path(newpath))
        self._at("after_rename")
        return int(paramiko.SFTP_OK)

    def stat(self, path: str) -> Any:
        try:
            return paramiko.SFTPAttributes.from_stat(self._path(path).stat())
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)


class _Handle(paramiko.SFTPHandle):
    files: _Files

    def write(self, offset: int, data: bytes) -> int:
        if self.files.breaks == "full":
            super().write(offset, data[: len(data) // 2])
            return int(paramiko.SFTP_FAILURE)
        if self.files.breaks == "write":
            super().write(offset, data[: len(data) // 2])
            self.files.hang_up()
        return int(super().write(offset, data))


class _Login(paramiko.ServerInterface):
    def check_auth_password(self, username: str, password: str) -> int:
        good = (username, password) == ("kundresa", "secret")
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002
        return paramiko.OPEN_SUCCEEDED

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002
        return "password"


@dataclass(frozen=True)
class Server:
    port: int
    key: str
    root: Path
    files: type[_Files]
    other_key: str = ""

    def uri(self, password: str = "secret", key: str = "", folder: str = "/in") -> str:
        from urllib.parse import quote

        host_key = quote(key or self.key, safe="")
        return f"sftp://kundresa:{password}@127.0.0.1:{self.port}{folder}?host_key={host_key}&timeout=5"


@pytest.fixture
def sftp(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "in").mkdir()
    key, other_key = paramiko.ECDSAKey.generate(), paramiko.RSAKey.generate(2048)

    class Here(_Files):
        root = tmp_path

    with contextlib.ExitStack() as stack:
        transports: list[paramiko.Transport] = []

        def hang_up() -> None:
            for each in transports:
                each.close()

        Here.hang_up = staticmethod(hang_up)
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

        def run() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    transport = paramiko.Transport(connection)
                    stack.callback(transport.close)
                    transports.append(transport)
                    transport.add_server_key(other_key)
                    transport.add_server_key(key)
                    transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Here)
                    with contextlib.suppress(paramiko.SSHException, EOFError):
                        transport.start_server(server=_Login())

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        stack.callback(thread.join, 5)
        stack.callback(lambda: listener.shutdown(socket.SHUT_RDWR))
        yield Server(listener.getsockname()[1], key.get_base64(), tmp_path, Here, other_key.get_base64())


@pytest.fixture
def closing() -> Iterator[Callable[[PrintFileSender], PrintFileSender]]:
    with contextlib.ExitStack() as stack:

        def keep(sender: PrintFileSender) -> PrintFileSender:
            stack.callback(sender.close)
            return sender

        yield keep


def test_a_file_reaches_an_sftp_server_whole_and_once(sftp: Server, closing: Any) -> None:
    sender, messages = closing(opened(sftp.uri())), letters(["Åsa", "Bo"])
    for _ in range(2):
        assert {each.state for each in sender.send(messages)} == {ACCEPTED}
    [file] = (sftp.root / "in").iterdir()
    assert file.read_bytes().decode().splitlines()[1] == f"{messages[0].message_id},Åsa"


def test_either_key_of_a_server_may_be_the_known_one(sftp: Server, closing: Any) -> None:
    for number, key in enumerate((sftp.key, sftp.other_key)):
        messages = letters(["Åsa", "Bo"])[number:]
        sender = closing(opened(sftp.uri(key=key)))
        assert {each.state for each in sender.send(messages)} == {ACCEPTED}
    assert len([*(sftp.root / "in").iterdir()]) == 2
    wrong = paramiko.ECDSAKey.generate().get_base64()
    with pytest.raises(AccountError, match="WrongKeyError"):
        list(opened(sftp.uri(key=wrong)).send(letters(["Cia"])))


def test_a_server_without_openssh_s_rename_gets_files_too(sftp: Server, closing: Any) -> None:
    sftp.files.posix_rename = paramiko.SFTPServerInterface.posix_rename  # type: ignore[method-assign]
    sender, messages = closing(opened(sftp.uri())), letters(["Åsa", "Bo"])
    assert {each.state for each in sender.send(messages)} == {ACCEPTED}
    [file] = (sftp.root / "in").iterdir()
    before = file.stat()
    assert file.read_bytes().decode().splitlines()[1] == f"{messages[0].message_id},Åsa"
    # What stands is not touched: the printer may be reading it.
    assert {each.state for each in sender.send(messages)} == {ACCEPTED}
    [file] = (sftp.root / "in").iterdir()
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"password": "wrong"}, "AuthenticationException"),
        ({"key": "AAAA"}, "WrongKeyError"),
        ({"folder": "/nowhere"}, "No such file"),
    ],
)
def test_a_server_that_a_person_must_look_at(
    sftp: Server, closing: Any, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(AccountError, match=message) as caught:
        list(closing(opened(sftp.uri(**changes))).send(letters(["Bo"])))
    assert "wrong" not in str(caught.value)
    assert list((sftp.root / "in").iterdir()) == []


def test_a_server_that_is_away_defers(closing: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    sender = closing(opened(f"sftp://kundresa:secret@127.0.0.1:{port}/in?host_key=AAAA"))
    assert {each.state for each in sender.send(letters(["Bo", "Åsa"]))} == {DEFERRED}


def test_a_server_without_a_known_key_is_not_connected() -> None:
    with pytest.raises(AccountError, match="needs host_key"):
        opened("sftp://kundresa:secret@printer.example/in")


def test_a_server_that_is_full_gets_no_half_file(sftp: Server, closing: Any) -> None:
    """Of a write that is sent ahead nobody reads the answer: how much has arrived is asked."""
    sftp.files.breaks = "full"
    sender = closing(opened(sftp.uri()))
    assert {each.state for each in sender.send(letters(["Bo", "Åsa"]))} == {DEFERRED}
    assert [*(sftp.root / "in").iterdir()] == []


def test_what_a_folder_says_of_a_file(tmp_path: Path) -> None:
    place = Folder(account_from_uri(f"file://{tmp_path}", name="printer"))
    assert place.look("a.csv") is Found.ABSENT
    place.put("a.csv", b"whole")
    place.put("a.csv.pgp", b"another")
    assert place.look("a.csv") is Found.STANDS
    (tmp_path / "a.csv").unlink()
    begun = tmp_path / part_name("a.csv")
    begun.write_bytes(b"ha")
    others = tmp_path / part_name("b.csv")
    others.write_bytes(b"ha")
    assert place.look("a.csv") is Found.NOT_WRITTEN
    assert place.look("a.csv") is Found.ABSENT
    assert not begun.exists()
    assert others.exists()
    with pytest.raises(FileNotFoundError):  # who is still at it can rename it no more
        begun.rename(tmp_path / "a.csv")
    gone = Folder(account_from_uri(f"file://{tmp_path}/nowhere", name="printer"))
    with pytest.raises(AccountError, match="No such file"):
        gone.look("a.csv")
