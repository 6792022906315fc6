"""The check before a run: every mistake with its file, its line and the nearest valid word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.unit.content.conftest import Build

from kundresa.content import check_templates, template_files, templates_to_freeze
from kundresa.spec.events import load_event_types
from kundresa.spec.journey_loading import journey_names, load_journey
from kundresa.spec.journey_references import data_properties
from kundresa.spec.loading import load_campaign, load_shared_sources, load_sources

JOURNEYS = Path(__file__).resolve().parents[3] / "dags" / "journeys"


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


def test_a_fragment_is_given_values_by_its_page(
    campaign: Build, templates: dict[str, str], columns: Mapping[str, str]
) -> None:
    templates["fragments/f.html.j2"] = "{{ label }}{{ other }}"
    templates["mail.html.j2"] += "{% with label = 'x' %}{% include 'fragments/f.html.j2' %}{% endwith %}"
    found = check_templates(campaign(), templates, columns)
    assert [str(each) for each in found] == ["fragments/f.html.j2:1: other is not defined"]
