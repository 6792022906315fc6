"""Bad input gets a clear error and loses nothing."""

from __future__ import annotations

import csv
import json
from email import policy
from email.parser import BytesParser

import pytest


def _problems(shop, code=1) -> str:
    return shop.kundresa("check", code=code).stdout


def _current(shop) -> str:
    return json.loads((shop.home / "published" / "current.json").read_text())["build_id"]


def _edit_csv(shop, name, edit):
    """Apply ``edit(header, rows)`` to a source file; it changes both in place."""
    path = shop.home / "raw" / name
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file))
    edit(header, rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def test_broken_yaml_names_file_and_line_and_leaves_the_neighbour_alone(shop):
    path = shop.project / "dags" / "campaigns" / "winback" / "campaign.yaml"
    path.write_text(path.read_text() + "audience: [\n")
    report = shop.json("check", code=1)
    assert report["spring_sale"] == []
    assert report["winback"][0]["file"].endswith("winback/campaign.yaml")
    assert report["winback"][0]["line"]
    shop.kundresa("run", "winback", "--logical-date", shop.logical_date, code=1)
    assert shop.run("spring_sale")["close_reason"] == "completed"


def test_unknown_segment_names_the_nearest(shop):
    shop.change("winback", {"audience": {"include": ["lapsed_custmers"]}})
    assert "did you mean 'lapsed_customers'" in _problems(shop)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ profile.frist_name }}", "first_name"),
        ("{{ voucher }}", "voucher"),
        ("{% if %}", "Expected an expression"),
        ("{{ profile.first_name | upperr }}", "upperr"),
    ],
)
def test_template_errors_are_found_without_a_run(shop, text, expected):
    folder = shop.project / "dags" / "campaigns" / "winback"
    [subject] = folder.glob("*.subject.j2")
    subject.write_text(text)
    shown = _problems(shop)
    assert expected in shown
    assert subject.name in shown


def test_a_wrong_header_stops_the_build_and_the_last_publication_stays(shop):
    before = _current(shop)
    _edit_csv(
        shop, "orders.csv", lambda header, _: header.__setitem__(header.index("ordered_at"), "order_date")
    )
    shown = shop.kundresa("build", code=1).stderr
    assert "orders.csv" in shown
    assert "ordered_at" in shown
    assert _current(shop) == before


def test_wrong_types_stop_the_build_with_counts(shop):
    before = _current(shop)

    def spoil(header, rows):
        for row in rows[:3]:
            row[header.index("total_amount")] = "twelve"

    _edit_csv(shop, "orders.csv", spoil)
    shown = shop.kundresa("build", code=1).stderr
    assert "total_amount" in shown
    assert "3" in shown
    assert _current(shop) == before


def test_duplicate_keys_stop_the_build(shop):
    before = _current(shop)
    _edit_csv(shop, "crm_customers.csv", lambda _, rows: rows.append(rows[0]))
    assert "crm_id" in shop.kundresa("build", code=1).stderr
    assert _current(shop) == before


def test_hostile_names_and_invalid_addresses_arrive_or_have_a_reason(shop):
    """Names that break headers or markup in worse systems; addresses that are none."""
    hostile = [
        "Anna\r\nBcc: thief@evil.example",
        'O"Brien, "the" <Boss>',
        "😀 Zoë 🎉",
        "שלום עולם",
        "x" * 10_000,
        "<script>alert(1)</script>",
        "{{ 7 * 7 }}",
    ]

    def rename(header, rows):
        for number, row in enumerate(rows):
            row[header.index("first_name")] = hostile[number % len(hostile)]

    _edit_csv(shop, "crm_customers.csv", rename)
    _edit_csv(shop, "shop_accounts.csv", rename)
    shop.kundresa("build")
    planned = shop.json("plan", "winback")["channels"]["email"]["send"]
    assert planned > len(hostile)
    account = shop.run("winback")
    email = account["channels"]["email"]
    assert email["sent"] == planned
    assert email["not_sent"]["address_invalid"] > 0
    received = shop.received(account["run_key"], "email")
    assert len(received) == planned
    for each in received:
        message = BytesParser(policy=policy.default).parsebytes(each.body)
        assert message["Bcc"] is None
        assert not message.defects
        assert "<script>" not in message.get_body(("html",)).get_content()
    assert not any(each.subject.startswith("49") for each in received)
