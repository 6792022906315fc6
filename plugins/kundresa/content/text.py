"""Characters that may not reach a message: what a name typed into a web shop can hold."""

from __future__ import annotations

import re
import unicodedata

MAX_PART = 2_000_000
"""Characters of one rendered part. Ten times the largest newsletter seen; what is above is a loop that got
away."""
MAX_SUBJECT = 255
"""Characters. RFC 5322 allows more; no mail client shows it."""
ELLIPSIS = "…"

_LINE_BREAKS = re.compile("\r\n?|[\u2028\u2029\x0b\x0c\x85]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_ONE_LINE = re.compile("[\\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_JOINERS = "\u200d\ufe0f"


def body_text(text: str) -> str:
    """Line breaks of every kind become LF, other control characters go, half characters (lone
    surrogates, which have no UTF-8 form) become U+FFFD."""
    text = _LINE_BREAKS.sub("\n", text)
    return _SURROGATES.sub("\ufffd", _CONTROLS.sub("", text))


def subject_line(text: str) -> str:
    """One line of at most ``MAX_SUBJECT`` characters: runs of white space and control characters
    become one space; a longer text ends in ``…``, not in the middle of an accent or joined emoji."""
    # No white space but the space is printable.
    if len(text) <= MAX_SUBJECT and text.isprintable() and "  " not in text and text == text.strip():
        return text
    line = _SURROGATES.sub("\ufffd", _ONE_LINE.sub(" ", text).strip())
    if len(line) <= MAX_SUBJECT:
        return line
    end = MAX_SUBJECT - len(ELLIPSIS)
    while end > 0 and _joins(line[end - 1], line[end]):
        end -= 1
    # A text of nothing but combining characters has no good place to cut.
    return line[: end or MAX_SUBJECT - len(ELLIPSIS)].rstrip() + ELLIPSIS


def _joins(before: str, after: str) -> bool:
    return after in _JOINERS or before == _JOINERS[0] or unicodedata.combining(after) != 0
