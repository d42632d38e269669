"""Devices of one person, found without a key that they share: by the networks, hours, sites and agents that they have in common."""
