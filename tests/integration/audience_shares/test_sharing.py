"""Audience shares, told to a web address that keeps what it is told: it always ends up with who is in the
segments."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from kundresa import warehouse
from kundresa.channels import AccountError
from kundresa.channels.audience_share import ShareUnavailableError
from kundresa.cli import main as command
from kundresa.cli.output import Exit
from kundresa.runs.audience_shares import UnknownAudienceShare, check_audience_shares, share_audience
from kundresa.settings import Settings
from kundresa.store import BatchBusy, open_store
from kundresa.warehouse import NothingPublished, WarehouseError

from .conftest import NOW, SECRET, Receiver

Share = Callable[..., Any]
Publish = Callable[..., str]
MANY = {f"p{number:02}": {"vip"} for number in range(8)}


def test_first_everybody_then_what_has_changed(
    publish: Publish, share: Share, receiver: tuple[Receiver, int]
) -> None:
    known = receiver[0]
    first = publish({"anna": {"vip", "lapsed"}, "bo": {"vip"}, "cia": {"other"}, "dan": {"lapsed"}})
    done = share()
    assert (done.build_id, done.mode, done.changes, done.batches) == (first, "full", 3, 1)
    assert known.people == {"anna": {"vip", "lapsed"}, "bo": {"vip"}, "dan": {"lapsed"}}
    second = publish({"anna": {"vip"}, "bo": {"vip"}, "eva": {"lapsed"}})
    done = share()
    assert (done.build_id, done.mode, done.changes) == (second, "delta", 3)
    told = known.requests[-1]
    assert {key: told[key] for key in ("share", "build_id", "sequence", "mode", "batch", "batches")} == {
        "share": "web_shop",
        "build_id": second,
        "sequence": 2,
        "mode": "delta",
        "batch": 1,
        "batches": 1,
    }
    assert told["changes"] == [
        {"id": "anna", "segments": ["vip"], "entered": [], "left": ["lapsed"]},
        {"id": "dan", "deleted": True, "left": ["lapsed"]},
        {"id": "eva", "segments": ["lapsed"], "entered": ["lapsed"], "left": []},
    ]
    assert known.people == {"anna": {"vip"}, "bo": {"vip"}, "eva": {"lapsed"}}


def test_the_same_build_is_told_once(publish: Publish, share: Share, receiver: tuple[Receiver, int]) -> None:
    publish({"anna": {"vip"}})
    share()
    done = share()
    assert (done.mode, done.changes, done.batches) == (None, 0, 0)
    assert len(receiver[0].requests) == 1
    # A build in which nobody has moved is told as well: by nothing.
    build_id = publish({"anna": {"vip"}})
    assert (share().changes, share().build_id) == (0, build_id)
    assert len(receiver[0].requests) == 1
    assert (share(full=True).changes, len(receiver[0].requests)) == (1, 2)


def test_a_full_share_tells_everybody_and_who_has_left(
    publish: Publish, share: Share, receiver: tuple[Receiver, int]
) -> None:
    spec = {"mode": "full"}
    publish({"anna": {"vip"}, "bo": {"vip"}})
    share(spec)
    publish({"anna": {"vip"}})
    assert share(spec).mode == "full"
    assert receiver[0].requests[-1]["changes"] == [
        {"id": "anna", "segments": ["vip"], "entered": [], "left": []},
        {"id": "bo", "deleted": True, "left": ["vip"]},
    ]


def test_another_spec_is_told_to_everybody_anew_and_the_old_is_deleted(
    publish: Publish, share: Share, receiver: tuple[Receiver, int]
) -> None:
    publish(
        {"anna": {"vip"}, "bo": {"lapsed"}, "cia": {"vip"}, "dan": {"vip"}},
        identifiers={
            ("crm_id", "C1"): "anna",
            ("crm_id", "C2"): "anna",
            ("crm_id", "C3"): "cia",
            ("crm_id", "shared"): "cia",
            ("device_id", "D1"): "dan",
        },
    )
    share()
    done = share({"segments": ["vip"], "identifier": "crm_id"})
    assert done.mode == "full"
    assert receiver[0].people == {"C1": {"vip"}, "C2": {"vip"}, "C3": {"vip"}, "shared": {"vip"}}


def test_an_identifier_of_several_people_is_nobodys(
    publish: Publish, share: Share, receiver: tuple[Receiver, int], settings: Settings
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    build_id = publish({"anna": {"vip"}, "bo": {"vip"}}, identifiers={("crm_id", "C1"): "anna"})
    [file] = (settings.published / "builds" / build_id / "profile_identifiers").iterdir()
    rows = [("crm_id", "C1", "anna"), ("crm_id", "both", "anna"), ("crm_id", "both", "bo")]
    columns = ("namespace", "identifier", "profile_id")
    pq.write_table(pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows]), file)
    share({"identifier": "crm_id"})
    assert receiver[0].people == {"C1": {"vip"}}


def test_who_says_no_leaves_the_destination(
    publish: Publish, share: Share, receiver: tuple[Receiver, int], settings: Settings
) -> None:
    people = {name: {"vip"} for name in ("anna", "bo", "cia", "dan", "eva")}
    publish(people)
    share()
    assert set(receiver[0].people) == set(people)
    with open_store(settings.store_url) as store:
        store.suppressions.add(
            channel="webhook", address="cia", reason="asked by phone", source="test", recorded_at=NOW
        )
        store.opt_outs.record(
            channel="webhook", address="", topic="*", source="test", recorded_at=NOW, profile_id="dan"
        )
        store.opt_outs.record(
            channel="email", address="", topic="*", source="test", recorded_at=NOW, profile_id="eva"
        )
    publish(people, no={"anna": "personalisation", "bo": "*"})
    share()
    assert set(receiver[0].people) == {"eva"}


def test_what_was_said_under_a_former_id_is_said_by_the_person(
    publish: Publish,
    share: Share,
    receiver: tuple[Receiver, int],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    formers = {"old-anna": "anna", "old-bo": "bo"}
    monkeypatch.setattr(warehouse.PeopleIndex, "merged", lambda *_: formers)
    about: dict[str, Any] = {"channel": "webhook", "address": "", "source": "test"}
    with open_store(settings.store_url) as store:
        for who in formers:
            store.answers.say_no(profile_id=who, topic="personalisation", at=NOW, **about)
        later = NOW + timedelta(minutes=1)
        store.answers.say_yes(profile_id="bo", topics=["personalisation"], at=later, **about)
    publish({name: {"vip"} for name in ("anna", "bo", "cia")})
    share()
    assert set(receiver[0].people) == {"bo", "cia"}


@pytest.mark.parametrize(
    ("consent", "expected"), [("not_no", {"anna", "bo"}), ("exempt", {"anna", "bo", "cia"}), (None, set())]
)
def test_the_topics_rule_holds(
    publish: Publish,
    share: Share,
    receiver: tuple[Receiver, int],
    settings: Settings,
    consent: str | None,
    expected: set[str],
) -> None:
    rule = f"topics: {{personalisation: {{consent: {consent}, because: test}}}}\n" if consent else ""
    (settings.project / "dags" / "policies.yaml").write_text(f"{rule}webhook_hosts: ['127.0.0.1']\n")
    publish(
        {name: {"vip"} for name in ("anna", "bo", "cia", "dan")}, no={"cia": "*", "dan": "personalisation"}
    )
    share()
    assert set(receiver[0].people) == expected


@pytest.mark.parametrize("fault", [503, 429, "drop", "lose"])
def test_a_destination_that_fails_is_told_the_same_again(
    publish: Publish, share: Share, receiver: tuple[Receiver, int], fault: int | str
) -> None:
    known = receiver[0]
    publish(MANY)
    known.fails = lambda number: fault if number == 1 else None
    slept: list[float] = []
    assert share(sleep=slept.append).batches == 3
    assert slept == [1.0]
    assert known.people == MANY
    numbers = [told["batch"] for told in known.requests]
    assert numbers == ([1, 2, 2, 3] if fault == "lose" else [1, 2, 3])
    if fault == "lose":
        assert known.requests[1] == known.requests[2]
        assert known.names[1] == known.names[2]
    assert len(set(known.names)) == 3


def test_a_share_that_was_interrupted_goes_on_where_it_was(
    publish: Publish, share: Share, receiver: tuple[Receiver, int]
) -> None:
    known = receiver[0]
    first = publish(MANY)
    known.fails = lambda number: 503 if number >= 1 else None
    with pytest.raises(ShareUnavailableError, match="503"):
        share()
    assert len(known.requests) == 1
    known.fails = lambda _: None
    # A newer build has come meanwhile: the old one is told to its end, then the difference.
    second = publish({**MANY, "p00": {"lapsed"}})
    done = share()
    assert (done.build_id, done.mode, done.changes, done.batches) == (second, "delta", 1, 3)
    assert [(told["build_id"], told["batch"]) for told in known.requests] == [
        (first, 1),
        (first, 2),
        (first, 3),
        (second, 1),
    ]
    assert known.people == {**MANY, "p00": {"lapsed"}}


def test_an_interrupted_share_of_another_spec_is_given_up_and_what_it_told_is_deleted(
    publish: Publish, share: Share, receiver: tuple[Receiver, int]
) -> None:
    known = receiver[0]
    publish(MANY)
    known.fails = lambda number: 503 if number >= 2 else None
    with pytest.raises(ShareUnavailableError):
        share()
    assert len(known.people) == 6
    known.fails = lambda _: None
    publish({"p00": {"lapsed"}, "p01": {"vip"}})
    assert share({"segments": ["lapsed"]}).mode == "full"
    assert known.people == {"p00": {"lapsed"}}


def test_it_stops_where_it_may_not_go_on(
    publish: Publish, share: Share, receiver: tuple[Receiver, int]
) -> None:
    publish(MANY)
    answers = iter([True, False])
    done = share(may_go_on=lambda: next(answers))
    assert (done.is_complete, done.batches) == (False, 1)
    done = share()
    assert (done.is_complete, done.batches) == (True, 2)
    assert receiver[0].people == MANY


def test_an_address_that_refuses_is_a_persons_business(
    publish: Publish, share: Share, receiver: tuple[Receiver, int]
) -> None:
    publish(MANY)
    receiver[0].fails = lambda _: 401
    slept: list[float] = []
    with pytest.raises(AccountError, match="HTTP 401") as error:
        share(sleep=slept.append)
    assert slept == []
    assert "secret" not in str(error.value)


def test_a_mistake_deletes_nobody(
    publish: Publish, share: Share, receiver: tuple[Receiver, int], settings: Settings
) -> None:
    publish(MANY)
    share()
    publish(MANY, segments=("lapsed", "other"))
    with pytest.raises(WarehouseError, match="segment 'vip' is not in build"):
        share()
    publish(MANY, identifiers={("device_id", "D"): "p01"})
    with pytest.raises(WarehouseError, match="nobody in the shared segments has an identifier 'crm_id'"):
        share({"identifier": "crm_id"})
    assert receiver[0].people == MANY
    assert [each.name for each in (settings.published / "audience_shares" / "web_shop").iterdir()] == [
        "00000001"
    ]


def test_two_workers_do_not_both_tell_it(publish: Publish, share: Share, settings: Settings) -> None:
    publish(MANY)
    with open_store(settings.store_url) as store:
        lease = store.audience_shares.lease("web_shop", owner="bo", seconds=60, now=NOW)
        with pytest.raises(BatchBusy, match="audience share web_shop is held by bo"):
            share()
        store.audience_shares.release(lease)
    assert share().batches == 3


def test_before_a_build_and_without_a_folder(share: Share, settings: Settings) -> None:
    with pytest.raises(NothingPublished):
        share()
    with pytest.raises(UnknownAudienceShare, match="did you mean web_shop"):
        share_audience(settings, "web_shp", owner="a", account_of=lambda _: pytest.fail("no account"))


def test_the_check_knows_segments(share: Share, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from kundresa import warehouse

    manifest = warehouse.Manifest(
        {"nodes": {}}, settings.project, segments={"vip": {"description": "x"}}, scores={}
    )
    monkeypatch.setattr(warehouse, "load_manifest", lambda _: manifest)
    folder = settings.audience_shares / "web_shop"
    folder.mkdir()
    text = "owner: a\ndescription: d\ntopic: t\nsegments: [vp]\ndestination: {kind: file, account: a}\n"
    (folder / "audience_share.yaml").write_text(text)
    [checked] = check_audience_shares(settings)
    [problem] = checked.problems
    assert (problem.line, problem.key, problem.suggestion) == (4, "segments[0]", "vip")
    (folder / "audience_share.yaml").write_text(text.replace("vp", "vip") + "identifer: crm_id\n")
    [checked] = check_audience_shares(settings)
    assert "identifer" in str(checked.problems[0])
    assert "identifier" in str(checked.problems[0])


@pytest.mark.parametrize(
    ("topic", "told"), [("personalisation", None), ("personalization", "personalisation")]
)
def test_the_check_says_when_a_topic_has_no_rule(
    share: Share, settings: Settings, monkeypatch: pytest.MonkeyPatch, topic: str, told: str | None
) -> None:
    """Else a slip of the pen would tell nobody."""
    from kundresa import warehouse

    manifest = warehouse.Manifest(
        {"nodes": {}}, settings.project, segments={"vip": {"description": "x"}}, scores={}
    )
    monkeypatch.setattr(warehouse, "load_manifest", lambda _: manifest)
    folder = settings.audience_shares / "web_shop"
    folder.mkdir()
    text = "owner: a\ndescription: d\ntopic: TOPIC\nsegments: [vip]\ndestination: {kind: file, account: a}\n"
    (folder / "audience_share.yaml").write_text(text.replace("TOPIC", topic))
    [checked] = check_audience_shares(settings)
    assert checked.problems == ()
    assert [(each.line, each.suggestion) for each in checked.advice] == ([(3, told)] if told else [])
    policies = settings.project / "dags" / "policies.yaml"
    policies.write_text("topics: {x: {consent: maybe}}\n")
    assert check_audience_shares(settings) == [checked if not told else replace(checked, advice=())]


BUILDS = st.lists(
    st.dictionaries(
        st.sampled_from([f"p{number}" for number in range(9)]),
        st.sets(st.sampled_from(["vip", "lapsed", "other"]), min_size=1),
    ),
    min_size=1,
    max_size=5,
)


@hypothesis_settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    builds=BUILDS,
    faults=st.lists(st.sampled_from([None, 503, "drop", "lose"]), max_size=30),
)
def test_whatever_happens_the_destination_ends_up_with_who_is_in_the_segments(
    publish: Publish,
    share: Share,
    receiver: tuple[Receiver, int],
    builds: list[dict[str, set[str]]],
    faults: list[int | str | None],
) -> None:
    """Builds one after the other; at most three failures in a row end a run, and the next build comes."""
    known = receiver[0]
    known.people.clear()
    known.count = 0
    known.fails = lambda number: faults[number] if number < len(faults) else None
    share_full = True
    for members in builds:
        publish(members)
        try:
            share(full=share_full)
        except ShareUnavailableError:
            share_full = False
            continue
        share_full = False
        expected = {who: its - {"other"} for who, its in members.items() if its - {"other"}}
        assert known.people == expected
    known.fails = lambda _: None
    share()
    expected = {who: its - {"other"} for who, its in builds[-1].items() if its - {"other"}}
    assert known.people == expected


def test_the_command(
    publish: Publish,
    share: Share,
    receiver: tuple[Receiver, int],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KUNDRESA_HOME", str(settings.home))
    monkeypatch.setenv("KUNDRESA_PROJECT", str(settings.project))
    account = f"http://:{SECRET.replace(' ', '%20')}@127.0.0.1:{receiver[1]}/?private=allowed"
    monkeypatch.setenv("AIRFLOW_CONN_KUNDRESA_SHOP", account)
    first = publish(MANY)
    receiver[0].fails = lambda number: 503 if number >= 1 else None
    with pytest.raises(ShareUnavailableError):
        share()
    receiver[0].fails = lambda _: None
    command._register()

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(command.app, ["share", *arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())

    assert "1 of 3 batches" in run()
    assert json.loads(run("web_shop", "--json")) == {
        "share": "web_shop",
        "build_id": first,
        "mode": "full",
        "changes": 8,
        "batches": 2,
        "is_complete": True,
    }
    assert f"holds build {first} already" in run("web_shop")
    assert "8 people (full) in 3 batches" in run("web_shop", "--full")
    assert json.loads(run("--json"))["web_shop"]["shared_build_id"] == first
    assert command.exit_code(UnknownAudienceShare("x")) is Exit.NOT_FOUND
    assert command.exit_code(ShareUnavailableError("x")) is Exit.BUSY
    assert CliRunner().invoke(command.app, ["share", "--full"]).exit_code == 2
