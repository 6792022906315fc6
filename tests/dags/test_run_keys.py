"""The run key of real DAG runs of all kinds, made by Airflow itself in its own database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
from airflow.models.backfill import ReprocessBehavior, _create_backfill
from airflow.models.dagbag import DBDagBag
from airflow.models.dagrun import DagRun
from airflow.timetables.base import DataInterval
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select

from kundresa.orchestration.run_keys import identify
from kundresa.spec.vocabulary import Trigger

TUESDAY = datetime(2026, 3, 3, 8, tzinfo=UTC)
"""Nine o'clock in Stockholm."""


@pytest.fixture
def synced(project: Any, airflow_database: Path) -> None:
    """Two campaigns as the DAG processor leaves them in the database."""
    project.campaign("winback")
    project.campaign("on_segments", schedule="{'on': segments}")
    manager = DagBundlesManager()
    with create_session() as session:
        manager.sync_bundles_to_db(session=session)
    (bundle,) = manager.get_all_dag_bundles()
    bundle.initialize()
    bag = BundleDagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
    sync_bag_to_db(bag, bundle.name, bundle.version)


@pytest.fixture(autouse=True)
def no_runs_left(airflow_database: Path) -> Any:
    yield
    with create_session() as session:
        for run in session.scalars(select(DagRun)):
            session.delete(run)


def new_run(
    dag_id: str, run_type: DagRunType, *, logical_date: datetime | None, run_after: datetime
) -> DagRun:
    with create_session() as session:
        dag = DBDagBag().get_latest_version_of_dag(dag_id, session=session)
        assert dag is not None
        return dag.create_dagrun(
            run_id=run_type.generate_run_id(suffix=run_after.isoformat()),
            logical_date=logical_date,
            data_interval=DataInterval(logical_date, logical_date) if logical_date else None,
            run_after=run_after,
            run_type=run_type,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.QUEUED,
            session=session,
        )


@pytest.mark.usefixtures("synced")
def test_a_scheduled_run_is_named_by_its_logical_date() -> None:
    run = new_run("campaign_winback", DagRunType.SCHEDULED, logical_date=TUESDAY, run_after=TUESDAY)

    identity = identify("winback", run)

    assert identity.run_key == "winback--20260303T080000Z"
    assert identity.trigger is Trigger.SCHEDULED


@pytest.mark.usefixtures("synced")
def test_a_backfill_over_a_scheduled_date_has_the_scheduled_runs_key() -> None:
    scheduled = new_run("campaign_winback", DagRunType.SCHEDULED, logical_date=TUESDAY, run_after=TUESDAY)
    expected = identify("winback", scheduled).run_key
    with create_session() as session:
        session.delete(session.get(DagRun, scheduled.id))

    _create_backfill(
        dag_id="campaign_winback",
        from_date=TUESDAY - timedelta(days=1),
        to_date=TUESDAY + timedelta(days=1),
        max_active_runs=1,
        reverse=False,
        dag_run_conf={},
        triggering_user_name="operator",
        reprocess_behavior=ReprocessBehavior.NONE,
    )
    with create_session() as session:
        (backfilled,) = session.scalars(
            select(DagRun).where(DagRun.run_type == DagRunType.BACKFILL_JOB)
        ).all()

    assert identify("winback", backfilled).run_key == expected
    assert identify("winback", backfilled).trigger is Trigger.BACKFILL


@pytest.mark.usefixtures("synced")
def test_an_asset_run_has_no_logical_date_and_is_named_by_when_it_may_run() -> None:
    after = datetime(2026, 3, 3, 4, 12, 7, 250_000, tzinfo=UTC)
    run = new_run("campaign_on_segments", DagRunType.ASSET_TRIGGERED, logical_date=None, run_after=after)

    identity = identify("on_segments", run)

    assert run.logical_date is None
    assert identity.run_key == "on_segments--20260303T041207.250000Z"
    assert identity.trigger is Trigger.ASSET


@pytest.mark.usefixtures("synced")
@pytest.mark.parametrize("logical_date", [TUESDAY, None])
def test_a_manual_run_with_and_without_a_logical_date(logical_date: datetime | None) -> None:
    after = TUESDAY + timedelta(hours=2)
    run = new_run("campaign_winback", DagRunType.MANUAL, logical_date=logical_date, run_after=after)

    identity = identify("winback", run)

    assert identity.logical_at == (logical_date or after)
    assert identity.trigger is Trigger.MANUAL


@pytest.mark.usefixtures("synced")
def test_clearing_a_run_keeps_its_key() -> None:
    from airflow.models.taskinstance import clear_task_instances

    run = new_run(
        "campaign_on_segments", DagRunType.ASSET_TRIGGERED, logical_date=None, run_after=datetime.now(tz=UTC)
    )
    before = identify("on_segments", run).run_key
    with create_session() as session:
        stored = session.get(DagRun, run.id)
        clear_task_instances(stored.get_task_instances(session=session), session)
    with create_session() as session:
        cleared = session.get(DagRun, run.id)
        assert cleared.clear_number == 1
        assert identify("on_segments", cleared).run_key == before


def test_every_run_type_that_airflow_has_is_known() -> None:
    for run_type in DagRunType:
        run = type("Run", (), {"run_type": run_type, "logical_date": None, "run_after": TUESDAY})
        assert identify("winback", run).logical_at == TUESDAY


def test_an_asset_run_stands_for_the_publication_that_woke_it() -> None:
    """Clearing the task that publishes emits its event again: the same publication, so the same run."""

    def woken(run_after: datetime, *published: str) -> SimpleNamespace:
        events = [SimpleNamespace(extra={"as_of": each}) for each in published]
        return SimpleNamespace(
            run_type="asset_triggered", logical_date=None, run_after=run_after, consumed_asset_events=events
        )

    early, late = "2026-11-23T01:30:00+00:00", "2026-11-23T05:30:00+00:00"
    first = identify("sale", woken(datetime(2026, 11, 23, 2, tzinfo=UTC), early))
    again = identify("sale", woken(datetime(2026, 11, 23, 9, tzinfo=UTC), early))
    both = identify("sale", woken(datetime(2026, 11, 23, 9, tzinfo=UTC), early, late))
    assert first.run_key == again.run_key == "sale--20261123T013000Z"
    assert both.run_key == "sale--20261123T053000Z"
