"""What a campaign names must exist."""

from __future__ import annotations

from kundresa.spec.loading import load_campaign
from kundresa.spec.references import check_references

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
