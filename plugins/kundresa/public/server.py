"""Running the service under uvicorn, with one process or several."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import uvicorn

from kundresa.public.prompt import HEAD_SECONDS, PromptProtocol

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 2581
MOST_CONNECTIONS = 1_000
"""Connections of one process; more are answered with 503 at once. Slow clients hold no thread, but a file
each, and not for long (see ``prompt``)."""

OPTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "http": PromptProtocol,
        "ws": "none",
        "access_log": False,
        "server_header": False,
        "limit_concurrency": MOST_CONNECTIONS,
        "timeout_keep_alive": int(HEAD_SECONDS),
        "timeout_graceful_shutdown": 10,
    }
)
"""How uvicorn runs the service, wherever it does."""


def serve(*, host: str = DEFAULT_HOST, port: int = DEFAULT_PORT, workers: int = 1) -> None:
    """Serve until SIGINT or SIGTERM; what has been taken in is written before it ends.

    Each process reads its settings from the environment. Requests are not logged: their addresses are tokens,
    and who has one can act for its person.
    """
    uvicorn.run(
        "kundresa.public.app:create",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        log_level="warning",
        **OPTIONS,
    )
