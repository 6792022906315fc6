"""What a campaign names must exist."""

from __future__ import annotations

from kundresa.spec.loading import load_campaign
from kundresa.spec.policies import Policies, load_policies
from kundresa.spec.references import check_policy_references, check_references, check_window

SEGMENTS = {
    "lapsed_customers": "…",
    "recent_buyers": "…",
    "open_complaints": "…",
}


def test_known_segments_are_fine(folder):
    path = folder()
    assert check_references(load_campaign(path), path, segments=SEGMENTS) == []


def test_each_unknown_segment_is_named_at_its_place(folder, spec_text, tmp_path):
    path = folder(spec_text.replace("[lapsed_customers]", "\n    - lapsed_custmers\n    - vips"))
    problems = check_references(
        load_campaign(path), path, segments=SEGMENTS, relative_to=tmp_path / "campaigns"
    )
    first, second = (str(problem).removeprefix("winback/campaign.yaml:") for problem in problems)
    assert first == (
        "6: audience.include[0]: there is no segment 'lapsed_custmers'; did you mean 'lapsed_customers'?"
    )
    assert second == "7: audience.include[1]: there is no segment 'vips' among the 3 of the dbt project"
    assert problems[0].column == 7


def test_excluded_segments_are_checked_too(folder, spec_text):
    path = folder(spec_text.replace("recent_buyers]", "recent_buyer]"))
    [problem] = check_references(load_campaign(path), path, segments=SEGMENTS)
    assert (problem.key, problem.suggestion) == ("audience.exclude[1]", "recent_buyers")


def test_a_file_that_broke_since_it_was_loaded_is_a_problem_not_a_crash(folder):
    path = folder()
    campaign = load_campaign(path)
    (path / "campaign.yaml").write_text("owner: [")
    [problem] = check_references(campaign, path, segments=SEGMENTS)
    assert problem.message.startswith("not YAML")


SCORED = """\
priority_score: value
"""


def test_a_score_that_the_project_has_is_fine(folder, spec_text):
    spec = spec_text.replace("audience:", "audience:\n  max_size: {messages: 10, score: recency}") + SCORED
    path = folder(spec)
    known = {"value": "total_spend", "recency": "-days_since_last_order"}
    assert check_references(load_campaign(path), path, segments=SEGMENTS, scores=known) == []


def test_an_unknown_score_is_named_with_the_nearest(folder, spec_text):
    spec = spec_text.replace("audience:", "audience:\n  max_size: {messages: 10, score: recensy}")
    path = folder(spec + "priority_score: worth\n")
    problems = check_references(
        load_campaign(path), path, segments=SEGMENTS, scores={"value": "", "recency": ""}
    )
    assert {(each.key, each.message, each.suggestion) for each in problems} == {
        ("audience.max_size.score", "there is no score 'recensy'", "recency"),
        ("priority_score", "there is no score 'worth' among the 2 of dbt_project.yml", None),
    }


def test_no_score_is_asked_for_where_none_is_named(folder, spec_text):
    path = folder(spec_text.replace("audience:", "audience:\n  max_size: {messages: 10}"))
    assert check_references(load_campaign(path), path, segments=SEGMENTS, scores=()) == []


def test_an_unknown_rule_set_is_named_and_default_is_always_there(folder, spec_text):
    path = folder(spec_text + "rule_sets: [default, promotoins]\n")
    campaign = load_campaign(path)
    [problem] = check_references(campaign, path, segments=SEGMENTS, rule_sets=["promotions"])
    assert (problem.key, problem.message, problem.suggestion) == (
        "rule_sets[1]",
        "there is no rule set 'promotoins'",
        "promotions",
    )
    assert check_references(campaign, path, segments=SEGMENTS, rule_sets=None) == []


