"""A transactional campaign with a file and a calendar entry, from its folder to the mailbox."""

from __future__ import annotations

import email
import email.policy
from typing import Any

PDF = b"%PDF-1.7 terms \x00\xff" * 2_000
CALENDAR = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Nordlys//Pick-up//EN
BEGIN:VEVENT
UID:{{ message_id }}
DTSTAMP:{{ logical_at }}
DTSTART:{{ logical_at }}
SUMMARY:Pick-up for {{ profile.first_name | default('you') }}
END:VEVENT
END:VCALENDAR
"""
ATTACHMENTS = [
    {"file": "terms.pdf", "name": "Terms of sale.pdf"},
    {"template": "pickup", "type": "ics", "name": "Your pick-up.ics"},
]


def test_files_reach_the_mailbox(shop: Any) -> None:
    shop.change("winback", {"topic": "order_updates", "holdout": None})
    folder = shop.project / "dags" / "campaigns" / "winback"
    spec = (folder / "campaign.yaml").read_text()
    assert "- kind: email\n" in spec
    (folder / "campaign.yaml").write_text(
        spec.replace("- kind: email\n", f"- kind: email\n  attachments: {ATTACHMENTS}\n")
    )
    (folder / "terms.pdf").write_bytes(PDF)
    (folder / "pickup.ics.j2").write_text(CALENDAR)
    refused = shop.kundresa("check", "winback", code=1).stdout
    assert "messages about 'order_updates' carry no attachments" in " ".join(refused.split())
    policies = "topics:\n  order_updates: {consent: exempt, because: they ordered it}\n"
    (shop.project / "dags" / "policies.yaml").write_text(policies)
    shop.kundresa("check", "winback")
    account = shop.run("winback")
    mails = shop.received(account["run_key"], "email")
    assert len(mails) == account["channels"]["email"]["sent"] > 5
    for row in mails:
        mail = email.message_from_bytes(row.body, policy=email.policy.default)
        assert mail.get_content_type() == "multipart/mixed"
        terms, pickup = mail.iter_attachments()
        assert (terms.get_filename(), terms.get_content()) == ("Terms of sale.pdf", PDF)
        assert pickup.get_filename() == "Your pick-up.ics"
        assert pickup.get_content_type() == "text/calendar"
        assert f"UID:{row.message_id}" in pickup.get_content().splitlines()
