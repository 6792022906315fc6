"""How long a text message is: characters, septets and segments.

3GPP TS 23.038 section 6.2.1: a text whose characters are all in the GSM 7-bit default alphabet takes 160
septets, those of its extension table count two. Any other text is UCS-2: 70 units of 16 bits, of which an
emoji takes two. A longer text is cut into segments with a header of 6 octets (TS 23.040 9.2.3.24.1), which
leaves 153 septets or 67 units for each; a pair of two is never split.
"""

from __future__ import annotations

from typing import Literal

Coding = Literal["gsm7", "ucs2"]

_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = {
    "\x0c": 0x0A,
    "^": 0x14,
    "{": 0x28,
    "}": 0x29,
    "\\": 0x2F,
    "[": 0x3C,
    "~": 0x3D,
    "]": 0x3E,
    "|": 0x40,
    "€": 0x65,
}
ESCAPE = 0x1B
SEPTETS: dict[str, bytes] = {
    **{character: bytes([code]) for code, character in enumerate(_BASIC) if code != ESCAPE},
    **{character: bytes([ESCAPE, code]) for character, code in _EXTENSION.items()},
}
"""The code of each character of the GSM alphabet, one septet to an octet; two for the extension table."""

_CHARACTERS = {code: character for character, code in SEPTETS.items()}

SINGLE: dict[Coding, int] = {"gsm7": 160, "ucs2": 70}
JOINED: dict[Coding, int] = {"gsm7": 153, "ucs2": 67}
"""Units in a text of one segment, and in each segment of a longer one."""
_UCS2_UNIT = 2


def coding_of(text: str) -> Coding:
    """The coding that a text needs."""
    return "gsm7" if all(character in SEPTETS for character in text) else "ucs2"


def segment_count(text: str) -> int:
    """How many messages the text is sent, and paid, as; 1 for an empty one."""
    return len(segments(text)[1])


def segments(text: str) -> tuple[Coding, list[bytes]]:
    """The text in segments, without headers: septets unpacked, one to an octet, or UTF-16 big-endian.

    UTF-16 where the standard says UCS-2: phones have shown pairs as one character for long.
    """
    coding = coding_of(text)
    parts = (
        [SEPTETS[character] for character in text]
        if coding == "gsm7"
        else [character.encode("utf-16-be", "replace") for character in text]
    )
    unit = 1 if coding == "gsm7" else _UCS2_UNIT
    whole = b"".join(parts)
    if len(whole) <= SINGLE[coding] * unit:
        return coding, [whole]
    cut: list[bytes] = []
    current = bytearray()
    for part in parts:
        if len(current) + len(part) > JOINED[coding] * unit:
            cut.append(bytes(current))
            current.clear()
        current += part
    cut.append(bytes(current))
    return coding, cut


def from_septets(octets: bytes) -> str:
    """What :func:`segments` has made septets of. A code that stands for nothing is a space, as phones show
    it; an extension that stands for nothing is the character of the default table (TS 23.038 6.2.1.1)."""
    text: list[str] = []
    codes = iter(octets)
    for code in codes:
        if code != ESCAPE:
            text.append(_CHARACTERS.get(bytes([code]), " "))
            continue
        extended = next(codes, None)
        if extended is None:
            break
        found = _CHARACTERS.get(bytes([ESCAPE, extended]))
        text.append(found or _CHARACTERS.get(bytes([extended]), " "))
    return "".join(text)
