"""Which replies to a text message are a no."""

from __future__ import annotations

import pytest

from kundresa.feedback.replies import OPT_OUT_WORDS, is_opt_out


@pytest.mark.parametrize(
    "text",
    [
        "STOP",
        "stop",
        " Stop. ",
        "STOPP!",
        "Stop all",
        "STOP SHOP",
        "Stop texting me",
        "ARRÊT",
        "arret",
        "Opt-out",
        "avsluta",
        "AVANMÄL",
        "opt  out",
        "Unsubscribe please",
        '"STOP"',
        "ＳＴＯＰ",
        "stop🙏",
    ],
)
def test_a_no(text: str) -> None:
    assert is_opt_out(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "!",
        "yes",
        "Tack!",
        "START",
        "Please don't stop",
        "nonstop",
        "end of the week?",
        "cancel my order",
        "🛑",
    ],
)
def test_no_no(text: str) -> None:
    assert not is_opt_out(text)


def test_every_word_of_every_language_counts_wherever_it_comes_from() -> None:
    for words in OPT_OUT_WORDS.values():
        for word in words:
            assert is_opt_out(word.upper()), word


def test_a_brands_own_words() -> None:
    assert not is_opt_out("Nej tack!")
    assert is_opt_out("Nej tack!", ["NEJ TACK"])
    assert not is_opt_out("", ["!"])
