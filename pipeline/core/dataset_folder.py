"""Which folders are datasets: for what reads them, and for what searches folders for videos."""

from __future__ import annotations

from pathlib import Path

FORMAT = "trackline-dataset"
HEADER = "dataset.json"
BEGUN = ".dataset.json.begun"
"""Marks a folder as a dataset while it has no header: from before its first folder is made."""
_HEAD_BYTES = 256


def holds_dataset(folder: Path) -> bool:
    """Return whether a folder is a dataset of this program, of any version.

    Other programs have files of this name, too: the format stands at the file's beginning.
    """
    try:
        with (folder / HEADER).open("rb") as file:
            return FORMAT.encode() in file.read(_HEAD_BYTES)
    except OSError:
        return (folder / BEGUN).exists()


def dataset_at(path: Path) -> Path | None:
    """Return the dataset that a path names, as its folder or as its table `tracks`; else None."""
    if holds_dataset(path):
        return path
    above = path.absolute().parent
    return above if path.name == "tracks" and holds_dataset(above) else None
