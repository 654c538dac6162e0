"""`python -m trackline` and the command `trackline`."""

from __future__ import annotations


def main() -> int:
    """Run the command; our own package lies behind the name `pipeline` by now, see __init__."""
    from pipeline.__main__ import main as command

    return command()


if __name__ == "__main__":
    raise SystemExit(main())
