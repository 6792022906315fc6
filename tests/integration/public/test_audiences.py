"""What a decision engine is told of a person: memberships and what is marked shareable, nothing else."""

from __future__ import annotations

import time

import httpx
import pytest

from kundresa.settings import Settings

from .conftest import PEOPLE, publish

ENGINE = {"Authorization": "Bearer engine"}


@pytest.mark.parametrize(
    "path",
    [
        "crm_id/C1",
        "profile_id/p-anna",
        "profile_id/p-old",
        "email/Anna.Second@X.Example",
        "phone/+44%201632%20960002",
    ],
)
def test_a_person_by_any_of_their_names(client: httpx.Client, path: str) -> None:
    answer = client.get(f"/audiences/{path}", headers=ENGINE)
    assert answer.status_code == 200
    assert answer.json() == {
        "profile_id": "p-anna",
        "segments": [{"segment": "vip", "entity_id": "", "entered_at": "2026-01-01T00:00:00.000000Z"}],
        "traits": {"language": "en", "country": "GB"},
        "build_id": "20261123T040000.000000Z",
        "published_at": "2026-11-23T09:00:00+00:00",
    }
    assert "anna@x.example" not in answer.text


@pytest.mark.parametrize(
    "path", ["crm_id/nobody", "phone/+441632960009", "phone/1", "nothing/C1", "crm_id/%00", "crm_id/C1'"]
)
def test_nobody_or_not_one_person(client: httpx.Client, path: str) -> None:
    assert client.get(f"/audiences/{path}", headers=ENGINE).status_code == 404


def test_only_with_a_key_for_it(client: httpx.Client) -> None:
    assert client.get("/audiences/crm_id/C1").status_code == 401
    answer = client.get("/audiences/crm_id/C1", headers={"Authorization": "Bearer shop"})
    assert answer.status_code == 403


def test_a_new_publication_is_taken_up_while_serving(client: httpx.Client, settings: Settings) -> None:
    assert client.get("/audiences/crm_id/C1", headers=ENGINE).json()["traits"]["country"] == "GB"
    moved = {**PEOPLE, "profiles": [{"profile_id": "p-anna", "language": "en", "country": "IE"}]}
    publish(settings, "20261124T040000.000000Z", moved)
    deadline = time.monotonic() + 30  # it is looked for once a second
    while client.get("/audiences/crm_id/C1", headers=ENGINE).json()["traits"]["country"] != "IE":
        assert time.monotonic() < deadline
        time.sleep(0.05)
