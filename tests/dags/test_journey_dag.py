"""The DAG of a journey: what starts it, what its task does, and what stands in for a broken one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.sdk.module_loading import import_string
from airflow.serialization.serialized_objects import DagSerialization

from kundresa import settings as configuration
from kundresa.channels import AccountError
from kundresa.orchestration import journey_dag, triggers
from kundresa.orchestration.journey_dag import IDLE, STAY, AdvanceJourney
from kundresa.orchestration.journeys import journey_dags
from kundresa.orchestration.pools import JOURNEYS
from kundresa.orchestration.triggers import JourneyDue
from kundresa.runs import journeys
from kundresa.runs.journey_rounds import JourneyRun
from kundresa.spec.vocabulary import JourneyState
from kundresa.store import JourneyNotFound, StoreUnavailable

JOURNEY = """
owner: crm | team
description: Reminds of <b>carts</b>.
entry: {entry}
exit: [{{event: order_placed}}]
topic: offers
steps:
  pause: {{kind: wait, duration: 1h}}
  say:
    kind: message
    channel: {{kind: sms, template: text, account: texts, sender: Shop}}
    on: {{not_sent: last}}
  last: {{kind: condition, paths: [{{when: {{event: {{a: 1}}}}, go: end}}], otherwise: pause}}
