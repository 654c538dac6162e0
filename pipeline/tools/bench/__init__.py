"""Speed of this machine at several settings, and beside ultralytics."""
