"""What alembic runs for each command: over the connection that ``store.migrate`` hands in."""

from __future__ import annotations

from alembic import context

from kundresa.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=context.config.attributes["version_table"],
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=True,
)
# The caller's transaction covers the whole upgrade: it is there as a whole or not at all.
context.run_migrations()
