"""What passes between rooms: event rows, tables, windows of time, settings. Everything else is derived from here."""
