"""Whether a printed value may end an attribute that has no quotes: by a space in it, or by being empty."""

from __future__ import annotations

from collections.abc import Mapping

from jinja2 import Environment, TemplateSyntaxError, nodes

from kundresa.content.expressions import kind_of
from kundresa.content.hyperlinks import OWN_LINKS
from kundresa.spec.column_kinds import ColumnKind

_ENVIRONMENT = Environment(autoescape=True)
"""To read expressions with; nothing is rendered."""
_NAMES = frozenset({*OWN_LINKS, "message_id", "variant"})
_KINDS = frozenset({ColumnKind.NUMBER, ColumnKind.DATE, ColumnKind.TRUTH})
"""What is written as one word; a timestamp has a space between its date and its time."""
_KEEPS_WORDS = frozenset({"d", "default", "e", "escape", "lower", "string", "trim", "upper"})
_WORDS = frozenset({"number", "percent", "urlencode"})
"""Filters that write one word whatever they are given; digits are grouped by a space that does not break."""


def may_break(expression: str, types: Mapping[str, str]) -> bool:
    """Whether ``{{ expression }}`` may print anything but one word. What is not known may.

    Args:
        types: SQL type by column of ``profiles``.
    """
    try:
        tree = _ENVIRONMENT.parse(f"{{{{{expression}}}}}")
    except TemplateSyntaxError:
        return True  # an error, which is told elsewhere
    [output] = tree.find_all(nodes.Output)
    return not all(_is_word(each, types) for each in output.nodes)


def _is_word(node: nodes.Node | None, types: Mapping[str, str]) -> bool:  # noqa: PLR0911  one for each form
    match node:
        case nodes.Const():
            words = str(node.value)
            return len(words.split()) == 1 and words == words.strip()
        case nodes.Name():
            return node.name in _NAMES
        case nodes.Getattr(node=nodes.Name(name="campaign"), attr="name"):
            return True
        case nodes.CondExpr():
            return node.expr2 is not None and _is_word(node.expr1, types) and _is_word(node.expr2, types)
        case nodes.Filter() if node.name in _WORDS:
            return True
        case nodes.Filter() if node.name in _KEEPS_WORDS and not node.kwargs:
            return _is_word(node.node, types) and all(_is_word(each, types) for each in node.args[:1])
    return kind_of(node, types) in _KINDS
