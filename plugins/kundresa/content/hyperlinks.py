"""The links of an HTML part: which are right, which are tracked, and what is written in their place.

A constant link is signed here, once per template. One that a person's values are part of is put together,
checked and signed when it is rendered (:func:`link_filter`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape, unescape
from urllib.parse import quote, urlsplit

import idna
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from kundresa.content.filters import TemplateValueError
from kundresa.content.markup import MARK, Attribute, Change, Marked, Tag, changed, tags
from kundresa.content.tokens import MAX_TARGET, Links
from kundresa.spec.campaign import Campaign

CLICK = "_click"
"""The name under which the renderer gives the first half of a message's tracked links."""
OPEN_PIXEL = "_open"
LINK_FILTER = "_link"
OWN_LINKS = ("unsubscribe_url", "preferences_url", "mirror_url")
"""Names of links to the public service: they are what they are."""
UNTRACKED = "data-untracked"
PAGES = ("http", "https")
OTHERS = ("mailto", "tel", "sms")
_ADDRESSES = {
    # The addressee may be left to the reader (RFC 6068 2): "tell a friend".
    "mailto": re.compile(r"[^@?\s]+(?:@|%40)[^@?\s]+\.[^@?\s]+|\?.", re.IGNORECASE),
    "tel": re.compile(r"[+*#]?[0-9()./*#-]*[0-9]", re.IGNORECASE),
    "sms": re.compile(r"(?://)?\+?[0-9()./-]*[0-9]|\?."),
}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*\Z")
_OF_BROWSERS = frozenset({"about", "blob", "data", "file", "javascript", "vbscript"})
_WORDS = {"mailto": "address", "tel": "number", "sms": "number"}
_HOST = re.compile(r"(?:[^\s./?#@:%]+\.)*[^\s./?#@:%]+\.?\Z")
"""Or an address of IPv6, which has colons. Of any script: the host is encoded when it is written."""
_URL_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"


def link_problem(url: str) -> str | None:  # noqa: PLR0911  one return a reason
    """What is wrong with a link's target, or None. ``#part`` of the same message is right."""
    if not url or url == "#":
        return "leads nowhere"
    if url.startswith("#"):
        return None
    if any(ord(character) < 33 for character in url):
        return "holds a space or a line break; write %20"
    scheme, colon, rest = url.partition(":")
    if not colon or "/" in scheme or "?" in scheme:
        return "is relative, and a message has no page to be relative to; write https://…"
    kind = scheme.lower()
    if kind in OTHERS:
        return None if _ADDRESSES[kind].match(rest) else f"has no {_WORDS[kind]} behind it"
    if kind not in PAGES:
        return f"is of the kind {scheme[:20]}:, which mail clients refuse; there are https, mailto and tel"
    return _page_problem(url)


def app_link_problem(url: str) -> str | None:
    """As :func:`link_problem`, for the link of a notification: apps have kinds of their own
    (``nordlys://cart``), and there is no ``#part``."""
    scheme, colon, rest = url.partition(":")
    if url.startswith("#"):
        return "leads nowhere"
    if not colon or not _SCHEME.match(scheme) or scheme.lower() in (*PAGES, *OTHERS):
        return link_problem(url)
    if any(ord(character) < 33 for character in url):
        return "holds a space or a line break; write %20"
    if scheme.lower() in _OF_BROWSERS or not rest.strip("/"):
        return f"is of the kind {scheme[:20]}:, which leads nowhere"
    return None


