"""Which person does a signal belong to: exact links first, then ranked evidence. Pure functions over frames."""
