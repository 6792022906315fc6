"""A folder on an SFTP server whose key is known beforehand."""

from __future__ import annotations

import base64
import binascii
import errno
import posixpath
import socket
from importlib.util import find_spec
from typing import TYPE_CHECKING

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.folder import Found, part_name, parts_among
from kundresa.channels.http_peer import AnswerLostError, NotSentError

if TYPE_CHECKING:
    import paramiko

CONNECT_TIMEOUT = 10.0
SSH_PORT = 22
"""With another one a known key is that of ``[host]:port``."""


def require_module(account: Account, name: str, *, extra: str = "print") -> None:
    """
    Args:
        extra: of ours, that has it.

    Raises:
        AccountError: when it is not installed.
    """
    if find_spec(name) is None:
        raise AccountError(f"account {account.name} needs {name}: install kundresa[{extra}]")


class SftpFolder:
    """Connected when first needed; a lost connection is replaced at the next file."""

    def __init__(self, account: Account) -> None:
        """
        Raises:
            AccountError: when the account does not say the server's key (whoever answers in its place would
                get names and addresses), or paramiko is not installed.
        """
        if not account.extra.get("host_key"):
            raise AccountError(
                f"account {account.name} of kind sftp needs host_key, the Base64 that `ssh-keyscan` prints"
            )
        require_module(account, "paramiko")
        self._account = account
        self._client: paramiko.SSHClient | None = None
        self._sftp: paramiko.SFTPClient | None = None

    def put(self, name: str, octets: bytes) -> None:
        """The file stands there, whole. Raises as ``folder.Place.put``."""
        import paramiko

        lost = (OSError, EOFError, paramiko.SSHException)
        try:
            sftp = self._connected()
        except lost as error:
            raise self._away(error) from None
        part, target = self._path(part_name(name)), self._path(name)
        try:
            with sftp.open(part, "wb") as file:
                file.set_pipelined(True)
                file.write(octets)
            if sftp.stat(part).st_size != len(octets):
                # As on a full disk: of a write that was sent ahead nobody reads the answer.
                self._discard(sftp, part, lost)
                raise NotSentError(f"{self._account.place} has taken a part of the file only")
            self._rename(sftp, part, target, lost)
        except (FileNotFoundError, PermissionError) as error:
            self._discard(sftp, part, lost)
            raise AccountError(f"{self._account.place}: {self._account.path}: {error.strerror}") from None
        except lost as error:
            self.close()
            raise AnswerLostError(f"{self._account.place} broke off: {type(error).__name__}") from None

    def _rename(
        self, sftp: paramiko.SFTPClient, part: str, target: str, lost: tuple[type[Exception], ...]
    ) -> None:
        """The file gets its name. OpenSSH's extension replaces what is there; plain rename (of SFTP 3), which
        is what other servers have, refuses to. What stands is whole and has the same rows, by its name: it is
        left alone, since the printer may be reading it."""
        try:
            sftp.posix_rename(part, target)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
        else:
            return
        try:
            sftp.rename(part, target)
        except OSError:
            # Raised on where nobody answers any more.
            if not _stands(sftp, target):
                raise
            self._discard(sftp, part, lost)

    def look(self, name: str) -> Found:
        """Whether the file stands there. Raises as ``folder.Place.look``."""
        import paramiko

        try:
            sftp = self._connected()
            folder = self._path("")
            parts = parts_among(sftp.listdir(folder), name)
            # First these: a writer that is still at one may rename it until then.
            removed = [each for each in parts if _removed(sftp, self._path(each))]
            if _stands(sftp, self._path(name)):
                return Found.STANDS
            return Found.NOT_WRITTEN if removed else Found.ABSENT
        except PermissionError:
            return Found.NOT_TOLD
        except FileNotFoundError as error:
            raise AccountError(f"{self._account.place}: {self._account.path}: {error.strerror}") from None
        except (OSError, EOFError, paramiko.SSHException) as error:
            self.close()
            raise self._away(error) from None

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = self._sftp = None

    def _path(self, name: str) -> str:
        return posixpath.join(self._account.path or ".", name)

    def _away(self, error: Exception) -> NotSentError:
        return NotSentError(f"{self._account.place} is not available: {type(error).__name__}")

    def _discard(self, sftp: paramiko.SFTPClient, part: str, lost: tuple[type[Exception], ...]) -> None:
        """Leave nothing behind.

        Raises:
            AnswerLostError: when that is not known.
        """
        try:
            _removed(sftp, part)
        except PermissionError:
            pass  # who may not write there has not begun
        except lost as error:
            self.close()
            raise AnswerLostError(f"{self._account.place} broke off: {type(error).__name__}") from None

    def _connected(self) -> paramiko.SFTPClient:
        if self._sftp is None:
            self._client = self._opened()
            self._sftp = _files_of(self._client)
            channel = self._sftp.get_channel()
            if channel is not None:
                channel.settimeout(self._account.timeout)
        return self._sftp

    def _opened(self) -> paramiko.SSHClient:
        import paramiko

        account = self._account
        client = paramiko.SSHClient()
        # Known before the server is asked, so that of several keys it shows the one of this type.
        if key := _parsed(account.extra["host_key"]):
            there = account.host if account.port == SSH_PORT else f"[{account.host}]:{account.port}"
            client.get_host_keys().add(there, key.get_name(), key)
        client.set_missing_host_key_policy(_KnownOnly(account.extra["host_key"]))
        try:
            client.connect(
                account.host,
                account.port,
                username=account.user,
                password=account.password or None,
                key_filename=account.extra.get("key_file"),
                look_for_keys=False,
                allow_agent=False,
                timeout=min(account.timeout, CONNECT_TIMEOUT),
            )
        except (paramiko.AuthenticationException, paramiko.BadHostKeyException, _WrongKeyError) as error:
            client.close()
            known = isinstance(error, paramiko.AuthenticationException)
            why = type(error).__name__ if known else "WrongKeyError"
            raise AccountError(f"{account.place}: {why}") from None
        except (OSError, socket.gaierror, EOFError, paramiko.SSHException):
            client.close()
            raise
        return client


