"""Measures what this machine does at several settings, and beside another program."""
