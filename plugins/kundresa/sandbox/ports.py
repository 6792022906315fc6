"""Where a sandbox listens, and the connections of sender accounts that lead there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

HOST = "127.0.0.1"
"""Never another: what is shown here is personal data, and nothing asks for a password."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a running sandbox listens, and in which process."""

    smtp: int
    http: int
    pid: int
    push: int = 0
    smpp: int = 0

    @property
    def smtp_uri(self) -> str:
        """The connection of an email account that leads here."""
        return f"smtp://{HOST}:{self.smtp}/?security=none"

    @property
    def sms_uri(self) -> str:
        """The connection of a text message account that leads here."""
        return f"http://{HOST}:{self.http}/2010-04-01/Accounts/sandbox/Messages.json"

    @property
    def smpp_uri(self) -> str:
        """The connection of a text message account that leads here over SMPP."""
        return f"smpp://sandbox:sandbox@{HOST}:{self.smpp}/"

    def fcm_uri(self, key_file: Path) -> str:
        """The connection of an FCM account that leads here. Any RSA key will do; ``key_file`` is PEM."""
        key = quote(key_file.read_text(), safe="")
        token_uri = quote(f"http://{HOST}:{self.http}/token", safe="")
        login = f"sandbox%40example.iam:{key}"
        query = f"security=none&project=sandbox&token_uri={token_uri}"
        return f"fcm://{login}@{HOST}:{self.push}/?{query}"

    def hook_uri(self, secret: str) -> str:
        """The connection of a webhook account that leads here; the policies must permit 127.0.0.1."""
        return self._signed_uri(secret, "hooks")

    def audience_uri(self, secret: str) -> str:
        """The connection of an audience share's account that leads here; the policies as for a webhook."""
        return self._signed_uri(secret, "audiences")

    def _signed_uri(self, secret: str, path: str) -> str:
        return f"http://:{quote(secret, safe='')}@{HOST}:{self.http}/{path}/sandbox?private=allowed"


def push_key(folder: Path) -> Path:
    """A key (PEM) with which a push account logs in to the sandbox of this folder; made once."""
    file = folder / "push_key.pem"
    if not file.exists():
        key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        file.write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    return file
