"""The check before a run: every mistake with its file, its line and the nearest valid word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from kundresa.content import TemplateProblem, check_templates, template_files, templates_to_freeze
from kundresa.content.environment import build_environment
from kundresa.spec.campaign import Campaign
from kundresa.spec.events import Property, PropertyKind, load_event_types
from kundresa.spec.journey_loading import journey_names, load_journey
from kundresa.spec.journey_references import data_properties
from kundresa.spec.loading import load_campaign, load_shared_sources, load_sources

Build = Callable[..., Campaign]
JOURNEYS = Path(__file__).resolve().parents[3] / "dags" / "journeys"


@pytest.fixture
def problems(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str]
) -> Callable[[str], list[str]]:
    """What the check says when one template is replaced."""

    def check(source: str) -> list[str]:
        found = check_templates(campaign(), {**templates, "text.txt.j2": source}, columns)
        return [str(problem) for problem in found]

    return check


def test_good_templates_have_no_problems(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str]
) -> None:
    assert check_templates(campaign(), templates, columns) == []


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("a\n{{ profile.frist_name }}", "2: profile has no column frist_name; did you mean first_name?"),
        (
            "{{ profile['orders_cuont'] }}",
            "1: profile has no column orders_cuont; did you mean orders_count?",
        ),
        ("{{ profile.zzz }}", "1: profile has no column zzz"),
        (
            "{% if profile.frist_name %}x{% endif %}",
            "1: profile has no column frist_name; did you mean first_name?",
        ),
        ("{{ profile[message_id] }}", "1: profile[…] takes a quoted name, so that it can be checked"),
        ("{{ profile }}", "1: profile is used whole; write profile.<field>"),
        ("{% set p = profile %}{{ p.x }}", "1: profile is used whole; write profile.<field>"),
        ("{% set profile = 3 %}x", "1: profile is given another meaning; choose another name"),
        ("{{ campaign.nmae }}", "1: campaign has no field nmae; did you mean name?"),
        ("\n\n{{ mesage_id }}", "3: mesage_id is not defined; did you mean message_id?"),
        ("{{ first_name }}", "1: first_name is not defined; did you mean profile.first_name?"),
        ("{{ variant }}", "1: variant is not defined"),
        ("{{ profile.first_name | defualt('x') }}", "1: there is no filter defualt; did you mean default?"),
        ("{{ 1 | qqqq }}", "1: there is no filter qqqq"),
        (
            "{{ [1] | random }}",
            "1: the filter random is not available in templates: a retry must write the same message",
        ),
        ("{% if 1 is defnied %}x{% endif %}", "1: there is no test defnied; did you mean defined?"),
        ("{{ ''.__class__ }}", "1: .__class__ is not available in templates"),
        (
            "{% include 'mail.text.j2' %}",
            "1: there is no template mail.text.j2 beside campaign.yaml; did you mean mail.txt.j2?",
        ),
        (
            "{% include message_id %}",
            "1: name the template by its quoted file name, so that it can be checked",
        ),
    ],
)
def test_a_mistake_is_named(problems: Callable[[str], list[str]], source: str, problem: str) -> None:
    assert f"text.txt.j2:{problem}" in problems(source)


@pytest.mark.parametrize(
    "source",
    ["a\n{% if %}", "a\n{{ profile. }}", "a\n{% for x in %}{% endfor %}", "a\n{% bogus %}", "a\n{{ 'x }}"],
)
def test_a_syntax_error_has_its_line(problems: Callable[[str], list[str]], source: str) -> None:
    found = problems(source)
    assert len(found) == 1
    assert found[0].startswith("text.txt.j2:2: ")


@pytest.mark.parametrize(
    "source",
    [
        "{% set n = profile.orders_count %}{{ n }}",
        "{% for i in range(3) %}{{ loop.index }}{{ i }}{% endfor %}",
        "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1) }}",
        "{% block b %}{{ profile.first_name }}{% endblock %}",
        "{% set ns = namespace(n=1) %}{{ ns.n }}",
        "{{ profile.total_spend | money('SEK') }} {{ profile.last_order_date | date }} {{ campaign.name }}",
    ],
)
def test_names_of_the_templates_own_are_fine(problems: Callable[[str], list[str]], source: str) -> None:
    assert problems(source) == []


@pytest.mark.parametrize("file", ["mail.html.j2", "mail.txt.j2"])
def test_both_parts_need_the_unsubscribe_link(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str], file: str
) -> None:
    templates[file] = "Hello"
    found = check_templates(campaign(), templates, columns)
    assert found == [
        TemplateProblem(file, None, "there is no {{ unsubscribe_url }} in it; every email needs one")
    ]


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
    "source",
    [
        '<a href="{{ unsubscribe_url }}?lang=sv">no more</a>',
        '<!--[if !gte mso 9]><!--><a href="{{ unsubscribe_url }}">no more</a><!--<![endif]-->',
        '<!--[if !(mso)]><!--><a href="{{ unsubscribe_url }}">no more</a><!--<![endif]-->',
        '<!--[if !mso]><!-- --><a href="{{ unsubscribe_url }}">no more</a><!--<![endif]-->',
    ],
)
def test_an_unsubscribe_link_that_a_reader_sees(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str], source: str
) -> None:
    templates["mail.html.j2"] = source
    assert check_templates(campaign(), templates, columns) == []


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("<a href='{{ unsubscribe_url }}'></a>", "has no words"),
        (
            "<a href='{{ unsubscribe_url }}'>&nbsp;<span style='display: none'>off</span></a>",
            "stands where no reader",
        ),
        ("<a href='{{ unsubscribe_url }}'><img src='https://i.example/x' alt=''></a>", "has no words"),
        ("<div style='color:red;display:none'><p><b>x</b>LINK</p></div>", "stands where no reader"),
        ("<div style='visibility:hidden'><p>LINK</p></div>", "stands where no reader"),
        ("<div style='font-size:0px'><p>LINK</p></div>", "stands where no reader"),
        ("<div style='font-size:0'><p style='font-size:larger'>LINK</p></div>", "stands where no reader"),
        ("<div style='font-size:.0em'><font color=red>LINK</font></div>", "stands where no reader"),
        ("<div hidden><p>LINK</p></div>", "stands where no reader"),
        ("<style>.h{display:none}</style><p class=h>LINK</p>", "stands where no reader"),
    ],
)
def test_an_unsubscribe_link_that_nobody_sees(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str], source: str, problem: str
) -> None:
    link = '<a href="{{ unsubscribe_url }}">off</a>'
    templates["mail.html.j2"] = "<p>Words to read</p>" + source.replace("LINK", link) + "words " * 9
    [found] = [each for each in check_templates(campaign(), templates, columns) if not each.is_advisory]
    assert found.message.startswith(f"the unsubscribe link {problem}")
    templates["mail.html.j2"] += link
    assert not [each for each in check_templates(campaign(), templates, columns) if not each.is_advisory]


@pytest.mark.parametrize(
    "source",
    [
        "<a href='{{ unsubscribe_url }}'><img src='https://i.example/x' alt='No more'></a>",
        "<td style='font-size:0px'><div style='font-size:13px'>LINK</div></td>",
        "<td style='font-size:0'><div style='font:13px Arial'>LINK</div></td>",
        "<div style='visibility:hidden'><p style='visibility:visible'>LINK</p></div>",
        "<div style='mso-hide:all'>LINK</div>",
        "<p style='display:none'>Beginning<div>LINK</div>",
        "<div style='display:none'>Beginning<div>x</div></div>LINK",
        "<div style='font-size:0.8em'>LINK</div>",
        "<td style='font-size:0'><div style='font-size:small'>LINK</div></td>",
        "<td style='font-size:0'><div style='font-size: calc(10px + 1vw)'>LINK</div></td>",
        "<td style='font-size:0'><div style='font-size:.5rem'>LINK</div></td>",
        "<td style='font-size:0'><font size=2>LINK</font></td>",
        "<p style='font-size:1.2.3px'>LINK</p>",
        "<p style='font-size:.'>LINK</p>",
        "<p>{{ unsubscribe_url }}</p>",
    ],
)
def test_one_that_is_not_hidden_after_all(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str], source: str
) -> None:
    link = '<a href="{{ unsubscribe_url }}">off</a>'
    templates["mail.html.j2"] = source.replace("LINK", link) + "words " * 9
    assert check_templates(campaign(), templates, columns) == []


def test_a_journeys_email_is_written_with_a_made_up_event(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str]
) -> None:
    event = {name: Property(kind=PropertyKind(name)) for name in PropertyKind}
    event |= {"currency": Property(kind=PropertyKind.TEXT, max_length=3)}
    templates["mail.html.j2"] = (
        "<p>{{ event.number | money(event.currency) }} {{ event.text }} {{ event.texts | listed }}</p>"
        "{{ event.whole | plural(other='{n}') }} {{ event.day }} {{ event.instant }}"
        "{{ logical_at | date(zone='UTC') }}"
        "<b{% if event.truth %} style='display:none'{% endif %}><a href='{{ unsubscribe_url }}'>no</a></b>"
    )
    [found] = check_templates(campaign(), templates, columns, records={"event": event})
    assert not found.is_advisory
    assert found.message.startswith(
        "the unsubscribe link stands where no reader sees it when event.truth is true;"
    )
    templates["mail.html.j2"] += "<a href='{{ unsubscribe_url }}'>off</a>"
    assert check_templates(campaign(), templates, columns, records={"event": event}) == []


@pytest.mark.parametrize("name", journey_names(JOURNEYS))
def test_the_journeys_that_ship_are_right_with_one(columns: Mapping[str, str], name: str) -> None:
    journey, dags = load_journey(JOURNEYS / name), JOURNEYS.parent
    event = data_properties(journey, load_event_types(dags))
    assert event is not None
    templates = templates_to_freeze(load_sources(JOURNEYS / name), load_shared_sources(dags))
    for step in journey.messages:
        found = check_templates(
            journey.message_campaign(step),
            templates,
            columns,
            records={"event": event},
        )
        assert found == []


def test_one_that_outlook_alone_would_show_is_seen_by_nobody_else(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str]
) -> None:
    templates["mail.html.j2"] = '<!--[if mso]><a href="{{ unsubscribe_url }}">no more</a><![endif]-->'
    [problem] = check_templates(campaign(), templates, columns)
    assert problem.message == "the unsubscribe link stands where no reader sees it"


@pytest.mark.parametrize(
    ("files", "place", "message"),
    [
        (
            {
                "mail.html.j2": "<p>a</p>\n{% if profile.first_name %}"
                "<a href='{{ unsubscribe_url }}'>off</a>{% endif %}"
            },
            "mail.html.j2:2",
            "the unsubscribe link is missing when profile.first_name is empty;",
        ),
        (
            {"mail.txt.j2": "{% for x in profile.first_name %}{{ unsubscribe_url }}{% endfor %}"},
            "mail.txt.j2:1",
            "the unsubscribe link is missing when profile.first_name has nothing in it;",
        ),
        (
            {
                "mail.html.j2": "{% extends 'layouts/l.html.j2' %}{% block body %}x{% endblock %}",
                "layouts/l.html.j2": "{% block body %}{% endblock %}\n\n{% if profile.country == 'SE' %}"
                "{% include 'fragments/f.html.j2' %}{% endif %}",
                "fragments/f.html.j2": "{% if profile.crm_id %}<a href='{{ unsubscribe_url }}'>off</a>"
                "{% endif %}",
            },
            "fragments/f.html.j2:1",
            "the unsubscribe link of mail.html.j2 is missing when profile.crm_id is empty;",
        ),
        (
            {
                "mail.txt.j2": "{% if profile.crm_id %}{{ unsubscribe_url }}{% endif %}\n"
                "{% if profile.country %}{{ unsubscribe_url }}{% endif %}"
            },
            "mail.txt.j2:1",
            "the unsubscribe link is missing when profile.crm_id is empty and profile.country is empty;",
        ),
    ],
)
def test_an_unsubscribe_link_that_somebody_does_not_get(
    campaign: Build,
    templates: dict[str, str],
    columns: Mapping[str, str],
    files: dict[str, str],
    place: str,
    message: str,
) -> None:
    """The person of the other checks, who has a value in every column, would not show it."""
    blocking = [
        each for each in check_templates(campaign(), templates | files, columns) if not each.is_advisory
    ]
    [problem] = [str(each) for each in blocking]
    assert problem.startswith(f"{place}: {message} every email needs one: put it outside")


def test_of_variants_and_languages_each_is_asked_for_itself(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str]
) -> None:
    experiment = {"name": "tone", "variants": [{"name": "a"}, {"name": "b"}]}
    link = "{{ unsubscribe_url }}"
    by_variant = f"{{% if variant == 'a' %}}{link}{{% elif variant == 'b' %}}{link}{{% endif %}}"
    templates["mail.txt.j2"] = by_variant
    assert check_templates(campaign(experiment=experiment), templates, columns) == []
    templates["mail.txt.j2"] = by_variant.replace("'b'", "'c'")
    [found] = check_templates(campaign(experiment=experiment), templates, columns)
    assert found.message == "there is no {{ unsubscribe_url }} in it; every email needs one"
    templates |= {
        "mail.txt.j2": "{{ unsubscribe_url }}",
        "mail.sv.subject.j2": "Hej",
        "mail.sv.html.j2": templates["mail.html.j2"],
        "mail.sv.txt.j2": "{% if profile.language == 'sv' %}{{ unsubscribe_url }}{% endif %}",
    }
    assert check_templates(campaign(), templates, columns) == []


def test_macros_of_a_text_part_may_print_the_link(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str]
) -> None:
    templates["own.txt.j2"] = "{% macro foot(url) %}-- {{ url }}{% endmacro %}"
    templates["mail.txt.j2"] = "{% from 'own.txt.j2' import foot %}{{ foot(unsubscribe_url) }}"
    assert check_templates(campaign(), templates, columns) == []
    templates["mail.txt.j2"] = "{% from 'own.txt.j2' import foot %}{{ unsubscribe_url if not foot }}"
    [found] = check_templates(campaign(), templates, columns)
    assert found.message == "there is no {{ unsubscribe_url }} in it; every email needs one"


def test_the_link_may_come_from_a_parent(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str]
) -> None:
    templates["footer.txt.j2"] = templates["mail.txt.j2"]
    templates["mail.txt.j2"] = "Hi {% include 'footer.txt.j2' %}"
    assert check_templates(campaign(), templates, columns) == []


def test_templates_that_include_each_other_are_no_endless_check(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str]
) -> None:
    templates["mail.txt.j2"] = "{% include 'a.txt.j2' %}"
    templates["a.txt.j2"] = "{% include 'mail.txt.j2' %}"
    found = check_templates(campaign(), templates, columns)
    assert [problem.file for problem in found] == ["mail.txt.j2"]


def test_a_missing_file_of_any_variant(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str]
) -> None:
    experiment = {"name": "tone", "variants": [{"name": "a"}, {"name": "b", "templates": {"email": "mial"}}]}
    found = check_templates(campaign(experiment=experiment), templates, columns)
    assert [str(problem) for problem in found] == [
        "mial.html.j2: this file of the email channel is missing; did you mean mail.html.j2?",
        "mial.subject.j2: this file of the email channel is missing; did you mean mail.subject.j2?",
    ]


def test_all_mistakes_at_once_in_order(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str]
) -> None:
    templates["mail.html.j2"] = "{{ profile.a }}\n{{ unsubscribe_url }}{{ b }}"
    templates["text.txt.j2"] = "{% if %}"
    found = check_templates(campaign(), templates, columns)
    assert [(problem.file, problem.line) for problem in found] == [
        ("mail.html.j2", 1),
        ("mail.html.j2", 2),
        ("text.txt.j2", 1),
    ]


@pytest.mark.parametrize(("name", "files"), [("winback", 7), ("spring_sale", 11)])
def test_the_campaigns_that_ship_are_right(
    campaigns_folder: Path, columns: Mapping[str, str], name: str, files: int
) -> None:
    folder = campaigns_folder / name
    campaign = load_campaign(folder)
    own = load_sources(folder)
    templates = templates_to_freeze(own, load_shared_sources(campaigns_folder.parent))
    assert check_templates(campaign, templates, columns) == []
    assert {file.name for file in template_files(campaign, templates)} == set(own)
    assert len(templates) == files


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (
            "{{ profile.first_name | date }}",
            "date takes a date or a timestamp; profile.first_name is a varchar",
        ),
        (
            "{{ profile.first_name | default('x') | money('EUR') }}",
            "money takes a number; profile.first_name is a varchar",
        ),
        (
            "{{ profile['last_order_date'] | datetime('UTC') }}",
            "datetime takes a timestamp; profile.last_order_date is a date",
        ),
        ("{{ profile.total_spend | money }}", "money needs its currency, for example money('EUR')"),
        ("{{ profile.orders_count | plural(one='x') }}", "plural needs other='…'"),
        (
            "{% block b %}x{% endblock %}{{ self.b() }}",
            "self is not available in templates; {% set %} a value instead",
        ),
        (
            "{% include 'mail.txt.j2' ignore missing %}",
            'write {% include "name" %} alone: what it names must be there',
        ),
    ],
)
def test_helpers_are_held_against_the_contract(
    problems: Callable[[str], list[str]], source: str, problem: str
) -> None:
    assert f"text.txt.j2:1: {problem}" in problems(source)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{{ profile.first_name * 2 }}", "* takes numbers; profile.first_name is a varchar"),
        ("{{ 2 * profile['first_name'] }}", "* takes numbers; profile.first_name is a varchar"),
        (
            "{{ 'Hi ' + profile.orders_count }}",
            "+ takes numbers; 'Hi ' is a text; join texts with ~",
        ),
        ("{{ profile.last_order_date + 7 }}", "+ takes numbers; profile.last_order_date is a date"),
        ("{{ -profile.first_name }}", "- takes a number; profile.first_name is a varchar"),
        (
            "{% if profile.first_name > 3 %}x{% endif %}",
            "> cannot compare: profile.first_name is a varchar, 3 is a number",
        ),
        (
            "{% if profile.orders_count == '3' %}x{% endif %}",
            "== never finds equal: profile.orders_count is a bigint, '3' is a text",
        ),
        (
            "{% if 1 < profile.orders_count < profile.first_name %}x{% endif %}",
            "< cannot compare: profile.orders_count is a bigint, profile.first_name is a varchar",
        ),
        (
            "{% if 'x' in profile.orders_count %}x{% endif %}",
            "in takes a list or a text; profile.orders_count is a bigint",
        ),
        ("{% if 3 in profile.first_name %}x{% endif %}", "in a text there are texts; 3 is a number"),
        ("{{ profile.orders_count | truncate }}", "truncate takes a text; profile.orders_count is a bigint"),
        ("{{ profile.first_name | round }}", "round takes a number; profile.first_name is a varchar"),
        ("{{ profile.total_spend | length }}", "length takes a list; profile.total_spend is a double"),
        ("{{ profile.orders_count.first }}", "there is no .first: profile.orders_count is a bigint"),
        ("{{ profile.last_order_date[0] }}", "[…] takes a list or a text; profile.last_order_date is a date"),
        (
            "{% for each in profile.orders_count %}x{% endfor %}",
            "for goes through a list; profile.orders_count is a bigint",
        ),
        # What operators and filters make of a column is known as well.
        (
            "{{ (profile.orders_count + 1) | truncate }}",
            "truncate takes a text; what it is given is a number",
        ),
        ("{{ (profile.first_name | upper) / 2 }}", "/ takes numbers; what it is given is a text"),
        (
            "{{ (profile.first_name | default('you')) - 1 }}",
            "- takes numbers; what it is given is a text",
        ),
    ],
)
def test_expressions_are_held_against_the_contract(
    problems: Callable[[str], list[str]], source: str, problem: str
) -> None:
    assert f"text.txt.j2:1: {problem}" in problems(source)


@pytest.mark.parametrize(
    ("source", "problem", "advisory"),
    [
        ("{% if profile.orders_count != '' %}x{% endif %}", "!= never finds equal", True),
        ("Hi{% if profile.orders_count == '3' %}x{% endif %}", "== never finds equal", True),
        ("{% if profile.orders_count < '3' %}x{% endif %}", "< cannot compare", False),
    ],
)
def test_what_is_written_all_the_same_is_advice(
    campaign: Build,
    templates: dict[str, str],
    columns: Mapping[str, str],
    source: str,
    problem: str,
    advisory: bool,
) -> None:
    templates["text.txt.j2"] = source
    templates["mail.html.j2"] += '<a href="/sale">x</a>'
    [*others, found] = check_templates(campaign(), templates, columns)
    assert (found.message.startswith(problem), found.is_advisory) == (True, advisory)
    # Advice ends nothing: what shows only in the whole page is told as well.
    assert [each.message[:14] for each in others] == ["the link /sale"] * advisory


@pytest.mark.parametrize("kind", ["bigint", "double", "decimal(18,2)", "date", "timestamp", "boolean"])
@pytest.mark.parametrize(
    "name", ["abs", "capitalize", "lower", "round", "title", "trim", "truncate", "upper", "wordcount"]
)
def test_a_filter_is_refused_where_it_fails_and_nowhere_else(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str], kind: str, name: str
) -> None:
    values = {
        "bigint": 3,
        "double": 1.5,
        "decimal(18,2)": Decimal("1.5"),
        "date": date(2026, 1, 15),
        "timestamp": datetime(2026, 1, 15, tzinfo=UTC),
        "boolean": True,
    }
    source = f"{{{{ profile.x | {name} }}}}"
    templates["text.txt.j2"] = source
    found = check_templates(campaign(), templates, {**columns, "x": kind})
    template = build_environment({}).from_string(source)
    try:
        template.render({"profile": {"x": values[kind]}})
    except TypeError:
        assert [each.is_advisory for each in found] == [False]
    else:
        assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "{{ profile.first_name + '!' }}{{ 'x' * 3 }}{{ profile.first_name ~ profile.orders_count }}",
        "{% set x = 'a' %}{{ profile.first_name + x }}{{ profile.orders_count + (x | length) }}",
        "{{ (profile.orders_count * 2 - 1) // 3 % 2 + profile.total_spend / 7 }}",
        "{{ profile.orders_count | string | upper }}{{ profile.total_spend | replace('.', ',') }}",
        "{{ profile.total_spend | round(1) | number }}{{ profile.orders_count | default('none') }}",
        "{{ (profile.orders_count | default('none')) | upper }}",
        "{{ profile.first_name[0] }}{{ profile.first_name | first }}{{ profile.first_name | length }}",
        "{{ profile.first_name.title() }}{{ profile.last_order_date.year }}",
        "{% if profile.first_name in ['a', 'b'] and 'x' in profile.first_name %}x{% endif %}",
        "{% if profile.first_name == none or profile.orders_count >= 2.5 %}x{% endif %}",
        "{% if (profile.last_order_date - profile.last_order_date).days > 3 %}x{% endif %}",
        "{% if (logical_at - profile.last_order_date) %}x{% endif %}",
        "{% if profile.first_name and profile.orders_count > 2 %}x{% endif %}",
        "{% for each in range(profile.orders_count) %}x{% endfor %}{{ -profile.orders_count }}",
    ],
)
def test_what_cannot_be_told_for_sure_is_not_said(problems: Callable[[str], list[str]], source: str) -> None:
    assert [each for each in problems(source) if "would not get it" not in each] == []


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


def test_a_fragment_is_given_values_by_its_page(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str]
) -> None:
    templates["fragments/f.html.j2"] = "{{ label }}{{ other }}"
    templates["mail.html.j2"] += "{% with label = 'x' %}{% include 'fragments/f.html.j2' %}{% endwith %}"
    found = check_templates(campaign(), templates, columns)
    assert [str(each) for each in found] == ["fragments/f.html.j2:1: other is not defined"]
