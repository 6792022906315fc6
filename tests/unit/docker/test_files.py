"""The files of docker/ agree with each other, with the settings and with the development lock."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from kundresa.settings import load

REPOSITORY = Path(__file__).resolve().parents[3]
DOCKER = REPOSITORY / "docker"
REQUIRED = re.compile(r"\$\{(\w+):\?")
OPTIONAL = re.compile(r"\$\{(\w+):-")
OURS = {
    "init",
    "api-server",
    "scheduler",
    "dag-processor",
    "triggerer",
    "worker",
    "public",
    "sender",
    "texts",
}


def text(name: str) -> str:
    return (DOCKER / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(text("compose.yaml"))
    return document


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(text("values.yaml"))
    return document


def versions(lock: Path) -> dict[str, set[str]]:
    """Package → the versions it is locked at (several where they differ by Python version)."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(
        r"^([a-z0-9._-]+)==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE
    ):
        found.setdefault(name, set()).add(version)
    return found


def test_production_runs_the_versions_that_were_tested():
    production = versions(DOCKER / "requirements.lock")
    development = versions(REPOSITORY / "requirements.lock")
    shared = production.keys() & development.keys()
    assert len(shared) > 150
    assert {name: production[name] for name in shared} == {name: development[name] for name in shared}
    assert {
        "apache-airflow",
        "apache-airflow-providers-fab",
        "apache-airflow-providers-celery",
        "psycopg",
        "redis",
    } <= set(production)
    assert production.keys().isdisjoint({"pytest", "ruff", "mypy", "aiosmtpd"})


def test_every_locked_package_has_hashes_and_no_address():
    lock = text("requirements.lock")
    assert "://" not in lock
    requirements = re.split(r"\n(?=[a-z0-9])", lock.split("\n", 2)[2])
    assert len(requirements) > 150
    assert [each.split("==")[0] for each in requirements if "--hash=sha256:" not in each] == []


def test_secrets_are_required_and_stated_nowhere(compose):
    required = set(REQUIRED.findall(text("compose.yaml")))
    assert required == {
        "AIRFLOW_DATABASE_PASSWORD",
        "AIRFLOW_FERNET_KEY",
        "AIRFLOW_JWT_SECRET",
        "AIRFLOW_SECRET_KEY",
        "KUNDRESA_ADMIN_PASSWORD",
        "KUNDRESA_DATABASE_PASSWORD",
        "KUNDRESA_PUBLIC_URL",
        "KUNDRESA_SECRET",
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
    }
    secret = re.compile(r"PASSWORD|SECRET|FERNET_KEY|_URL|_CONN\b|BACKEND")
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if secret.search(name) and "api-server" not in str(value) and name != "AIRFLOW__API__BASE_URL":
                assert REQUIRED.search(str(value)), name


def test_the_example_names_each_variable_and_no_value_of_a_secret():
    stated = dict(re.findall(r"^(?:# )?([A-Z_]+)=(.*)$", text(".env.example"), re.MULTILINE))
    known = set(REQUIRED.findall(text("compose.yaml"))) | set(OPTIONAL.findall(text("compose.yaml")))
    assert set(stated) == known
    assert {stated[name] for name in REQUIRED.findall(text("compose.yaml"))} == {""}


def test_secret_files_are_kept_out_of_git_and_of_the_image():
    assert {"/.env", "/connections.env"} <= set(text(".gitignore").splitlines())
    # The build context is closed but for a list, and no COPY takes the docker folder as a whole.
    assert text("Dockerfile.dockerignore").splitlines()[1] == "*"
    copied = re.findall(r"^COPY (?:--\S+ )*(.+)$", text("Dockerfile"), re.MULTILINE)
    assert all(source not in ("docker", ".", "./") for line in copied for source in line.split()[:-1])


def test_what_connections_env_may_state_is_not_overridden(compose, values):
    """`environment` wins over `env_file`, with an empty text too: nobody's bounces would be read any more."""
    lines = re.findall(r"^(KUNDRESA_\w+)=", text("README.md"), re.MULTILINE)
    assert lines == ["KUNDRESA_MAILBOX", "KUNDRESA_PRINT_RESULTS"]
    for name in OURS:
        service = compose["services"][name]
        assert service["env_file"] == [{"path": "connections.env", "required": False}]
        assert not set(lines) & set(service["environment"]), name
    # A key that a secret does not have stops every pod.
    required = {each["secretKey"] for each in values["secret"]}
    assert required == {"admin-password", "api-keys", "signing-secret", "store-url", "webhooks"}


