"""Nobody is in two print files: an answer is lost at each step of writing one, and somebody says no before
the next attempt. Over the real protocols and through the ledger, counted where the files arrive."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paramiko
import pytest
from tests.integration.channels.test_print_file import Server, sftp
from tests.integration.channels.test_print_file_s3 import Bucket, bucket

from kundresa.channels import account_from_uri, is_idempotent, open_sender
from kundresa.channels.folder import Folder
from kundresa.delivery import Batch, BatchResult, deliver_batch
from kundresa.spec.channels import DirectMailChannel
from kundresa.spec.messages import Content, DirectMailContent
from kundresa.spec.vocabulary import DeliveryPolicy, FeedbackKind, MessageState, Trigger
from kundresa.store import NewFeedback, NewRun, Store, open_store

__all__ = ["bucket", "sftp"]
ACCEPTED, WITHHELD, UNKNOWN = MessageState.ACCEPTED, MessageState.WITHHELD, MessageState.UNKNOWN
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
RUN = "winback--1"
PEOPLE = 6
CHANNEL = DirectMailChannel.model_validate(
    {
        "kind": "direct_mail",
        "template": "letter",
        "account": "printer",
        "layout": {"columns": [{"name": "message_id"}, {"name": "full_name"}], "header": False},
    }
)
IDS = sorted(hashlib.md5(str(each).encode()).hexdigest() for each in range(PEOPLE))


class Writer:
    def render(self, row: Mapping[str, Any], /) -> Content:
        # The last two have one name: a row that is written once.
        name = "Bo" if row["message_id"] in IDS[-2:] else row["profile_id"]
        return DirectMailContent((row["message_id"], name))


class Campaign:
    """One batch of letters to six people, and a place whose files can be counted."""

    def __init__(self, store: Store, policy: DeliveryPolicy, uri: str) -> None:
        self.store = store
        self.policy = policy
        self.uri = uri
        self.now = NOW
        until = NOW + timedelta(hours=84)
        store.runs.open(NewRun(RUN, "winback", NOW, Trigger.MANUAL, "{}", "0" * 64, NOW, until))
        store.runs.mark_decided([RUN], at=NOW)
        store.runs.mark_checked(RUN)
        store.batches.register(RUN, "direct_mail", 1, PEOPLE)

    def deliver(self) -> BatchResult:
        account = account_from_uri(self.uri, name="printer")
        return deliver_batch(
            self.store,
            Batch(
                run_key=RUN,
                channel="direct_mail",
                number=1,
                topic="news",
                policy=self.policy,
                window=5_000,
                decided_at=NOW,
                not_before=NOW,
                valid_until=NOW + timedelta(hours=84),
                is_idempotent=is_idempotent(CHANNEL, account),
                is_whole=True,
            ),
            rows=lambda: [
                {
                    "message_id": each,
                    "profile_id": f"p{each[:6]}",
                    "channel": "direct_mail",
                    "address": f"Storgatan {each[:6]}",
                    "variant": None,
                }
                for each in IDS
            ],
            renderer=Writer(),
            open_sender=lambda: open_sender(CHANNEL, account, lambda: self.now, run_key=RUN),
            owner="anna",
            lease=timedelta(seconds=60),
            clock=lambda: self.now,
        )

    def say_no(self) -> None:
        """The first of them."""
        self.store.opt_outs.record(
            channel="direct_mail",
            address=f"Storgatan {IDS[0][:6]}",
            source="letter",
            recorded_at=self.now,
        )

    def report(self, kind: FeedbackKind) -> None:
        """By the printer, of the second of them."""
        told = NewFeedback(
            feedback_key=f"printer/{IDS[1]}",
            kind=kind,
            channel="direct_mail",
            provider="printer",
            occurred_at=self.now,
            received_at=self.now,
            message_id=IDS[1],
        )
        self.store.feedback.record([told])

    def later(self) -> BatchResult:
        self.now += timedelta(minutes=10)
        return self.deliver()


@pytest.fixture(params=list(DeliveryPolicy))
def campaign(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Campaign]]:
    with open_store(f"sqlite:///{tmp_path / 'once.sqlite'}") as store:
        yield lambda uri: Campaign(store, request.param, uri)


def files(folder: Path) -> list[bytes]:
    return [each.read_bytes() for each in folder.iterdir() if not each.name.startswith(".")]


def people(printed: list[bytes]) -> Counter[str]:
    """Message id → in how many files."""
    return Counter(row[0] for file in printed for row in csv.reader(file.decode().splitlines()))


def check(found: Campaign, result: BatchResult, printed: list[bytes], *, stood: bool) -> None:
    """All that hold whichever place it was."""
    assert result.retry_at is None
    [file] = printed
    expected = IDS[:-1] if stood else IDS[1:-1]
    assert people([file]) == dict.fromkeys(expected, 1)
    lines = found.store.ledger.lines(IDS)
    assert [key for key in IDS if lines[key].state is ACCEPTED] == expected
    reasons = {key: lines[key].reason for key in IDS if lines[key].state is WITHHELD}
    said_no = {} if stood else {IDS[0]: "opted_out_since_decision"}
    assert reasons == {**said_no, IDS[-1]: "duplicate_row"}


@pytest.mark.parametrize(
    ("step", "stood"),
    [("open", False), ("write", False), ("before_rename", False), ("after_rename", True)],
)
@pytest.mark.parametrize("has_extension", [True, False])
def test_an_sftp_server_that_hangs_up(
    sftp: Server, campaign: Callable[[str], Campaign], step: str, stood: bool, has_extension: bool
) -> None:
    if not has_extension:
        sftp.files.posix_rename = paramiko.SFTPServerInterface.posix_rename  # type: ignore[method-assign]
    found = campaign(sftp.uri())
    sftp.files.breaks = step
    result = found.deliver()
    assert result.counts == {UNKNOWN: PEOPLE}
    assert result.retry_at == NOW + timedelta(minutes=5)
    found.say_no()
    sftp.files.breaks = "look"
    asked_in_vain = found.later()
    assert asked_in_vain.counts == {UNKNOWN: PEOPLE}
    assert asked_in_vain.retry_at == found.now + timedelta(minutes=5)
    sftp.files.breaks = ""
    check(found, found.later(), files(sftp.root / "in"), stood=stood)
    assert not [each.name for each in (sftp.root / "in").iterdir() if each.name.startswith(".")]


@pytest.mark.parametrize("query", ["", "&kept=true"])
@pytest.mark.parametrize("answer", ["drop", "lose", (500, "InternalError")])
def test_a_bucket_whose_answer_is_lost(
    bucket: Bucket, campaign: Callable[[str], Campaign], answer: tuple[int, str] | str, query: str
) -> None:
    found = campaign(bucket.uri() + query)
    bucket.answers += [answer] * 5
    assert found.deliver().counts == {UNKNOWN: PEOPLE}
    found.say_no()
    assert found.later().counts == {UNKNOWN: PEOPLE}
    bucket.answers.clear()
    result = found.later()
    printed = [*bucket.objects.values()]
    if answer == "drop" or query:
        check(found, result, printed, stood=answer == "drop")
        return
    # What is not there may have been taken: by policy.
    assert result.retry_at is None
    if found.policy is DeliveryPolicy.AT_MOST_ONCE:
        assert result.counts == {UNKNOWN: PEOPLE}
        assert not printed
    else:
        assert result.counts == {UNKNOWN: 1, ACCEPTED: PEOPLE - 2, WITHHELD: 1}
        assert len(printed) == 1


@pytest.mark.parametrize(("step", "stood"), [("replace", False), ("_flush", True)])
def test_a_mounted_folder_that_breaks_off(
    tmp_path: Path,
    campaign: Callable[[str], Campaign],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    stood: bool,
) -> None:
    """As a network file system does: of a rename, or of what makes it durable, it says nothing but an
    error."""

    def fail(*_: object) -> None:
        raise TimeoutError(110, "Connection timed out")

    folder = tmp_path / "letters"
    folder.mkdir()
    found = campaign(f"file://{folder}")
    with monkeypatch.context() as broken:
        broken.setattr(Path if step == "replace" else Folder, step, fail)
        assert found.deliver().counts == {UNKNOWN: PEOPLE}
    found.say_no()
    check(found, found.later(), files(folder), stood=stood)


def test_letters_are_asked_for_when_the_run_is_over(
    tmp_path: Path, campaign: Callable[[str], Campaign], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking sends nothing; and what stands there was sent, whenever that is found out."""
    folder = tmp_path / "letters"
    folder.mkdir()
    found = campaign(f"file://{folder}")
    with monkeypatch.context() as broken:
        broken.setattr(Folder, "_flush", lambda _: (_ for _ in ()).throw(TimeoutError(110, "timed out")))
        assert found.deliver().counts == {UNKNOWN: PEOPLE}
    found.now += timedelta(hours=85)
    check(found, found.deliver(), files(folder), stood=True)


