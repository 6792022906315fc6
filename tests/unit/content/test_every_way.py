"""Whether a value is printed whichever way conditions turn out."""

from __future__ import annotations

import pytest

from kundresa.content.environment import build_environment
from kundresa.content.every_way import MOST_WAYS, look, macros_of

LINK = "unsubscribe_url"


def told(source: str, **constants: object) -> tuple[tuple[int, bool], ...] | None:
    """Line and turn of each condition on a way without the link; None when there is no such way."""
    environment = build_environment({})
    library = (
        "{% macro foot() %}{{ url() }}{% endmacro %}{% macro url() %}{{ unsubscribe_url }}{% endmacro %}"
    )
    ordered = (
        "{% macro url() %}{{ unsubscribe_url }}{% endmacro %}{% macro foot() %}{{ url() }}{% endmacro %}"
    )
    found = look(
        environment.parse(source),
        LINK,
        always=frozenset({"message_id"}),
        constants={name.replace("__", "."): value for name, value in constants.items()},
        macros={name: macros_of(environment.parse(text)) for name, text in (("m", ordered), ("n", library))},
    )
    assert found.is_whole
    return None if found.gap is None else tuple((each.line, each.holds) for each in found.gap.turns)


U = "{{ unsubscribe_url }}"


@pytest.mark.parametrize(
    "source",
    [
        U,
        "{{ 'x' ~ unsubscribe_url }}",
        "{{ unsubscribe_url | upper }}",
        "{% if profile.x %}" + U + "{% else %}" + U + "{% endif %}",
        "{% if profile.x %}" + U + "{% endif %}{% if not profile.x %}" + U + "{% endif %}",
        "{% if profile.x == 3 %}" + U + "{% endif %}{% if 3 != profile.x %}" + U + "{% endif %}",
        "{% if profile.x > 3 %}" + U + "{% endif %}{% if profile.x <= 3 %}" + U + "{% endif %}",
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
        "{% from 'm' import foot %}{{ foot() }}",
        "{% import 'm' as m %}{{ m.foot() }}",
        "{% for x in [1, 2] %}" + U + "{% endfor %}",
        "{% for x in range(3) %}{% if loop.last %}" + U + "{% endif %}{% endfor %}",
        "{% for x in profile.a %}" + U + "{% else %}" + U + "{% endfor %}",
        "{% filter upper %}" + U + "{% endfilter %}",
        "{% block b %}" + U + "{% endblock %}",
        "{{ profile.x | default(unsubscribe_url) }}" + U,
        "{% autoescape true %}" + U + "{% endautoescape %}",
    ],
)
def test_what_is_always_printed(source: str) -> None:
    assert told(source) is None


@pytest.mark.parametrize(
    ("source", "turns"),
    [
        ("nothing", ()),
        ("{% if unsubscribe_url %}x{% endif %}", ()),
        ("{{ 'x' if unsubscribe_url else 'y' }}", ()),
        ("{% set a = unsubscribe_url %}x", ()),
        ("{% macro m() %}" + U + "{% endmacro %}", ()),
        ("{{ unsubscribe_url is defined }}", ()),
        ("{% set show = false %}{% if show %}" + U + "{% endif %}", ()),
        ("{% for x in [] %}" + U + "{% endfor %}", ()),
        ("\n{% if profile.x %}" + U + "{% endif %}", ((2, False),)),
        ("{% if not profile.x %}" + U + "{% endif %}", ((1, True),)),
        ("{% if profile.x %}\n{% if profile.y %}" + U + "{% endif %}{% endif %}", ((2, False),)),
        ("{% if profile.x %}" + U + "{% elif profile.y %}\n" + U + "{% endif %}", ((1, False), (1, False))),
        (
            "{% if profile.x > 3 %}" + U + "{% endif %}{% if profile.x < 3 %}" + U + "{% endif %}",
            ((1, False),) * 2,
        ),
        (
            "{% if profile.x %}" + U + "{% endif %}{% if profile.x is none %}" + U + "{% endif %}",
            ((1, False),) * 2,
        ),
        ("{% for x in profile.a %}" + U + "{% endfor %}", ((1, False),)),
        ("{% for x in [1, 2] if x > profile.n %}" + U + "{% endfor %}", ((1, False),)),
        ("{{ unsubscribe_url if profile.x }}", ((1, False),)),
        ("{{ profile.x | default(unsubscribe_url) }}", ((1, False),)),
        ("{{ profile.x and unsubscribe_url }}", ((1, False),)),
        ("{{ profile.x or unsubscribe_url }}", ((1, True),)),
        (
            "{% set a = '' %}{% if profile.x %}{% set a = unsubscribe_url %}{% endif %}{{ a }}",
            ((1, False),),
        ),
        (
            "{% set show = true %}\n{% if profile.x %}{% set show = false %}{% endif %}{% if show %}"
            + U
            + "{% endif %}",
            ((2, True),),
        ),
        (
            "{% macro m(x) %}{{ unsubscribe_url if x else '' }}{% endmacro %}\n{{ m(profile.x) }}",
            ((1, False),),
        ),
        (
            "{% macro m() %}{{ caller() }}{% endmacro %}{% if profile.x %}{% call m() %}"
            + U
            + "{% endcall %}{% endif %}",
            ((1, False),),
        ),
    ],
)
def test_what_is_not(source: str, turns: tuple[tuple[int, bool], ...]) -> None:
    assert told(source) == turns


def test_what_is_known_of_everybody_who_gets_a_file_is_not_asked() -> None:
    by_variant = "{% if variant == 'a' %}" + U + "{% elif variant in ['b', 'c'] %}" + U + "{% endif %}"
    assert told(by_variant, variant="a") is None
    assert told(by_variant, variant="c") is None
    assert told(by_variant, variant="d") == ()
    by_language = "{% if profile.language == 'sv' %}" + U + "{% endif %}"
    assert told(by_language, profile__language="sv") is None
    assert told(by_language) == ((1, False),)


def test_a_macro_that_calls_a_later_one_of_its_library_is_not_followed() -> None:
    """Which is said as missing: it can be put right in one line, and a mail without the link cannot."""
    assert told("{% from 'n' import foot %}{{ foot() }}") == ()


def test_a_page_of_very_many_conditions_is_given_up() -> None:
    conditions = "".join(f"{{% if profile.c{number} %}}{U}{{% endif %}}" for number in range(30))
    found = look(build_environment({}).parse(conditions), LINK)
    assert found.gap is not None  # the last way of all that are looked at first
    spread = "".join(
        f"{{% if profile.c{number} %}}{{% set a{number} = unsubscribe_url %}}{{% endif %}}"
        for number in range(30)
    )
    found = look(build_environment({}).parse(spread + U), LINK)
    assert found.gap is None
    assert not found.is_whole
    assert MOST_WAYS < 2**30
