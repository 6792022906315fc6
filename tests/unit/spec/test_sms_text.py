"""Segments of text messages, at the boundaries of 3GPP TS 23.038 and 23.040."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundresa.spec.sms_text import JOINED, SEPTETS, SINGLE, coding_of, segment_count, segments


@pytest.mark.parametrize(
    ("text", "coding", "count"),
    [
        ("", "gsm7", 1),
        ("a" * 160, "gsm7", 1),
        ("a" * 161, "gsm7", 2),
        ("a" * 306, "gsm7", 2),
        ("a" * 307, "gsm7", 3),
        ("€" * 80, "gsm7", 1),
        ("€" * 81, "gsm7", 2),
        ("Åäö ñ ¿?", "gsm7", 1),
        ("ç", "ucs2", 1),
        ("日" * 70, "ucs2", 1),
        ("日" * 71, "ucs2", 2),
        ("日" * 134, "ucs2", 2),
        ("日" * 135, "ucs2", 3),
        ("👋" * 35, "ucs2", 1),
        ("👋" * 36, "ucs2", 2),
        ("a" * 69 + "👋", "ucs2", 2),
    ],
)
def test_boundaries(text: str, coding: str, count: int) -> None:
    assert (coding_of(text), segment_count(text)) == (coding, count)


def test_a_pair_is_never_split() -> None:
    _, cut = segments("a" * 152 + "€" + "a" * 60)
    assert [len(each) for each in cut] == [152, 62]
    _, cut = segments("日" * 66 + "👋" + "日" * 10)
    assert [each.decode("utf-16-be") for each in cut] == ["日" * 66, "👋" + "日" * 10]


@given(st.text(st.sampled_from([*SEPTETS, "日", "👋", "ç"]), max_size=700))
def test_the_segments_together_are_the_text(text: str) -> None:
    coding, cut = segments(text)
    size = 1 if coding == "gsm7" else 2
    assert all(len(each) <= (SINGLE if len(cut) == 1 else JOINED)[coding] * size for each in cut)
    whole = b"".join(cut)
    if coding == "ucs2":
        assert whole.decode("utf-16-be") == text
    else:
        assert whole == b"".join(SEPTETS[character] for character in text)
