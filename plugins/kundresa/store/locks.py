"""In which order transactions lock what several of them write.

Two that lock the same rows in different orders wait for each other; PostgreSQL ends one of them (SQLite's
writers take turns). So all lock in this order, and leave out what they do not need:

1. whose turn it is to add to the inbox and to the feedback (``inbox.take_turns``),
2. a journey's row, several in the order of their keys; who writes positions, or open messages or calls, of a
   journey has it,
3. a batch's row, several in the order of their keys,
4. messages of the ledger, in the order of their ids,
5. messages of journeys, then their calls, in the order of their ids,
6. traits that journeys have set, of all people of the transaction in the order of their key, those that are
   added among them: who finds one added waits for who has added it,
7. counts of journeys (skips, then passages), in the order of their keys,
8. the row of a campaign's run, in a claim of rows of print files (``print_rows``),
9. rows of print files, or soft refusals, that are removed, in the order of their keys. Who adds some has 8 or
   1, for which nobody waits who removes some.

A statement that updates many rows locks them in the order in which it finds them. So what may be written by
others at the same time is held first.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Table, select


def hold_rows(connection: Connection, table: Table, which: ColumnElement[bool]) -> None:
    """Within a write transaction: lock these rows of a table in the order of its key."""
    if connection.dialect.name != "sqlite":
        keys = [*table.primary_key]
        held = select(*keys).where(which).order_by(*keys)
        connection.execute(held.with_for_update(of=table, key_share=True))
