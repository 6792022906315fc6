"""The check of an email: pictures, links and what mail clients take, refuse or clip."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.unit.content.conftest import Build

from kundresa.content import check_templates


@pytest.mark.parametrize(
    ("file", "source", "problem"),
    [
        (
            "mail.html.j2",
            "{% if unsubscribe_url %}x{% endif %}",
            "there is no {{ unsubscribe_url }} in it; every email needs one",
        ),
        (
            "mail.txt.j2",
            "{{ 'x' if unsubscribe_url else 'y' }}",
            "there is no {{ unsubscribe_url }} in it; every email needs one",
        ),
        (
            "mail.txt.j2",
            "{% set x = unsubscribe_url %}x",
            "there is no {{ unsubscribe_url }} in it; every email needs one",
        ),
        (
            "mail.html.j2",
            "<p>Hello</p><!-- {{ unsubscribe_url }} -->",
            "the unsubscribe link stands where no reader sees it",
        ),
        (
            "mail.html.j2",
            '<p data-x="{{ unsubscribe_url }}">Hello</p>',
            "the unsubscribe link stands where no reader sees it",
        ),
        ("mail.html.j2", "x" * 2_000_001 + '<a href="{{ unsubscribe_url }}">no more</a>', "2,000,0"),
        (
            "mail.txt.j2",
            "htp://shop.example {{ unsubscribe_url }}",
            "the link htp://shop.example is of the ki",
        ),
        ("mail.txt.j2", "(https:///sale). {{ unsubscribe_url }}", "the link https:///sale has no host"),
        (
            "mail.txt.j2",
            "https://shop..example/ {{ unsubscribe_url }}",
            "the link https://shop..example/ has no",
        ),
        (
            "mail.txt.j2",
            "http://shop.example {{ unsubscribe_url }}",
            "the link http://shop.example is not https",
        ),
    ],
)
def test_what_would_reach_nobody_or_mislead_them(
    campaign: Build,
    templates: dict[str, str],
    columns: Mapping[str, str],
    file: str,
    source: str,
    problem: str,
) -> None:
    templates[file] = source
    found = check_templates(campaign(), templates, columns)
    assert any(each.message.startswith(problem) for each in found), found


@pytest.mark.parametrize(
    "source",
    [
        "https://{{ profile.country | lower }}.shop.example/?b={{ profile.country }}. {{ unsubscribe_url }}",
        "See https://shop.example/sale, or (https://shop.example/x). {{ unsubscribe_url }}",
        "{% if profile.country == 'SE' %}{{ unsubscribe_url }}{% else %}{{ unsubscribe_url }}{% endif %}",
        "{% with url = unsubscribe_url %}{{ url }}{% endwith %}",
        '{{ "https://" ~ profile.country }} {{ unsubscribe_url }}',
        "{% if profile.country.startswith('https://') %}x{% endif %}{{ unsubscribe_url }}",
        "{{ profile.country | replace('http://', 'https://') }} {{ unsubscribe_url }}",
        "{{ profile.country | default('https://shop.example') | upper }} {{ unsubscribe_url }}",
        "„https://shop.example“, https://shop.example…, *https://shop.example* {{ unsubscribe_url }}",
        "「https://shop.example」 https://हिन्दी.भारत/ https://intranet/x {{ unsubscribe_url }}",
    ],
)
def test_a_text_part_that_is_right(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str], source: str
) -> None:
    columns = {**columns, "country": "varchar"}
    templates["mail.txt.j2"] = source
    assert check_templates(campaign(), templates, columns) == []


@pytest.mark.parametrize(
    ("element", "problem"),
    [
        (
            '<img src="http://shop.example/a.png" alt="">',
            "the picture http://shop.example/a.png is not https",
        ),
        (
            '<img src="https://shop.example/a.png" srcset="b.png 2x" alt="">',
            "the picture b.png cannot be loaded",
        ),
        (
            '<img src="http://shop.example/{{ profile.first_name }}.png" alt="">',
            "the picture http://shop.example/….png is not https",
        ),
        ('<img src="img/{{ profile.first_name }}.png" alt="">', "the picture img/….png cannot be loaded"),
        ('<td background="/a.png">x</td>', "the picture /a.png cannot be loaded"),
        ("<td style=\"background:url('a.png')\">x</td>", "the picture a.png cannot be loaded"),
        ("<style>.a { background: url(a.png) }</style>", "the picture a.png cannot be loaded"),
        ('<!--[if mso]><v:fill src="a.png" /><![endif]-->', "the picture a.png cannot be loaded"),
        ('<a href="mailto:foo">x</a>', "the link mailto:foo has no address behind it"),
        ('<a href="tel:abc">x</a>', "the link tel:abc has no number behind it"),
        ('<a href="https://x..example/">x</a>', "the link https://x..example/ has no host that can be"),
        ('<a href="mailto:">x</a>', "the link mailto: has no address behind it"),
        ('<a href="https://x.example:abc/">x</a>', "the link https://x.example:abc/ has a port that cannot"),
        ('<a href="https://x.example:99999/">x</a>', "the link https://x.example:99999/ has a port that"),
        (
            '<a href="https://\U0001f4a9.la/">x</a>',
            "the link https://\U0001f4a9.la/ has a host that is no domain",
        ),
        (
            "<a href=https://x.example/{{ profile.first_name }}>x</a>",
            "{{ profile.first_name }} stands in href=… without quotes around it",
        ),
        ("<p title={{ profile.first_name }}>x</p>", "{{ profile.first_name }} stands in title=… without"),
        (
            "<p title={{ profile.first_name | upper }}>x</p>",
            "{{ profile.first_name | upper }} stands in title",
        ),
        ("<p title={{ campaign.description }}>x</p>", "{{ campaign.description }} stands in title=… without"),
        (
            "<p title={{ profile.orders_count | default('not one') }}>x</p>",
            "{{ profile.orders_count | default('not one') }} stands in title=… without",
        ),
        (
            "{% set x = profile.first_name %}<p title={{ x }}>x</p>",
            "{{ x }} stands in title=… without quotes around it",
        ),
    ],
)
def test_pictures_and_links_that_do_not_work(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str], element: str, problem: str
) -> None:
    templates["mail.html.j2"] += element
    found = check_templates(campaign(), templates, columns)
    assert any(each.message.startswith(problem) for each in found), found


def test_pictures_and_links_that_do(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str]
) -> None:
    templates["mail.html.j2"] += (
        '<img src="https://shop.example/a.png" srcset="https://shop.example/b.png 2x" alt="">'
        '<td background="{{ profile.first_name }}" style="background: url(https://shop.example/c.png)">'
        '<a href="mailto:hello@shop.example?subject=Hi">a</a><a href="tel:+46-8-123">b</a>'
        '<a href="sms:+468123">c</a>'
        '<a href="tel:{{ profile.orders_count }}">d</a><a href="https://åäö.example/">e</a>'
        '<a href="https://127.0.0.1:8080/">f</a>'
        '<a href="https://x.example:80{{ profile.orders_count }}/">g</a>'
        "<td width=3 {% if profile.orders_count %}class=a{% endif %}>x</td>"
        "<td class={% if profile.orders_count %}a{% else %}b{% endif %}>x</td>" + "words " * 20
    )
    assert check_templates(campaign(), templates, columns) == []


@pytest.mark.parametrize(
    "element",
    [
        "<!--[if gte mso 9]><style>v\\:*{behavior:url(#default#VML)}</style><![endif]-->",
        '<!--[if gte mso 9]><v:fill type="gradient" color="#eee" /><![endif]-->',
        '<td background="">x</td>',
        '<img src="https://i.example/a" alt srcset="https://i.example/w_2,h_1/a 1x, https://i.example/b">',
        '<a href="mailto:?subject=Look&body=https%3A%2F%2Fshop.example">Tell a friend</a>',
        '<a href="sms:?&body=Look">Tell a friend</a>',
        '<a href="mailto:a%40shop.example">x</a>',
        '<a href="tel:*100%23">x</a>',
        "<a href={{ unsubscribe_url }}>x</a> <a href={{ preferences_url }}>y</a>",
        "<td width={{ profile.orders_count }} class={{ campaign.name }} id={{message_id}}>x</td>",
        "<td width={{ profile.orders_count * 2 }} title={{ profile.orders_count | default('none') }}>x</td>",
        "<td title={{ profile.last_order_date }} class={{ 'a' if profile.orders_count > 2 else 'b' }}>x</td>",
        "<td title={{ profile.orders_count | number }}>x</td>",
    ],
)
def test_what_mail_clients_take_is_right(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str], element: str
) -> None:
    templates["mail.html.j2"] += element + "words " * 20
    assert check_templates(campaign(), templates, columns) == []


@pytest.mark.parametrize(
    ("html", "problem", "advisory"),
    [
        (
            '<a href="javascript:x()">x</a>',
            "the link javascript:x() is of the kind javascript:, which",
            False,
        ),
        ('<a href="/sale">x</a>', "the link /sale is relative", False),
        ('<a href="https://">x</a>', "the link https:// has no host", False),
        ('<a href="">x</a>', "a link leads nowhere", False),
        ('<a href="mailto:">x</a>', "the link mailto: has no address", False),
        ('<a href="x/{{ profile.first_name }}">x</a>', "the link x/… is relative", False),
        ('<img src="cid:1" alt="x">', "the picture cid:1 cannot be loaded", False),
        ("<script>x</script>", "mail clients remove <script>", False),
        ('<a href="http://x.example/">x</a>', "the link http://x.example/ is not https", True),
        ('<a href="https://bit.ly/x">x</a>', "bit.ly hides where it leads", True),
        ('<img src="https://x.example/a.png">', "the picture https://x.example/a.png has no alt text", True),
        (
            '<a href="https://evil.example/">bank.example</a>',
            "the link shows bank.example and leads to evil.example",
            True,
        ),
        ("<form></form>", "few mail clients show <form>", True),
        ("<html>", "<html> has no lang", True),
    ],
)
def test_what_mail_clients_refuse_blocks_and_the_rest_is_advice(
    campaign: Build,
    templates: dict[str, str],
    columns: Mapping[str, str],
    html: str,
    problem: str,
    advisory: bool,
) -> None:
    templates["mail.html.j2"] = f"a long enough text of words\n{html} {templates['mail.html.j2']}"
    [found] = check_templates(campaign(), templates, columns)
    assert (found.file, found.line, found.is_advisory) == ("mail.html.j2", 2, advisory)
    assert found.message.startswith(problem)


@pytest.mark.parametrize(
    ("subject", "problem"),
    [
        ("x" * 71, "71 characters and what is filled in"),
        ("BUY NOW OR NEVER", "capitals look like spam"),
        ("Now!!", "exclamation marks look like spam"),
        ("Re: your order", "it looks like an answer, and is none"),
    ],
)
def test_a_subject_that_costs_readers(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str], subject: str, problem: str
) -> None:
    templates["mail.subject.j2"] = subject
    [found] = check_templates(campaign(), templates, columns)
    assert found.is_advisory
    assert found.message.startswith(problem)


def test_a_page_that_gmail_clips(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str]
) -> None:
    templates["mail.html.j2"] += "<p>words</p>" * 9_000
    [found] = check_templates(campaign(), templates, columns)
    assert found.is_advisory
    assert found.message.startswith("108,")
