"""Whether a template prints a value whichever way its conditions turn out: it is walked once for each way.

A condition is told from another by what is written in it: ``{% if profile.x %}`` and
``{% if not profile.x %}`` are one question. Between different ones nothing is assumed, but a way on which
several read the same column, and not all of them ask whether it has one value that is written there, may be
one that nobody goes: it is not sure then. Neither is a way on which something is met that the walk does not
follow and that might print the value, or a condition that hangs on nobody and is not worked out. Of what a
filter or a text's method makes of the value it takes that the value is still in it.

What has nothing to do with the value is passed over, what a name stands for is gone through once, and the
steps are counted: a template takes a second at most, however it is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jinja2 import nodes

from kundresa.content.conditions import (
    Asked,
    Bound,
    Conditions,
    Given,
    Memo,
    Names,
    Question,
    Steps,
    TooMuch,
    may_be,
)
from kundresa.content.relevance import Relevance, relevance, targets_of

MOST_STEPS = 100_000
"""Steps of all walks through one template."""
_DEPTH = 20
"""Macros inside macros."""
_ROUNDS = 50
"""Of a loop over what is written there; a longer one is taken as one over what is not known."""

_PLAIN = (nodes.Scope, nodes.Block, nodes.With, nodes.ScopedEvalContextModifier)
"""Tags whose bodies stand where they are."""


class Branch(NamedTuple):
    """How one condition turns out, or whether a loop goes through anything."""

    line: int
    holds: bool
    is_loop: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """One way on which the value is not printed, in the order in which it is asked. No branches: there is
    none on which it is."""

    branches: tuple[Branch, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What the walks have shown."""

    gap: Gap | None
    """None: none was found, or none that is sure."""
    is_whole: bool = True
    """False: there are more ways, or some on which it is not sure whether the value is printed."""


Answers = Mapping[Question, bool]


def look(
    tree: nodes.Template,
    value: str,
    *,
    always: frozenset[str] = frozenset(),
    constants: Mapping[str, object] | None = None,
    libraries: Mapping[str, nodes.Template] | None = None,
) -> Found:
    """Walk a template that extends and includes nothing.

    Args:
        value: the name that is to be printed; it is never empty.
        always: other names that are never empty.
        constants: what is known of ``name`` or ``record.field``.
        libraries: by name, the files that it may import macros of.
    """
    libraries = libraries or {}
    steps = Steps(MOST_STEPS)
    given = Given(value, frozenset({value, *always}), constants or {}, libraries, steps)
    relevant = relevance((tree, *libraries.values()), value)
    ways = _Ways(tree, given, relevant)
    try:
        if not _stands_alone(tree.body, _Walk(given, {}, relevant)):
            ways.walk()
    except (TooMuch, RecursionError):
        ways.is_whole = False
    return ways.found()


def _stands_alone(body: Sequence[nodes.Node], walk: _Walk) -> bool:
    """Whether the value is printed outside of everything that asks or sets."""
    return any(
        any(walk.is_printed_by(each) for each in node.nodes)
        if isinstance(node, nodes.Output)
        else isinstance(node, _PLAIN) and _stands_alone(node.body, walk)
        for node in body
    )


