"""The *Campaigns* pages inside Airflow's UI: accounts and Data Docs."""
