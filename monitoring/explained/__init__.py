"""Why did this conversion get this credit, and how sure are we? From credit down to features, each with its version."""