def _page_problem(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host:
        return "has no host"
    if not _HOST.match(host) and ":" not in host:
        return "has no host that can be: a name has parts with one dot between them"
    try:
        _ascii_host(host)
    except idna.IDNAError:
        return "has a host that is no domain name"
    try:
        has_port = parts.port != 0
    except ValueError:
        has_port = False
    if not has_port:
        return "has a port that cannot be: it is a number from 1 to 65535"
    if len(url) > MAX_TARGET:
        return f"has more than {MAX_TARGET} characters"
    return None


def is_page(url: str) -> bool:
    return url.partition(":")[0].lower() in PAGES


def with_parameters(url: str, parameters: str) -> str:
    """A link with the query parameters (``a=b&c=d``) that it does not have, before its fragment."""
    page, hash_mark, fragment = url.partition("#")
    path, _, query = page.partition("?")
    there = {each.partition("=")[0] for each in query.split("&")}
    added = [each for each in parameters.split("&") if each and each.partition("=")[0] not in there]
    if not added:
        return url
    return f"{path}?{'&'.join([*([query] if query else []), *added])}{hash_mark}{fragment}"


def utm_parameters(campaign: Campaign) -> str:
    """The campaign's UTM parameters as a query; empty when it has none."""
    utm = campaign.tracking.utm
    if utm is None:
        return ""
    values = {
        "utm_source": utm.source,
        "utm_medium": utm.medium,
        "utm_campaign": utm.campaign or campaign.name,
        "utm_term": utm.term,
        "utm_content": utm.content,
    }
    return "&".join(f"{name}={quote(value)}" for name, value in values.items() if value)


def ascii_url(url: str) -> str:
    """A link in the characters that a redirect may carry (RFC 3986): the host by IDNA 2008, the rest
    percent-encoded."""
    host = urlsplit(url).hostname or ""
    if not host.isascii():
        start = url.lower().find(host)
        try:
            url = url[:start] + _ascii_host(host) + url[start + len(host) :]
        except idna.IDNAError:
            raise TemplateValueError("a link's host is no domain name") from None
    return quote(url, safe=_URL_CHARACTERS)


def _ascii_host(host: str) -> str:
    """As browsers write it (UTS 46): by IDNA 2003, which Python has, straße.de would be strasse.de, which is
    somebody else's.

    Raises:
        idna.IDNAError: when it is no name.
    """
    return host if host.isascii() else idna.encode(host, uts46=True).decode("ascii")


@dataclass(frozen=True, slots=True)
class Hyperlink:
    """One ``href`` of the source. ``url`` is None when tags are part of it; ``prefix`` is what stands before
    the first of them."""

    tag: Tag
    attribute: Attribute
    prefix: str
    url: str | None
    is_own: bool
    """To the public service: unsubscribe, preferences, mirror page."""


def hyperlinks(marked: Marked, html: str) -> Iterator[Hyperlink]:
    """Every ``href`` of an ``a``, an ``area`` or an Outlook button, in order."""
    for tag in tags(html):
        attribute = None if tag.is_end or tag.name in ("link", "base") else tag.get("href")
        if attribute is None:
            continue
        first = MARK.search(attribute.value)
        own = any(name in piece.inner for piece in marked.in_text(attribute.value) for name in OWN_LINKS)
        prefix = unescape(attribute.value[: first.start()] if first else attribute.value).strip()
        yield Hyperlink(tag, attribute, prefix, None if first else prefix, own)


def rewrite(marked: Marked, html: str, campaign: Campaign, links: Links) -> str:
    """The HTML with its links as a person gets them."""
    parameters = utm_parameters(campaign)
    clicks = campaign.tracking.clicks
    changes = []
    number = 0
    for link in hyperlinks(marked, html):
        untracked = link.tag.get(UNTRACKED)
        if untracked is not None:
            changes.append(Change(untracked.start - len(UNTRACKED), untracked.end, ""))
            continue
        if link.is_own or (link.prefix and not is_page(link.prefix)):
            continue
        number += 1
        if link.url is None:
            # What a profile puts at the start of a link can make it any kind of link.
            if clicks or parameters or not link.prefix:
                changes.extend(_filtered(marked, link.attribute, number))
            continue
        if link_problem(link.url):
            continue  # the check says so, and nothing is sent before it is mended
        target = with_parameters(ascii_url(link.url), parameters)
        if clicks:
            mark = marked.tag("{{", f" {CLICK} ")
            changes.append(_value(link.attribute, f"{mark}.{links.sign_target(number, target)}"))
        elif target != link.url:
            changes.append(_value(link.attribute, escape(target)))
    return changed(html, changes)


def _value(attribute: Attribute, text: str) -> Change:
    return Change(attribute.start, attribute.end, text)


def _filtered(marked: Marked, attribute: Attribute, number: int) -> list[Change]:
    like = marked.in_text(attribute.value)[0]
    return [
        Change(attribute.start, attribute.start, marked.tag("{%", f" filter {LINK_FILTER}({number}) ", like)),
        Change(attribute.end, attribute.end, marked.tag("{%", " endfilter ", like)),
    ]


def link_filter(campaign: Campaign, links: Links) -> Callable[..., Markup]:
    """The filter that writes a link with a person's values in it."""
    parameters = utm_parameters(campaign)
    clicks = campaign.tracking.clicks

    @pass_context
    def write(context: Context, value: object, number: int) -> Markup:
        url = unescape(str(value)).strip().replace(" ", "%20")
        problem = link_problem(url)
        if problem:
            raise TemplateValueError(f"a link {problem}")
        if not is_page(url):
            return _written(escape(url))
        target = with_parameters(ascii_url(url), parameters)
        if not clicks:
            return _written(escape(target))
        if len(target) > MAX_TARGET:
            raise TemplateValueError(f"a link has more than {MAX_TARGET} characters")
        return _written(f"{context[CLICK]}.{links.sign_target(number, target)}")

    return write


def _written(attribute: str) -> Markup:
    return Markup(attribute)  # noqa: S704  escaped, or our own URL
