"""A real Airflow (scheduler, triggerer, LocalExecutor) over a real warehouse and a real sandbox: whatever
an operator clears, repeats, backfills or kills, nobody gets anything twice and the account adds up."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.end_to_end.orders import MOST_BEHIND, Shop, check, known
from tests.end_to_end.plant import CHECKOUT, Plant, Scheduler, copy_shop, running_plant, until

from kundresa import warehouse
from kundresa.demo.airflow_api import TaskState
from kundresa.demo.processes import free_ports
from kundresa.demo.service import PublicService
from kundresa.sandbox import counts, received
from kundresa.spec.keys import run_key
from kundresa.store import NewEvent, open_store

SEED = int(os.environ.get("KUNDRESA_CHAOS_SEED", "20261123"))
TICK = datetime.now(tz=UTC).replace(minute=0, second=0, microsecond=0)
"""The last full hour: a date of the hourly schedule below, within every validity."""
WINDOW = 2
SLOW = 1
"""Messages a second through the account of the campaign that is paused and stopped on its way."""
CONFIRMING = ("order_confirmation", "receipts")
KILLS = [*(["task"] * 5), *(["service"] * 3), *(["scheduler"] * 2), "airflow"]
"""In an order that is drawn."""
WITHOUT_WORK = 30
"""Seconds until something is killed though no message has left: longer than what was a dead scheduler's is
left alone."""
PEOPLE_WHO_ORDER = """
    select min(contact_points.address) as email
    from contact_points
    inner join profile_identifiers
        on contact_points.profile_id = profile_identifiers.profile_id
        and contact_points.address = profile_identifiers.identifier
    where
        contact_points.channel = 'email'
        and contact_points.is_valid
        and contact_points.address not in (select address from suppressions where address is not null)
        and contact_points.address in (
            select identifier from profile_identifiers
            where namespace = 'email' group by identifier having count(distinct profile_id) = 1
        )
    group by contact_points.profile_id
    order by email
"""
ONE_PERSON = """
    select min(identifier) as email, min(profile_id) as profile_id from profile_identifiers
    where namespace = 'email' group by identifier having count(distinct profile_id) = 1 order by email limit 1