def test_a_file_that_was_taken_and_has_the_same_rows_is_written_under_its_name(
    sftp: Server, campaign: Callable[[str], Campaign]
) -> None:
    found = campaign(sftp.uri())
    sftp.files.breaks = "after_rename"
    found.deliver()
    sftp.files.breaks = ""
    [taken] = (sftp.root / "in").iterdir()
    taken.unlink()
    assert found.later().counts == {ACCEPTED: PEOPLE - 1, WITHHELD: 1}
    assert [each.name for each in (sftp.root / "in").iterdir()] == [taken.name]


def test_a_place_that_can_never_be_asked_leaves_it_unknown(
    bucket: Bucket, campaign: Callable[[str], Campaign]
) -> None:
    """Until the run is over, and finishes the batch."""
    found = campaign(bucket.uri())
    bucket.answers += ["lose"] * 99
    assert found.deliver().counts == {UNKNOWN: PEOPLE}
    assert found.later().retry_at is not None
    found.now += timedelta(hours=85)
    result = found.deliver()
    assert (result.counts, result.retry_at) == ({UNKNOWN: PEOPLE}, None)
    bucket.answers.clear()
    assert found.deliver().already_settled == PEOPLE


@pytest.mark.parametrize("kind", [FeedbackKind.DELIVERED, FeedbackKind.BOUNCED])
def test_a_file_of_which_a_letter_is_reported_is_not_written_again(
    tmp_path: Path,
    campaign: Callable[[str], Campaign],
    monkeypatch: pytest.MonkeyPatch,
    kind: FeedbackKind,
) -> None:
    """The printer has taken it away, and printed it."""
    folder = tmp_path / "letters"
    folder.mkdir()
    found = campaign(f"file://{folder}")
    with monkeypatch.context() as broken:
        broken.setattr(Folder, "_flush", lambda _: (_ for _ in ()).throw(TimeoutError(110, "timed out")))
        assert found.deliver().counts == {UNKNOWN: PEOPLE}
    [taken] = folder.iterdir()
    printed = taken.read_bytes()
    taken.unlink()
    found.report(kind)
    check(found, found.later(), [printed], stood=True)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("is_early", [True, False])
def test_a_letter_is_accepted_when_its_place_could_never_be_asked(
    bucket: Bucket, campaign: Callable[[str], Campaign], is_early: bool
) -> None:
    """Reported before the batch is finished or after it: the account is of no use by then."""
    found = campaign(bucket.uri())
    bucket.answers += ["lose"] * 99
    assert found.deliver().counts == {UNKNOWN: PEOPLE}
    bucket.answers.clear()
    found.uri = "smtp://127.0.0.1:1/"
    found.now += timedelta(hours=85)
    if is_early:
        found.report(FeedbackKind.DELIVERED)
    assert found.deliver().retry_at is None
    if not is_early:
        found.report(FeedbackKind.DELIVERED)
    lines = found.store.ledger.lines(IDS)
    assert [key for key in IDS if lines[key].state is ACCEPTED] == [IDS[1]]
