"""What a column looks like, in a few kilobytes that merge exactly: a month is the merge of its days."""

from whence.summaries.column import Summary
from whence.summaries.frame import merge_all, summarise, summarise_batch
from whence.summaries.rows import from_rows, to_rows

__all__ = ["Summary", "from_rows", "merge_all", "summarise", "summarise_batch", "to_rows"]
