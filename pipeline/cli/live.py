"""Serve a page with live cameras in the browser until stopped."""

from __future__ import annotations

import argparse
import os
import secrets
import webbrowser
from pathlib import Path
from typing import Any

from pipeline.cli._detecting import mention_better_models
from pipeline.cli._signals import Signals
from pipeline.config.schema import parse_assignment
from pipeline.core.errors import ConfigError
from pipeline.core.native_stderr import own_stderr

HELP = "watch cameras on a page in the browser"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments; defaults belong to the configuration."""
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="camera, address, file")
    parser.add_argument(
        "-c", "--config", metavar="CONFIG.yaml", help="configuration file; created if missing"
    )
    parser.add_argument("-o", "--output", metavar="OUT", help="folder for all output")
    parser.add_argument(
        "--host",
        metavar="ADDRESS",
        help="address to listen on; any but this machine's own needs a token",
    )
    parser.add_argument(
        "--port", type=int, metavar="N", help="port to listen on; 0 picks a free one"
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="file with the token in its first line; created if missing",
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes",
        help="set any configuration key, for instance detector.conf=0.4",
    )  # fmt: skip


def execute(args: argparse.Namespace) -> int:
    """Run until Ctrl-C or SIGTERM, which end it in order."""
    from pipeline.server.live.config_file import ConfigFile
    from pipeline.server.live.run import live_config, run_live

    path = Path(args.config) if args.config else None
    file = ConfigFile(path, args.sources, _changes(args), live_config)
    signals = Signals()

    def start(pipeline: Any) -> None:
        signals.pipeline = pipeline

    def show(address: str) -> None:
        print(address, flush=True)  # noqa: T201
        if args.open:
            webbrowser.open(address)

    if args.token_file:
        _make_token(Path(args.token_file))
    with signals, own_stderr():
        run_live(file, mention_better_models, start, show)
    return signals.exit_code


def _changes(args: argparse.Namespace) -> dict[str, Any]:
    """Return the overrides of the file on the command line, by key."""
    given = {
        "run.output": args.output,
        "web.host": args.host,
        "web.port": args.port,
        "web.token_file": args.token_file,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    if args.token_file:
        changes["web.token"] = None
    changes.update(parse_assignment(text) for text in args.changes)
    return changes


def _make_token(path: Path) -> None:
    """Write a new token into a file readable by its owner only, unless the file exists."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise ConfigError(f"--token-file: {path}: cannot be created: {error.strerror}") from None
    with os.fdopen(number, "w") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    print(f"wrote a new token to {path}", flush=True)  # noqa: T201
