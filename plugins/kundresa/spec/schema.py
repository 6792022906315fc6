"""The JSON Schema of a campaign spec, for editors that complete and check YAML.

``python -m kundresa.spec.schema`` prints it, ``--write`` updates ``campaign.schema.json`` beside this
file. A spec names it in its first line::

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

from kundresa.spec.campaign import Campaign

SCHEMA_FILE = Path(__file__).with_name("campaign.schema.json")
COMMAND = "python -m kundresa.spec.schema"


def campaign_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of ``campaign.yaml``. Without ``name``: that is the folder's."""
    schema = Campaign.model_json_schema(mode="validation")
    del schema["properties"]["name"]
    schema["required"].remove("name")
    for each in _objects(schema):
        _tidy(each)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_text() -> str:
    """The file's content: keys in the order of the types, a line end at the end."""
    return json.dumps(campaign_schema(), indent=2, ensure_ascii=False) + "\n"


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
    parser.add_argument("--write", action="store_true", help=f"write {SCHEMA_FILE.name} instead")
    if parser.parse_args(arguments).write:
        SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
    else:
        sys.stdout.write(schema_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
