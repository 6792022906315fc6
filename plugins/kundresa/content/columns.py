"""Which profile columns a campaign's templates read: what the quality gate must look at, and what delivery
reads of a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jinja2 import nodes

from kundresa.content.asked import fields_in
from kundresa.content.attachments import attachment_templates
from kundresa.content.check import targets
from kundresa.content.environment import build_environment
from kundresa.content.files import template_files
from kundresa.spec.campaign import Campaign


def template_columns(campaign: Campaign, templates: Mapping[str, str]) -> frozenset[str]:
    """The columns that any template of the campaign, of its attachments, or one that they include reads from
    ``profile``. ``check_templates`` refuses every other way to read one.

    Templates beside the spec that nothing uses do not count.

    Raises:
        jinja2.TemplateSyntaxError: for a template that does not parse; ``check_templates`` explains it.
    """
    environment = build_environment(templates)
    waiting = [file.name for file in template_files(campaign, templates)]
    waiting.extend(attachment_templates(campaign, templates))
    seen: set[str] = set()
    columns: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in templates:
            continue
        seen.add(name)
        tree = environment.parse(templates[name], name)
        columns.update(_profile_columns(tree))
        waiting.extend(_references(tree))
    return frozenset(columns)


def _profile_columns(tree: nodes.Template) -> Iterator[str]:
    for field in fields_in(tree):
        record, _, column = field.partition(".")
        if record == "profile":
            yield column


def _references(tree: nodes.Template) -> Iterator[str]:
    for target in targets(tree):
        if isinstance(target, nodes.Const):
            yield str(target.value)
