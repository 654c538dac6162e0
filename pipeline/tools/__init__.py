"""Tools besides running: evaluate, refine, tune, export, bench, doctor."""
