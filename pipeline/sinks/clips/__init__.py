"""Video clips of events: the seconds before them, recording, their state in the store."""
