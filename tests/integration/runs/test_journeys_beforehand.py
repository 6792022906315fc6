"""What is told of a journey before it runs: by its check, its plan and a rehearsal."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.runs.shop import NOW, PEOPLE, Shop

from kundresa.channels import Account, AccountError, account_from_uri
from kundresa.runs.journey_checking import UnknownJourney, check_journeys
from kundresa.runs.journey_planning import plan_journey
from kundresa.runs.journey_rehearsing import LaterEvent, Rehearsal, UnfitEvent, rehearse_journey
from kundresa.runs.proofs import ProofRefused, send_rehearsal
from kundresa.spec.problems import SpecError
from kundresa.spec.vocabulary import MessageState
from kundresa.store.tables import metadata


def test_a_plan_plays_the_events_of_before_and_writes_nothing(shop: Shop) -> None:
    for who in PEOPLE:
        shop.event(who, value=60)
    shop.now += timedelta(hours=30)
    before, arrived = _rows(shop), len(shop.arrived())
    planned = plan_journey(shop.settings, "cart", days=2, clock=lambda: shop.now)
    assert (planned.events, planned.entered) == (4, 4)
    assert planned.messages == {
        "mail": {"sent": 1, "consent_denied": 1, "consent_unknown": 1, "contact_point_missing": 1},
        "text": {"sent": 1},
    }
    assert planned.ended == {"finished": 4}
    assert (_rows(shop), len(shop.arrived())) == (before, arrived)


def _rows(shop: Shop) -> dict[str, list[tuple[Any, ...]]]:
    """All that the operational store holds."""
    with shop.store() as store, store.database.read() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(table.select())), key=repr)
            for table in metadata.sorted_tables
        }


def test_what_is_wrong_is_told_before_anything_is_started(shop: Shop) -> None:
    assert [each.problems for each in check_journeys(shop.settings)] == [()]
    shop.journey(**{"m.subject.j2": "{{ event.valeu }}"})
    with pytest.raises(SpecError, match=r"m\.subject\.j2:1: event has no field valeu; did you mean value"):
        shop.start()
    hidden = "<div style='display:none'><a href='{{ unsubscribe_url }}'></a></div>{{ event.value | number }}"
    shop.journey(**{"m.html.j2": hidden, "m.txt.j2": "{{ unsubscribe_url }}"})
    with pytest.raises(SpecError, match="the unsubscribe link stands where no reader sees it"):
        shop.start()
    with pytest.raises(UnknownJourney, match="did you mean cart"):
        check_journeys(shop.settings, ["carts"])


def test_mail_with_links_that_nobody_can_follow_is_told_and_refused(shop: Shop) -> None:
    shop.accounts["mails"] = "smtp://mail.invalid"
    refusal = "account mails .* sends real mail, and its links would lead to .* set KUNDRESA_PUBLIC_URL"

    def account_of(name: str) -> Account:
        return account_from_uri(shop.accounts[name], name=name)

    [checked] = check_journeys(shop.settings, account_of=account_of)
    [problem] = checked.problems
    assert (problem.line, problem.key) == (11, "steps.mail.channel.account")
    assert re.search(refusal, problem.message)
    planned = plan_journey(shop.settings, "cart", days=1, account_of=account_of, clock=lambda: shop.now)
    [warning] = planned.warnings
    assert re.match(f"mail: {refusal}", warning)
    before = len(shop.arrived())
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    with pytest.raises(AccountError, match=refusal):
        shop.run(hours=2)
    assert shop.outcome("anna") == [("", None)]
    assert len(shop.arrived()) == before
    told = rehearse_journey(shop.settings, "cart", "p-anna", data={"value": 1}, clock=lambda: shop.now)
    with pytest.raises(AccountError, match=refusal):
        send_rehearsal(shop.settings, told, ["me@shop.example"], account_of=account_of)


def test_a_rehearsal_shows_one_persons_way_and_what_they_would_read(shop: Shop) -> None:
    def rehearse(who: str, *then: LaterEvent, **data: Any) -> Rehearsal:
        return rehearse_journey(
            shop.settings, "cart", f"{who}@shop.example", data=data, then=then, clock=lambda: shop.now
        )

    anna = rehearse("anna", value=60, note="red shoes")
    assert [(move["step"], move["why"]) for move in anna.moves] == [
        ("pause", "entered"),
        ("mail", "waited"),
        ("rest", "sent"),
        ("end", "finished"),
    ]
    [message] = anna.messages
    assert (message.step, message.at, message.reason) == ("mail", NOW + timedelta(hours=1), None)
    assert "Anna: 60" in message.text
    ordered = rehearse("anna", LaterEvent("order", timedelta(minutes=30), {}), value=60)
    assert [(move["step"], move["why"]) for move in ordered.moves][-1] == ("end", "exit")
    assert ordered.messages == ()
    assert [each.reason for each in rehearse("eva", value=60).messages] == ["contact_point_missing", None]
    with pytest.raises(
        UnfitEvent, match="property 'value' of cart is required; what it says is given by --data"
    ):
        rehearse("anna")
    with shop.store() as store:
        assert store.inbox.count() == 0


def test_the_emails_of_a_rehearsal_reach_who_asks_for_them_and_nobody_else(shop: Shop) -> None:
    """Nothing of it is in the store; their links opt nobody out."""
    before = len(shop.arrived())
    told = rehearse_journey(
        shop.settings, "cart", "anna@shop.example", data={"value": 60}, clock=lambda: shop.now
    )
    assert [each.step for each in told.emails] == ["mail"]

    def account_of(name: str) -> Account:
        return account_from_uri(shop.accounts[name], name=name)

    testers = ["me@shop.example", "you@shop.example"]
    proofs = send_rehearsal(shop.settings, told, testers, account_of=account_of, clock=lambda: shop.now)
    assert [(each.address, each.name, each.receipt.state) for each in proofs] == [
        (who, "mail", MessageState.ACCEPTED) for who in testers
    ]
    new = shop.arrived()[before:]
    assert [each.recipient for each in new] == testers
    assert all(each.subject.startswith("[Proof] ") for each in new)
    assert "anna@shop.example" not in str([each.recipient for each in new])
    (shop.settings.project / "dags" / "policies.yaml").write_text("allow_list: ['@shop.example']\n")
    with pytest.raises(ProofRefused, match=r"elsewhere\.example is not in the allow_list"):
        send_rehearsal(shop.settings, told, ["me@elsewhere.example"], account_of=account_of)
    nothing = replace(told, emails=())
    with pytest.raises(ProofRefused, match="would get no email"):
        send_rehearsal(shop.settings, nothing, testers, account_of=account_of)
    assert len(shop.arrived()) == before + 2
