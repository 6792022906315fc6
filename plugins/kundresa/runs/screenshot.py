"""A page as a picture, through headless Chromium, where there is one."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 60
WIDTH, HEIGHT = 700, 1400
"""Pixels: a mail client's reading pane, and the length of a newsletter's first screens."""


class BrowserMissing(Exception):
    """There is no Chromium on the PATH."""


class ScreenshotFailed(Exception):
    """The browser ended without a picture."""


def screenshot(html: Path, png: Path, *, browser: str | None = None) -> None:
    """Take a picture of an HTML file, in a browser profile of its own that is thrown away.

    Raises:
        BrowserMissing: naming what to install.
        ScreenshotFailed: with the browser's last line.
    """
    found = browser or next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise BrowserMissing(
            f"a picture needs Chromium ({', '.join(BROWSERS)}), and none is installed; "
            "on Debian or Ubuntu: apt-get install chromium"
        )
    with tempfile.TemporaryDirectory(prefix="kundresa-browser-") as profile:
        words = [
            *(found, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *(f"--user-data-dir={profile}", "--hide-scrollbars", f"--window-size={WIDTH},{HEIGHT}"),
            *(f"--screenshot={png.resolve()}", html.resolve().as_uri()),
        ]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603
        except subprocess.TimeoutExpired:
            raise ScreenshotFailed(f"{found} took longer than {SECONDS} seconds") from None
    if not png.exists():
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ScreenshotFailed(f"{found} made no picture of {html}: {last}")
