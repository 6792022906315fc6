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
from kundresa.channels.folder import Found
from kundresa.channels.http_peer import CONNECT_TIMEOUT, AnswerLostError, NotSentError
from kundresa.channels.receipts import clean_detail
from kundresa.channels.sftp import require_module

if TYPE_CHECKING:
    from s3fs import S3FileSystem

LARGEST_PUT = 5 * 2**30
"""Octets of one PUT, by the protocol."""
_REFUSED_NOW = frozenset({408, 409, 429, 503})
"""Refusals of this moment: too slow, a conflicting write, too often. After another answer from 500 on, nobody
knows what was done before it."""
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
        """The file stands there, whole. Raises as ``folder.Place.put``; among what needs a person are no key,
        half of one, or a region, an endpoint, a bucket or a profile of this machine that there cannot be."""
        from botocore.exceptions import BotoCoreError

        try:
            self._opened().pipe_file(f"{self._bucket}/{self._key(name)}", octets, chunksize=LARGEST_PUT)
        except OSError as error:
            status, code = _answer(error)
            self._require_later(error, status, code)
            text = f"{self._place} is not available: {code or type(error).__name__}"
            raise (NotSentError(text) if status in _REFUSED_NOW else AnswerLostError(text)) from None
        except (BotoCoreError, ValueError) as error:
            self._require_asked(error)
            if isinstance(error, _unreached()):
                raise self._away(error) from None
            raise AnswerLostError(f"{self._place} broke off: {type(error).__name__}") from None

    def look(self, name: str) -> Found:
        """Whether the file stands there. Raises as ``folder.Place.look``."""
        from botocore.exceptions import BotoCoreError

        try:
            self._opened().call_s3("head_object", Bucket=self._bucket, Key=self._key(name))
        except FileNotFoundError:
            return Found.ABSENT
        except PermissionError:
            return Found.NOT_TOLD  # also who may not list hears it, of what is not there
        except OSError as error:
            status, code = _answer(error)
            self._require_later(error, status, code)
            raise self._away(error) from None
        except (BotoCoreError, ValueError) as error:
            self._require_asked(error)
            raise self._away(error) from None
        return Found.STANDS

    def close(self) -> None:
        if self._files is not None:
            from s3fs import S3FileSystem

            S3FileSystem.close_session(self._files.loop, self._files.s3)
            self._files = None

    @property
    def _bucket(self) -> str:
        return self._account.host

    def _key(self, name: str) -> str:
        return "/".join(part for part in (self._account.path.strip("/"), name) if part)

    def _require_later(self, error: OSError, status: int, code: str) -> None:
        """
        Raises:
            AccountError: for a refusal that does not pass by itself.
        """
        if isinstance(error, FileNotFoundError | PermissionError) or (
            status and status < 500 and status not in _REFUSED_NOW
        ):
            folder = "/".join(part for part in (self._bucket, self._account.path.strip("/")) if part)
            raise AccountError(f"{self._place}: {folder}: {code or type(error).__name__}") from None

    def _require_asked(self, error: Exception) -> None:
        """
        Raises:
            AccountError: for an error before anything is asked: something is not as it is to be written.
        """
        from botocore.exceptions import NoCredentialsError

        if isinstance(error, NoCredentialsError):
            text = "no key is given, and none is found on this machine"
            raise AccountError(f"{self._place}: {text}") from None
        if not isinstance(error, (*_broken_off(), *_unreached())):
            raise AccountError(f"{self._place}: {clean_detail(str(error))}") from None

    def _away(self, error: Exception) -> NotSentError:
        return NotSentError(f"{self._place} is not available: {type(error).__name__}")

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


def _unreached() -> tuple[type[Exception], ...]:
    """Errors of the network, or of the service that hands out keys, before the store has heard anything."""
    from botocore import exceptions as known

    return (
        known.ConnectTimeoutError,
        known.EndpointConnectionError,
        known.ProxyConnectionError,
        known.MetadataRetrievalError,
        known.CredentialRetrievalError,
        known.TokenRetrievalError,
    )


def _broken_off() -> tuple[type[Exception], ...]:
    """Errors of the network after which nobody knows what the store has heard."""
    from botocore import exceptions as known

    return (
        known.HTTPClientError,  # lost, timed out
        known.ConnectionError,
        known.SSLError,
        known.IncompleteReadError,
        known.ChecksumError,
        known.FlexibleChecksumError,
    )


def _answer(error: OSError) -> tuple[int, str]:
    """Status and code of the answer that s3fs has made an error of; 0 and nothing when there was none."""
    response = getattr(error.__cause__, "response", None) or {}
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = str(response.get("Error", {}).get("Code", ""))
    return status, clean_detail(code or f"HTTP {status}") if status else ""