"""


def change(project: Path, campaign: str, **keys: Any) -> None:
    file = project / "dags" / "campaigns" / campaign / "campaign.yaml"
    spec = yaml.safe_load(file.read_text()) | keys
    file.write_text(yaml.safe_dump(spec, sort_keys=False))


def instance(task: TaskState) -> str:
    return f"{task.task_id}[{task.map_index}]" if task.map_index >= 0 else task.task_id


def states(plant: Plant, campaign: str, run_id: str) -> dict[str, str | None]:
    return {instance(each): each.state for each in plant.api.tasks(f"campaign_{campaign}", run_id)}


def next_victim(tasks: Sequence[TaskState], killed: Counter[str], chance: random.Random) -> TaskState | None:
    """One of the running tasks that were not killed too often: a task is tried four times in all."""
    running = [
        each
        for each in tasks
        if each.state == "running" and each.pid and killed[instance(each)] < (2 if each.map_index >= 0 else 1)
    ]
    return chance.choice(running) if running else None


@pytest.fixture(scope="module")
def plant(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    folder = tmp_path_factory.mktemp("plant")
    project = copy_shop(built, folder)
    change(project, "winback", schedule={"cron": "0 * * * *", "time_zone": "UTC"})
    change(project, "spring_sale", delivery={"batch_size": 40, "window": WINDOW})
    shutil.copytree(project / "dags" / "campaigns" / "winback", project / "dags" / "campaigns" / "slow")
    rows, batch = {"rows": {"min": 10, "max": 5000}}, {"batch_size": 40, "window": WINDOW}
    change(project, "slow", schedule="manual", audience={"include": ["lapsed_customers"]}, quality=rows)
    change(project, "slow", delivery=batch)
    shutil.copytree(project / "dags" / "campaigns" / "slow", project / "dags" / "campaigns" / "swift")
    everybody, batch = {"include": ["newsletter_subscribers"]}, batch | {"batch_size": 75}
    change(project, "swift", audience=everybody, delivery=batch)
    journeys = project / "dags" / "journeys"
    shutil.copytree(CHECKOUT / "dags" / "journeys", journeys)
    # The same message under both policies: the shipped one better twice, this one better not at all.
    shutil.copytree(journeys / "order_confirmation", journeys / "receipts")
    spec = (journeys / "receipts" / "journey.yaml").read_text() + "max_instances: 100\n"
    (journeys / "order_confirmation" / "journey.yaml").write_text(spec)
    (journeys / "receipts" / "journey.yaml").write_text(spec.replace("at_least_once", "at_most_once"))
    for file in ("events.yaml", "policies.yaml"):
        shutil.copy(CHECKOUT / "dags" / file, project / "dags")
    # What a scheduler had that was killed is taken up sooner.
    environ = {"AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15"}
    with running_plant(folder, environ) as plant:
        dag_ids = ["campaign_winback", "campaign_spring_sale", "campaign_slow", "campaign_swift"]
        journeys_dags = [f"journey_{name}" for name in ("abandoned_cart", *CONFIRMING)]
        plant.take_up([*dag_ids, *journeys_dags])
        yield plant


@pytest.fixture(scope="module")
def delivered(plant: Plant) -> tuple[str, str, list[str]]:
    """A run of the last full hour, delivered: its id, its key and the message ids that arrived."""
    run_id = plant.api.trigger("campaign_winback", logical_date=TICK, run_id="first")
    assert plant.api.wait_for_run("campaign_winback", run_id) == "success", plant.airflow.log_tail()
    key = run_key("winback", TICK)
    arrived = plant.received(key, "email")
    assert len(arrived) > 10
    return run_id, key, arrived


def test_a_run_sends_what_its_account_says(plant: Plant, delivered: tuple[str, str, list[str]]) -> None:
    run_id, key, arrived = delivered

    email = plant.account(key)["channels"]["email"]

    assert len(set(arrived)) == len(arrived) == email["sent"]
    assert email["considered"] == email["sent"] + sum(email["not_sent"].values())
    assert plant.account(key) == plant.api.result("campaign_winback", run_id, "report")
    assert f"/kundresa/runs/{key}" in str(plant.api.extra_links("campaign_winback", run_id, "report"))


@pytest.mark.parametrize(
    ("task", "downstream"),
    [
        ("open", False),
        ("decide", False),
        ("check", False),
        ("email.batches", False),
        ("email.deliver", False),
        ("email.deliver", True),
        ("record", False),
        ("reconcile", True),
    ],
)
def test_clearing_any_task_sends_nothing(
    plant: Plant, delivered: tuple[str, str, list[str]], task: str, downstream: bool
) -> None:
    run_id, key, arrived = delivered
    before = plant.account(key)

    plant.api.clear_tasks("campaign_winback", run_id, [task], downstream=downstream)

    assert plant.api.wait_for_run("campaign_winback", run_id) == "success"
    assert plant.received(key, "email") == arrived
    assert plant.account(key) == before


def test_running_the_dag_again_sends_nothing(plant: Plant, delivered: tuple[str, str, list[str]]) -> None:
    run_id, key, arrived = delivered

    plant.api.clear_run("campaign_winback", run_id)

    assert plant.api.wait_for_run("campaign_winback", run_id) == "success"
    assert plant.received(key, "email") == arrived
    tries = {each.task_id: each.try_number for each in plant.api.tasks("campaign_winback", run_id)}
    assert min(tries.values()) >= 2, "everything ran again"


def test_a_backfill_over_delivered_dates_sends_nothing(
    plant: Plant, delivered: tuple[str, str, list[str]]
) -> None:
    """The hour before was not delivered: the backfill delivers it, once. The last hour was."""
    _, key, arrived = delivered
    earlier = run_key("winback", TICK - timedelta(hours=1))

    for _ in range(2):
        backfill = plant.api.backfill(
            "campaign_winback", TICK - timedelta(hours=1), TICK, reprocess="completed"
        )
        plant.api.wait_for_backfill(backfill)

        assert plant.received(key, "email") == arrived
        late = plant.received(earlier, "email")
        assert len(late) == len(set(late)) == plant.account(earlier)["channels"]["email"]["sent"] > 10


@pytest.fixture
def slow(plant: Plant) -> Iterator[None]:
    """The account of all emails has a pace of `SLOW` for this one test, whatever becomes of it."""
    plant.kundresa("pace", "newsletter", "--per-second", str(SLOW))
    yield
    plant.kundresa("pace", "newsletter", "--clear")


@pytest.mark.usefixtures("slow")
def test_a_run_that_is_paused_then_stopped_goes_on_each_time_and_nobody_gets_it_twice(plant: Plant) -> None:
    """First the DAG is paused, by the command, then the run stopped: each time nothing leaves after one
    window, though most still waits, no task ends or fails, and all of it leaves afterwards."""
    dag_id = "campaign_slow"
    run_id = plant.api.trigger(dag_id, logical_date=TICK, run_id="halted")
    key = run_key("slow", TICK)

    def arrived() -> int:
        return len(plant.received(key, "email"))

    def delivering() -> dict[str, str | None]:
        return {
            name: state
            for name, state in states(plant, "slow", run_id).items()
            if "deliver" in name and state not in ("success", "skipped")
        }

    def at_work() -> list[str]:
        return [name for name, state in delivering().items() if state == "running"]

    until(lambda: arrived() >= SLOW)
    workers = len(at_work())
    assert workers > 0
    assert plant.airflow.command("dags", "pause", dag_id).returncode == 0
    before = arrived()
    until(lambda: not at_work(), 60)
    paused = arrived()
    assert paused - before <= WINDOW * workers
    time.sleep(2.5)  # what was put off for a moment is woken by now, and is started when the DAG is unpaused
    assert arrived() == paused
    assert plant.api.run(dag_id, run_id)["state"] == "running"

    plant.api.unpause(dag_id)
    until(lambda: arrived() >= paused + WINDOW)
    plant.kundresa("stop", key, "--reason", "the landing page is down")
    workers, stopped_at = len(at_work()), arrived()
    until(lambda: not at_work(), 60)
    stopped = arrived()
    assert stopped - stopped_at <= WINDOW * workers
    # What waited for its turn in the pace is started once more, finds the run stopped and waits for it.
    until(lambda: set(delivering().values()) == {"deferred"}, 60)
    time.sleep(2.5)
    assert set(delivering().values()) == {"deferred"}, (
        "it waits to be resumed, and is not started again meanwhile"
    )
    assert arrived() == stopped
    assert {"failed", "upstream_failed", "up_for_retry"}.isdisjoint(states(plant, "slow", run_id).values())

    plant.kundresa("resume", key)
    plant.kundresa("pace", "newsletter", "--clear")
    assert plant.api.wait_for_run(dag_id, run_id, 120) == "success", plant.airflow.log_tail()
    everybody = plant.received(key, "email")
    email = plant.account(key)["channels"]["email"]
    assert len(set(everybody)) == len(everybody) == email["sent"] == email["decided_send"] > stopped
    assert email["considered"] == email["sent"] + sum(email["not_sent"].values())
    assert "outcome_unknown" not in email["not_sent"]


def test_a_pause_at_full_speed_holds_within_a_window_of_each_worker(plant: Plant) -> None:
    """By the API, as people at the UI do, three times on the way, counted by the sandbox's own clock."""
    dag_id, key = "campaign_swift", run_key("swift", TICK)
    run_id = plant.api.trigger(dag_id, logical_date=TICK, run_id="swift")

    def batches() -> dict[str, str | None]:
        return {name: state for name, state in states(plant, "swift", run_id).items() if "deliver" in name}

    def at_work() -> int:
        return sum(state == "running" for state in batches().values())

    def arrivals() -> list[datetime]:
        found = received(plant.settings.sandbox, run_key=key, channel="email")
        return [datetime.fromisoformat(each.received_at) for each in found]

    had = 0
    for _ in range(3):
        until(lambda: len(arrivals()) >= had + 5 * WINDOW)  # noqa: B023
        plant.api.pause(dag_id)
        paused_at = datetime.now(tz=UTC)
        until(lambda: not at_work(), 60)
        late = sum(each > paused_at for each in arrivals())
        had = len(arrivals())
        print(had, "arrived,", late, "of them after the pause")
        assert late <= WINDOW * len(batches())
        time.sleep(2.5)  # as above: nothing that was put off is started before
        assert len(arrivals()) == had
        plant.api.unpause(dag_id)
    assert plant.api.wait_for_run(dag_id, run_id, 120) == "success", plant.airflow.log_tail()
    assert len(batches()) >= 2
    everybody = plant.received(key, "email")
    email = plant.account(key)["channels"]["email"]
    assert len(set(everybody)) == len(everybody) == email["sent"] == email["decided_send"] > had
    assert "outcome_unknown" not in email["not_sent"]


