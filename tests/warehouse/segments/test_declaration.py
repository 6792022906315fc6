"""A list of segments that is wrong is refused, with the segment and the reason; the macros, without dbt."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

MACROS = Path(__file__).resolve().parents[3] / "dbt_project" / "macros" / "segments"
BOUNDS = {"min": None, "max": None, "max_change_percent": 50, "free_change": 100}
OK = {"where": "total_spend > 1", "description": "d"}


class Refused(Exception):
    """What dbt shows as a compilation error."""


class _Return(Exception):
    """How a macro gives more than text, as in dbt."""


_MACRO = re.compile(r"\{% macro (\w+).*?\{%- endmacro %\}", re.DOTALL)
VARIABLES: dict[str, Any] = {}


@cache
def _environment() -> dict[str, Callable[..., Any]]:
    """The macros about the list, in an environment with the part of dbt's context that they use."""

    def give(value: Any) -> None:
        raise _Return(value)

    def refuse(message: str) -> None:
        raise Refused(message)

    environment = jinja2.Environment(
        extensions=["jinja2.ext.do"], autoescape=False, undefined=jinja2.Undefined
    )
    environment.globals |= {
        "var": lambda name, default=None: VARIABLES.get(name, default),
        "return": give,
        "exceptions": SimpleNamespace(raise_compiler_error=refuse),
        "modules": SimpleNamespace(re=re, datetime=datetime),
        "render": lambda text: text,
        "literal": lambda text: f"'{text}'",
        "bucket": lambda salt, profile_id: f"bucket({salt}, {profile_id})",
        "ref": lambda name: name,
        "execute": False,
    }
    for file in sorted(MACROS.glob("*.sql")):
        # Each by itself, as dbt does: macros of one file would call each other past the environment.
        for source in _MACRO.finditer(file.read_text()):
            environment.globals[source[1]] = _returning(environment, source[0], source[1])
    return environment.globals


def _returning(environment: jinja2.Environment, source: str, name: str) -> Callable[..., Any]:
    @cache
    def macro() -> Callable[
        ..., Any
    ]:  # compiled when all are there: a template keeps the names it began with
        found: Callable[..., Any] = getattr(environment.from_string(source).module, name)
        return found

    def call(*arguments: Any, **named: Any) -> Any:
        try:
            return macro()(*arguments, **named)
        except _Return as returned:
            return returned.args[0]

    return call


def _macros(listed: Any) -> dict[str, Callable[..., Any]]:
    VARIABLES.update({"segments": listed, "segment_bounds": BOUNDS})
    return _environment()


def read(listed: Any) -> Any:
    return _macros(listed)["all_segments"]()


