"""Records to people: any table with noisy columns, from its rows to stable person ids."""
