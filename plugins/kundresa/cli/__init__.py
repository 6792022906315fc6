"""The ``kundresa`` command."""
