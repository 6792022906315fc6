"""A campaign on a segment of orders: one decision per order, one message id each, one account."""

from __future__ import annotations

from datetime import timedelta

from kundresa import warehouse


def test_a_campaign_on_orders_decides_about_each_of_them(
    home, publish, open_runs, make_run, world, now
) -> None:
    world.add_person("anna", email="anna@x.test")
    world.add_person("bo", ["open_complaints"], email="bo@x.test")
    world.add_person("cilla", email="cilla@x.test", consent=())
    since = now - timedelta(days=1)
    world.segment_memberships += [
        {"segment": "orders_to_review", "profile_id": person, "entity_id": order, "entered_at": since}
        for person, order in (("anna", "o1"), ("anna", "o2"), ("bo", "o3"), ("bo", "o4"), ("cilla", "o5"))
    ]
    # Reviewed already: it has left the segment.
    world.segment_memberships.append(
        {
            "segment": "orders_to_review",
            "profile_id": "anna",
            "entity_id": "o0",
            "entered_at": since,
            "exited_at": now,
        }
    )
    run = make_run("review", include=("orders_to_review",), exclude=("open_complaints",))
    publish(home, world)
    open_runs(home, world, run)
    warehouse.decide(home, [run.run_key])
    rows = warehouse.query(home, "select * from decisions order by entity_id")
    assert [(row["entity_id"], row["profile_id"], row["verdict"], row["reason"]) for row in rows] == [
        ("o1", "anna", "send", None),
        ("o2", "anna", "send", None),
        ("o3", "bo", "exclude", "in_excluded_segment"),
        ("o4", "bo", "exclude", "in_excluded_segment"),
        ("o5", "cilla", "exclude", "consent_unknown"),
    ]
    assert len({row["message_id"] for row in rows}) == 5
    [batch] = warehouse.read_batch(home, run.run_key, "email", 1)
    assert sorted((row["entity_id"], row["profile"]["first_name"]) for row in batch) == [
        ("o1", "Anna"),
        ("o2", "Anna"),
    ]
