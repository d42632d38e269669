"""Attribution measured against the truth and its peers: one module for each part of the table, each with `measure(runs)`."""
