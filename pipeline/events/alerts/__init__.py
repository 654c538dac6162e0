"""Alerts: which events call for one, and delivery to the channels of their rules."""
