"""Tags: words for a picture, from the outputs of a classifier and a detector."""