def test_an_event_moves_a_person_and_the_pages_inside_airflow_show_it(plant: Plant) -> None:
    """The journey's DAG is started by the event, not by us; the pages are served by Airflow's own server."""
    plant.kundresa("journey", "start", "abandoned_cart")
    [person] = warehouse.query(plant.settings, ONE_PERSON)
    now = datetime.now(tz=UTC)
    cart = json.dumps({"cart_id": "c-1", "cart_value": 60})
    with open_store(plant.settings.store_url) as store:
        store.inbox.append(
            [NewEvent("shop", "cart-1", "cart_updated", "email", person["email"], cart, now, now)]
        )
        until(lambda: any(each.step == "pause" for each in store.journey_positions.counts("abandoned_cart")))

    with httpx.Client(base_url=plant.airflow.url, trust_env=False, follow_redirects=True) as browser:
        plugins = browser.get("/api/v2/plugins").raise_for_status().json()["plugins"]
        [own] = [each for each in plugins if each["name"] == "kundresa"]
        links = {each["name"]: (each["url_route"], each["href"]) for each in own["external_views"]}
        assert links["Journeys"] == ("kundresa_journeys", "kundresa/journeys")
        assert links["Campaigns"] == ("kundresa", "kundresa/runs")
        assert browser.get("/plugin/kundresa_journeys").status_code == 200, "Airflow's own page around ours"
        for route, href in links.values():
            assert browser.get(f"/plugin/{route}").status_code == browser.get(f"/{href}").status_code == 200
        listed = browser.get("/kundresa/journeys").text
        assert 'href="journeys/abandoned_cart"' in listed
        assert "kundresa journey start welcome_series" in listed, "the others were never started"
        assert "1 entered = 1 inside now + 0 left" in browser.get("/kundresa/journeys/abandoned_cart").text
        way = browser.post("/kundresa/journeys/abandoned_cart", data={"person": person["email"]})
        assert way.url.path.endswith(f"/people/{person['profile_id']}")
        assert "<td>pause</td>" in way.text
        assert browser.get("/kundresa/journeys/none").status_code == 404


