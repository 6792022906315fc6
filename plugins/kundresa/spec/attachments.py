"""What travels with an email: files of the spec's folder, and small texts written for each person."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from kundresa.spec.fields import Name, misplaced
from kundresa.spec.spec import Spec

MEDIA_TYPES: Mapping[str, str] = {
    "csv": "text/csv",
    "gif": "image/gif",
    "ics": "text/calendar",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "pdf": "application/pdf",
    "pkpass": "application/vnd.apple.pkpass",
    "png": "image/png",
    "txt": "text/plain",
    "vcf": "text/vcard",
}
"""By file name ending. Pages, archives and programs are not among them: servers drop mail that has one."""
MAX_OCTETS = 2_000_000
"""Of all files of one message, before they are encoded (a third more on the wire). Relays take 10 to 25 MB,
but a run keeps its files, and every message carries them; a larger document is better linked to."""
MAX_WRITTEN = 100_000
"""Characters of one text that is written for a person."""
MAX_NAME = 60

_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f/\\"]')


def _shown(name: str) -> str:
    if _FORBIDDEN.search(name) or name != name.strip() or name.startswith("."):
        raise ValueError('a file name for people has no / \\ " and no control characters')
    return name


ShownName = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_shown)]
FileName = Annotated[
    str,
    Field(max_length=MAX_NAME, pattern=rf"^[A-Za-z0-9][A-Za-z0-9._-]*\.({'|'.join(MEDIA_TYPES)})$"),
]


class FileAttachment(Spec):
    """A file that everybody gets."""

    file: FileName
    """Beside the spec. By its ending mail clients know what it is."""
    name: ShownName | None = None
    """What the recipient sees, with the same ending; None is the file's own."""

    @property
    def ending(self) -> str:
        return self.file.rpartition(".")[2]

    @property
    def shown(self) -> str:
        """What the recipient sees."""
        return self.name or self.file

    @model_validator(mode="after")
    def _same_ending(self) -> FileAttachment:
        return _with_ending(self)


class WrittenAttachment(Spec):
    """A text written for each person. One that comes out empty is not attached."""

    template: Name
    """Stem of a template beside the spec: ``<stem>.ics.j2`` or ``<stem>.txt.j2``; in another language
    ``<stem>.<language>.ics.j2``."""
    type: Literal["ics", "txt"]
    """``ics`` is a calendar entry (RFC 5545): what is printed in it is escaped, times are in UTC, lines
    folded."""
    name: ShownName | None = None
    """What the recipient sees, with the same ending; None is ``<template>.<type>``."""

    @property
    def ending(self) -> str:
        return self.type

    @property
    def shown(self) -> str:
        """What the recipient sees."""
        return self.name or f"{self.template}.{self.type}"

    @model_validator(mode="after")
    def _same_ending(self) -> WrittenAttachment:
        return _with_ending(self)


_Attached = TypeVar("_Attached", FileAttachment, WrittenAttachment)


def _with_ending(attachment: _Attached) -> _Attached:
    if attachment.name is not None and not attachment.name.lower().endswith(f".{attachment.ending}"):
        raise misplaced(("name",), f"expected a name that ends in .{attachment.ending}")
    return attachment


def _kind(value: object) -> str | None:
    if isinstance(value, Mapping) and ("file" in value) != ("template" in value):
        return "file" if "file" in value else "template"
    if isinstance(value, FileAttachment | WrittenAttachment):
        return "file" if isinstance(value, FileAttachment) else "template"
    return None


Attachment = Annotated[
    Annotated[FileAttachment, Tag("file")] | Annotated[WrittenAttachment, Tag("template")],
    Discriminator(
        _kind,
        custom_error_type="attachment_kind",
        custom_error_message="expected a mapping with 'file', or one with 'template' and 'type'",
    ),
]


def _distinct(
    attachments: tuple[FileAttachment | WrittenAttachment, ...],
) -> tuple[FileAttachment | WrittenAttachment, ...]:
    seen: set[str] = set()
    for position, each in enumerate(attachments):
        if each.shown.lower() in seen:
            raise misplaced((position,), f"there is an attachment '{each.shown}' already")
        seen.add(each.shown.lower())
    return attachments


Attachments = Annotated[tuple[Attachment, ...], Field(max_length=5), AfterValidator(_distinct)]


def attached_files(attachments: Iterable[FileAttachment | WrittenAttachment]) -> tuple[str, ...]:
    """The files of the folder that are sent as they are, each once."""
    return tuple(dict.fromkeys(each.file for each in attachments if isinstance(each, FileAttachment)))


def pack(octets: bytes) -> str:
    """A file as a run keeps it, beside its templates, which are texts."""
    return base64.b64encode(octets).decode("ascii")


def unpack(text: str) -> bytes:
    """What :func:`pack` packed.

    Raises:
        ValueError: for a text that it did not make.
    """
    return base64.b64decode(text, validate=True)


def written_attachments(
    attachments: Iterable[FileAttachment | WrittenAttachment],
) -> Sequence[WrittenAttachment]:
    """Those that are written for each person."""
    return [each for each in attachments if isinstance(each, WrittenAttachment)]


def no_attachments(topic: str) -> str:
    """Why messages about a topic carry no files."""
    return (
        f"messages about '{topic}' carry no attachments: only a topic with consent: exempt in "
        "dags/policies.yaml is transactional; link to the file instead"
    )
