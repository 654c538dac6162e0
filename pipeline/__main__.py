"""`python -m pipeline` is the command `trackline`."""

from pipeline.cli import main

raise SystemExit(main())
