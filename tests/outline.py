"""A page as somebody meets it who does not see it."""

from __future__ import annotations

from html.parser import HTMLParser


class Outline(HTMLParser):
    """What a screen reader goes by: headings, tables and their captions, labels."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        known = dict(attributes)
        if (tag, known.get("type")) != ("input", "hidden"):
            self.seen.append(tag)
        if known.get("id"):
            self.ids.append(str(known["id"]))
        if tag == "a":
            self.links.append(str(known["href"]))
        if tag in ("link", "script", "img", "iframe") or "src" in known:
            self.loaded.append(tag)
        if tag == "th":
            assert known.get("scope") in ("col", "row")
