"""SMPP 3.4: the few units that a sender of text messages writes and reads, as octets.

Numbers in comments are sections of "Short Message Peer to Peer Protocol Specification v3.4".
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

HEADER = struct.Struct(">IIII")
MAX_PDU = 65_536
RESPONSE = 0x80000000
GENERIC_NACK = 0x80000000
SUBMIT_SM = 0x00000004
DELIVER_SM = 0x00000005
UNBIND = 0x00000006
BIND_RECEIVER = 0x00000001
BIND_TRANSMITTER = 0x00000002
BIND_TRANSCEIVER = 0x00000009
ENQUIRE_LINK = 0x00000015

STATUS_NAMES: Mapping[int, str] = {
    0x00: "ESME_ROK",
    0x01: "ESME_RINVMSGLEN",
    0x04: "ESME_RINVBNDSTS",
    0x05: "ESME_RALYBND",
    0x08: "ESME_RSYSERR",
    0x0A: "ESME_RINVSRCADR",
    0x0B: "ESME_RINVDSTADR",
    0x0D: "ESME_RBINDFAIL",
    0x0E: "ESME_RINVPASWD",
    0x0F: "ESME_RINVSYSID",
    0x14: "ESME_RMSGQFUL",
    0x45: "ESME_RSUBMITFAIL",
    0x48: "ESME_RINVSRCTON",
    0x49: "ESME_RINVSRCNPI",
    0x50: "ESME_RINVDSTTON",
    0x51: "ESME_RINVDSTNPI",
    0x58: "ESME_RTHROTTLED",
    0x64: "ESME_RX_T_APPN",
    0x65: "ESME_RX_P_APPN",
    0x66: "ESME_RX_R_APPN",
    0xFF: "ESME_RUNKNOWNERR",
}
"""5.1.3, those that are told apart; a provider's own are from 0x400."""

_DATA_CODING = {"gsm7": 0x00, "ucs2": 0x08}
_HAS_HEADER = 0x40
_IS_RECEIPT = 0x04
_INTERFACE_VERSION = 0x34
_RECEIPTED_ID = 0x001E
_MESSAGE_STATE = 0x0427
_PAYLOAD = 0x0424
_NETWORK_ERROR = 0x0423
_GSM = 3
_STATES = {2: "DELIVRD", 3: "EXPIRED", 4: "DELETED", 5: "UNDELIV", 6: "ACCEPTD", 7: "UNKNOWN", 8: "REJECTD"}
_RECEIPT = re.compile(r"\b(id|stat|err):\s*(\S*)", re.IGNORECASE)


class PduError(ValueError):
    """The octets are no unit of SMPP."""


class Pdu(NamedTuple):
    """One unit."""

    command: int
    status: int
    sequence: int
    body: bytes


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

    @property
    def is_delivered(self) -> bool:
        return self.state == "DELIVRD"


def status_name(status: int) -> str:
    """As the specification calls it, or its number."""
    return STATUS_NAMES.get(status, f"0x{status:08X}")


def pack(command: int, status: int, sequence: int, body: bytes = b"") -> bytes:
    return HEADER.pack(HEADER.size + len(body), command, status, sequence) + body


def unpack(buffer: bytearray) -> list[Pdu]:
    """Takes the whole units from the beginning of ``buffer``.

    Raises:
        PduError: when what stands there can be none.
    """
    found = []
    at = 0
    while len(buffer) - at >= HEADER.size:
        length, command, status, sequence = HEADER.unpack_from(buffer, at)
        if not HEADER.size <= length <= MAX_PDU:
            raise PduError(f"a unit of {length} octets")
        if len(buffer) - at < length:
            break
        found.append(Pdu(command, status, sequence, bytes(buffer[at + HEADER.size : at + length])))
        at += length
    del buffer[:at]
    return found


