"""The command `trackline`: arguments and exit codes in main.py, one file per command."""
