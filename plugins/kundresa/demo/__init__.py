"""`make demo`: a sample shop, a real Airflow and two campaigns, from nothing to the account."""
