"""A folder of a bucket on S3, or on what speaks its protocol.

The account: ``s3://key_id:secret@bucket/folder?region=eu-north-1``, with ``endpoint=https://…`` for a store
that is not Amazon's. Without a key, what botocore finds on the machine: the environment, a profile, the
machine's role. The secret signs here and never travels.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.http_peer import CONNECT_TIMEOUT, NotSentError
from kundresa.channels.receipts import clean_detail
from kundresa.channels.sftp import require_module

if TYPE_CHECKING:
    from s3fs import S3FileSystem

LARGEST_PUT = 5 * 2**30
"""Octets of one PUT, by the protocol."""
_LATER = frozenset({408, 409, 429})
"""Of the refusals below 500, those of this moment: too slow, a conflicting write, too often."""
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class S3Folder:
    """Each file is one PUT under its own name, which by the protocol stands there whole or not at all."""

    def __init__(self, account: Account) -> None:
        """
        Raises:
            AccountError: when s3fs is not installed, the endpoint would not be encrypted, or the file of
                certificates is none.
        """
        require_module(account, "s3fs")
        endpoint = account.extra.get("endpoint")
        parts = urlsplit(endpoint or "https://-")
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise AccountError(f"account {account.name}: endpoint takes https://host")
        ca_file = account.extra.get("ca_file")
        if ca_file is not None and not Path(ca_file).is_file():
            raise AccountError(f"account {account.name}: ca_file is no file: {clean_detail(ca_file)}")
        self._account = account
        self._endpoint = endpoint
        self._place = f"account {account.name} (s3)"
        self._files: S3FileSystem | None = None

    def put(self, name: str, octets: bytes) -> None:
        """The file stands there, whole.

        Raises:
            NotSentError: not now; what stands under the name is nothing, or this very file.
            AccountError: no such bucket, not permitted, no or a wrong key, half of one; a region, an endpoint
                or a bucket that there cannot be; a profile of this machine that is not there.
        """
        from botocore.exceptions import BotoCoreError, NoCredentialsError

        folder = "/".join(part for part in (self._account.host, self._account.path.strip("/")) if part)
        try:
            self._opened().pipe_file(f"{folder}/{name}", octets, chunksize=LARGEST_PUT)
        except NoCredentialsError:
            raise AccountError(f"{self._place}: no key is given, and none is found on this machine") from None
        except OSError as error:
            status, code = _answer(error)
            if isinstance(error, FileNotFoundError | PermissionError) or (
                status and status < 500 and status not in _LATER
            ):
                raise AccountError(f"{self._place}: {folder}: {code or type(error).__name__}") from None
            raise NotSentError(f"{self._place} is not available: {code or type(error).__name__}") from None
        except BotoCoreError as error:
            if _may_pass(error):
                raise NotSentError(f"{self._place} is not available: {type(error).__name__}") from None
            raise AccountError(f"{self._place}: {clean_detail(str(error))}") from None
        except ValueError as error:  # of an endpoint, before there is a client
            raise AccountError(f"{self._place}: {clean_detail(str(error))}") from None

    def close(self) -> None:
        if self._files is not None:
            from s3fs import S3FileSystem

            S3FileSystem.close_session(self._files.loop, self._files.s3)
            self._files = None

    def _opened(self) -> S3FileSystem:
        if self._files is None:
            from s3fs import S3FileSystem

            account = self._account
            config: dict[str, object] = {
                "connect_timeout": min(account.timeout, CONNECT_TIMEOUT),
                "read_timeout": account.timeout,
                # Delivery tries again, later.
                "retries": {"max_attempts": 0},
            }
            client: dict[str, object] = {}
            if "region" in account.extra:
                client["region_name"] = account.extra["region"]
            if "ca_file" in account.extra:
                client["verify"] = account.extra["ca_file"]
            if self._endpoint:
                # Stores that are not Amazon's often refuse its newer checksum headers.
                config["request_checksum_calculation"] = "when_required"
            files = S3FileSystem(
                key=account.user or None,
                secret=account.password or None,
                endpoint_url=self._endpoint,
                client_kwargs=client,
                config_kwargs=config,
                skip_instance_cache=True,
            )
            files.retries = 1
            files.connect()
            self._files = files
        return self._files


def _may_pass(error: Exception) -> bool:
    """Whether it is a matter of the network, of the store or of the service that hands out keys. All other
    errors of botocore come before anything is asked: something is not as it is to be written."""
    from botocore import exceptions as known

    passing = (
        known.HTTPClientError,  # lost, timed out, refused
        known.ConnectionError,
        known.ConnectTimeoutError,
        known.ProxyConnectionError,
        known.SSLError,
        known.IncompleteReadError,
        known.ChecksumError,
        known.FlexibleChecksumError,
        known.MetadataRetrievalError,
        known.CredentialRetrievalError,
        known.TokenRetrievalError,
    )
    return isinstance(error, passing)


def _answer(error: OSError) -> tuple[int, str]:
    """Status and code of the answer that s3fs has made an error of; 0 and nothing when there was none."""
    response = getattr(error.__cause__, "response", None) or {}
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = str(response.get("Error", {}).get("Code", ""))
    return status, clean_detail(code or f"HTTP {status}") if status else ""
