"""The service in a process of its own, as it is started where it is installed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from kundresa.settings import Settings

from .conftest import KEYS, _digest


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def environ_of(settings: Settings) -> dict[str, str]:
    """That of a process of this installation."""
    return os.environ | {
        "KUNDRESA_PROJECT": str(settings.project),
        "KUNDRESA_HOME": str(settings.home),
        "KUNDRESA_STORE_URL": settings.store_url,
        "KUNDRESA_SECRET": settings.secret,
        "KUNDRESA_API_KEYS": f"shop:{KEYS['shop']}+messages:{_digest('shop')}",
    }


def start(settings: Settings, port: int, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        command = [sys.executable, "-m", "kundresa.cli.main", "serve", "--port", str(port)]
        process = subprocess.Popen(command, env=environ_of(settings), stdout=output, stderr=output)
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"http://127.0.0.1:{port}/healthy", trust_env=False).status_code == 200:
                return process
        except httpx.TransportError:
            time.sleep(0.05)
    process.kill()
    raise AssertionError(log.read_text())
