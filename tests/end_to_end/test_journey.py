"""A journey by the command line: from the event that the service takes in to the mailbox."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email import policy
from email.parser import BytesParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from kundresa import warehouse
from kundresa.sandbox import received
from kundresa.sandbox.ports import push_key

CHECKOUT = Path(__file__).resolve().parents[2]
KEY = "of the test"
WAITING = """
    select entity_id as product_id, list(profile_id) as waiting from segment_memberships
    where segment = 'waiting_for_product' and exited_at is null
    group by entity_id order by count(*) desc, entity_id limit 1
"""
PEOPLE = """
    select profiles.profile_id, contact_points.address, consents.status
    from profiles
    inner join contact_points on profiles.profile_id = contact_points.profile_id
    left join consents
        on
            profiles.profile_id = consents.profile_id
            and consents.channel = 'email'
            and consents.topic = 'offers'
    where
        contact_points.channel = 'email'
        and contact_points.is_valid
        and profiles.profile_id not in (select profile_id from suppressions)
        and contact_points.address in (
            select identifier from profile_identifiers where namespace = 'email'
            group by identifier having count(*) = 1
        )
    order by profiles.profile_id
"""


@contextmanager
def serving(shop: Any) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "kundresa.cli.main", "serve", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, env=shop.environ, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    httpx.get(f"{url}/healthy", trust_env=False).raise_for_status()
                    break
                except httpx.TransportError:
                    assert time.monotonic() < deadline, "the service does not start"
                    time.sleep(0.1)
            yield url
        finally:
            process.terminate()


def test_from_the_event_to_the_mailbox(shop: Any) -> None:
    dags = shop.project / "dags"
    cart = Path("journeys", "abandoned_cart")
    shutil.copytree(CHECKOUT / "dags" / cart, dags / cart)
    shutil.copy(CHECKOUT / "dags" / "events.yaml", dags)
    file = dags / "journeys" / "abandoned_cart" / "journey.yaml"
    file.write_text(file.read_text().replace("duration: 1h", "duration: 1s"))
    shop.extra["KUNDRESA_API_KEYS"] = f"shop:events:{hashlib.sha256(KEY.encode()).hexdigest()}"
    people = warehouse.query(shop.settings, PEOPLE)
    willing = [row["address"] for row in people if row["status"] == "yes"]
    unwilling = next(row["address"] for row in people if row["status"] != "yes")
    reminded, orders = willing[:2]

    assert "not started" in shop.kundresa("journey", "show").stdout
    assert shop.kundresa("journey", "show", "abandoned_cart", code=3).stderr.startswith("JourneyNotFound")
    assert "1 journey" in shop.kundresa("check").stdout
    shop.kundresa("journey", "start", "abandoned_cart")
    with serving(shop) as url:
        events = [
            {"id": who, "type": kind, "subject": f"email:{who}", "data": data}
            for who, kind, data in (
                *((each, "cart_updated", {"cart_id": "c", "cart_value": 60}) for each in willing[:2]),
                (unwilling, "cart_updated", {"cart_id": "c", "cart_value": 60}),
                (willing[2], "cart_updated", {"cart_id": "c", "cart_value": 49}),
                ("nobody@nowhere.example", "cart_updated", {"cart_id": "c", "cart_value": 60}),
            )
        ]
        events.append(
            {
                "id": "order",
                "type": "order_placed",
                "subject": f"email:{orders}",
                "data": {"order_id": "o", "order_value": 60},
            }
        )
        for _ in range(2):  # the answer was lost: sent again, nothing changes
            answer = httpx.post(
                f"{url}/events", json=events, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False
            )
            assert answer.status_code == 202, answer.text
    done = shop.json("journey", "run", "abandoned_cart", "--stay", "4")
    assert (done["entered"], done["accepted"]) == (3, 1)
    mails = received(shop.sandbox.home / "sandbox", channel="email")
    assert [each.recipient for each in mails] == [reminded]
    assert "left something in your cart" in mails[0].subject
    assert b"60.00" in mails[0].body

    again = shop.json("journey", "run", "abandoned_cart")
    assert (again["events"], again["accepted"]) == (0, 0)
    report = shop.json("journey", "show", "abandoned_cart")
    assert report["ended"] == {"exit": 1, "finished": 2}
    assert report["skips"] == {"condition": 1, "person_unknown": 1}
    told = shop.json("journey", "explain", unwilling, "abandoned_cart")
    assert told["entries"][0]["messages"][0]["outcome"] == "not_sent"
    way = shop.kundresa("journey", "explain", reminded, "abandoned_cart").stdout
    assert "reminder: sent" in way
    assert re.search(r"\d\d:\d\d:\d\dZ .* pause .* entered", way)
    assert shop.json("journey", "plan", "abandoned_cart", "--days", "1")["entered"] == 3
    words = ("abandoned_cart", reminded, "--data", '{"cart_id": "c", "cart_value": 60}')
    assert "your cart is still here" in shop.kundresa("journey", "rehearse", *words).stdout
    # The link that the mail itself carries, as a mail client uses it (RFC 8058): the next message has it.
    mail = BytesParser(policy=policy.default).parsebytes(mails[0].body)
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    [link] = re.findall(r"<(https?://[^>]+)>", mail["List-Unsubscribe"])
    with serving(shop) as url:
        form = {"List-Unsubscribe": "One-Click"}
        answer = httpx.post(f"{url}{urlsplit(link).path}", data=form, trust_env=False)
        assert answer.status_code == 200, answer.text
    refused = shop.json("journey", "rehearse", *words)
    assert [(each["step"], each["reason"]) for each in refused["messages"]] == [
        ("reminder", "consent_denied")
    ]
    later = ("--then", 'order_placed 0s {"order_id": "o", "order_value": 60}')
    assert "exit" in shop.kundresa("journey", "rehearse", *words, *later).stdout
    shop.kundresa("journey", "rehearse", *words, "--then", "order_placed soon", code=2)
    assert "is paused" in shop.kundresa("journey", "pause", "abandoned_cart").stdout
    assert "0 people were inside" in shop.kundresa("journey", "stop", "abandoned_cart", "--yes").stdout
    assert shop.kundresa("journey", "start", "abandoned_cart", code=1).stderr.startswith("JourneyStopped")


def test_a_product_that_is_back_lets_in_who_waits_for_it(shop: Any, tmp_path: Path) -> None:
    """A business event has no subject; only people of the segment with that product enter, once."""
    dags = shop.project / "dags"
    back = Path("journeys", "back_in_stock")
    shutil.copytree(CHECKOUT / "dags" / back, dags / back)
    shutil.copy(CHECKOUT / "dags" / "events.yaml", dags)
    shop.extra["AIRFLOW_CONN_KUNDRESA_APP"] = shop.sandbox.ports.fcm_uri(push_key(tmp_path))
    shop.extra["KUNDRESA_API_KEYS"] = f"shop:events:{hashlib.sha256(KEY.encode()).hexdigest()}"
    [wanted] = warehouse.query(shop.settings, WAITING)
    product, waiting = wanted["product_id"], set(wanted["waiting"])
    assert waiting
    data = {"product_id": product, "product_name": "A lamp", "stock": 5}
    assert shop.json("check")["journey back_in_stock"] == []
    shop.kundresa("journey", "start", "back_in_stock")
    with serving(shop) as url:
        few = {"product_id": product, "stock": 4}
        events = [
            {"id": name, "type": "product_back_in_stock", "data": each}
            for name, each in (("few", few), ("back", data))
        ]
        for _ in range(2):
            answer = httpx.post(
                f"{url}/events", json=events, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False
            )
            assert answer.status_code == 202, answer.text
    done = shop.json("journey", "run", "back_in_stock", "--stay", "4")
    assert done["entered"] == len(waiting)
    report = shop.json("journey", "show", "back_in_stock")
    assert report["skips"] == {"condition": 1}
    assert report["adds_up"] is True
    sent = sum(step["messages"].get("sent", 0) for step in report["steps"])
    arrived = [
        *received(shop.sandbox.home / "sandbox", channel="email"),
        *received(shop.sandbox.home / "sandbox", channel="push"),
    ]
    assert len(arrived) == len({each.message_id for each in arrived}) == sent
    assert all("A lamp" in each.subject for each in arrived if each.channel == "email")
    plan = shop.json("journey", "plan", "back_in_stock", "--days", "1")
    assert plan["entered"] == len(waiting)
    words = ("back_in_stock", min(waiting), "--data", json.dumps(data))
    told = shop.kundresa("journey", "rehearse", *words).stdout
    assert "A lamp" in told
    again = shop.json("journey", "run", "back_in_stock")
    assert (again["entered"], again["accepted"]) == (0, 0)