def test_what_caps_are_counted_per_is_a_column_of_profiles(tmp_path):
    (tmp_path / "policies.yaml").write_text(
        """\
pressure:
  default:
    - {name: weekly, max: 3, within: 7d}
    - {name: household, max: 2, within: 7d, counted_per: houshold_id}
    - {name: town, max: 2, within: 7d, counted_per: region}
"""
    )
    policies = load_policies(tmp_path)
    columns = {"profile_id": "", "household_id": "", "region": ""}
    [problem] = check_policy_references(policies, tmp_path, columns=columns, relative_to=tmp_path)
    assert str(problem) == (
        "policies.yaml:4: pressure.default[1].counted_per: there is no column 'houshold_id'; "
        "did you mean 'household_id'?"
    )


def test_who_draws_on_a_capacity_is_a_campaign_that_there_is(tmp_path):
    (tmp_path / "policies.yaml").write_text(
        """\
capacities:
  - {name: desk, max: 3, period: day, campaigns: [winback, wineback]}
  - {name: all, max: 3, period: day}
"""
    )
    policies = load_policies(tmp_path)
    [problem] = check_policy_references(
        policies, tmp_path, columns={}, campaigns=["winback"], relative_to=tmp_path
    )
    assert str(problem) == (
        "policies.yaml:2: capacities[0].campaigns[1]: there is no campaign 'wineback'; "
        "did you mean 'winback'?"
    )


def test_whose_pace_it_is_is_an_account_that_a_campaign_sends_through(tmp_path):
    (tmp_path / "policies.yaml").write_text(
        "pacing:\n  texts: {per_second: 5}\n  newsleter: {per_second: 50}\n"
    )
    policies = load_policies(tmp_path)

    def check(accounts):
        return check_policy_references(
            policies, tmp_path, columns={}, accounts=accounts, relative_to=tmp_path
        )

    [problem] = check({"newsletter", "texts"})
    assert str(problem) == (
        "policies.yaml:3: pacing.newsleter: there is no account 'newsleter'; did you mean 'newsletter'?"
    )
    assert check(None) == [], "a campaign that cannot be read may be the one that names it"


def test_without_a_file_policies_name_nothing(tmp_path):
    assert check_policy_references(load_policies(tmp_path), tmp_path, columns={}) == []


def test_policies_that_broke_since_they_were_loaded_are_a_problem_not_a_crash(tmp_path):
    policies = load_policies(tmp_path)
    (tmp_path / "policies.yaml").write_text("topics: [")
    [problem] = check_policy_references(policies, tmp_path, columns={})
    assert problem.message.startswith("not YAML")


NIGHT = {"start": "20:00", "end": "08:00"}


def window_problems(folder, spec_text, window: str, *quiet_hours, consent: str = "yes"):
    path = folder(spec_text + f"send_time: {{window: {window}}}\n")
    topics = {"offers": {"consent": consent, "because": "Part of the order."}}
    policies = Policies.model_validate({"topics": topics, "quiet_hours": quiet_hours})
    return check_window(load_campaign(path), path, policies)


def test_a_window_that_quiet_hours_cover_is_named_at_its_place(folder, spec_text):
    [problem] = window_problems(folder, spec_text, "{start: '20:00', end: '08:00'}", NIGHT)
    assert (problem.key, problem.line) == ("send_time.window", 15)
    assert "nothing would ever leave" in problem.message


def test_a_window_with_a_minute_outside_the_quiet_hours_is_fine(folder, spec_text):
    assert window_problems(folder, spec_text, "{start: '20:00', end: '08:01'}", NIGHT) == []


def test_quiet_hours_that_do_not_hold_for_the_campaign_cover_nothing(folder, spec_text):
    evening = "{start: '21:00', end: '22:00'}"
    assert window_problems(folder, spec_text, evening, NIGHT | {"countries": ["FR"]}) == []


def test_an_exempt_campaign_has_no_quiet_hours_to_be_covered_by(folder, spec_text):
    assert window_problems(folder, spec_text, "{start: '21:00', end: '22:00'}", NIGHT, consent="exempt") == []
