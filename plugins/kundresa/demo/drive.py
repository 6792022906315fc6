"""The demo from beginning to end: servers up, the warehouse built, a shop told who is in some segments, two
campaigns delivered, two journeys of people of whose carts and orders the service is told, the account."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kundresa import settings as installation
from kundresa.demo import processes
from kundresa.demo.accounts import arrivals, one_message, read_lines
from kundresa.demo.airflow_api import FINISHED, AirflowApi, AirflowApiError
from kundresa.demo.screen import RunsView, Screen
from kundresa.demo.service import PublicService
from kundresa.demo.shares import SHARE, is_told, prepare_shop, shop_folder, told_lines
from kundresa.demo.shoppers import CARTS, JOURNEYS, ORDERS, have_arrived, let_people_shop, movements
from kundresa.demo.standalone import AirflowPorts, AirflowStandalone
from kundresa.demo.state import DemoState
from kundresa.orchestration.pools import POOLS
from kundresa.public.keys import ApiKey, Scope
from kundresa.sandbox import Sandbox
from kundresa.settings import CHECKOUT, Settings
from kundresa.spec.keys import run_key

CAMPAIGNS = ("winback", "spring_sale")
RUN_TIMEOUT_SECONDS = 1800
"""The warehouse at 200,000 people takes a few minutes on two cores."""
REACT_SECONDS = 180
"""From an order to its confirmation it takes some seconds, the first time a task start more."""
SHARE_SECONDS = 180
"""From a publication to its share; by then the campaigns have been delivered."""
FRESH_FOR = timedelta(hours=12)
"""A demo that was broken off longer ago starts with a new logical date: its runs would expire."""


class DemoError(Exception):
    """Something did not work; the message says what, with the end of the log that tells why."""


class Demo:
    """One demo. Everything it starts is registered for stopping before it is waited for."""

    def __init__(
        self, state: DemoState, screen: Screen, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.state = state
        self.screen = screen
        self._sleep = sleep
        self._started = ExitStack()
        self.settings: Settings = installation.load({"KUNDRESA_HOME": str(state.home)})

    def up(self) -> bool:
        """Run it all; returns whether every account adds up and agrees with the sandbox.

        Raises:
            DemoError: when a server or a run fails.
        """
        if not self.state.is_complete and datetime.now(tz=UTC) - self.state.logical_at > FRESH_FOR:
            self.state.logical_at = datetime.now(tz=UTC).replace(microsecond=0)
        self.state.remember("driver", processes.mark(os.getpid()))
        self.sandbox = self._start_sandbox()
        self.service = self._start_service()
        self.airflow = self._start_airflow()
        self._make_sample()
        with self.screen.step("Airflow is up"):
            self.airflow.wait_healthy()
        api = self.airflow.api
        dag_ids = ["warehouse", *(f"campaign_{name}" for name in CAMPAIGNS), f"share_{SHARE}"]
        dag_ids += [f"journey_{name}" for name in JOURNEYS]
        with self.screen.step("DAGs and pools"):
            for pool in POOLS:
                api.put_pool(pool.name, pool.slots, pool.description)
            api.wait_for_dags(dag_ids)
            for dag_id in dag_ids:
                api.unpause(dag_id)
        before = arrivals(self.settings)
        self._run(api, ["warehouse"])
        # Both at once: open runs are decided together.
        self._run(api, [f"campaign_{name}" for name in CAMPAIGNS])
        self._let_people_shop()
        self._await_share()
        self.state.is_complete = True
        self.state.save()
        return self._tell(before)

    def stay(self) -> None:
        """Keep the servers up until somebody ends the demo.

        Raises:
            DemoError: when Airflow ends by itself, or by ``make down``.
        """
        self.screen.title(
            "Everything stays up. Ctrl-C ends it; `make demo` again sends nobody anything twice."
        )
        while (mark := self.airflow.mark) is not None and mark.is_running:
            self._sleep(1)
        raise DemoError(f"Airflow has ended.\n{self.airflow.log_tail()}")

    def stop(self) -> None:
        """Stop what was started, the last first."""
        self._started.close()
        self.state.running.clear()
        self.state.save()

    # -- servers

    def _start_sandbox(self) -> Sandbox:
        ports = self.state.ports
        sandbox = Sandbox(
            self.state.home,
            smtp_port=_if_free(ports.get("smtp", 0)),
            http_port=_if_free(ports.get("http", 0)),
        )
        self._started.callback(sandbox.stop)
        with self.screen.step("Sandbox that receives what is sent"):
            sandbox.start()
        ports |= {"smtp": sandbox.smtp_port, "http": sandbox.http_port}
        if sandbox.pid is not None:
            self.state.remember("sandbox", processes.mark(sandbox.pid))
        return sandbox

    def _start_service(self) -> PublicService:
        port = _if_free(self.state.ports.get("service", 0)) or processes.free_ports(1)[0]
        self.state.ports["service"] = port
        service = PublicService(
            port, self.state.api_key, self.state.folder / "service.log", sleep=self._sleep
        )
        self._started.callback(service.stop)
        with self.screen.step("Public service: links in messages, and events"):
            service.start({**os.environ, **self._environ(service)})
        self.state.remember("service", service.mark)
        return service

    def _environ(self, service: PublicService) -> dict[str, str]:
        """What this installation's processes are told."""
        entry = ApiKey.of("shop", frozenset({Scope.EVENTS}), service.key)
        return {
            "KUNDRESA_HOME": str(self.state.home),
            "KUNDRESA_SECRET": self.state.secret,
            "KUNDRESA_PUBLIC_URL": service.url,
            "KUNDRESA_API_KEYS": str(entry),
        }

    def _start_airflow(self) -> AirflowStandalone:
        names = ("api", "worker_logs", "trigger_logs")
        known = [_if_free(self.state.ports.get(name, 0)) for name in names]
        ports = AirflowPorts(*known) if all(known) else AirflowPorts.free()
        self.state.ports |= {name: getattr(ports, name) for name in names}
        airflow = AirflowStandalone(
            home=self.state.airflow_home,
            project=CHECKOUT,
            ports=ports,
            environ={
                **self._environ(self.service),
                "KUNDRESA_RETRY_SECONDS": "5",
                "AIRFLOW_CONN_KUNDRESA_NEWSLETTER": self.sandbox.ports.smtp_uri,
                "AIRFLOW_CONN_KUNDRESA_TEXTS": self.sandbox.ports.sms_uri,
                "AIRFLOW_CONN_KUNDRESA_WEB_SHOP": prepare_shop(self.state.home),
            },
            jwt_secret=self.state.jwt_secret,
            sleep=self._sleep,
        )
        self._started.callback(airflow.stop)
        airflow.start()
        self.state.remember("airflow", airflow.mark)
        return airflow

    def _make_sample(self) -> None:
        from kundresa.sample import generate

        done = self.settings.raw / ".complete"
        if done.exists():
            self.screen.note(f"Sample shop of {self.state.people:,} people: there already")
            return
        with self.screen.step(f"Sample shop of {self.state.people:,} people, seed {self.state.seed}"):
            generate(
                self.settings.raw,
                people=self.state.people,
                seed=self.state.seed,
                as_of=self.state.logical_at.date(),
            )
            done.touch()

    # -- runs

    def _run(self, api: AirflowApi, dag_ids: Sequence[str]) -> None:
        """Run these DAGs side by side and wait for them all."""
        run_id = f"demo__{self.state.logical_at:%Y-%m-%dT%H:%M:%S}Z"
        started = time.monotonic()
        for dag_id in dag_ids:
            self._begin(api, dag_id, run_id)
        with self.screen.runs() as view:
            states = self._wait(api, dag_ids, run_id, view, started + RUN_TIMEOUT_SECONDS)
        for dag_id, state in states.items():
            if state == "failed":
                raise DemoError(self._why(api, dag_id, run_id))
        self.screen.done(" and ".join(dag_ids), time.monotonic() - started)

    def _let_people_shop(self) -> None:
        """People fill carts and order; the DAGs of journeys are started by these events, not by us."""
        with self.screen.step(f"{CARTS} carts are filled and {ORDERS} orders placed; journeys react"):
            told = let_people_shop(self.settings, self.service, datetime.now(tz=UTC))
            deadline = time.monotonic() + REACT_SECONDS
            while not have_arrived(movements(self.settings), told):
                if time.monotonic() > deadline:
                    raise DemoError(
                        f"{' and '.join(JOURNEYS)} have not reacted within {REACT_SECONDS} s.\n"
                        f"{self.airflow.log_tail()}"
                    )
                self._sleep(0.5)

    def _await_share(self) -> None:
        """The share's DAG is started by the publication, not by us."""
        with self.screen.step(f"The audience share {SHARE} tells the shop who is in its segments"):
            deadline = time.monotonic() + SHARE_SECONDS
            while not is_told(self.settings):
                if time.monotonic() > deadline:
                    raise DemoError(
                        f"{SHARE} was not told within {SHARE_SECONDS} s.\n{self.airflow.log_tail()}"
                    )
                self._sleep(0.5)

    def _begin(self, api: AirflowApi, dag_id: str, run_id: str) -> None:
        if run_id not in api.run_ids(dag_id):
            api.trigger(dag_id, logical_date=self.state.logical_at, run_id=run_id)
        elif api.run(dag_id, run_id)["state"] in FINISHED:
            api.clear_run(dag_id, run_id)
        # else: broken off on its way; the scheduler takes it up where it was.

    def _wait(
        self, api: AirflowApi, dag_ids: Sequence[str], run_id: str, view: RunsView, deadline: float
    ) -> dict[str, str]:
        keys = {run_key(dag_id.removeprefix("campaign_"), self.state.logical_at) for dag_id in dag_ids}
        states: dict[str, str] = {}
        while len(states) < len(dag_ids):
            if time.monotonic() > deadline:
                raise DemoError(
                    f"{', '.join(dag_ids)} took longer than {RUN_TIMEOUT_SECONDS / 60:.0f} minutes"
                )
            self._sleep(0.5)
            view.arrived = sum(count for (key, _), count in arrivals(self.settings).items() if key in keys)
            for dag_id in dag_ids:
                state = api.run(dag_id, run_id)["state"]
                view.show(dag_id, api.tasks(dag_id, run_id))
                if state in FINISHED:
                    states[dag_id] = state
        return states

    @staticmethod
    def _why(api: AirflowApi, dag_id: str, run_id: str) -> str:
        """The tail of the first failed task's log."""
        failed = [task for task in api.tasks(dag_id, run_id) if task.state == "failed"]
        first = min(failed, key=lambda task: task.task_id == "report")
        try:
            log = api.task_log(dag_id, run_id, first)
        except AirflowApiError as error:
            log = str(error)
        return f"{dag_id} failed in {first.task_id}. The end of its log:\n{log}"

    # -- the end

    def _tell(self, before: dict[tuple[str, str], int]) -> bool:
        keys = {name: run_key(name, self.state.logical_at) for name in CAMPAIGNS}
        lines = read_lines(self.settings, keys)
        now = arrivals(self.settings)
        newly = {key: count - before.get(key, 0) for key, count in now.items()}
        self.screen.account(lines, newly)
        journeys = movements(self.settings)
        self.screen.journeys(journeys)
        self.screen.note("")
        problems = [problem for line in lines for problem in line.problems]
        problems += [f"the journey {each.journey} does not add up" for each in journeys if not each.adds_up]
        for problem in problems:
            self.screen.problem(problem)
        self.screen.note(f"Newly sent in this demo: {sum(newly.values()):,}")
        self.screen.note(
            f"The web shop was told of {told_lines(self.state.home):,} people and changes so far"
        )
        self.screen.places(self._places(keys))
        return not problems

    def _places(self, keys: dict[str, str]) -> list[tuple[str, str]]:
        bin_folder = Path(os.path.relpath(Path(sys.executable).parent))
        home = os.path.relpath(self.state.home)
        rows = [
            ("Airflow", self.airflow.url),
            ("Accounts in Airflow", f"{self.airflow.url}/plugin/kundresa"),
            ("Journeys in Airflow", f"{self.airflow.url}/plugin/kundresa_journeys"),
            ("Everything that arrived", self.sandbox.url),
            ("What the web shop was told", os.path.relpath(shop_folder(self.state.home))),
        ]
        if message := one_message(self.settings, keys["winback"], "email"):
            number, recipient = message
            command = f"KUNDRESA_HOME={home} {bin_folder}/kundresa explain {recipient} winback"
            rows += [
                ("An email as it arrived", f"{self.sandbox.url}messages/{number}"),
                ("Why this person got it", command),
            ]
        return rows


def _if_free(port: int) -> int:
    """A remembered port, or 0 when somebody else has it now."""
    return port if port and processes.port_is_free(port) else 0


def stop_running(state: DemoState, *, sleep: Callable[[float], None] = time.sleep) -> list[str]:
    """Stop what an earlier demo left running; returns the names of what was stopped.

    The driver first, or it would tell of servers that end under it.
    """
    stopped = []
    for name in ("driver", "airflow", "service", "sandbox"):
        mark = state.marks().get(name)
        if mark is not None and mark.pid != os.getpid():
            # The driver's children are stopped as the driver does it, in order.
            processes.stop(mark, grace_seconds=60 if name == "driver" else 25, sleep=sleep)
            stopped.append(name)
    state.running.clear()
    state.save()
    return stopped


def remove(state: DemoState) -> None:
    """Forget everything about a demo that does not run."""
    shutil.rmtree(state.folder, ignore_errors=True)
