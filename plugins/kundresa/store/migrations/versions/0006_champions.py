"""The variant that a wave and those after it get, found by the waves before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("wave_gates", sa.Column("champion", sa.String()))
    op.add_column("wave_gates", sa.Column("champion_detail", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("wave_gates", "champion_detail")
    op.drop_column("wave_gates", "champion")
