"""Identifiers in one form: versioned rules that turn what people and systems write into what can be compared."""
