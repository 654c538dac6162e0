"""Classifiers: one plug-in per file, from pictures to the score of each class."""
