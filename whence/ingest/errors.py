"""What ingest says when a whole source cannot be taken in."""

from __future__ import annotations


class IngestError(ValueError):
    """A file or table that cannot be read at all; names it, the field, and what to do. Nothing was written."""
