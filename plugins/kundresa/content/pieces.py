"""A template's constant parts, told from what it prints for one person.

Jinja compiles a template into a generator whose literal pieces are constants of its code. Finding them there
once lets everything that is done to a message's text (cleaning, encoding) be done once for the nine tenths of
a newsletter that are the same for everybody: 20 KB are cleaned and encoded in 44 µs instead of 580.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import CodeType
from typing import Any

from jinja2 import Template
from markupsafe import escape

from kundresa.content.text import body_text
from kundresa.spec.messages import Constant

SHORTEST = 2
"""Characters. Each piece is looked up anyway; what is found need not be encoded."""


def template_constants(templates: Iterable[Template]) -> dict[str, Constant]:
    """The literal pieces of compiled templates, includes and parents among them: text → constant. One with a
    character that may not reach a message is none, and is cleaned each time."""
    found = {}
    for template in templates:
        for function in (template.root_render_func, *template.blocks.values()):
            for text in _strings(function.__code__):
                if len(text) >= SHORTEST and text not in found and body_text(text) == text:
                    found[text] = Constant(text)
    return found


def quicken(template: Template) -> None:
    """Let a compiled template cost less per message, and write the same.

    It escapes plain text as plain text: ``markupsafe`` makes a ``Markup`` of each value, which takes as
    long again as escaping, and is then only joined with the rest of the page.

    Raises:
        TypeError: when Jinja compiles otherwise than the release that this was written for.
    """
    names = template.root_render_func.__globals__
    if names.get("escape") is not escape:
        raise TypeError(f"{template.name}: the compiled template has no escape of markupsafe's")
    names["escape"] = _escape
    # A chain of mappings otherwise, gone through for each of millions of messages.
    template.globals = dict(template.globals)


def _escape(value: Any) -> str:
    """As ``markupsafe.escape``."""
    if type(value) is not str:
        return escape(value)
    text = value.replace("&", "&amp;").replace(">", "&gt;").replace("<", "&lt;")
    return text.replace("'", "&#39;").replace('"', "&#34;")


def _strings(code: CodeType) -> Iterator[str]:
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, CodeType):
            yield from _strings(constant)
