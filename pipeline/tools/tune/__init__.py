"""A search for a tracker's options on labelled clips (extra `tune`)."""