def bind_body(system_id: str, password: str, system_type: str) -> bytes:
    """4.1.5, without an address range."""
    texts = b"".join(_text(each) for each in (system_id, password, system_type))
    return texts + bytes([_INTERFACE_VERSION, 0, 0]) + b"\0"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is the same in every message of a sender."""

    source: bytes
    """Type of number, numbering plan, address."""

    @classmethod
    def of(cls, sender: str) -> Envelope:
        """Of an E.164 number (international, ISDN) or of an alphanumeric sender (5.2.5)."""
        if sender.startswith("+"):
            return cls(b"\x01\x01" + _text(sender[1:]))
        return cls(b"\x05\x00" + _text(sender))

    def submit_body(
        self, number: str, coding: str, short_message: bytes, *, has_header: bool, wants_receipt: bool
    ) -> bytes:
        """4.4.1. Septets of the default alphabet go unpacked, one to an octet, as 5.2.19 has it and as most
        centres take them."""
        octets = [
            b"\0",
            self.source,
            b"\x01\x01" + _text(number.removeprefix("+")),
            bytes([_HAS_HEADER if has_header else 0, 0, 0]),
            b"\0\0",
            bytes([1 if wants_receipt else 0, 0, _DATA_CODING[coding], 0, len(short_message)]),
            short_message,
        ]
        return b"".join(octets)


def with_header(cut: list[bytes], reference: int) -> list[bytes]:
    """The segments of one text with the header that joins them: 8-bit reference, total and number (3GPP TS
    23.040 9.2.3.24.1)."""
    if len(cut) == 1:
        return cut
    return [
        bytes([5, 0, 3, reference & 0xFF, len(cut), number]) + segment
        for number, segment in enumerate(cut, start=1)
    ]


def message_id_of(body: bytes) -> str:
    """The centre's name for a message (4.4.2)."""
    return body.partition(b"\0")[0].decode("ascii", "replace")


def read_report(body: bytes) -> DeliveryReport | None:
    """The report in a ``deliver_sm``, without control characters; None where it is something else, such as a
    person's reply.

    Raises:
        PduError: when it is cut short.
    """
    try:
        is_receipt, text, options = _deliver_parts(body)
    except (IndexError, ValueError, struct.error):
        raise PduError("a deliver_sm that is cut short") from None
    if not is_receipt:
        return None
    words = {key.lower(): _printable(value) for key, value in _RECEIPT.findall(text)}
    provider_id = _printable(options.get(_RECEIPTED_ID, b"").decode("ascii", "replace"))
    provider_id = provider_id or words.get("id", "")
    state = words.get("stat", "")
    if not state and options.get(_MESSAGE_STATE):
        state = _STATES.get(options[_MESSAGE_STATE][0], "UNKNOWN")
    if not provider_id:
        return None
    # 5.3.2.31: the kind of network, then its code in two octets.
    network = options.get(_NETWORK_ERROR, b"")
    gsm_error = int.from_bytes(network[1:]) if len(network) == 3 and network[0] == _GSM else None
    return DeliveryReport(provider_id, state.upper(), words.get("err", ""), gsm_error)


def _deliver_parts(body: bytes) -> tuple[bool, str, dict[int, bytes]]:
    at = body.index(b"\0") + 1
    for _ in range(2):
        at = body.index(b"\0", at + 2) + 1
    is_receipt = bool(body[at] & _IS_RECEIPT)
    at += 3
    for _ in range(2):
        at = body.index(b"\0", at) + 1
    at += 4
    length = body[at]
    at += 1
    text = body[at : at + length]
    if len(text) != length:
        raise ValueError("short")
    options = _options(body, at + length)
    return is_receipt, (options.get(_PAYLOAD) or text).decode("latin-1"), options


def _options(body: bytes, at: int) -> dict[int, bytes]:
    found = {}
    while at + 4 <= len(body):
        tag, length = struct.unpack_from(">HH", body, at)
        found[tag] = body[at + 4 : at + 4 + length]
        at += 4 + length
    return found


def _printable(value: str) -> str:
    return "".join(each for each in value if each.isprintable())


def _text(value: str) -> bytes:
    return value.encode("ascii") + b"\0"
