"""Tags: words for a picture, from what a classifier and a detector say about it."""
