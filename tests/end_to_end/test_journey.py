"""A journey by the command line: from the event that the service takes in to the mailbox."""

from __future__ import annotations

import csv
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
from datetime import UTC, datetime, timedelta
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
    quick = file.read_text().replace("within: 1h", "within: 1s").replace("lateness: 2m", "lateness: 0s")
    file.write_text(quick)
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
    changed = ("--then", 'cart_updated 0s {"cart_id": "c", "cart_value": 75}')
    assert "75.00" in shop.kundresa("journey", "rehearse", *words, *changed).stdout
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


def test_a_journey_is_tried_on_one_person_before_it_is_started(shop: Any) -> None:
    """An event through the service, and one by hand; a mail in the mailbox, and nothing in any figure."""
    dags = shop.project / "dags"
    cart = Path("journeys", "abandoned_cart")
    shutil.copytree(CHECKOUT / "dags" / cart, dags / cart)
    shutil.copy(CHECKOUT / "dags" / "events.yaml", dags)
    shop.extra["KUNDRESA_API_KEYS"] = f"shop:events:{hashlib.sha256(KEY.encode()).hexdigest()}"
    people = warehouse.query(shop.settings, PEOPLE)
    me, other = [row["address"] for row in people if row["status"] == "yes"][:2]
    begun = shop.json("journey", "test", "begin", "abandoned_cart", "--person", me, "--waits", "1s")
    assert (begun["test"], len(begun["people"])) == ("abandoned_cart-test1", 1)
    again = ("journey", "test", "begin", "abandoned_cart", "--person", other)
    assert shop.kundresa(*again, code=1).stderr.startswith("JourneyTestUnderWay")
    with serving(shop) as url:
        data = {"cart_id": "c", "cart_value": 60}
        events = [
            {"id": who, "type": "cart_updated", "subject": f"email:{who}", "data": data}
            for who in (me, other)
        ]
        key = {"Authorization": f"Bearer {KEY}"}
        answer = httpx.post(f"{url}/events", json=events, headers=key, trust_env=False)
        assert answer.status_code == 202, answer.text
        # What only a test hears comes in by no other way.
        forged = [events[0] | {"id": "forged", "type": "abandoned_cart-test:cart_updated"}]
        assert httpx.post(f"{url}/events", json=forged, headers=key, trust_env=False).status_code == 422
    done = shop.json("journey", "run", "abandoned_cart", "--stay", "5")
    assert (done["state"], done["entered"], done["in_test"]["accepted"]) == (None, 0, 1)
    [mail] = received(shop.sandbox.home / "sandbox", channel="email")
    assert mail.recipient == me
    found = shop.json("journey", "test", "show", "abandoned_cart")
    assert found["report"]["skips"] == {"not_in_test": 1}
    assert [each["end_reason"] for each in found["testers"]] == ["finished"]
    told = shop.kundresa("journey", "explain", me, "abandoned_cart", "--test").stdout
    assert "reminder: sent" in told
    words = ("journey", "test", "send", "abandoned_cart", "order_placed", "--person", other)
    order = '{"order_id": "o", "order_value": 60}'
    assert shop.kundresa(*words, "--data", order, code=1).stderr.startswith("UnfitTest")
    assert "no day of a journey had news" in shop.kundresa("journey", "record").stdout
    assert "is over; 0 entries" in shop.kundresa("journey", "test", "end", "abandoned_cart").stdout
    shop.kundresa("journey", "start", "abandoned_cart")
    report = shop.json("journey", "show", "abandoned_cart")
    assert (report["entered"], report["skips"], report["test"]) == (0, {}, None)


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


LETTER = """
owner: crm-team
description: A letter to who left something in the cart.
entry: {event: cart_updated}
exit: [{event: order_placed}]
topic: offers
steps:
  letter:
    kind: message
    channel:
      kind: direct_mail
      template: letter
      account: printer
      layout: {columns: [{name: message_id}, {name: full_name, header: NAME}, {name: cart}], delimiter: ";"}
    collect: {at: "%s"}
    on: {not_sent: end}
  posted: {kind: wait_for, reaction: delivered, to: letter, within: 20d, timeout: end}
  thanks: {kind: wait, duration: 30d}
"""
ROW = (
    "{% block message_id %}{{ message_id }}{% endblock %}"
    "{% block full_name %}{{ profile.first_name | default('') }} "
    "{{ profile.last_name | default('') }}{% endblock %}"
    "{% block cart %}{{ event.cart_id }}{% endblock %}"
)
HOMES = """
    select profiles.profile_id, emails.address, consents.status
    from profiles
    inner join contact_points as homes
        on profiles.profile_id = homes.profile_id and homes.channel = 'direct_mail' and homes.is_valid
    inner join contact_points as emails
        on profiles.profile_id = emails.profile_id and emails.channel = 'email'
    left join consents
        on
            profiles.profile_id = consents.profile_id
            and consents.channel = 'direct_mail'
            and consents.topic = 'offers'
    where
        profiles.profile_id not in (select profile_id from suppressions)
        and emails.address in (
            select identifier from profile_identifiers where namespace = 'email'
            group by identifier having count(*) = 1
        )
    order by profiles.profile_id
"""


