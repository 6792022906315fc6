"""The words of the pages that recipients see, and in which language."""

from __future__ import annotations

from collections.abc import Mapping

from kundresa.public.languages import da, de, en, es, fi, fr, nb, nl, sv

DEFAULT = "en"

CATALOGUE: Mapping[str, Mapping[str, str]] = {
    "da": da.TEXTS,
    "de": de.TEXTS,
    "en": en.TEXTS,
    "es": es.TEXTS,
    "fi": fi.TEXTS,
    "fr": fr.TEXTS,
    "nb": nb.TEXTS,
    "nl": nl.TEXTS,
    "sv": sv.TEXTS,
}
"""Language → key → text. Every language has every key; a test holds them together. One more is one more
module."""
_ALSO = {"no": "nb", "nn": "nb"}
"""Languages whose readers read another one."""


def choose_language(of_profile: str | None, accept_language: str) -> str:
    """The profile's language where there are words for it, else the browser's first (RFC 9110, 12.5.4), else
    English."""
    if (own := _known(of_profile or "")) is not None:
        return own
    weighed = []
    for position, part in enumerate(accept_language[:500].split(",")):
        tag, _, weight = part.partition(";")
        language = _known(tag)
        if language is not None and (quality := _quality(weight)) > 0:
            weighed.append((-quality, position, language))
    return min(weighed)[2] if weighed else DEFAULT


def _known(tag: str) -> str | None:
    """The language of a tag (BCP 47), where there are words for it."""
    language = tag.strip().lower().partition("-")[0]
    language = _ALSO.get(language, language)
    return language if language in CATALOGUE else None


def _quality(weight: str) -> float:
    text = weight.strip().removeprefix("q=")
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 0.0
