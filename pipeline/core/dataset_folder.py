"""Recognises the folders of datasets, for readers and for searches for videos."""

from __future__ import annotations

from pathlib import Path

FORMAT = "trackline-dataset"
HEADER = "dataset.json"
BEGUN = ".dataset.json.begun"
"""Marker file of a dataset that has no header yet; written before its first folder."""
_HEAD_BYTES = 256


def holds_dataset(folder: Path) -> bool:
    """Return whether a folder is a dataset of this program, of any version.

    Other programs use files of this name, too, so the format at the file's beginning is checked.
    """
    try:
        with (folder / HEADER).open("rb") as file:
            return FORMAT.encode() in file.read(_HEAD_BYTES)
    except OSError:
        return (folder / BEGUN).exists()


def dataset_at(path: Path) -> Path | None:
    """Return the dataset that a path names, by its folder or by its table `tracks`; else None."""
    if holds_dataset(path):
        return path
    above = path.absolute().parent
    return above if path.name == "tracks" and holds_dataset(above) else None
