"""The rows of print files of runs under way, by digest: equal ones leave once in a run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "print_rows",
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("run_key", sa.String(), nullable=False),
        sa.Column("row_digest", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", name="pk_print_rows"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_print_rows_run_key_row_digest", "print_rows", ["run_key", "row_digest"])


def downgrade() -> None:
    op.drop_table("print_rows")
