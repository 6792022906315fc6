"""Is the Airflow process at a URL healthy? Exit code 0 or 1; for health checks in an image without curl."""

from __future__ import annotations

import sys
from urllib.request import ProxyHandler, build_opener

TIMEOUT_SECONDS = 5


def main(url: str) -> int:
    """Asks ``url`` directly (no proxy); healthy is any answer below 400."""
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=TIMEOUT_SECONDS) as answer:
            return 0 if answer.status < 400 else 1
    except OSError as error:  # URLError and HTTPError are OSErrors
        sys.stderr.write(f"{url}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
