"""Which touches earned a conversion, and what that is worth. Pure functions over frames."""
