"""Identity matching measured against its peers: one module for each row of the table, each with `measure(runs)`."""
