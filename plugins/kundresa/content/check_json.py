"""Whether a ``*.json.j2`` gives a JSON object, as far as that is known without anybody's values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jinja2 import nodes

from kundresa.content.errors import RenderError
from kundresa.content.fitting import json_object
from kundresa.content.problems import TemplateProblem

_QUOTED = (
    "what is printed here has its quotes already: write {{ … }} without quotes around it, and "
    '{{ "…" ~ value }} for a text that goes on'
)


def check_json(name: str, tree: nodes.Template) -> Iterator[TemplateProblem]:
    """Values printed inside of quotes, which the quotes of each would end; and, of a template without
    conditions and loops, whatever else keeps it from being an object."""
    problems = [TemplateProblem(name, node.lineno, _QUOTED) for node in _Quotes().inside(tree.body)]
    yield from problems
    if problems or not all(isinstance(node, nodes.Output) for node in tree.body):
        return
    errors = []
    # A text may stand for a key as well, a number be put together of several: 12.5 of {{ a }}.{{ b }}.
    for value in ('"value {}"', "{}"):
        try:
            json_object(name, "".join(_with_values(tree.body, value)))
        except RenderError as error:
            errors.append(error)
    if len(errors) == 2:
        yield TemplateProblem(name, None, str(errors[0]).removeprefix(f"{name}: "))


def _with_values(body: Sequence[nodes.Node], value: str) -> Iterator[str]:
    """The text, with a value of its own for each expression."""
    parts = [part for node in body if isinstance(node, nodes.Output) for part in node.nodes]
    for number, part in enumerate(parts, 1):
        yield part.data if isinstance(part, nodes.TemplateData) else value.format(number)


class _Quotes:
    """Reads the literal text of a template in the order in which it stands, for where JSON's texts begin and
    end."""

    def __init__(self) -> None:
        self._is_inside = False
        self._is_escaped = False

    def inside(self, body: Sequence[nodes.Node]) -> Iterator[nodes.Expr]:
        """The expressions that are printed within a text. What macros and included files print is not
        known here."""
        for node in body:
            if isinstance(node, nodes.Output):
                for part in node.nodes:
                    if isinstance(part, nodes.TemplateData):
                        self._read(part.data)
                    elif self._is_inside:
                        yield part
            elif isinstance(node, nodes.If):
                yield from self._branches(node)
            elif isinstance(node, nodes.For):
                yield from self.inside(node.body)
                yield from self.inside(node.else_)
            elif isinstance(node, nodes.Block | nodes.With | nodes.Scope):
                yield from self.inside(node.body)

    def _branches(self, node: nodes.If) -> Iterator[nodes.Expr]:
        before = self._is_inside, self._is_escaped
        for branch in (node.body, *(each.body for each in node.elif_), node.else_):
            self._is_inside, self._is_escaped = before
            yield from self.inside(branch)

    def _read(self, text: str) -> None:
        for character in text:
            if self._is_escaped:
                self._is_escaped = False
            elif character == "\\":
                self._is_escaped = self._is_inside
            elif character == '"':
                self._is_inside = not self._is_inside
