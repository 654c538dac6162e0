"""Examines this machine, and reports what works on it."""
