"""A folder on an SFTP server whose key is known beforehand."""

from __future__ import annotations

import base64
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
            # The extension replaces what is there; plain rename (of SFTP 3) refuses to.
            sftp.posix_rename(part, target)
        except (FileNotFoundError, PermissionError) as error:
            self._discard(sftp, part, lost)
            raise AccountError(f"{self._account.place}: {self._account.path}: {error.strerror}") from None
        except lost as error:
            self.close()
            raise AnswerLostError(f"{self._account.place} broke off: {type(error).__name__}") from None

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
            self._sftp = self._client.open_sftp()
            channel = self._sftp.get_channel()
            if channel is not None:
                channel.settimeout(self._account.timeout)
        return self._sftp

    def _opened(self) -> paramiko.SSHClient:
        import paramiko

        account = self._account
        client = paramiko.SSHClient()
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
        except (paramiko.AuthenticationException, _WrongKeyError) as error:
            client.close()
            raise AccountError(f"{account.place}: {type(error).__name__.strip('_')}") from None
        except (OSError, socket.gaierror, EOFError, paramiko.SSHException):
            client.close()
            raise
        return client


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
    """paramiko asks it about every server, since no other list of known keys is loaded."""

    def __init__(self, known: str) -> None:
        self._known = known

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        if base64.b64encode(key.asbytes()).decode() != self._known:
            raise _WrongKeyError
