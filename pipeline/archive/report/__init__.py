"""The report: one page about recorded tracks."""
