"""Are the models still right? On ripe labels, on labels that are ripening, and, as an early warning, without any."""
