"""Why did it move? A measure's change between two days, shared out among what changed: data, features, identity, model, calibrator, policy."""
