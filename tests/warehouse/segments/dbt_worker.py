"""dbt for many small builds in one process: a request per line of standard input, an answer per line of
output.

Importing dbt and parsing the project take eight seconds of the nine that such a build would cost by itself;
here the project is parsed again only when it, or the list of segments, is another one. Each answer comes when
the database is closed, so that the test may open it.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def main() -> None:
    with os.fdopen(os.dup(1), "w") as output:
        os.dup2(2, 1)  # what dbt prints is no answer
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager
        from dbt.cli.main import dbtRunner

        parsed: dict[str, Any] = {}
        for line in sys.stdin:
            request = json.loads(line)
            os.environ.update(request["environment"])
            key = json.dumps([request["environment"]["DBT_PROJECT_DIR"], request["parsed_with"]])
            variables = ["--vars", json.dumps(request["variables"])]
            problems = ""
            if key not in parsed:
                answer = dbtRunner().invoke(["parse", "--quiet", "--no-partial-parse", *variables])
                problems = _problems(answer)
                if answer.success:
                    parsed[key] = answer.result
            if key in parsed:
                answer = dbtRunner(manifest=parsed[key]).invoke([*request["arguments"], *variables])
                problems = _problems(answer)
            DuckDBConnectionManager.close_all_connections()
            output.write(json.dumps({"ok": bool(answer.success), "problems": problems}) + "\n")
            output.flush()


def _problems(answer: Any) -> str:
    """What went wrong, as dbt says it; empty when nothing did."""
    said = [str(answer.exception)] if answer.exception else []
    results = getattr(answer.result, "results", None) or ()
    said += [
        f"{result.node.name}: {result.message}"
        for result in results
        if str(result.status) in ("error", "fail", "runtime error")
    ]
    return "\n".join(said)


if __name__ == "__main__":  # dbt may start Python anew, which imports this file
    main()
