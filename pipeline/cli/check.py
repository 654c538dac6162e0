"""Validate a configuration file and print the effective configuration, defaults included."""

from __future__ import annotations

import argparse
import json
import sys

from pipeline.config.build import build, effective, schema
from pipeline.config.resolve import resolve_config
from pipeline.config.schema import load_config, parse_assignment
from pipeline.core.errors import UsageError
from pipeline.core.yaml_file import dump

HELP = "validate a configuration and print it with every default filled in"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("config", nargs="?", metavar="CONFIG.yaml", help="the file to check")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes")
    parser.add_argument(
        "--schema", action="store_true", help="print the file's JSON schema, for editors"
    )


def execute(args: argparse.Namespace) -> int:
    """Print the effective configuration as YAML, or the schema as JSON."""
    if args.schema:
        sys.stdout.write(json.dumps(schema(), indent=2) + "\n")
        return 0
    if args.config is None:
        raise UsageError("check: want CONFIG.yaml or --schema")
    config = load_config(args.config, dict(parse_assignment(text) for text in args.changes))
    resolved = resolve_config(config)
    if config.sources:
        build(resolved)  # finds mistakes that only the parts together show, such as duplicate names
    sys.stdout.write(dump(effective(resolved)))
    return 0
