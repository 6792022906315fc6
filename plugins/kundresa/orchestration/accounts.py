"""Sender accounts: Airflow connections named ``kundresa_<account>``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException

if TYPE_CHECKING:
    from kundresa.channels import Account

PREFIX = "kundresa_"


def sender_account(name: str) -> Account:
    """The account a campaign names, from wherever this Airflow keeps its connections: its database,
    a secrets backend, or the environment.

    Raises:
        AirflowFailException: when there is none; a retry would not find it either.
    """
    from kundresa.channels import account_from_uri

    conn_id = PREFIX + name
    try:
        connection = Connection.get(conn_id)
    except AirflowNotFoundException:
        raise AirflowFailException(
            f"The sender account {name!r} is unknown: Airflow has no connection {conn_id!r}. Add it with: "
            f"airflow connections add {conn_id} --conn-uri smtp://user:password@host:587?security=starttls"
        ) from None
    return account_from_uri(connection.get_uri(), name=name)
