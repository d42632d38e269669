"""The report of a period's attribution: one page that can be forwarded, its tables as files, and what changed since the last one."""
