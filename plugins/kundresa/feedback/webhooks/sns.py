"""Messages of one Amazon SNS topic, believed by their signature ("Verifying the signatures of Amazon SNS
messages"; signature versions 1, SHA-1, and 2, SHA-256).

The certificate is fetched from where the message says, if that is what it should be: the topic's own region
of Amazon's, ``https://sns.<region>.amazonaws.com/SimpleNotificationService-….pem``, over TLS that is verified
for this host. It is kept; so are, for ``ABSENT_FOR``, the names under which there is none. A fetch takes
``FETCH_SECONDS`` at most, and SNS waits 15 s for an answer. ``WAITING`` calls at once may wait for one: more
are told to come again, so that forged messages leave the service its threads.

SNS takes any 4xx as an answer for good, and tells again, for an hour, what was answered with 5xx. So what
cannot be checked now is ``NotNow``.
"""

from __future__ import annotations

import base64
import re
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.client import HTTPException
from urllib.parse import urlencode

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from kundresa.feedback.webhooks.fields import an_object, parse_body
from kundresa.feedback.webhooks.reports import (
    MAX_RETOLD_AGE,
    Call,
    NotBelieved,
    NotNow,
    NotUnderstood,
    believe_age,
)
from kundresa.spec.events import parse_instant

FETCH_SECONDS = 5.0
MAX_PAGE = 100_000
"""Octets of what is fetched; a certificate has some 2,000."""
WAITING = 4
REMEMBERED = 64
"""Certificates, and names under which there is none, that are kept."""
ABSENT_FOR = timedelta(minutes=5)
"""For how long there is none: a proxy may have said so, or the name is new, and SNS takes a 403 for good."""

NOTIFICATION = "Notification"
SUBSCRIPTION = "SubscriptionConfirmation"
UNSUBSCRIPTION = "UnsubscribeConfirmation"
_SIGNED: Mapping[str, tuple[str, ...]] = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    SUBSCRIPTION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    UNSUBSCRIPTION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_OPTIONAL = "Subject"
_HASHES: Mapping[str, type[hashes.SHA1] | type[hashes.SHA256]] = {"1": hashes.SHA1, "2": hashes.SHA256}
_ARN = re.compile(r"arn:aws(-cn|-us-gov)?:sns:([a-z]{2}(?:-[a-z]+){1,3}-\d):\d{12}:[A-Za-z0-9_-]{1,256}\Z")
_PEM_PATH = re.compile(r"/SimpleNotificationService-[A-Za-z0-9]{8,80}\.pem\Z")
_OWNER = re.compile(r"sns(?:-signing)?(?:[.-][a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?\Z")
"""Whom a signing certificate names: ``sns.amazonaws.com``, in some regions ``sns-signing.<region>.…`` or
``sns-<region>.…``."""

Fetch = Callable[[str], bytes]
"""URL → what is there; raises FetchError or AbsentError."""


class FetchError(Exception):
    """It could not be fetched now."""


class AbsentError(Exception):
    """There is no such thing."""


class _Nowhere(urllib.request.HTTPRedirectHandler):
    """What answers with another address is not followed."""

    def redirect_request(self, *_: object) -> None:
        return None


def fetch(url: str) -> bytes:
    """Get a page over TLS, through the proxy that the environment names, if any; no redirects.

    Raises:
        FetchError, AbsentError: as they say.
        ValueError: for another protocol.
    """
    if not url.startswith("https://"):
        raise ValueError("only https is fetched")
    secure = urllib.request.HTTPSHandler(context=ssl.create_default_context())
    opener = urllib.request.build_opener(secure, _Nowhere)
    try:
        with opener.open(url, timeout=FETCH_SECONDS) as page:
            found: bytes = page.read(MAX_PAGE + 1)
    except urllib.error.HTTPError as error:
        error.close()
        if 400 <= error.code < 500 and error.code != 429:
            raise AbsentError(f"answered with {error.code}") from None
        raise FetchError(f"answered with {error.code}") from None
    except (OSError, HTTPException) as error:
        raise FetchError(type(error).__name__) from None
    if len(found) > MAX_PAGE:
        raise AbsentError("it is too large")
    return found


