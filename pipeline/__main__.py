"""`python -m pipeline` and the command `trackline`."""

from __future__ import annotations


def main() -> int:
    """Run the command; Ctrl-C is answered with 130 from here on, imports included."""
    try:
        from pipeline.cli import main as command

        return command()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
