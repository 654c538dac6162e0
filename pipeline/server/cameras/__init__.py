"""Cameras added, changed, tried and removed on the page: in the configuration file."""
