"""Kundresa inside Airflow: DAG builders, run keys, pools, alerts and the pages of the UI plugin.

The one room that imports Airflow.
"""
