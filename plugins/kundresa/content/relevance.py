"""Which names of a template have to do with a value: those that may hold it, and those that conditions around
it ask. What has to do with neither need not be walked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jinja2 import nodes

Mentions = frozenset[str]
"""Names that stand in a node: ``foot``, and ``ns.foot`` where a field is read or set."""


def mentions(node: nodes.Node) -> Mentions:
    """The names in a node and all below it, those that are set too."""
    return frozenset(_mentions(node))


def _mentions(node: nodes.Node) -> Iterator[str]:
    waiting = [node]
    while waiting:
        each = waiting.pop()
        match each:
            case nodes.Getattr(node=nodes.Name(name=base), attr=attr):
                yield f"{base}.{attr}"
                continue
            case nodes.NSRef():
                yield f"{each.name}.{each.attr}"
            case nodes.Name():
                yield each.name
        waiting += each.iter_child_nodes()


def targets_of(target: nodes.Node) -> tuple[str, ...]:
    """The names that an assignment sets."""
    if isinstance(target, nodes.NSRef):
        return (f"{target.name}.{target.attr}",)
    found = [target] if isinstance(target, nodes.Name) else [*target.find_all(nodes.Name)]
    return (
        *(each.name for each in found),
        *(f"{each.name}.{each.attr}" for each in target.find_all(nodes.NSRef)),
    )


class Names:
    """Names, of which a field counts with its record."""

    def __init__(self, found: Iterable[str] = ()) -> None:
        self._found: set[str] = set()
        self.add(found)

    def add(self, names: Iterable[str]) -> bool:
        """Whether one of them is new."""
        before = len(self._found)
        for name in names:
            self._found.add(name)
            if "." in name:
                self._found.add(f"{name.split('.')[0]}.*")
        return len(self._found) > before

    def touch(self, names: Iterable[str]) -> bool:
        """Whether one of them, its record or one of its fields is among these."""
        return any(
            name in self._found or name.split(".")[0] in self._found or f"{name}.*" in self._found
            for name in names
        )


@dataclass(frozen=True, slots=True)
class Relevance:
    """Of one template."""

    holding: Names
    """Those that the value may be in somewhere, and the macros that print it."""
    asked: Names
    """Those that hang together with how conditions around it turn out."""
    targets: Mentions
    """All that are set anywhere."""


def relevance(trees: Iterable[nodes.Template], value: str) -> Relevance:
    """The names of a template and of those that it imports, wherever in them they stand."""
    trees = tuple(trees)
    flows = [flow for tree in trees for flow in _flows(tree, frozenset())]
    holding = Names([value])
    while any(holding.add(flow.targets) for flow in flows if holding.touch(flow.given)):
        pass
    asked = Names()
    for tree in trees:
        for node in tree.find_all(nodes.Node):
            if (found := _asked_by(node)) and holding.touch(mentions(node)):
                asked.add(found)
    while any(asked.add(flow.given | flow.tests) for flow in flows if asked.touch(flow.targets)):
        pass
    return Relevance(holding, asked, frozenset(name for flow in flows for name in flow.targets))


@dataclass(frozen=True, slots=True)
class _Flow:
    targets: tuple[str, ...]
    given: Mentions
    tests: Mentions
    """What is asked by the conditions around it."""


def _flows(node: nodes.Node, tests: Mentions) -> Iterator[_Flow]:
    match node:
        case nodes.Assign():
            yield _Flow(targets_of(node.target), mentions(node.node), tests)
        case nodes.AssignBlock():
            yield _Flow(targets_of(node.target), _all(node.body), tests)
        case nodes.For():
            yield _Flow(targets_of(node.target), mentions(node.iter), tests)
            tests |= mentions(node.iter) | (mentions(node.test) if node.test is not None else frozenset())
        case nodes.With():
            for target, given in zip(node.targets, node.values, strict=True):
                yield _Flow(targets_of(target), mentions(given), tests)
        case nodes.Macro():
            own = {each.name for each in node.args}
            inside = _all([*node.body, *node.defaults])
            yield _Flow(
                (node.name,), frozenset(each for each in inside if each.split(".")[0] not in own), tests
            )
        case nodes.If():
            tests |= mentions(node.test)
    for child in node.iter_child_nodes():
        yield from _flows(child, tests)


def _asked_by(node: nodes.Node) -> Mentions:
    """What hangs on the person in how a node turns out."""
    match node:
        case nodes.If():
            return _all([node.test, *(each.test for each in node.elif_)])
        case nodes.For():
            return _all([node.iter, *([] if node.test is None else [node.test])])
        case nodes.Expr():
            return mentions(node)
    return frozenset()


def _all(body: Iterable[nodes.Node]) -> Mentions:
    return frozenset(name for each in body for name in mentions(each))