class _Ways:
    """All through one template, those first on which conditions hold."""

    def __init__(self, tree: nodes.Template, given: Given, relevant: Relevance) -> None:
        self._tree, self._given, self._relevant = tree, given, relevant
        self._asked: dict[Question, Asked] = {}
        self._gap: Answers | None = None
        self._branches: tuple[Branch, ...] = ()
        self._is_printed = False
        self.is_whole = True

    def walk(self) -> None:
        """Until it is known of one that it prints the value, and of one that it does not; or to the end.

        Raises:
            TooMuch: when that takes too many steps.
        """
        waiting: list[dict[Question, bool]] = [{}]
        while waiting and not (self._gap is not None and self._is_printed):
            answers = waiting.pop()
            walk = _Walk(self._given, answers, self._relevant)
            try:
                if walk.prints(self._tree.body):
                    self._is_printed = True
                elif self._gap is None:
                    self._missed(walk, answers)
            except Asked as asked:
                self._asked.setdefault(asked.question, asked)
                waiting += [{**answers, asked.question: False}, {**answers, asked.question: True}]

    def _missed(self, walk: _Walk, answers: Answers) -> None:
        relevant = [each for each in answers if self._matters(answers, each)] or [*answers]
        if not walk.is_sure or not may_be({each: answers[each] for each in relevant}):
            self.is_whole = False
            return
        self._gap = answers
        self._branches = tuple(
            Branch(self._asked[each].line, answers[each], self._asked[each].is_loop) for each in relevant
        )

    def _matters(self, gap: Answers, question: Question) -> bool:
        """Whether the value might be printed were this one condition to turn out otherwise."""
        try:
            return _Walk(self._given, {**gap, question: not gap[question]}, self._relevant).prints(
                self._tree.body
            )
        except Asked:
            return True

    def found(self) -> Found:
        if self._gap is None:
            return Found(None, is_whole=self.is_whole)
        is_nowhere = not self._is_printed and self.is_whole
        return Found(Gap(() if is_nowhere else self._branches))


