"""The DAG of a valid campaign: its tasks, their order, and what holds when something fails."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import Asset, CronTriggerTimetable
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.serialization.serialized_objects import DagSerialization

from kundresa import settings
from kundresa.orchestration.campaigns import campaign_dags

TWO_CHANNELS = (
    "  - {kind: email, template: letter, account: newsletter, sender: Shop <hello@shop.example>}\n"
    "  - {kind: sms, template: text, account: texts, sender: Shop}\n"
)


@pytest.fixture
def dag(project: Any) -> Any:
    project.campaign("winback", channels=TWO_CHANNELS)
    return campaign_dags(settings.load())["campaign_winback"]


def test_the_stages_stand_in_order_with_a_group_for_each_channel(dag: Any) -> None:
    edges = {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}

    assert edges == {
        "open": ["decide"],
        "decide": ["check"],
        "check": ["email.batches", "sms.batches"],
        "email.batches": ["email.deliver"],
        "email.deliver": ["record"],
        "sms.batches": ["sms.deliver"],
        "sms.deliver": ["record"],
        "record": ["reconcile"],
        "reconcile": ["report"],
        "report": [],
    }
    assert sorted(dag.task_group.get_task_group_dict().keys() - {None}) == ["email", "sms"]


def test_what_closes_the_account_runs_whatever_happened_and_nothing_else_does(dag: Any) -> None:
    rules = {task.task_id: task.trigger_rule.value for task in dag.tasks}

    always = {task_id for task_id, rule in rules.items() if rule == "all_done"}
    assert always == {"record", "reconcile", "report"}
    assert set(rules.values()) == {"all_done", "all_success"}


def test_each_task_takes_a_slot_of_what_it_uses(dag: Any) -> None:
    pools = {task.task_id: task.pool for task in dag.tasks if task.pool != "default_pool"}

    assert pools == {
        "decide": "warehouse",
        "record": "warehouse",
        "email.deliver": "email",
        "sms.deliver": "sms",
    }


def test_deliver_is_mapped_over_the_batches_and_labelled_for_people(dag: Any) -> None:
    deliver = dag.get_task("email.deliver")

    assert isinstance(deliver, MappedOperator)
    template = dag.get_template_env().from_string(deliver.partial_kwargs["map_index_template"])
    task = type("Task", (), {"channel": "email", "batch_number": 3, "messages": 5000})
    assert template.render(task=task) == "email · batch 3 · 5,000"


def test_a_new_campaign_is_paused_and_makes_up_for_nothing(dag: Any) -> None:
    assert dag.is_paused_upon_creation is True
    assert dag.catchup is False
    assert isinstance(dag.timetable, CronTriggerTimetable)
    assert (dag.timetable.expression, str(dag.timetable.timezone)) == ("0 9 * * 2", "Europe/Stockholm")
    assert dag.timetable.run_immediately == timedelta(minutes=10)


def test_a_run_that_waits_for_a_mailbox_does_not_hold_up_the_next(dag: Any) -> None:
    assert dag.max_active_runs > 1


def test_the_dag_page_says_in_words_what_the_owner_wrote(dag: Any) -> None:
    for words in (
        "Brings back customers who have stopped buying.",
        "`0 9 * * 2`, Europe/Stockholm",
        "everybody in `lapsed_customers`, but nobody in `open_complaints`, `recent_buyers`",
        "10 to 5,000 messages, or nothing",
        "the first possible one for each person",
        "nobody gets it twice",
    ):
        assert words in dag.doc_md
    assert dag.tags == {"kundresa", "campaign", "channel:email", "channel:sms", "topic:offers"}
    assert dag.owner == "crm-team"
    assert dag.dag_display_name == "Campaign · winback"


def test_only_a_report_that_succeeded_emits_the_campaigns_asset(dag: Any) -> None:
    outlets = {task.task_id: [asset.uri for asset in task.outlets] for task in dag.tasks if task.outlets}

    assert outlets == {"report": ["kundresa://campaigns/winback"]}


def test_retries_wait_as_the_installation_says(dag: Any) -> None:
    assert {task.retries for task in dag.tasks} == {3}
    assert {task.retry_delay for task in dag.tasks} == {timedelta(seconds=0.1)}


@pytest.mark.parametrize(
    ("schedule", "timetable"),
    [("manual", "NullTimetable"), ("{'on': segments}", "AssetTriggeredTimetable")],
)
def test_other_schedules(project: Any, schedule: str, timetable: str) -> None:
    project.campaign("winback", schedule=schedule)

    dag = campaign_dags(settings.load())["campaign_winback"]

    assert type(dag.timetable).__name__ == timetable


def test_a_campaign_on_segments_waits_for_what_the_warehouse_publishes(project: Any) -> None:
    from kundresa.orchestration.warehouse_dag import build_warehouse_dag

    project.campaign("winback", schedule="{'on': segments}")
    waits_for = campaign_dags(settings.load())["campaign_winback"].schedule
    published = build_warehouse_dag(settings.load()).get_task("publish").outlets

    assert (
        waits_for
        == published
        == [Asset(name="segments", uri="kundresa://warehouse/segments", group="kundresa")]
    )


def test_the_dag_survives_the_way_through_airflows_database(dag: Any) -> None:
    restored = DagSerialization.from_dict(DagSerialization.to_dict(dag))

    assert sorted(restored.task_ids) == sorted(dag.task_ids)
    assert restored.get_task("check").operator_extra_links[0].name == "Data Docs"
    assert restored.get_task("report").operator_extra_links[0].name == "Account"
