"""Training of the built-in detector; nothing in `pipeline` imports this."""
