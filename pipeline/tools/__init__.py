"""What is done besides running: evaluate, refine, tune, export, bench, doctor."""
