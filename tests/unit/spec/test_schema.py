"""The JSON Schema for editors: current, and in agreement with the loader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from kundresa.spec.audience_share import AudienceShare
from kundresa.spec.loading import SpecError, campaign_names, load_campaign
from kundresa.spec.schema import (
    SCHEMA_FILE,
    SHARE_SCHEMA_FILE,
    campaign_schema,
    main,
    schema_text,
    share_schema,
    share_schema_text,
)
from kundresa.spec.yaml_source import parse_yaml

CAMPAIGNS = Path(__file__).resolve().parents[3] / "dags" / "campaigns"
BROKEN = Path(__file__).parent / "broken"


@pytest.fixture(scope="module")
def validator():
    schema = campaign_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def data(text: str) -> object:
    """As editors read it: YAML 1.2, in which ``on`` is a word. PyYAML's own loader makes it ``True``."""
    return parse_yaml(text.encode(), "campaign.yaml").data


def test_the_committed_file_is_current():
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), "run: make schema"


def test_printing_and_writing(capsys, tmp_path, monkeypatch):
    assert main([]) == 0
    assert json.loads(capsys.readouterr().out) == campaign_schema()
    monkeypatch.setattr("kundresa.spec.schema.SCHEMA_FILE", tmp_path / "campaign.schema.json")
    monkeypatch.setattr("kundresa.spec.schema.JOURNEY_SCHEMA_FILE", tmp_path / "journey.schema.json")
    assert main(["--write"]) == 0
    assert (tmp_path / "campaign.schema.json").read_text(encoding="utf-8") == schema_text()


def test_the_required_keys_are_enough(validator, spec_text):
    assert list(validator.iter_errors(data(spec_text))) == []


def test_the_name_is_not_a_key(validator, spec_text):
    assert not validator.is_valid(data("name: winback\n" + spec_text))


def test_every_key_tells_what_it_is_for():
    schema = campaign_schema()
    for owner in (schema, *schema["$defs"].values()):
        for key, value in owner.get("properties", {}).items():
            known = (
                "description" in value or "$ref" in value or key in ("kind", "name", "min", "max", "variants")
            )
            assert known or "anyOf" in value, key


def test_the_shipped_campaigns_are_accepted_by_schema_and_loader(validator):
    names = campaign_names(CAMPAIGNS)
    assert {"winback", "spring_sale"} <= set(names)
    for name in names:
        load_campaign(CAMPAIGNS / name)
        text = (CAMPAIGNS / name / "campaign.yaml").read_text(encoding="utf-8")
        assert list(validator.iter_errors(data(text))) == []


# YAML's own rules, rules between values, and rules about a value's meaning.
BEYOND_A_SCHEMA = {
    "budget_decimals",
    "champion_of_nothing_tracked",
    "champion_otherwise",
    "champion_without_waves",
    "waves_counts_and_shares",
    "waves_counts_rest",
    "waves_counts_rest_first",
    "waves_starts_both_days",
    "waves_starts_date",
    "waves_starts_every",
    "waves_starts_hold",
    "waves_starts_late",
    "waves_starts_midnight",
    "waves_starts_mixed",
    "waves_starts_number",
    "waves_starts_order",
    "waves_every_short",
    "waves_shares_sum",
    "waves_too_late",
    "duplicate_key",
    "duplicate_key_inside",
    "rows_reversed",
    "channel_twice",
    "segment_in_and_out",
    "variant_template_channel",
    "variant_twice",
    "control_character",
    "empty_text",
    "holdout_decimals",
    "infinite",
    "validity_long",
    "validity_short",
    "cron_fields",
    "cron_never",
    "cron_random",
    "cron_value",
    "schedule_machine_time_zone",
    "schedule_time_zone",
    "null_is_allowed_reply_to",
    "sender_line_break",
    "sender_two",
    "sender_without_address",
    "again_long",
    "again_short",
    "sample_decimals",
    "send_time_at_outside_window",
    "send_time_window_empty",
    "send_time_window_start_at_the_end",
    "send_time_zone_unknown",
}


def test_the_schema_refuses_what_the_loader_refuses(validator):
    accepted, refused = set(), set()
    for path in BROKEN.glob("*.txt"):
        text = path.read_text(encoding="utf-8").split("========\n", 1)[1]
        try:
            value = data(text)
        except SpecError:
            continue
        (accepted if validator.is_valid(value) else refused).add(path.stem)
    assert accepted == BEYOND_A_SCHEMA
    assert len(refused) >= 50


def test_the_audience_shares_schema_is_current_and_takes_what_the_loader_takes() -> None:
    assert SHARE_SCHEMA_FILE.read_text(encoding="utf-8") == share_schema_text(), "run: make schema"
    validator = Draft202012Validator(share_schema())
    share = {
        "owner": "web-team",
        "description": "d",
        "segments": ["vip"],
        "topic": "personalisation",
        "destination": {"kind": "redis", "account": "engine"},
    }
    assert validator.is_valid(share)
    assert AudienceShare.model_validate({**share, "name": "web"})
    for wrong in (
        {"segments": []},
        {"mode": "some"},
        {"destination": {"kind": "ftp", "account": "a"}},
        {"x": 1},
    ):
        assert not validator.is_valid({**share, **wrong})
        with pytest.raises(ValidationError):
            AudienceShare.model_validate({**share, "name": "web", **wrong})
