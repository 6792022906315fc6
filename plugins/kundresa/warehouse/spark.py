"""The Spark session that dbt works in on the target ``spark``: one per process, ended with it.

dbt-spark makes a session by itself, with the same parameters. It is made here before, since a session
needs what no parameter can say: the functions written in Python, and a warehouse without the remains of
a process that was killed. See ``SPARK.md``.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_GONE_SECONDS = 60
"""How long the Java process of an earlier session may take to end; it takes one or two."""
ENDED = "Spark's Java process ended by itself:"
"""What standard error says of it, and how it ended."""
EARLIER = "__earlier"
"""Behind the name of a history, the name of the copy that it is built from."""


class SparkUnavailable(Exception):
    """Spark cannot be started; the message says what it needs."""


@contextmanager
def session(parameters: Mapping[str, str], home: Path) -> Iterator[Any]:
    """A session for all that this process does; its Java process is gone when the block ends.

    Args:
        parameters: Spark's, as in the target of ``profiles.yml``.
        home: the folder of the metastore and the tables. One process at a time: the caller holds a lock.

    Raises:
        SparkUnavailable: when Java is missing or does not start, or an earlier session does not end.
    """
    _require_java()
    home.mkdir(parents=True, exist_ok=True)
    driver = home / "driver.pid"
    _wait_until_gone(driver)
    shutil.rmtree(home / "local", ignore_errors=True)
    # Spark starts Python for our functions: this one, which can import this package.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(PACKAGE_ROOT), os.environ.get("PYTHONPATH")))
    )

    from pyspark import SparkContext
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.enableHiveSupport()
    for name, value in parameters.items():
        builder = builder.config(name, value)
    try:
        spark = builder.getOrCreate()
    except PySparkRuntimeError as error:
        raise SparkUnavailable(f"Spark does not start: {error}") from None
    gateway: Any = SparkContext._gateway
    driver.write_text(str(gateway.proc.pid))
    try:
        repair(spark, home / "warehouse")
        register_functions(spark)
        yield spark
    finally:
        ended = gateway.proc.poll()
        if ended is None:
            spark.stop()
            gateway.shutdown()
        else:
            # What dbt says of it is worth more than what stopping it would; dbt does not know how it ended.
            print(f"{ENDED} {_how(ended)}", file=sys.stderr, flush=True)  # noqa: T201  the parent reads it
        gateway.proc.stdin.close()  # Spark's Java process ends when its standard input does
        gateway.proc.wait(_GONE_SECONDS)
        driver.unlink()


def register_functions(spark: Any) -> None:
    """The functions in Python that models call by name; null for null, and they never raise."""
    from pyspark.sql.functions import udf

    from kundresa.warehouse.phones import FUNCTIONS

    for name, function in FUNCTIONS.items():
        # Rows travel as Arrow batches: a fraction of what pickling each would cost.
        spark.udf.register(name, udf(function, "string", useArrow=True))


def repair(spark: Any, warehouse: Path) -> None:
    """Undo what a process was writing when it was killed.

    A history of which there is a copy (see ``macros/dispatch/history.sql``) may be half-written: the copy
    takes its place. A folder of which Spark knows no table is removed, since Spark makes no table there.
    """
    for folder in sorted(warehouse.glob("*.db")):
        schema = folder.name.removesuffix(".db")
        tables = {row.tableName for row in spark.sql(f"show tables in {schema}").collect()}
        for copy in (name for name in tables if name.endswith(EARLIER)):
            spark.sql(f"drop table if exists {schema}.{copy.removesuffix(EARLIER)}")
        for table in folder.iterdir():
            if not spark.catalog.tableExists(f"{schema}.{table.name}"):
                shutil.rmtree(table)
        for copy in (name for name in tables if name.endswith(EARLIER)):
            spark.sql(f"alter table {schema}.{copy} rename to {schema}.{copy.removesuffix(EARLIER)}")


def _how(returncode: int) -> str:
    return f"killed by signal {-returncode}" if returncode < 0 else f"exit code {returncode}"


def _require_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = Path(home) / "bin" / "java" if home else None
    if java is not None and not java.exists():
        raise SparkUnavailable(
            f"JAVA_HOME is {home}, where there is no bin/java; Spark needs Java 17 or later"
        )
    if java is None and shutil.which("java") is None:
        raise SparkUnavailable(
            "the dbt target spark needs Java 17 or later, and there is no java on the PATH "
            "(Debian, Ubuntu: apt-get install openjdk-17-jre-headless)"
        )


def _wait_until_gone(driver: Path) -> None:
    """Spark's Java process outlives a Python that was killed by a second, and the metastore takes one."""
    try:
        pid = int(driver.read_text())
    except (FileNotFoundError, ValueError):
        return
    deadline = time.monotonic() + _GONE_SECONDS
    while _is_java(pid):
        if time.monotonic() > deadline:
            raise SparkUnavailable(f"an earlier Spark session (process {pid}) still holds {driver.parent}")
        time.sleep(0.1)


def _is_java(pid: int) -> bool:
    try:
        return b"org.apache.spark" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
