"""Whether the links of real mail lead anywhere: to the public service, over https, from outside."""

from __future__ import annotations

from urllib.parse import urlsplit

from kundresa.channels.accounts import Account, AccountError, is_loopback


def require_public_links(account: Account, public_url: str) -> None:
    """Nothing, when mail on this account carries links that its readers can follow. A server on this machine
    (the sandbox) may get any.

    Args:
        public_url: the base of the links (``KUNDRESA_PUBLIC_URL``).

    Raises:
        AccountError: when it leads to the reader's own machine, or is not ``https``, which one-click
            unsubscription demands (RFC 8058 3.1).
    """
    if is_loopback(account.host):
        return
    try:
        parts = urlsplit(public_url)
        scheme, host = parts.scheme.lower(), parts.hostname or ""
    except ValueError:
        scheme = host = ""
    if not host:
        why = "which is no address"
    elif is_loopback(host):
        why = "which no reader can reach"
    elif scheme != "https":
        why = "and one-click unsubscription takes https"
    else:
        return
    raise AccountError(
        f"{account.place} sends real mail, and its links would lead to {public_url}, {why}: "
        "set KUNDRESA_PUBLIC_URL to where the public service is reached from outside, https://…"
    )
