"""Two schedulers over one metadata database (PostgreSQL), of which one dies with its tasks and comes back,
while the runs that it worked on are cleared: nothing is lost, nobody gets anything twice
(``at_most_once``), or no more than a window for each attempt that ended early (``at_least_once``), and
both accounts add up.

Two campaigns to the same people, one for each policy, leave through the sandbox's SMTP. The operational
store is on PostgreSQL as well. Everything waits for what is to be seen in one of the two databases or at
the sandbox; while the second scheduler is away, the account's pace keeps messages from running out.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from tests.end_to_end.plant import Plant, Scheduler, copy_shop, running_plant, until

from kundresa.spec.keys import run_key

TICK = datetime.now(tz=UTC).replace(minute=0, second=0, microsecond=0)
WINDOW = 5
POLICIES = {"at_most": "at_most_once", "at_least": "at_least_once"}
"""Campaign → policy."""
TASK_PROCESSES = 2
"""Of each scheduler: one alone cannot take all the batches, so the other gets some."""
QUICK, SLOW = 15, 1
"""Messages a second while both schedulers are there, and while one is not."""
PATIENCE = 240
"""Seconds that any of it may take to be seen."""
BY_SCHEDULER = """
    select queued_by_job_id, count(*) filter (where state = 'running'), count(*)
    from (
        select queued_by_job_id, state::text, task_id from task_instance
        union all
        select queued_by_job_id, state::text, task_id from task_instance_history
    ) as tries
    where task_id = 'email.deliver' and queued_by_job_id is not null
    group by queued_by_job_id
"""
ENDED_EARLY = "select count(*) from task_instance_history where task_id = 'email.deliver' and dag_id = %s"
SCHEDULERS = "select id from job where job_type = 'SchedulerJob' order by id"


@dataclass
class Pair:
    """An Airflow with a second scheduler over its database."""

    plant: Plant
    second: Scheduler
    metadata: str
    """URL of Airflow's database."""

    def query(self, sql: str, *values: object) -> list[Any]:
        with psycopg.connect(self.metadata) as connection:
            return connection.execute(sql, values).fetchall()

    def schedulers(self) -> list[int]:
        """Job ids of all schedulers that there ever were, the oldest first."""
        return [job for (job,) in self.query(SCHEDULERS)]

    def deliveries(self) -> dict[int, tuple[int, int]]:
        """Scheduler's job id → its deliveries that run now, and all that it ever started."""
        return {job: (running, started) for job, running, started in self.query(BY_SCHEDULER)}

    def received(self, campaign: str) -> list[str]:
        return self.plant.received(run_key(campaign, TICK))

    def account(self, campaign: str) -> Any:
        return self.plant.account(run_key(campaign, TICK))["channels"]["email"]

    def pace(self, *words: str) -> None:
        self.plant.kundresa("pace", "newsletter", *words)


def add_campaign(project: Path, name: str, policy: str) -> None:
    """To everybody whom the sample's sale would write to by email."""
    folder = project / "dags" / "campaigns" / name
    shutil.copytree(project / "dags" / "campaigns" / "winback", folder)
    spec = yaml.safe_load((folder / "campaign.yaml").read_text()) | {
        "schedule": "manual",
        "audience": {"include": ["newsletter_subscribers", "lapsed_customers", "high_value_customers"]},
        "quality": {"rows": {"min": 100, "max": 5000}},
        "delivery": {"batch_size": 40, "window": WINDOW, "policy": policy},
    }
    (folder / "campaign.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))


@pytest.fixture(scope="module")
def pair(built: Path, postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("two")
    project = copy_shop(built, folder)
    for campaign, policy in POLICIES.items():
        add_campaign(project, campaign, policy)
    metadata, store = (postgres.url(postgres.create_database()) for _ in range(2))
    environ = {"KUNDRESA_STORE_URL": store, "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15"}
    database = metadata.replace("postgresql://", "postgresql+psycopg2://")
    with running_plant(folder, environ, database_url=database, parallelism=TASK_PROCESSES) as plant:
        second = Scheduler(plant.airflow, folder / "airflow" / "scheduler.log")
        second.start()
        try:
            plant.take_up([f"campaign_{campaign}" for campaign in POLICIES])
            yield Pair(plant, second, metadata)
        finally:
            second.stop()


@pytest.mark.timeout(900)
def test_one_of_two_schedulers_dies_with_its_tasks_and_comes_back(pair: Pair) -> None:
    api = pair.plant.api
    until(lambda: len(pair.schedulers()) == 2, PATIENCE)
    first, second = pair.schedulers()
    pair.pace("--per-second", str(QUICK))
    for campaign in POLICIES:
        api.trigger(f"campaign_{campaign}", logical_date=TICK, run_id="run")

    def is_delivering(scheduler: int) -> bool:
        return pair.deliveries().get(scheduler, (0, 0))[0] > 0

    def arrived() -> int:
        return sum(len(pair.received(campaign)) for campaign in POLICIES)

    until(lambda: arrived() > 20 and is_delivering(first) and is_delivering(second), PATIENCE)
    pair.second.kill()
    pair.pace("--per-second", str(SLOW))
    print("killed", pair.deliveries(), arrived())

    # Somebody is not content to wait: one run is cleared whole, of the other what delivers.
    api.clear_run("campaign_at_most", "run")
    api.clear_tasks("campaign_at_least", "run", ["email.deliver"], downstream=True)
    pair.second.start()
    until(lambda: len(pair.schedulers()) == 3, PATIENCE)
    third = pair.schedulers()[-1]
    until(lambda: third in pair.deliveries() and is_delivering(first), PATIENCE)
    pair.pace("--clear")
    for campaign in POLICIES:
        state = api.wait_for_run(f"campaign_{campaign}", "run")
        assert state == "success", (pair.plant.airflow.log_tail(), pair.second.log.read_text()[-3000:])

    started = {job: count for job, (_, count) in pair.deliveries().items()}
    print("deliveries started by", started)
    assert {first, second, third} <= set(started)
    for campaign, policy in POLICIES.items():
        received, account = pair.received(campaign), pair.account(campaign)
        [[early]] = pair.query(ENDED_EARLY, f"campaign_{campaign}")
        twice = len(received) - len(set(received))
        unknown = account["not_sent"].get("outcome_unknown", 0)
        print(campaign, len(received), "received", twice, "twice", unknown, "unknown", early, "ended early")
        assert account["decided_send"] > 100
        assert account["considered"] == account["sent"] + sum(account["not_sent"].values())
        assert account["decided_send"] == account["sent"] + unknown, "nothing is lost or left over"
        assert account["sent"] <= len(set(received)) <= account["decided_send"]
        assert early > 0
        if policy == "at_most_once":
            assert twice == 0
            assert unknown <= WINDOW * early
        else:
            assert unknown == 0
            assert twice <= WINDOW * early
