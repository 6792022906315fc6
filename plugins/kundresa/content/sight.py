"""Whether a reader of a page sees a link in it: it has words or a picture's, and nothing hides them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from html import unescape

from kundresa.content.markup import Tag, texts_and_tags
from kundresa.content.plain_text import INVISIBLE, LEFT_OUT, LINES, PARAGRAPHS

_SIZE = re.compile(
    r"(?:^|;)\s*font-size\s*:\s*(?:(?P<number>\d*\.?\d+)\s*(?P<unit>[a-z%]*)|(?P<word>[^;\s]+))",
    re.IGNORECASE,
)
_NOT_THERE = re.compile(r"(?:^|;)\s*display\s*:\s*none", re.IGNORECASE)
_FONT = re.compile(r"(?:^|;)\s*font\s*:", re.IGNORECASE)
_VISIBILITY = re.compile(r"(?:^|;)\s*visibility\s*:\s*(\w+)", re.IGNORECASE)
_OF_PARENT = ("em", "%", "ex", "ch")
"""Units of a size that depend on the size around it."""
_AS_PARENT = ("inherit", "larger", "smaller", "unset")
_CLOSES_ITSELF = frozenset({"p", "li", "td", "th", "tr", "dt", "dd", "option"})


class Sight(Enum):
    """Of one link."""

    SEEN = "is seen"
    WORDLESS = "has no words, nor a picture with an alt text"
    HIDDEN = "stands where no reader sees it"
    MISSING = "is missing"
    """Of what :func:`sight_of` is not asked."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """What an element passes on to those in it."""

    is_there: bool = True
    is_visible: bool = True
    has_size: bool = True

    @property
    def is_seen(self) -> bool:
        return self.is_there and self.is_visible and self.has_size

    def within(self, tag: Tag) -> _Shown:
        style = found.text if (found := tag.get("style")) else ""
        shown = self
        if tag.name in LEFT_OUT or tag.get("hidden") is not None or _NOT_THERE.search(style):
            shown = replace(shown, is_there=False)
        if visibility := _VISIBILITY.search(style):
            shown = replace(shown, is_visible=visibility[1].lower() == "visible")
        has_size = _has_size(tag, style)
        return shown if has_size is None else replace(shown, has_size=has_size)


def _has_size(tag: Tag, style: str) -> bool | None:
    """Whether the letters of an element have a size; None where that is left to those around it."""
    if size := _SIZE.search(style):
        if size["number"]:
            if not float(size["number"]):
                return False
            return None if size["unit"].lower() in _OF_PARENT else True
        return None if size["word"].lower() in _AS_PARENT else True
    if _FONT.search(style) or (tag.name == "font" and tag.get("size") is not None):
        return True
    return None


def sight_of(html: str, url: str) -> Sight:
    """How a link whose target begins with ``url`` shows in a rendered page: by styles of elements, not by
    those of ``<style>``. Written out as a text it is seen too. The best of several counts."""
    page = _Page(url)
    for each in texts_and_tags(html):
        if isinstance(each, str):
            page.text(each)
        elif each.is_end:
            page.end(each.name)
        else:
            page.begin(each)
        if page.found is Sight.SEEN:
            break
    return page.found


def ends_in_comment(html: str) -> bool:
    """Whether what follows stands in a comment (HTML 13.1.6). What else hides a link is left to
    :func:`sight_of`, which takes a hundred times as long as writing the page."""
    return html.rfind("<!--") > html.rfind("-->")


def is_commented_out(html: str, link: str) -> bool:
    """Whether a link that stands in a page, as written there, does so in comments alone."""
    at = html.find(link)
    while at >= 0:
        if html.rfind("<!--", 0, at) <= html.rfind("-->", 0, at):
            return False
        at = html.find(link, at + 1)
    return True


class _Page:
    """What is open while a page is read."""

    def __init__(self, url: str) -> None:
        self.found = Sight.HIDDEN
        self._url = url
        self._open: list[tuple[str, _Shown]] = []
        self._in_link = False

    @property
    def _shown(self) -> _Shown:
        return self._open[-1][1] if self._open else _Shown()

    def text(self, text: str) -> None:
        words = INVISIBLE.sub("", unescape(text))
        if self._shown.is_seen and (self._url in words or (self._in_link and words.strip())):
            self.found = Sight.SEEN
        elif self._in_link and words.strip():
            self.found = Sight.HIDDEN

    def begin(self, tag: Tag) -> None:
        if self._open and _ends(self._open[-1][0], tag.name):
            self._open.pop()
        shown = self._shown.within(tag)
        if not tag.is_void:
            self._open.append((tag.name, shown))
        if tag.name in ("a", "area"):
            self._link(tag, shown)
        elif tag.name == "img" and self._in_link and shown.is_there and shown.is_visible:
            alt = tag.get("alt")
            if alt and alt.text:
                self.found = Sight.SEEN

    def _link(self, tag: Tag, shown: _Shown) -> None:
        href = tag.get("href")
        leads_there = href is not None and href.text.startswith(self._url)
        if leads_there and shown.is_there and shown.is_visible:
            # An area has no words of its own: it is a part of a picture.
            self.found = Sight.SEEN if tag.name == "area" else Sight.WORDLESS
        self._in_link = leads_there and tag.name == "a"

    def end(self, name: str) -> None:
        for position in range(len(self._open) - 1, -1, -1):
            if self._open[position][0] == name:
                del self._open[position:]
                break
        if name == "a":
            self._in_link = False


def _ends(name: str, following: str) -> bool:
    """Whether the beginning of an element ends the one before it, which has no end tag (HTML 13.1.2.4)."""
    if name == following:
        return name in _CLOSES_ITSELF
    return name == "p" and following in PARAGRAPHS | LINES
