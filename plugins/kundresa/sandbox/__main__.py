"""``python -m kundresa.sandbox``: a sandbox as a process of its own.

Prints one line of JSON when it is ready:
``{"smtp": 2525, "http": 2526, "pid": 4711, "push": 2527, "smpp": 2775}``.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from kundresa import settings
from kundresa.sandbox.ports import Ports
from kundresa.sandbox.server import DEFAULT_HTTP_PORT, DEFAULT_SMTP_PORT, serve


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m kundresa.sandbox", description=__doc__)
    parser.add_argument("--home", type=Path, help="where to keep state (default: KUNDRESA_HOME)")
    parser.add_argument("--smtp-port", type=int, default=DEFAULT_SMTP_PORT, help="0 takes a free one")
    parser.add_argument("--http-port", type=int, default=DEFAULT_HTTP_PORT, help="0 takes a free one")
    parser.add_argument("--push-port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--smpp-port", type=int, default=0, help="0 takes a free one")
    arguments = parser.parse_args()
    home = arguments.home.resolve() if arguments.home else settings.load().home
    try:
        serve(
            home / "sandbox",
            smtp_port=arguments.smtp_port,
            http_port=arguments.http_port,
            push_port=arguments.push_port,
            smpp_port=arguments.smpp_port,
            ready=_announce,
        )
    except OSError as error:
        sys.stderr.write(f"the sandbox cannot start: {error}\n")
        return 1
    return 0


def _announce(ports: Ports) -> None:
    sys.stdout.write(json.dumps(asdict(ports)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
