"""What the text message adapter sends is what Twilio's published description takes, by openapi-core."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from openapi_core import OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse

from kundresa.channels import account_from_uri
from kundresa.channels.http_peer import Response, basic_authorization
from kundresa.channels.sms import TwilioAdapter
from kundresa.spec.channels import SmsChannel
from kundresa.spec.messages import Message, SmsContent
from kundresa.spec.vocabulary import MessageState

CHECKOUT = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("KUNDRESA_SHARED_DATA") or CHECKOUT.parent / "shared" / "data")
DESCRIPTION = SHARED / "twilio" / "messages-openapi.json"
SID = "AC" + "0123456789abcdef" * 2
FORM = "application/x-www-form-urlencoded"
PATH = "/2010-04-01/Accounts/{AccountSid}/Messages.json"

pytestmark = pytest.mark.skipif(not DESCRIPTION.exists(), reason="Twilio's description is not here")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DESCRIPTION.read_text("utf-8"))
    return found


def adapter(user: str = SID) -> TwilioAdapter:
    account = account_from_uri(f"https://{user}:token@api.twilio.com", name="texts")
    channel = SmsChannel(kind="sms", template="m", account="texts", sender="+447700900123")
    return TwilioAdapter(channel, account, run_key="r", clock=lambda: datetime(2026, 11, 23, tzinfo=UTC))


def sent(user: str = SID, **changes: Any) -> MockRequest:
    text = Message("0" * 32, "+46701234567", SmsContent("Hej Åsa 👋 & co + 100 %"))
    request = adapter(user).request([text])
    account = account_from_uri(f"https://{user}:token@api.twilio.com", name="texts")
    headers = {**request.headers, "Authorization": basic_authorization(account)["authorization"], **changes}
    return MockRequest(
        "https://api.twilio.com",
        "post",
        request.path,
        path_pattern=PATH,
        view_args={"AccountSid": user},
        headers={key: value for key, value in headers.items() if value},
        data=request.body,
        content_type=FORM,
    )


def test_a_request_is_valid(document: dict[str, Any]) -> None:
    result = OpenAPI.from_dict(document).unmarshal_request(sent())
    assert result.errors == []
    assert result.body == {
        "To": "+46701234567",
        "From": "+447700900123",
        "Body": "Hej Åsa 👋 & co + 100 %",
    }


def test_every_field_is_one_that_the_description_has(document: dict[str, Any]) -> None:
    """A schema takes fields that it does not name; a misspelt one would be ignored by the provider."""
    schema = document["paths"][PATH]["post"]["requestBody"]["content"][FORM]["schema"]
    body = sent().body
    assert body is not None
    assert {name for name, _ in parse_qsl(body.decode())} <= set(schema["properties"])


@pytest.mark.parametrize(("user", "changes"), [("shop", {}), (SID, {"Authorization": ""})])
def test_the_validator_finds_what_is_wrong(
    document: dict[str, Any], user: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(OpenAPIError):
        OpenAPI.from_dict(document).validate_request(sent(user, **changes))


def test_the_answer_that_the_description_shows_is_understood(document: dict[str, Any]) -> None:
    content = document["paths"][PATH]["post"]["responses"]["201"]["content"]["application/json"]
    shown = content["examples"]["create"]["value"]
    octets = json.dumps(shown).encode()
    OpenAPI.from_dict(document).validate_response(sent(), MockResponse(octets, status_code=201))
    [receipt] = adapter().receipts(
        [Message("0" * 32, "+46701234567", SmsContent("Hi"))], Response(201, {}, octets)
    )
    assert (receipt.state, receipt.provider_id) == (MessageState.ACCEPTED, shown["sid"])
