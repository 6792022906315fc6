"""What went wrong for others at the same work, and the tests that fail should it go wrong here.

The cases are from public issue threads of systems that people use for this. What no test can hold against a
bound in time or memory names its measurement too (``make bench``).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
CASES: Mapping[int, tuple[str, tuple[str, ...]]] = {
    1: (
        "a server that hangs up makes a run begin anew: some get nothing, others several",
        (
            "unit/delivery/test_breaking_off.py::test_field_report_1_a_lost_connection_goes_on_where_it_was",
            "integration/channels/test_smtp_misbehaviour.py::test_lost_before_the_end_of_data_is_tried_again",
            "chaos/test_smtp_kill.py::test_workers_killed_while_the_server_drops_and_half_closes",
        ),
    ),
    2: (
        "who was claimed and not sent to when a worker died is passed over, in a run that is called complete",
        (
            "unit/delivery/test_crashes.py::test_field_report_2_a_crash_at_each_point",
            "unit/delivery/test_crashes.py::test_no_crash_loses_or_doubles_a_message",
            "chaos/test_delivery_kill.py::test_killed_workers_lose_nobody",
        ),
    ),
    3: (
        "a pace that is changed, a stop and a resumption leave some out, and nobody can say whom",
        (
            (
                "end_to_end/test_stop_and_pace.py::test_field_report_3_the_pace_is_changed_in_the_middle_then_stopped_"
                "and_resumed_and_nobody_is_missing"
            ),
            "unit/delivery/test_deliver.py::test_field_report_3_a_batch_with_missing_rows_is_not_called_done",
        ),
    ),
    4: (
        "a server that is back, from a snapshot or after a long time, sends what is over",
        (
            "unit/delivery/test_deliver.py::test_field_report_4_a_run_that_comes_back_late_sends_nothing",
            "unit/delivery/test_deliver.py::test_field_report_4_a_store_restored_from_a_snapshot_sends_nothing_again",
            "end_to_end/test_main_path.py::test_a_run_that_starts_after_its_validity_is_closed_with_a_reason",
        ),
    ),
    5: (
        "a wrong password stops a run without a word, and it cannot be resumed once that is mended",
        (
            "integration/channels/test_wrong_password.py::test_it_says_why_and_once_mended_everybody_gets_it_once",
            "unit/delivery/test_breaking_off.py::test_field_report_5_a_wrong_password_says_so_and_loses_nobody",
            "integration/runs/test_journeys.py::test_an_account_that_refuses_holds_nobody_else_up",
        ),
    ),
    6: (
        "the memory that a run takes grows with the people that it is about",
        (
            "integration/quality/test_scale.py::test_a_million_decisions_in_flat_memory",
            "unit/quality/test_sources.py::test_a_million_rows_in_flat_memory",
            "benchmarks/bench_decisions.py::measure",
        ),
    ),
    7: (
        "segments cost as much when ten people changed as when all did, and builds overtake each other",
        (
            "warehouse/test_publish.py::test_who_comes_second_waits_and_is_told_for_whom",
            "benchmarks/bench_profiles_and_segments.py::measure",
        ),
    ),
    8: (
        "a step of a journey asks about each person, or each small list of them, in a query of its own",
        (
            "unit/journeys/test_field_reports.py::test_a_step_of_many_people_takes_as_many_statements_as_one_of_a_few",
            "benchmarks/bench_journeys.py::measure",
        ),
    ),
    9: (
        "messages for eight o'clock leave in the night, and nobody was told",
        (
            "integration/runs/test_late.py::test_who_answers_for_it_is_told_once_before_the_first_message",
            "integration/runs/test_late.py::test_a_batch_that_begins_after_its_time_is_told_of_and_a_finished_one_is_not",
            "integration/runs/test_late.py::test_who_slows_an_account_down_is_told_what_becomes_late",
        ),
    ),
    10: (
        "logs grow for ever, or cannot be removed without losing the account",
        (
            "integration/store/test_retention.py::test_old_attempts_go_in_chunks_and_the_account_stays",
            (
                "integration/store/test_retention.py::test_events_and_feedback_go_when_they_are_old_and_what_followed_"
                "from_them_stays"
            ),
            "integration/store/test_journeys.py::test_old_moves_are_forgotten_a_little_at_a_time",
        ),
    ),
    11: (
        "a column that is empty ends an audience in its middle",
        ("warehouse/sample/test_empty_columns.py::test_an_empty_column_loses_nobody",),
    ),
    12: (
        "who said no or bounced while they wait in a journey is written to, or tried for ever",
        (
            "integration/runs/test_field_reports.py::test_who_says_no_or_bounces_while_they_wait_gets_nothing_more",
            "integration/runs/test_journeys.py::test_an_opt_out_and_a_suppression_hold_at_once",
        ),
    ),
    13: (
        "an automatic reply is taken for a no",
        (
            "integration/public/test_mailbox.py::test_a_vacation_reply_is_neither_a_bounce_nor_an_opt_out",
            "unit/feedback/test_mails.py::test_an_automatic_reply_is_nothing",
            "unit/feedback/test_mails.py::test_an_automatic_reply_stays_one_whatever_the_other_signs",
        ),
    ),
    14: (
        "a no is recorded as a bounce, and an address that is good as one that is dead",
        (
            "integration/public/test_webhooks.py::test_field_report_14_each_is_recorded_as_what_it_is",
            "integration/public/test_mailbox.py::test_a_vacation_reply_is_neither_a_bounce_nor_an_opt_out",
            "integration/public/test_mailbox.py::test_soft_and_blocked_do_not_suppress_at_once",
            "integration/channels/test_refused_for_good.py::test_the_next_run_leaves_out_who_is_dead_and_nobody_else",
            "integration/feedback/test_bounce_corpus.py::test_each_mail_is_what_it_is",
        ),
    ),
    15: (
        "a no to marketing stops what somebody needs to sign in",
        (
            "unit/delivery/test_deliver.py::test_field_report_15_an_exempt_topic_is_stopped_by_a_no_to_this_topic_only",
            "integration/public/test_recipients.py::test_everything_spares_what_belongs_to_an_order",
            "integration/public/test_messages.py::test_a_no_to_this_very_topic_counts_and_a_no_to_everything_does_not",
        ),
    ),
    16: (
        "messages leave at the hour of another time zone than the person's",
        (
            "end_to_end/test_send_time.py::test_field_report_16_two_zones_leave_at_their_own_hours",
            "unit/runs/test_send_times.py::test_the_day_of_25_hours_and_the_hour_that_does_not_exist",
        ),
    ),
    17: (
        "a journey cannot begin with an event and wait for another, or its next step reads what was before",
        (
            (
                "unit/journeys/test_field_reports.py::test_an_event_starts_it_another_is_waited_for_and_what_was_just_set_"
                "is_read"
            ),
            "unit/journeys/test_walking.py::test_an_event_counts_from_coming_to_the_step_to_the_end_of_the_time",
        ),
    ),
    18: (
        "that a person may enter again is switched off by something else than its declaration",
        (
            "unit/journeys/test_field_reports.py::test_the_same_person_enters_again_after_an_edit_and_after_a_restart",
        ),
    ),
    19: (
        "what an application sends is dropped without a word",
        (
            "integration/public/test_events.py::test_a_refused_event_says_why_and_its_neighbours_are_taken",
            "integration/public/test_message_refusals.py::test_a_request_that_is_wrong_says_in_which_field_and_why",
        ),
    ),
    20: (
        "a scanner that follows links says no for somebody, and is counted as opens and clicks of people",
        (
            "integration/public/test_recipients.py::test_a_get_changes_nothing_whoever_opens_the_link",
            "integration/public/test_message_links.py::test_a_scanner_that_follows_every_link_is_not_a_person",
            "integration/public/test_message_links.py::test_an_open_is_a_pixel",
            "integration/feedback/test_hits.py::test_a_scanner_that_follows_links_before_the_server_has_answered",
        ),
    ),
    21: (
        "who has had enough today is lost to the journey, which is not told",
        (
            "integration/runs/test_field_reports.py::test_who_had_enough_today_is_tried_tomorrow_and_gets_it",
            "unit/journeys/test_shipped.py::test_who_had_enough_this_week_is_asked_in_the_next",
        ),
    ),
    22: (
        "a cap cannot reach further back than logs are kept",
        (
            (
                "warehouse/decisions/test_history.py::test_field_report_22_whom_anybody_wrote_to_in_120_days_though_logs_"
                "are_kept_for_90"
            ),
            "warehouse/test_journey_accounts.py::test_retention_keeps_what_a_cap_may_reach",
        ),
    ),
    23: (
        "what recurs, leaves at once or is triggered is neither counted by caps nor stopped by them",
        (
            "integration/runs/test_field_reports.py::test_what_leaves_at_once_and_what_recurs_is_counted_and_stopped",
            "integration/runs/test_journey_caps.py::test_what_campaigns_have_sent_or_hold_counts_and_what_failed_does_not",
            "warehouse/test_journey_accounts.py::test_a_campaign_counts_what_journeys_sent_and_what_they_hold",
            "warehouse/decisions/test_pressure_runs.py::test_two_processes_that_decide_at_once_keep_to_the_cap",
            "warehouse/decisions/test_pressure_reference.py::test_every_verdict_is_what_the_greedy_says",
        ),
    ),
}
"""Number → what must not happen, and the functions that see it, below ``tests/``."""


def missing(node_id: str) -> str | None:
    """Why there is no such function, or None."""
    name, _, function = node_id.partition("::")
    file = TESTS / name
    if not file.is_file():
        return f"no file {name}"
    found = {each.name for each in ast.parse(file.read_bytes()).body if isinstance(each, ast.FunctionDef)}
    return None if function in found else f"no {function} in {name}"


def test_all_of_them_are_here() -> None:
    assert list(CASES) == list(range(1, 24))


@pytest.mark.parametrize("number", CASES)
def test_what_sees_it_is_there(number: int) -> None:
    _, node_ids = CASES[number]
    assert node_ids
    assert [why for each in node_ids if (why := missing(each))] == []


def test_what_is_not_there_is_seen() -> None:
    here = f"unit/{Path(__file__).name}"
    assert missing(f"{here}::test_all_of_them_are_here") is None
    assert missing(f"{here}::test_that_was_renamed") == f"no test_that_was_renamed in {here}"
    assert missing("unit/test_that_was_moved.py::x") == "no file unit/test_that_was_moved.py"
