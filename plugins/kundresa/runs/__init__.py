"""One campaign run, stage by stage: open, decide, check, deliver, record, reconcile, report; and what a
person asks about it: plan, account, explain.

Airflow's tasks and the command line call the same functions here. Every stage may be repeated.
"""
