"""The pages inside Airflow's own API server, behind its own login."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.api_fastapi.app import create_app, get_auth_manager, purge_cached_app
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from starlette.testclient import TestClient

from kundresa import settings
from kundresa.spec.vocabulary import CloseReason, LateKind, Trigger
from kundresa.store import NewRun, open_store

AT = datetime(2026, 3, 3, 8, tzinfo=UTC)
ACCOUNT = {
    "channels": {
        "email": {
            "considered": 1010,
            "sent": 1000,
            "not_sent": {"suppressed": 7, "holdout": 3},
            "adds_up": True,
        },
        "sms": {"considered": 1010, "sent": 5, "not_sent": {"consent_denied": 1004}, "adds_up": False},
    },
    "people": {"considered": 1010, "reached": 1005},
}


@pytest.fixture(scope="module")
def server(airflow_database: Path) -> Iterator[TestClient]:
    """Airflow's API server with our plugin in it, in this process."""
    purge_cached_app()
    with TestClient(
        create_app(apps="core"), base_url="http://127.0.0.1:8080", follow_redirects=False
    ) as client:
        yield client


@pytest.fixture
def runs(project: Any) -> str:
    """A finished run, one that the gate stopped, one that is open; returns the first one's key."""
    with open_store(settings.load().store_url) as store:
        for key, campaign in (("winback--1", "winback"), ("winback--2", "winback"), ("sale--1", "sale")):
            store.runs.open(
                NewRun(key, campaign, AT, Trigger.MANUAL, "{}", "0" * 64, AT, AT + timedelta(hours=84))
            )
        store.runs.mark_decided(["winback--1", "winback--2"], at=AT)
        store.runs.mark_checked("winback--1")
        store.runs.close("winback--1", CloseReason.COMPLETED, at=AT)
        store.runs.save_account("winback--1", ACCOUNT)
        store.runs.close("winback--2", CloseReason.QUALITY_GATE_FAILED, detail="rows <b>3</b>", at=AT)
    return "winback--1"


def as_user(server: TestClient, role: str | None = "viewer") -> dict[str, str]:
    """Headers of somebody who is logged in."""
    user = SimpleAuthManagerUser(username="anna", role=role)
    return {"Authorization": f"Bearer {get_auth_manager().generate_jwt(user)}"}


PATHS = (
    "/kundresa/",
    "/kundresa/runs",
    "/kundresa/runs/winback--1",
    "/kundresa/data_docs/",
    "/kundresa/nothing",
)


@pytest.mark.parametrize("path", PATHS[:4])
def test_who_is_not_logged_in_is_sent_to_the_login_and_back(server: TestClient, runs: str, path: str) -> None:
    answer = server.get(path)

    assert answer.status_code == 307
    assert "/auth/login" in answer.headers["location"]
    assert "kundresa" in answer.headers["location"]
    assert "1,010" not in answer.text


@pytest.mark.parametrize("path", PATHS[:4])
def test_a_forged_token_opens_nothing(server: TestClient, runs: str, path: str) -> None:
    answer = server.get(path, headers={"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIn0."})

    assert answer.status_code in (307, 403)
    assert "1,010" not in answer.text


@pytest.mark.parametrize("path", PATHS[1:4])
def test_somebody_without_a_role_sees_nothing(server: TestClient, runs: str, path: str) -> None:
    assert server.get(path, headers=as_user(server, role=None)).status_code == 403


def test_a_campaign_whose_dag_one_may_not_read_is_not_there(
    server: TestClient, runs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_sale(*, dag_ids: set[str], **_: Any) -> set[str]:
        return dag_ids & {"campaign_sale"}

    monkeypatch.setattr(get_auth_manager(), "filter_authorized_dag_ids", only_sale)

    listing = server.get("/kundresa/runs", headers=as_user(server)).text
    assert "runs/sale--1" in listing
    assert "winback" not in listing
    hidden = server.get("/kundresa/runs/winback--1", headers=as_user(server))
    missing = server.get("/kundresa/runs/winback--9", headers=as_user(server))
    assert hidden.status_code == missing.status_code == 404
    assert hidden.text.replace("winback--1", "") == missing.text.replace("winback--9", "")


def test_the_account_of_a_run(server: TestClient, runs: str) -> None:
    text = server.get(f"/kundresa/runs/{runs}", headers=as_user(server)).text

    for words in (
        "1,010",
        "1,000",
        "suppressed",
        "holdout",
        "adds up to the line",
        "does not add up",
        "1,005 reached",
    ):
        assert words in text
    assert text.index("suppressed") < text.index("holdout"), "the most frequent reason comes first"


def test_a_run_that_is_late_says_so(server: TestClient, runs: str) -> None:
    with open_store(settings.load().store_url) as store:
        store.late_warnings.record(runs, "email", LateKind.EXPECTED, "5 of <b>7</b> are late", now=AT)

    text = server.get(f"/kundresa/runs/{runs}", headers=as_user(server)).text
    assert '<p class="bad">5 of &lt;b&gt;7&lt;/b&gt; are late</p>' in text
    assert "are late" not in server.get("/kundresa/runs/winback--2", headers=as_user(server)).text


def test_the_list_of_runs_says_how_each_ended(server: TestClient, runs: str) -> None:
    text = server.get("/kundresa/runs", headers=as_user(server)).text

    assert text.count('href="runs/') == 3
    for words in ("completed", "stopped by the quality gate", "open", "not yet", "2,020"):
        assert words in text
    one = server.get("/kundresa/runs?campaign=sale", headers=as_user(server)).text
    assert one.count('href="runs/') == 1


def test_a_persons_text_is_shown_as_text(server: TestClient, runs: str) -> None:
    text = server.get("/kundresa/runs/winback--2", headers=as_user(server)).text

    assert "rows &lt;b&gt;3&lt;/b&gt;" in text


def test_no_page_runs_a_script(server: TestClient, runs: str) -> None:
    for path in PATHS[1:]:
        policy = server.get(path, headers=as_user(server)).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy


def test_data_docs_are_served_and_nothing_beside_them(server: TestClient, project: Any) -> None:
    docs = settings.load().data_docs
    (docs / "run" / "winback--1").mkdir(parents=True)
    (docs / "index.html").write_text("all gates")
    (docs / "run" / "winback--1" / "index.html").write_text("one gate")
    (docs.parent / "secret.txt").write_text("secret")
    (docs / "way_out").symlink_to(docs.parent)
    headers = as_user(server)

    assert server.get("/kundresa/data_docs/", headers=headers).text == "all gates"
    assert server.get("/kundresa/data_docs/run/winback--1", headers=headers).text == "one gate"
    for path in (
        "../secret.txt",
        "%2e%2e/secret.txt",
        "way_out/secret.txt",
        "/etc/passwd",
        "run/%00",
        "..%2fsecret.txt",
    ):
        answer = server.get(f"/kundresa/data_docs/{path}", headers=headers)
        assert answer.status_code == 404, path
        assert "secret" not in answer.text.replace("secret.txt", "")


def test_before_the_first_run_the_pages_say_so(server: TestClient, project: Any) -> None:
    headers = as_user(server)

    assert "No run yet" in server.get("/kundresa/runs", headers=headers).text
    assert server.get("/kundresa/data_docs/", headers=headers).status_code == 404


def test_a_campaign_in_the_address_must_be_a_name(server: TestClient, runs: str) -> None:
    answer = server.get("/kundresa/runs", params={"campaign": "<script>"}, headers=as_user(server))

    assert answer.status_code == 422
    assert "<script>" not in answer.text or answer.headers["content-type"] == "application/json"
    json.loads(answer.text)
