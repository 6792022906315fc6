"""Each install and start command of the image and the compose file, executed, as far as a machine without a
container engine can: not run are the pull of base images, ``useradd``, and what the engine itself does
(networks, volumes, limits, restarts)."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

DAG = "maintenance"


def test_the_install_commands_ran_and_only_useradd_did_not(image: Any) -> None:
    assert [command.split()[0] for command in image.not_run] == ["useradd"]
    assert len(image.ran) == 4
    done = subprocess.run(
        [f"{image.environment['VIRTUAL_ENV']}/bin/kundresa", "--version"],
        env=image.process_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip()


class Api:
    """Airflow's REST API, as the first user."""

    def __init__(self, services: Any) -> None:
        self.base = f"http://127.0.0.1:{services.ports['api']}"
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        login = {"username": "admin", "password": services.secrets["KUNDRESA_ADMIN_PASSWORD"]}
        self.token = ""
        self.token = self.call("POST", "/auth/token", login)["access_token"]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.base + path, data=data, method=method, headers=headers)
        with self.opener.open(request, timeout=30) as answer:
            return json.load(answer)


def wait_for(read: Any, good: Any, timeout_seconds: float) -> Any:
    deadline = time.monotonic() + timeout_seconds
    while True:
        value = read()
        if good(value) or time.monotonic() > deadline:
            return value
        time.sleep(1)


def test_all_services_are_healthy_and_a_worker_does_the_scheduler_s_work(services: Any) -> None:
    api = Api(services)

    def dags() -> set[str]:
        return {each["dag_id"] for each in api.call("GET", "/api/v2/dags")["dags"]}

    expected = {"warehouse", "maintenance", "campaign_winback", "campaign_spring_sale"}
    assert wait_for(dags, expected.issubset, 60) >= expected
    assert api.call("GET", "/api/v2/importErrors")["import_errors"] == []
    pools = {each["name"] for each in api.call("GET", "/api/v2/pools")["pools"]}
    assert {"warehouse", "email", "sms"} <= pools

    api.call("PATCH", f"/api/v2/dags/{DAG}", {"is_paused": False})
    run = api.call("POST", f"/api/v2/dags/{DAG}/dagRuns", {"logical_date": None})["dag_run_id"]

    def state() -> str:
        found: str = api.call("GET", f"/api/v2/dags/{DAG}/dagRuns/{run}")["state"]
        return found

    assert wait_for(state, lambda found: found in ("success", "failed"), 120) == "success", services.log(
        "worker"
    )


def test_the_databases_belong_to_their_owners_only(services: Any) -> None:
    own = make_url(services.environment("worker")["KUNDRESA_STORE_URL"]).set(drivername="postgresql")
    with psycopg.connect(own.render_as_string(hide_password=False)) as connection:
        rows = connection.execute("select tablename from pg_tables where tableowner = 'kundresa'").fetchall()
    assert {"runs", "messages", "attempts", "opt_outs", "suppressions"} <= {name for (name,) in rows}
    foreign = own.set(database="airflow").render_as_string(hide_password=False)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(foreign)


def test_init_can_be_repeated_and_keeps_an_operator_s_changes(services: Any) -> None:
    api = Api(services)
    changed = {"name": "email", "slots": 9, "description": "ours", "include_deferred": False}
    api.call("PATCH", "/api/v2/pools/email", changed)
    services.run("init", 240)
    assert api.call("GET", "/api/v2/pools/email")["slots"] == 9
