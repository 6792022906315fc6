"""Which profile columns a campaign's templates read: what the quality gate must look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jinja2 import nodes

from kundresa.content.check import targets
from kundresa.content.environment import build_environment
from kundresa.content.files import template_files
from kundresa.spec.campaign import Campaign


def template_columns(campaign: Campaign, templates: Mapping[str, str]) -> frozenset[str]:
    """The columns that any template of the campaign, or one it includes, reads from ``profile``.

    Templates beside the spec that nothing uses do not count.

    Raises:
        jinja2.TemplateSyntaxError: for a template that does not parse; ``check_templates`` explains it.
    """
    environment = build_environment(templates)
    waiting = [file.name for file in template_files(campaign, templates)]
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
    for attribute in tree.find_all(nodes.Getattr):
        if isinstance(attribute.node, nodes.Name) and attribute.node.name == "profile":
            yield attribute.attr
    for item in tree.find_all(nodes.Getitem):
        if (
            isinstance(item.node, nodes.Name)
            and item.node.name == "profile"
            and isinstance(item.arg, nodes.Const)
        ):
            yield str(item.arg.value)


def _references(tree: nodes.Template) -> Iterator[str]:
    for target in targets(tree):
        if isinstance(target, nodes.Const):
            yield str(target.value)
