"""Print "N passed, N failed, N skipped" over JUnit files; fail on a skip without a good reason.

Usage: summary.py core.xml extras.xml
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from xml.etree import ElementTree

# What may be missing in either run, and what in the first one only: the second has the extras.
EXPECTED = ("no CUDA device", "there is a GPU")
EXTRAS = ("needs torch", "needs nncf")


def main(paths: list[str]) -> int:
    """Return 0 if everything that can run here did run and passed."""
    real_data = Path(os.environ.get("TRACKLINE_SHARED", "../shared")).is_dir()
    expected = EXPECTED if real_data else (*EXPECTED, "no ../shared")
    passed = failed = skipped = 0
    surprises = []
    for path in paths:
        known = expected if path == paths[-1] else (*expected, *EXTRAS)
        for case in ElementTree.parse(path).getroot().iter("testcase"):
            skip = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
            elif skip is not None:
                skipped += 1
                # A module that skips itself has its reason in the text.
                reason = f"{skip.get('message', '')} {skip.text or ''}"
                if not any(each in reason for each in known):
                    surprises.append(f"{case.get('classname')}::{case.get('name')}: {reason}")
            else:
                passed += 1
    for surprise in surprises:
        sys.stdout.write(f"unexpected skip: {surprise}\n")
    sys.stdout.write(f"{passed} passed, {failed} failed, {skipped} skipped\n")
    return 1 if failed or surprises or not passed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
