"""Addresses in the form that goes over the wire, or a reason why there is none."""

from __future__ import annotations

import re
from functools import lru_cache

import idna

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = re.compile(rf"{_ATOM}(\.{_ATOM})*\Z")
_DOMAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+\Z")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}\Z")

MAX_LOCAL = 64
MAX_MAILBOX = 254
"""RFC 5321 4.5.3.1, with the erratum that gives 254 for the whole."""


class AddressError(ValueError):
    """The address cannot be sent to. The message says why, without the address."""


def smtp_mailbox(address: str) -> str:
    """``anna@bücher.example`` → ``anna@xn--bcher-kva.example``: ASCII, as RFC 5321 4.1.2 wants it.

    Only dot-atoms are taken as local part: a quoted one is in use nowhere and is a way to hide a
    second recipient.

    Raises:
        AddressError: when the local part is not ASCII (it would need SMTPUTF8, RFC 6531, which most
            receiving servers lack), or it is no address.
    """
    local, at, domain = address.rpartition("@")
    if not at or not local:
        raise AddressError("not an address: there is no @ with something before it")
    if not local.isascii():
        raise AddressError("the part before the @ is not ASCII and would need SMTPUTF8")
    if not _LOCAL.match(local) or len(local) > MAX_LOCAL:
        raise AddressError("the part before the @ is not a valid one")
    mailbox = f"{local}@{smtp_domain(domain)}"
    if len(mailbox) > MAX_MAILBOX:
        raise AddressError(f"longer than {MAX_MAILBOX} characters")
    return mailbox


@lru_cache(maxsize=65_536)
def smtp_domain(domain: str) -> str:
    """A host name in ASCII, international ones as punycode (IDNA 2008 with UTS 46 mapping).

    Raises:
        AddressError: when it is no host name with at least one dot.
    """
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            raise AddressError("the domain is not a valid international name") from None
    if not _DOMAIN.match(domain) or any(len(label) > 63 for label in domain.split(".")):
        raise AddressError("the domain is not a valid one")
    return domain.lower()


def phone_number(address: str) -> str:
    """An E.164 number, as it is: a plus sign and 7 to 15 digits.

    Raises:
        AddressError: when it is not one.
    """
    if not _E164.match(address):
        raise AddressError("not an E.164 number: + and 7 to 15 digits")
    return address
