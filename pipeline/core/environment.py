"""Environment variables that a library is to find set, for as long as it looks at them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_LOCK = threading.RLock()


@contextmanager
def variables(defaults: Mapping[str, str], others: tuple[str, ...] = ()) -> Iterator[None]:
    """Have the variables set that are not, and all of them, `others` too, as before afterwards.

    `others` are variables that the library sets itself. The environment is that of the whole
    process: other threads, and programs started meanwhile, see it as well. One thread at a time:
    another would take what this one has set for what was there before.
    """
    with _LOCK:
        before = {name: os.environ.get(name) for name in (*defaults, *others)}
        try:
            for name, value in defaults.items():
                os.environ.setdefault(name, value)
            yield
        finally:
            for name, old in before.items():
                if old is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = old
