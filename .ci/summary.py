"""Print "N passed, N failed, N skipped" over JUnit files; fail on a skip without a good reason.

Usage: summary.py core.xml again.xml [--second-try more.xml ...]
       summary.py --to-run-again core.xml    (prints the skipped tests to run again, one a line)
       summary.py --failed core.xml          (prints the failed tests; exit 1 if they are too many)

A test that was skipped in one file and ran in another counts as what it did there. One that failed
and passed alone in a second try counts as passed, and is named: it is unstable and must be mended.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

EXPECTED = ("no CUDA device", "there is a GPU", "needs ray")
"""What may be missing everywhere."""
EXTRAS = ("needs torch", "needs nncf")
"""What may be missing in every run but the last."""
NO_PROGRAM = re.compile(r"\S+ is not installed")
"""How tests say that they need a program: see tests/programs.py."""
ROOT = Path(__file__).resolve().parent.parent

MAX_SECOND_TRIES = 3
"""More failures than this are no accident of a busy machine."""

_PLAIN = re.compile(r"\w+(\[[\w .:/-]*\])?")
"""A test's name that JUnit's file holds as it is."""

Key = tuple[str, str]


def cases(path: str) -> Iterator[tuple[Key, str, str]]:
    """Yield (test, outcome, reason) of every case in a JUnit file."""
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        key = case.get("classname") or "", case.get("name") or ""
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            yield key, "failed", ""
        elif skip is not None:
            # A module that skips itself has its reason in the text.
            yield key, "skipped", f"{skip.get('message', '')} {skip.text or ''}"
        else:
            yield key, "passed", ""


def main(paths: list[str], second_tries: list[str]) -> int:
    """Return 0 if everything that can run here did run and passed."""
    real_data = Path(os.environ.get("TRACKLINE_SHARED", "../shared")).is_dir()
    expected = EXPECTED if real_data else (*EXPECTED, "no ../shared")
    outcomes: dict[Key, tuple[str, str]] = {}
    for path in paths:
        # The extras are there in the last run only.
        known = expected if path == paths[-1] else (*expected, *EXTRAS)
        for key, outcome, reason in cases(path):
            if outcomes.get(key, ("skipped", ""))[0] == "skipped" or outcome == "failed":
                surprise = outcome == "skipped" and not any(each in reason for each in known)
                outcomes[key] = outcome, reason if surprise else ""
    unstable = []
    again = worst_of(second_tries)
    for key, (outcome, _) in outcomes.items():
        if outcome == "failed" and again.get(key) == "passed":
            outcomes[key] = "passed", ""
            unstable.append("::".join(key))
    modules = {where for (where, _), (outcome, _) in outcomes.items() if outcome != "skipped"}
    # A module that was skipped as a whole counts as one, unless its tests ran in another run.
    final = {key: told for key, told in outcomes.items() if key[0] or key[1] not in modules}
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    surprises = []
    for (where, name), (outcome, reason) in final.items():
        counts[outcome] += 1
        if outcome == "skipped" and reason:
            surprises.append(f"{where}::{name}: {reason}")
    for surprise in surprises:
        sys.stdout.write(f"unexpected skip: {surprise}\n")
    for name in unstable:
        sys.stdout.write(f"unstable: {name} failed, and passed when it was run again alone\n")
    sys.stdout.write(", ".join(f"{count} {what}" for what, count in counts.items()) + "\n")
    return 1 if counts["failed"] or surprises or not counts["passed"] else 0


def worst_of(paths: list[str]) -> dict[Key, str]:
    """Return the outcome of each case in JUnit files: failed if it failed anywhere in them."""
    found: dict[Key, str] = {}
    for path in paths:
        for key, outcome, _ in cases(path):
            if found.get(key) != "failed":
                found[key] = outcome
    return found


def failed(path: str) -> list[str]:
    """Return pytest's names of the tests that failed."""
    outcomes = worst_of([path]).items()
    return [*{_test(*key): None for key, outcome in outcomes if outcome == "failed"}]


def to_run_again(path: str) -> list[str]:
    """Return pytest's names of the tests that need a program or an extra that was not there.

    Of a table only the rows that were skipped, unless JUnit's file cannot hold their names.
    """
    found = {
        _test(where, name): None
        for (where, name), outcome, reason in cases(path)
        if outcome == "skipped"
        and (NO_PROGRAM.search(reason) or any(each in reason for each in EXTRAS))
    }
    return [*found]


def _test(where: str, name: str) -> str:
    """Return pytest's name of a test, or of a module that was skipped as a whole."""
    if not where:
        return _file(name)
    return f"{_file(where)}::{name if _PLAIN.fullmatch(name) else name.partition('[')[0]}"


def _file(classname: str) -> str:
    """Return the file of "tests.page.test_a", and the class where there is one: "...::TestB"."""
    parts = classname.split(".")
    for count in range(len(parts), 0, -1):
        path = Path(*parts[:count]).with_suffix(".py")
        if (ROOT / path).is_file():
            return "::".join([path.as_posix(), *parts[count:]])
    raise ValueError(f"no file for {classname}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--to-run-again"]:
        sys.stdout.writelines(f"{name}\n" for name in to_run_again(sys.argv[2]))
        raise SystemExit(0)
    if sys.argv[1:2] == ["--failed"]:
        names = failed(sys.argv[2])
        sys.stdout.writelines(f"{name}\n" for name in names)
        raise SystemExit(0 if 0 < len(names) <= MAX_SECOND_TRIES else 1)
    words = sys.argv[1:]
    end = words.index("--second-try") if "--second-try" in words else len(words)
    raise SystemExit(main(words[:end], words[end + 1 :]))
