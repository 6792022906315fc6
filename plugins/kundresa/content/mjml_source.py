"""MJML with Jinja in it, made HTML once per template, by ``mrml`` (the Rust one behind ``mjml-python``)."""

from __future__ import annotations

import difflib
import re

from mjml import mjml2html

from kundresa.content.errors import TemplateError
from kundresa.content.inlining import inline_css
from kundresa.content.markup import CLOSE, MARK, OPEN, Change, Marked, changed, tags

_NAMES = """
    accordion accordion-element accordion-text accordion-title all attributes body breakpoint button carousel
    carousel-image class column divider font group head hero html-attributes html-attribute image include
    navbar navbar-link preview raw section selector social social-element spacer style table text title
    wrapper
"""
ELEMENTS = frozenset(f"mj-{name}" for name in _NAMES.split())
_INLINE_STYLE = re.compile(
    r"<mj-style\b[^>]*\binline\s*=\s*[\"']inline[\"'][^>]*>(.*?)</mj-style\s*>", re.DOTALL | re.IGNORECASE
)
_ROOT = re.compile(r"<mjml\b([^>]*)>", re.IGNORECASE)
_RUST_ESCAPE = re.compile(r"\\u\{([0-9a-f]{1,5})\}")
"""mrml writes what Rust does not take for printable in attributes as Rust shows it; marks are."""
_COMMENTED = re.compile(f"<!--({OPEN}\\d+{CLOSE})-->")


def compile_mjml(marked: Marked, file: str, language: str) -> str:
    """The HTML of a page in MJML, with its marks; those before ``<mjml>`` first.

    Raises:
        TemplateError: when it is no MJML, names an element that there is not, or has a Jinja tag at a place
            that MJML does not keep.
    """
    source = marked.text
    _refuse_unknown(marked, file)
    root = _ROOT.search(source)
    if root is None:
        raise TemplateError(f"{file}: there is no <mjml> in it")
    before, source = source[: root.start()], source[root.start() :]
    source, inline = _without_inline_styles(source)
    if not re.search(r"\blang\s*=", root[1]):
        source = source.replace("<mjml", f'<mjml lang="{language}"', 1)
    try:
        # No fonts: the default would load Google's in every mail.
        html = mjml2html(_commented(marked, source), fonts={})
    except ValueError as error:
        raise TemplateError(f"{file}: MJML: {error}") from None
    html = _RUST_ESCAPE.sub(lambda match: chr(int(match[1], 16)), html)
    html = _COMMENTED.sub(r"\1", html)
    _require_marks(marked, file, source, html)
    if inline:
        html = inline_css(html, extra=inline)
    return "".join(match[0] for match in MARK.finditer(before)) + html


def _without_inline_styles(source: str) -> tuple[str, str]:
    """``<mj-style inline="inline">`` is css-inline's work: mrml would leave it in the head."""
    styles = [match[1] for match in _INLINE_STYLE.finditer(source)]
    return _INLINE_STYLE.sub("", source), "\n".join(styles)


def _commented(marked: Marked, source: str) -> str:
    """``{% … %}`` between elements as comments, which MJML keeps where they are."""
    inside = [(tag.start, tag.end) for tag in tags(source)]
    inside += [
        (match.start(), match.end())
        for match in re.finditer(r"<(mj-style|style|mj-title|mj-preview)\b.*?</\1\s*>", source, re.DOTALL)
    ]
    inside += [(match.start(), match.end()) for match in re.finditer(r"<!--.*?-->", source, re.DOTALL)]
    changes = []
    for match in MARK.finditer(source):
        is_block = marked.pieces[int(match[1])].opens == "{%"
        if is_block and not any(start <= match.start() < end for start, end in inside):
            changes.append(Change(match.start(), match.end(), f"<!--{match[0]}-->"))
    return changed(source, changes)


def _require_marks(marked: Marked, file: str, source: str, html: str) -> None:
    """Every tag came through, and those that begin and end something in their order and once."""
    before = [int(match[1]) for match in MARK.finditer(source)]
    after = [int(match[1]) for match in MARK.finditer(html)]
    blocks = [number for number in before if marked.pieces[number].opens == "{%"]
    lost = sorted(set(before) - set(after))
    if lost or [number for number in after if number in set(blocks)] != blocks:
        piece = marked.pieces[(lost or blocks)[0]]
        raise TemplateError(
            f"{piece.file or file}:{piece.line}: MJML does not keep {piece.opens}{piece.inner}"
            f"{'}}' if piece.opens == '{{' else '%}'} where it stands; put tags around whole elements"
        )


def _refuse_unknown(marked: Marked, file: str) -> None:
    """mrml makes nothing of an element that it does not know, and says nothing."""
    for tag in tags(marked.text):
        if tag.name.startswith("mj-") and tag.name not in ELEMENTS:
            near = difflib.get_close_matches(tag.name, sorted(ELEMENTS), n=1)
            where, line = marked.place(tag.start)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise TemplateError(f"{where or file}:{line}: MJML has no element {tag.name}{hint}")
        if tag.name == "mj-include":
            where, line = marked.place(tag.start)
            raise TemplateError(f"{where or file}:{line}: use {{% include %}}, which is frozen with the run")
