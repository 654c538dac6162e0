"""The page and REST interface of a live run."""
