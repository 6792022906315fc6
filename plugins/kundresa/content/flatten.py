"""A template with its layout and fragments as one sequence of text and Jinja tags.

What is done once per template (MJML, inlined CSS, signed links, a derived text part) needs the whole page,
and Jinja puts a page together only while it renders. So ``extends``, ``block`` and ``include`` are resolved
here, in the source; every other tag is kept as it stands, with the place it came from. Rendering is faster
for it too.

What differs from Jinja: an included file sees what its includer has set, and ``self.<block>()`` does not
exist."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from jinja2 import Environment, TemplateSyntaxError

from kundresa.content.errors import TemplateError

_BLOCK = re.compile(r"\s*block\s+(\w+)((?:\s+(?:scoped|required))*)\s*$")
_END_BLOCK = re.compile(r"\s*endblock(?:\s+\w+)?\s*$")
_QUOTED_NAME = r"""("[^"{}]*"|'[^'{}]*')"""
_EXTENDS = re.compile(rf"\s*extends\s+{_QUOTED_NAME}\s*$")
_INCLUDE = re.compile(rf"\s*include\s+{_QUOTED_NAME}\s*$")
_SET = re.compile(r"\s*set\s+[\w.,\s]+=")
_ANY_SET = re.compile(r"\s*set\s")
_KEYWORD = re.compile(r"\s*(\w+)")
_SUPER = re.compile(r"\s*super\(\)\s*$")
_IMPORTS = ("from", "import")
MAX_DEPTH = 20
"""Files inside files: more is a template that includes itself by a detour."""

