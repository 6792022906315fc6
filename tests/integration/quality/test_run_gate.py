"""Every check of a decided run finds its fault, and a sound run passes them all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from kundresa.quality import CheckResult, GateFailed, GateReport, PreviousRun, Severity, check_run
from kundresa.quality import partitions as partitions_module
from kundresa.settings import Settings
from kundresa.spec.campaign import Campaign

Gate = Callable[..., GateReport]
SpecWith = Callable[..., Campaign]


@pytest.fixture
def gate(settings: Settings, clock: Callable[[], datetime], run: Any) -> Gate:
    """``check_run`` of the run that the test has published."""

    def check(campaign: Campaign, previous: PreviousRun | None = None, **rest: Any) -> GateReport:
        return check_run(settings, run.key, campaign, previous, clock=clock, **rest)

    return check


def _blocked_by(report: GateReport, name: str) -> CheckResult:
    """The one blocking failure."""
    assert [each.name for each in report.failures] == [name]
    assert report.failures[0].severity is Severity.BLOCKING
    with pytest.raises(GateFailed, match=name):
        report.raise_if_failed()
    return report.failures[0]


def _warned_by(report: GateReport, name: str) -> CheckResult:
    """The one advisory failure of a gate that is passed."""
    assert report.ok
    assert [each.name for each in report.warnings] == [name]
    return report.warnings[0]


def _check(report: GateReport, name: str) -> CheckResult:
    (found,) = (each for each in report.results if each.name == name)
    return found


def test_a_sound_run_passes_every_check(gate: Gate, campaign: Campaign, run: Any) -> None:
    run.publish()
    report = gate(campaign, PreviousRun("spring_sale--1", 41), template_columns=["first_name", "language"])
    assert report.ok
    assert not report.warnings
    assert report.partitions == 3  # the decisions, and the batches of two channels
    assert {each.name for each in report.results} == {
        "run.row_bounds",
        "run.change",
        "run.variants_known",
        "run.sample_ratio",
        "decisions.message_id_unique",
        "decisions.invalid_address_share",
        "decisions.message_id_not_null",
        "decisions.profile_id_not_null",
        "decisions.run_key_known",
        "decisions.channel_known",
        "batches.complete",
        "batches.profile_first_name_null_share",
        "batches.profile_language_null_share",
        *(
            f"batches.{channel}.{rule}"
            for channel in ("email", "sms")
            for rule in (
                "message_id_not_null",
                "run_key_known",
                "channel_known",
                "address_not_null",
                "address_format",
                "profile.profile_id_not_null",
                "profile_is_theirs",
            )
        ),
    }
    assert _check(report, "run.row_bounds").observed == "40 messages of 80 decisions"
    assert _check(report, "batches.email.address_format").observed == "0 of 30 rows break it"
    assert _check(report, "batches.sms.address_format").observed == "0 of 10 rows break it"


@pytest.mark.parametrize(("bounds", "ok"), [((40, 40), True), ((0, 39), False), ((41, 100), False)])
def test_row_bounds_are_inclusive_and_over_all_channels(
    gate: Gate, campaign_with: SpecWith, run: Any, *, bounds: tuple[int, int], ok: bool
) -> None:
    run.publish()
    report = gate(campaign_with(rows=bounds))
    if ok:
        assert report.ok
        return
    failure = _blocked_by(report, "run.row_bounds")
    assert failure.observed == "40 messages of 80 decisions"
    assert failure.expected == f"{bounds[0]} to {bounds[1]} messages (quality.rows)"


@pytest.mark.parametrize("least", [0, 1])
def test_an_empty_audience(gate: Gate, campaign_with: SpecWith, run: Any, least: int) -> None:
    run.decisions, run.batches = [], {"email": [], "sms": []}
    run.publish()
    report = gate(campaign_with(rows=(least, 10)), template_columns=["first_name"])
    if least:
        failure = _blocked_by(report, "run.row_bounds")
        assert failure.observed.startswith("nothing to send: the audience is empty")
    else:
        assert report.ok
        assert _check(report, "run.row_bounds").observed.startswith("nothing to send")


def test_an_audience_of_whom_nobody_may_be_sent_to_says_why(gate: Gate, campaign: Campaign, run: Any) -> None:
    for line in run.decisions:
        line |= {"verdict": "exclude", "reason": line["reason"] or "consent_unknown"}
    run.batches = {"email": [], "sms": []}
    run.publish()
    failure = _blocked_by(gate(campaign), "run.row_bounds")
    assert "none of 80 decisions is send" in failure.observed
    assert "(consent_unknown 40, contact_point_missing 40)" in failure.observed


def test_a_message_id_twice_in_two_files(gate: Gate, campaign: Campaign, run: Any) -> None:
    first, last = run.decisions[1], run.decisions[-1]
    last["message_id"] = first["message_id"]
    run.publish()
    failure = _blocked_by(gate(campaign), "decisions.message_id_unique")
    assert failure.failed_rows == 1
    assert failure.samples[0].startswith(f"{first['message_id']} in decisions/")


def test_a_message_id_twice_in_two_partitions(
    gate: Gate, campaign: Campaign, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions_module.partitions, "__kwdefaults__", {"rows": 16})
    run.decisions[-1]["message_id"] = run.decisions[1]["message_id"]
    run.publish()
    report = gate(campaign)
    assert report.partitions == 5 + 2 + 1
    assert _blocked_by(report, "decisions.message_id_unique").failed_rows == 1


def test_a_decision_without_message_id(gate: Gate, campaign: Campaign, run: Any) -> None:
    run.decisions[1]["message_id"] = None
    run.publish()
    failure = _blocked_by(gate(campaign), "decisions.message_id_not_null")
    assert failure.observed == "1 of 80 rows break it"
    assert failure.samples == (f"{run.decisions[1]['profile_id']} (message_id null)",)
    assert failure.partition.startswith("decisions/0.parquet rows 1-20 to ")


def test_a_decision_without_person(gate: Gate, campaign: Campaign, run: Any) -> None:
    run.decisions[1]["profile_id"] = None
    run.publish()
    _blocked_by(gate(campaign), "decisions.profile_id_not_null")


def test_lines_of_another_run(gate: Gate, campaign: Campaign, run: Any) -> None:
    run.decisions[1]["run_key"] = "winback--20261123T090000Z"
    run.publish()
    _blocked_by(gate(campaign), "decisions.run_key_known")


def test_batches_of_another_run(gate: Gate, campaign: Campaign, run: Any) -> None:
    run.batches["sms"][0]["run_key"] = "winback--20261123T090000Z"
    run.publish()
    _blocked_by(gate(campaign), "batches.sms.run_key_known")


def test_a_channel_that_the_campaign_does_not_have(gate: Gate, campaign: Campaign, run: Any) -> None:
    run.decisions[1]["channel"] = "push"
    run.publish()
    _blocked_by(gate(campaign), "decisions.channel_known")


def test_a_row_in_the_folder_of_another_channel(gate: Gate, campaign: Campaign, run: Any) -> None:
    run.batches["sms"][0]["channel"] = "email"
    run.publish()
    _blocked_by(gate(campaign), "batches.sms.channel_known")


def test_a_message_without_message_id_in_its_batch(gate: Gate, campaign: Campaign, run: Any) -> None:
    run.set_both(3, message_id=None)
    run.publish()
    names = {each.name for each in gate(campaign).failures}
    assert names == {"decisions.message_id_not_null", "batches.email.message_id_not_null"}


def test_a_send_without_address(gate: Gate, campaign: Campaign, run: Any) -> None:
    row = run.set_both(1, address=None)
    run.publish()
    failure = _blocked_by(gate(campaign), "batches.email.address_not_null")
    assert failure.samples == (f"{row['message_id']} (address null)",)


@pytest.mark.parametrize(
    ("index", "channel", "address"),
    [
        (1, "email", "anna.berg"),
        (1, "email", "anna.berg@shop"),
        (1, "email", ""),
        (1, "email", "anna berg@shop.example"),
        (1, "email", "anna.berg@shop.example\n"),
        (1, "email", "anna.berg@shop.example\r\nBcc: bo@shop.example"),
        (1, "email", "anna.berg@shop.example,bo@shop.example"),
        (1, "email", "Anna <anna.berg@shop.example>"),
        (1, "email", "anna.berg@@shop.example"),
        (1, "email", "anna.berg@shop.example."),
        (1, "email", "a" * 250 + "@x.se"),
        (0, "sms", "0701234567"),
        (0, "sms", "+0701234567"),
        (0, "sms", "+46 70 123 45 67"),
        (0, "sms", "+467012345678901234"),
        (0, "sms", "+46701234567\n"),
        (0, "sms", "anna.berg@shop.example"),
    ],
)
def test_a_malformed_address(
    gate: Gate, campaign: Campaign, run: Any, *, index: int, channel: str, address: str
) -> None:
    row = run.set_both(index, address=address)
    run.publish()
    failure = _blocked_by(gate(campaign), f"batches.{channel}.address_format")
    assert failure.failed_rows == 1
    assert failure.samples[0].startswith(f"{row['message_id']} (address ")
    assert not [
        planted for planted in ("anna.berg", "Anna", "shop", "701234", "70 123") if planted in str(failure)
    ]


@pytest.mark.parametrize(
    ("index", "address"),
    [
        (1, "o'neil+tag@x.co.uk"),
        (1, "x@xn--bcher-kva.example"),
        (1, "{a|b}~!#$%&*=?^`/_-@x.se"),
        (0, "+431234"),
        (0, "+123456789012345"),
    ],
)
def test_an_unusual_address_that_dbt_accepts(
    gate: Gate, campaign: Campaign, run: Any, *, index: int, address: str
) -> None:
    run.set_both(index, address=address)
    run.publish()
    assert gate(campaign).ok


def test_a_batch_row_without_profile(gate: Gate, campaign: Campaign, run: Any) -> None:
    run.batches["email"][0]["profile"] = None
    run.publish()
    _blocked_by(gate(campaign), "batches.email.profile.profile_id_not_null")


def test_a_batch_row_with_the_profile_of_another(gate: Gate, campaign: Campaign, run: Any) -> None:
    run.batches["email"][0]["profile"] = run.batches["email"][1]["profile"]
    run.publish()
    failure = _blocked_by(gate(campaign), "batches.email.profile_is_theirs")
    assert failure.failed_rows == 1


def test_a_send_that_is_in_no_batch(gate: Gate, campaign: Campaign, run: Any) -> None:
    run.batches["email"].pop()
    run.publish()
    failure = _blocked_by(gate(campaign), "batches.complete")
    assert failure.observed == "1 send decisions in no batch, 0 batch rows without, 0 twice"


def test_a_batch_row_that_was_not_decided(gate: Gate, campaign: Campaign, run: Any) -> None:
    excluded = next(line for line in run.decisions if line["verdict"] == "exclude")
    run.batches["email"][0]["message_id"] = excluded["message_id"]
    run.publish()
    failure = _blocked_by(gate(campaign), "batches.complete")
    assert failure.observed == "1 send decisions in no batch, 1 batch rows without, 0 twice"


def test_a_message_in_two_batches(gate: Gate, campaign: Campaign, run: Any) -> None:
    run.batches["email"].append(run.batches["email"][0])
    run.publish()
    failure = _blocked_by(gate(campaign), "batches.complete")
    assert failure.observed == "0 send decisions in no batch, 0 batch rows without, 1 twice"


def test_sends_without_any_batch(gate: Gate, campaign: Campaign, run: Any) -> None:
    shutil.rmtree(run.publish() / "batches" / "channel=sms")
    failure = _blocked_by(gate(campaign), "run.readable")
    assert failure.observed == "there is no Parquet file in channel=sms/"


@pytest.mark.parametrize(("percent", "ok"), [(20, True), (19, False)])
def test_invalid_addresses_of_those_with_an_address(
    gate: Gate, campaign_with: SpecWith, run: Any, *, percent: float, ok: bool
) -> None:
    # 40 are sent to; 10 more have an address, which is not valid: 20 %. Another rule may be their reason.
    excluded = [line for line in run.decisions if line["verdict"] == "exclude"]
    for number, line in enumerate(excluded[:10]):
        line["address"] = "anna.berg" if number % 2 else None
        line["failed_rules"] = (
            "address_invalid" if number % 2 else "in_excluded_segment,address_invalid,suppressed"
        )
    excluded[10]["failed_rules"] = "not_address_invalid"
    run.publish()
    quality = {"rows": {"min": 1, "max": 100}, "max_invalid_address_percent": percent}
    report = gate(campaign_with(quality=quality))
    observed = _check(report, "decisions.invalid_address_share").observed
    assert observed == "10 of 50 (20.0%) of those with an address have an invalid one"
    if not ok:
        _blocked_by(report, "decisions.invalid_address_share")
    assert report.ok is ok


@pytest.mark.parametrize(("before", "ok"), [(80, True), (81, False), (27, True), (26, False)])
def test_change_against_the_previous_run(
    gate: Gate, campaign: Campaign, run: Any, *, before: int, ok: bool
) -> None:
    run.publish()
    report = gate(campaign, PreviousRun("spring_sale--1", before))
    assert report.ok
    if not ok:
        _warned_by(report, "run.change")
    assert _check(report, "run.change").passed is ok
    assert "against spring_sale--1" in _check(report, "run.change").expected


@pytest.mark.parametrize("previous", [None, PreviousRun("spring_sale--1", 0)])
def test_nothing_to_compare_with(
    gate: Gate, campaign: Campaign, run: Any, previous: PreviousRun | None
) -> None:
    run.publish()
    assert "run.change" not in {each.name for each in gate(campaign, previous).results}


def test_a_split_that_is_not_the_one_asked_for(gate: Gate, campaign: Campaign, run: Any) -> None:
    for index in range(38):
        run.set_both(index, variant="personal")
    run.publish()
    failure = _warned_by(gate(campaign), "run.sample_ratio")
    assert "personal 39 (weight 1), discount 1 (weight 1): p = " in failure.observed


def test_people_and_not_messages_are_split(gate: Gate, campaign: Campaign, run: Any) -> None:
    """A person who gets a message on both channels is one person in the split."""
    run.publish()
    even = _check(gate(campaign), "run.sample_ratio").observed
    for line in [line for line in run.decisions if line["verdict"] == "exclude"][1::2]:
        line |= {"verdict": "send", "reason": None, "failed_rules": ""}
        line["address"] = "x@shop.example" if line["channel"] == "email" else "+46701234567"
        run.batches[line["channel"]].append(
            line | {"profile": {"profile_id": line["profile_id"], "first_name": "A", "language": "sv"}}
        )
    run.publish()
    report = gate(campaign)
    assert _check(report, "run.row_bounds").observed.startswith("60 messages")
    assert _check(report, "run.sample_ratio").observed == even


def test_too_few_people_for_a_split(gate: Gate, campaign: Campaign, run: Any) -> None:
    kept = {line["message_id"] for line in run.send_lines()[:4]}
    run.decisions = [line for line in run.decisions if line["message_id"] in kept]
    run.batches = {
        key: [row for row in rows if row["message_id"] in kept] for key, rows in run.batches.items()
    }
    run.publish()
    check = _check(gate(campaign), "run.sample_ratio")
    assert check.passed
    assert "too few to tell" in check.observed


def test_a_variant_that_the_experiment_does_not_have(gate: Gate, campaign: Campaign, run: Any) -> None:
    run.set_both(1, variant="gold")
    run.publish()
    assert _blocked_by(gate(campaign), "run.variants_known").failed_rows == 1


def test_a_campaign_without_experiment_has_no_split(gate: Gate, campaign_with: SpecWith, run: Any) -> None:
    for index in range(40):
        run.set_both(index, variant=None)
    run.publish()
    report = gate(campaign_with(experiment=None))
    assert report.ok
    assert not [each.name for each in report.results if "variant" in each.name or "ratio" in each.name]


def _forget_names(run: Any, people: int) -> None:
    for row in [*run.batches["email"], *run.batches["sms"]][:people]:
        row["profile"] = row["profile"] | {"first_name": None}


@pytest.mark.parametrize(("people", "ok"), [(20, True), (21, False)])
def test_a_column_that_is_mostly_null_where_it_has_a_default(
    gate: Gate, campaign: Campaign, run: Any, *, people: int, ok: bool
) -> None:
    _forget_names(run, people)
    run.publish()
    report = gate(campaign, template_columns=["first_name"])
    assert _check(report, "batches.profile_first_name_null_share").passed is ok
    if not ok:
        failure = _warned_by(report, "batches.profile_first_name_null_share")
        assert failure.observed == "21 of 40 (52.5%) without first_name, which a template reads"


def test_a_required_column_blocks_above_one_percent(gate: Gate, campaign: Campaign, run: Any) -> None:
    _forget_names(run, 1)
    run.publish()
    report = gate(campaign, template_columns=["first_name"], required_columns=["first_name"])
    failure = _blocked_by(report, "batches.profile_first_name_null_share")
    assert failure.failed_rows == 1
    assert gate(campaign, template_columns=["first_name"]).ok


def test_a_column_that_profiles_do_not_have(gate: Gate, campaign: Campaign, run: Any) -> None:
    run.publish()
    failure = _blocked_by(gate(campaign, template_columns=["nickname"]), "run.readable")
    assert failure.observed.endswith("has no column profile.nickname")


def test_a_run_that_was_never_decided(gate: Gate, campaign: Campaign) -> None:
    failure = _blocked_by(gate(campaign), "run.readable")
    assert failure.observed == "there is no Parquet file in decisions/"


def test_a_damaged_file(gate: Gate, campaign: Campaign, run: Any) -> None:
    (run.publish() / "decisions" / "20.parquet").write_bytes(b"PAR1")
    failure = _blocked_by(gate(campaign), "run.readable")
    assert failure.observed == "decisions/20.parquet is damaged (ArrowInvalid)"


def test_a_partition_column_that_only_the_path_gives(gate: Gate, campaign: Campaign, run: Any) -> None:
    """DuckDB leaves partition columns out of the files unless told otherwise."""
    import pyarrow.parquet as pq

    for path in (run.publish() / "batches").rglob("*.parquet"):
        pq.write_table(pq.ParquetFile(path).read().drop_columns(["channel"]), path)
    assert gate(campaign).ok
