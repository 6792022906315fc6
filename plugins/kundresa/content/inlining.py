"""CSS written into ``style`` attributes, once per template: many mail clients drop what stands in
``<style>``.

The page is given to ``css-inline`` with a number on every tag, and only the styles that it found are taken
over: the page keeps its own bytes, so that no Jinja tag is moved by an HTML parser that thinks it knows
better (one in a table would be)."""

from __future__ import annotations

from css_inline import CSSInliner, InlineError

from kundresa.content.errors import TemplateError
from kundresa.content.markup import Change, Tag, changed, tags

NUMBER = "data-kundresa-tag"
IGNORE = "data-css-inline"


def inline_css(html: str, *, extra: str | None = None) -> str:
    """The HTML with the rules of its ``<style>`` elements, or of ``extra`` alone, in ``style`` attributes.

    What cannot be an attribute (``@media``, ``:hover``) stays in its ``<style>``. One with
    ``data-css-inline="ignore"`` is left alone.

    Raises:
        TemplateError: for CSS that cannot be read.
    """
    found = list(tags(html))
    if extra is None and not any(_is_stylesheet(tag) for tag in found):
        return html
    numbered = changed(
        html,
        [
            Change(tag.start + 1 + len(tag.name), tag.start + 1 + len(tag.name), f' {NUMBER}="{number}"')
            for number, tag in enumerate(found)
            if not tag.is_end
        ],
    )
    inliner = CSSInliner(
        inline_style_tags=extra is None,
        keep_style_tags=True,
        keep_link_tags=True,
        remove_inlined_selectors=extra is None,
        load_remote_stylesheets=False,
        extra_css=extra,
    )
    try:
        output = inliner.inline(numbered)
    except (InlineError, ValueError) as error:
        raise TemplateError(f"the CSS cannot be inlined: {error}") from None
    changes = []
    for tag in tags(output):
        number = tag.get(NUMBER)
        if number is None:
            continue
        original = found[int(number.value)]
        changes += _taken_over(html, original, tag, output)
    return changed(html, changes)


def _taken_over(html: str, original: Tag, inlined: Tag, output: str) -> list[Change]:
    changes = []
    style = inlined.get("style")
    before = original.get("style")
    if style is not None and (before is None or before.value != style.value):
        if before is None:
            at = original.start + 1 + len(original.name)
            changes.append(Change(at, at, f' style="{style.value}"'))
        else:
            quoted = html[before.start - 1] in "\"'"
            changes.append(Change(before.start - quoted, before.end + quoted, f'"{style.value}"'))
    if original.name == "style" and _is_stylesheet(original):
        changes.append(Change(original.end, original.content_end, output[inlined.end : inlined.content_end]))
    return changes


def _is_stylesheet(tag: Tag) -> bool:
    ignored = tag.get(IGNORE)
    return tag.name == "style" and not tag.is_end and (ignored is None or ignored.value != "ignore")
