"""What is wrong with a campaign's templates, found without rendering: the check before any run."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping

from jinja2 import TemplateSyntaxError, nodes
from jinja2.meta import find_undeclared_variables

from kundresa.content.check_channels import check_channels
from kundresa.content.environment import (
    JSON_SUFFIX,
    REFUSED_FILTERS,
    Sandbox,
    build_environment,
    usable_filters,
)
from kundresa.content.files import template_files
from kundresa.content.problems import TemplateProblem
from kundresa.spec.campaign import Campaign

NAMES = frozenset({"profile", "campaign", "unsubscribe_url", "message_id"})
"""What every template may use; with an experiment, ``variant`` too."""
CAMPAIGN_FIELDS = ("description", "name")
LINK = "unsubscribe_url"


def check_templates(
    campaign: Campaign, templates: Mapping[str, str], columns: Collection[str]
) -> list[TemplateProblem]:
    """Everything wrong with a campaign's templates, by file and line; empty when all is well.

    Args:
        templates: text by file name, all ``*.j2`` beside the spec.
        columns: the contracted columns of ``profiles`` (a mapping of name to type does as well).
    """
    environment = build_environment(templates)
    as_json = build_environment(templates, as_json=True)
    problems = check_files_present(campaign, templates)
    trees: dict[str, nodes.Template] = {}
    for name, source in sorted(templates.items()):
        try:
            trees[name] = environment.parse(source, name, name)
            (as_json if name.endswith(JSON_SUFFIX) else environment).compile(source, name, name)
        except TemplateSyntaxError as error:
            problems.append(TemplateProblem(name, error.lineno, _syntax(error, environment)))
    names = NAMES | {"variant"} if campaign.experiment else NAMES
    for name, tree in trees.items():
        checker = _Checker(
            name, tree, environment=environment, names=names, columns=sorted(columns), templates=templates
        )
        problems.extend(checker.problems())
    problems.extend(_links(campaign, trees))
    problems.extend(check_channels(campaign, trees))
    return sorted(set(problems), key=lambda each: (each.file, each.line or 0, each.message))


def check_files_present(campaign: Campaign, templates: Collection[str]) -> list[TemplateProblem]:
    """The files that the campaign names and the folder does not have."""
    problems = []
    for file in template_files(campaign):
        if file.name not in templates:
            hint = nearest(file.name, templates)
            problems.append(
                TemplateProblem(file.name, None, f"this file of the {file.channel} channel is missing{hint}")
            )
    return problems


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


def _links(campaign: Campaign, trees: Mapping[str, nodes.Template]) -> Iterator[TemplateProblem]:
    """Both parts of an email carry the unsubscribe link: people read one or the other."""
    for file in template_files(campaign):
        if file.channel != "email" or file.part == "subject" or file.name not in trees:
            continue
        if not _prints_link(file.name, trees, frozenset()):
            message = f"there is no {{{{ {LINK} }}}} in it; every email needs one"
            yield TemplateProblem(file.name, None, message)


def _prints_link(name: str, trees: Mapping[str, nodes.Template], seen: frozenset[str]) -> bool:
    tree = trees.get(name)
    if tree is None or name in seen:
        return False
    if any(node.name == LINK for node in tree.find_all(nodes.Name)):
        return True
    return any(
        _prints_link(other.value, trees, seen | {name})
        for other in targets(tree)
        if isinstance(other, nodes.Const)
    )


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


class _Checker:
    """One template file."""

    def __init__(
        self,
        file: str,
        tree: nodes.Template,
        *,
        environment: Sandbox,
        names: frozenset[str],
        columns: Collection[str],
        templates: Collection[str],
    ) -> None:
        self._file = file
        self._tree = tree
        self._environment = environment
        self._names = names
        self._fields = {"profile": columns, "campaign": CAMPAIGN_FIELDS}
        self._templates = templates

    def problems(self) -> Iterator[TemplateProblem]:
        yield from self._undefined()
        yield from self._fields_of_records()
        yield from self._private()
        yield from self._filters()
        yield from self._references()

    def _problem(self, node: nodes.Node, message: str) -> TemplateProblem:
        return TemplateProblem(self._file, node.lineno, message)

    def _undefined(self) -> Iterator[TemplateProblem]:
        known = self._names | set(self._environment.globals)
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
                yield self._problem(target, f"there is no template {target.value} beside campaign.yaml{hint}")
