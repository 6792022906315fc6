"""Whether everybody's email has its unsubscribe link, in both parts: people read one or the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jinja2 import TemplateSyntaxError, nodes

from kundresa.content.environment import Sandbox, build_environment
from kundresa.content.errors import TemplateError
from kundresa.content.every_way import Branch, Found, Gap, look
from kundresa.content.files import MARKUP, TemplateFile, template_files
from kundresa.content.flatten import flatten
from kundresa.content.preparing import Source, as_source
from kundresa.content.problems import TemplateProblem
from kundresa.spec.campaign import Campaign

LINK = "unsubscribe_url"
_ALWAYS = frozenset(
    {"campaign", "logical_at", "message_id", "mirror_url", "preferences_url", "profile", "variant"}
)
"""Names that stand for something whoever the person is."""
_NONE = f"there is no {{{{ {LINK} }}}} in it; every email needs one"
_REMEDY = "every email needs one: put it outside of conditions, or in their {% else %} too"
_UNSURE = (
    f"it is not sure that every email has {{{{ {LINK} }}}}: it stands in many conditions, or in what this "
    "check does not follow; put it outside of them"
)


def check_unsubscribe(
    campaign: Campaign, templates: Mapping[str, str], environment: Sandbox
) -> Iterator[TemplateProblem]:
    """The parts of emails that come without the link for somebody, whatever conditions, loops, macros,
    layouts and fragments it stands in. Those that cannot be put together are left to the other checks."""
    for file in template_files(campaign, templates):
        if file.channel != "email" or file.part not in (*MARKUP, "txt"):
            continue
        try:
            source = as_source(file.name, flatten(file.name, templates, environment))
            tree = build_environment({}, is_prepared=True).parse(source.text, file.name)
            libraries = _imported(tree, templates, environment)
        except (TemplateError, TemplateSyntaxError):
            continue
        told = {
            problem: None
            for constants in _constants(campaign, file)
            for problem in _told(
                file, source, look(tree, LINK, always=_ALWAYS, constants=constants, libraries=libraries)
            )
        }
        yield from told


def _constants(campaign: Campaign, file: TemplateFile) -> Iterator[Mapping[str, object]]:
    """What is known of everybody who gets a file: for each variant that it is of, which; and the language."""
    known: dict[str, object] = {} if file.language is None else {"profile.language": file.language}
    if campaign.experiment is None:
        yield known
        return
    for variant in campaign.experiment.variants:
        if campaign.template_stem(file.channel, variant.name) == file.stem:
            yield {**known, "variant": variant.name}


def _imported(
    tree: nodes.Template, templates: Mapping[str, str], environment: Sandbox
) -> dict[str, nodes.Template]:
    """The files that a text part imports macros of."""
    imports: list[nodes.Import | nodes.FromImport] = [
        *tree.find_all(nodes.Import),
        *tree.find_all(nodes.FromImport),
    ]
    names = [str(each.template.value) for each in imports if isinstance(each.template, nodes.Const)]
    return {name: environment.parse(templates[name], name) for name in names if name in templates}


def _told(file: TemplateFile, source: Source, found: Found) -> Iterator[TemplateProblem]:
    if found.gap is not None:
        yield _missing(file, source, found.gap)
    elif not found.is_whole:
        yield TemplateProblem(file.name, None, _UNSURE, is_advisory=True)


def _missing(file: TemplateFile, source: Source, gap: Gap) -> TemplateProblem:
    if not gap.branches:
        return TemplateProblem(file.name, None, _NONE)
    places = [source.places.get(each.line, (file.name, each.line)) for each in gap.branches]
    at, line = places[0]
    words = [
        _branch(each, "" if number == 0 else _place(place, at))
        for number, (each, place) in enumerate(zip(gap.branches, places, strict=True))
    ]
    page = "" if at == file.name else f" of {file.name}"
    message = f"the unsubscribe link{page} is missing when {' and '.join(words)}; {_REMEDY}"
    return TemplateProblem(at, line, message)


def _branch(branch: Branch, where: str) -> str:
    what = f"that {where}" if where else f"this {'loop' if branch.is_loop else 'condition'}"
    if branch.is_loop:
        return f"{what} goes through {'something' if branch.holds else 'nothing'}"
    return f"{what} {'holds' if branch.holds else 'does not hold'}"


def _place(place: tuple[str, int], beside: str) -> str:
    file, line = place
    return f"of line {line}" if file == beside else f"of {file}:{line}"
