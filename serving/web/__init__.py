"""A request at a time: what may be asked and by whom, how it is answered, and the processes that answer."""
