"""What the results of each wave said about the next."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    counts = ("tried", "sent", "failed", "bounced", "complained", "unsubscribed")
    op.create_table(
        "wave_gates",
        sa.Column("run_key", sa.String(), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("result", sa.String(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in counts),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_key"], ["runs.run_key"], name="fk_wave_gates_run_key"),
        sa.PrimaryKeyConstraint("run_key", "wave", name="pk_wave_gates"),
    )


def downgrade() -> None:
    op.drop_table("wave_gates")
