"""SMPP 3.4: the few units that a sender of text messages writes and reads, as octets.

Numbers in comments are sections of "Short Message Peer to Peer Protocol Specification v3.4".
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
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
    0x62: "ESME_RINVEXPIRY",
    0x64: "ESME_RX_T_APPN",
    0x65: "ESME_RX_P_APPN",
    0x66: "ESME_RX_R_APPN",
    0xFF: "ESME_RUNKNOWNERR",
}
"""5.1.3, those that are told apart; a provider's own are from 0x400."""

_DATA_CODING = {"gsm7": 0x00, "ucs2": 0x08}
_HAS_HEADER = 0x40
_INTERFACE_VERSION = 0x34


class PduError(ValueError):
    """The octets are no unit of SMPP."""


class Pdu(NamedTuple):
    """One unit."""

    command: int
    status: int
    sequence: int
    body: bytes


def status_name(status: int) -> str:
    """As the specification calls it, or its number."""
    return STATUS_NAMES.get(status, f"0x{status:08X}")


def pack(command: int, status: int, sequence: int, body: bytes = b"") -> bytes:
    return HEADER.pack(HEADER.size + len(body), command, status, sequence) + body


def unpack(buffer: bytearray) -> list[Pdu]:
    """Takes the whole units from the beginning of ``buffer``, up to what can be none.

    Raises:
        PduError: when that stands at the beginning.
    """
    found: list[Pdu] = []
    at = 0
    while len(buffer) - at >= HEADER.size:
        length, command, status, sequence = HEADER.unpack_from(buffer, at)
        if not HEADER.size <= length <= MAX_PDU:
            if found:
                break
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
        self,
        number: str,
        coding: str,
        short_message: bytes,
        *,
        has_header: bool,
        wants_receipt: bool,
        validity: str = "",
    ) -> bytes:
        """4.4.1. Septets of the default alphabet go unpacked, one to an octet, as 5.2.19 has it and as most
        centres take them.

        Args:
            validity: see :func:`relative_time` and :func:`absolute_time`; empty leaves it to the centre.
        """
        octets = [
            b"\0",
            self.source,
            b"\x01\x01" + _text(number.removeprefix("+")),
            bytes([_HAS_HEADER if has_header else 0, 0, 0]),
            b"\0" + _text(validity),
            bytes([1 if wants_receipt else 0, 0, _DATA_CODING[coding], 0, len(short_message)]),
            short_message,
        ]
        return b"".join(octets)


def relative_time(seconds: int) -> str:
    """So long from now, by the centre's clock (7.1.1.2): at most 99 days."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    return f"0000{day:02d}{hour:02d}{minute:02d}{second:02d}000R"


def absolute_time(moment: datetime) -> str:
    """An instant in UTC (7.1.1.1)."""
    return f"{moment.astimezone(UTC):%y%m%d%H%M%S}000+"


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


def _text(value: str) -> bytes:
    return value.encode("ascii") + b"\0"
