"""YAML as specs use it: a plain tree in which every key and value knows its line.

Two things differ from PyYAML's own loading. Words are read as YAML 1.2's core schema reads them: only
``true`` and ``false`` are booleans, so ``on:`` is a key and ``no`` a text (YAML 1.1 made both booleans),
and ``12:30`` or a date stay text. And what a spec does not need is refused, not resolved: aliases
(and with them the "billion laughs"), tags, several documents, more than 20 levels.

The tree is built from PyYAML's events, not from ``yaml.load``: its parser keeps no stack of its own, so
deep nesting is refused before anything recurses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from kundresa.spec.problems import SpecError, SpecProblem, shown

MAX_BYTES = 64 * 1024
"""A spec is a page or two of text; the largest plausible one (20 variants, long descriptions) is 10 KiB."""
MAX_DEPTH = 20
"""Campaigns nest 5 deep."""

KeyPath = tuple[str | int, ...]
Value = str | int | float | bool | None | list[Any] | dict[str, Any]

_NULL = re.compile(r"(?:~|null|Null|NULL)?")
_BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")
# 18 digits fit 64 bits; longer ones are no amount of anything here and stay text.
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,18}|[0-9]{1,18}(?:\.[0-9]{0,18})?)(?:[eE][-+]?[0-9]{1,3})?")

_SYNTAX_HINTS = (
    ("character '\\t'", "a tab; YAML is indented with spaces"),
    ("that cannot start any token", "a value that starts with a special character; put it in quotes"),
    ("while scanning an alias", "a value that starts with '*'; put it in quotes"),
    ("while scanning an anchor", "a value that starts with '&'; put it in quotes"),
    ("mapping values are not allowed", "a ': ' inside a value (put it in quotes), or wrong indentation"),
    ("could not find expected ':'", "expected 'key: value' here or on the line above"),
    ("found unexpected end of stream", "a quote or bracket that is never closed"),
    ("while parsing a flow", "a '[' or '{' that is not closed, or a comma that is missing"),
    ("while parsing a block mapping", "wrong indentation, or text after a closing quote"),
    ("while parsing a block collection", "wrong indentation of a list"),
)


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a file; both numbers count from 1."""

    line: int
    column: int


@dataclass(slots=True)
class SpecSource:
    """A parsed file: its data, and the place of every key and value."""

    file: str
    data: dict[str, Any] = field(default_factory=dict)
    problems: list[SpecProblem] = field(default_factory=list)
    """What is wrong already as YAML, but leaves the rest readable: duplicate keys."""
    keys: dict[KeyPath, Spot] = field(default_factory=dict)
    values: dict[KeyPath, Spot] = field(default_factory=dict)
    raw: dict[KeyPath, str] = field(default_factory=dict)
    """Scalars as written, so that a message can show ``+46701234567`` and not the number it became."""

    def problem(
        self, path: KeyPath, message: str, *, suggestion: str | None = None, at_key: bool = False
    ) -> SpecProblem:
        """A problem at the value of ``path`` (or at its key), or at the nearest parent that exists."""
        spot = self._spot(path, at_key=at_key)
        return SpecProblem(
            file=self.file,
            line=spot.line,
            column=spot.column,
            key=key_text(path),
            message=message,
            suggestion=suggestion,
        )

    def value(self, path: KeyPath) -> Value:
        """The value at ``path``.

        Raises:
            KeyError: when there is none.
        """
        found: Any = self.data
        for part in path:
            try:
                found = found[part]
            except (LookupError, TypeError):
                raise KeyError(path) from None
        return found  # type: ignore[no-any-return]

    def _spot(self, path: KeyPath, *, at_key: bool) -> Spot:
        if not at_key and path in self.values:
            return self.values[path]
        for length in range(len(path), 0, -1):
            spot = self.keys.get(path[:length]) or self.values.get(path[:length])
            if spot is not None:
                return spot
        return Spot(1, 1)


