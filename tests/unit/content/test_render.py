"""Rendering: what a person gets, and what becomes a line ``render_failed`` in the account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kundresa.content import Links, Renderer, RenderError, TemplateError, compile_templates
from kundresa.spec.campaign import Campaign
from kundresa.spec.messages import EmailContent, SmsContent

Build = Callable[..., Campaign]
Row = Callable[..., dict[str, Any]]


@pytest.fixture
def render_text(campaign: Build, templates: dict[str, str], links: Links, row: Row) -> Callable[..., str]:
    """What a text message's template gives for a profile."""

    def render(template: str, **profile: Any) -> str:
        renderer = compile_templates(campaign(), {**templates, "text.txt.j2": template}, links=links)
        content = renderer.render(row("sms", **profile))
        assert isinstance(content, SmsContent)
        return content.text

    return render


@pytest.fixture
def renderer(campaign: Build, templates: dict[str, str], links: Links) -> Renderer:
    return compile_templates(campaign(), templates, links=links)


def test_an_email_has_its_three_parts_and_a_link_of_its_own(
    renderer: Renderer, links: Links, row: Row
) -> None:
    content = renderer.render(row(first_name="Åsa"))
    assert isinstance(content, EmailContent)
    assert content.subject == "Hello Åsa"
    assert content.html == f'<p>Åsa</p><a href="{content.unsubscribe_url}">off</a>'
    assert content.text == f"Hi Åsa\n{content.unsubscribe_url}"
    token = links.read_token(content.unsubscribe_url.rpartition("/")[2])
    assert (token.profile_id, token.channel, token.topic) == ("p-1", "email", "offers")
    assert token.message_id == "0123456789abcdef0123456789abcdef"


def test_same_row_same_message(renderer: Renderer, row: Row) -> None:
    assert renderer.render(row(first_name="Åsa")) == renderer.render(row(first_name="Åsa"))


def test_a_name_is_escaped_in_html_and_nowhere_else(renderer: Renderer, row: Row) -> None:
    content = renderer.render(row(first_name='<b>"&'))
    assert isinstance(content, EmailContent)
    assert "<p>&lt;b&gt;&#34;&amp;</p>" in content.html
    assert 'Hi <b>"&' in content.text
    assert content.subject == 'Hello <b>"&'


@pytest.mark.parametrize(
    "name",
    [
        "A\r\nBcc: x@evil.example",
        "x" * 10_000,
        "👩\u200d🚀" * 200,
        "שלום",
        '"; DROP',
        "{{ 7*7 }}",
        "\x00\x1b[0m",
        "\ud800",
    ],
)
def test_hostile_names_make_one_line_subjects(renderer: Renderer, row: Row, name: str) -> None:
    content = renderer.render(row(first_name=name))
    assert isinstance(content, EmailContent)
    assert len(content.subject) <= 255
    assert not set(content.subject) & set("\r\n\x00\x1b")
    assert "49" not in content.subject
    content.html.encode("utf-8")


def test_an_empty_column_is_an_error_that_names_it(render_text: Callable[..., str]) -> None:
    with pytest.raises(RenderError, match=r"^text\.txt\.j2:2: profile\.first_name is empty for this person"):
        render_text("Hi\n{{ profile.first_name }}")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ profile.first_name | default('there') }}", "there"),
        ("{{ profile['first_name'] | default('there') }}", "there"),
        ("{{ profile.first_name or 'there' }}", "there"),
        ("{% if profile.first_name %}a{% else %}b{% endif %}", "b"),
        ("{% if profile.first_name is defined %}a{% else %}b{% endif %}", "b"),
        ("{% if profile.first_name is none %}a{% else %}b{% endif %}", "a"),
        ("{% if profile.first_name == 'Anna' %}a{% else %}b{% endif %}", "b"),
        ("{% if profile.first_name != 'Anna' %}a{% else %}b{% endif %}", "a"),
        ("{{ profile.last_name }}", "Berg"),
    ],
)
def test_an_empty_column_can_be_told_apart(render_text: Callable[..., str], template: str, text: str) -> None:
    assert render_text(template, last_name="Berg") == text


@pytest.mark.parametrize(
    "template",
    [
        "{{ profile.orders_count + 1 }}",
        "{% if profile.orders_count > 3 %}a{% endif %}b",
        "{{ profile.total_spend | money }}",
        "{{ profile.last_order_date | date }}",
        "{{ profile.first_name | upper }}",
        "{{ profile.first_name | length }}",
        "{% for x in profile.first_name %}{% endfor %}b",
        "{{ 'Hi ' ~ profile.first_name }}",
    ],
)
def test_an_empty_column_cannot_slip_through_an_expression(
    render_text: Callable[..., str], template: str
) -> None:
    with pytest.raises(RenderError, match=r"profile\.\w+ is empty for this person"):
        render_text(template)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ nobody }}", "'nobody' is undefined"),
        ("{{ profile.frist_name }}", "profile has no column frist_name"),
        ("{{ none }}", "nothing to print"),
        ("{{ variant }}", "'variant' is undefined"),
        ("{{ 1 / 0 }}", "ZeroDivisionError while rendering"),
        ("{{ '   ' }}", "the text is empty"),
    ],
)
def test_what_is_wrong_is_said(render_text: Callable[..., str], template: str, message: str) -> None:
    with pytest.raises(RenderError, match=message):
        render_text(template)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ profile.first_name.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ '' | attr('__class__') }}",
        "{{ unsubscribe_url.__init__.__globals__ }}",
        "{{ '{0.__class__}'.format('') }}",
        "{{ range.__self__ }}",
        "{{ campaign.update({'name': 'x'}) }}",
        "{% for i in range(10**9) %}x{% endfor %}",
        "{% for i in range(1000000000) %}x{% endfor %}",
        "{{ 2 ** 100000000 }}",
        "{{ 'a' * 1000000000 }}",
        "{{ 1000000000 * [1] }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 'a'.ljust(1000000000) }}",
        "{{ 'a' | center(1000000000) }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ 'a' | indent(1000000000, true) }}",
        "{{ [1] | batch(1000000000, 'x') | list }}",
        "{{ [1] | slice(1000000000) | list }}",
        "{{ [1, 2] | random }}",
        "{{ lipsum(1000) }}",
        "{{ cycler }}",
        "{{ self.__init__ }}",
    ],
)
def test_escapes_and_bombs_are_refused(render_text: Callable[..., str], template: str) -> None:
    with pytest.raises(RenderError):
        render_text(template, first_name="Anna")


