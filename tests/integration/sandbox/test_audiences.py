"""The sandbox as the destination of audience shares: it holds what a real destination would."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import httpx

from kundresa.channels import account_from_uri
from kundresa.channels.audience_share import ShareBatch, WebhookShare
from kundresa.sandbox import Sandbox
from kundresa.sandbox.audiences import audiences, members
from kundresa.spec.audience_share import ShareChange

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)


def test_who_is_in_which_segments_is_kept_and_shown_as_it_was_told(tmp_path: Path) -> None:
    folder = tmp_path / "sandbox"
    first = ShareBatch(
        "web_shop",
        "b1",
        1,
        "full",
        1,
        2,
        [ShareChange("anna", ("lapsed", "vip")), ShareChange("<b>", ("vip",))],
    )
    second = ShareBatch("web_shop", "b1", 1, "full", 2, 2, [ShareChange("cecilia", ("lapsed",))])
    delta = ShareBatch(
        "web_shop",
        "b2",
        2,
        "delta",
        1,
        1,
        [ShareChange("anna", ("vip",), left=("lapsed",)), ShareChange("cecilia", None)],
    )
    with Sandbox(tmp_path) as sandbox:
        account = account_from_uri(sandbox.ports.audience_uri("not a secret, but long enough"), name="shop")
        destination = WebhookShare(account, lambda: NOW, ["127.0.0.1"])
        destination.put(first)
        assert [(each.people, each.is_whole) for each in audiences(folder)] == [(2, False)]
        for _ in range(2):  # told twice it is the same
            destination.put(second)
        assert members(folder, "web_shop") == {
            "<b>": ["vip"],
            "anna": ["lapsed", "vip"],
            "cecilia": ["lapsed"],
        }
        assert [each.segments for each in audiences(folder)] == [{"lapsed": 2, "vip": 2}]
        destination.put(delta)
        destination.close()
        assert members(folder, "web_shop") == {"<b>": ["vip"], "anna": ["vip"]}
        with httpx.Client(base_url=sandbox.url, trust_env=False) as browser:
            assert 'href="/audiences"' in browser.get("/").text
            page = browser.get("/audiences", params={"share": "web_shop"}).text
            assert "<td>anna</td><td>vip</td>" in page
            assert "cecilia" not in page
            assert "&lt;b&gt;" in page
            half = {"share": "web_shop", "changes": [{"id": "x", "segments": ["vip"]}, {"segments": []}]}
            mark = {"build_id": "b3", "sequence": 3, "mode": "full", "batch": 1, "batches": 1}
            for body in (half, half | mark, [], {"share": "web_shop"}):
                assert browser.post("/audiences/shop", json=body).status_code == 400
    [share] = audiences(folder)
    assert (share.share, share.build_id, share.sequence, share.people, share.is_whole) == (
        "web_shop",
        "b2",
        2,
        2,
        True,
    )
