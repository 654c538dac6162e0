"""Events in SQLite or PostgreSQL, with their clips, retention and queue of deliveries."""
