"""Running the service under uvicorn, with one process or several."""

from __future__ import annotations

import uvicorn

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 2581
MOST_CONNECTIONS = 1_000
"""Connections of one process; more are answered with 503 at once. Slow clients hold no thread, but a file
each."""
KEEP_ALIVE_SECONDS = 20


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
        access_log=False,
        server_header=False,
        log_level="warning",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=10,
    )
