"""A folder on an SFTP server whose key is known beforehand."""

from __future__ import annotations

import base64
import posixpath
import socket
from importlib.util import find_spec
from typing import TYPE_CHECKING

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.http_peer import NotSentError

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
        """The file stands there, whole.

        Raises:
            NotSentError: not now; what stands under the name is nothing, or this very file.
            AccountError: login or key refused, no such folder, not permitted.
        """
        import paramiko

        try:
            sftp = self._connected()
            folder = self._account.path or "."
            part, target = posixpath.join(folder, f".{name}.part"), posixpath.join(folder, name)
            with sftp.open(part, "wb") as file:
                file.set_pipelined(True)
                file.write(octets)
            # The extension replaces what is there; plain rename (of SFTP 3) refuses to.
            sftp.posix_rename(part, target)
        except (FileNotFoundError, PermissionError) as error:
            raise AccountError(f"{self._account.place}: {self._account.path}: {error.strerror}") from None
        except (OSError, EOFError, paramiko.SSHException) as error:
            self.close()
            raise NotSentError(f"{self._account.place} is not available: {type(error).__name__}") from None

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = self._sftp = None

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


class _WrongKeyError(Exception):
    """The server has another key than the account says."""


class _KnownOnly:
    """paramiko asks it about every server, since no other list of known keys is loaded."""

    def __init__(self, known: str) -> None:
        self._known = known

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        if base64.b64encode(key.asbytes()).decode() != self._known:
            raise _WrongKeyError
