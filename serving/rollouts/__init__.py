"""A challenger on its way: who is asked, what is counted, what the next step is, and who takes it."""
