"""Files beside a spec that nothing is made from: with a slip in its name a template is passed over, and
people get something else."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from kundresa.content.attachments import attachment_templates, attachments_of
from kundresa.content.environment import build_environment
from kundresa.content.files import MARKUP, PARTS, SUFFIX, file_name, languages, stems, template_files
from kundresa.content.flatten import used_templates
from kundresa.content.problems import TemplateProblem
from kundresa.spec.attachments import FileAttachment, written_attachments
from kundresa.spec.campaign import Campaign
from kundresa.spec.problems import misspelt, nearest

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}")
_PARTS = frozenset(part for parts in PARTS.values() for part in parts)
_UNUSED = "nothing uses this file"


def unused_files(
    campaigns: Sequence[Campaign], files: Collection[str], templates: Mapping[str, str]
) -> Iterator[TemplateProblem]:
    """The folder's files that look like templates and that no message is made from. Refused is one whose
    name is a slip of that of a file that could be there and is not: in its part, its language, or letters of
    its stem that are missing or exchanged. One with more than that stem (``mail_b`` of an experiment that has
    ended, ``mail2``) may be kept for later: of it and of all others it is only said.

    Args:
        campaigns: all that is made from the folder: a campaign, or the messages and calls of a journey.
        files: names of what is in the folder.
        templates: text by name of those that are templates, and of the shared ones.
    """
    used = _used(campaigns, templates)
    for name in sorted(set(files) - used):
        possible = {other for campaign in campaigns for other in _possible(campaign, name, files)}
        if name.endswith(SUFFIX):
            absent = possible - set(files)
            slip = misspelt(name, absent)
            meant = slip or nearest(name, absent)
            hint = f"; did you mean {meant}?" if meant else ""
            is_kept = slip is None or _is_kept(name, slip)
            yield TemplateProblem(name, None, f"{_UNUSED}{hint}", is_advisory=is_kept)
        elif name.endswith(".mjml") or f"{name}{SUFFIX}" in possible:
            yield TemplateProblem(name, None, f"{_UNUSED}; templates end in {SUFFIX}", is_advisory=True)


def _is_kept(name: str, meant: str) -> bool:
    """Whether the stem of a file is that of another one and more, or was before it got a variant's name."""
    stem, other = name.split(".", maxsplit=1)[0].lower(), meant.split(".", maxsplit=1)[0].lower()
    more = stem.removeprefix(other) if stem.startswith(other) else stem.removesuffix(other)
    if more != stem:
        return bool(more)
    return other.startswith(stem) and not other.removeprefix(stem)[0].isalpha()


def _used(campaigns: Sequence[Campaign], templates: Mapping[str, str]) -> frozenset[str]:
    names: list[str] = []
    for campaign in campaigns:
        names += [file.name for file in template_files(campaign, templates)]
        names += attachment_templates(campaign, templates)
        names += [each.file for each in attachments_of(campaign) if isinstance(each, FileAttachment)]
    # A file that is attached is none of the templates, and may look like one.
    return used_templates(names, templates, build_environment(templates)) | frozenset(names)


def _possible(campaign: Campaign, name: str, files: Collection[str]) -> Iterator[str]:
    """The names that a campaign's files could have, in the languages that there are and in the one that
    ``name`` may be of."""
    second = name.split(".")[1:-2]  # before a part and the ending
    own = {each.lower() for each in second if _LANGUAGE.fullmatch(each) and each not in _PARTS}
    for channel, stem in stems(campaign):
        for language in (None, *sorted({*languages(channel, stem, files), *own})):
            markup = [part for part in MARKUP if file_name(stem, language, part) in files]
            for part in PARTS[channel]:
                if part not in MARKUP or part in markup or not markup:  # one of them is enough
                    yield file_name(stem, language, part)
    for each in written_attachments(attachments_of(campaign)):
        yield f"{each.template}.{each.type}{SUFFIX}"
        for language in own:
            yield f"{each.template}.{language}.{each.type}{SUFFIX}"
