"""What webhooks fetch from their providers: over TLS that is verified, from there and from nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.integration.channels.conftest import Certificate, certificate

from kundresa.feedback.webhooks import sns
from kundresa.feedback.webhooks.sns import AbsentError, FetchError, fetch

__all__ = ["certificate"]


class Pages(BaseHTTPRequestHandler):
    """``/<status>`` answers with that status; ``/large`` with more than is read, ``/silent`` with nothing."""

    go = threading.Event()

    def do_GET(self) -> None:
        asked = self.path.strip("/")
        if asked == "silent":
            self.go.wait(30)
            return
        status = int(asked) if asked.isdecimal() else 200
        body = b"x" * (sns.MAX_PAGE + 1) if asked == "large" else b"a page"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status in (301, 302, 307, 308):
            self.send_header("Location", "/200")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is written to the error output."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients that do not trust it end the handshake: this is what some of them are for."""


@pytest.fixture
def pages(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server(("127.0.0.1", 0), Pages)
    server.socket = certificate.context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(30)
    server.server_close()


@pytest.fixture
def trusted(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))


@pytest.mark.usefixtures("trusted")
def test_a_page(pages: str) -> None:
    assert fetch(f"{pages}/200") == b"a page"


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        *((str(status), AbsentError) for status in (400, 403, 404, 410)),
        *((str(status), FetchError) for status in (429, 500, 503)),
        # It is not followed.
        *((str(status), FetchError) for status in (301, 302, 307, 308)),
        ("large", AbsentError),
    ],
)
def test_what_there_is_instead(pages: str, path: str, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        fetch(f"{pages}/{path}")


@pytest.mark.usefixtures("trusted")
def test_it_does_not_wait_for_long(pages: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sns, "FETCH_SECONDS", 0.2)
    with pytest.raises(FetchError, match=r"TimeoutError|URLError"):
        fetch(f"{pages}/silent")
    Pages.go.set()


def test_a_host_that_is_not_verified_is_not_asked(pages: str) -> None:
    with pytest.raises(FetchError):
        fetch(f"{pages}/200")


def test_nobody_there() -> None:
    with pytest.raises(FetchError):
        fetch("https://127.0.0.1:9/200")


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "file:///etc/passwd", "ftp://127.0.0.1/"])
def test_another_protocol_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        fetch(url)
