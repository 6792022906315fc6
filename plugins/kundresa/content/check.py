"""What is wrong with a campaign's templates, found without rendering: the check before any run."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from jinja2 import TemplateSyntaxError, nodes
from jinja2.meta import find_undeclared_variables

from kundresa.content.attachments import attachment_templates, missing_attachments
from kundresa.content.check_channels import check_channels
from kundresa.content.check_example import check_example
from kundresa.content.check_json import check_json
from kundresa.content.check_unsubscribe import check_unsubscribe
from kundresa.content.environment import (
    JSON_SUFFIX,
    REFUSED_FILTERS,
    Sandbox,
    build_environment,
    usable_filters,
)
from kundresa.content.errors import TemplateError
from kundresa.content.example import LOGICAL_AT
from kundresa.content.expressions import expression_problems
from kundresa.content.files import MARKUP, SUFFIX, TemplateFile, file_name, missing_files, template_files
from kundresa.content.lint import lint_page, lint_sources
from kundresa.content.preparing import PREPARED, prepare
from kundresa.content.problems import TemplateProblem
from kundresa.content.render import compile_templates
from kundresa.content.tokens import Links
from kundresa.content.types import filter_problems
from kundresa.spec.campaign import Campaign

NAMES = frozenset(
    {
        "campaign",
        "logical_at",
        "message_id",
        "mirror_url",
        "preferences_url",
        "profile",
        "unsubscribe_url",
    }
)
"""What every template may use; with an experiment, ``variant`` too."""
_PLACE = re.compile(rf"(?P<file>[^:]+{re.escape(SUFFIX)})(?::(?P<line>\d+))?: (?P<message>.*)", re.DOTALL)
CAMPAIGN_FIELDS = ("description", "name")


def check_templates(
    campaign: Campaign,
    templates: Mapping[str, str],
    columns: Collection[str],
    *,
    records: Mapping[str, Collection[str]] | None = None,
) -> list[TemplateProblem]:
    """Everything wrong with a campaign's templates, by file and line; empty when all is well. What is
    advisory only says so.

    Args:
        templates: text by file name: all ``*.j2`` beside the spec, and the layouts and fragments they use.
        columns: the contracted columns of ``profiles``; a mapping of name to type, and helpers are held
            against the types too.
        records: what else templates may use, by name, with its fields: the ``event`` of a journey.
            A mapping of name to declared property, and an example is written with it too.
    """
    records = records or {}
    environment = build_environment(templates)
    as_json = build_environment(templates, as_json=True)
    problems = check_files_present(campaign, templates)
    trees: dict[str, nodes.Template] = {}
    for name, source in sorted(templates.items()):
        if not name.endswith(SUFFIX):
            continue  # a file that is attached as it is
        try:
            trees[name] = environment.parse(source, name, name)
            (as_json if name.endswith(JSON_SUFFIX) else environment).compile(source, name, name)
        except TemplateSyntaxError as error:
            problems.append(TemplateProblem(name, error.lineno, _syntax(error, environment)))
    names = (NAMES | {"variant"} if campaign.experiment else NAMES) | set(records)
    pages = {file.name for file in template_files(campaign, templates)}
    pages.update(attachment_templates(campaign, templates))
    given = {
        each.name
        for tree in trees.values()
        for each in tree.find_all(nodes.Name)
        if each.ctx in ("store", "param")
    }
    for name, tree in trees.items():
        checker = _Checker(
            name,
            tree,
            environment=environment,
            # The page that uses a layout or a fragment gives it values.
            names=names if name in pages else names | given,
            fields={"profile": columns, "campaign": CAMPAIGN_FIELDS, **records},
            templates=templates,
        )
        problems.extend(checker.problems())
        if name.endswith(JSON_SUFFIX):
            problems.extend(check_json(name, tree))
    problems.extend(check_channels(campaign, trees))
    if all(each.is_advisory for each in problems):
        problems.extend(_as_prepared(campaign, templates, environment, columns, records))
    return sorted(set(problems), key=lambda each: (each.file, each.line or 0, each.message))


def check_files_present(campaign: Campaign, templates: Collection[str]) -> list[TemplateProblem]:
    """The files that the campaign needs and the folder does not have, and where there is one too many."""
    problems = []
    for file in missing_files(campaign, templates):
        hint = nearest(file.name, templates)
        problems.append(
            TemplateProblem(file.name, None, f"this file of the {file.channel} channel is missing{hint}")
        )
    problems += [
        TemplateProblem(name, None, f"this file is attached and missing{nearest(name, templates)}")
        for name in missing_attachments(campaign, templates)
    ]
    problems += [
        TemplateProblem(file.name, None, "there is an .html.j2 of it too; keep one of them")
        for file in template_files(campaign, templates)
        if file.part == "mjml" and file_name(file.stem, file.language, "html") in templates
    ]
    return problems


def _as_prepared(
    campaign: Campaign,
    templates: Mapping[str, str],
    environment: Sandbox,
    columns: Collection[str],
    records: Mapping[str, Collection[str]],
) -> Iterator[TemplateProblem]:
    """What shows when layouts, MJML, CSS and links are put together, as every run does."""
    links = Links("https://public.invalid", "nothing is sent with this")
    seen: dict[tuple[str, str, str | None], TemplateFile] = {
        (file.channel, file.stem, file.language): file for file in template_files(campaign, templates)
    }
    found: list[TemplateProblem] = []
    types = columns if isinstance(columns, Mapping) else {}
    try:
        for channel, stem, language in seen:
            if channel not in PREPARED:
                continue
            sources = prepare(
                campaign,
                templates,
                channel=channel,
                stem=stem,
                language=language,
                environment=environment,
                links=links,
                look=lambda page: found.extend(lint_page(page, types)),
            )
            found.extend(lint_sources(channel, sources))
        renderer = compile_templates(campaign, templates, links=links, logical_at=LOGICAL_AT)
        event = records.get("event")
        missing = list(check_unsubscribe(campaign, templates, environment, renderer, columns, event=event))
        found.extend(missing)
        # Without the link the made-up person would not get it for that very reason.
        has_link = all(each.is_advisory for each in missing)
        if has_link and isinstance(columns, Mapping) and (event is None or isinstance(event, Mapping)):
            found.extend(check_example(campaign, templates, columns, renderer, event=event))
    except TemplateError as error:
        found.append(_problem(str(error)))
    yield from found


def _problem(message: str) -> TemplateProblem:
    match = _PLACE.fullmatch(message)
    if match is None:
        return TemplateProblem("campaign.yaml", None, message)
    return TemplateProblem(match["file"], int(match["line"]) if match["line"] else None, match["message"])


def nearest(word: str, known: Collection[str]) -> str:
    """``; did you mean x?`` for the nearest known word, or nothing when none is near."""
    matches = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {matches[0]}?" if matches else ""


def _syntax(error: TemplateSyntaxError, environment: Sandbox) -> str:
    message = error.message or "syntax error"
    if message.startswith("No filter named "):
        word = message.removeprefix("No filter named ").strip("'.")
        return f"there is no filter {word}{nearest(word, usable_filters(environment))}"
    return message.rstrip(".")


def targets(tree: nodes.Template) -> Iterator[nodes.Expr]:
    """What a template includes, extends or imports."""
    references: list[nodes.Include | nodes.Extends | nodes.Import | nodes.FromImport] = [
        *tree.find_all(nodes.Include),
        *tree.find_all(nodes.Extends),
        *tree.find_all(nodes.Import),
        *tree.find_all(nodes.FromImport),
    ]
    for node in references:
        yield node.template


def _not_there(name: str) -> str:
    return f"there is no template {name} {'in dags' if '/' in name else 'beside campaign.yaml'}"


class _Checker:
    """One template file."""

    def __init__(
        self,
        file: str,
        tree: nodes.Template,
        *,
        environment: Sandbox,
        names: frozenset[str],
        fields: Mapping[str, Collection[str]],
        templates: Collection[str],
    ) -> None:
        self._file = file
        self._tree = tree
        self._environment = environment
        self._names = names
        self._fields = fields
        self._templates = templates

    def problems(self) -> Iterator[TemplateProblem]:
        yield from self._undefined()
        yield from self._fields_of_records()
        yield from self._private()
        yield from self._filters()
        yield from self._types()
        yield from self._references()
        yield from self._blocks()

    def _problem(self, node: nodes.Node, message: str) -> TemplateProblem:
        return TemplateProblem(self._file, node.lineno, message)

    def _undefined(self) -> Iterator[TemplateProblem]:
        known = self._names | set(self._environment.globals) | {"self"}
        try:
            unknown = find_undeclared_variables(self._tree) - known
        except TemplateSyntaxError:
            return  # an unknown filter stops Jinja's own search; it is reported, names come after
        for node in self._tree.find_all(nodes.Name):
            if node.name in unknown:
                is_column = node.name in self._fields["profile"]
                hint = f"; did you mean profile.{node.name}?" if is_column else nearest(node.name, known)
                yield self._problem(node, f"{node.name} is not defined{hint}")

    def _fields_of_records(self) -> Iterator[TemplateProblem]:
        """``profile.<column>`` and ``campaign.<field>``, and nothing else done with the two: passed on
        whole, their fields could not be checked."""
        bases: set[int] = set()
        lookups: list[nodes.Getattr | nodes.Getitem] = [
            *self._tree.find_all(nodes.Getattr),
            *self._tree.find_all(nodes.Getitem),
        ]
        for node in lookups:
            base = node.node
            if isinstance(base, nodes.Name) and base.name in self._fields:
                bases.add(id(base))
                yield from self._field(node, base.name)
        for name in self._tree.find_all(nodes.Name):
            if name.name not in self._fields or id(name) in bases:
                continue
            if name.ctx == "load":
                yield self._problem(name, f"{name.name} is used whole; write {name.name}.<field>")
            else:
                yield self._problem(name, f"{name.name} is given another meaning; choose another name")

    def _field(self, node: nodes.Getattr | nodes.Getitem, record: str) -> Iterator[TemplateProblem]:
        key: object
        if isinstance(node, nodes.Getattr):
            key = node.attr
        elif isinstance(node.arg, nodes.Const):
            key = node.arg.value
        else:
            yield self._problem(node, f"{record}[…] takes a quoted name, so that it can be checked")
            return
        known = self._fields[record]
        if key not in known:
            kind = "column" if record == "profile" else "field"
            yield self._problem(node, f"{record} has no {kind} {key}{nearest(str(key), known)}")

    def _types(self) -> Iterator[TemplateProblem]:
        columns = self._fields["profile"]
        types = columns if isinstance(columns, Mapping) else {}
        for node, message in filter_problems(self._tree, types):
            yield self._problem(node, message)
        for each in expression_problems(self._tree, types):
            yield replace(self._problem(each.node, each.message), is_advisory=each.is_advisory)

    def _blocks(self) -> Iterator[TemplateProblem]:
        for name in self._tree.find_all(nodes.Name):
            if name.name == "self":
                yield self._problem(name, "self is not available in templates; {% set %} a value instead")
        for include in self._tree.find_all(nodes.Include):
            if include.ignore_missing or not include.with_context:
                yield self._problem(include, 'write {% include "name" %} alone: what it names must be there')
        if not self._file.endswith(tuple(f".{part}{SUFFIX}" for part in MARKUP)):
            return
        imports: list[nodes.Import | nodes.FromImport] = [
            *self._tree.find_all(nodes.Import),
            *self._tree.find_all(nodes.FromImport),
        ]
        for node in imports:
            yield self._problem(
                node,
                "import is not available in HTML, where links and styles are written once per template: "
                "{% include %} a fragment, {% with %} its values",
            )

    def _private(self) -> Iterator[TemplateProblem]:
        for node in self._tree.find_all(nodes.Getattr):
            if node.attr.startswith("_"):
                yield self._problem(node, f".{node.attr} is not available in templates")

    def _filters(self) -> Iterator[TemplateProblem]:
        usable = usable_filters(self._environment)
        for node in self._tree.find_all(nodes.Filter):
            if node.name in REFUSED_FILTERS:
                why = REFUSED_FILTERS[node.name]
                yield self._problem(node, f"the filter {node.name} is not available in templates: {why}")
            elif node.name not in usable:
                yield self._problem(node, f"there is no filter {node.name}{nearest(node.name, usable)}")
        tests = self._environment.tests
        for test in self._tree.find_all(nodes.Test):
            if test.name not in tests:
                yield self._problem(test, f"there is no test {test.name}{nearest(test.name, tests)}")

    def _references(self) -> Iterator[TemplateProblem]:
        for target in targets(self._tree):
            if not (isinstance(target, nodes.Const) and isinstance(target.value, str)):
                yield self._problem(
                    target, "name the template by its quoted file name, so that it can be checked"
                )
            elif target.value not in self._templates:
                hint = nearest(target.value, self._templates)
                yield self._problem(target, _not_there(str(target.value)) + hint)
