"""Two schedulers over one metadata database (PostgreSQL), of which one dies with its tasks and comes back,
while the runs that it worked on are cleared: nothing is lost, nobody gets anything twice
(``at_most_once``), or no more than a window for each attempt that ended early (``at_least_once``), and
both accounts add up.

Two campaigns to the same people, one for each policy, leave through the sandbox's SMTP. The operational
store is on PostgreSQL as well. Everything waits for what is to be seen in one of the two databases or at
the sandbox; while the second scheduler is away, the account's pace keeps messages from running out.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from kundresa import settings as installation
from kundresa.demo import processes
from kundresa.demo.standalone import AirflowPorts, AirflowStandalone
from kundresa.orchestration.pools import POOLS
from kundresa.sandbox import Sandbox
from kundresa.sandbox.reader import message_ids
from kundresa.settings import Settings
from kundresa.spec.keys import run_key

CHECKOUT = Path(__file__).resolve().parents[2]
TICK = datetime.now(tz=UTC).replace(minute=0, second=0, microsecond=0)
WINDOW = 5
POLICIES = {"at_most": "at_most_once", "at_least": "at_least_once"}
"""Campaign → policy."""
TASK_PROCESSES = 2
"""Of each scheduler: one alone cannot take all the batches, so the other gets some."""
QUICK, SLOW = 15, 1
"""Messages a second while both schedulers are there, and while one is not."""
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
class Scheduler:
    """Another ``airflow scheduler`` beside those of a running Airflow."""

    airflow: AirflowStandalone
    log: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        port = str(processes.free_ports(1)[0])
        self._process = processes.start(
            [str(Path(sys.executable).parent / "airflow"), "scheduler"],
            environ=self.airflow.environment() | {"AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": port},
            log=self.log,
            cwd=self.airflow.home,
        )

    def kill(self) -> None:
        """SIGKILL to it and to its tasks."""
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()[-3000:]
        found = processes.mark(self._process.pid)
        assert found is not None
        processes.kill(found)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and (found := processes.mark(self._process.pid)) is not None:
            processes.stop(found, reap=self._process.poll)


@dataclass
class Plant:
    """A running Airflow with a second scheduler, the shop it works on, and the sandbox that receives."""

    airflow: AirflowStandalone
    second: Scheduler
    settings: Settings
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
        return message_ids(self.settings.sandbox, run_key(campaign, TICK), "email")

    def account(self, campaign: str) -> Any:
        file = self.settings.published / "runs" / run_key(campaign, TICK) / "account.json"
        return json.loads(file.read_text())["channels"]["email"]

    def pace(self, *words: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "kundresa.cli.main", "pace", "newsletter", *words],
            env=self.airflow.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def until(holds: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


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
def plant(built: Path, postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    folder = tmp_path_factory.mktemp("two")
    shutil.copytree(built, folder / "shop", symlinks=True)
    project, home = folder / "shop" / "project", folder / "shop" / "home"
    for campaign, policy in POLICIES.items():
        add_campaign(project, campaign, policy)
    metadata, store = (postgres.url(postgres.create_database()) for _ in range(2))
    with Sandbox(home) as sandbox:
        environ = {
            "KUNDRESA_PROJECT": str(project),
            "KUNDRESA_HOME": str(home),
            "KUNDRESA_STORE_URL": store,
            "KUNDRESA_SECRET": "end-to-end",
            "KUNDRESA_LEASE_SECONDS": "3",
            "KUNDRESA_RETRY_SECONDS": "0.5",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
            "AIRFLOW_CONN_KUNDRESA_NEWSLETTER": sandbox.ports.smtp_uri,
            "AIRFLOW_CONN_KUNDRESA_TEXTS": sandbox.ports.sms_uri,
        }
        airflow = AirflowStandalone(
            home=folder / "airflow",
            project=CHECKOUT,
            ports=AirflowPorts.free(),
            environ=environ,
            jwt_secret="of-the-end-to-end-tests-" * 4,
            dags_folder=project / "dags",
            database_url=metadata.replace("postgresql://", "postgresql+psycopg2://"),
            parallelism=TASK_PROCESSES,
            heartbeat_timeout_seconds=20,
        )
        second = Scheduler(airflow, folder / "airflow" / "scheduler.log")
        with airflow:
            second.start()
            try:
                for pool in POOLS:
                    airflow.api.put_pool(pool.name, pool.slots, pool.description)
                dag_ids = [f"campaign_{campaign}" for campaign in POLICIES]
                airflow.api.wait_for_dags(dag_ids)
                assert airflow.api.import_errors() == {}
                for dag_id in dag_ids:
                    airflow.api.unpause(dag_id)
                yield Plant(airflow, second, installation.load(environ), metadata)
            finally:
                second.stop()


@pytest.mark.timeout(900)
def test_one_of_two_schedulers_dies_with_its_tasks_and_comes_back(plant: Plant) -> None:
    api = plant.airflow.api
    until(lambda: len(plant.schedulers()) == 2)
    first, second = plant.schedulers()
    plant.pace("--per-second", str(QUICK))
    for campaign in POLICIES:
        api.trigger(f"campaign_{campaign}", logical_date=TICK, run_id="run")

    def is_delivering(scheduler: int) -> bool:
        return plant.deliveries().get(scheduler, (0, 0))[0] > 0

    def arrived() -> int:
        return sum(len(plant.received(campaign)) for campaign in POLICIES)

    until(lambda: arrived() > 20 and is_delivering(first) and is_delivering(second))
    plant.second.kill()
    plant.pace("--per-second", str(SLOW))
    print("killed", plant.deliveries(), arrived())

    # Somebody is not content to wait: one run is cleared whole, of the other what delivers.
    api.clear_run("campaign_at_most", "run")
    api.clear_tasks("campaign_at_least", "run", ["email.deliver"], downstream=True)
    plant.second.start()
    until(lambda: len(plant.schedulers()) == 3)
    third = plant.schedulers()[-1]
    until(lambda: third in plant.deliveries() and is_delivering(first))
    plant.pace("--clear")
    for campaign in POLICIES:
        state = api.wait_for_run(f"campaign_{campaign}", "run")
        assert state == "success", (plant.airflow.log_tail(), plant.second.log.read_text()[-3000:])

    started = {job: count for job, (_, count) in plant.deliveries().items()}
    print("deliveries started by", started)
    assert {first, second, third} <= set(started)
    for campaign, policy in POLICIES.items():
        received, account = plant.received(campaign), plant.account(campaign)
        [[early]] = plant.query(ENDED_EARLY, f"campaign_{campaign}")
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
