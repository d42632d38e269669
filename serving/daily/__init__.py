"""A day at a time: resolve identities, credit conversions, restate what a day's news changes, publish who is who."""
