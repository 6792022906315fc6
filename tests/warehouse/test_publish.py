"""What is published stays whole: whoever is killed, whenever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kundresa import warehouse
from kundresa.warehouse.dbt import Dbt
from kundresa.warehouse.workspace import decide_workspace, parse_workspace

pytestmark = pytest.mark.usefixtures("cold")

RUN = "winback--20260301T090000Z"
DECIDE = """
import sys
from kundresa import settings, warehouse
home = settings.load({"KUNDRESA_HOME": sys.argv[1]})
print("started", flush=True)
warehouse.decide(home, [sys.argv[2]], progress=lambda line: print(line, flush=True))
"""


@pytest.fixture
def ready(home, world, publish, open_runs, make_run):
    """A published world with an open run."""
    for number in range(50):
        world.add_person(f"p{number}", ["lapsed_customers"], email=f"p{number}@x.test")
    publish(home, world)
    open_runs(home, world, make_run(batch_size=10))
    return home


def start_deciding(settings) -> subprocess.Popen[str]:
    package = Path(warehouse.__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", DECIDE, str(settings.home), RUN],
        stdout=subprocess.PIPE,
        text=True,
        cwd=package,
    )


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(part) for part in text.split()]


def test_a_parent_killed_in_the_middle_takes_dbt_with_it_and_a_retry_repairs(ready):
    process = start_deciding(ready)
    for line in process.stdout:
        if "decisions" in line:  # a model is finished: dbt is at work
            break
    (dbt,) = children(process.pid)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{dbt}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{dbt}").exists()
    process.stdout.close()

    assert warehouse.decide(ready, [RUN]).runs[0].send_count == 50
    assert warehouse.batch_sizes(ready, RUN, "email") == {1: 10, 2: 10, 3: 10, 4: 10, 5: 10}
    assert list((ready.published / ".partial").iterdir()) == []


def test_dbt_killed_is_an_error_that_says_so_and_a_retry_repairs(ready):
    others, killed = set(children(os.getpid())), []  # other tests' servers

    def kill_at_the_record(line):
        if "int_decisions__lines" in line and not killed:
            killed.extend(set(children(os.getpid())) - others)
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(warehouse.DbtFailed, match="killed by signal 9"):
        warehouse.decide(ready, [RUN], progress=kill_at_the_record)
    assert killed
    assert not warehouse.is_published(ready, RUN)
    assert warehouse.decide(ready, [RUN]).runs[0].send_count == 50


def test_who_comes_second_waits_and_is_told_for_whom(ready):
    dbt, told = Dbt(decide_workspace(ready)), []
    with dbt.locked():
        process = start_deciding(ready)
        for line in process.stdout:
            told.append(line.strip())
            if "waiting" in line:
                break
        assert process.poll() is None
    assert f"waiting: the decisions is in use by process {os.getpid()}" in told
    process.stdout.read()
    process.stdout.close()
    assert process.wait() == 0
    assert warehouse.is_published(ready, RUN)


def test_the_current_build_is_kept_and_older_ones_go(home, world, publish):
    builds = [publish(home, world) for _ in range(3)]
    candidate = f"{builds[2]}-candidate"
    (warehouse.builds_folder(home) / candidate).mkdir()
    assert warehouse.prune_builds(home, 2) == 1
    assert sorted(path.name for path in warehouse.builds_folder(home).iterdir()) == [*builds[1:], candidate]
    assert warehouse.prune_builds(home, 0) == 1
    assert warehouse.current_build(home).build_id == builds[2]
    with pytest.raises(warehouse.WarehouseError, match="there is no build 'b9'"):
        warehouse.promote(home, "b9")
    assert warehouse.current_build(home).build_id == builds[2]


def test_a_plan_records_nothing_and_waits_for_nobody(ready, make_run, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with (
        Dbt(decide_workspace(ready)).locked(),
        warehouse.plan_decisions(
            ready,
            [make_run(run_key="winback--plan", holdout_percent=50)],
            suppressions=[
                {
                    "channel": "email",
                    "address": "p1@x.test",
                    "reason": "manual",
                    "source": "t",
                    "recorded_at": None,
                }
            ],
            scratch=scratch,
        ) as planned,
    ):
        counts = {count.verdict: count.lines for count in planned.counts()}
        rows = planned.sample_rows("email", 2)
        assert planned.sample_rows("sms", 2) == []
    assert sum(counts.values()) == 50
    assert counts["exclude"] == 1
    assert counts["holdout"] > 5
    assert len(rows) == 2
    assert rows[0]["profile"]["profile_id"] == rows[0]["profile_id"]
    assert not (ready.published / "runs").exists()
    assert not decide_workspace(ready).database.exists()


def test_reading_a_batch_resumes_at_any_row(ready):
    warehouse.decide(ready, [RUN])
    whole = [row for chunk in warehouse.read_batch(ready, RUN, "email", 2) for row in chunk]
    assert [row["message_id"] for row in whole] == sorted(row["message_id"] for row in whole)
    for start in (0, 1, 9, 10, 11):
        chunks = list(warehouse.read_batch(ready, RUN, "email", 2, start_row=start, chunk_rows=4))
        assert [row for chunk in chunks for row in chunk] == whole[start:]
        assert all(len(chunk) <= 4 for chunk in chunks)
    with pytest.raises(KeyError, match="no batch 6"):
        list(warehouse.read_batch(ready, RUN, "email", 6))


def test_people_are_found_by_whatever_stands_for_them(ready, world, publish):
    world.profile_identifiers.extend(
        [
            {"profile_id": "p1", "namespace": "email", "identifier": "anna@x.test", "source": "crm"},
            {"profile_id": "p1", "namespace": "phone", "identifier": "+46701234567", "source": "crm"},
            {"profile_id": "p2", "namespace": "crm_id", "identifier": "C-17", "source": "crm"},
        ]
    )
    publish(ready, world)
    for text in ("p1", " Anna@X.test", "anna+shop@x.test", "+46 70-123 45 67", "070 123 45 67", "p1@x.test"):
        assert warehouse.find_profiles(ready, text) == ["p1"], text
    for text in ("C-17", "crm_id:C-17", " crm_id: c-17 "):
        assert warehouse.find_profiles(ready, text) == ["p2"], text
    for text in ("email:anna+shop@x.test", "phone:+46 70-123 45 67"):
        assert warehouse.find_profiles(ready, text) == ["p1"], text
    # No other namespace's, and no telephone that ends in the same digits.
    for text in ("email:C-17", "crm_id:701234567", "crm_id:", "phone:C-17"):
        assert warehouse.find_profiles(ready, text) == [], text
    assert warehouse.find_profiles(ready, "nobody' or 1=1 --") == []
    assert warehouse.person_decisions(ready, "p1") == []
    warehouse.decide(ready, [RUN])
    for campaign, lines in ((None, 1), ("winback", 1), ("wlnback", 0)):
        assert len(warehouse.person_decisions(ready, "p1", campaign)) == lines


def test_the_manifest_is_parsed_again_only_when_the_project_has_changed(home):
    told = []
    warehouse.load_manifest(home, progress=told.append)
    warehouse.load_manifest(home, progress=told.append)
    assert told == ["parsing the dbt project"]
    (parse_workspace(home).artifacts / "manifest.fingerprint").write_text("of other files")
    manifest = warehouse.load_manifest(home, progress=told.append)
    assert told == ["parsing the dbt project"] * 2
    assert "lapsed_customers" in manifest.segments()
    assert manifest.entity_segments() == {"orders_to_review", "waiting_for_product"}
    table = manifest.source_tables("shop")["orders"]
    assert (table.primary_key, table.path) == ("order_id", home.raw / "orders.csv")
    assert table.columns["ordered_at"] == "timestamp"
