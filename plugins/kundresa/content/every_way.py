"""Whether a template prints a value whichever way its conditions turn out: it is walked once for each way.

A condition is told from another by what is written in it: ``{% if profile.x %}`` and
``{% if not profile.x %}`` are one question. Between different ones nothing is assumed, so that what is
printed when a number is below three, three, and above three is not found to be printed always; ``{% else
%}`` says so. Of what the walk does not know (what a filter or a text's method makes of the value) it takes
that the value is still in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jinja2 import nodes

from kundresa.content.conditions import Asked, Bound, Conditions, Given, Names

MOST_WAYS = 2_000
"""Ways through one template that are looked at: ten different conditions around the value, and some."""
_LOOP = "for "
"""What the question begins with whether a loop goes through anything."""
_DEPTH = 30
"""Macros inside macros."""


class Turn(NamedTuple):
    """How one condition turns out, or whether a loop goes through anything."""

    line: int
    holds: bool
    is_loop: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """One way on which the value is not printed, in the order in which it is asked. No turns: there is none
    on which it is."""

    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What the walks have shown."""

    gap: Gap | None
    """None: it is printed on every way that was looked at."""
    is_whole: bool = True
    """False: there are more ways."""


def look(
    tree: nodes.Template,
    value: str,
    *,
    always: frozenset[str] = frozenset(),
    constants: Mapping[str, object] | None = None,
    macros: Mapping[str, Mapping[str, nodes.Macro]] | None = None,
) -> Found:
    """Walk a template that extends and includes nothing.

    Args:
        value: the name that is to be printed; it is never empty.
        always: other names that are never empty.
        constants: what is known of ``name`` or ``record.field``.
        macros: by file and name, those that it may import.
    """
    names = {value, *always}
    given = Given(value, frozenset(names), constants or {}, macros or {})
    lines: dict[str, int] = {}
    waiting: list[dict[str, bool]] = [{}]
    gap: dict[str, bool] | None = None
    is_printed, ways = False, 0
    while waiting and ways < MOST_WAYS:
        answers = waiting.pop()
        ways += 1
        try:
            if _Walk(given, answers).prints(tree.body):
                is_printed = True
            elif gap is None:
                gap = answers
        except Asked as asked:
            lines[asked.question] = asked.line
            waiting += [{**answers, asked.question: False}, {**answers, asked.question: True}]
    if gap is None:
        return Found(None, is_whole=not waiting)
    if not is_printed and not waiting:
        return Found(Gap(()))
    relevant = [each for each in gap if _matters(given, tree, gap, each)] or [*gap]
    return Found(Gap(tuple(Turn(lines[each], gap[each], each.startswith(_LOOP)) for each in relevant)))


def _matters(given: Given, tree: nodes.Template, gap: Mapping[str, bool], question: str) -> bool:
    """Whether the value might be printed were this one condition to turn out otherwise."""
    try:
        return _Walk(given, {**gap, question: not gap[question]}).prints(tree.body)
    except Asked:
        return True


