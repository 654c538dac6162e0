"""Names for weights: a registry of published networks, a cache, and how they get there."""
