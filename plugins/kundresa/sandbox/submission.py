"""What a ``submit_sm`` of SMPP 3.4 says, read from its octets.

Numbers in comments are sections of "Short Message Peer to Peer Protocol Specification v3.4".
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from kundresa.spec.sms_text import from_septets

_HAS_HEADER = 0x40
_PAYLOAD = 0x0424
_JOINED: dict[int, str] = {0x00: ">B", 0x08: ">H"}
"""Elements of a user data header that join segments, with their reference (3GPP TS 23.040 9.2.3.24)."""
_CODINGS = {0x01: "ascii", 0x03: "latin-1", 0x08: "utf-16-be"}
_PERIOD = re.compile(r"(?P<date>\d{12})(?:000R|(?P<tenth>\d)(?P<quarters>\d\d)(?P<sign>[+-]))")
_UNITS = ("years", "months", "days", "hours", "minutes", "seconds")


class SubmissionError(ValueError):
    """The octets are no message; ``status`` is the answer to that (5.1.3)."""

    def __init__(self, status: int) -> None:
        super().__init__(f"0x{status:02X}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Submission:
    """One segment of a text, or the whole of it."""

    source: str
    destination: str
    text: str
    validity: str
    """In words; empty when none is said."""
    wants_report: bool
    reference: int = 0
    """What the segments of one text have in common; with the two following from their header."""
    total: int = 1
    number: int = 1


def read_submission(body: bytes) -> Submission:
    """4.4.1.

    Raises:
        SubmissionError: for what no centre could take.
    """
    try:
        return _read(body)
    except (IndexError, struct.error, UnicodeDecodeError):
        raise SubmissionError(0x01) from None  # ESME_RINVMSGLEN


def _read(body: bytes) -> Submission:
    _, at = _text(body, 0)
    source, at = _text(body, at + 2)
    destination, at = _text(body, at + 2)
    kind = body[at]
    _, at = _text(body, at + 3)
    validity, at = _text(body, at)
    registered, coding, length = body[at], body[at + 2], body[at + 4]
    octets = body[at + 5 : at + 5 + length]
    if len(octets) != length:
        raise SubmissionError(0x01)
    octets = octets or _payload(body[at + 5 + length :])
    reference, total, number = 0, 1, 1
    if kind & _HAS_HEADER:
        reference, total, number = _joined(octets[1 : octets[0] + 1])
        octets = octets[octets[0] + 1 :]
    written = octets.decode(_CODINGS[coding]) if coding in _CODINGS else from_septets(octets)
    period = _period(validity)
    return Submission(source, destination, written, period, bool(registered & 0x03), reference, total, number)


def _text(body: bytes, at: int) -> tuple[str, int]:
    """A text up to its NUL, and where the next field begins."""
    end = body.find(b"\0", at)
    if end < 0:
        raise SubmissionError(0x01)
    return body[at:end].decode("ascii"), end + 1


def _payload(options: bytes) -> bytes:
    """The text among the optional parameters (5.3.2.32)."""
    at = 0
    while at + 4 <= len(options):
        tag, length = struct.unpack_from(">HH", options, at)
        if tag == _PAYLOAD:
            return options[at + 4 : at + 4 + length]
        at += 4 + length
    return b""


def _joined(header: bytes) -> tuple[int, int, int]:
    """Reference, how many segments there are, and which of them this is."""
    at = 0
    while at + 2 <= len(header):
        element, length = header[at], header[at + 1]
        if element in _JOINED:
            form = _JOINED[element]
            (reference,) = struct.unpack_from(form, header, at + 2)
            after = at + 2 + struct.calcsize(form)
            return reference, header[after], header[after + 1]
        at += 2 + length
    return 0, 1, 1


def _period(text: str) -> str:
    """7.1.1, in words.

    Raises:
        SubmissionError: ESME_RINVEXPIRY.
    """
    if not text:
        return ""
    match = _PERIOD.fullmatch(text)
    if match is None:
        raise SubmissionError(0x62)
    date = match["date"]
    parts = [date[at : at + 2] for at in range(0, 12, 2)]
    if match["sign"] is None:
        said = [f"{int(value)} {unit}" for value, unit in zip(parts, _UNITS, strict=True) if int(value)]
        return f"for {', '.join(said)}"
    quarters = int(match["quarters"])
    zone = f"{match['sign']}{quarters // 4:02d}:{quarters % 4 * 15:02d}"
    return f"until 20{'-'.join(parts[:3])} {':'.join(parts[3:])} {zone}"