class _Walk(Conditions):
    """One way through a template, on which conditions turn out as ``answers`` say."""

    def __init__(self, given: Given, answers: Mapping[str, bool]) -> None:
        super().__init__(given, answers)
        self._depth = 0

    def prints(self, body: Sequence[nodes.Node]) -> bool:
        """
        Raises:
            Asked: for the first condition that there is no answer to.
        """
        return self._body(body, {})[0]

    def _prints(self, body: Sequence[nodes.Node], names: Names) -> bool:
        return self._body(body, names)[0]

    def _body(self, body: Sequence[nodes.Node], names: Names) -> tuple[bool, Names]:
        """Whether these print it, and what names stand for after them."""
        for node in body:
            printed, names = self._statement(node, names)
            if printed:
                return True, names
        return False, names

    def _statement(self, node: nodes.Node, names: Names) -> tuple[bool, Names]:  # noqa: PLR0911
        match node:
            case nodes.Output():
                return any(self._carries(each, names) for each in node.nodes), names
            case nodes.Assign():
                return False, {**names, **_assigned(node.target, node.node, names)}
            case nodes.AssignBlock():
                return False, {**names, **_assigned(node.target, node.body, names)}
            case nodes.Macro():
                return False, {**names, node.name: Bound(node, names)}
            case nodes.Import() | nodes.FromImport():
                return False, {**names, **self._imported(node)}
            case nodes.If():
                return self._if(node, names)
            case nodes.For():
                return self._for(node, names), names
        return self._within(node, names), names

    def _within(self, node: nodes.Node, names: Names) -> bool:
        """Of those whose names end with them."""
        match node:
            case nodes.With():
                inner = dict(names)
                for target, given in zip(node.targets, node.values, strict=True):
                    inner |= _assigned(target, given, names)
                return self._body(node.body, inner)[0]
            case nodes.Scope() | nodes.Block() | nodes.FilterBlock() | nodes.ScopedEvalContextModifier():
                return self._body(node.body, names)[0]
            case nodes.CallBlock():
                return self._called(node.call, names, Bound(node.body, names))
        return self._mentions(node, names)

    def _if(self, node: nodes.If, names: Names) -> tuple[bool, Names]:
        sets = node.find(nodes.Assign) or node.find(nodes.AssignBlock)
        if sets is None and not self._mentions(node, names):
            return False, names
        for branch in (node, *node.elif_):
            if self._holds(branch.test, names, branch.lineno):
                return self._body(branch.body, names)
        return self._body(node.else_, names)

    def _for(self, node: nodes.For, names: Names) -> bool:
        """Once or not at all: what is printed in the first round, is."""
        if not self._mentions(node, names):
            return False
        inner = {**names, **_unknown(node.target, node), "loop": Bound(node, {}, is_known=False)}
        has_some = _has_some(node.iter)
        if has_some is None or (has_some and node.test is not None):
            has_some = self._ask(f"{_LOOP}{self._key(node.iter, names)}", node.lineno)
        if has_some:
            return self._body(node.body, inner)[0]
        return self._body(node.else_, names)[0]

    def _imported(self, node: nodes.Import | nodes.FromImport) -> dict[str, Bound]:
        found = self._given.macros.get(str(getattr(node.template, "value", "")), {})
        own: dict[str, Bound] = {}
        for name, macro in found.items():
            own = {**own, name: Bound(macro, own)}
        if isinstance(node, nodes.Import):
            return {node.target: Bound(node, own)}
        pairs = [each if isinstance(each, tuple) else (each, each) for each in node.names]
        return {alias: own[name] for name, alias in pairs if name in own}

    def _carries(self, node: nodes.Node, names: Names) -> bool:  # noqa: PLR0911  one for each form
        """Whether what an expression gives has the value in it."""
        if not self._mentions(node, names):
            return False
        match node:
            case nodes.Name():
                return node.name == self._given.value or self._bound_carries(names[node.name])
            case nodes.CondExpr():
                chosen = node.expr1 if self._holds(node.test, names, node.lineno) else node.expr2
                return chosen is not None and self._carries(chosen, names)
            case nodes.Or():
                if self._carries(node.left, names):
                    return True
                return not self._holds(node.left, names, node.lineno) and self._carries(node.right, names)
            case nodes.And():
                is_right = self._carries(node.left, names) or self._holds(node.left, names, node.lineno)
                return self._carries(node.right if is_right else node.left, names)
            case nodes.Not() | nodes.Compare() | nodes.Test():
                return False
            case nodes.Filter(name="default" | "d", node=nodes.Node(), args=[_, *_]):
                return self._default_carries(node, names)
            case nodes.Call():
                return self._called(node, names, None)
        return any(self._carries(each, names) for each in node.iter_child_nodes())

    def _default_carries(self, node: nodes.Filter, names: Names) -> bool:
        inner = node.node
        if inner is None or self._carries(inner, names):
            return inner is not None
        return self._is_none(inner, names, node.lineno) and self._carries(node.args[0], names)

    def _bound_carries(self, bound: Bound) -> bool:
        if not bound.is_known:
            return False
        if isinstance(bound.node, nodes.Macro):
            return False  # one that is not called
        if isinstance(bound.node, nodes.Node):
            return self._carries(bound.node, bound.names)
        return self._body(bound.node, bound.names)[0]

    def _called(self, call: nodes.Call, names: Names, caller: Bound | None) -> bool:
        found = self._macro(call.node, names)
        if found is None:
            given = [call.node, *call.args, *call.kwargs]
            return (caller is not None and self._bound_carries(caller)) or any(
                self._carries(each, names) for each in given
            )
        if isinstance(found.node, nodes.Macro):
            return self._expanded(found, call, names, caller)
        return self._bound_carries(found)  # caller()

    def _expanded(self, macro: Bound, call: nodes.Call, names: Names, caller: Bound | None) -> bool:
        written = macro.node
        assert isinstance(written, nodes.Macro)  # noqa: S101 - the caller has looked
        if self._depth >= _DEPTH:
            return False
        inner = dict(macro.names)
        parameters = [each.name for each in written.args]
        later = parameters[len(parameters) - len(written.defaults) :]
        for name, usual in zip(later, written.defaults, strict=True):
            inner[name] = Bound(usual, macro.names)
        inner |= {name: Bound(given, names) for name, given in zip(parameters, call.args, strict=False)}
        inner |= {each.key: Bound(each.value, names) for each in call.kwargs}
        known = {*parameters, "caller"}
        rest = [*call.args[len(parameters) :], *(each.value for each in call.kwargs if each.key not in known)]
        inner["varargs"] = inner["kwargs"] = Bound(nodes.Tuple(rest, "load", lineno=call.lineno), names)
        if caller is not None:
            inner["caller"] = caller
        self._depth += 1
        try:
            return self._body(written.body, inner)[0]
        finally:
            self._depth -= 1

    def _macro(self, node: nodes.Node, names: Names) -> Bound | None:
        """The macro that is called, or the body of ``caller()``; None for anything else."""
        if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
            module = names.get(node.node.name)
            if module is not None and isinstance(module.node, nodes.Import):
                return module.names.get(node.attr)
            return None
        bound = names.get(node.name) if isinstance(node, nodes.Name) else None
        while bound is not None and isinstance(bound.node, nodes.Name) and bound.is_known:
            bound = bound.names.get(bound.node.name)
        is_called = bound is not None and not isinstance(bound.node, nodes.Expr)
        return bound if is_called and bound is not None and bound.is_known else None

    def _mentions(self, node: nodes.Node, names: Names) -> bool:
        """Whether the value stands in it anywhere, by its own name or by one that stands for it."""
        found = [node] if isinstance(node, nodes.Name) else [*node.find_all(nodes.Name)]
        return any(
            each.name == self._given.value or (each.name in names and self._may_carry(names[each.name]))
            for each in found
        )

    def _may_carry(self, bound: Bound) -> bool:
        if not bound.is_known:
            return False
        if isinstance(bound.node, nodes.Import):
            return any(self._may_carry(each) for each in bound.names.values())
        body = [bound.node] if isinstance(bound.node, nodes.Node) else bound.node
        # A macro's own names hide those of where it was written; what is given to it stands in the call.
        return any(self._mentions(each, _without_macros_of(bound)) for each in body)