def test_a_part_that_gets_away_is_stopped(render_text: Callable[..., str]) -> None:
    with pytest.raises(RenderError, match="longer than 2000000 characters"):
        render_text("{% for i in range(99999) %}{{ 'x' * 9999 }}{% endfor %}")


def test_an_error_never_quotes_the_profile(render_text: Callable[..., str]) -> None:
    with pytest.raises(RenderError) as caught:
        render_text("{{ profile.first_name | float + profile.first_name }}", first_name="Anna-Secret")
    assert "Secret" not in str(caught.value)
    assert len(str(caught.value)) <= 500


def test_the_link_must_come_out(campaign: Build, templates: dict[str, str], links: Links, row: Row) -> None:
    templates["mail.txt.j2"] = "Hi{% if profile.first_name %} {{ unsubscribe_url }}{% endif %}"
    renderer = compile_templates(campaign(), templates, links=links)
    renderer.render(row(first_name="Anna"))
    with pytest.raises(RenderError, match="without its unsubscribe link"):
        renderer.render(row())


LINK = '<a href="{{ unsubscribe_url }}">off</a><!-- end -->'
COMMENTED = "<!-- {{ profile.country | default('') }}{% if profile.first_name %} -->{% endif %}" + LINK


@pytest.mark.parametrize(
    ("page", "is_seen_without_name"),
    [
        (COMMENTED, False),
        (COMMENTED + "<p>Or {{ unsubscribe_url }}</p>", True),
        (
            "{% macro start() %}<!--{% endmacro %}{% if not profile.first_name %}{{ start() }}{% endif %}"
            + LINK,
            False,
        ),
        (
            "<!--[if !mso]><!-->{% if profile.first_name %}<p>Hi</p>{% endif %}" + LINK,
            True,
        ),
    ],
)
def test_a_link_that_is_commented_out_for_some_is_refused_to_them(
    campaign: Build, templates: dict[str, str], links: Links, row: Row, page: str, is_seen_without_name: bool
) -> None:
    templates["mail.html.j2"] = page
    renderer = compile_templates(campaign(), templates, links=links)
    renderer.render(row(first_name="Anna"))
    if is_seen_without_name:
        renderer.render(row())
        return
    with pytest.raises(RenderError, match="mail: the unsubscribe link came out within a comment"):
        renderer.render(row())


def test_an_empty_subject_is_refused(
    campaign: Build, templates: dict[str, str], links: Links, row: Row
) -> None:
    templates["mail.subject.j2"] = "{{ profile.first_name | default('') }}"
    with pytest.raises(RenderError, match="the subject is empty"):
        compile_templates(campaign(), templates, links=links).render(row())


def test_variants_have_their_own_templates(
    campaign: Build, templates: dict[str, str], links: Links, row: Row
) -> None:
    experiment = {
        "name": "tone",
        "variants": [{"name": "plain"}, {"name": "loud", "templates": {"email": "loud"}}],
    }
    templates["loud.subject.j2"] = "{% include 'mail.subject.j2' %}! ({{ variant }})"
    templates["loud.html.j2"] = "{% extends 'mail.html.j2' %}"
    templates["loud.txt.j2"] = "LOUD {{ unsubscribe_url }}"
    renderer = compile_templates(campaign(experiment=experiment), templates, links=links)
    loud, plain = renderer.render(row(variant="loud")), renderer.render(row(variant="plain"))
    assert isinstance(loud, EmailContent)
    assert isinstance(plain, EmailContent)
    assert loud.subject == "Hello there! (loud)"
    assert plain.subject == "Hello there"
    assert plain.html.replace(plain.unsubscribe_url, "") == loud.html.replace(loud.unsubscribe_url, "")
    with pytest.raises(RenderError, match="no channel or variant 'quiet'"):
        renderer.render(row(variant="quiet"))


def test_templates_that_cannot_be_used(campaign: Build, templates: dict[str, str], links: Links) -> None:
    broken = {**templates, "mail.html.j2": "a\n{% if %}"}
    with pytest.raises(TemplateError, match=r"mail\.html\.j2:2: "):
        compile_templates(campaign(), broken, links=links)
    broken = {**templates, "mail.txt.j2": "{% include 'nowhere.j2' %}{{ unsubscribe_url }}"}
    with pytest.raises(TemplateError, match=r"mail\.txt\.j2:1: there is no template nowhere\.j2"):
        compile_templates(campaign(), broken, links=links)
    del templates["mail.html.j2"]
    with pytest.raises(TemplateError, match=r"mail\.html\.j2: this file of the email channel is missing"):
        compile_templates(campaign(), templates, links=links)
