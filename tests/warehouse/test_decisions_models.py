"""The decision and measurement models themselves: their unit tests, and their words."""

from __future__ import annotations

import shutil

import pytest

from kundresa import warehouse
from kundresa.spec.vocabulary import ChannelKind, DecisionReason, DeliveryReason, MessageState, Verdict
from kundresa.warehouse.dbt import Dbt
from kundresa.warehouse.decisions import DECIDE, use_published
from kundresa.warehouse.schemas import EXPORTS, PUBLISHED
from kundresa.warehouse.workspace import decide_workspace


def test_all_models_build_on_nothing_and_their_unit_tests_pass(home, world, publish, manifest):
    publish(home, world)
    build = warehouse.current_build(home)
    tests = ("build", "--select", "tag:decide", "tag:measure")
    result = Dbt(decide_workspace(home)).invoke([use_published(build.path), tests])
    ran = {node.node: node.status for node in result.commands[-1].nodes}
    assert set(ran.values()) <= {"success", "pass"}
    # A guard that proves that it looked: each of these must have run.
    assert {
        "candidates_are_members_of_an_included_segment",
        "holdout_takes_the_buckets_below_its_percent",
        "variants_own_their_range_of_buckets",
        "what_was_said_under_a_former_id_is_said_by_the_person",
        "the_latest_answer_is_the_consent",
        "a_suppressed_address_is_suppressed_on_its_channel_only",
        "one_person_per_address_the_smallest_id",
        "first_possible_falls_back_and_all_does_not_choose",
        "the_first_failing_rule_is_the_reason_and_all_are_kept",
        "batches_are_slices_of_what_is_to_be_sent",
        "a_run_with_lines_in_the_record_is_not_decided_again",
        "who_got_the_campaign_since_then_has_it_already",
        "the_sample_is_the_buckets_below_its_percent",
        "the_global_holdout_is_other_people_in_the_next_period",
        "field_report_15_who_wants_no_marketing_still_gets_what_they_ordered",
        "a_topic_needs_a_yes_or_no_no_and_a_no_always_counts",
        "only_those_on_the_allow_list_where_there_is_one",
        "one_per_person_is_the_entity_that_entered_last",
        "preferred_is_the_channel_engaged_with_last",
        "the_best_scored_go_up_to_the_maximum",
        "equals_go_by_a_hash_of_the_person",
        "a_line_leaves_when_its_zone_opens",
        "who_has_no_zone_leaves_when_the_runs_own_choice_opens",
        "who_is_written_to_in_which_hour",
        "without_any_reaction_nobody_has_a_best_hour",
        "a_batch_has_one_send_time",
        "a_batch_is_of_one_wave",
        "a_person_is_in_the_wave_of_their_bucket",
        "places_in_a_counted_wave_go_to_who_can_be_written_to",
        "a_wave_leaves_at_its_start_or_when_its_zone_opens_from_then_on",
        "a_rolling_cap_counts_what_is_less_than_its_window_away_on_both_sides",
        "a_calendar_cap_counts_the_period_of_the_persons_own_zone",
        "lines_are_considered_by_priority_then_date_then_run_then_person",
        "the_reason_is_the_cap_that_earlier_messages_have_reached_first",
        "earlier_messages_are_those_that_somebody_got_or_still_may",
        "a_cap_counts_journeys_about_topics_that_no_run_has",
        "without_caps_nothing_competes",
        "a_day_of_a_journey_is_delivered_like_a_run",
        "a_day_of_a_journey_with_news_is_replaced_as_a_whole",
        "every_message_of_a_journey_has_one_outcome",
        "days_of_journeys_are_counted_like_runs",
        "a_journeys_performance_counts_each_outcome_per_step",
        "each_message_counts_once_per_kind_of_reaction",
        "reactions_are_counted_again_when_there_is_more_of_them",
        "reactions_to_journeys_are_counted_per_step_and_version",
        "a_campaigns_reactions_stand_beside_what_it_sent",
        "a_steps_reactions_stand_beside_what_it_sent",
        "places_go_by_priority_then_score_then_hash_up_to_the_capacity",
        "earlier_messages_take_places_in_their_own_period",
        "who_has_no_place_in_one_capacity_takes_none_in_the_next",
        "a_budget_is_spent_up_to_the_first_that_does_not_fit",
        "a_months_budget_is_shared_by_its_runs",
        "without_capacity_or_budget_everything_has_room",
        "a_provider_gets_a_days_limit_from_all_runs_of_a_domain",
        "earlier_messages_of_the_domain_take_the_days_places",
        "what_a_warm_up_stops_takes_no_place_in_a_capacity",
        "every_decision_has_one_outcome",
    } <= set(ran)


@pytest.mark.parametrize(
    ("model", "column", "words"),
    [
        ("decisions", "channel", list(ChannelKind)),
        ("decisions", "verdict", list(Verdict)),
        ("decisions", "reason", list(DecisionReason)),
        ("int_decisions__verdicts", "channel", list(ChannelKind)),
        ("int_decisions__verdicts", "verdict", list(Verdict)),
        ("int_decisions__verdicts", "reason", list(DecisionReason)),
        ("deliveries", "message_state", list(MessageState)),
        ("deliveries", "delivery_reason", list(DeliveryReason)),
        ("account_lines", "reason", [*DecisionReason, *DeliveryReason]),
    ],
)
def test_accepted_values_are_the_words_of_the_vocabulary(manifest, model, column, words):
    assert manifest.accepted_values(model, column) == [str(word) for word in words]


def test_a_publication_of_before_a_mart_was_added_is_decided_on(home, world, publish):
    """As in an installation that has been upgraded, until its next build."""
    publish(home, world)
    build = warehouse.current_build(home)
    shutil.rmtree(build.path / "journey_traits")
    result = Dbt(decide_workspace(home)).invoke([use_published(build.path), DECIDE])
    assert {node.status for node in result.commands[-1].nodes} == {"success", "pass"}


def test_the_rules_are_asked_in_the_order_of_the_vocabulary(home):
    sql = (home.dbt_project / "models/decisions/int_decisions__verdicts.sql").read_text()
    positions = [sql.index(f"'{reason}' end") for reason in DecisionReason]
    assert positions == sorted(positions)


def test_every_column_of_the_public_models_is_described(manifest):
    for model in PUBLISHED:
        for column, description in manifest.descriptions(model).items():
            assert description.strip(), f"{model}.{column}"


def test_python_and_the_contracts_name_the_same_columns(manifest):
    assert {model: manifest.columns(model) for model in PUBLISHED} == PUBLISHED
    assert {model: list(manifest.columns(model)) for model in PUBLISHED} == {
        model: list(columns) for model, columns in PUBLISHED.items()
    }


def test_python_and_the_sources_name_the_same_columns(manifest):
    assert manifest.source_columns("operations") == EXPORTS


def test_exposures_are_the_campaigns(manifest, home):
    folders = sorted(path.parent.name for path in home.campaigns.glob("*/campaign.yaml"))
    assert folders
    assert manifest.exposures() == folders


def test_an_exposure_depends_on_the_segments_that_its_campaign_names(manifest, home):
    import yaml

    for path in home.campaigns.glob("*/campaign.yaml"):
        audience = yaml.safe_load(path.read_text())["audience"]
        named = {*audience["include"], *audience.get("exclude", ())}
        assert manifest.exposure_segments(path.parent.name) == named
        folder = home.dbt_project / "models" / "segments"
        files = {name for name in named if (folder / f"{name}.sql").exists()}
        through = {"decisions", "profiles", "segment_memberships"}
        assert manifest.exposure_models(path.parent.name) == through | files