def test_every_service_has_a_health_check_and_a_memory_limit(compose):
    assert set(compose["services"]) == OURS | {"postgres", "redis"}
    for name, service in compose["services"].items():
        assert service["deploy"]["resources"]["limits"]["memory"], name
        assert "healthcheck" in service or name == "init"


def test_nothing_starts_before_init_and_init_not_before_the_databases(compose):
    for name in OURS - {"init"}:
        assert compose["services"][name]["depends_on"] == {
            "init": {"condition": "service_completed_successfully"}
        }
    healthy = {"condition": "service_healthy"}
    assert compose["services"]["init"]["depends_on"] == {"postgres": healthy, "redis": healthy}


def test_only_who_texts_over_smpp_runs_what_takes_reports_and_replies(compose):
    """Where there is no such account the process would end at once, and be started again for ever."""
    with_profile = {
        name: each["profiles"] for name, each in compose["services"].items() if "profiles" in each
    }
    assert with_profile == {"texts": ["smpp"]}
    assert compose["services"]["texts"]["command"][:3] == ["kundresa", "feedback", "smpp"]


def test_only_the_web_servers_are_reachable_and_from_this_machine_only(compose):
    published = {
        name: service["ports"] for name, service in compose["services"].items() if "ports" in service
    }
    assert published == {
        "api-server": ["${AIRFLOW_API_BIND:-127.0.0.1:8080}:8080"],
        "public": ["${KUNDRESA_PUBLIC_BIND:-127.0.0.1:2581}:2581"],
    }


def test_our_containers_have_no_privileges(compose):
    for name in OURS:
        service = compose["services"][name]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "user" not in service
    assert re.findall(r"^USER (.+)$", text("Dockerfile"), re.MULTILINE) == ["50000:0"]


def test_workers_share_the_state_and_its_place_is_the_image_s(compose):
    for name in OURS:
        assert "state:/var/lib/kundresa" in compose["services"][name]["volumes"]
    assert "KUNDRESA_HOME=/var/lib/kundresa" in text("Dockerfile")


def test_each_of_our_variables_is_one_that_is_read(compose, values):
    source = (REPOSITORY / "plugins/kundresa/settings.py").read_text(encoding="utf-8") + text("init.py")
    stated = {name for service in compose["services"].values() for name in service.get("environment", {})}
    stated |= set(re.findall(r"^\s+(KUNDRESA_\w+)=", text("Dockerfile"), re.MULTILINE))
    stated |= {each["name"] for each in values["env"]} | {each["envName"] for each in values["secret"]}
    ours = {name for name in stated if name.startswith("KUNDRESA_")} - {"KUNDRESA_DATABASE_PASSWORD"}
    assert {name for name in ours if f'"{name}"' not in source} == set()
    assert load({"KUNDRESA_HOME": "/var/lib/kundresa"}).home == Path("/var/lib/kundresa")


def test_kubernetes_gets_what_compose_gets(compose, values):
    environment = compose["services"]["init"]["environment"]
    stated = {each["name"] for each in values["env"]} | {each["envName"] for each in values["secret"]}
    of_connections = {"KUNDRESA_PRINT_RESULTS"}
    assert stated - of_connections == {name for name in environment if name.startswith("KUNDRESA_")}
    assert values["executor"] == environment["AIRFLOW__CORE__EXECUTOR"]
    assert values["migrateDatabaseJob"]["command"] == compose["services"]["init"]["command"]
    assert values["volumeMounts"] == [{"name": "state", "mountPath": "/var/lib/kundresa"}]
    assert values["config"]["core"]["auth_manager"] in text("Dockerfile")
    airflow = versions(DOCKER / "requirements.lock")["apache-airflow"]
    assert {values["airflowVersion"]} == airflow


def test_image_tags_are_this_version():
    from kundresa import __version__

    assert f"kundresa:{__version__}" in text("compose.yaml")
    assert yaml.safe_load(text("values.yaml"))["defaultAirflowTag"] == __version__


@pytest.mark.parametrize("name", ["kundresa", "postgres/10-databases.sh"])
def test_scripts_can_be_executed(name):
    assert (DOCKER / name).stat().st_mode & stat.S_IXUSR


def test_the_dockerfile_passes_its_linter():
    hadolint = Path(sys.executable).with_name("hadolint")
    command = [str(hadolint), "--failure-threshold", "warning", str(DOCKER / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("damage", "code"), [("", 0), ("\nservces: {}\n", 1)])
def test_the_compose_file_is_valid_by_the_published_schema(tmp_path, damage, code):
    """A misspelt key is refused, which shows that the schema was applied."""
    file = tmp_path / "compose.yaml"
    file.write_text(text("compose.yaml") + damage)
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
