"""How often each step of a journey was come to, and how entries ended, counted as it happens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# What is told of people's moves may have been forgotten in part; where people are, how their last entries
# ended, and their messages, are not. So a step was come to at least as often as these say, and as many have
# entered as are inside and have left.
_UNNESTED = {
    "sqlite": (
        "select journey, json_extract(each.value, '$[0]') as step, json_extract(each.value, '$[2]') as why, "
        "moved_at from journey_moves, json_each(journey_moves.moves_json) as each"
    ),
    "postgresql": (
        "select journey, each.value ->> 0 as step, each.value ->> 2 as why, moved_at "
        "from journey_moves cross join lateral jsonb_array_elements(moves_json::jsonb) as each(value)"
    ),
}
_COUNTED = """
    with
    told as ({unnested}),
    found as (
        select journey, step, case when step = 'end' then why else '' end as end_reason, count(*) as entries,
            max(moved_at) as last_at
        from told group by 1, 2, 3
        union all
        select journey, step, '', count(*), max(step_at) from journey_positions where step is not null
        group by 1, 2
        union all
        select journey, 'end', end_reason, count(*), max(ended_at) from journey_positions where step is null
        group by 1, 3
        union all
        select journey, step, '', count(*), max(reached_at) from journey_messages group by 1, 2
    ),
    passed as (
        select journey, step, end_reason, max(entries) as entries, max(last_at) as last_at
        from found group by 1, 2, 3
    ),
    inside as (
        select journey, count(*) as entries, max(entered_at) as last_at
        from journey_positions where step is not null group by 1
        union all
        select journey, entries, last_at from passed where step = 'end'
    )
    insert into journey_passages (journey, step, end_reason, entries, last_at)
    select journey, step, end_reason, entries, last_at from passed
    union all
    select journey, '', '', sum(entries), max(last_at) from inside group by 1
"""


def upgrade() -> None:
    op.create_table(
        "journey_passages",
        sa.Column("journey", sa.String(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("end_reason", sa.String(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("journey", "step", "end_reason", name="pk_journey_passages"),
    )
    op.execute(_COUNTED.format(unnested=_UNNESTED[op.get_bind().dialect.name]))


def downgrade() -> None:
    op.drop_table("journey_passages")
