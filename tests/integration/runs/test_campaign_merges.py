"""A publication finds people to be one after a run was decided: a no under any id that they go by, or did,
holds at the last moment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.integration.runs.shop import MARTS
from tests.integration.runs.test_seeds_and_mirror import KEY, NOW, settings  # noqa: F401

from kundresa.channels import account_from_uri
from kundresa.delivery import BatchResult
from kundresa.runs.delivering import deliver, plan_batches
from kundresa.sandbox import Sandbox, received
from kundresa.settings import Settings
from kundresa.spec.vocabulary import DeliveryReason, MessageState
from kundresa.store import open_store
from kundresa.warehouse.people_index import write_index

DECIDED, OTHER, THIRD = "p-1", "p-2", "p-3"
"""The run has decided ``p-1``."""
AFTER = NOW + timedelta(minutes=30)
MINUTE = timedelta(minutes=1)


def publish(
    settings: Settings,  # noqa: F811
    redirects: Mapping[str, str],
    *,
    at: datetime,
    yes: Mapping[str, datetime] | None = None,
) -> None:
    """A publication in which some ids have become others, and some have said yes."""
    folder = settings.published / "builds" / f"{at:%Y%m%dT%H%M%S}.000000Z"
    some: dict[str, list[dict[str, Any]]] = {name: [] for name in MARTS}
    there = {DECIDED, OTHER, *redirects.values()} - redirects.keys()
    some["profiles"] = [{"profile_id": each} for each in sorted(there)]
    some["profile_redirects"] = [
        {"profile_id": former, "current_profile_id": now, "redirected_at": at.replace(tzinfo=None)}
        for former, now in redirects.items()
    ]
    some["consents"] = [
        {
            "profile_id": who,
            "channel": "email",
            "topic": "offers",
            "status": "yes",
            "recorded_at": said.replace(tzinfo=None),
        }
        for who, said in (yes or {}).items()
    ]
    for name, rows in some.items():
        (folder / name).mkdir(parents=True)
        schema = pa.schema(list(MARTS[name].items()))
        table = pa.Table.from_pylist([dict.fromkeys(schema.names) | each for each in rows], schema)
        pq.write_table(table, folder / name / "data_0.parquet")
    write_index(folder, ["language"])
    pointer = {"build_id": folder.name, "published_at": at.isoformat()}
    (settings.published / "current.json").write_text(json.dumps(pointer))


def say_no(settings: Settings, who: str, *, at: datetime) -> None:  # noqa: F811
    with open_store(settings.store_url) as store:
        store.answers.say_no(
            profile_id=who, channel="email", address="x@former.example", topic="offers", source="t", at=at
        )


def deliver_all(settings: Settings, home: Path) -> tuple[dict[int, BatchResult], list[str]]:  # noqa: F811
    """What became of the batches, and who got something. Batch 0 is the seeds."""
    with Sandbox(home) as sandbox:
        account = account_from_uri(sandbox.ports.smtp_uri)
        results = {
            number: deliver(
                settings, KEY, "email", number, owner=f"t{number}", account=account, clock=lambda: AFTER
            )
            for number in plan_batches(settings, KEY, "email")
        }
        arrived = received(sandbox.home / "sandbox", run_key=KEY, channel="email")
    return results, sorted({each.recipient for each in arrived if each.recipient.endswith("people.example")})


@pytest.mark.parametrize(
    ("redirects", "refused"),
    [
        pytest.param({DECIDED: OTHER}, OTHER, id="the surviving id"),
        pytest.param({DECIDED: OTHER}, DECIDED, id="the former id that was decided"),
        pytest.param({OTHER: DECIDED}, OTHER, id="another former id"),
        pytest.param({DECIDED: THIRD, OTHER: THIRD}, OTHER, id="another former id of a third"),
        pytest.param({DECIDED: THIRD, OTHER: THIRD}, THIRD, id="a third"),
    ],
)
@pytest.mark.parametrize("minutes", [20, -30], ids=["since the decision", "before it"])
def test_a_no_under_any_id_of_a_person_withholds(
    settings: Settings,  # noqa: F811
    tmp_path: Path,
    redirects: Mapping[str, str],
    refused: str,
    minutes: int,
) -> None:
    """The decision has taken them for two people, whenever the one of them had said no."""
    publish(settings, {}, at=NOW - timedelta(hours=1))
    publish(settings, redirects, at=NOW + timedelta(minutes=10), yes={DECIDED: NOW - timedelta(days=9)})
    say_no(settings, refused, at=NOW + minutes * MINUTE)
    results, arrived = deliver_all(settings, tmp_path / "sandbox")
    assert arrived == []
    assert results[1].counts == {MessageState.WITHHELD: 1}
    assert results[0].counts == {MessageState.ACCEPTED: 4}, "seeds are nobody's ids"
    with open_store(settings.store_url) as store:
        [count] = store.ledger.counts(KEY)
    assert count.reason is DeliveryReason.OPTED_OUT_SINCE_DECISION


@pytest.mark.parametrize(("minutes", "is_sent"), [(-29, True), (11, False)], ids=["told", "of the future"])
def test_a_yes_that_is_published_takes_an_earlier_no_under_another_id_back(
    settings: Settings,  # noqa: F811
    tmp_path: Path,
    minutes: int,
    *,
    is_sent: bool,
) -> None:
    yes = {DECIDED: NOW + minutes * MINUTE}
    publish(settings, {OTHER: DECIDED}, at=NOW + 10 * MINUTE, yes=yes)
    say_no(settings, OTHER, at=NOW - 30 * MINUTE)
    _, arrived = deliver_all(settings, tmp_path / "sandbox")
    assert arrived == (["anna@people.example"] if is_sent else [])


@pytest.mark.parametrize("redirects", [{}, {OTHER: THIRD}], ids=["nobody", "somebody else"])
def test_a_no_of_another_person_withholds_nothing(
    settings: Settings,  # noqa: F811
    tmp_path: Path,
    redirects: Mapping[str, str],
) -> None:
    publish(settings, redirects, at=NOW + timedelta(minutes=10))
    say_no(settings, OTHER, at=NOW + timedelta(minutes=20))
    results, arrived = deliver_all(settings, tmp_path / "sandbox")
    assert (arrived, results[1].counts) == (["anna@people.example"], {MessageState.ACCEPTED: 1})
