"""Accounts: from Airflow connections, safe by default, and never a password in what is said."""

from __future__ import annotations

import json

import pytest

from kundresa.channels import Account, AccountError, account_from_uri, resolve_account
from kundresa.channels.accounts import DEFAULT_TIMEOUT


def test_smtp_uri() -> None:
    account = account_from_uri(
        "smtp://anna%40x:p%3As%2Fs@mail.example:2587/?timeout=5&helo=a.example", name="n"
    )
    assert (account.name, account.kind, account.host, account.port) == ("n", "smtp", "mail.example", 2587)
    assert (account.user, account.password) == ("anna@x", "p:s/s")
    assert account.security == "starttls"
    assert account.timeout == 5
    assert account.extra["helo"] == "a.example"


@pytest.mark.parametrize(
    ("uri", "port", "security"),
    [
        ("smtp://mail.example", 587, "starttls"),
        ("smtp://mail.example:465", 465, "tls"),
        ("smtps://mail.example", 465, "tls"),
        ("smtp://mail.example?security=tls", 465, "tls"),
        ("smtp://127.0.0.1:2525?security=none", 2525, "none"),
        ("https://gateway.example/messages", 443, "tls"),
        ("http://127.0.0.1:2526/messages", 2526, "none"),
    ],
)
def test_defaults(uri: str, port: int, security: str) -> None:
    account = account_from_uri(uri)
    assert (account.port, account.security, account.timeout) == (port, security, DEFAULT_TIMEOUT)


def test_http_path_also_as_airflow_writes_it() -> None:
    plain = account_from_uri("https://u:p@gateway.example/2010-04-01/Accounts/AC1/Messages.json")
    quoted = account_from_uri("https://u:p@gateway.example/2010-04-01%2FAccounts%2FAC1%2FMessages.json")
    assert plain.path == quoted.path == "/2010-04-01/Accounts/AC1/Messages.json"


def test_airflows_http_connection_with_its_protocol_as_schema() -> None:
    account = account_from_uri("http://u:p@gateway.example/https?path=/v1/messages")
    assert (account.security, account.port, account.path) == ("tls", 443, "/v1/messages")


def test_json_form() -> None:
    text = json.dumps(
        {
            "conn_type": "smtp",
            "host": "mail.example",
            "port": 587,
            "login": "anna",
            "password": "secret",
            "extra": {"timeout": 7},
        }
    )
    account = account_from_uri(text)
    assert (account.user, account.password, account.timeout) == ("anna", "secret", 7)
    nested = account_from_uri(
        json.dumps({"conn_type": "smtp", "host": "m.example", "extra": '{"timeout": 8}'})
    )
    assert nested.timeout == 8


def test_extra_as_airflow_nests_it() -> None:
    account = account_from_uri("smtp://mail.example/?__extra__=%7B%22timeout%22%3A+9%7D")
    assert account.timeout == 9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://u:hunter2@mail.example", "is of kind ftp; expected smtp, http, https, fcm, "),
        ("smtp://u:hunter2@", "has no host"),
        ("smtp://u:hunter2@mail.example:port", "is not a connection URI or JSON"),
        ("smtp://u:hunter2@mail.example?security=ssl", "security is ssl; expected none, starttls or tls"),
        ("smtp://u:hunter2@mail.example?timeout=soon", "timeout takes seconds above 0"),
        ("smtp://u:hunter2@mail.example?timeout=0", "timeout takes seconds above 0"),
        ("smtp://u:hunter2@mail.example?security=none", "would send its password unencrypted"),
        ("http://u:hunter2@gateway.example", "would send its password unencrypted"),
        ('{"conn_type": "smtp", "password": "hunter2"', "is not a connection URI or JSON"),
        (
            '{"conn_type": "smtp", "host": "m", "password": "hunter2", "extra": "no json"}',
            "is not a connection",
        ),
        ("hunter2", "is of kind "),
    ],
)
def test_what_cannot_be_used_is_said_without_the_password(text: str, message: str) -> None:
    with pytest.raises(AccountError) as caught:
        account_from_uri(text, name="newsletter")
    assert message in str(caught.value)
    assert "newsletter" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    ["smtp://u:p@127.0.0.1?security=none", "smtp://u:p@localhost?security=none", "http://u:p@[::1]:80/x"],
)
def test_a_password_may_stay_on_this_machine(uri: str) -> None:
    assert account_from_uri(uri).password == "p"


def test_the_environment_names_accounts() -> None:
    environ = {"AIRFLOW_CONN_KUNDRESA_NEWSLETTER": "smtp://mail.example"}
    assert resolve_account("newsletter", environ).host == "mail.example"
    with pytest.raises(AccountError, match="there is no AIRFLOW_CONN_KUNDRESA_TEXTS"):
        resolve_account("texts", environ)


def test_the_password_is_not_shown() -> None:
    account = Account(name="n", kind="smtp", host="h", port=1, user="u", password="hunter2")
    assert "hunter2" not in repr(account)
    assert account.place == "account n (h:1 as u)"
