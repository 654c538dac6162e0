"""A live run behind the server: configuration reload, zones, recent events."""
