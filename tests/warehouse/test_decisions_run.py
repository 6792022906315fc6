"""Runs that are decided for real, by dbt, and read as delivery reads them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from kundresa import warehouse
from kundresa.spec.buckets import bucket, holdout_salt
from kundresa.spec.keys import SINGLE_STEP, message_id
from kundresa.warehouse.dbt import Dbt
from kundresa.warehouse.workspace import decide_workspace

RUN = "winback--20260301T090000Z"


def populate(world, count=7):
    for number in range(count):
        world.add_person(
            f"p{number}", ["lapsed_customers"], email=f"p{number}@x.test", sms=f"+4670000000{number}"
        )


@pytest.mark.parametrize("others", [0, 63, 64], ids=["everybody", "one in ten", "few"])
def test_a_decided_run_is_published_with_batches_and_profiles(
    home, world, publish, open_runs, make_run, now, others
):
    """What is known of everybody is brought down to the candidates where they are few."""
    populate(world)
    for number in range(others):
        world.add_person(f"other{number}", [], email=f"other{number}@x.test")
    publish(home, world)
    open_runs(home, world, make_run(batch_size=3))
    decided = warehouse.decide(home, [RUN]).runs[0]
    assert (decided.lines_count, decided.send_count, decided.decided_at) == (7, 7, now)

    sizes = warehouse.batch_sizes(home, RUN, "email")
    assert sizes == {1: 3, 2: 3, 3: 1}
    rows = [
        row for number in sizes for chunk in warehouse.read_batch(home, RUN, "email", number) for row in chunk
    ]
    ids = [row["message_id"] for row in rows]
    assert ids == sorted(message_id(RUN, f"p{n}", "", "email", SINGLE_STEP) for n in range(7))
    first = rows[0]
    assert first["profile"]["first_name"] == first["profile_id"].title()
    assert first["decided_at"] == now
    assert first["holdout_bucket"] == bucket(holdout_salt("winback"), first["profile_id"])
    counts = warehouse.decision_counts(home, RUN)
    assert counts == [warehouse.DecisionCount("email", "send", None, None, 7)]
    [compiled] = home.home.glob("dbt/decisions/compiled/**/int_decisions__channels.sql")
    assert ("as candidates" in compiled.read_text()) == (others == 64)


def test_deciding_again_changes_nothing(home, world, publish, open_runs, make_run, now):
    populate(world)
    publish(home, world)
    open_runs(home, world, make_run())
    warehouse.decide(home, [RUN])
    before = warehouse.query(home, "select * from decisions order by message_id")

    # Everybody has left, someone new has come, and the run is exported as if it were still open.
    later = type(world)()
    later.add_person("new", ["lapsed_customers"], email="new@x.test")
    publish(home, later)
    other = make_run("spring_sale")
    open_runs(home, later, make_run(decided_at=now + timedelta(hours=1)), other)
    assert warehouse.decide(home, [RUN]).dbt is None
    warehouse.decide(home, [other.run_key, RUN])

    after = warehouse.query(
        home, "select * from decisions where run_key = $run_key order by message_id", run_key=RUN
    )
    assert after == before
    assert warehouse.decision_counts(home, other.run_key)[0].lines == 1


def test_a_run_decided_but_not_published_is_published_as_it_was_decided(
    home, world, publish, open_runs, make_run, now
):
    populate(world)
    publish(home, world)
    open_runs(home, world, make_run())
    warehouse.decide(home, [RUN])
    before = warehouse.query(home, "select * from decisions order by message_id")
    folder = home.published / "runs" / RUN
    folder.rename(home.home / "as if killed before the rename")

    later = type(world)()
    later.add_person("new", ["lapsed_customers"], email="new@x.test")
    publish(home, later)
    open_runs(home, later, make_run(decided_at=now + timedelta(hours=1)))
    again = warehouse.decide(home, [RUN]).runs[0]
    assert again.decided_at == now
    assert warehouse.query(home, "select * from decisions order by message_id") == before


def test_an_audience_without_anybody_is_decided_for_good(home, world, publish, open_runs, make_run, now):
    publish(home, world)
    open_runs(home, world, make_run())
    decided = warehouse.decide(home, [RUN]).runs[0]
    assert (decided.lines_count, decided.send_count, decided.decided_at) == (0, 0, now)
    assert warehouse.batch_numbers(home, RUN, "email") == []
    assert warehouse.decision_counts(home, RUN) == []
    assert warehouse.query(home, "select message_id, decided_at from decisions") == []

    populate(world)
    publish(home, world)
    open_runs(home, world, make_run())
    assert warehouse.decide(home, [RUN]).runs[0].lines_count == 0
    assert warehouse.query(home, "select count(*) as lines from decisions") == [{"lines": 0}]


def test_before_the_first_build_nothing_can_be_decided(home, world, open_runs, make_run):
    open_runs(home, world, make_run())
    with pytest.raises(warehouse.NothingPublished, match="build the warehouse first"):
        warehouse.decide(home, [RUN])


def test_a_run_that_was_never_exported_is_named(home, world, publish, open_runs):
    publish(home, world)
    open_runs(home, world)
    with pytest.raises(warehouse.DbtFailed, match="run winback--20260301T090000Z is not decided"):
        warehouse.decide(home, [RUN])
    with pytest.raises(warehouse.RunNotPublished):
        warehouse.decision_counts(home, RUN)


def test_a_failed_test_of_the_lines_leaves_the_record_untouched(home, world, publish, open_runs, make_run):
    populate(world)
    world.contact_points.append(
        {"profile_id": "p1", "channel": "email", "address": "second@x.test", "is_valid": True}
    )
    publish(home, world)
    open_runs(home, world, make_run())
    with pytest.raises(warehouse.DbtFailed, match="unique_int_decisions__verdicts_message_id") as failed:
        warehouse.decide(home, [RUN])
    assert any(failure.compiled_path for failure in failed.value.failures)
    assert not warehouse.is_published(home, RUN)

    world.contact_points.pop()
    publish(home, world)
    assert warehouse.decide(home, [RUN]).runs[0].lines_count == 7


def test_another_instant_is_read_and_no_reason_to_parse_the_project_anew(home):
    dbt = Dbt(decide_workspace(home))

    def compiled(**variables) -> tuple[str, bool]:
        """The instant in a model, and whether everything was parsed."""
        log = dbt.workspace.logs / "dbt.log"
        log.unlink(missing_ok=True)
        dbt.invoke([("compile", "--select", "int_profiles__visits")], variables=variables)
        [model] = dbt.workspace.artifacts.glob("compiled/**/int_profiles__visits.sql")
        [day] = re.findall(r"occurred_at <= cast\('(\S+) ", model.read_text())
        return day, "Unable to do partial parsing" in log.read_text()

    assert compiled(as_of="2026-03-01") == ("2026-03-01", False)
    assert compiled(as_of="2026-03-02", only_recorded=True) == ("2026-03-02", False)
    assert compiled(as_of="2026-03-02", identity_rounds=3) == ("2026-03-02", True)
