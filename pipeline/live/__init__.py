"""A live run: cameras, their page, and files that are read again when they change."""
