"""What a library may change of the whole process, as a mapping of names to texts."""

from __future__ import annotations

import asyncio
import gc
import locale
import logging
import mimetypes
import multiprocessing
import os
import random
import resource
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Mapping

import cv2
import numpy as np

LOGGERS = ("", "asyncio", "libav", "trackline", "uvicorn.access", "uvicorn.asgi", "uvicorn.error")


def process_state() -> Mapping[str, str]:
    """Return the state; two of them are equal if nothing changed."""
    mask = os.umask(0)
    os.umask(mask)
    seeded = cv2.randu(np.zeros(2), 0, 1)
    cv2.setRNGSeed(7)
    found: dict[str, object] = {
        "garbage collector": (gc.isenabled(), gc.get_freeze_count(), gc.get_threshold()),
        "signals": [signal.getsignal(each) for each in sorted(signal.valid_signals())],
        "warnings": warnings.filters,
        "environment": sorted(os.environ.items()),
        "locale": locale.setlocale(locale.LC_ALL),
        "umask, folder": (mask, os.getcwd()),
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook, sys.displayhook),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "imports": (sys.path, sys.meta_path, sys.path_hooks),
        "limits": (sys.getswitchinterval(), sys.getrecursionlimit(), socket.getdefaulttimeout()),
        "resources": [resource.getrlimit(getattr(resource, each)) for each in dir(resource)
                      if each.startswith("RLIMIT_")],
        "cores, priority": (sorted(os.sched_getaffinity(0)), os.getpriority(os.PRIO_PROCESS, 0)),
        "types of files": sorted(mimetypes.MimeTypes().types_map[1].items())
        + sorted(mimetypes.types_map.items()),
        "processes": multiprocessing.get_start_method(allow_none=True),
        "event loops": type(asyncio.get_event_loop_policy()),
        "random numbers": (hash(random.getstate()), np.random.get_state()[1].tobytes()[:64]),  # type: ignore[index, union-attr]  # noqa: NPY002
        "NumPy": (np.geterr(), np.get_printoptions()),
        "OpenCV": (cv2.getNumThreads(), cv2.useOptimized(), cv2.utils.logging.getLogLevel()),
        "OpenCV's random numbers": seeded.tolist(),
    }  # fmt: skip
    for name in LOGGERS:
        log = logging.getLogger(name)
        found[f"log {name}"] = (log.level, log.handlers, log.filters, log.propagate, log.disabled)
    return {name: str(value) for name, value in found.items()}