WITH, END_WITH = "{% with %}", "{% endwith %}"


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text (``opens`` is empty) or one Jinja tag."""

    opens: str
    """``{{``, ``{%`` or ``""`` for text. Text under ``{% raw %}`` is text."""
    inner: str
    """The text, or what stands between the tag's ends."""
    file: str
    line: int

    @property
    def is_text(self) -> bool:
        return not self.opens

    @property
    def keyword(self) -> str:
        """``if`` of ``{% if x %}``; empty for anything but a ``{%`` tag."""
        match = _KEYWORD.match(self.inner) if self.opens == "{%" else None
        return match[1] if match else ""

    def source(self) -> str:
        """As Jinja reads it. The line break puts each tag on a line of its own: that is how the line of an
        error leads back to the piece."""
        if self.is_text:
            return _escaped(self.inner)
        return f"{self.opens}\n{self.inner}{'}}' if self.opens == '{{' else '%}'}"


@dataclass(frozen=True, slots=True)
class Block:
    """``{% block name %}`` with what is in it."""

    name: str
    is_required: bool
    body: tuple[Piece | Block, ...]
    file: str
    line: int


Node = Piece | Block


@dataclass(slots=True)
class _Open:
    name: str
    is_required: bool
    line: int
    nodes: list[Node] = field(default_factory=list)


def flatten(name: str, templates: Mapping[str, str], environment: Environment) -> tuple[Piece, ...]:
    """The pieces of a template, its parents' and its fragments'.

    Args:
        environment: whose lexer is used, ``trim_blocks`` and ``lstrip_blocks`` included.

    Raises:
        TemplateError: with file and line, for what cannot be put together here: a block that is required and
            not there, ``extends`` anywhere but at the start, text outside of blocks that would never show.
        jinja2.TemplateSyntaxError: when a file is not even a sequence of tags.
    """
    return tuple(_Flattener(templates, environment).whole(name, ()))


def joined(pieces: Iterable[Piece]) -> tuple[str, dict[int, tuple[str, int]]]:
    """The source of pieces, and for the lines that tags stand on their file and line."""
    parts: list[str] = []
    places: dict[int, tuple[str, int]] = {}
    line = 1
    for piece in pieces:
        source = piece.source()
        if not piece.is_text:
            for offset in range(source.count("\n")):
                places[line + 1 + offset] = (piece.file, piece.line + offset)
        parts.append(source)
        line += source.count("\n")
    return "".join(parts), places


def _escaped(text: str) -> str:
    """Text that Jinja prints as it is: what came out of ``{% raw %}`` may look like a tag."""
    if "{{" in text or "{%" in text or "{#" in text:
        return "{% raw %}" + text + "{% endraw %}"
    return text


class _Flattener:
    def __init__(self, templates: Mapping[str, str], environment: Environment) -> None:
        self._templates = templates
        self._environment = environment

    def whole(self, name: str, inside: tuple[str, ...]) -> Iterator[Piece]:
        """A file as a page of its own: its layout with its blocks, its fragments."""
        if name in inside or len(inside) >= MAX_DEPTH:
            raise TemplateError(f"{name}: includes or extends itself, by {' → '.join((*inside, name))}")
        chain: list[list[Node]] = []
        seen: tuple[str, ...] = inside
        prologue: list[Piece] = []
        while True:
            seen = (*seen, name)
            nodes = self._nodes(name)
            parent = _parent(nodes)
            if parent is None:
                _refuse_extends(nodes)
                chain.append(nodes)
                break
            prologue[:0] = _outside(nodes[parent[0] + 1 :], name)
            chain.append(nodes)
            name = parent[1]
            if name not in self._templates:
                raise TemplateError(f"{seen[-1]}:{parent[2]}: there is no template {name}")
            if name in seen or len(seen) >= MAX_DEPTH:
                raise TemplateError(f"{name}: includes or extends itself, by {' → '.join((*seen, name))}")
        blocks: dict[str, list[Block]] = {}
        for nodes in chain:
            for block in _blocks(nodes):
                blocks.setdefault(block.name, []).append(block)
        yield from prologue
        yield from self._resolved(chain[-1], blocks, seen)

    def _resolved(
        self, nodes: Sequence[Node], blocks: Mapping[str, list[Block]], seen: tuple[str, ...]
    ) -> Iterator[Piece]:
        for node in nodes:
            if isinstance(node, Block):
                yield from self._block(blocks[node.name], blocks, seen)
            elif node.keyword == "include" and (match := _INCLUDE.match(node.inner)):
                yield from self._included(node, match[1][1:-1], seen)
            else:
                yield node

    def _included(self, node: Piece, name: str, seen: tuple[str, ...]) -> Iterator[Piece]:
        if name not in self._templates:
            raise TemplateError(f"{node.file}:{node.line}: there is no template {name}")
        yield from _scoped(list(self.whole(name, seen)), node)

    def _block(
        self, versions: list[Block], blocks: Mapping[str, list[Block]], seen: tuple[str, ...]
    ) -> Iterator[Piece]:
        """The version of the lowest child; ``super()`` in it is the next one."""
        block = versions[0]
        if block.is_required:
            raise TemplateError(f"{block.file}:{block.line}: the block {block.name} is required; fill it")
        body: list[Node] = []
        for node in block.body:
            if isinstance(node, Piece) and node.opens == "{{" and _SUPER.match(node.inner):
                if len(versions) < 2:
                    raise TemplateError(f"{node.file}:{node.line}: no parent has a block {block.name}")
                body.extend(self._block(versions[1:], blocks, seen))
            else:
                body.append(node)
        start = Piece("{%", " with ", block.file, block.line)
        yield from _scoped(list(self._resolved(body, blocks, seen)), start)

    def _nodes(self, name: str) -> list[Node]:
        top: list[Node] = []
        opened: list[_Open] = []
        for piece in _pieces(name, self._templates[name], self._environment):
            here = opened[-1].nodes if opened else top
            if match := _BLOCK.match(piece.inner) if piece.opens == "{%" else None:
                opened.append(_Open(match[1], "required" in match[2], piece.line))
            elif piece.opens == "{%" and _END_BLOCK.match(piece.inner):
                if not opened:
                    raise TemplateError(f"{name}:{piece.line}: endblock without a block")
                done = opened.pop()
                block = Block(done.name, done.is_required, tuple(done.nodes), name, done.line)
                (opened[-1].nodes if opened else top).append(block)
            else:
                here.append(piece)
        if opened:
            raise TemplateError(f"{name}:{opened[-1].line}: the block {opened[-1].name} is not closed")
        return top


def _pieces(name: str, source: str, environment: Environment) -> Iterator[Piece]:
    """The file in Jinja's own words, white space already as ``-`` and ``trim_blocks`` have it."""
    opens, inner, line = "", "", 1
    for number, kind, value in environment.lexer.tokeniter(source, name, name):
        if kind in ("variable_begin", "block_begin"):
            opens, inner, line = ("{{" if kind == "variable_begin" else "{%"), "", number
        elif kind in ("variable_end", "block_end"):
            yield Piece(opens, inner, name, line)
            opens = ""
        elif kind == "data":
            yield Piece("", value, name, number)
        elif opens:
            inner += value


def _scoped(pieces: list[Piece], at: Piece) -> Iterator[Piece]:
    """What is set in a block or fragment ends with it."""
    if not any(piece.opens == "{%" and _ANY_SET.match(piece.inner) for piece in pieces):
        yield from pieces
        return
    yield replace(at, opens="{%", inner=" with ")
    yield from pieces
    yield replace(at, opens="{%", inner=" endwith ")


def _parent(nodes: Sequence[Node]) -> tuple[int, str, int] | None:
    """Position, name and line of ``extends``, when it is what the template starts with."""
    for position, node in enumerate(nodes):
        if isinstance(node, Piece) and node.is_text and not node.inner.strip():
            continue
        match = _EXTENDS.match(node.inner) if isinstance(node, Piece) and node.opens == "{%" else None
        return (position, match[1][1:-1], node.line) if match else None
    return None


def _refuse_extends(nodes: Sequence[Node]) -> None:
    for node in nodes:
        if isinstance(node, Piece) and node.keyword == "extends":
            raise TemplateError(
                f"{node.file}:{node.line}: {{% extends %}} stands first in a template, with a quoted name"
            )


def _outside(nodes: Sequence[Node], name: str) -> list[Piece]:
    """What an extending template has outside of its blocks: values that it sets, and nothing that shows."""
    kept = []
    for node in nodes:
        if isinstance(node, Block) or (node.is_text and not node.inner.strip()):
            continue
        if node.opens == "{%" and (_SET.match(node.inner) or node.keyword in _IMPORTS):
            kept.append(node)
            continue
        raise TemplateError(
            f"{name}:{node.line}: outside of its blocks a template that extends another has only "
            "{% set name = value %}; this would never show"
        )
    return kept


def _blocks(nodes: Sequence[Node]) -> Iterator[Block]:
    for node in nodes:
        if isinstance(node, Block):
            yield node
            yield from _blocks([each for each in node.body if isinstance(each, Block)])


def used_templates(
    names: Iterable[str], templates: Mapping[str, str], environment: Environment
) -> frozenset[str]:
    """These files, and every one that they extend, include or import, as far as they are there."""
    waiting, seen = list(names), set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in templates:
            continue
        seen.add(name)
        try:
            pieces = list(_pieces(name, templates[name], environment))
        except TemplateSyntaxError:
            continue  # the check says what is wrong with it
        for piece in pieces:
            if piece.keyword in ("extends", "include", *_IMPORTS):
                waiting += [each[1:-1] for each in re.findall(_QUOTED_NAME, piece.inner)]
    return frozenset(seen)
