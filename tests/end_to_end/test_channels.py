"""One campaign on push, webhook and direct mail: from YAML to what arrived, each person once."""

from __future__ import annotations

import csv
import json
from collections import Counter

from kundresa.sandbox.ports import push_key
from kundresa.store import open_store

SECRET = "a secret that is long enough to sign"
CAMPAIGN = "winback"
CHANNELS = [
    {"kind": "push", "template": "note", "account": "app"},
    {"kind": "webhook", "template": "call", "account": "crm", "per_request": 20},
    {
        "kind": "direct_mail",
        "template": "letter",
        "account": "printer",
        "layout": {
            "delimiter": ";",
            "columns": [{"name": "message_id"}, {"name": "full_name", "width": 80}, {"name": "country"}],
        },
    },
]
TEMPLATES = {
    "note.title.j2": "Hi {{ profile.first_name | default('there') }}",
    "note.body.j2": "Your orders: {{ profile.orders_count }}",
    "call.json.j2": '{"name": {{ profile.first_name | default(none) }},'
    ' "orders": {{ profile.orders_count }}}',
    "letter.row.j2": "{% block message_id %}{{ message_id }}{% endblock %}"
    "{% block full_name %}{{ profile.first_name | default('') }} {{ profile.last_name | default('') }}"
    "{% endblock %}{% block country %}{{ profile.country | default('') }}{% endblock %}",
}
POLICIES = """
topics:
  order_updates: {consent: exempt, because: A part of the order.}
webhook_hosts: ["127.0.0.1"]
"""


def test_every_channel_has_its_account_and_what_arrived_is_what_it_says(shop, tmp_path):
    letters = tmp_path / "letters"
    letters.mkdir()
    shop.extra |= {
        "AIRFLOW_CONN_KUNDRESA_APP": shop.sandbox.ports.fcm_uri(push_key(tmp_path)),
        "AIRFLOW_CONN_KUNDRESA_CRM": shop.sandbox.ports.hook_uri(SECRET),
        "AIRFLOW_CONN_KUNDRESA_PRINTER": f"file://{letters}",
    }
    (shop.project / "dags" / "policies.yaml").write_text(POLICIES)
    changes = {"channels": CHANNELS, "channel_choice": "all", "topic": "order_updates", "schedule": "manual"}
    changes |= {
        "holdout": None,
        "quality": {"rows": {"min": 10, "max": 5_000}, "max_invalid_address_percent": 60},
    }
    shop.change(CAMPAIGN, changes, TEMPLATES)
    shop.kundresa("check", code=None)

    account = shop.run(CAMPAIGN)
    assert account["close_reason"] == "completed"
    assert set(account["channels"]) == {"push", "webhook", "direct_mail"}
    for channel, part in account["channels"].items():
        assert part["sent"] > 5, (channel, part)
        assert part["considered"] == part["sent"] + sum(part["not_sent"].values()), (channel, part)
    run_key = account["run_key"]
    for channel in ("push", "webhook"):
        arrived = Counter(each.recipient for each in shop.received(run_key, channel))
        assert len(arrived) == account["channels"][channel]["sent"]
        assert set(arrived.values()) == {1}
    payload = json.loads(shop.received(run_key, "webhook")[0].body)
    assert set(payload) == {"name", "orders"}
    rows = [
        row
        for file in letters.iterdir()
        for row in csv.DictReader(file.read_text("utf-8").splitlines(), delimiter=";")
    ]
    assert len(rows) == len({row["message_id"] for row in rows}) == account["channels"]["direct_mail"]["sent"]

    files = {file.name: file.stat().st_mtime_ns for file in letters.iterdir()}
    assert shop.run(CAMPAIGN) == account
    assert {file.name: file.stat().st_mtime_ns for file in letters.iterdir()} == files
    assert len(shop.received(run_key, "push")) == account["channels"]["push"]["sent"]

    results = tmp_path / "results.csv"
    results.write_text(f"message_id;status;detail\n{rows[0]['message_id']};returned;moved, no new address\n")
    shop.kundresa("feedback", "printer", str(results))
    [letter] = (
        each
        for each in shop.json("explain", person_of(rows[0]["message_id"], shop), CAMPAIGN)
        if each["channel"] == "direct_mail"
    )
    assert letter["outcome"] == "accepted"
    [returned] = letter["came_back"]
    assert (returned["kind"], returned["bounce_class"]) == ("bounced", "hard")
    assert "moved, no new address" in returned["detail"]


def person_of(message_id, shop):
    with open_store(shop.settings.store_url) as store:
        return store.ledger.lines([message_id])[message_id].profile_id
