"""The receiver of webhooks, and the server that gives tokens for FCM."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from kundresa.sandbox.store import Arrival, Recorder

HOOK_PATH = "/hooks/{name}"
TOKEN_PATH = "/token"  # noqa: S105 - an address
MAX_BODY = 16_000_000


class Hooks:
    """Takes every webhook and stores each of its messages. The signature is kept beside the payload, not
    checked: the sandbox has no secret."""

    def __init__(self, recorder: Recorder, clock: Callable[[], datetime]) -> None:
        self._recorder = recorder
        self._clock = clock

    def routes(self) -> list[Route]:
        return [
            Route(HOOK_PATH, self._hook, methods=["POST"]),
            Route(TOKEN_PATH, self._token, methods=["POST"]),
        ]

    async def _hook(self, request: Request) -> JSONResponse:
        body = await request.body()
        messages = _messages(body)
        if messages is None or len(body) > MAX_BODY:
            return JSONResponse({"error": "expected an object with messages"}, status_code=400)
        results = []
        for message in messages:
            provider_id = uuid.uuid4().hex
            message_id = str(message.get("message_id", ""))
            await self._recorder.record(
                Arrival(
                    channel="webhook",
                    run_key=request.headers.get("x-kundresa-run", ""),
                    message_id=message_id,
                    provider_id=provider_id,
                    sender=request.headers.get("webhook-id", ""),
                    recipient=str(message.get("profile_id", "")),
                    subject=request.path_params["name"],
                    body=json.dumps(message.get("payload"), ensure_ascii=False, indent=1).encode(),
                    received_at=self._clock().isoformat(),
                )
            )
            results.append({"message_id": message_id, "status": "accepted", "id": provider_id})
        return JSONResponse({"results": results})

    async def _token(self, request: Request) -> JSONResponse:  # noqa: ARG002 - Starlette's signature
        return JSONResponse({"access_token": f"sandbox-{uuid.uuid4().hex}", "expires_in": 3600})


def _messages(body: bytes) -> list[dict[str, Any]] | None:
    try:
        found = json.loads(body)["messages"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, list) and all(isinstance(each, dict) for each in found) else None
