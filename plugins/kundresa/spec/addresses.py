"""Addresses as contact points are written, so that one that is typed or sent in finds what is known of it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kundresa.spec.vocabulary import ChannelKind

ADDRESS_NAMESPACES: Mapping[str, ChannelKind] = {"email": ChannelKind.EMAIL, "phone": ChannelKind.SMS}
"""The namespaces whose identifiers are addresses, and the channel that each is an address on."""
MOST_CHARACTERS = 254
"""Of an email address (RFC 5321 section 4.5.3.1.3, less the angle brackets)."""
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_NUMBER = re.compile(r"\+[1-9]\d{6,14}")  # E.164
_BETWEEN_DIGITS = re.compile(r"[\s().-]")


def normalised_identifier(text: str, namespace: str) -> str:
    """The identifier as contact points and ``profile_identifiers`` have it: an address as
    :func:`normalised_address` writes it, any other without the space around it.

    Raises:
        ValueError: when the namespace is one of addresses, and this is none.
    """
    channel = ADDRESS_NAMESPACES.get(namespace)
    return text.strip() if channel is None else normalised_address(text, channel)


def normalised_address(text: str, channel: ChannelKind) -> str:
    """The address as contact points are written: an email in lower case, a number in E.164, any other as it
    is (a device token, a postal address on one line, a profile id).

    Raises:
        ValueError: when it is none of the channel's; recorded all the same, it would match nobody.
    """
    text = text.strip()
    if channel is ChannelKind.SMS:
        text = _BETWEEN_DIGITS.sub("", text)
        if not _NUMBER.fullmatch(text):
            raise ValueError("expected a number in E.164 form, for example +46701234567")
        return text
    if channel is ChannelKind.EMAIL:
        text = text.lower()
        if not _EMAIL.fullmatch(text) or len(text) > MOST_CHARACTERS or not text.isprintable():
            raise ValueError("expected an email address, for example anna@example.com")
        return text
    if not text:
        raise ValueError("the address is empty")
    return text