def _files_of(client: paramiko.SSHClient) -> paramiko.SFTPClient:
    """The folder behind a connection; what the server does not have is told from what it refuses.

    Raises:
        paramiko.SSHException: when the connection is closed.
    """
    import paramiko

    class Files(paramiko.SFTPClient):  # type: ignore[misc]
        def _convert_status(self, msg: paramiko.Message) -> None:
            """As paramiko, which leaves out the code: ``EOPNOTSUPP`` for SSH_FX_OP_UNSUPPORTED."""
            start = msg.packet.tell()
            code, text = msg.get_int(), msg.get_text()
            if code == paramiko.SFTP_OP_UNSUPPORTED:
                raise OSError(errno.EOPNOTSUPP, text)
            msg.packet.seek(start)
            super()._convert_status(msg)

    transport = client.get_transport()
    files = Files.from_transport(transport) if transport is not None else None
    if files is None:
        raise paramiko.SSHException("the connection is closed")
    return files


def _parsed(host_key: str) -> paramiko.PKey | None:
    """A key from its Base64, which begins with its type; None when paramiko cannot read it."""
    import paramiko

    try:
        octets = base64.b64decode(host_key, validate=True)
        kind = paramiko.Message(octets).get_text()
        return paramiko.PKey.from_type_string(kind, octets)
    except (binascii.Error, ValueError, paramiko.SSHException, paramiko.UnknownKeyType):
        return None


def _removed(sftp: paramiko.SFTPClient, path: str) -> bool:
    """False when it was not there any more: somebody has renamed it."""
    try:
        sftp.remove(path)
    except FileNotFoundError:
        return False
    return True


def _stands(sftp: paramiko.SFTPClient, path: str) -> bool:
    try:
        sftp.stat(path)
    except FileNotFoundError:
        return False
    return True


class _WrongKeyError(Exception):
    """The server has another key than the account says."""


class _KnownOnly:
    """paramiko asks it about the servers whose keys it does not know: the account's key is of a type that it
    cannot read."""

    def __init__(self, known: str) -> None:
        self._known = known

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        if base64.b64encode(key.asbytes()).decode() != self._known:
            raise _WrongKeyError