def key_text(path: KeyPath) -> str:
    """``("channels", 0, "kind")`` → ``channels[0].kind``. Entries count from 0, as in YAML tools."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if re.fullmatch(r"[^\W\d][\w-]{0,59}", part) else shown(part)
            text += f".{word}" if text else word
    return text


def as_mapping(value: Value) -> dict[str, Any]:
    """The value if it is a mapping, an empty one otherwise."""
    return value if isinstance(value, dict) else {}


def parse_yaml(content: bytes, file: str) -> SpecSource:
    """A mapping from the bytes of a file. ``file`` is only named in problems.

    Raises:
        SpecError: when it is not UTF-8, not YAML, no mapping, or larger or deeper than a spec can be.
    """
    text = decode(content, file, MAX_BYTES)
    source = SpecSource(file)
    builder = _Builder(source, text)
    try:
        builder.build()
    except yaml.YAMLError as error:
        raise SpecError([*source.problems, _syntax_problem(error, text, file)]) from None
    return source


def decode(content: bytes, file: str, max_bytes: int) -> str:
    """UTF-8 text with ``\\n`` line ends and no byte order mark.

    Raises:
        SpecError: when it is too large, or not UTF-8.
    """
    if len(content) > max_bytes:
        problem = f"larger than {max_bytes // 1024} KiB, the most that is read"
        raise SpecError([SpecProblem(file=file, message=problem)])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - (before.rfind(b"\n") + 1) + 1
        problem = f"not UTF-8: byte 0x{content[error.start]:02x}; save the file as UTF-8"
        raise SpecError([SpecProblem(file=file, line=line, column=column, message=problem)]) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


class _Builder:
    """Turns events into data. One use."""

    def __init__(self, source: SpecSource, text: str) -> None:
        self._source = source
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.SafeLoader)

    def build(self) -> None:
        self._next()  # the stream's start
        event = self._next()
        if not isinstance(event, yaml.DocumentStartEvent):
            raise self._refused(event, "empty; a spec is a mapping of keys and values")
        event = self._next()
        if _is_nothing(event):
            raise self._refused(event, "empty; a spec is a mapping of keys and values")
        if not isinstance(event, yaml.MappingStartEvent):
            kind = "list" if isinstance(event, yaml.SequenceStartEvent) else "text"
            raise self._refused(event, f"expected 'key: value' lines at the top, found a {kind}")
        data = self._node(event, ())
        assert isinstance(data, dict)  # noqa: S101  # narrowed by the check above
        self._source.data = data
        self._next()  # the document's end
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._refused(event, "a second document starts here; a file holds one spec")

    def _next(self) -> yaml.Event:
        return next(self._events)

    def _refused(self, event: yaml.Event, message: str, path: KeyPath = ()) -> SpecError:
        return SpecError([*self._source.problems, _at(event, self._source.file, path, message)])

    def _node(self, event: yaml.Event, path: KeyPath) -> Value:
        self._source.values[path] = _spot(event)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise self._refused(
                event, "anchors and aliases (& and *) are not read; write the value out", path
            )
        if getattr(event, "tag", None):
            raise self._refused(event, "tags (!) are not read; write the plain value", path)
        if len(path) > MAX_DEPTH:
            raise self._refused(event, f"nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        return self._scalar(event, path)

    def _scalar(self, event: yaml.Event, path: KeyPath) -> Value:
        assert isinstance(event, yaml.ScalarEvent)  # noqa: S101  # the only kind left
        text: str = event.value
        self._source.raw[path] = text
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise self._refused(event, "a lone surrogate is no character; write the character itself", path)
        return _resolved(text) if event.implicit[0] else text

    def _sequence(self, path: KeyPath) -> list[Value]:
        items: list[Value] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, len(items))))
        return items

    def _mapping(self, path: KeyPath) -> dict[str, Value]:
        items: dict[str, Value] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._key(event, path)
            inside = (*path, key)
            if key in items:
                self._duplicate(event, inside)
                continue
            self._source.keys[inside] = _spot(event)
            items[key] = self._node(self._next(), inside)
        return items

    def _key(self, event: yaml.Event, path: KeyPath) -> str:
        if not isinstance(event, yaml.ScalarEvent) or event.tag or event.anchor:
            raise self._refused(event, "expected a plain word as key", path)
        key: str = event.value  # as written: "on", "no" and "1" are words here
        return key

    def _duplicate(self, event: yaml.Event, path: KeyPath) -> None:
        first = self._source.keys[path].line
        found = _at(event, self._source.file, path, f"this key is already on line {first}")
        self._source.problems.append(found)
        # The second value is read past, into a source of its own: the places of the first stay.
        kept, self._source = self._source, SpecSource(self._source.file)
        try:
            self._node(self._next(), path)
        finally:
            kept.problems += self._source.problems
            self._source = kept


def _is_nothing(event: yaml.Event) -> bool:
    return isinstance(event, yaml.ScalarEvent) and event.implicit[0] and _resolved(event.value) is None


def _resolved(text: str) -> str | int | float | bool | None:
    """A plain scalar by YAML 1.2's core schema (section 10.3.2), without octal, hex, .inf and .nan."""
    if _NULL.fullmatch(text):
        return None
    if _BOOLEAN.fullmatch(text):
        return text.lower() == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _spot(event: yaml.Event) -> Spot:
    mark = event.start_mark
    return Spot(mark.line + 1, mark.column + 1) if mark else Spot(1, 1)


def _at(event: yaml.Event, file: str, path: KeyPath, message: str) -> SpecProblem:
    spot = _spot(event)
    return SpecProblem(file=file, line=spot.line, column=spot.column, key=key_text(path), message=message)


def _syntax_problem(error: yaml.YAMLError, text: str, file: str) -> SpecProblem:
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position]
        column = error.position - (before.rfind("\n") + 1) + 1
        message = f"a control character (U+{ord(text[error.position]):04X}); remove it"
        line = before.count("\n") + 1
        return SpecProblem(file=file, line=line, column=column, message=message)
    if not isinstance(error, yaml.MarkedYAMLError):
        return SpecProblem(file=file, message=f"not YAML: {_one_line(str(error))}")
    mark = error.problem_mark or error.context_mark
    said = _one_line(" ".join(part for part in (error.context, error.problem) if part))
    hints = (hint for sign, hint in _SYNTAX_HINTS if sign in said)
    message = f"not YAML: {next(hints, said)}"
    spot = Spot(mark.line + 1, mark.column + 1) if mark else Spot(1, 1)
    return SpecProblem(file=file, line=spot.line, column=spot.column, message=message)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
