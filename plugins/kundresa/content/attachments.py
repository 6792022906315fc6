"""What travels with an email: files as they are, and texts written for each person.

A calendar entry (RFC 5545) is a template like any other, whose printed values are escaped here: no value of a
person can end the line that it stands in, or add a property."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from jinja2 import Template, TemplateSyntaxError, Undefined

from kundresa.content.environment import Sandbox, build_environment
from kundresa.content.errors import RenderError, TemplateError
from kundresa.content.filters import TemplateValueError
from kundresa.content.text import body_text
from kundresa.spec.attachments import (
    MAX_WRITTEN,
    MEDIA_TYPES,
    FileAttachment,
    WrittenAttachment,
    unpack,
    written_attachments,
)
from kundresa.spec.campaign import Campaign
from kundresa.spec.channels import EmailChannel
from kundresa.spec.messages import Attachment

SUFFIX = ".j2"
LINE_OCTETS = 75
"""Of a line of a calendar entry, its line break not counted (RFC 5545 3.1)."""
_WORD = re.compile(r"[a-z_]+")
_ESCAPED = str.maketrans({"\\": "\\\\", ";": "\\;", ",": "\\,", "\n": "\\n"})


def attachments_of(campaign: Campaign) -> Sequence[FileAttachment | WrittenAttachment]:
    """What the campaign's emails carry."""
    return [each for part in campaign.channels if isinstance(part, EmailChannel) for each in part.attachments]


def attachment_templates(campaign: Campaign, names: Collection[str]) -> tuple[str, ...]:
    """Of these files, the templates that attachments are written from, those of languages included, in a
    fixed order."""
    found = [
        name
        for each in written_attachments(attachments_of(campaign))
        for name in sorted(names)
        if _pattern(each).fullmatch(name)
    ]
    return tuple(dict.fromkeys(found))


def missing_attachments(campaign: Campaign, names: Collection[str]) -> Iterator[str]:
    """The files that attachments need and that are not there."""
    for each in attachments_of(campaign):
        name = each.file if isinstance(each, FileAttachment) else f"{each.template}.{each.type}{SUFFIX}"
        if name not in names:
            yield name


def _pattern(each: WrittenAttachment) -> re.Pattern[str]:
    return re.compile(
        rf"{re.escape(each.template)}\.(?:(?P<language>[a-z]{{2,3}})\.)?{each.type}{re.escape(SUFFIX)}"
    )


def attachment_environment(templates: Mapping[str, str], name: str) -> Sandbox:
    """The environment that an attachment's template is compiled in: by its ending."""
    environment = build_environment(templates)
    if name.endswith(f".ics{SUFFIX}"):
        environment.finalize = _printed_in_calendar
    return environment


def _printed_in_calendar(value: Any) -> str:
    """Called on whatever a ``*.ics.j2`` prints (RFC 5545 3.3.5 and 3.3.11)."""
    if isinstance(value, Undefined):
        str(value)  # raises what it has to say
    if value is None:
        raise TemplateValueError("an expression gives nothing to print; add | default('…')")
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TemplateValueError("a time without a zone is no moment in a calendar")
        return value.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    if isinstance(value, date):
        return value.strftime("%Y%m%d")
    return body_text(str(value)).translate(_ESCAPED)


@dataclass(frozen=True, slots=True)
class _Written:
    """One text of each person, compiled."""

    attachment: WrittenAttachment
    templates: Mapping[str | None, Template]
    """By language; None for everybody else."""


@dataclass(frozen=True, slots=True)
class Attached:
    """A campaign's attachments, compiled once."""

    files: Mapping[int, Attachment] = field(default_factory=dict)
    """Those that everybody gets, by position among all."""
    written: Mapping[int, _Written] = field(default_factory=dict)
    """The others."""
    words: frozenset[str] = frozenset()
    """Every name in their templates and in what these may include: a link is signed only where one is."""

    def render(
        self, names: dict[str, Any], language: str | None, write: Callable[[Template, dict[str, Any]], str]
    ) -> tuple[Attachment, ...]:
        """The attachments of one person, in the order in which they are declared.

        Args:
            names: what templates may use.
            language: the person's.
            write: renders a template and explains what goes wrong.

        Raises:
            RenderError: when one cannot be written for this person.
        """
        if not self.files and not self.written:
            return ()
        found = []
        for position in range(len(self.files) + len(self.written)):
            if position in self.files:
                found.append(self.files[position])
                continue
            one = self.written[position]
            template = one.templates.get(language) or one.templates[None]
            text = write(template, names).strip("\n")
            if not text.strip():
                continue
            if len(text) > MAX_WRITTEN:
                raise RenderError(f"{template.name}: longer than {MAX_WRITTEN} characters")
            if one.attachment.type == "ics":
                text = _calendar(text, str(template.name))
            media_type = MEDIA_TYPES[one.attachment.type]
            found.append(Attachment(one.attachment.shown, media_type, f"{text}\n".encode()))
        return tuple(found)


def _calendar(text: str, name: str) -> str:
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if lines[0] != "BEGIN:VCALENDAR" or lines[-1] != "END:VCALENDAR":
        raise RenderError(f"{name}: a calendar entry is from BEGIN:VCALENDAR to END:VCALENDAR")
    return "\n".join(_folded(line) for line in lines)


def _folded(line: str) -> str:
    """RFC 5545 3.1: at most 75 octets in a line, no character cut apart."""
    if len(line) <= LINE_OCTETS and line.isascii():
        return line
    lines, octets = [""], 0
    for character in line:
        size = len(character.encode())
        if octets + size > LINE_OCTETS:
            lines.append("")
            octets = 1  # the space that a continuation begins with
        lines[-1] += character
        octets += size
    return "\n ".join(lines)


def compile_attachments(campaign: Campaign, templates: Mapping[str, str]) -> Attached:
    """The campaign's attachments, ready to be written.

    Raises:
        TemplateError: when a file is missing or has a syntax error, with file and line.
    """
    missing = [
        f"{name}: this file is attached and missing" for name in missing_attachments(campaign, templates)
    ]
    if missing:
        raise TemplateError("; ".join(missing))
    files: dict[int, Attachment] = {}
    written: dict[int, _Written] = {}
    for position, each in enumerate(attachments_of(campaign)):
        if isinstance(each, FileAttachment):
            octets = unpack(templates[each.file])
            files[position] = Attachment(each.shown, MEDIA_TYPES[each.ending], octets)
        else:
            written[position] = _Written(each, _compiled(each, templates))
    # By the texts, fragments among them: a link too many costs one signature.
    texts = [text for name, text in templates.items() if name.endswith(SUFFIX)] if written else []
    return Attached(files, written, frozenset(word for text in texts for word in _WORD.findall(text)))


def _compiled(each: WrittenAttachment, templates: Mapping[str, str]) -> dict[str | None, Template]:
    found: dict[str | None, Template] = {}
    for name in templates:
        match = _pattern(each).fullmatch(name)
        if match is None:
            continue
        try:
            found[match["language"]] = attachment_environment(templates, name).get_template(name)
        except TemplateSyntaxError as error:
            raise TemplateError(f"{error.filename or name}:{error.lineno}: {error.message}") from None
    return found