class _Walk(Conditions):
    """One way through a template, on which conditions turn out as ``answers`` say."""

    def __init__(self, given: Given, answers: Answers, relevant: Relevance) -> None:
        super().__init__(given, answers)
        self._relevant = relevant
        self._depth = 0
        self._level = 0
        """Of the frame that names are set in: 0 is that of the file, which its macros see as it then is."""
        self._file: Names = {}
        self._of_file: set[Bound] = set()
        self._carried: Memo[bool] = Memo()
        self._hinted: Memo[bool] = Memo()

    def prints(self, body: Sequence[nodes.Node]) -> bool:
        """
        Raises:
            Asked: for the first condition that there is no answer to.
            TooMuch: when no steps are left.
        """
        return self._body(body, {})[0]

    def is_printed_by(self, node: nodes.Node) -> bool:
        """Whether an expression prints it in which no other name stands, of a template that gives it no other
        meaning."""
        value = self._given.value
        is_alone = self._given.mentions(node) == {value} and value not in self._relevant.targets
        return is_alone and self._carries(node, {})

    def _prints(self, body: Sequence[nodes.Node], names: Names) -> bool:
        return self._inner(body, names)[0]

    def _inner(self, body: Sequence[nodes.Node], names: Names) -> tuple[bool, Names]:
        """A body whose names end with it."""
        self._level += 1
        try:
            return self._body(body, names)
        finally:
            self._level -= 1

    def _body(self, body: Sequence[nodes.Node], names: Names) -> tuple[bool, Names]:
        """Whether these print it, and what names stand for after them."""
        for node in body:
            self._given.steps.take()
            printed, names = self._statement(node, names)
            if self._level == 0:
                self._file = names
            if printed:
                return True, names
        return False, names

    def _statement(self, node: nodes.Node, names: Names) -> tuple[bool, Names]:  # noqa: PLR0911  one for each
        match node:
            case nodes.Output():
                return any(self._carries(each, names) for each in node.nodes), names
            case nodes.Assign():
                return False, {**names, **self._assigned(node.target, node.node, names)}
            case nodes.AssignBlock():
                return False, {**names, **self._assigned(node.target, node.body, names)}
            case nodes.Macro():
                bound = Bound(node, names)
                if self._level == 0:
                    self._of_file.add(bound)
                return False, {**names, node.name: bound}
            case nodes.Import() | nodes.FromImport():
                return False, {**names, **self._imported(node, names)}
            case nodes.If():
                return self._if(node, names)
            case nodes.For():
                return self._for(node, names)
        return self._within(node, names)

    def _within(self, node: nodes.Node, names: Names) -> tuple[bool, Names]:
        """Of those whose names end with them."""
        match node:
            case nodes.With():
                inner = dict(names)
                for target, given in zip(node.targets, node.values, strict=True):
                    inner |= self._assigned(target, given, names)
                printed, after = self._inner(node.body, inner)
                return printed, _left(names, after)
            case nodes.Scope() | nodes.Block() | nodes.FilterBlock() | nodes.ScopedEvalContextModifier():
                printed, after = self._inner(node.body, names)
                return printed, _left(names, after)
            case nodes.CallBlock():
                parameters = tuple(each.name for each in node.args)
                caller = Bound(node.body, names, parameters=parameters)
                return self._called(node.call, names, caller), names
        return self._mentions(node, names), names

    def _if(self, node: nodes.If, names: Names) -> tuple[bool, Names]:
        if not self._is_relevant(node, names):
            return False, names
        for branch in (node, *node.elif_):
            if self._holds(branch.test, names, branch.lineno):
                return self._body(branch.body, names)
        return self._body(node.else_, names)

    def _is_relevant(self, node: nodes.Node, names: Names) -> bool:
        return self._mentions(node, names) or any(
            self._relevant.holding.touch(found) or self._relevant.asked.touch(found) for found in _sets(node)
        )

    def _for(self, node: nodes.For, names: Names) -> tuple[bool, Names]:
        """Each round over what is written there; else one or none: what is printed in the first round, is."""
        if not self._is_relevant(node, names):
            return False, names
        rounds = None if node.test is not None else self._rounds(node.iter, names)
        if rounds is None:
            inner = self._round(node, Bound(node.iter, names, is_item=True), 0, 1)
            each_sets = [inner] if self._has_some(node, names, inner) else []
        else:
            each_sets = [self._round(node, each, at, len(rounds)) for at, each in enumerate(rounds)]
        if not each_sets:
            return self._body(node.else_, names)
        for inner in each_sets:
            printed, after = self._inner(node.body, {**names, **inner})
            names = _left(names, after)
            if printed:
                return True, names
        return False, names

    def _round(self, node: nodes.For, item: Bound, at: int, of: int) -> dict[str, Bound]:
        """What a loop sets in one of its rounds."""
        told = {
            "first": at == 0,
            "last": at == of - 1,
            "index": at + 1,
            "index0": at,
            "revindex": of - at,
            "revindex0": of - at - 1,
            "length": of,
        }
        pairs = [nodes.Pair(nodes.Const(name), nodes.Const(value)) for name, value in told.items()]
        loop = Bound(nodes.Dict(pairs), {})
        return {**self._taken(node.target, item), "loop": loop}

    def _taken(self, target: nodes.Node, item: Bound) -> dict[str, Bound]:
        """What the names of a loop, or of an assignment of several, stand for."""
        if isinstance(target, nodes.Name):
            return {target.name: item}
        if isinstance(target, nodes.Tuple) and not item.is_item and isinstance(item.node, nodes.Node):
            parts, names = self._resolved(item.node, item.names)
            if isinstance(parts, nodes.Tuple | nodes.List) and len(parts.items) == len(target.items):
                pairs = zip(target.items, parts.items, strict=True)
                return {
                    name: bound
                    for one, part in pairs
                    for name, bound in self._taken(one, Bound(part, names)).items()
                }
            item = Bound(item.node, item.names, is_item=True)
        return dict.fromkeys(targets_of(target), item)

    def _rounds(self, node: nodes.Node, names: Names) -> list[Bound] | None:
        """What a loop goes through, when that is written there."""
        node, names = self._resolved(node, names)
        found: list[nodes.Expr] | None = None
        match node:
            case nodes.List() | nodes.Tuple():
                found = [*node.items]
            case nodes.Dict():
                found = [each.key for each in node.items]
            case nodes.Const(value=str() as text):
                found = [nodes.Const(letter) for letter in text]
            case nodes.Call(node=nodes.Name(name="range"), args=[nodes.Const(value=int(most))]):
                found = [nodes.Const(number) for number in range(min(most, _ROUNDS + 1))]
            case nodes.Call(node=nodes.Getattr(node=inner, attr="items" | "values" as what), args=[]):
                found = self._entries(inner, names, what)
                names = self._resolved(inner, names)[1]
            case nodes.Filter(name="items" as what, node=nodes.Node() as inner):
                found = self._entries(inner, names, what)
                names = self._resolved(inner, names)[1]
        return None if found is None or len(found) > _ROUNDS else [Bound(each, names) for each in found]

    def _entries(self, node: nodes.Node, names: Names, what: str) -> list[nodes.Expr] | None:
        record, _ = self._resolved(node, names)
        if not isinstance(record, nodes.Dict):
            return None
        if what == "values":
            return [each.value for each in record.items]
        return [nodes.Tuple([each.key, each.value], "load") for each in record.items]

    def _has_some(self, node: nodes.For, names: Names, inner: Names) -> bool:
        """Whether a loop has a round."""
        over, its_names = self._resolved(node.iter, names)
        try:
            if isinstance(over, nodes.Call) and over.args and self._is_range(over):
                return True
            if not isinstance(over, nodes.Filter) and not self._holds(over, its_names, node.lineno):
                return False
            if isinstance(over, nodes.Filter) and not self._ask(
                f"for {self._key(over, its_names)}", over, its_names, node.lineno
            ):
                return False
            if node.test is None:
                return True
            both = {**names, **inner}
            key = f"some {self._key(node.iter, names)} {self._key(node.test, both)}"
            return self._ask(key, node.test, both, node.lineno)
        except Asked as asked:
            raise Asked(asked.question, asked.line, is_loop=True) from None

    @staticmethod
    def _is_range(node: nodes.Call) -> bool:
        most = node.args[0]
        return (
            isinstance(node.node, nodes.Name)
            and node.node.name == "range"
            and len(node.args) == 1
            and isinstance(most, nodes.Const)
            and most.value > 0
        )

    def _imported(self, node: nodes.Import | nodes.FromImport, names: Names) -> dict[str, Bound]:
        """What a file that is imported gives. Without a context its macros know nothing but what they are
        given, and each other."""
        value = self._given.value
        known = names if node.with_context else {value: Bound(node, {}, is_known=False)}
        library = self._given.libraries.get(str(getattr(node.template, "value", "")))
        own: dict[str, Bound] = dict(known)
        level, self._level = self._level, self._level + 1
        try:
            for each in [] if library is None else library.body:
                if isinstance(each, nodes.Macro):
                    own[each.name] = Bound(each, own)  # each sees those after it
                elif isinstance(each, nodes.Assign | nodes.AssignBlock):
                    given = each.node if isinstance(each, nodes.Assign) else each.body
                    own.update(self._assigned(each.target, given, dict(own)))
        finally:
            self._level = level
        if isinstance(node, nodes.Import):
            return {node.target: Bound(node, own)}
        pairs = [each if isinstance(each, tuple) else (each, each) for each in node.names]
        unknown = Bound(node, {}, is_known=False)
        return {alias: own.get(name, unknown) if name not in known else unknown for name, alias in pairs}

    def _carries(self, node: nodes.Node, names: Names) -> bool:
        """Whether what an expression gives has the value in it."""
        self._given.steps.take()
        if not self._mentions(node, names):
            return False
        node, names = self._resolved(node, names)
        return self._carried.get(node, names, lambda: self._found_to_carry(node, names))

    def _found_to_carry(  # noqa: C901, PLR0911  one for each form
        self, node: nodes.Node, names: Names
    ) -> bool:
        bound = self._stands_for(node, names)
        if bound is not None:
            return self._bound_carries(bound)
        match node:
            case nodes.Name():
                return node.name == self._given.value
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
            case nodes.Getattr(node=nodes.Name(name=module)) if _is_module(names.get(module)):
                return self._bound_carries(names[module].names.get(node.attr, names[module]))
        return any(self._carries(each, names) for each in node.iter_child_nodes())

    def _default_carries(self, node: nodes.Filter, names: Names) -> bool:
        inner = node.node
        if inner is None or self._carries(inner, names):
            return inner is not None
        has_none = (
            not self._holds(inner, names, node.lineno)
            if _is_by_truth(node)
            else self._is_none(inner, names, node.lineno)
        )
        return has_none and self._carries(node.args[0], names)

    def _bound_carries(self, bound: Bound) -> bool:
        if not bound.is_known or isinstance(bound.node, nodes.Macro | nodes.Import):
            self.is_sure &= not self._may_carry(bound)
            return False  # a macro that is not called here
        if isinstance(bound.node, nodes.Node):
            return self._carries(bound.node, bound.names)
        body = bound.node
        return self._carried.get(body, bound.names, lambda: self._inner(body, bound.names)[0])

    def _called(self, call: nodes.Call, names: Names, caller: Bound | None) -> bool:
        found = self._macro(call.node, names)
        if found is None:
            given: list[nodes.Node | None] = [
                call.node,
                *call.args,
                *(each.value for each in call.kwargs),
                call.dyn_args,
                call.dyn_kwargs,
            ]
            if caller is not None and self._bound_carries(caller):
                return True
            return any(self._carries(each, names) for each in given if each is not None)
        if isinstance(found.node, nodes.Macro):
            return self._expanded(found, call, names, caller)
        return self._with_given(found, call, names)

    def _with_given(self, caller: Bound, call: nodes.Call, names: Names) -> bool:
        """``caller(…)``"""
        inner = {**caller.names, **_given(caller.parameters, call, names)}
        assert not isinstance(caller.node, nodes.Node)  # noqa: S101 - a body
        return self._inner(caller.node, inner)[0]

    def _expanded(self, macro: Bound, call: nodes.Call, names: Names, caller: Bound | None) -> bool:
        written = macro.node
        assert isinstance(written, nodes.Macro)  # noqa: S101 - the caller has looked
        if self._depth >= _DEPTH:
            self.is_sure = False
            return False
        outer = _left(self._file, names) if macro in self._of_file else {**macro.names, written.name: macro}
        inner: dict[str, Bound] = dict(outer)
        parameters = tuple(each.name for each in written.args)
        given = _given(parameters, call, names)
        later = parameters[len(parameters) - len(written.defaults) :]
        usual = dict(zip(later, written.defaults, strict=True))
        for name in parameters:
            # Each default sees the parameters before it.
            inner[name] = given.get(name) or Bound(usual.get(name, nodes.Const(None)), dict(inner))
        inner["varargs"] = inner["kwargs"] = given["varargs"]
        inner.pop("caller", None)
        if caller is not None:
            inner["caller"] = caller
        if any(each.find(nodes.NSRef) for each in written.body) and self._mentions(written, inner):
            self.is_sure = False  # what it sets there is not seen after it
        self._depth += 1
        try:
            return self._inner(written.body, inner)[0]
        finally:
            self._depth -= 1

    def _macro(self, node: nodes.Node, names: Names) -> Bound | None:
        """The macro that is called, or the body of ``caller()``; None for anything else."""
        node, names = self._resolved(node, names)
        bound: Bound | None = None
        if isinstance(node, nodes.Name):
            bound = names.get(node.name)
        elif isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
            module = names.get(node.node.name)
            bound = module.names.get(node.attr) if module is not None and _is_module(module) else None
        is_body = bound is not None and not isinstance(bound.node, nodes.Node)
        is_called = bound is not None and (is_body or isinstance(bound.node, nodes.Macro))
        return bound if is_called else None

    def _assigned(
        self, target: nodes.Node, given: nodes.Node | Sequence[nodes.Node], names: Names
    ) -> dict[str, Bound]:
        """What the names of a target stand for."""
        if isinstance(given, nodes.Node):
            given, names = self._resolved(given, names)
        bound = Bound(given, names)
        self._may_carry(bound)  # now: of many that follow from each other it would go deep
        if isinstance(target, nodes.NSRef):
            return {f"{target.name}.{target.attr}": bound}
        fields = {name: None for name in names if name.split(".")[0] in targets_of(target) and "." in name}
        return {**dict.fromkeys(fields, Bound(nodes.Const(None), {})), **self._taken(target, bound)}

    def _mentions(self, node: nodes.Node, names: Names) -> bool:
        """Whether the value stands in it anywhere, by its own name or by one that stands for it."""
        return self._hinted.get(node, names, lambda: self._found_to_mention(node, names))

    def _found_to_mention(self, node: nodes.Node, names: Names) -> bool:
        return any(self._may_be_in(each, names) for each in self._given.mentions(node))

    def _may_be_in(self, name: str, names: Names) -> bool:
        base, _, field = name.partition(".")
        if field and name in names:
            return self._may_carry(names[name])
        if base not in names:
            return base == self._given.value
        if self._may_carry(names[base]):
            return True
        return not field and any(
            self._may_carry(names[each]) for each in names if each.startswith(f"{base}.")
        )

    def _may_carry(self, bound: Bound) -> bool:
        node = bound.node
        if isinstance(node, nodes.Import | nodes.FromImport):
            library = self._given.libraries.get(str(getattr(node.template, "value", "")))
            return node.with_context and (
                library is None or self._relevant.holding.touch(self._given.mentions(library))
            )
        if not bound.is_known:
            return False
        if isinstance(node, nodes.Macro):
            shadowed = bound.names.get(self._given.value)
            if shadowed is not None and not shadowed.is_known:
                return False  # of a file that is imported without a context
            own = {each.name for each in node.args}
            return self._relevant.holding.touch(
                each
                for each in self._given.mentions(node)
                if each.split(".")[0] not in own and each != node.name
            )
        if isinstance(node, nodes.Node):
            return self._mentions(node, bound.names)
        return any(self._mentions(each, bound.names) for each in node)


