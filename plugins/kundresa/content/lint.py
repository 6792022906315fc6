"""What mail clients and spam filters hold against a message, found in its template.

Blocking is what would not work: a link that leads nowhere, a picture that cannot be loaded. Advisory is what
costs readers: no text for a picture, a subject in capitals, a page that Gmail cuts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import unescape

from kundresa.content.files import Part
from kundresa.content.hyperlinks import OTHERS, Hyperlink, hyperlinks, is_page, link_problem
from kundresa.content.markup import MARK, Attribute, Tag, tags, texts_and_tags
from kundresa.content.preparing import Page, Source
from kundresa.content.problems import TemplateProblem
from kundresa.content.text import MAX_PART
from kundresa.content.unquoted import may_break

GMAIL_CLIPS_AT = 102 * 1024
"""Octets of HTML; what is behind, the unsubscribe link for one, is hidden behind "view entire message"."""
SUBJECT_SHOWN = 70
"""Characters that a mail client on a wide screen shows; a phone shows about half."""
LEAST_WORDS = 20
"""Characters of text in a message with pictures: below, filters see a picture with nothing in it."""
REMOVED = frozenset({"script", "iframe", "object", "embed", "applet"})
UNRELIABLE = frozenset({"form", "input", "button", "select", "textarea", "video", "audio", "canvas", "svg"})
SHORTENERS = frozenset({"bit.ly", "goo.gl", "is.gd", "ow.ly", "t.co", "tiny.cc", "tinyurl.com"})

OUTLOOKS = frozenset({"v:image", "v:fill", "v:imagedata"})
_NONE = Attribute("", "", 0, 0)
_CANDIDATE = re.compile(r"\s*(\S*[^\s,])(?:\s+[\d.]+[wxh])?\s*(?:,|\Z)")
"""One of a ``srcset``: a URL, which may have commas in it, and its width or density."""
_URL = re.compile(r"""(?<!behavior:)url\(\s*(["']?)(.*?)\1\s*\)""", re.IGNORECASE)
_TEXT_LINK = re.compile(
    r"""(?:[A-Za-z][A-Za-z0-9+.-]*://|\bhttps?:/(?!/))[^\s<>"{}|\\^`*“”„‟‘’‚«»‹›「」『』…]*"""
)
_BEHIND = ".,;:!?)]'"
"""What stands behind a link in a sentence."""
_IN_PORT = re.compile(r"://[^/?#]*:[0-9]*\Z")
_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_REPLY = re.compile(r"\s*(re|fwd?|aw|sv|vs)\s*:", re.IGNORECASE)
_HOST = re.compile(r"(?:https?://)?((?:[a-z0-9-]+\.)+[a-z]{2,})(?:[/?#].*)?\Z", re.IGNORECASE)


def lint_page(page: Page, types: Mapping[str, str]) -> Iterator[TemplateProblem]:
    """An HTML part, before links and styles are written into it, or a text part.

    Args:
        types: SQL type by column of ``profiles``.
    """
    if page.is_text:
        yield from _links_of_text(page)
        return
    for link in hyperlinks(page.marked, page.html):
        yield from _link(page, link)
    yield from _unquoted(page, types)
    has_pictures = False
    for tag in tags(page.html):
        has_pictures |= tag.name == "img"
        yield from _element(page, tag)
    words = "".join(each for each in texts_and_tags(page.html) if isinstance(each, str))
    if has_pictures and len(" ".join(MARK.sub("xxxx", words).split())) < LEAST_WORDS:
        yield TemplateProblem(page.file, None, "pictures with hardly a word look like spam", is_advisory=True)
    yield from _words_of_links(page)


def lint_sources(channel: str, sources: Mapping[Part, Source]) -> Iterator[TemplateProblem]:
    """The parts as they are rendered."""
    if channel != "email":
        return
    html = sources["html"]
    for source in sources.values():
        if len(source.text) > MAX_PART:
            message = f"{len(source.text):,} characters; a part has {MAX_PART:,} at most"
            yield TemplateProblem(source.name, None, message)
    size = len(_TAG.sub("", html.text).encode(errors="replace"))
    if size > GMAIL_CLIPS_AT:
        yield TemplateProblem(
            html.name,
            None,
            f"{size:,} octets: Gmail hides what is behind {GMAIL_CLIPS_AT:,}",
            is_advisory=True,
        )
    yield from _subject(sources["subject"])


def _link(page: Page, link: Hyperlink) -> Iterator[TemplateProblem]:
    if link.is_own:
        return
    shown = link.attribute.text[:80]
    where = page.html[link.tag.start : link.tag.end]
    if link.url is not None:
        problem = link_problem(link.url)
    else:
        # What stands before the first tag says what kind of link it is; the rest is known when it is
        # rendered.
        is_page_or_path = link.prefix and not link.prefix.lower().startswith(
            tuple(f"{each}:" for each in OTHERS)
        )
        filled = "8" if _IN_PORT.search(link.prefix) else "x.example/x"
        problem = link_problem(f"{link.prefix}{filled}") if is_page_or_path else None
    if problem:
        shown = MARK.sub("…", shown)
        yield _at(page, where, f"the link {shown} {problem}" if shown else f"a link {problem}")
        return
    if link.prefix.lower().startswith("http:"):
        yield _at(page, where, f"the link {MARK.sub('…', shown)} is not https", advisory=True)
    host = _HOST.match(link.url or "")
    if host and host[1].lower() in SHORTENERS:
        yield _at(
            page, link.attribute.value, f"{host[1]} hides where it leads; filters refuse it", advisory=True
        )


def _unquoted(page: Page, types: Mapping[str, str]) -> Iterator[TemplateProblem]:
    """A value with a space in it ends an attribute without quotes, and what follows is another one."""
    for tag in tags(page.html):
        for attribute in tag.attributes:
            if not attribute.value or page.html[attribute.start - 1] in "\"'":
                continue
            for piece in page.marked.in_text(attribute.value):
                if piece.opens.startswith("{{") and may_break(piece.inner, types):
                    message = f"{{{{{piece.inner}}}}} stands in {attribute.name}=… without quotes around it"
                    yield TemplateProblem(piece.file or page.file, piece.line or None, message)


def _element(page: Page, tag: Tag) -> Iterator[TemplateProblem]:
    if tag.is_end:
        return
    text = page.html[tag.start : tag.end]
    for picture in _pictures(page, tag):
        yield from _picture(page, tag, picture)
    if tag.name in REMOVED:
        yield _at(page, text, f"mail clients remove <{tag.name}>")
    elif tag.name in UNRELIABLE:
        yield _at(page, text, f"few mail clients show <{tag.name}>", advisory=True)
    elif tag.name == "html" and not (tag.get("lang") and tag.attributes):
        yield _at(page, text, "<html> has no lang: screen readers have to guess", advisory=True)
    elif tag.name == "img":
        source = tag.get("src")
        url = source.text if source else ""
        if tag.get("alt") is None:
            yield _at(page, text, f"the picture {MARK.sub('…', url)[:80]} has no alt text", advisory=True)


def _pictures(page: Page, tag: Tag) -> Iterator[str]:
    """Whatever a mail client would load to show it."""
    source = tag.get("src")
    if tag.name == "img":
        yield source.text if source else ""
    elif tag.name in OUTLOOKS and source:
        yield source.text
    if background := tag.get("background"):
        yield background.text
    for match in _CANDIDATE.finditer((tag.get("srcset") or _NONE).text):
        yield match[1]
    styles = (tag.get("style") or _NONE).text
    if tag.name == "style":
        styles = page.html[tag.end : tag.content_end]
    yield from (match[2] for match in _URL.finditer(styles))


def _picture(page: Page, tag: Tag, url: str) -> Iterator[TemplateProblem]:
    where = page.html[tag.start : tag.end]
    # What is not the source of an <img> may be there for one client alone, or for none.
    if MARK.match(url) or (tag.name != "img" and (not url or url.startswith("#"))):
        return
    shown, url = MARK.sub("…", url), MARK.sub(_filled, url)
    if url.lower().startswith("data:"):
        message = f"the picture {shown[:20]}… stands in the message: many do not show it"
        yield _at(page, where, message, advisory=True)
    elif url.startswith("//") or (is_page(url) and not link_problem(url)):
        if not url.lower().startswith("https:"):
            yield _at(
                page, where, f"the picture {shown[:80]} is not https: many do not load it", advisory=True
            )
    else:
        yield _at(page, where, f"the picture {shown[:80]} cannot be loaded: write https://…")


def _links_of_text(page: Page) -> Iterator[TemplateProblem]:
    """Of the part that has no markup: whatever looks like the beginning of a link."""
    for match in _TEXT_LINK.finditer(page.html):
        url = MARK.sub(_filled, match[0]).rstrip(_BEHIND)
        shown = MARK.sub("…", match[0]).rstrip(_BEHIND)[:80]
        file, line = page.marked.place(match.start())
        if problem := link_problem(url):
            yield TemplateProblem(file, line, f"the link {shown} {problem}")
        elif url.lower().startswith("http:"):
            yield TemplateProblem(file, line, f"the link {shown} is not https", is_advisory=True)


def _filled(tag: re.Match[str]) -> str:
    """What stands for a value: a part of a host or a path, or of a port."""
    return "8" if _IN_PORT.search(tag.string[: tag.start()]) else "x.x"


def _words_of_links(page: Page) -> Iterator[TemplateProblem]:
    """A link that shows one address and leads to another is what phishing looks like."""
    open_link: Tag | None = None
    words = ""
    for each in texts_and_tags(page.html):
        if isinstance(each, str):
            words += each
            continue
        if each.name != "a":
            continue
        href = open_link.get("href") if open_link and each.is_end else None
        shown, target = _HOST.match(unescape(words).strip()), _HOST.match(href.text if href else "")
        if href and shown and target and not _same_site(shown[1], target[1]):
            yield _at(page, href.value, f"the link shows {shown[1]} and leads to {target[1]}", advisory=True)
        open_link, words = (None if each.is_end else each), ""


def _same_site(one: str, other: str) -> bool:
    one, other = one.lower(), other.lower()
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def _subject(source: Source) -> Iterator[TemplateProblem]:
    words = " ".join(_TAG.sub(" ", source.text).split())

    def advise(message: str) -> TemplateProblem:
        return TemplateProblem(source.name, None, message, is_advisory=True)

    # With conditions only one of several texts is shown.
    if "{%" not in source.text and len(words) > SUBJECT_SHOWN:
        yield advise(f"{len(words)} characters and what is filled in; about {SUBJECT_SHOWN} are shown")
    letters = [each for each in words if each.isalpha()]
    if len(letters) > 10 and sum(each.isupper() for each in letters) > 0.6 * len(letters):
        yield advise("capitals look like spam")
    if "!!" in words or words.count("!") > 2:
        yield advise("exclamation marks look like spam")
    if _REPLY.match(words):
        yield advise("it looks like an answer, and is none")


def _at(page: Page, text: str, message: str, *, advisory: bool = False) -> TemplateProblem:
    """Where the text stands in the source; MJML makes some that stands nowhere."""
    position = page.marked.text.find(text) if text else -1
    file, line = page.marked.place(position) if position >= 0 else (page.file, None)
    return TemplateProblem(file or page.file, line, message, advisory)
