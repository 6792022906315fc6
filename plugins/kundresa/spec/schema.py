"""The JSON Schemas of campaigns, journeys and audience shares, for editors that complete and check YAML.

``python -m kundresa.spec.schema`` prints a campaign's, ``--write`` updates ``campaign.schema.json``,
``journey.schema.json`` and ``audience_share.schema.json`` beside this file. A spec names its own in its
first line::

    # yaml-language-server: $schema=../../../plugins/kundresa/spec/campaign.schema.json

It states shapes and words. What a schema cannot say (a cron that never comes, a segment in both lists)
``kundresa check`` says.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kundresa.spec.audience_share import AudienceShare
from kundresa.spec.campaign import Campaign
from kundresa.spec.journey import Journey
from kundresa.spec.spec import Spec

SCHEMA_FILE = Path(__file__).with_name("campaign.schema.json")
JOURNEY_SCHEMA_FILE = Path(__file__).with_name("journey.schema.json")
SHARE_SCHEMA_FILE = Path(__file__).with_name("audience_share.schema.json")
COMMAND = "python -m kundresa.spec.schema"


def campaign_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of ``campaign.yaml``. Without ``name``: that is the folder's."""
    return _schema(Campaign)


def journey_schema() -> dict[str, Any]:
    """The same of ``journey.yaml``."""
    return _schema(Journey)


def share_schema() -> dict[str, Any]:
    """The same of ``audience_share.yaml``."""
    return _schema(AudienceShare)


def _schema(model: type[Spec]) -> dict[str, Any]:
    schema = model.model_json_schema(mode="validation")
    del schema["properties"]["name"]
    schema["required"].remove("name")
    for each in _objects(schema):
        _tidy(each)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_text() -> str:
    """The file's content: keys in the order of the types, a line end at the end."""
    return _text(campaign_schema())


def journey_schema_text() -> str:
    """The same of the journeys' file."""
    return _text(journey_schema())


def share_schema_text() -> str:
    """The same of the audience shares' file."""
    return _text(share_schema())


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def _tidy(each: dict[str, Any]) -> None:
    """Drops titles that repeat the key, and makes a docstring's lines one, without its markup."""
    if isinstance(each.get("title"), str):
        del each["title"]
    if isinstance(each.get("description"), str):
        each["description"] = " ".join(each["description"].replace("``", "").split())


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints or writes the schema."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="The JSON Schema of a campaign spec.")
    files = f"write {SCHEMA_FILE.name}, {JOURNEY_SCHEMA_FILE.name} and {SHARE_SCHEMA_FILE.name} instead"
    parser.add_argument("--write", action="store_true", help=files)
    if parser.parse_args(arguments).write:
        SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
        JOURNEY_SCHEMA_FILE.write_text(journey_schema_text(), encoding="utf-8")
        SHARE_SCHEMA_FILE.write_text(share_schema_text(), encoding="utf-8")
    else:
        sys.stdout.write(schema_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
