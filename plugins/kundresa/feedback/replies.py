"""What people write back to a text message: which words are a no. One rule, whichever way they come.

A reply is a no when it is one of the words below, in any spelling of case, accents and punctuation, or begins
with one that means nothing else (``STOP SHOP``, ``Stop texting me``). Who sends a text does not say in which
language the answer will be, so the words of all count everywhere. ``dags/policies.yaml`` adds a brand's own
(``replies: {opt_out: [NEJ TACK]}``). There is no word for a yes: it would have to say to what; people say it
on their preference page.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

OPT_OUT_WORDS: Mapping[str, tuple[str, ...]] = {
    "da": ("stop", "afmeld", "afmelde", "stands"),
    "de": ("stopp", "abmelden", "abbestellen", "beenden"),
    "en": (
        "stop",
        "stop all",
        "stopall",
        "unsubscribe",
        "opt out",
        "optout",
        "end",
        "quit",
        "cancel",
        "revoke",
    ),
    "es": ("baja", "parar", "alto", "cancelar"),
    "fi": ("lopeta", "peruuta", "poistu"),
    "fr": ("stop", "arrêt", "arrêter", "désabonner", "désinscrire"),
    "it": ("stop", "basta", "disiscrivi", "annulla", "cancella"),
    "nb": ("stopp", "avslutt", "avmeld", "meld av"),
    "nl": ("stop", "stoppen", "afmelden", "uitschrijven"),
    "pl": ("stop", "rezygnuję", "wypisz"),
    "pt": ("parar", "pare", "sair", "cancelar"),
    "sv": ("stopp", "avsluta", "avregistrera", "avanmäl", "sluta"),
}
"""By language (ISO 639-1). The English ones are those that carriers in North America demand."""
_UNMISTAKABLE = frozenset({"stop", "stopp", "stopall", "unsubscribe", "optout"})
_MOST = 200
"""Characters that are looked at."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What one person has written back, by text message."""

    event_id: str
    """The same when it is told again."""
    sender: str
    """Their number: E.164, or as they who told it write it."""
    text: str
    is_no: bool = False
    """Who told it has understood it as a no, and blocks the number."""


def is_opt_out(text: str, own_words: Collection[str] = ()) -> bool:
    """Whether a reply asks for no more messages; ``own_words`` are the brand's, beside those above."""
    said = _plain(text[:_MOST])
    first = said.partition(" ")[0]
    return said in _known() or first in _UNMISTAKABLE or said in {_plain(word) for word in own_words} - {""}


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(_plain(word) for words in OPT_OUT_WORDS.values() for word in words)


def _plain(text: str) -> str:
    """Letters and digits in small letters without accents, one space between words."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    kept = "".join(each for each in apart if not unicodedata.combining(each))
    return " ".join("".join(each if each.isalnum() else " " for each in kept).split())
