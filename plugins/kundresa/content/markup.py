"""Reading HTML that still has Jinja in it: tags, attributes and text, each with its place.

Not a parser of documents: what is not asked about keeps its bytes, and nothing is moved or mended. Jinja's
tags stand in the text as marks (two private-use characters around a number), which are allowed wherever a
tag is."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import unescape

from kundresa.content.flatten import Piece

OPEN, CLOSE = "\ue000", "\ue001"
MARK = re.compile(f"{OPEN}(\\d+){CLOSE}")

_TOKEN = re.compile(
    r"(?P<conditional><!--\[if[^>]*\]>(?:<!-->)?|(?:<!--)?<!\[endif\]-->)"
    r"|(?P<comment><!--.*?-->|<![^>]*>)"
    r"|<(?P<slash>/?)(?P<name>[A-Za-z][A-Za-z0-9:-]*)"
    r"(?P<attributes>(?:\"[^\"]*\"|'[^']*'|[^\"'>])*)>",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"""([^\s=/>"']+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")
RAW_TEXT = frozenset({"style", "script", "title", "textarea"})
"""Elements whose content is not markup."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """``value`` as written, entities and marks included; ``start``–``end`` is where it stands, quotes
    apart."""

    name: str
    value: str
    start: int
    end: int

    @property
    def text(self) -> str:
        """Without entities."""
        return unescape(self.value).strip()


@dataclass(frozen=True, slots=True)
class Tag:
    """A start or end tag, from ``start`` to ``end`` of the source."""

    name: str
    is_end: bool
    attributes: tuple[Attribute, ...]
    start: int
    end: int
    content_end: int
    """Of a ``style``, ``script`` or the like: where its content ends; else ``end``."""

    def get(self, name: str) -> Attribute | None:
        return next((each for each in self.attributes if each.name == name), None)

    @property
    def is_void(self) -> bool:
        return self.name in VOID


VOID = frozenset({"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"})


def tags(source: str) -> Iterator[Tag]:
    """Every tag in order. Those in comments for Outlook (``<!--[if mso]>``) count, other comments do not."""
    position = 0
    while match := _TOKEN.search(source, position):
        position = match.end()
        if not match["name"]:
            continue
        name = match["name"].lower()
        content_end = match.end()
        if not match["slash"] and name in RAW_TEXT:
            closing = re.compile(rf"</{name}\s*>", re.IGNORECASE).search(source, match.end())
            content_end = position = closing.start() if closing else len(source)
        yield Tag(
            name,
            bool(match["slash"]),
            tuple(_attributes(match["attributes"], match.start("attributes"))),
            match.start(),
            match.end(),
            content_end,
        )


def texts_and_tags(source: str) -> Iterator[str | Tag]:
    """Every tag, and the text between them with its entities. Comments, and what is for Outlook alone, are
    left out."""
    position = 0
    hidden = [
        (match.start(), match.end())
        for match in re.finditer(
            r"<!--\[if[^>]*\]>(?!<!-->|\s*<!-- -->|-->).*?<!\[endif\]-->|<!--.*?-->|<![^>]*>",
            source,
            re.DOTALL,
        )
    ]
    for tag in tags(source):
        if tag.start < position or any(start <= tag.start < end for start, end in hidden):
            continue
        yield from _visible(source, position, tag.start, hidden)
        yield tag
        position = tag.content_end
    yield from _visible(source, position, len(source), hidden)


def _visible(source: str, start: int, end: int, hidden: Sequence[tuple[int, int]]) -> Iterator[str]:
    for first, last in hidden:
        if last <= start or first >= end:
            continue
        if first > start:
            yield source[start:first]
        start = max(start, min(last, end))
    if start < end:
        yield source[start:end]


def _attributes(source: str, offset: int) -> Iterator[Attribute]:
    for match in _ATTRIBUTE.finditer(source):
        group = next((number for number in (2, 3, 4) if match[number] is not None), None)
        if group is None:
            yield Attribute(match[1].lower(), "", offset + match.end(), offset + match.end())
        else:
            yield Attribute(
                match[1].lower(), match[group], offset + match.start(group), offset + match.end(group)
            )


class Marked:
    """Pieces as one text in which tags are marks, and back."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces: list[Piece] = []
        """The tags, by the number of their mark."""
        self._starts: list[int] = []
        self._sources = list(pieces)
        parts, length = [], 0
        for piece in pieces:
            # A private-use character of the author's own would pass for a mark.
            text = (
                piece.inner.replace(OPEN, "\ufffd").replace(CLOSE, "\ufffd")
                if piece.is_text
                else self.mark(piece)
            )
            self._starts.append(length)
            parts.append(text)
            length += len(text)
        self.text = "".join(parts)

    def place(self, position: int) -> tuple[str, int]:
        """File and line that a position of ``text`` came from. Of ``text`` as it was at first, not of what
        was made of it."""
        if not self._sources:
            return "", 1
        number = max(bisect_right(self._starts, position) - 1, 0)
        piece = self._sources[number]
        lines = self.text.count("\n", self._starts[number], position) if piece.is_text else 0
        return piece.file, piece.line + lines

    def mark(self, piece: Piece) -> str:
        """A new mark for a tag."""
        self.pieces.append(piece)
        return f"{OPEN}{len(self.pieces) - 1}{CLOSE}"

    def tag(self, opens: str, inner: str, like: Piece | None = None) -> str:
        """A new mark for a tag of our own, at the place of another."""
        return self.mark(Piece(opens, inner, like.file if like else "", like.line if like else 0))

    def in_text(self, text: str) -> list[Piece]:
        """The tags whose marks are in a text, in order."""
        return [self.pieces[int(match[1])] for match in MARK.finditer(text)]

    def unmarked(self, text: str) -> tuple[Piece, ...]:
        """A text with marks as pieces."""
        pieces, position = [], 0
        for match in MARK.finditer(text):
            if match.start() > position:
                pieces.append(Piece("", text[position : match.start()], "", 0))
            pieces.append(self.pieces[int(match[1])])
            position = match.end()
        if position < len(text):
            pieces.append(Piece("", text[position:], "", 0))
        return tuple(pieces)


@dataclass(frozen=True, slots=True)
class Change:
    """Text to put in place of ``start``–``end``."""

    start: int
    end: int
    text: str


def changed(source: str, changes: Sequence[Change]) -> str:
    """The source with changes that do not overlap, given in any order; at one place in the given order."""
    parts, position = [], 0
    for change in sorted(changes, key=lambda each: each.start):
        parts += [source[position : change.start], change.text]
        position = change.end
    return "".join([*parts, source[position:]])