def test_killing_tasks_at_random_loses_nobody_and_sends_nobody_twice(plant: Plant) -> None:
    """SIGKILL to the process of whichever task runs, each task at least once if it runs long enough. The
    policy is at_most_once: per kill at most one window stays unknown, and is reported as such."""
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    run_id = plant.api.trigger("campaign_spring_sale", logical_date=TICK, run_id="killed")
    key = run_key("spring_sale", TICK)
    killed: Counter[str] = Counter()
    deadline = time.monotonic() + 500
    while plant.api.run("campaign_spring_sale", run_id)["state"] not in ("success", "failed"):
        assert time.monotonic() < deadline, plant.api.tasks("campaign_spring_sale", run_id)
        time.sleep(chance.uniform(0.05, 0.8))
        victim = next_victim(plant.api.tasks("campaign_spring_sale", run_id), killed, chance)
        if victim is None:
            continue
        try:
            os.kill(victim.pid or 0, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it ended between the question and the kill
        killed[instance(victim)] += 1
    print(dict(killed))

    assert plant.api.run("campaign_spring_sale", run_id)["state"] == "success", plant.airflow.log_tail()
    assert any("deliver" in name for name in killed), "no kill hit a delivery"
    assert {"decide", "record"} & set(killed), "no kill hit dbt"
    account = plant.account(key)
    unknown = 0
    for channel, part in account["channels"].items():
        arrived = plant.received(key, channel)
        assert len(arrived) == len(set(arrived)), f"{channel}: somebody got it twice"
        hidden = part["not_sent"].get("outcome_unknown", 0)
        assert part["sent"] <= len(arrived) <= part["sent"] + hidden
        assert part["considered"] == part["sent"] + sum(part["not_sent"].values())
        unknown += hidden
    assert unknown <= WINDOW * killed.total()
    assert {each.channel for each in counts(plant.settings.sandbox) if each.run_key == key} == {
        "email",
        "sms",
    }


@pytest.mark.timeout(900)
def test_killing_service_tasks_schedulers_and_all_of_airflow_confirms_every_order(
    plant: Plant, tmp_path: Path
) -> None:
    """Orders come in all the while. Every one that the service has taken is confirmed, or the account says
    that nobody knows; better twice, or better not at all, as the journey's policy has it."""
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    for journey in CONFIRMING:
        plant.kundresa("journey", "start", journey)
    people = [row["email"] for row in warehouse.query(plant.settings, PEOPLE_WHO_ORDER)]
    key = "of the test"
    entry = f"shop:events:{hashlib.sha256(key.encode()).hexdigest()}"
    environ = plant.airflow.environment() | {"KUNDRESA_API_KEYS": entry}
    service = PublicService(free_ports(1)[0], key, tmp_path / "serve.log")
    service.start(environ)
    killers = Killers(plant, service, environ, chance, tmp_path / "scheduler.log")
    shop = Shop(service, people, killers.confirmed, random.Random(chance.random()))
    assert MOST_BEHIND / len(people) < 50, "a person may be in a journey a hundred times at once"
    try:
        for kind in chance.sample(KILLS, len(KILLS)):
            killers.wait_for_work()
            getattr(killers, kind)()
        shop.close()
        print(dict(killers.killed), len(shop.taken))
        assert killers.killed["task"] >= 2, "too few kills hit a task"
        assert len(shop.taken) > 2_000
        until(lambda: killers.confirmed() >= len(shop.taken), 240)
    finally:
        shop.close()
        killers.stop()
        service.stop()
    kills = killers.killed.total() - killers.killed["service"]
    check(plant, CONFIRMING, shop.taken, at_most_once="receipts", kills=kills)


class Killers:
    """SIGKILL to a part of it, which is started again."""

    def __init__(
        self,
        plant: Plant,
        service: PublicService,
        environ: Mapping[str, str],
        chance: random.Random,
        log: Path,
    ) -> None:
        self.killed: Counter[str] = Counter()
        self._plant, self._service, self._environ, self._chance = plant, service, environ, chance
        self._scheduler = Scheduler(plant.airflow, log)

    def wait_for_work(self) -> None:
        """A random moment while messages leave, unless that takes too long."""
        wanted = self.confirmed() + self._chance.randrange(1, 150)
        end = time.monotonic() + WITHOUT_WORK
        while self.confirmed() < wanted and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(self._chance.uniform(0, 0.5))

    def confirmed(self) -> int:
        """Orders that are, by every journey."""
        return min(known(self._plant, journey) for journey in CONFIRMING)

    def service(self) -> None:
        self._service.kill()
        self._service.start(self._environ)
        self.killed["service"] += 1

    def task(self) -> None:
        """Of a journey, if there is one under way."""
        api = self._plant.api
        running = [
            task.pid
            for journey in CONFIRMING
            for run_id in api.run_ids(f"journey_{journey}")[-2:]
            for task in api.tasks(f"journey_{journey}", run_id)
            if task.state == "running" and task.pid
        ]
        if running:
            with contextlib.suppress(ProcessLookupError):  # it ended between the question and the kill
                os.kill(self._chance.choice(running), signal.SIGKILL)
                self.killed["task"] += 1

    def scheduler(self) -> None:
        """With its tasks; another takes its place."""
        if self._scheduler.is_running:
            self._scheduler.kill()
        else:
            self._plant.kill_scheduler()
        self._scheduler.start()
        self.killed["scheduler"] += 1

    def airflow(self) -> None:
        """All of it at once."""
        if self._scheduler.is_running:
            self._scheduler.kill()
        self._plant.airflow.kill()
        self._plant.airflow.start()
        self._plant.airflow.wait_healthy()
        self.killed["airflow"] += 1

    def stop(self) -> None:
        self._scheduler.stop()
