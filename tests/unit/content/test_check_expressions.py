"""Helpers, filters and expressions, held against the contract of what they are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from tests.unit.content.conftest import Build

from kundresa.content import check_templates
from kundresa.content.environment import build_environment


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
