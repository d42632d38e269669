"""The front page: today's state in one screen, with the way to everything else."""
