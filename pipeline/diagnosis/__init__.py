"""What this machine has, and what will work on it: behind `trackline doctor` and `bench`."""
