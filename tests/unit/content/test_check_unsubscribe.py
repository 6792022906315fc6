"""Whether the unsubscribe link comes out for everybody: templates, and for whom it does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import pytest

from kundresa.content import Links, TemplateProblem, compile_templates
from kundresa.content.check_unsubscribe import check_unsubscribe
from kundresa.content.environment import build_environment
from kundresa.content.example import LOGICAL_AT
from kundresa.spec.campaign import Campaign
from kundresa.spec.events import Property, PropertyKind

Build = Callable[..., Campaign]
Told = Callable[..., list[str]]

COLUMNS = {
    "x": "varchar",
    "y": "varchar",
    "language": "varchar",
    "n": "bigint",
    "f": "double",
    "b": "boolean",
    "d": "date",
    "at": "timestamp",
    "texts": "varchar[]",
}
EVENT = {
    "items": Property(kind=PropertyKind.TEXTS),
    "total": Property(kind=PropertyKind.NUMBER, required=True),
    "status": Property(kind=PropertyKind.TEXT, values=("paid", "open", "void")),
    "day": Property(kind=PropertyKind.DAY),
}
LIBRARIES = {
    "m.txt.j2": "{% macro url() %}{{ unsubscribe_url }}{% endmacro %}"
    "{% macro foot() %}{{ url() }}{% endmacro %}",
    "n.txt.j2": "{% macro foot() %}{{ url() }}{% endmacro %}"
    "{% macro url() %}{{ unsubscribe_url }}{% endmacro %}",
    "o.txt.j2": "{% macro foot(url) %}{{ url }}{% endmacro %}",
    "p.txt.j2": "{% macro foot(url) %}\n{% if profile.x %}{{ url }}{% endif %}{% endmacro %}",
}
LINK = "unsubscribe_url"
U = "{{ unsubscribe_url }}"
A = f'<a href="{U}">off</a>'
NONE = "there is no {{ unsubscribe_url }} in it; every email needs one"
MISSING = "the unsubscribe link is missing when "
REMEDY = "; every email needs one: put it outside of conditions, or in their {% else %} too"


@pytest.fixture
def found(campaign: Build, templates: dict[str, str], links: Links) -> Callable[..., list[TemplateProblem]]:
    """What is found of some files, and others that are as they should be."""

    def find(
        files: Mapping[str, str | None],
        *,
        columns: Mapping[str, str] = COLUMNS,
        clock: Callable[[], float] | None = None,
        spec: Mapping[str, Any] | None = None,
        event: Mapping[str, Property] | None = EVENT,
    ) -> list[TemplateProblem]:
        given = {**templates, **LIBRARIES, **files}
        present = {name: text for name, text in given.items() if text is not None}
        built = campaign(**(spec or {}))
        renderer = compile_templates(built, present, links=links, logical_at=LOGICAL_AT)
        clocks = {} if clock is None else {"clock": clock}
        return list(
            check_unsubscribe(
                built, present, build_environment(present), renderer, columns, event=event, **clocks
            )
        )

    return find


@pytest.fixture
def told(found: Callable[..., list[TemplateProblem]]) -> Told:
    """What is told of a text part."""
    return lambda source: [str(each) for each in found({"mail.txt.j2": source})]


@pytest.mark.parametrize(
    "source",
    [
        U,
        "{{ 'x' ~ unsubscribe_url }}",
        "{% if profile.x %}" + U + "{% else %}" + U + "{% endif %}",
        "{% if profile.x %}" + U + "{% endif %}{% if not profile.x %}" + U + "{% endif %}",
        "{% if profile.n == 3 %}" + U + "{% endif %}{% if 3 != profile.n %}" + U + "{% endif %}",
        # Who has no number there gets no mail at all.
        "{% if profile.n > 3 %}" + U + "{% endif %}{% if profile.n <= 3 %}" + U + "{% endif %}",
        "{% if profile.x is none %}" + U + "{% endif %}{% if profile.x is defined %}" + U + "{% endif %}",
        "{% if profile.x and profile.y %}a{% elif profile.x %}b{% endif %}" + U,
        "{% if profile.x and profile.y %}" + U + "{% endif %}"
        "{% if not profile.x or not profile.y %}" + U + "{% endif %}",
        "{% if unsubscribe_url %}" + U + "{% endif %}",
        "{% if message_id is defined %}" + U + "{% endif %}",
        "{{ unsubscribe_url if profile.x else unsubscribe_url }}",
        "{{ unsubscribe_url or 'x' }}",
        "{{ unsubscribe_url | default('x') }}",
        "{% set a = unsubscribe_url %}{{ a }}",
        "{% set a %}<a href='" + U + "'>x</a>{% endset %}{% if a %}{{ a }}{% endif %}",
        "{% set a, b = 1, unsubscribe_url %}{{ b }}",
        "{% set ns = namespace(a='') %}{% set ns.a = unsubscribe_url %}{{ ns.a }}",
        "{% with a = unsubscribe_url %}{{ a }}{% endwith %}",
        "{% set show = true %}{% if show %}" + U + "{% endif %}",
        "{% set show = profile.x %}{% if show %}"
        + U
        + "{% endif %}{% if not profile.x %}"
        + U
        + "{% endif %}",
        "{% macro m() %}" + U + "{% endmacro %}{{ m() }}",
        "{% macro m(a, b='x') %}{{ b }}{% endmacro %}{{ m(1, unsubscribe_url) }}",
        "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(a=unsubscribe_url) }}",
        "{% macro m(a=unsubscribe_url) %}{{ a }}{% endmacro %}{{ m() }}",
        "{% macro m() %}{{ varargs[0] }}{% endmacro %}{{ m(unsubscribe_url) }}",
        "{% macro m() %}<p>{{ caller() }}</p>{% endmacro %}{% call m() %}" + U + "{% endcall %}",
        "{% macro m(x) %}{{ unsubscribe_url if x else '' }}{% endmacro %}{{ m(true) }}",
        "{% from 'm.txt.j2' import foot with context %}{{ foot() }}",
        "{% import 'm.txt.j2' as m with context %}{{ m.foot() }}",
        "{% from 'n.txt.j2' import foot with context %}{{ foot() }}",
        "{% from 'o.txt.j2' import foot %}{{ foot(unsubscribe_url) }}",
        "{% import 'o.txt.j2' as o %}{{ o.foot(unsubscribe_url) }}",
        # Loops over what is written there.
        "{% for label, url in [('a', preferences_url), ('b', unsubscribe_url)] %}{{ url }}{% endfor %}",
        "{% set a = [('a', message_id), ('b', unsubscribe_url)] %}{% for l, u in a %}{{ u }}{% endfor %}",
        "{% for each in [{'u': preferences_url}, {'u': unsubscribe_url}] %}{{ each.u }}{% endfor %}",
        "{% for k, v in {'a': preferences_url, 'b': unsubscribe_url}.items() %}{{ v }}{% endfor %}",
        "{% for k, v in {'a': unsubscribe_url} | items %}{{ v }}{% endfor %}",
        "{% for v in {'a': unsubscribe_url}.values() %}{{ v }}{% endfor %}",
        "{% for x in [1, 2] %}{% if not loop.last %}" + U + "{% endif %}{% endfor %}",
        "{% for x in [1, 2] %}{% if loop.index == 2 %}" + U + "{% endif %}{% endfor %}",
        "{% for x in ['a', 'b'] %}{% if x == 'b' %}" + U + "{% endif %}{% endfor %}",
        "{% if event.items %}{% for x in event.items %}" + U + "{% endfor %}{% else %}" + U + "{% endif %}",
        "{% if event.items | length > 0 %}{% for x in event.items %}"
        + U
        + "{% endfor %}{% else %}"
        + U
        + "{% endif %}",
        # What is given to a macro, and back.
        "{% macro c() %}{{ caller(unsubscribe_url) }}{% endmacro %}{% call(u) c() %}{{ u }}{% endcall %}",
        "{% macro foot(url) %}{{ url }}{% endmacro %}{{ foot(*[unsubscribe_url]) }}",
        "{% macro foot(url) %}{{ url }}{% endmacro %}{{ foot(**{'url': unsubscribe_url}) }}",
        "{% macro foot(url=unsubscribe_url, again=url) %}{{ again }}{% endmacro %}{{ foot() }}",
        "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}" + U + "{% endmacro %}{{ a() }}",
        "{% macro foot(unsubscribe_url) %}{{ unsubscribe_url }}{% endmacro %}{{ foot(unsubscribe_url) }}",
        # Fields of a namespace.
        "{% set ns = namespace(a='') %}{% set ns.a %}" + U + "{% endset %}{{ ns.a }}",
        "{% set n = namespace(a='') %}{% for x in [1] %}{% set n.a = unsubscribe_url %}{% endfor %}{{ n.a }}",
        "{% set ns = namespace(a=unsubscribe_url) %}{{ ns.a }}",
        (
            "{% set ns = namespace() %}{% if profile.x %}{% set ns.a = unsubscribe_url %}{% else %}"
            "{% set ns.a = unsubscribe_url %}{% endif %}{{ ns.a }}"
        ),
        "{% for x in [1, 2] %}" + U + "{% endfor %}",
        "{% for x in range(3) %}{% if loop.last %}" + U + "{% endif %}{% endfor %}",
        "{% for x in profile.texts %}" + U + "{% else %}" + U + "{% endfor %}",
        "{% block b %}" + U + "{% endblock %}",
        "{{ profile.x | default(unsubscribe_url) }}" + U,
        "{% autoescape true %}" + U + "{% endautoescape %}",
        # What no walk through the syntax could follow.
        "{% set links = [unsubscribe_url] %}{% if links | first | length > 3 %}" + U + "{% endif %}",
        "{% for x in [1, 2] if x > 1 %}" + U + "{% endfor %}",
        "{% if profile.n is none %}"
        + U
        + "{% elif profile.n < 3 %}"
        + U
        + "{% elif profile.n == 3 %}"
        + U
        + "{% elif profile.n > 3 %}"
        + U
        + "{% endif %}",
        "{% if profile.b == true %}"
        + U
        + "{% elif profile.b == false %}"
        + U
        + "{% elif profile.b is none %}"
        + U
        + "{% endif %}",
        "{% set x = profile.x | default('') %}{% if x | lower == 'a' %}" + U + "{% elif x | lower != 'a' %}"
        "{% if x | upper != 'A' %}" + U + "{% endif %}{% endif %}",
        "{% set n = namespace() %}{% macro m() %}{% set n.a = "
        + LINK
        + " %}{% endmacro %}{{ m() }}{{ n.a }}",
        "{% macro m() %}" + U + "{% endmacro %}{{ [m][0]() if profile.x else (m or m)() }}",
        "{% macro m(n) %}{% if n > 0 %}{{ m(n - 1) }}{% else %}" + U + "{% endif %}{% endmacro %}{{ m(3) }}",
        # Long ways round.
        "{% set t = profile.x %}"
        + "{% set t = t ~ 'x' if t else t %}" * 40
        + "{% if t %}"
        + U
        + "{% else %}"
        + U
        + "{% endif %}",
        "{% set l = [1] %}" + "{% set l = [l, l] %}" * 40 + "{% if l %}" + U + "{% endif %}",
        # Whoever the contract knows of.
        "{% if event.status in ['paid', 'open'] %}"
        + U
        + "{% elif event.status == 'void' or not event.status %}"
        + U
        + "{% endif %}",
        "{% if event.total is not none %}" + U + "{% endif %}",
    ],
)
def test_what_everybody_gets(told: Told, source: str) -> None:
    assert told(source) == []


@pytest.mark.parametrize(
    "source",
    [
        "nothing",
        "{% if unsubscribe_url %}x{% endif %}",
        "{{ 'x' if unsubscribe_url else 'y' }}",
        "{% set a = unsubscribe_url %}x",
        "{% macro m() %}" + U + "{% endmacro %}",
        "{{ unsubscribe_url is defined }}",
        "{% set ns = namespace(a=unsubscribe_url) %}{% set ns.a = 'x' %}{{ ns.a }}",
        "{% macro foot(unsubscribe_url) %}{{ unsubscribe_url }}{% endmacro %}{{ foot('x') }}",
        "{% for l, u in [('a', preferences_url)] %}{{ u }}{% endfor %}{% set x = unsubscribe_url %}",
        "{% set show = false %}{% if show %}" + U + "{% endif %}",
        "{% for x in [] %}" + U + "{% endfor %}",
        "{% set unsubscribe_url = '' %}" + U,
        # It leads nowhere.
        "{{ unsubscribe_url | upper }}",
        "{% filter upper %}" + U + "{% endfilter %}",
        "{% if variant is defined %}" + U + "{% endif %}",
    ],
)
def test_what_nobody_gets(told: Told, source: str) -> None:
    assert told(source) == [f"mail.txt.j2: {NONE}"]


@pytest.mark.parametrize(
    "source",
    [
        # Without the context there is no such name in what is imported.
        "{% from 'm.txt.j2' import foot %}{{ foot() }}",
        "{% import 'm.txt.j2' as m %}{{ m.foot() }}",
        "{% macro m(x) %}{{ m(x) }}{{ m(x) }}{% endmacro %}{{ m(unsubscribe_url) }}",
    ],
)
def test_of_whoever_gets_no_mail_at_all_nothing_is_told(told: Told, source: str) -> None:
    assert told(source) == []


@pytest.mark.parametrize(
    ("source", "line", "when"),
    [
        ("\n{% if profile.x %}" + U + "{% endif %}", 2, "profile.x is empty"),
        ("{% if not profile.x %}" + U + "{% endif %}", 1, "profile.x is 'x'"),
        ("{% if profile.x %}\n{% if profile.y %}" + U + "{% endif %}{% endif %}", 2, "profile.y is empty"),
        (
            "{% if profile.x %}" + U + "{% elif profile.y %}\n" + U + "{% endif %}",
            1,
            "profile.x is empty and profile.y is empty",
        ),
        (
            "{% if profile.n > 3 %}" + U + "{% endif %}{% if profile.n < 3 %}" + U + "{% endif %}",
            1,
            "profile.n is 3",
        ),
        (
            "{% if profile.x %}" + U + "{% endif %}{% if profile.x is none %}" + U + "{% endif %}",
            1,
            "profile.x has nothing in it",
        ),
        ("{% for x in profile.texts %}" + U + "{% endfor %}", 1, "profile.texts has nothing in it"),
        ("{% for x in [1, 2] if x > profile.n %}" + U + "{% endfor %}", 1, "profile.n is 3"),
        (
            "{% for x in event.items if x | length > 30 %}" + U + "{% endfor %}"
            "{% for x in event.items %}{% else %}" + U + "{% endfor %}",
            1,
            "event.items is ['items']",
        ),
        ("{{ unsubscribe_url if profile.x }}", 1, "profile.x is empty"),
        ("{{ profile.x | default(unsubscribe_url) }}", 1, "profile.x is 'x'"),
        ("{{ profile.x and unsubscribe_url or '' }}", 1, "profile.x is empty"),
        ("{{ profile.x or unsubscribe_url }}", 1, "profile.x is 'x'"),
        (
            "{% set a = '' %}{% if profile.x %}{% set a = unsubscribe_url %}{% endif %}{{ a }}",
            1,
            "profile.x is empty",
        ),
        (
            "{% set show = true %}\n{% if profile.x %}{% set show = false %}{% endif %}{% if show %}"
            + U
            + "{% endif %}",
            2,
            "profile.x is 'x'",
        ),
        (
            "{% macro m(x) %}{{ unsubscribe_url if x else '' }}{% endmacro %}\n{{ m(profile.x) }}",
            2,
            "profile.x is empty",
        ),
        (
            "{% macro m() %}{{ caller() }}{% endmacro %}{% if profile.x %}{% call m() %}"
            + U
            + "{% endcall %}{% endif %}",
            1,
            "profile.x is empty",
        ),
        # Of what somebody is who is told apart by a value that is written there.
        ("{% if profile.x == 'a' %}{% else %}" + U + "{% endif %}", 1, "profile.x is 'a'"),
        ("{% if profile.x == 'x' or not profile.x %}" + U + "{% endif %}", 1, "profile.x is 'z'"),
        ("{% if profile.n != -7 %}" + U + "{% endif %}", 1, "profile.n is -7"),
        ("{% if 10 < profile.n <= 100 %}{% else %}" + U + "{% endif %}", 1, "profile.n is 11"),
        ("{% if profile.f * 2.5 < 800 %}" + U + "{% endif %}", 1, "profile.f is 799.0"),
        ("{% if profile.b is not sameas false %}" + U + "{% endif %}", 1, "profile.b is false"),
        ("{% if profile.d.month != 12 %}" + U + "{% endif %}", 1, "profile.d is 2026-12-15"),
        ("{% if profile.d | date('yyyy') == '2026' %}" + U + "{% endif %}", 1, "profile.d is 2025-01-15"),
        (
            "{% if (logical_at.date() - profile.d).days < 90 %}" + U + "{% endif %}",
            1,
            "profile.d is 2025-10-17",
        ),
        ("{% if logical_at.month < 12 %}" + U + "{% endif %}", 1, "logical_at is 2026-12-15T09:00:00+00:00"),
        ("{% if profile.at.hour < 22 %}" + U + "{% endif %}", 1, "profile.at is 2026-01-15T22:30:00+00:00"),
        ("{% if profile.x | length < 9 %}" + U + "{% endif %}", 1, "profile.x is 'xxxxxxxxx'"),
        (
            "{% if profile.texts | length < 3 %}" + U + "{% endif %}",
            1,
            "profile.texts is ['texts', 'texts', 'texts']",
        ),
        ("{% if 'red' not in profile.texts %}" + U + "{% endif %}", 1, "profile.texts is ['red']"),
        ("{% if message_id[0] in '01234567' %}" + U + "{% endif %}", 1, f"message_id is '{'f' * 32}'"),
        ("{% if event.status in ['paid', 'open'] %}" + U + "{% endif %}", 1, "event.status is empty"),
        ("{% if event.status != 'void' %}" + U + "{% endif %}", 1, "event.status is 'void'"),
        (
            "{% if event.status in ['paid', 'open'] or not event.status %}" + U + "{% endif %}",
            1,
            "event.status is 'void'",
        ),
        ("{% if event.day > '2026-01-01' %}" + U + "{% endif %}", 1, "event.day is '2026-01-01'"),
        ("{% if event.day[:7] != '2026-02' %}" + U + "{% endif %}", 1, "event.day is '2026-02-15'"),
        ("{% if event.total < 1000 %}" + U + "{% endif %}", 1, "event.total is 1000.0"),
        # Who has something there and y not gets no mail.
        (
            "{% if profile.y is none %}{{ 'x' if profile.x is none else profile.y }}{% else %}"
            + U
            + "{% endif %}",
            1,
            "profile.y is empty and profile.x is empty",
        ),
        # By names of the template's own.
        (
            "{% macro m() %}{{ profile.x | default('') }}{% endmacro %}{% if m() %}" + U + "{% endif %}",
            1,
            "profile.x is empty",
        ),
        (
            "{% set a %}{{ profile.x | default('') }}{% endset %}{% if a %}" + U + "{% endif %}",
            1,
            "profile.x is empty",
        ),
        ("{% set most = 50 %}{% if profile.n < most %}" + U + "{% endif %}", 1, "profile.n is 50"),
        (
            "{% macro m(x) %}{% if x < 7 %}" + U + "{% endif %}{% endmacro %}\n{{ m(profile.n) }}",
            2,
            "profile.n is 7",
        ),
        ("{% set x = profile.x | lower %}{% if x != 'a' %}" + U + "{% endif %}", 1, "profile.x is 'a'"),
        (
            "{% for each in ['a', 'b'] if each == profile.x %}{% else %}" + U + "{% endfor %}",
            1,
            "profile.x is 'a'",
        ),
        (
            "{% set n = namespace(a=false) %}{% if profile.n > 9 %}{% set n.a = true %}{% endif %}\n"
            "{% if not n.a %}" + U + "{% endif %}",
            1,
            "profile.n is 10",
        ),
    ],
)
def test_for_whom_it_is_missing(told: Told, source: str, line: int, when: str) -> None:
    assert told(source) == [f"mail.txt.j2:{line}: {MISSING}{when}{REMEDY}"]


def test_the_place_may_be_in_what_is_imported(told: Told) -> None:
    source = "{% import 'p.txt.j2' as p with context %}{{ p.foot(unsubscribe_url) }}"
    assert told(source) == [
        f"p.txt.j2:2: the unsubscribe link of mail.txt.j2 is missing when profile.x is empty{REMEDY}"
    ]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (A, None),
        ("{% if profile.x %}<p>a</p>{% else %}<b>b</b>{% endif %}" + A, None),
        (
            "<p title='{{ profile.x }}'>{{ profile.y }}</p>{% if profile.n %}"
            + A
            + "{% else %}"
            + A
            + "{% endif %}",
            None,
        ),
        ("<p>" + U + "</p>", None),
        ("<p>x</p>", NONE),
        ("<!-- " + A + " -->", "the unsubscribe link stands where no reader sees it"),
        (
            "<style data-css-inline='ignore'>/* " + U + " */</style>",
            "the unsubscribe link stands where no reader sees it",
        ),
        ("<title>" + U + "</title>", "the unsubscribe link stands where no reader sees it"),
        ("<p data-x='" + U + "'>x</p>", "the unsubscribe link stands where no reader sees it"),
        ("<a href='" + U + "'></a>", "the unsubscribe link has no words, nor a picture with an alt text"),
        ("{% if profile.x %}" + A + "{% endif %}", f"{MISSING}profile.x is empty{REMEDY}"),
        (
            "{% if profile.x %}" + A + "{% else %}<!-- " + A + " -->{% endif %}",
            f"the unsubscribe link stands where no reader sees it when profile.x is empty{REMEDY}",
        ),
        (
            "<div{% if profile.n > 4 %} style='display:none'{% endif %}>" + A + "</div>",
            f"the unsubscribe link stands where no reader sees it when profile.n is 5{REMEDY}",
        ),
        (
            "<a href='" + U + "'>{{ profile.x or '' }}</a>",
            "the unsubscribe link has no words, nor a picture with an alt text when profile.x is empty"
            + REMEDY,
        ),
        (
            '<div style=\'display:{{ "none" if profile.b else "block" }}\'>' + A + "</div>",
            f"the unsubscribe link stands where no reader sees it when profile.b is true{REMEDY}",
        ),
    ],
)
def test_a_page_shows_it(
    found: Callable[..., list[TemplateProblem]], source: str, message: str | None
) -> None:
    assert [each.message for each in found({"mail.html.j2": source})] == (
        [] if message is None else [message]
    )


def test_the_text_part_that_is_derived_from_a_page_has_it_too(
    found: Callable[..., list[TemplateProblem]],
) -> None:
    assert found({"mail.html.j2": A, "mail.txt.j2": None}) == []
    assert [str(each) for each in found({"mail.html.j2": "x", "mail.txt.j2": None})] == [
        f"mail.html.j2: {NONE}"
    ]
    page = "<map name='m'>\n{% if profile.x %}LINK{% endif %}</map>"
    area = f"<area href='{U}' alt='off'>"
    [only] = found({"mail.html.j2": area, "mail.txt.j2": None})
    assert str(only) == (
        "mail.html.j2: the unsubscribe link of the text part that is derived from it is missing; "
        "write mail.txt.j2"
    )
    [some] = found({"mail.html.j2": page.replace("LINK", A) + area, "mail.txt.j2": None})
    assert str(some).startswith(
        "mail.html.j2:2: the unsubscribe link of the text part that is derived from it is missing when "
        "profile.x is empty;"
    )


def test_who_gets_another_file_is_not_asked_of(found: Callable[..., list[TemplateProblem]]) -> None:
    by_language = "{% if profile.language != 'sv' %}" + U + "{% endif %}"
    [problem] = found({"mail.txt.j2": by_language})
    assert problem.message == f"{MISSING}profile.language is 'sv'{REMEDY}"
    own = {"mail.sv.subject.j2": "Hej", "mail.sv.html.j2": A}
    swedish = "{% if profile.language == 'sv' %}" + U + "{% endif %}"
    assert found({"mail.txt.j2": by_language, **own, "mail.sv.txt.j2": swedish}) == []
    [problem] = found({"mail.txt.j2": by_language, **own, "mail.sv.txt.j2": by_language})
    assert str(problem) == f"mail.sv.txt.j2: {NONE}"


def test_a_run_may_be_for_any_day(found: Callable[..., list[TemplateProblem]]) -> None:
    source = "{% if logical_at.month < 12 %}" + U + "{% endif %}"
    [problem] = found({"mail.txt.j2": source}, event=None)
    assert problem.message == f"{MISSING}logical_at is 2026-12-15T09:00:00+00:00{REMEDY}"


def test_each_variant_is_asked_of(found: Callable[..., list[TemplateProblem]]) -> None:
    experiment = {
        "name": "tone",
        "variants": [{"name": "a"}, {"name": "b"}, {"name": "c", "templates": {"email": "other"}}],
    }
    other = {
        "other.subject.j2": "x",
        "other.html.j2": A,
        "other.txt.j2": "{% if variant == 'c' %}" + U + "{% endif %}",
    }
    by_variant = "{% if variant == 'a' %}" + U + "{% elif variant in ['b', 'd'] %}" + U + "{% endif %}"
    spec = {"experiment": experiment}
    assert found({**other, "mail.txt.j2": by_variant}, spec=spec) == []
    [problem] = found({**other, "mail.txt.j2": by_variant.replace("'b'", "'e'")}, spec=spec)
    assert str(problem) == f"mail.txt.j2: {NONE}"


MANY = {f"c{number:02}": "varchar" for number in range(30)}


def test_of_many_columns_every_two_are_tried_together(
    found: Callable[..., list[TemplateProblem]],
) -> None:
    columns = {name: MANY[name] for name in sorted(MANY)[:12]}
    noise = "".join(f"{{% if profile.{name} == 'a' %}}x{{% endif %}}" for name in columns)
    source = noise + "\n{% if not (profile.c03 == 'a' and profile.c07 == 'b') %}" + U + "{% endif %}"
    [problem] = found({"mail.txt.j2": source}, columns=columns)
    assert str(problem) == f"mail.txt.j2:2: {MISSING}profile.c03 is 'a' and profile.c07 is 'b'{REMEDY}"
    assert (
        found({"mail.txt.j2": source + "{% if profile.c03 == 'a' %}" + U + "{% endif %}"}, columns=columns)
        == []
    )


def test_of_very_many_that_all_matter_the_first_are_named(
    found: Callable[..., list[TemplateProblem]],
) -> None:
    source = "".join(f"{{% if profile.{name} %}}{U}{{% endif %}}" for name in MANY)
    [problem] = found({"mail.txt.j2": source}, columns=MANY)
    assert problem.message == (
        f"{MISSING}profile.c00 is empty and profile.c01 is empty and profile.c02 is empty and "
        f"profile.c03 is empty and profile.c04 is empty and 25 more like these{REMEDY}"
    )


def test_what_has_nothing_to_do_with_the_link_is_in_nobodys_way(
    found: Callable[..., list[TemplateProblem]],
) -> None:
    apart = "{% set ns = namespace(flag=false, n=0) %}" + "".join(
        f"{{% if profile.{name} %}}{{% set ns.flag = true %}}{{% set a{name} = ns.n %}}{{% endif %}}"
        for name in MANY
    )
    columns = {**MANY, "y": "varchar"}
    assert found({"mail.txt.j2": apart + "{% if ns.flag %}x{% endif %}" + U}, columns=columns) == []
    [problem] = found({"mail.txt.j2": apart + "\n{% if profile.y %}" + U + "{% endif %}"}, columns=columns)
    assert str(problem) == f"mail.txt.j2:2: {MISSING}profile.y is empty{REMEDY}"


def test_where_not_every_two_can_be_tried_it_is_advised(
    found: Callable[..., list[TemplateProblem]],
) -> None:
    source = "".join(f"{{% if profile.{name} == 'a' %}}{{{{ c }}}}{{% endif %}}" for name in MANY)
    source = "{% set c = unsubscribe_url %}{% if not profile.c00 == 'a' %}" + U + "{% endif %}" + source
    [problem] = found({"mail.txt.j2": source}, columns=MANY)
    assert (problem.file, problem.is_advisory) == ("mail.txt.j2", True)
    assert problem.message.startswith("it is not sure that every email has {{ unsubscribe_url }}")
    assert found({"mail.txt.j2": source + U}, columns=MANY) == []


def test_a_second_is_enough_or_it_is_advised(found: Callable[..., list[TemplateProblem]]) -> None:
    ticks = count()
    source = "{% if profile.x == 'a' %}" + U + "{% else %}" + U + "{% endif %}"
    assert found({"mail.txt.j2": source}) == []
    [problem] = found({"mail.txt.j2": source}, clock=lambda: next(ticks) * 0.6)
    assert (problem.file, problem.is_advisory) == ("mail.txt.j2", True)
