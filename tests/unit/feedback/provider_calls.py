"""Calls of providers' webhooks, signed as they sign; the keys and the certificate are made here."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from kundresa.feedback.webhooks import Call

URL = "https://mail.shop.example/webhooks/mail"

Signed = tuple[dict[str, str], bytes]
"""Headers and body."""


def call(signed: Signed, at: datetime) -> Call:
    headers, body = signed
    return Call(URL, {name.lower(): value for name, value in headers.items()}, body, at)


@dataclass(frozen=True)
class SendGrid:
    """An account of SendGrid's."""

    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    @property
    def secret(self) -> str:
        """The public key as the settings page shows it."""
        return base64.b64encode(
            self.private.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        ).decode()

    def signed(self, events: object, at: datetime) -> Signed:
        body = events if isinstance(events, bytes) else json.dumps(events).encode() + b"\r\n"
        timestamp = str(int(at.timestamp()))
        signature = self.private.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
            "Content-Type": "application/json",
        }, body


def mailgun_signed(
    event: object, secret: str, at: datetime, token: str, *, parent: str = "", own: str = ""
) -> Signed:
    """
    Args:
        parent: the main account's key, for an event of a subaccount.
        own: stands in place of the signature.
    """
    timestamp = str(int(at.timestamp()))

    def signature(key: str) -> str:
        return hmac.new(key.encode(), f"{timestamp}{token}".encode(), hashlib.sha256).hexdigest()

    signed = {"timestamp": timestamp, "token": token, "signature": own or signature(secret)}
    if parent:
        signed["parent-signature"] = signature(parent)
    body = json.dumps({"signature": signed, "event-data": event}).encode()
    return {"Content-Type": "application/json"}, body


def postmark_signed(event: object, secret: str) -> Signed:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    token = base64.b64encode(secret.encode()).decode()
    return {"Authorization": f"Basic {token}", "Content-Type": "application/json"}, body


_FIELDS = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        *("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    ),
    "UnsubscribeConfirmation": (
        *("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    ),
}


class Sns:
    """Amazon SNS in one region: a topic, a key, and the pages that it serves."""

    def __init__(
        self,
        at: datetime,
        *,
        region: str = "eu-north-1",
        names: tuple[str, ...] = ("sns.amazonaws.com",),
        days: int = 30,
        partition: str = "aws",
    ) -> None:
        """
        Args:
            names: whom the certificate names: its subject, then, where there are more, its alternative names.
            days: until when it is valid.
        """
        self.arn = f"arn:{partition}:sns:{region}:123456789012:ses-events"
        suffix = ".cn" if partition == "aws-cn" else ""
        self.host = f"sns.{region}.amazonaws.com{suffix}"
        self.certificate_url = f"https://{self.host}/SimpleNotificationService-{'0f' * 16}.pem"
        self.key = rsa.generate_private_key(65537, 2048)
        self.pages: dict[str, bytes] = {self.certificate_url: self._certificate(at, names, days)}
        self.fetched: list[str] = []
        self.number = 0

    def _certificate(self, at: datetime, names: tuple[str, ...], days: int) -> bytes:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(at - timedelta(days=30))
            .not_valid_after(at + timedelta(days=days))
        )
        if len(names) > 1:
            alternative = x509.SubjectAlternativeName([x509.DNSName(each) for each in names[1:]])
            made = made.add_extension(alternative, critical=False)
        return made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        return self.pages[url]

    def message(self, content: object, at: datetime, **others: Any) -> dict[str, Any]:
        """A message before it is signed."""
        self.number += 1
        text = content if isinstance(content, str) else json.dumps(content)
        return {
            "Type": "Notification",
            "MessageId": f"00000000-0000-0000-0000-{self.number:012}",
            "TopicArn": self.arn,
            "Message": text,
            "Timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "SignatureVersion": "1",
            "SigningCertURL": self.certificate_url,
        } | others

    def signed(self, message: Mapping[str, Any]) -> Signed:
        fields = _FIELDS[message["Type"]]
        content = "".join(f"{name}\n{message[name]}\n" for name in fields if name in message)
        algorithm = hashes.SHA1() if message["SignatureVersion"] == "1" else hashes.SHA256()
        signature = self.key.sign(content.encode(), padding.PKCS1v15(), algorithm)
        told = {**message, "Signature": base64.b64encode(signature).decode()}
        headers = {
            "Content-Type": "text/plain; charset=UTF-8",
            "x-amz-sns-message-type": str(message["Type"]),
            "x-amz-sns-topic-arn": str(message["TopicArn"]),
        }
        return headers, json.dumps(told).encode()

    def subscription(self, at: datetime, kind: str = "SubscriptionConfirmation") -> dict[str, Any]:
        return self.message(
            "You have chosen to subscribe…",
            at,
            Type=kind,
            Token="2336412f37",
            SubscribeURL=f"https://{self.host}/?Action=ConfirmSubscription&TopicArn={self.arn}&Token=2336",
        )


def altered(signed: Signed) -> Signed:
    """With another byte in the middle, which leaves it JSON."""
    headers, body = signed
    place = next(
        at for at in range(len(body) // 2, len(body)) if body[at : at + 1].isalpha() and body[at] != 0x7A
    )
    return headers, body[:place] + bytes([body[place] + 1]) + body[place + 1 :]
