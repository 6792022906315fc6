"""The sandbox's printer: what a print file comes back as."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import httpx

from kundresa.channels import account_from_uri, open_sender
from kundresa.feedback.print_results import read_results
from kundresa.sandbox import Sandbox, received
from kundresa.sandbox.printer import print_folder, result_folder
from kundresa.spec.channels import DirectMailChannel
from kundresa.spec.messages import DirectMailContent, Message
from kundresa.spec.vocabulary import BounceClass, FeedbackKind, MessageState

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
RUN_KEY = "winback--20261201T090000Z"
STREETS = ("Storgatan 1", "Return to sender 2", "Åvägen 3")


def test_every_letter_of_a_print_file_comes_back_in_its_result_file(tmp_path: Path) -> None:
    columns = [{"name": "street", "width": 20}, {"name": "message_id", "width": 32}]
    letters = [
        Message(f"{number:032x}", street, DirectMailContent((street, f"{number:032x}")))
        for number, street in enumerate(STREETS)
    ]
    folder = tmp_path / "sandbox"
    with Sandbox(tmp_path) as sandbox:
        account = account_from_uri(print_folder(folder).resolve().as_uri(), name="printer")
        for layout in ({"delimiter": ";"}, {"format": "fixed", "header": False}):
            channel = DirectMailChannel.model_validate(
                {
                    "kind": "direct_mail",
                    "template": "letter",
                    "account": "printer",
                    "layout": {"columns": columns, **layout},
                }
            )
            sender = open_sender(channel, account, lambda: NOW, run_key=RUN_KEY)
            assert [each.state for each in sender.send(letters)] == [MessageState.ACCEPTED] * 3
            sender.close()
            deadline = time.monotonic() + 30
            while any(print_folder(folder).iterdir()):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            [result] = result_folder(folder).iterdir()
            reports = [row.report for row in read_results(result) if row.report is not None]
            assert [(each.message_id, each.kind) for each in reports] == [
                (letters[0].message_id, FeedbackKind.DELIVERED),
                (letters[1].message_id, FeedbackKind.BOUNCED),
                (letters[2].message_id, FeedbackKind.DELIVERED),
            ]
            assert reports[1].bounce_class is BounceClass.HARD
            result.unlink()
        found = received(folder, channel="direct_mail", run_key=RUN_KEY)
        assert [each.message_id for each in found] == 2 * [each.message_id for each in letters]
        assert "Letter" in httpx.get(f"{sandbox.url}messages/{found[0].number}", trust_env=False).text
    assert len(list((folder / "printer" / "printed").iterdir())) == 2
