"""The API does what its OpenAPI document says, whatever it is sent; schemathesis makes the requests."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import given, strategies
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from tests.fuzzing import seeded

from kundresa.content import Links, Token
from kundresa.public.app import build_app
from kundresa.settings import Settings
from kundresa.store import open_store

from .conftest import serving

POSTMARK = "postmark:a-long-password"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@schemathesis.serializer("application/x-ndjson")
def as_lines(_: object, value: Any) -> bytes:
    """One JSON document per line."""
    documents = value if isinstance(value, list) else [value]
    return b"\n".join(json.dumps(each).encode() for each in documents)


@pytest.fixture
def store_url(migrated_file: object, tmp_path: object) -> str:
    """SQLite alone: what the engine is does not show in the answers."""
    return f"sqlite:///{tmp_path}/store.sqlite"


@pytest.fixture
def api(settings: Settings, orders: None) -> Iterator[schemathesis.BaseSchema]:
    made = dataclasses.replace(settings, webhooks=f"{settings.webhooks}, pm=postmark:{POSTMARK}")
    with serving(build_app(made, open_store(made.store_url))) as address:
        schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
        schema.config.update(base_url=address)
        # Too many events at once are refused for that.
        rejection = schema.config.checks.negative_data_rejection
        rejection.expected_statuses = [*rejection.expected_statuses, "413"]
        yield schema


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("name", ["sendEvents", "sendMessage", "readMessage", "readAudience"])
def test_the_api_is_what_it_says(api: schemathesis.BaseSchema, name: str, mode: GenerationMode) -> None:
    """What fits the document is taken, what does not is refused, and every answer is one that it names."""
    statuses: set[int] = set()

    @seeded(30)
    @given(api.find_operation_by_id(name).as_strategy(generation_mode=mode))
    def sent(case: schemathesis.Case) -> None:
        answer = case.call(headers={"Authorization": "Bearer both"})
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    sent()
    if name.startswith("read"):
        assert 404 in statuses  # it was looked for
    else:
        assert (202 if mode is GenerationMode.POSITIVE else 422) in statuses


PAGES = {
    "showUnsubscribe": {200, 404},
    "unsubscribe": {200, 404},
    "showPreferences": {200, 404},
    "savePreferences": {200, 404},
    "countOpen": {200, 404},
    "followLink": {302, 404},
    "showMessage": {200, 404},
}


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("name", PAGES)
def test_the_pages_are_what_it_says(
    api: schemathesis.BaseSchema,
    links: Links,
    path: Callable[[str], str],
    sent: Token,
    name: str,
    mode: GenerationMode,
) -> None:
    """By links of a message that was sent, and by what is none."""
    operation = api.find_operation_by_id(name)
    target = links.sign_target(1, "https://shop.example/")
    good = {
        "u": links.unsubscribe_url(sent),
        "p": links.preferences_url(sent),
        "o": links.open_url(sent.message_id),
        "c": f"{links.click_url(sent.message_id)}.{target}",
        "m": links.mirror_url(sent.message_id),
    }
    token = path(good[operation.path[1]])[3:]
    statuses: set[int] = set()

    @seeded(30)
    @given(operation.as_strategy(generation_mode=mode), strategies.sampled_from((token, token, None)))
    def asked(case: schemathesis.Case, ours: str | None) -> None:
        if ours is not None:
            case.path_parameters["token"] = ours
        answer = case.call(allow_redirects=False)
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=SIGNED_CHECKS)
        assert ours is not None or answer.status_code == 404

    asked()
    expected = PAGES[name] if mode is GenerationMode.POSITIVE else {404}
    assert expected <= statuses


def test_what_is_found_is_answered_as_it_says(api: schemathesis.BaseSchema) -> None:
    """What no made-up id finds: a message that was asked for, and somebody who is published."""
    asked = {"id": "m-1", "journey": "orders", "recipient": "email:guest@x.example"}
    asked["data"] = {"order_id": "o-1", "order_value": 20}
    keyed = {"Authorization": "Bearer both"}
    sent = api.find_operation_by_id("sendMessage").Case(body=asked, media_type="application/json")
    assert sent.call_and_validate(headers=keyed, checks=CHECKS).status_code == 202
    message = api.find_operation_by_id("readMessage").Case(path_parameters={"id": "m-1"})
    assert message.call_and_validate(headers=keyed, checks=CHECKS).json()["id"] == "m-1"
    person = {"namespace": "email", "identifier": "anna.second@x.example"}
    found = api.find_operation_by_id("readAudience").Case(path_parameters=person)
    assert found.call_and_validate(headers=keyed, checks=CHECKS).json()["profile_id"] == "p-anna"


SIGNED_CHECKS = [check for check in CHECKS if check is not negative_data_rejection]
"""An event of a kind that is not known is skipped, whatever else it lacks."""


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_reports_are_taken_as_it_says(api: schemathesis.BaseSchema, mode: GenerationMode) -> None:
    """Signed and not, as JSON, as a form and as text; nobody's name and the three there are."""
    statuses: set[int] = set()

    @seeded(200)
    @given(
        api.find_operation_by_id("sendReports").as_strategy(generation_mode=mode),
        strategies.sampled_from(["mail", "mail", "texts", "pm", None]),
        strategies.booleans(),
    )
    def sent(case: schemathesis.Case, name: str | None, is_signed: bool) -> None:
        if name is not None:
            case.path_parameters["name"] = name
        body = requests.Request(**case.as_transport_kwargs()).prepare().body or b""
        octets = body.encode() if isinstance(body, str) else body
        timestamp = str(int(time.time()))
        signature = hmac.new(b"mail-secret", timestamp.encode() + b"." + octets, hashlib.sha256).hexdigest()
        named = f"Basic {base64.b64encode(POSTMARK.encode()).decode()}"
        known = {"X-Timestamp": timestamp, "X-Signature": signature, "Authorization": named}
        headers = known if is_signed else {}
        answer = case.call(headers=headers)
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=SIGNED_CHECKS)
        if name == "mail" and not is_signed:
            assert answer.status_code == 403
        if name == "pm" and not is_signed:
            assert answer.status_code == 401

    sent()
    assert {403, 200 if mode is GenerationMode.POSITIVE else 422} <= statuses
