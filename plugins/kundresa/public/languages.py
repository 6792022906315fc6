"""The words of the pages that recipients see, and in which language."""

from __future__ import annotations

from collections.abc import Mapping

DEFAULT = "en"

_EN = {
    "unsubscribe": "Unsubscribe",
    "you_get": "You get messages about “{topic}” from us by {channel}.",
    "stop_topic": "Stop “{topic}” by {channel}",
    "stop_everything": "Stop all marketing by {channel}",
    "or_choose": "Choose what you want to get",
    "nothing_yet": "Nothing has changed yet.",
    "done": "You are unsubscribed",
    "holds_topic": "You no longer get messages about “{topic}” by {channel}. This holds from now on.",
    "holds_everything": "You no longer get any marketing by {channel}. This holds from now on.",
    "still_orders": "Messages that belong to an order of yours may still come.",
    "mistake": "Was this a mistake?",
    "undo": "Undo: I want to get it again",
    "undone": "You get it again",
    "undone_text": "You have agreed to get messages about “{topics}” by {channel} again.",
    "undo_late": "This button is no longer valid. Your choices are below.",
    "preferences": "What you get from us",
    "preferences_intro": "Choose topics and ways. Unticked means: not from us.",
    "save": "Save",
    "saved": "Saved. This holds from now on.",
    "unchanged": "Nothing was different, so nothing has changed.",
    "stop_all": "Stop all marketing, on every way",
    "stopped_all": "You no longer get any marketing from us, on any way. This holds from now on.",
    "part_of_order": "part of what you order",
    "refused": "This did not work",
    "refused_404": "This link is not valid. It may have been cut off: copy all of it from the message.",
    "refused_405": "A link is opened, and a button pressed; nothing else works here.",
    "refused_503": "We cannot record this right now. Please try again in a minute. Nothing has changed.",
    "refused_any": "We could not understand the request. Nothing has changed.",
    "mirror_gone": "This message is no longer kept.",
    "email": "email",
    "sms": "text message",
    "push": "app notification",
    "direct_mail": "letter",
    "webhook": "in our shop and our app",
}

_SV = {
    "unsubscribe": "Avregistrera",
    "you_get": "Du får meddelanden om ”{topic}” från oss via {channel}.",
    "stop_topic": "Stoppa ”{topic}” via {channel}",
    "stop_everything": "Stoppa all reklam via {channel}",
    "or_choose": "Välj vad du vill få",
    "nothing_yet": "Inget är ändrat än.",
    "done": "Du är avregistrerad",
    "holds_topic": "Du får inga fler meddelanden om ”{topic}” via {channel}. Det gäller från och med nu.",
    "holds_everything": "Du får ingen mer reklam via {channel}. Det gäller från och med nu.",
    "still_orders": "Meddelanden som hör till en beställning kan fortfarande komma.",
    "mistake": "Blev det fel?",
    "undo": "Ångra: jag vill få det igen",
    "undone": "Du får det igen",
    "undone_text": "Du har sagt ja till meddelanden om ”{topics}” via {channel} igen.",
    "undo_late": "Knappen gäller inte längre. Dina val finns här nedanför.",
    "preferences": "Vad du får från oss",
    "preferences_intro": "Välj ämnen och sätt. Utan bock betyder: inte från oss.",
    "save": "Spara",
    "saved": "Sparat. Det gäller från och med nu.",
    "unchanged": "Inget var annorlunda, så inget är ändrat.",
    "stop_all": "Stoppa all reklam, på alla sätt",
    "stopped_all": "Du får ingen mer reklam från oss, på något sätt. Det gäller från och med nu.",
    "part_of_order": "hör till det du beställer",
    "refused": "Det gick inte",
    "refused_404": "Länken är inte giltig. Den kan ha klippts av: kopiera hela länken ur meddelandet.",
    "refused_405": "En länk öppnas och en knapp trycks; annat går inte här.",
    "refused_503": "Vi kan inte spara detta just nu. Försök igen om en minut. Inget är ändrat.",
    "refused_any": "Vi kunde inte förstå det som skickades. Inget är ändrat.",
    "mirror_gone": "Meddelandet finns inte kvar.",
    "email": "e-post",
    "sms": "sms",
    "push": "appnotis",
    "direct_mail": "brev",
    "webhook": "i vår butik och vår app",
}

CATALOGUE: Mapping[str, Mapping[str, str]] = {"en": _EN, "sv": _SV}
"""Language → key → text. Every language has every key; a test holds them together."""


def choose_language(of_profile: str | None, accept_language: str) -> str:
    """The profile's language where there are words for it, else the browser's first (RFC 9110, 12.5.4), else
    English."""
    if of_profile and of_profile.lower()[:2] in CATALOGUE:
        return of_profile.lower()[:2]
    weighed = []
    for position, part in enumerate(accept_language[:500].split(",")):
        tag, _, weight = part.partition(";")
        language = tag.strip().lower()[:2]
        if language in CATALOGUE and (quality := _quality(weight)) > 0:
            weighed.append((-quality, position, language))
    return min(weighed)[2] if weighed else DEFAULT


def _quality(weight: str) -> float:
    text = weight.strip().removeprefix("q=")
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 0.0
