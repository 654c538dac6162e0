"""Alerts: which events cause one, and delivery to the channels of their rules."""
