"""The *Campaigns* and *Journeys* pages inside Airflow's UI: accounts, people's ways, and Data Docs."""