def _given(parameters: Sequence[str], call: nodes.Call, names: Names) -> dict[str, Bound]:
    """What each parameter is given, and under ``varargs`` the rest. Of ``*`` and ``**`` that are not written
    out any may be any."""
    args, kwargs = [*call.args], {each.key: each.value for each in call.kwargs}
    unknown: list[nodes.Expr] = []
    if isinstance(call.dyn_args, nodes.List | nodes.Tuple):
        args += call.dyn_args.items
    elif call.dyn_args is not None:
        unknown.append(call.dyn_args)
    match call.dyn_kwargs:
        case nodes.Dict(items=items) if all(isinstance(each.key, nodes.Const) for each in items):
            kwargs |= {each.key.as_const(): each.value for each in items}
        case nodes.Expr() as given:
            unknown.append(given)
    found = {name: Bound(each, names) for name, each in zip(parameters, args, strict=False)}
    found |= {name: Bound(each, names) for name, each in kwargs.items() if name in parameters}
    if unknown:
        any_of = Bound(nodes.Tuple(unknown, "load", lineno=call.lineno), names, is_item=True)
        found = {**dict.fromkeys(parameters, any_of), **found}
    rest = [
        *args[len(parameters) :],
        *(each for name, each in kwargs.items() if name not in (*parameters, "caller")),
        *unknown,
    ]
    found["varargs"] = Bound(nodes.Tuple(rest, "load", lineno=call.lineno), names)
    return found


def _left(names: Names, after: Names) -> dict[str, Bound]:
    """The names of a frame after one inside of it: fields that were set there of its own namespaces stay."""
    kept = {
        name: bound
        for name, bound in after.items()
        if "." in name and name.split(".")[0] in names and _is_same(names, after, name.split(".")[0])
    }
    return {**names, **kept}


def _is_same(names: Names, after: Names, name: str) -> bool:
    return names[name] is after.get(name)


def _is_module(bound: Bound | None) -> bool:
    return bound is not None and isinstance(bound.node, nodes.Import)


def _is_by_truth(node: nodes.Filter) -> bool:
    """``default(…, true)``"""
    given = [*node.args[1:], *(each.value for each in node.kwargs if each.key == "boolean")]
    return any(isinstance(each, nodes.Const) and bool(each.value) for each in given)


def _sets(node: nodes.Node) -> Iterator[tuple[str, ...]]:
    """The names that are set in it."""
    for each in node.find_all(nodes.Assign):
        yield targets_of(each.target)
    for block in node.find_all(nodes.AssignBlock):
        yield targets_of(block.target)
    for macro in node.find_all(nodes.Macro):
        yield (macro.name,)
