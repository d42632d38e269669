"""The local platform: start, stop, health, the demo, and the command line's verbs."""
