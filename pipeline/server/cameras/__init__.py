"""Cameras added, changed, tested and removed on the page, in the configuration file."""
