"""Whether a value is printed whichever way conditions turn out."""

from __future__ import annotations

from time import process_time

import pytest

from kundresa.content.environment import build_environment
from kundresa.content.every_way import Found, Gap, look

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
    plain = "{% macro foot(url) %}{{ url }}{% endmacro %}"
    found = look(
        environment.parse(source),
        LINK,
        always=frozenset({"message_id"}),
        constants={name.replace("__", "."): value for name, value in constants.items()},
        libraries={
            name: environment.parse(text) for name, text in (("m", ordered), ("n", library), ("o", plain))
        },
    )
    assert found.is_whole
    return None if found.gap is None else tuple((each.line, each.holds) for each in found.gap.branches)


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
        "{% from 'm' import foot with context %}{{ foot() }}",
        "{% import 'm' as m with context %}{{ m.foot() }}",
        "{% from 'n' import foot with context %}{{ foot() }}",
        "{% from 'o' import foot %}{{ foot(unsubscribe_url) }}",
        "{% import 'o' as o %}{{ o.foot(unsubscribe_url) }}",
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
        # Without the context there is no such name in what is imported.
        ("{% from 'm' import foot %}{{ foot() }}", ()),
        ("{% import 'm' as m %}{{ m.foot() }}", ()),
        ("{% set ns = namespace(a=unsubscribe_url) %}{% set ns.a = 'x' %}{{ ns.a }}", ()),
        ("{% macro foot(unsubscribe_url) %}{{ unsubscribe_url }}{% endmacro %}{{ foot('x') }}", ()),
        ("{% for l, u in [('a', preferences_url)] %}{{ u }}{% endfor %}{% set x = unsubscribe_url %}", ()),
        (
            "{% for x in event.items if x.price > 3 %}" + U + "{% endfor %}"
            "{% for x in event.items %}{% else %}" + U + "{% endfor %}",
            ((1, True), (1, False)),
        ),
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


def found_in(source: str) -> Found:
    environment = build_environment({})
    return look(environment.parse(source), LINK, always=frozenset({"profile"}))


@pytest.mark.parametrize(
    "source",
    [
        # By what is written in the template, and is not worked out.
        "{% set links = [unsubscribe_url] %}{% if links | first | length > 3 %}" + U + "{% endif %}",
        "{% for x in [1, 2] if x > 1 %}" + U + "{% endfor %}",
        # Several that read one column, of which nobody may be.
        "{% if profile.x < 3 %}"
        + U
        + "{% elif profile.x == 3 %}"
        + U
        + "{% elif profile.x > 3 %}"
        + U
        + "{% endif %}",
        "{% if profile.x == true %}"
        + U
        + "{% elif profile.x == false %}"
        + U
        + "{% elif profile.x is none %}"
        + U
        + "{% endif %}",
        "{% if profile.x | lower == 'a' %}" + U + "{% elif profile.x | lower != 'a' %}"
        "{% if profile.x | upper != 'A' %}" + U + "{% endif %}{% endif %}",
        # What a macro sets in a namespace.
        "{% set n = namespace() %}{% macro m() %}{% set n.a = "
        + LINK
        + " %}{% endmacro %}{{ m() }}{{ n.a }}",
        # A macro that is got at by a detour.
        "{% macro m() %}" + U + "{% endmacro %}{{ [m][0]() if profile.x else (m or m)() }}",
        "{% macro m(n) %}{% if n > 0 %}{{ m(n - 1) }}{% else %}" + U + "{% endif %}{% endmacro %}{{ m(3) }}",
    ],
)
def test_of_what_it_cannot_follow_nothing_is_said_for_sure(source: str) -> None:
    found = found_in(source)
    assert found.gap is None


def test_what_has_nothing_to_do_with_the_link_is_not_walked() -> None:
    apart = "{% set ns = namespace(flag=false, n=0) %}" + "".join(
        f"{{% if profile.c{number} %}}{{% set ns.flag = true %}}{{% set a{number} = ns.n %}}{{% endif %}}"
        for number in range(30)
    )
    assert found_in(apart + "{% if ns.flag %}x{% endif %}" + U) == Found(None)
    gap = found_in(apart + "\n{% if profile.y %}" + U + "{% endif %}").gap
    assert gap is not None
    assert [(each.line, each.holds) for each in gap.branches] == [(2, False)]


def test_a_page_of_very_many_conditions_is_given_up() -> None:
    conditions = "".join(f"{{% if profile.c{number} %}}{U}{{% endif %}}" for number in range(30))
    assert found_in(conditions).gap is not None  # the last way of all that are looked at first
    spread = "".join(
        f"{{% if profile.c{number} %}}{{% set a{number} = unsubscribe_url %}}{{% endif %}}"
        for number in range(30)
    )
    shown = "".join(f"{{{{ a{number} }}}}" for number in range(30))
    assert found_in(spread + shown) == Found(None, is_whole=False)
    assert found_in(spread + shown + U) == Found(None)
    assert found_in("{% set unsubscribe_url = '' %}" + U).gap == Gap(())


COUNTED = "{% set ns.n = ns.n + 1 %}{{ ns.n }}"
GROWN = "{% set t = t ~ 'x' if t else t %}"


@pytest.mark.parametrize(
    ("source", "is_found"),
    [
        ("{% set ns = namespace(n=0) %}" + COUNTED * 40 + U, True),
        ("{% set ns = namespace(n=0) %}" + COUNTED * 400 + U, True),
        ("{% set n = 0 %}" + "{% set n = n + n %}{{ n }}" * 40 + U, True),
        ("{% set t = 'x' %}" + GROWN * 40 + "{{ t }}" + U, True),
        ("{% set t = profile.x %}" + GROWN * 40 + "{% if t %}" + U + "{% else %}" + U + "{% endif %}", None),
        ("{% set l = [1] %}" + "{% set l = [l, l] %}" * 40 + "{% if l %}" + U + "{% endif %}", True),
        ("{% set t = unsubscribe_url %}" + "{% set t = t ~ t %}" * 40 + "{{ t }}", True),
        (
            "".join(
                f"{{% macro m{n + 1}(x) %}}{{{{ m{n}(x) }}}}{{{{ m{n}(x) }}}}{{% endmacro %}}"
                for n in range(18)
            )
            + "{% macro m0(x) %}{{ x if profile.x and false }}{% endmacro %}{{ m18(unsubscribe_url) }}",
            None,
        ),
        ("{% macro m(x) %}{{ m(x) }}{{ m(x) }}{% endmacro %}{{ m(unsubscribe_url) }}", None),
    ],
)
def test_the_time_that_it_takes_is_bounded(source: str, is_found: bool | None) -> None:
    tree = build_environment({}).parse(source)
    began = process_time()
    found = look(tree, LINK, always=frozenset({"profile"}))
    assert process_time() - began < 1
    assert found == Found(None) if is_found else found.gap is None
