"""What a text message centre brings in a ``deliver_sm``: reports of our messages, and what people write.

Numbers in comments are sections of "Short Message Peer to Peer Protocol Specification v3.4".
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass, field
from typing import NamedTuple

from kundresa.channels.smpp_pdu import PduError
from kundresa.spec.sms_text import from_septets

_TYPE = 0x3C
"""5.2.12: bits 5 to 2 of esm_class; none of them for a message of a person."""
_IS_RECEIPT = 0x04
_HAS_HEADER = 0x40
_RECEIPTED_ID = 0x001E
_MESSAGE_STATE = 0x0427
_PAYLOAD = 0x0424
_NETWORK_ERROR = 0x0423
_SEGMENT_NUMBER = 0x020F
_GSM = 3
_INTERNATIONAL, _NATIONAL = 1, 2
_ASCII, _LATIN_1, _UCS2 = 0x01, 0x03, 0x08
_STATES = {2: "DELIVRD", 3: "EXPIRED", 4: "DELETED", 5: "UNDELIV", 6: "ACCEPTD", 7: "UNKNOWN", 8: "REJECTD"}
_RECEIPT = re.compile(r"\b(id|stat|err):\s*(\S*)", re.IGNORECASE)
_MOST_TEXT = 1_000


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What a text message centre says of a message some time after it took it (appendix B)."""

    provider_id: str
    state: str
    """DELIVRD, EXPIRED, DELETED, UNDELIV, ACCEPTD, UNKNOWN or REJECTD; a centre may have its own."""
    error: str
    """The centre's or the network's own code, or nothing."""
    gsm_error: int | None = None
    """The error of the GSM network (3GPP TS 29.002 17.6), where the centre gives it as such."""
    numbers: tuple[str, ...] = field(default=(), compare=False)
    """Whose telephone it is of, as the centre writes it: digits. Where it names both ends, one of them is."""

    @property
    def is_delivered(self) -> bool:
        return self.state == "DELIVRD"


@dataclass(frozen=True, slots=True)
class TextReply:
    """What a person has written to one of our numbers."""

    sender: str
    """The person's number: E.164, or as the centre writes it where it does not say of which country."""
    text: str
    """At most 1,000 characters; of a text in segments the first of them."""
    fingerprint: str
    """The same for the same unit: a centre that got no answer brings it again."""


Arrival = DeliveryReport | TextReply


class _Deliver(NamedTuple):
    source_type: int
    source: str
    destination: str
    esm_class: int
    coding: int
    text: bytes
    options: dict[int, bytes]


def read_deliver(body: bytes) -> Arrival | None:
    """The report, or a person's words, in a ``deliver_sm``, without control characters. None where it says
    neither: a later segment of a longer text, a report that names no message.

    Raises:
        PduError: when it is cut short.
    """
    try:
        parts = _parts(body)
    except (IndexError, ValueError, struct.error):
        raise PduError("a deliver_sm that is cut short") from None
    if parts.esm_class & _IS_RECEIPT:
        return _report(parts)
    if parts.esm_class & _TYPE:
        return None
    return _reply(parts, body)


def _report(parts: _Deliver) -> DeliveryReport | None:
    words = {key.lower(): _printable(value) for key, value in _RECEIPT.findall(parts.text.decode("latin-1"))}
    provider_id = _printable(parts.options.get(_RECEIPTED_ID, b"").decode("ascii", "replace"))
    provider_id = provider_id or words.get("id", "")
    state = words.get("stat", "")
    if not state and parts.options.get(_MESSAGE_STATE):
        state = _STATES.get(parts.options[_MESSAGE_STATE][0], "UNKNOWN")
    if not provider_id:
        return None
    # 5.3.2.31: the kind of network, then its code in two octets.
    network = parts.options.get(_NETWORK_ERROR, b"")
    gsm_error = int.from_bytes(network[1:]) if len(network) == 3 and network[0] == _GSM else None
    ends = (each.lstrip("+") for each in (parts.source, parts.destination))
    numbers = tuple(each for each in ends if each.isascii() and each.isdecimal())
    return DeliveryReport(provider_id, state.upper(), words.get("err", ""), gsm_error, numbers)


def _reply(parts: _Deliver, body: bytes) -> TextReply | None:
    octets, segment = parts.text, 1
    if parts.esm_class & _HAS_HEADER and octets:
        segment = _segment_number(octets[1 : 1 + octets[0]])
        octets = octets[1 + octets[0] :]
    if parts.options.get(_SEGMENT_NUMBER):
        segment = parts.options[_SEGMENT_NUMBER][0]
    if segment > 1:
        return None
    text = "".join(each if each.isprintable() else " " for each in _decoded(octets, parts.coding)).strip()
    return TextReply(
        sender=_e164(parts.source_type, _printable(parts.source)),
        text=text[:_MOST_TEXT],
        fingerprint=hashlib.sha256(body).hexdigest(),
    )


def _parts(body: bytes) -> _Deliver:
    at = body.index(b"\0") + 1
    source_type = body[at]
    end = body.index(b"\0", at + 2)
    source = body[at + 2 : end]
    at = end + 1
    end = body.index(b"\0", at + 2)
    destination = body[at + 2 : end]
    at = end + 1
    esm_class = body[at]
    at += 3
    for _ in range(2):
        at = body.index(b"\0", at) + 1
    coding = body[at + 2]
    at += 4
    length = body[at]
    at += 1
    text = body[at : at + length]
    if len(text) != length:
        raise ValueError("short")
    options = _options(body, at + length)
    return _Deliver(
        source_type=source_type,
        source=source.decode("latin-1"),
        destination=destination.decode("latin-1"),
        esm_class=esm_class,
        coding=coding,
        text=options.get(_PAYLOAD) or text,
        options=options,
    )


def _options(body: bytes, at: int) -> dict[int, bytes]:
    found = {}
    while at + 4 <= len(body):
        tag, length = struct.unpack_from(">HH", body, at)
        found[tag] = body[at + 4 : at + 4 + length]
        at += 4 + length
    return found


def _segment_number(header: bytes) -> int:
    """3GPP TS 23.040 9.2.3.24: elements of a kind, a length and what they say."""
    at = 0
    while at + 2 <= len(header):
        kind, length = header[at], header[at + 1]
        said = header[at + 2 : at + 2 + length]
        if kind in (0x00, 0x08) and said:
            return said[-1]
        at += 2 + length
    return 1


def _decoded(octets: bytes, coding: int) -> str:
    """Septets of the default alphabet come unpacked, as they go out."""
    if coding == _UCS2:
        return octets.decode("utf-16-be", "replace")
    if coding in (_ASCII, _LATIN_1):
        return octets.decode("latin-1")
    return from_septets(octets)


def _e164(kind: int, address: str) -> str:
    """Many centres leave the type of a number unknown; with a country it does not begin with a zero."""
    digits = address.removeprefix("+")
    if not digits.isdecimal() or kind == _NATIONAL:
        return address
    if kind != _INTERNATIONAL and digits.startswith("00"):
        digits = digits[2:]
    return address if digits.startswith("0") else f"+{digits}"


def _printable(value: str) -> str:
    return "".join(each for each in value if each.isprintable())
