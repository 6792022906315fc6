"""A rendered body in pieces: together what the whole is, and constant where the template is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

from kundresa.content import Links, compile_templates
from kundresa.content.environment import build_environment
from kundresa.content.pieces import quicken
from kundresa.content.text import body_text
from kundresa.spec.campaign import Campaign
from kundresa.spec.messages import Constant, EmailContent

Build = Callable[..., Campaign]
Row = Callable[..., dict[str, Any]]


def test_what_stands_in_the_template_is_the_same_object_each_time(
    campaign: Build, templates: dict[str, str], links: Links, row: Row
) -> None:
    page = (
        "<p>A greeting that everybody gets</p>{{ profile.first_name }}"
        "{% for each in range(2) %}<p>again and again and again</p>{% endfor %}"
        '<a href="{{ unsubscribe_url }}">off</a>'
    )
    html = next(name for name in templates if name.endswith(".html.j2"))
    renderer = compile_templates(campaign(), {**templates, html: page}, links=links)
    first, second = (renderer.render(row(first_name=name)) for name in ("Åsa", "Bo"))
    assert isinstance(first, EmailContent)
    assert isinstance(second, EmailContent)
    assert "".join(first.html_pieces) == first.html
    assert "".join(first.text_pieces) == first.text
    kept = [each for each in first.html_pieces if isinstance(each, Constant)]
    assert kept == [
        "<p>A greeting that everybody gets</p>",
        *["<p>again and again and again</p>"] * 2,
        '<a href="',
        '">off</a>',
    ]
    assert [id(each) for each in kept] == [
        id(each) for each in second.html_pieces if isinstance(each, Constant)
    ]


@pytest.mark.parametrize("name", ["A\rB", "A\x00B", "A\u2028B"])
def test_a_name_with_a_control_character_is_cleaned(
    campaign: Build, templates: dict[str, str], links: Links, row: Row, name: str
) -> None:
    content = compile_templates(campaign(), templates, links=links).render(row(first_name=name))
    assert isinstance(content, EmailContent)
    assert content.html == body_text(content.html)
    assert "".join(content.html_pieces) == content.html


@given(st.text())
def test_plain_text_is_escaped_as_markupsafe_does(text: str) -> None:
    template = build_environment({"m.html.j2": "{{ text }}{% set kept %}{{ text }}{% endset %}{{ kept }}"})
    page = template.get_template("m.html.j2")
    quicken(page)
    written = "".join(page.root_render_func(page.new_context({"text": text})))
    assert written == str(escape(body_text(text)) * 2)


def test_markup_is_escaped_once() -> None:
    page = build_environment({"m.html.j2": "{{ text | e }}"}).get_template("m.html.j2")
    quicken(page)
    assert page.render(text="<b>") == "&lt;b&gt;"
