"""What nobody knows of is handed over again where the account says that its receiver knows it."""

from __future__ import annotations

import pytest
from tests.unit.runs.test_waving import ACCEPTED, RUN, SIZES, bench  # noqa: F401  the fixture

from kundresa.channels import account_from_uri
from kundresa.runs import accounting, delivering
from kundresa.runs.accounting import RunNotFinished
from kundresa.spec.vocabulary import MessageState
from kundresa.warehouse import ReconcileCounts


@pytest.mark.parametrize(
    ("query", "state"), [("", MessageState.UNKNOWN), ("?idempotent=true", MessageState.ACCEPTED)]
)
def test_the_account_says_whether(bench, monkeypatch, query, state):  # noqa: F811
    account = account_from_uri(f"https://gateway.example/{query}", name="texts")
    monkeypatch.setattr("tests.unit.runs.test_waving.ACCOUNT", account)
    bench.open()
    send, size = bench.gateway.send, SIZES[1]

    def break_off(window):
        list(send(window))
        raise RuntimeError

    monkeypatch.setattr(bench.gateway, "send", break_off)
    with pytest.raises(RuntimeError):
        bench.deliver(1)
    monkeypatch.setattr(bench.gateway, "send", send)
    result = bench.at(minutes=10).deliver(1)
    assert result.counts == {state: size}
    assert result.retry_at is None
    again = size if state is ACCEPTED else 0
    assert sum(bench.gateway.got.values()) == size + again


def test_a_run_is_not_closed_while_it_is_not_known_what_became_of_a_message(bench, monkeypatch):  # noqa: F811
    account = account_from_uri("https://gateway.example/?idempotent=true", name="texts")
    monkeypatch.setattr("tests.unit.runs.test_waving.ACCOUNT", account)
    bench.open()
    send = bench.gateway.send

    def break_off(window):
        list(send(window))
        raise RuntimeError

    monkeypatch.setattr(bench.gateway, "send", break_off)
    with pytest.raises(RuntimeError):
        bench.deliver(1)
    counts = ReconcileCounts(
        RUN, {}, (), missing=0, extra=0, double=0, pending=0, people_considered=0, people_reached=0
    )
    monkeypatch.setattr(accounting.warehouse, "reconcile_counts", lambda *_: counts)

    def reconcile():
        return accounting.reconcile_run(bench.settings, RUN, clock=lambda: bench.now)

    with pytest.raises(RunNotFinished, match="not known yet"):
        reconcile()
    monkeypatch.setattr(bench.gateway, "send", send)
    bench.at(minutes=10).deliver(1)
    assert reconcile()["close_reason"] == "completed"


def test_letters_are_whole(bench, monkeypatch, tmp_path):  # noqa: F811
    """As ``delivering`` says it of a channel; ``delivery`` keeps it."""
    seen = []
    monkeypatch.setattr(delivering.delivery, "deliver_batch", lambda _, batch, **__: seen.append(batch))
    letters = {
        "kind": "direct_mail",
        "template": "text",
        "account": "texts",
        "layout": {"columns": [{"name": "message_id"}]},
    }
    letter = type(bench.spec).model_validate(
        bench.spec.model_dump(mode="json") | {"channels": [letters], "waves": None}
    )
    monkeypatch.setattr(delivering, "channel_of", lambda *_: letter.channels[0])
    monkeypatch.setattr("tests.unit.runs.test_waving.ACCOUNT", account_from_uri(f"file://{tmp_path}"))
    bench.open().deliver(1)
    assert [(each.is_idempotent, each.is_whole) for each in seen] == [(True, True)]
