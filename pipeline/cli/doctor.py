"""Examine this machine and report what will work and what will not."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from pipeline.tools.doctor.examination import examine, verdict
from pipeline.tools.doctor.findings import Finding

HELP = "report what works on this machine and what does not"
_MARKS = {"works": "ok", "limited": "~", "absent": "-", "broken": "!!"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--json", action="store_true", help="print as JSON")


def execute(args: argparse.Namespace) -> int:
    """Print the findings; exit code 1 if something needs repair."""
    findings = examine()
    sentences = verdict(findings)
    if args.json:
        tree = {"findings": [each.as_plain() for each in findings], "verdict": sentences}
        sys.stdout.write(json.dumps(tree, indent=2) + "\n")
    else:
        sys.stdout.write(as_text(findings, sentences))
    return int(any(each.state == "broken" for each in findings))


def as_text(findings: Sequence[Finding], sentences: Sequence[str]) -> str:
    """Return the findings by section, then the sentences."""
    lines: list[str] = []
    section = ""
    for each in findings:
        if each.section != section:
            section = each.section
            lines += [*([""] if lines else []), section]
        lines.append(f"  {_MARKS[each.state]:>2}  {each.name:18} {each.words}")
    lines += ["", "so here", *(f"  {sentence}" for sentence in sentences), ""]
    return "\n".join(lines)