"""


@pytest.fixture
def write(project: Any) -> Any:
    def make(name: str, text: str) -> Path:
        folder = project.root / "dags" / "journeys" / name
        folder.mkdir(parents=True)
        (folder / "journey.yaml").write_text(text)
        return folder

    return make


def dags() -> dict[str, Any]:
    return dict(journey_dags(configuration.load()))


def test_a_folder_is_a_dag_with_one_task_that_does_anything(write: Any) -> None:
    write("cart", JOURNEY.format(entry="{event: cart_updated}"))
    [dag] = dags().values()
    assert (dag.dag_id, dag.max_active_runs, dag.is_paused_upon_creation) == ("journey_cart", 1, True)
    assert {"kundresa", "journey", "channel:sms", "topic:offers"} <= set(dag.tags)
    [task] = (each for each in dag.tasks if not isinstance(each, EmptyOperator))
    assert (task.task_id, task.pool, task.owner) == ("advance", JOURNEYS, "crm | team")
    for words in (
        "| `pause` | waits 1h | `say` |",
        "not_sent: `last`",
        "otherwise: `pause`, path 1: `end`",
        "&lt;b&gt;carts",
        "crm \\| team",
    ):
        assert words in dag.doc_md


def test_its_graph_shows_the_steps_and_what_leads_where(write: Any) -> None:
    write("cart", JOURNEY.format(entry="{event: cart_updated}"))
    [dag] = dags().values()
    arrows = {
        (name.removeprefix("steps."), to.removeprefix("steps.")): each.get_edge_info(name, to).get(
            "label", ""
        )
        for each in [dag]
        for name in dag.task_ids
        for to in dag.get_task(name).downstream_task_ids
    }
    assert arrows == {
        ("_in", "pause"): "",
        ("pause", "say"): "",
        ("say", "last"): "not_sent",
        ("last", "_out"): "path 1",
    }, "the way back from last to pause would close a circle"
    pictured = {each.task_id: each for each in dag.tasks if isinstance(each, EmptyOperator)}
    assert {each.removeprefix("steps.") for each in pictured} == {"_in", "pause", "say", "last", "_out"}
    assert pictured["steps.say"].operator_name == "sms text by account texts"
    assert "- otherwise: `pause`" in (pictured["steps.last"].doc_md or "")
    assert pictured["steps._in"].operator_name == "event cart_updated"
    assert pictured["steps._out"].operator_name == "leaves on order_placed"


def test_the_picture_is_never_started_and_hides_no_failure(write: Any) -> None:
    """What the scheduler sets to success at once has no callback, outlet or inlet, and waits for nothing; the
    state of a run is that of its last tasks, of which `advance` stays one."""
    write("cart", JOURNEY.format(entry="{event: cart_updated}"))
    [dag] = dags().values()
    kept = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    for name in kept.task_ids:
        task = kept.get_task(name)
        if name == "advance":
            assert not task.upstream_task_ids
            assert not task.downstream_task_ids
        else:
            assert task.inherits_from_empty_operator
            assert str(task.trigger_rule) == "always"
            assert not task.inlets
            assert not task.outlets
            assert not task.has_on_execute_callback
            assert not task.has_on_success_callback


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{event: cart_updated}", "event `cart_updated`"),
        ("{segment: lapsed, change: left}", "left `lapsed`"),
        (
            "{audience: lapsed, every: 7d, rate: {people: 1000, per: hour}}",
            "everybody in `lapsed`, every 7d, 1,000 people per hour",
        ),
        (
            "{audience: lapsed, every: once, rate: {people: 5, per: day}}",
            "everybody in `lapsed`, once, 5 people per day",
        ),
    ],
)
def test_its_page_says_who_enters(write: Any, entry: str, said: str) -> None:
    write("cart", JOURNEY.format(entry=entry))
    [dag] = dags().values()
    assert f"| **Entry** | {said} |" in dag.doc_md


def test_it_is_started_by_its_own_asset_and_by_segments_where_it_looks_at_them(write: Any) -> None:
    write("cart", JOURNEY.format(entry="{event: cart_updated}"))
    write("lapsed", JOURNEY.format(entry="{segment: lapsed}"))
    found = {name: dag.timetable.asset_condition for name, dag in dags().items()}
    assets = {
        name: sorted(each.name for each in getattr(one, "objects", [one])) for name, one in found.items()
    }
    assert assets == {
        "journey_cart": ["journey_cart"],
        "journey_lapsed": ["journey_lapsed", "segments"],
    }


def test_airflow_can_keep_it(write: Any) -> None:
    write("cart", JOURNEY.format(entry="{event: cart_updated}"))
    [dag] = dags().values()
    kept = DagSerialization.to_dict(dag)
    again = DagSerialization.from_dict(kept)
    assert again.dag_id == "journey_cart"
    assert "JourneyDue" in str(kept)


def test_without_a_folder_of_journeys_there_is_no_dag(project: Any) -> None:
    assert dags() == {}


def test_a_broken_one_is_in_quarantine_and_spoils_no_other(write: Any) -> None:
    write("cart", JOURNEY.format(entry="{event: cart_updated}"))
    write("broken", "steps: {}\n")
    found = dags()
    assert sorted(found) == ["journey_broken", "journey_cart"]
    assert "spec:invalid" in found["journey_broken"].tags
    assert "Journey · broken" in found["journey_broken"].dag_display_name
    assert "becomes the journey's" in found["journey_broken"].doc_md


CONTEXT: Any = {
    "ti": SimpleNamespace(
        id="a", try_number=1, dag_id="journey_cart", get_dag=lambda _: SimpleNamespace(is_paused=False)
    ),
    "dag_run": SimpleNamespace(triggering_user_name=None),
}


def test_the_task_runs_the_journey(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def run(_settings: object, name: str, **how: Any) -> JourneyRun:
        asked.update(how, name=name, goes_on=how["may_go_on"]())
        return JourneyRun(JourneyState.RUNNING, events=3, next_at=datetime(2026, 11, 23, 9, tzinfo=UTC))

    monkeypatch.setattr(journeys, "run_journey", run)
    done = AdvanceJourney(task_id="advance", journey="cart").execute(CONTEXT)
    assert (done["events"], done["state"]) == (3, "running")
    assert (asked["name"], asked["stay"], asked["idle"]) == ("cart", STAY, IDLE)
    assert asked["goes_on"] is True
    assert asked["account_of"] is journey_dag.sender_account


@pytest.mark.parametrize(
    ("error", "becomes"),
    [(JourneyNotFound("cart"), AirflowSkipException), (AccountError("refused"), AirflowFailException)],
)
def test_what_a_retry_cannot_mend_is_not_retried(
    project: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, becomes: type[Exception]
) -> None:
    def run(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(journeys, "run_journey", run)
    with pytest.raises(becomes):
        AdvanceJourney(task_id="advance", journey="cart").execute(CONTEXT)


def test_the_trigger_tells_of_work(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([False, StoreUnavailable("away"), True, True, False, False, *[True] * 32])
    slept: list[float] = []

    def has_work(_settings: object, name: str, now: datetime) -> bool:
        assert name == "cart"
        assert now - datetime.now(tz=UTC) < timedelta(seconds=1)
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(journeys, "has_work", has_work)
    monkeypatch.setattr(triggers.asyncio, "sleep", sleep)
    path, kwargs = JourneyDue("cart").serialize()
    assert import_string(path) is JourneyDue

    async def thrice() -> list[int]:
        told = JourneyDue(**kwargs).run()
        looks = []
        for _ in range(3):
            assert (await anext(told)).payload == "cart"
            looks.append(len(slept))
        return looks

    # After two looks; when what was told had been done; and after half a minute in which nobody did it.
    assert asyncio.run(thrice()) == [2, 5, 5 + 31]
    assert set(slept) == {triggers.DUE_SECONDS}
