"""Airflow has a home of the tests' own, before a test module imports it."""

from tests import airflow_home

__all__ = ["airflow_home"]
