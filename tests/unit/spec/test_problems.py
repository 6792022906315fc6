"""Problems as people read them."""

from __future__ import annotations

import pytest

from kundresa.spec.problems import SpecError, SpecProblem, alternatives, misspelt, nearest, shown


def test_a_problem_is_one_line_that_a_terminal_can_jump_to():
    problem = SpecProblem(
        file="a/campaign.yaml",
        line=12,
        column=3,
        key="audience.includ",
        message="unknown key",
        suggestion="include",
    )
    assert str(problem) == "a/campaign.yaml:12: audience.includ: unknown key; did you mean 'include'?"
    assert str(SpecProblem(file="a.j2", line=2, message="no end")) == "a.j2:2: no end"


def test_an_error_holds_all_problems_in_the_order_of_the_file():
    late, early = (SpecProblem(file="a", line=line, message="x") for line in (10, 9))
    error = SpecError([late, early])
    assert error.problems == (early, late)
    assert str(error) == "a:9: x\na:10: x"


@pytest.mark.parametrize(
    ("word", "valid", "expected"),
    [
        ("includ", ["include", "exclude"], "include"),
        ("Include", ["include", "exclude"], "include"),
        ("channel-choice", ["channels", "channel_choice"], "channel_choice"),
        ("lapsed_custmers", ["lapsed_customers", "recent_buyers"], "lapsed_customers"),
        ("first", ["first_possible", "all"], "first_possible"),
        ("emial", ["email", "sms"], "email"),
        ("colour", ["holdout", "priority"], None),
        ("", ["email"], None),
        ("x", ["xyz"], None),
        ("email", [], None),
        ("x" * 1_000_000, ["email"], None),
    ],
)
def test_nearest(word, valid, expected):
    assert nearest(word, valid) == expected


def test_alternatives():
    assert alternatives(["a"]) == "'a'"
    assert alternatives(["a", "b"]) == "'a' or 'b'"
    assert alternatives(["a", "b", "c"]) == "'a', 'b' or 'c'"


def test_shown_is_printable_short_and_on_one_line():
    assert shown("a\r\nb\x1b[31m") == "'a\\r\\nb\\x1b[31m'"
    assert shown("å👋") == "'å👋'"
    assert shown("x" * 100) == "'" + "x" * 60 + "…'"
    shown("\ud800").encode()


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("dat", "data"),
        ("tiem", "time"),
        ("Time", "time"),
        ("subejct", "subject"),
        ("sbjct", "subject"),
        ("subjectes", "subject"),
        ("tpye", None),
        ("daat", "data"),
        ("dataref", None),
        ("ref", None),
        ("sbj", None),
        ("", None),
        ("x" * 100_000, None),
    ],
)
def test_only_a_slip_is_taken_for_a_slip(word, meant):
    assert misspelt(word, ("id", "data", "time", "subject")) == meant
