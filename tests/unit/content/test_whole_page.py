"""What is done once per template: layouts, languages, MJML, CSS, links, the text part, the preheader."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundresa.content import Links, RenderError, TemplateError, check_templates, compile_templates
from kundresa.content.environment import build_environment
from kundresa.content.flatten import flatten, joined
from kundresa.content.frozen import templates_to_freeze
from kundresa.content.inlining import inline_css
from kundresa.content.markup import tags
from kundresa.spec.campaign import Campaign
from kundresa.spec.messages import EmailContent

Build = Callable[..., Campaign]
Row = Callable[..., dict[str, Any]]
Email = Callable[..., EmailContent]
OFF = '<a href="{{ unsubscribe_url }}">off</a>'


@pytest.fixture
def email(campaign: Build, templates: dict[str, str], links: Links, row: Row) -> Email:
    """The email of a person, from some files and keys of the campaign; without a text part of its own."""

    def render(
        files: Mapping[str, str], spec: Mapping[str, Any] | None = None, **profile: Any
    ) -> EmailContent:
        del templates["mail.txt.j2"]
        built = campaign(**(spec or {}))
        moment = datetime(2026, 11, 3, 9, tzinfo=UTC)
        renderer = compile_templates(built, {**templates, **files}, links=links, logical_at=moment)
        content = renderer.render(row(**profile))
        assert isinstance(content, EmailContent)
        return content

    return render


def flat(**files: str) -> str:
    """Files as one page, rendered."""
    templates = {name.replace("__", "/") + ".html.j2": text for name, text in files.items()}
    reader = build_environment(templates)
    source, _ = joined(flatten("page.html.j2", templates, reader))
    return build_environment({"page.html.j2": source}, is_prepared=True).get_template("page.html.j2").render()


@pytest.mark.parametrize(
    ("files", "page"),
    [
        ({"page": "{% extends 'base.html.j2' %}{% block b %}child{% endblock %}"}, "<child|end>"),
        ({"page": "{% extends 'base.html.j2' %}{% block b %}{{ super() }}!{% endblock %}"}, "<parent!|end>"),
        ({"page": "{% extends 'base.html.j2' %}"}, "<parent|end>"),
        (
            {"page": "{% extends 'base.html.j2' %}{% set x = 1 %}{% block b %}{{ x }}{% endblock %}"},
            "<1|end>",
        ),
        ({"page": "a{% include 'f.html.j2' %}b", "f": "{% set x = 2 %}{{ x }}"}, "a2b"),
        ({"page": "{% with x = 3 %}{% include 'f.html.j2' %}{% endwith %}", "f": "{{ x }}"}, "3"),
        (
            {
                "page": "{% for i in [1, 2] %}{% include 'f.html.j2' %}{% endfor %}",
                "f": "{% if i %}{{ i }},{% endif %}",
            },
            "1,2,",
        ),
        (
            {
                "page": "{% extends 'middle.html.j2' %}{% block b %}low {{ super() }}{% endblock %}",
                "middle": "{% extends 'base.html.j2' %}{% block b %}mid {{ super() }}{% endblock %}",
            },
            "<low mid parent|end>",
        ),
        ({"page": "{% raw %}{{ x }}{% endraw %}{{ '}}' }}"}, "{{ x }}}}"),
        ({"page": "a {%- if true %} b {% endif -%} c"}, "a b c"),
        ({"page": "{% if true %}\n  a\n{% endif %}\n  b\n"}, "  a\n  b"),
        ({"page": "{# nothing #}a{% set x %}b{% endset %}{{ x }}"}, "ab"),
    ],
)
def test_a_page_of_several_files_is_what_jinja_makes_of_it(files: dict[str, str], page: str) -> None:
    base = "<{% block b %}parent{% endblock %}|{% block e %}end{% endblock %}>"
    together = {"base": base, **files}
    templates = {f"{name}.html.j2": text for name, text in together.items()}
    jinja = build_environment(templates).get_template("page.html.j2").render()
    assert flat(**together) == page == jinja


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"page": "{% extends 'x.html.j2' %}"}, "page.html.j2:1: there is no template x.html.j2"),
        ({"page": "{% include 'page.html.j2' %}"}, "includes or extends itself"),
        ({"page": "a{% extends 'base.html.j2' %}"}, "stands first"),
        ({"page": "{% extends 'base.html.j2' %}\nlost"}, "page.html.j2:2: outside of its blocks"),
        (
            {"page": "{% extends 'needs.html.j2' %}", "needs": "{% block b required %}{% endblock %}"},
            "is required",
        ),
        ({"page": "{% block a %}{{ super() }}{% endblock %}"}, "no parent has a block a"),
    ],
)
def test_a_page_that_cannot_be_put_together(files: dict[str, str], problem: str) -> None:
    with pytest.raises(TemplateError, match=problem):
        flat(base="{% block b %}{% endblock %}", **files)


def test_an_error_names_the_fragment_and_its_line(email: Email) -> None:
    files = {
        "layouts/base.html.j2": f"<p>\n{{% block body %}}{{% endblock %}}\n{OFF}",
        "mail.html.j2": "{% extends 'layouts/base.html.j2' %}\n{% block body %}\n"
        "{% include 'fragments/f.html.j2' %}"
        "{% endblock %}",
        "fragments/f.html.j2": "<b>\n\n{{ profile.last_name }}</b>",
    }
    with pytest.raises(RenderError, match=r"^fragments/f\.html\.j2:3: profile\.last_name is empty"):
        email(files)


def test_only_what_is_used_is_frozen() -> None:
    own = {"mail.html.j2": "{% extends 'layouts/a.html.j2' %}"}
    shared = {
        "layouts/a.html.j2": "{% include 'fragments/f.html.j2' %}",
        "layouts/b.html.j2": "",
        "fragments/f.html.j2": "",
    }
    assert sorted(templates_to_freeze(own, shared)) == [
        "fragments/f.html.j2",
        "layouts/a.html.j2",
        "mail.html.j2",
    ]


SWEDISH = {
    "mail.sv.subject.j2": "Hej {{ profile.first_name | default('du') }}",
    "mail.sv.html.j2": f"<p>{{{{ profile.total_spend | money('SEK') }}}}</p>{OFF}",
}


def test_a_person_gets_their_language_with_its_dates_and_amounts(email: Email) -> None:
    content = email(SWEDISH, language="sv", country="SE", total_spend=1234.5)
    assert content.subject == "Hej du"
    assert "1\u00a0234,50\u00a0kr" in content.html


def test_others_get_the_default_in_the_language_of_its_words(email: Email) -> None:
    files = {
        **SWEDISH,
        "mail.html.j2": "{{ profile.total_spend | number(2) }} {{ logical_at | date(zone='UTC') }}" + OFF,
    }
    content = email(files, language="fi", country="US", total_spend=1234.5)
    assert content.subject == "Hello there"
    assert content.html.startswith("1,234.50 November 3, 2026")


def test_a_language_needs_all_its_files(campaign: Build, templates: dict[str, str]) -> None:
    templates["mail.sv.html.j2"] = OFF
    assert [str(each) for each in check_templates(campaign(), templates, ["first_name"])] == [
        "mail.sv.subject.j2: this file of the email channel is missing; did you mean mail.subject.j2?"
    ]


def test_css_becomes_attributes_and_what_cannot_stays() -> None:
    html = (
        "<html><head><style>p { color: red } a:hover { color: blue } "
        "@media (max-width: 9px) { p { margin: 0 } }"
        "</style></head><body><table>\ue0000\ue001<tr><td>"
        "<p style='margin:1px'>x</p></td></tr>\ue0001\ue001</table>"
    )
    inlined = inline_css(html)
    style = re.search(r'<p style="([^"]*)"', inlined)
    assert style
    assert {"color: red", "margin:1px"} == {
        each.strip().replace(": 1", ":1") for each in style[1].split(";") if each.strip()
    }
    assert "a:hover" in inlined
    assert "@media" in inlined
    # The author's own bytes stay: no tbody, and Jinja's tags where they stood.
    assert "<table>\ue0000\ue001<tr>" in inlined
    assert "</tr>\ue0001\ue001</table>" in inlined


def test_html_without_a_stylesheet_keeps_its_bytes() -> None:
    html = "<P CLASS=x>&nbsp;a<br/></P><style data-css-inline='ignore'>p{color:red}</style>"
    assert inline_css(html) == html


TRACKED = {"tracking": {"clicks": True, "utm": {"source": "news", "content": "top"}}}


def test_links_are_tracked_and_signed_and_lead_where_they_led(email: Email, links: Links) -> None:
    html = (
        '<a href="https://shop.example/a?x=1&amp;y=2#top">a</a>'
        "<a href='https://shop.example/{{ profile.favourite_category }}'>b</a>"
        '<a href="mailto:a@shop.example">c</a><a href="tel:+46701234567">d</a><a href="#x">e</a>'
        f'<a href="https://plain.example/" data-untracked>f</a>{OFF}'
        '<a href="{{ preferences_url }}">g</a><a href="{{ mirror_url }}">h</a>'
    )
    content = email({"mail.html.j2": html}, TRACKED, favourite_category="skor & stövlar")
    hrefs = [attribute.text for tag in tags(content.html) if (attribute := tag.get("href"))]
    clicks = [links.read_click(each.rpartition("/c/")[2]) for each in hrefs if "/c/" in each]
    utm = "utm_source=news&utm_medium=email&utm_campaign=hello&utm_content=top"
    assert [(each.link, each.target) for each in clicks] == [
        (
            1,
            f"https://shop.example/a?x=1&y=2&{utm}#top",
        ),
        (
            2,
            f"https://shop.example/skor%20&%20st%C3%B6vlar?{utm}",
        ),
    ]
    assert {each.message_id for each in clicks} == {"0123456789abcdef0123456789abcdef"}
    assert hrefs[2:6] == ["mailto:a@shop.example", "tel:+46701234567", "#x", "https://plain.example/"]
    assert "data-untracked" not in content.html
    assert hrefs[6] == content.unsubscribe_url
    assert links.read_preferences(hrefs[7].rpartition("/")[2]).profile_id == "p-1"
    assert links.read_mirror(hrefs[8].rpartition("/")[2]) == "0123456789abcdef0123456789abcdef"
    assert "/c/" not in content.text


def test_nothing_is_tracked_unless_it_is_asked_for(email: Email) -> None:
    html = f'<a href="https://shop.example/a">a</a>{OFF}'
    content = email({"mail.html.j2": html})
    assert '<a href="https://shop.example/a">' in content.html
    assert "<img" not in content.html


def test_opens_are_a_picture_at_the_end_of_the_body(email: Email, links: Links) -> None:
    content = email({"mail.html.j2": f"<body>{OFF}</body>"}, {"tracking": {"opens": True}})
    pixel = re.search(r'<img src="https://shop\.example/o/([^"]+)"[^>]*></body>', content.html)
    assert pixel
    assert links.read_open(pixel[1]) == "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "/relative", "", "https://", "data:text/html,x", "https://💩.la"]
)
def test_a_link_that_a_profile_makes_wrong_is_not_sent(email: Email, url: str) -> None:
    with pytest.raises(RenderError, match=r"^mail\.html\.j2:1: a link "):
        email({"mail.html.j2": f'<a href="{{{{ profile.last_name }}}}">x</a>{OFF}'}, last_name=url)


@given(st.text(max_size=50))
def test_a_tracked_link_holds_any_text(text: str) -> None:
    links = Links("https://shop.example", "s")
    click = f"{links.click_url('m' * 32)}.{links.sign_target(7, text)}".rpartition("/c/")[2]
    assert links.read_click(click).target == text


def test_the_text_part_is_the_page_without_its_markup(email: Email) -> None:
    html = (
        "<html><head><title>no</title><style>p{}</style></head><body>"
        '<div style="display:none">hidden<div>too</div></div>'
        "<h1>Hello&nbsp;{{ profile.first_name | default('there') }}</h1>\n"
        "<p>One\n  two<br>three &amp; four</p>"
        "{% if profile.last_name %}<p>{{ profile.last_name }}</p>{% endif %}"
        "<ul><li>a</li>{% for x in ['b', 'c'] %}<li>{{ x }}</li>{% endfor %}</ul>"
        '<table><tr><td>x</td><td>y</td></tr></table><img src="https://x.example/a.png" alt="Picture">'
        '<p><a href="https://shop.example/">Shop</a> <a href="https://shop.example/">shop.example</a></p>'
        f"<!-- no --><p>{OFF}</p></body></html>"
    )
    content = email({"mail.html.j2": html}, first_name="<Åsa>")
    assert content.text.replace(content.unsubscribe_url, "URL") == (
        "Hello <Åsa>\n\nOne two\nthree & four\n\n- a\n- b\n- c\n\nx y\n\nPicture\n\n"
        "Shop: https://shop.example/ https://shop.example/\n\noff: URL"
    )


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (
            "<a href='https://a.example/x'>A</a><a href='https://b.example'>B</a>",
            "A: https://a.example/x B: ",
        ),
        ("See <a href='https://a.example/x'>it</a>today", "See it: https://a.example/x today"),
        ("See <a href='https://a.example/x'>it</a>, <b>now</b>", "See it: https://a.example/x, now"),
        ("See <a href='https://a.example/x'>it</a>.<b>Now</b>", "See it: https://a.example/x .Now"),
        ("<a href='https://a.example/x'>it</a>{{ 'Åsa' }}", "it: https://a.example/x Åsa"),
        ("{% if 1 %}<a href='https://a.example'>it</a>{% endif %}now", "it: https://a.example now"),
        ("<td><a href='https://a.example'>it</a></td><td>now</td>", "it: https://a.example now"),
        ("<p><a href='https://a.example'>it</a></p>now", "it: https://a.example\n\nnow"),
        (
            "<a href='https://a.example'>it</a><img src='https://i.example' alt='I'>",
            "it: https://a.example I",
        ),
    ],
)
def test_a_link_of_the_text_part_ends_before_what_follows(email: Email, html: str, text: str) -> None:
    content = email({"mail.html.j2": f"<div>{html}</div>{OFF}"})
    assert content.text.startswith(text), content.text


def test_an_international_host_is_encoded_as_browsers_do(email: Email) -> None:
    html = "<a href='https://straße.de/x'>a</a><a href='https://{{ profile.last_name }}/ä'>b</a>"
    content = email({"mail.html.j2": html + OFF}, {"tracking": {"utm": {"source": "n"}}}, last_name="faß.de")
    assert "https://xn--strae-oqa.de/x?" in content.html
    assert "https://xn--fa-hia.de/%C3%A4?" in content.html


def test_the_preheader_is_first_in_the_body_and_not_in_the_text(email: Email) -> None:
    files = {
        "mail.html.j2": f"<body class=x>{OFF}</body>",
        "mail.preheader.j2": "A & {{ profile.first_name }}",
    }
    content = email(files, first_name="<B>")
    assert re.match(r'<body class=x><div style="display:none[^"]*">A &amp; &lt;B&gt;&#847;', content.html)
    assert "&lt;B&gt;" not in content.text
    assert "<B>" not in content.text


MJML = """<mjml>
<mj-head><mj-style inline="inline">.c { color: green }</mj-style></mj-head>
<mj-body>
{% if profile.first_name %}
<mj-section><mj-column><mj-text>
<span class="c">Hej {{ profile.first_name }}</span></mj-text></mj-column></mj-section>
{% endif %}
{% for n in [1, 2] %}
<mj-section><mj-column><mj-text>Row {{ n }}</mj-text>
<mj-button href="https://shop.example/{{ n }}">Go</mj-button></mj-column></mj-section>
{% endfor %}
<mj-section><mj-column><mj-text><a href="{{ unsubscribe_url }}">off</a></mj-text></mj-column></mj-section>
</mj-body></mjml>
"""


def test_mjml_is_compiled_once_and_jinja_goes_on_in_it(email: Email, templates: dict[str, str]) -> None:
    del templates["mail.html.j2"]
    content = email({"mail.mjml.j2": MJML}, first_name="<Åsa>")
    assert "<mj-" not in content.html
    assert re.search(
        r'<span class="c" style="color: green;?">Hej &lt;Åsa&gt;</span>|style="color: green;?" class="c"',
        content.html,
    )
    assert content.html.count("Row ") == 2
    assert 'href="https://shop.example/2"' in content.html
    assert 'lang="en"' in content.html
    assert "fonts.googleapis" not in content.html
    assert "Row 1" in content.text


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (
            "<mjml><mj-body>\n<mj-secton></mj-secton></mj-body></mjml>",
            r"mjml\.j2:2: MJML has no element mj-secton; did",
        ),
        ("<mjml><mj-body>", r"mail\.mjml\.j2: MJML: "),
        ("<p>x</p>", "there is no <mjml>"),
        ("<mjml><mj-body><mj-include path='x' /></mj-body></mjml>", "use {% include %}"),
    ],
)
def test_mjml_that_is_wrong_is_said(
    email: Email, templates: dict[str, str], source: str, problem: str
) -> None:
    del templates["mail.html.j2"]
    with pytest.raises(TemplateError, match=problem):
        email({"mail.mjml.j2": source + "{{ unsubscribe_url }}"})


def test_same_row_same_message_with_everything_on(
    campaign: Build, templates: dict[str, str], links: Links, row: Row
) -> None:
    templates["mail.html.j2"] = f'<body><a href="https://shop.example/{{{{ message_id }}}}">a</a>{OFF}</body>'
    spec = campaign(tracking={"clicks": True, "opens": True})
    first, second = (compile_templates(spec, templates, links=links).render(row()) for _ in range(2))
    assert first == second