def condition(listed: Any, name: str) -> str:
    macros = _macros(listed)
    return str(macros["segment_condition"](macros["all_segments"](), name))


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (["lapsed"], "must be a mapping, one name per segment"),
        ({"Lapsed": OK}, "segment Lapsed: a name is lower case"),
        ({"9lives": OK}, "segment 9lives: a name is lower case"),
        ({"a" * 64: OK}, "at most 63"),
        ({"segment_one": OK}, "segment segment_one: names that begin with segment_"),
        ({"lapsed": "total_spend > 1"}, "segment lapsed: must be a mapping"),
        (
            {"lapsed": {"wher": "x > 1", "description": "d"}},
            "there is no key 'wher' in a declared segment; there are",
        ),
        ({"lapsed": {"sql": True, "where": "x"}}, "there is no key 'where' beside sql: true"),
        ({"lapsed": {"sql": "select 1"}}, "sql: is true"),
        ({"lapsed": {**OK, "entity": "order"}}, "there is no key 'entity' in a declared segment"),
        ({"lapsed": {"sql": True, "entity": "an order"}}, "entity: must be a name"),
        ({"lapsed": {"description": "d"}}, "says of nobody that they are in it"),
        ({"lapsed": {"description": "d", "none_of": ["other"]}, "other": OK}, "says of nobody"),
        ({"lapsed": {"where": "x > 1"}}, "segment lapsed: has no description"),
        ({"lapsed": {"where": "x > 1", "description": " "}}, "segment lapsed: has no description"),
        ({"lapsed": {"where": True, "description": "d"}}, "where: must be a condition"),
        ({"lapsed": {"all_of": "other", "description": "d"}, "other": OK}, "all_of: must be a list"),
        ({"lapsed": {"any_of": [], "where": "x", "description": "d"}}, "any_of: must be a list"),
        ({"lapsed": {**OK, "sources": "shop.orders"}}, "sources: must be a list"),
        (
            {"lapsed": {**OK, "all_of": ["laps"]}},
            "segment lapsed: there is no segment 'laps'; there are lapsed",
        ),
        ({"lapsed": {**OK, "none_of": ["lapsed"]}}, "segment lapsed refers to itself: lapsed → lapsed"),
        (
            {
                "entry": {**OK, "all_of": ["a"]},
                "a": {**OK, "all_of": ["b"]},
                "b": {**OK, "any_of": ["c"]},
                "c": {**OK, "none_of": ["a"]},
            },
            "segment a refers to itself: a → b → c → a",
        ),
        ({"lapsed": {**OK, "sample": 10}}, "sample: has percent or between"),
        ({"lapsed": {**OK, "sample": {"percent": 10, "seed": 1}}}, "sample: has percent or between"),
        ({"lapsed": {**OK, "sample": {"percent": 0}}}, "percent is above 0"),
        ({"lapsed": {**OK, "sample": {"percent": 101}}}, "percent is above 0"),
        ({"lapsed": {**OK, "sample": {"percent": "10"}}}, "percent is above 0"),
        ({"lapsed": {**OK, "sample": {"between": [60, 30]}}}, "the smaller first"),
        ({"lapsed": {**OK, "sample": {"between": [30]}}}, "the smaller first"),
        ({"lapsed": {**OK, "top": {"n": 5}}}, "top: has by"),
        ({"lapsed": {**OK, "top": {"by": "total_spend", "n": 0}}}, "top: has by"),
        ({"lapsed": {**OK, "top": {"by": "total_spend", "n": 1.5}}}, "top: has by"),
        ({"lapsed": {**OK, "top": {"by": "total_spend", "n": 5, "order": "down"}}}, "top: has by"),
        ({"lapsed": {**OK, "bounds": [1, 2]}}, "bounds: must be a mapping"),
        ({"lapsed": {**OK, "bounds": {"minimum": 1}}}, "bounds: are min, max"),
        ({"lapsed": {**OK, "bounds": {"min": "many"}}}, "each a number or null"),
        ({"lapsed": {**OK, "bounds": {"min": -1}}}, "each a number or null"),
    ],
)
def test_a_wrong_list_is_refused(listed: Any, said: str) -> None:
    with pytest.raises(Refused, match=re.escape(said)) as refusal:
        read(listed)
    assert "dbt_project.yml" in str(refusal.value)


def test_the_project_s_own_list_is_right(project_list: dict[str, Any]) -> None:
    assert sorted(read(project_list)) == sorted(project_list)


def test_own_bounds_go_over_the_defaults_one_by_one() -> None:
    listed = {"lapsed": {**OK, "bounds": {"max": 5, "max_change_percent": None}}}
    assert read(listed)["lapsed"]["bounds"] == {
        "min": None,
        "max": 5,
        "max_change_percent": None,
        "free_change": 100,
    }


def test_conditions_are_put_together_with_brackets() -> None:
    listed = {
        "a": {"where": "x = 1 or y = 2", "description": "d"},
        "b": {"where": "z", "none_of": ["a"], "description": "d"},
        "c": {"any_of": ["a", "b"], "all_of": ["b"], "description": "d"},
    }
    a = "coalesce((x = 1 or y = 2), false)"
    b = f"coalesce((z), false) and not ({a})"
    assert condition(listed, "c") == f"({b}) and (({a}) or ({b}))"


def test_a_percentage_is_exact_to_two_decimals() -> None:
    """9.99 * 100 is 999.0000000000001 in binary."""
    listed = {"a": {**OK, "sample": {"percent": 9.99}}}
    assert "bucket('sample|a', profile_id) >= 0 and bucket('sample|a', profile_id) < 999)" in condition(
        listed, "a"
    )


@given(st.lists(st.integers(1, 99), unique=True, max_size=6).map(sorted))
def test_ranges_that_meet_share_out_every_bucket(cuts: list[int]) -> None:
    ends = [0, *cuts, 100]
    listed = {
        f"part_{low}": {**OK, "sample": {"between": [low, high], "salt": "s"}} for low, high in pairwise(ends)
    }
    ranges = sorted((each["sample"]["from"], each["sample"]["to"]) for each in read(listed).values())
    assert [bucket for low, high in ranges for bucket in range(low, high)] == list(range(10_000))


@given(st.integers(1, 200))
def test_each_segment_has_a_bit_of_its_own(count: int) -> None:
    macros = _macros({})
    places = macros["mark_places"]([f"s{number}" for number in range(count)])
    taken = {(place["word"], place["bit"]) for place in places.values()}
    assert len(taken) == count
    assert {word for word, _ in taken} == set(range(1, macros["words_of"](list(places)) + 1))
    assert max(bit for _, bit in taken) < 2**63
