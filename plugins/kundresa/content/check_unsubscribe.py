"""Whether everybody's email has its unsubscribe link, in both parts: people read one or the other.

The parts are rendered for people who are made up, as they would be for those of a run, and what comes out is
looked at: in a text part the link stands, in HTML somebody sees it. What conditions, loops, macros, layouts
and fragments do is thereby left to Jinja. Which people: `made_up` has the values of each column that the
template asks about, `combinations` the people who have them.

- Where a part has no more than 2,000 of them, all are tried. Where it has more, every value alone, every two
  values of two columns together (with all others there, and with none), and a sample of 300, the same each
  time. A link that is missing for certain values of three columns alone may then be missed (the sample finds
  nine of ten where each of the three has five values), and so may one that hangs on a value that no
  comparison in the template names. Nobody is sent a mail without it all the same: `Renderer.render` refuses
  one whose parts do not both hold the link, or hold it in a comment, and the account says so of that person.
  What else hides a link from somebody is found here or not at all: to read a page takes a hundred times as
  long as to write it, a look for comments nothing where each ends before the next tag of Jinja, else
  a third of it.
- A link that stands outside of all conditions is always printed: a text part with one is not tried, and in
  HTML each value is tried by itself, since a condition may still hide what is around the link.
- Somebody whose message cannot be rendered misses no link: other checks tell what is wrong there.
- That it is not sure is advice, and said only where a second was not enough, or where not even every two
  values could be tried.

Rejected: to walk the template's syntax for every way through it. That took 1,200 lines of Jinja's semantics
written once more, was not sure of some ways, and saw neither comments nor styles.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from html import escape
from time import process_time

from jinja2 import nodes

from kundresa.content.asked import LINK, Asked, asked_by, fields_in
from kundresa.content.combinations import Person, Values, one_by_one, people
from kundresa.content.environment import Sandbox
from kundresa.content.files import MARKUP, Part, TemplateFile, file_name, languages, template_files
from kundresa.content.flatten import flatten
from kundresa.content.made_up import MadeUp, contract_of
from kundresa.content.preparing import as_source
from kundresa.content.problems import TemplateProblem
from kundresa.content.render import Renderer, with_imports
from kundresa.content.sight import Sight, sight_of
from kundresa.spec.campaign import Campaign

MOST_SECONDS = 1.0
"""Of one part in one variant."""
MOST_NAMED = 5
"""Values in a message."""
_REMEDY = "every email needs one: put it outside of conditions, or in their {% else %} too"
_NONE = f"there is no {{{{ {LINK} }}}} in it; every email needs one"
_UNSURE = (
    f"it is not sure that every email has {{{{ {LINK} }}}}: its conditions ask for more than can be tried; "
    "put it outside of them"
)
_BRANCHES = (nodes.If, nodes.For, nodes.CondExpr, nodes.Output)
_PLAIN = (nodes.Scope, nodes.Block, nodes.With, nodes.ScopedEvalContextModifier)
"""Tags whose bodies stand where they are."""
_WORDS = re.compile(r">[^<>\"'&]*\w[^<>\"'&]*(?=<)")
"""Text between two tags. Whatever its words, a link beside it is seen as well or as badly."""


def check_unsubscribe(
    campaign: Campaign,
    templates: Mapping[str, str],
    environment: Sandbox,
    renderer: Renderer,
    columns: Collection[str],
    *,
    event: Collection[str] | None = None,
    clock: Callable[[], float] = process_time,
) -> Iterator[TemplateProblem]:
    """The parts of emails that come without the link for somebody, or with one that nobody sees.

    Args:
        environment: whose parser reads the files.
        renderer: that of these templates.
        columns: those of ``profiles``; a mapping of name to SQL type where that is known.
        event: of a journey the fields of its ``event``; a mapping of name to declared property likewise.
        clock: seconds, of which each part takes ``MOST_SECONDS`` at most.
    """
    contract = contract_of(columns, event)
    told: dict[TemplateProblem, None] = {}
    for file in template_files(campaign, templates):
        if file.channel != "email" or file.part not in (*MARKUP, "txt"):
            continue
        read = _read(file, templates, environment)
        made_up = MadeUp(campaign, file, languages(file.channel, file.stem, templates), contract)
        for variant in _variants(campaign, file):
            for part, of in _parts(file, templates):
                shown = _Shown(renderer, part, made_up, variant)
                problem = _problem(read, shown, made_up.values(read.asked), of, clock)
                if problem is not None:
                    told[problem] = None
                    break  # of a page without the link none is derived
    yield from told


def _variants(campaign: Campaign, file: TemplateFile) -> Iterator[str | None]:
    """Those that get a file; None without an experiment."""
    if campaign.experiment is None:
        yield None
        return
    for variant in campaign.experiment.variants:
        if campaign.template_stem(file.channel, variant.name) == file.stem:
            yield variant.name


def _parts(file: TemplateFile, templates: Collection[str]) -> Iterator[tuple[Part, str]]:
    """What is made of a file, and words for it."""
    if file.part == "txt":
        yield "txt", ""
        return
    yield "html", ""
    if file_name(file.stem, file.language, "txt") not in templates:
        yield "txt", " of the text part that is derived from it"


@dataclass(frozen=True, slots=True)
class _Read:
    """A file with its layout and fragments, and what it imports."""

    file: TemplateFile
    trees: tuple[tuple[nodes.Template, Mapping[int, tuple[str, int]]], ...]
    """Each with file and line that each of its lines came from."""
    asked: Mapping[str, Asked]
    stands_alone: bool
    """The link is printed whatever conditions there are."""

    def place(self, fields: Collection[str]) -> tuple[str, int | None]:
        """File and line of the condition that asks for one of these fields: first one that the link stands
        in, else whatever reads it."""
        found = [
            (not any(each.name == LINK for each in node.find_all(nodes.Name)), at, node.lineno)
            for at, (tree, _) in enumerate(self.trees)
            for node in tree.find_all(_BRANCHES)
            if any(name in fields for part in _asking(node) for name in fields_in(part))
        ]
        found += [
            (True, at, node.lineno)
            for at, (tree, _) in enumerate(self.trees)
            for node in tree.find_all(nodes.Expr)
            if any(name in fields for name in fields_in(node))
        ]
        if not found:
            return self.file.name, None
        _, at, line = min(found)
        return self.trees[at][1].get(line, (self.file.name, None))


def _asking(node: nodes.Node) -> Iterable[nodes.Node]:
    match node:
        case nodes.If() | nodes.CondExpr():
            return [node.test]
        case nodes.For():
            return [node.iter, *([] if node.test is None else [node.test])]
        case nodes.Output():
            return node.nodes
    return []


def _read(file: TemplateFile, templates: Mapping[str, str], environment: Sandbox) -> _Read:
    sources = {file.name: as_source(file.name, flatten(file.name, templates, environment))}
    with_imports(sources, templates, environment)
    trees = [(environment.parse(each.text, each.name), each.places) for each in sources.values()]
    page = trees[0][0]
    is_itself = all(each.name != LINK or each.ctx == "load" for each in page.find_all(nodes.Name))
    return _Read(
        file, tuple(trees), asked_by(tree for tree, _ in trees), is_itself and _stands_alone(page.body)
    )


def _stands_alone(body: Iterable[nodes.Node]) -> bool:
    return any(
        any(isinstance(each, nodes.Name) and each.name == LINK for each in node.nodes)
        if isinstance(node, nodes.Output)
        else isinstance(node, _PLAIN) and _stands_alone(node.body)
        for node in body
    )


class _Shown:
    """How the link shows in one part."""

    def __init__(self, renderer: Renderer, part: Part, made_up: MadeUp, variant: str | None) -> None:
        self.part = part
        self._renderer = renderer
        self._made_up = made_up
        self._variant = variant
        self._seen: dict[int, Sight] = {}

    def to(self, person: Person) -> Sight | None:
        """None: it cannot be rendered for them."""
        try:
            text, url = self._renderer.part(self._made_up.row(person, self._variant), self.part)
        # A template can raise anything. Nobody gets a mail of it, with the link or without.
        except Exception:
            return None
        if self.part == "txt":
            return Sight.SEEN if url in text else Sight.MISSING
        if escape(url) not in text:
            return Sight.MISSING
        # To read a page takes ten times as long as to render it, and most differ in words alone.
        key = hash(_WORDS.sub(">x", text.replace(url, "<\0")))
        if key not in self._seen:
            self._seen[key] = sight_of(text, url)
        return self._seen[key]


@dataclass(slots=True)
class _Found:
    """Of those who were tried: the first who sees the link, and the first who does not."""

    good: Person | None = None
    bad: Person | None = None
    sight: Sight = Sight.SEEN
    """Of the one who does not."""
    is_whole: bool = True


def _tried(shown: _Shown, those: Iterable[Person], clock: Callable[[], float]) -> _Found:
    found, end = _Found(), clock() + MOST_SECONDS
    for person in those:
        if clock() > end:
            found.is_whole = False
            break
        sight = shown.to(person)
        if sight is Sight.SEEN:
            found.good = person if found.good is None else found.good
        elif sight is not None and found.bad is None:
            found.bad, found.sight = person, sight
        if found.good is not None and found.bad is not None:
            break
    return found


def _needed(shown: _Shown, bad: Person, good: Person) -> Person:
    """What sets somebody who does not see the link apart from one who does: without any of these values they
    would see it too."""
    person, is_less = dict(bad), True
    while is_less:
        is_less = False
        for name in [each for each in person if person[each] is not good[each]]:
            other = {**person, name: good[name]}
            if shown.to(other) not in (None, Sight.SEEN):
                person, is_less = other, True
    return {name: value for name, value in person.items() if value is not good[name]}


def _problem(
    read: _Read, shown: _Shown, values: Values, of: str, clock: Callable[[], float]
) -> TemplateProblem | None:
    """What is wrong with one part, whose words are ``of``."""
    name = read.file.name
    if read.stands_alone:
        if shown.part == "txt" and not of:
            return None
        those, is_whole = one_by_one(values), True
    else:
        those, is_whole = people(values)
    found = _tried(shown, those, clock)
    if found.bad is None:
        if is_whole and found.is_whole:
            return None
        return TemplateProblem(name, None, _UNSURE, is_advisory=True)
    if found.good is None:
        message = f"the unsubscribe link{of} {found.sight.value}"
        if of:
            message += f"; write {file_name(read.file.stem, read.file.language, 'txt')}"
        elif found.sight is Sight.MISSING:
            message = _NONE
        return TemplateProblem(name, None, message)
    needed = _needed(shown, found.bad, found.good)
    sight = shown.to({**found.good, **needed}) or found.sight
    file, line = read.place(needed)
    page = of or ("" if file == name else f" of {name}")
    words = [f"{each} {_value(value)}" for each, value in needed.items()]
    if len(words) > MOST_NAMED:
        words[MOST_NAMED:] = [f"{len(words) - MOST_NAMED} more like these"]
    when = " and ".join(words)
    return TemplateProblem(file, line, f"the unsubscribe link{page} {sight.value} when {when}; {_REMEDY}")


def _value(value: object) -> str:
    match value:
        case None:
            return "is empty"
        case bool():
            return f"is {str(value).lower()}"
        case date():
            return f"is {value.isoformat()}"
        case [] | "":
            return "has nothing in it"
    return f"is {value!r}"
