"""From a stem's files to the sources that are rendered: everything that is done once per template.

HTML: layout and fragments put together → MJML → preheader → the text part derived → CSS inlined → links
signed → open pixel. What is left for each person is Jinja's own work and one signature."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape

from jinja2 import Environment, TemplateSyntaxError

from kundresa.content.errors import TemplateError
from kundresa.content.files import PARTS, Part, file_name
from kundresa.content.flatten import Piece, flatten, joined
from kundresa.content.hyperlinks import OPEN_PIXEL, is_page, rewrite, utm_parameters, with_parameters
from kundresa.content.inlining import inline_css
from kundresa.content.markup import MARK, Change, Marked, changed, tags
from kundresa.content.mjml_source import compile_mjml
from kundresa.content.plain_text import derive_text
from kundresa.content.text import body_text
from kundresa.content.tokens import Links
from kundresa.spec.campaign import Campaign

PREPARED = frozenset({"email", "sms"})
"""The channels whose parts are put together here. The others' are compiled as their files stand: a print
file is made of blocks, which putting together would dissolve."""

_URL = re.compile(r"https?://[^\s<>\"'|]+")
_AFTER_URL = ".,;:!?)]"
_HIDDEN = (
    "display:none;font-size:1px;line-height:1px;max-height:0;max-width:0;opacity:0;overflow:hidden;"
    "mso-hide:all;"
)
_FILLER = "&#847;&zwnj;&nbsp;" * 60
"""After the preheader: without it mail clients fill the line of the list with the start of the body."""
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Source:
    """One part as Jinja compiles it."""

    name: str
    """Of the file, or of the one that is derived; by its ending Jinja knows whether to escape."""
    text: str
    places: Mapping[int, tuple[str, int]]
    """File and line that each line with a tag came from."""
    is_derived: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """An HTML part before links and styles are written into it, or a text part: what checks look at."""

    marked: Marked
    html: str
    """With MJML compiled."""
    file: str
    is_text: bool = False


Look = Callable[[Page], None]


def prepare(
    campaign: Campaign,
    templates: Mapping[str, str],
    *,
    channel: str,
    stem: str,
    language: str | None,
    environment: Environment,
    links: Links,
    look: Look | None = None,
) -> dict[Part, Source]:
    """The sources of one stem in one language; an email has ``subject``, ``html`` and ``txt``.

    Args:
        environment: whose lexer reads the files.
        look: is shown the HTML part on its way, and a text part that has a file of its own.

    Raises:
        TemplateError: for what cannot be put together, with file and line.
        jinja2.TemplateSyntaxError: for a file that is no template.
    """
    names = {part: name for part in PARTS[channel] if (name := file_name(stem, language, part)) in templates}

    def pieces(part: Part) -> tuple[Piece, ...]:
        return flatten(names[part], templates, environment)

    sources: dict[Part, Source] = {}
    parameters = utm_parameters(campaign) if channel == "email" else ""
    if channel == "email":
        markup: Part = "mjml" if "mjml" in names else "html"
        preheader = pieces("preheader") if "preheader" in names else ()
        page = _page(names[markup], pieces(markup), markup, language or campaign.language)
        if look is not None:
            look(page)
        sources["html"] = _html(campaign, page, preheader, links)
        sources["subject"] = as_source(names["subject"], pieces("subject"))
        if "txt" not in names:
            text = _with_utm(derive_text(page.marked, page.html), parameters)
            name = file_name(stem, language, "txt")
            sources["txt"] = as_source(name, page.marked.unmarked(text), is_derived=True)
    if "txt" in names:
        marked = Marked(pieces("txt"))
        if look is not None:
            look(Page(marked, marked.text, names["txt"], is_text=True))
        text = _with_utm(marked.text, parameters)
        sources["txt"] = as_source(names["txt"], marked.unmarked(text))
    return sources


def _page(name: str, pieces: tuple[Piece, ...], part: Part, language: str) -> Page:
    marked = Marked(pieces)
    html = compile_mjml(marked, name, language) if part == "mjml" else marked.text
    return Page(marked, html, name)


def _html(campaign: Campaign, page: Page, preheader: tuple[Piece, ...], links: Links) -> Source:
    marked = page.marked
    try:
        html = inline_css(page.html)
    except TemplateError as error:
        raise TemplateError(f"{page.file}: {error}") from None
    html = rewrite(marked, html, campaign, links)
    if preheader:
        html = _with_preheader(marked, html, preheader)
    if campaign.tracking.opens:
        html = _with_pixel(marked, html)
    return as_source(page.file, marked.unmarked(html))


def _with_preheader(marked: Marked, html: str, preheader: tuple[Piece, ...]) -> str:
    """First in the body, where mail clients look for what they show beside the subject."""
    text = "".join(
        escape(each.inner.strip("\n")) if each.is_text else marked.mark(each) for each in preheader
    )
    body = next((tag for tag in tags(html) if tag.name == "body" and not tag.is_end), None)
    at = body.end if body else 0
    return changed(html, [Change(at, at, f'<div style="{_HIDDEN}">{text}{_FILLER}</div>')])


def _with_pixel(marked: Marked, html: str) -> str:
    pixel = marked.tag("{{", f" {OPEN_PIXEL} ")
    picture = f'<img src="{pixel}" width="1" height="1" alt="" style="display:block;border:0;">'
    end = _BODY_END.search(html)
    at = end.start() if end else len(html)
    return changed(html, [Change(at, at, picture)])


def _with_utm(text: str, parameters: str) -> str:
    """The links of a text part, those alone that nothing of a person is part of."""
    if not parameters:
        return text

    def add(match: re.Match[str]) -> str:
        url = match[0].rstrip(_AFTER_URL)
        if MARK.search(url) or not is_page(url):
            return match[0]
        return with_parameters(url, parameters) + match[0][len(url) :]

    return _URL.sub(add, text)


def as_source(name: str, pieces: tuple[Piece, ...], *, is_derived: bool = False) -> Source:
    """Pieces as Jinja compiles them."""
    text, places = joined(pieces)
    return Source(name, body_text(text.removesuffix("\n")), places, is_derived)


def located(error: TemplateSyntaxError, source: Source) -> TemplateError:
    """A syntax error of a prepared source, at the file and line that it came from."""
    file, line = source.places.get(error.lineno, (source.name, error.lineno))
    return TemplateError(f"{file}:{line}: {error.message}")