def test_from_the_event_to_the_print_file_and_back(shop: Any, tmp_path: Path) -> None:
    """Letters wait for the time at which their file is made; the printer's result file moves people on."""
    dags, out = shop.project / "dags", tmp_path / "printer"
    out.mkdir()
    folder = dags / "journeys" / "by_post"
    folder.mkdir(parents=True)
    shutil.copy(CHECKOUT / "dags" / "events.yaml", dags)
    # The next full minute that leaves the commands time to start.
    made_at = (datetime.now(tz=UTC) + timedelta(seconds=105)).replace(second=0, microsecond=0)
    (folder / "journey.yaml").write_text(LETTER % f"{made_at:%H:%M}")
    (folder / "letter.row.j2").write_text(ROW)
    shop.extra["AIRFLOW_CONN_KUNDRESA_PRINTER"] = f"file://{out}"
    shop.extra["KUNDRESA_API_KEYS"] = f"shop:events:{hashlib.sha256(KEY.encode()).hexdigest()}"
    people = warehouse.query(shop.settings, HOMES)
    willing = [row["address"] for row in people if row["status"] == "yes"]
    unwilling = next(row["address"] for row in people if row["status"] != "yes")
    assert shop.json("check")["journey by_post"] == []
    shop.kundresa("journey", "start", "by_post")
    with serving(shop) as url:
        data = {"cart_id": "c 7", "cart_value": 60}
        events = [
            {"id": who, "type": "cart_updated", "subject": f"email:{who}", "data": data}
            for who in (*willing[:3], unwilling)
        ]
        order = {"order_id": "o", "order_value": 60}
        events.append({"id": "o", "type": "order_placed", "subject": f"email:{willing[2]}", "data": order})
        for _ in range(2):
            answer = httpx.post(
                f"{url}/events", json=events, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False
            )
            assert answer.status_code == 202, answer.text
    waiting = shop.json("journey", "run", "by_post")
    assert datetime.now(tz=UTC) < made_at, "this machine is too slow for this test's clock"
    assert (waiting["entered"], waiting["accepted"]) == (4, 0)
    assert datetime.fromisoformat(waiting["next_at"]) == made_at
    assert not [*out.iterdir()]
    left = (made_at - datetime.now(tz=UTC)).total_seconds()
    assert shop.json("journey", "run", "by_post", "--stay", str(int(left) + 5))["accepted"] == 2
    [file] = out.iterdir()
    header, *rows = csv.reader(file.read_text().splitlines(), delimiter=";")
    assert header == ["message_id", "NAME", "cart"]
    assert [row[2] for row in rows] == ["c 7"] * 2
    results = tmp_path / "results.csv"
    results.write_text("message_id;status\n" + "".join(f"{row[0]};posted\n" for row in rows))
    assert "2" in shop.kundresa("feedback", "printer", str(results)).stdout
    shop.json("journey", "run", "by_post")
    report = shop.json("journey", "show", "by_post")
    assert report["adds_up"] is True
    assert {step["step"]: step["people"] for step in report["steps"] if step["people"]} == {"thanks": 2}
    [letter] = [step for step in report["steps"] if step["step"] == "letter"]
    assert letter["messages"]["sent"] == 2
    assert shop.json("journey", "run", "by_post")["accepted"] == 0
    assert [each.name for each in out.iterdir()] == [file.name]
    assert "1 days" in shop.kundresa("journey", "record").stdout
    lines = warehouse.query(shop.settings, "select * from account_lines where channel = 'direct_mail'")
    assert sorted(each["outcome"] for each in lines) == ["excluded", "sent", "sent", "withheld"]
    told = shop.json("account", lines[0]["run_key"])
    assert told["channels"]["direct_mail"]["sent"] == 2