class Topic:
    """One topic: its messages, and the answer that makes SNS send them."""

    def __init__(self, arn: str, fetch: Fetch) -> None:
        """
        Raises:
            ValueError: when it is no ARN of a topic.
        """
        match = _ARN.match(arn)
        if match is None:
            raise ValueError("the secret of an ses webhook is the ARN of its SNS topic: arn:aws:sns:…")
        self.arn = arn
        self._host = f"sns.{match[2]}.amazonaws.com{'.cn' if match[1] == '-cn' else ''}"
        self._fetch = fetch
        self._certificates = Certificates(fetch)

    def message(self, call: Call) -> Mapping[str, str]:
        """The fields of a message, all that are signed.

        Raises:
            NotBelieved: for whatever is not signed, or of another topic.
            NotNow: when the certificate cannot be had.
        """
        if call.headers.get("x-amz-sns-rawdelivery", "") == "true":
            raise NotBelieved("raw message delivery sends no signature; turn it off for this subscription")
        try:
            told = an_object(parse_body(call.body))
        except NotUnderstood:
            raise NotBelieved("it is no message of SNS") from None
        given = {name: value for name, value in told.items() if isinstance(value, str)}
        if given.get("TopicArn") != self.arn:
            raise NotBelieved("it is of another topic")
        kind, version = given.get("Type", ""), given.get("SignatureVersion", "")
        if kind not in _SIGNED or version not in _HASHES:
            raise NotBelieved("its type or the version of its signature is not known")
        signed = {name: given[name] for name in _SIGNED[kind] if name in given}
        if any(name not in signed for name in _SIGNED[kind] if name != _OPTIONAL):
            raise NotBelieved("a field that is signed is missing")
        # They are signed a line each: with lines of its own one could pass for two.
        if any("\n" in value for name, value in signed.items() if name != "Message"):
            raise NotBelieved("a field that is signed has several lines")
        key = self._certificates.key(self._signing_url(given.get("SigningCertURL", "")), call.at)
        content = "".join(f"{name}\n{value}\n" for name, value in signed.items())
        try:
            signature = base64.b64decode(given.get("Signature", ""), validate=True)
            key.verify(signature, content.encode(), padding.PKCS1v15(), _HASHES[version]())
        except (ValueError, InvalidSignature):
            raise NotBelieved("the signature is missing or wrong") from None
        except UnsupportedAlgorithm:
            raise NotBelieved("SHA-1 is not to be had here: let the topic sign with version 2") from None
        believe_age(call.at, parse_instant(signed["Timestamp"]), MAX_RETOLD_AGE)
        return signed

    def confirm(self, message: Mapping[str, str]) -> None:
        """Answer a subscription's confirmation: SNS sends nothing else before.

        Raises:
            NotNow: when SNS cannot be reached.
            NotUnderstood: when it knows nothing of it, or no more.
        """
        query = {"Action": "ConfirmSubscription", "TopicArn": self.arn, "Token": message["Token"]}
        try:
            # The address is made here and not taken from the message.
            self._fetch(f"https://{self._host}/?{urlencode(query)}")
        except FetchError as error:
            raise NotNow(f"the subscription could not be confirmed: {error}") from None
        except AbsentError as error:
            raise NotUnderstood(f"SNS does not confirm this subscription: {error}") from None

    def _signing_url(self, url: str) -> str:
        place = f"https://{self._host}"
        if not url.startswith(place) or not _PEM_PATH.match(url.removeprefix(place)):
            raise NotBelieved("its certificate is not at Amazon SNS in the topic's region")
        return url


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose signature it is, and when it holds."""

    key: RSAPublicKey
    since: datetime
    until: datetime


class Certificates:
    """Signing certificates by where they stand; for several threads."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._known: dict[str, Signer | datetime] = {}
        """A certificate, or when there was none."""
        self._one = threading.Lock()
        self._waiting = threading.BoundedSemaphore(WAITING)

    def key(self, url: str, at: datetime) -> RSAPublicKey:
        """
        Raises:
            NotBelieved: when there is no certificate there, it names somebody else, or is not valid now.
            NotNow: when it cannot be fetched, or too many are waiting.
        """
        found = self._remembered(url, at)
        signer = self._wait_for(url, at) if found is None else found
        if not isinstance(signer, Signer):
            raise NotBelieved("there is no certificate of Amazon SNS where it says")
        if not signer.since <= at <= signer.until:
            raise NotBelieved("the certificate is not valid now")
        return signer.key

    def _remembered(self, url: str, at: datetime) -> Signer | datetime | None:
        found = self._known.get(url)
        return None if isinstance(found, datetime) and at - found > ABSENT_FOR else found

    def _wait_for(self, url: str, at: datetime) -> Signer | datetime:
        if not self._waiting.acquire(blocking=False):
            raise NotNow("other certificates are being fetched")
        try:
            with self._one:
                found = self._remembered(url, at)
                if found is None:
                    found = self._fetched(url) or at
                    if url not in self._known and len(self._known) >= REMEMBERED:
                        self._forget_one()
                    self._known[url] = found
                return found
        finally:
            self._waiting.release()

    def _forget_one(self) -> None:
        """A name under which there is nothing first: those are what somebody can make up."""
        worthless = next((url for url, found in self._known.items() if isinstance(found, datetime)), None)
        del self._known[worthless or next(iter(self._known))]

    def _fetched(self, url: str) -> Signer | None:
        try:
            certificate = x509.load_pem_x509_certificate(self._fetch(url))
            key, names = certificate.public_key(), _names(certificate)
        except FetchError as error:
            raise NotNow(f"the certificate could not be fetched: {error}") from None
        except (AbsentError, ValueError, UnsupportedAlgorithm):
            return None
        if not isinstance(key, RSAPublicKey) or not any(_OWNER.match(name) for name in names):
            return None
        return Signer(key, certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def _names(certificate: x509.Certificate) -> list[str]:
    """The hosts that it names."""
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return alternative.value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return [str(each.value) for each in common]
