"""Whether a reader sees the unsubscribe link: hidden, or not in every file that somebody gets."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.unit.content.conftest import Build

from kundresa.content import TemplateProblem, check_templates
from kundresa.spec.events import Property, PropertyKind


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