def _assigned(target: nodes.Node, given: nodes.Node | Sequence[nodes.Node], names: Names) -> dict[str, Bound]:
    """What the names of a target stand for."""
    if isinstance(target, nodes.Name):
        return {target.name: Bound(given, names)}
    if isinstance(target, nodes.NSRef):
        # One more thing that the namespace holds: which of them is printed is not looked at.
        before = nodes.Name(target.name, "load", lineno=target.lineno)
        return {target.name: Bound(nodes.Concat([before, given], lineno=target.lineno), names)}
    if (
        isinstance(target, nodes.Tuple)
        and isinstance(given, nodes.Tuple)
        and len(target.items) == len(given.items)
    ):
        pairs = zip(target.items, given.items, strict=True)
        return {key: value for one, part in pairs for key, value in _assigned(one, part, names).items()}
    return {each.name: Bound(given, names) for each in target.find_all(nodes.Name)}


def _unknown(target: nodes.Node, by: nodes.Node) -> dict[str, Bound]:
    found = [target] if isinstance(target, nodes.Name) else target.find_all(nodes.Name)
    return {each.name: Bound(by, {}, is_known=False) for each in found}


def _without_macros_of(bound: Bound) -> Names:
    if not isinstance(bound.node, nodes.Macro):
        return bound.names
    hidden = {each.name for each in bound.node.args}
    return {name: each for name, each in bound.names.items() if name not in hidden}


def _has_some(node: nodes.Node) -> bool | None:
    """Whether a loop over it has a first round; None where that hangs on the person."""
    match node:
        case nodes.List() | nodes.Tuple():
            return bool(node.items)
        case nodes.Const(value=str() as text):
            return bool(text)
        case nodes.Call(node=nodes.Name(name="range"), args=[nodes.Const(value=int(most))]):
            return most > 0
    return None


def macros_of(tree: nodes.Template) -> dict[str, nodes.Macro]:
    """Those that another template can import."""
    return {each.name: each for each in tree.body if isinstance(each, nodes.Macro)}
