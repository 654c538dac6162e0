"""CameraEditor: cameras added, changed and removed in the configuration file of a live run.

The file stays the truth: this only writes it, and the run takes the change up as one made by hand.
Passwords go into `secrets.yaml` beside it, and the file says `${NAME}`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from pipeline.config.detection import shared_detection
from pipeline.config.resolve import DETECT
from pipeline.config.source_list import (
    sources_of,
    with_changed_source,
    with_source,
    without_source,
)
from pipeline.core.data import ClassNames
from pipeline.core.errors import ConfigError
from pipeline.engine.source_detection import wanted_of
from pipeline.server.cameras.address import CameraAddress, check_login, typed_address
from pipeline.server.cameras.file_change import (
    ConflictError,
    EditableFile,
    FileCamera,
    FileChange,
    cameras_of,
    text_of,
)
from pipeline.server.cameras.forms import CameraForm, CameraSettings
from pipeline.server.cameras.main_stream import kept_record, typed_record, written_record

MAX_CAMERAS = 256


class UnknownCameraError(Exception):
    """The file has no camera with that name."""


class CameraEditor:
    """Changes the cameras in a configuration file; thread-safe, one change at a time.

    `renaming`, of the old and the new name of a camera, is entered before the file is written and
    left afterwards, with the error if that failed; an exception it raises at the start is passed on
    with nothing changed.

    `class_names` returns the detector's, {} before it is open; `takes_sizes` whether it can run at
    another size for single cameras. Every method raises ConfigError for a file that cannot be read,
    with nothing changed.
    """

    def __init__(
        self,
        file: EditableFile,
        renaming: Callable[[str, str], AbstractContextManager[None]],
        class_names: Callable[[], ClassNames] = dict,
        takes_sizes: Callable[[], bool] = lambda: True,
    ) -> None:
        self._file = file
        self._renaming = renaming
        self._class_names = class_names
        self._takes_sizes = takes_sizes
        self._lock = threading.Lock()

    @property
    def fixed(self) -> str | None:
        """Return why cameras cannot be changed, None if they can."""
        return self._file.fixed

    @property
    def path(self) -> Path:
        """Return the file that is changed."""
        return self._file.path

    def settings(self, name: str) -> CameraSettings:
        """Return a camera's settings, without passwords; raises UnknownCameraError."""
        with self._lock:
            config = self._file.load()
            camera = _found(cameras_of(config, self._in_file()), name)
        names = self._class_names()
        return CameraSettings(
            name=camera.name,
            address=camera.shown or None,
            record=camera.shown_record or None,
            user=camera.address.user,
            has_password=bool(camera.address.password),
            detect=camera.entry.detect,
            shared=shared_detection(config),
            classes=list(dict.fromkeys(names.values())),
            takes_sizes=not names or self._takes_sizes(),
            version=camera.version,
        )

    def _in_file(self) -> int:
        """Return how many entries the list of the file has."""
        return len(sources_of(text_of(self._file.path)))

    def options(self, form: CameraForm, name: str | None) -> dict[str, Any]:
        """Return the options of `sources` for testing a camera, including its secrets.

        With `name`, values missing in the form are that camera's. Raises ConfigError and
        UnknownCameraError.
        """
        if name is None:
            return {"source": _typed(form).complete()}
        with self._lock:
            _, cameras = self._read()
        camera = _found(cameras, name)
        address = _merged(form, camera)
        others = ("kind", "url", "device", "name", "record")
        kept = {k: v for k, v in camera.entry.choice.options.items() if k not in others}
        return {**kept, "source": address.complete()}

    def add(self, form: CameraForm) -> CameraSettings:
        """Add a camera.

        Raises ConflictError for a name that is taken, ConfigError for other mistakes.
        """
        address = _typed(form)
        with self._change() as change:
            if len(change.cameras) >= MAX_CAMERAS:
                raise ConflictError(f"there are {MAX_CAMERAS} cameras already")
            name = form.name or _free(address.name, change.cameras)
            _check_free(name, change.cameras)
            self._check_detect(name, form, None)
            source = change.written(address, name)
            entry: dict[str, Any] = {"source": source, "name": name}
            if form.record:
                entry["record"] = written_record(typed_record(form.record), address, source)
            if detect := _detect(form):
                entry[DETECT] = detect
            change.write(with_source(change.text, entry), name)
        return self.settings(name)

    def change(self, name: str, form: CameraForm) -> CameraSettings:
        """Change a camera; values missing in the form stay.

        Raises ConflictError if it was changed in the meantime, UnknownCameraError, ConfigError.
        """
        with self._change() as change:
            camera = _found(change.cameras, name)
            if form.version is not None and form.version != camera.version:
                raise ConflictError("it was changed in the meantime: reload it")
            self._check_detect(name, form, camera.entry.detect.imgsz)
            changes: dict[str, Any] = {}
            new_name = form.name or name
            if new_name != name:
                _check_free(new_name, change.cameras)
                changes["name"] = new_name
            address = _merged(form, camera)
            if (source := change.new_source(address, camera, new_name)) is not None:
                changes |= {"source": source, "kind": None, "url": None, "device": None}
            changes |= _record_changes(form, camera, address, source or camera.written)
            if "detect" in form.model_fields_set:
                changes[DETECT] = _detect(form) or None
            if changes:
                text = with_changed_source(change.text, camera.index, changes)
                with self._renaming(name, new_name) if new_name != name else nullcontext():
                    change.write(text, new_name)
        return self.settings(new_name)

    def remove(self, name: str) -> None:
        """Remove a camera; raises UnknownCameraError and ConfigError."""
        with self._change() as change:
            camera = _found(change.cameras, name)
            change.write(without_source(change.text, camera.index), None)

    def _read(self) -> tuple[str, dict[str, FileCamera]]:
        """Return the file's text and its cameras; raises ConfigError."""
        text = text_of(self._file.path)
        cameras = cameras_of(self._file.load(), len(sources_of(text)))
        if text_of(self._file.path) != text:
            raise ConflictError("the configuration is being changed: try again")
        return text, cameras

    def _check_detect(self, name: str, form: CameraForm, imgsz: int | None) -> None:
        """Raise ConfigError for settings the current detector cannot apply.

        `imgsz` is the previous one.
        """
        if form.detect is None or not (names := self._class_names()):
            return
        wanted_of(name, form.detect, names)
        if form.detect.imgsz not in (None, imgsz) and not self._takes_sizes():
            raise ConfigError(
                f"source {name}: detect.imgsz: no effect, because the detector runs at one size "
                "(on a GPU, with slice, or as its network is of fixed size): leave it out"
            )

    def _change(self) -> FileChange:
        if (why := self._file.fixed) is not None:
            raise ConfigError(why)
        return FileChange(self._file, self._lock, self._read)


def _found(cameras: Mapping[str, FileCamera], name: str) -> FileCamera:
    if name not in cameras:
        raise UnknownCameraError
    camera = cameras[name]
    if camera.entry.is_member:
        raise ConfigError("it comes from a folder or pattern: change that in the file")
    if camera.is_fixed:
        raise ConfigError("it is given on the command line: change it there")
    return camera


def _typed(form: CameraForm) -> CameraAddress:
    if not form.address:
        raise ConfigError("address: needed but not given")
    return typed_address(form.address, form.user or "", form.password or "")


def _merged(form: CameraForm, camera: FileCamera) -> CameraAddress:
    """Return a camera's address with the form's changes; raises ConfigError.

    The password is kept if none is given and the address is on the same host: it is never sent to
    another one.
    """
    before = camera.address
    given = form.address is not None and form.address.strip() != camera.shown
    address = form.address if given and form.address else None
    if address is None and form.user is None and form.password is None:
        return before
    kept = CameraAddress(before.address) if address is None else typed_address(address)
    user = form.user if form.user is not None else (kept.user or before.user)
    password = form.password if form.password is not None else kept.password
    if form.password is None and not password and before.password and user:
        if kept.place != before.place:
            raise ConfigError(
                "password: belongs to the previous address; enter it again for this one"
            )
        password = before.password
    merged = CameraAddress(kept.address, user, password)
    check_login(merged)
    return merged


def _record_changes(
    form: CameraForm, camera: FileCamera, address: CameraAddress, written: str
) -> dict[str, Any]:
    """Return the changes of the main stream when the camera moves to `address`."""
    if form.record is not None and form.record.strip() != camera.shown_record:
        if not form.record.strip():
            return {"record": None}
        return {"record": written_record(typed_record(form.record), address, written)}
    text = kept_record(camera, address, written)
    return {} if text is None else {"record": text}


def _detect(form: CameraForm) -> dict[str, Any]:
    return {} if form.detect is None else form.detect.model_dump(mode="json", exclude_none=True)


def _check_free(name: str, cameras: Mapping[str, FileCamera]) -> None:
    if name in cameras:
        raise ConflictError(f"there is a camera '{name}' already")


def _free(name: str, cameras: Mapping[str, FileCamera]) -> str:
    count, free = 1, name
    while free in cameras:
        count += 1
        free = f"{name}-{count}"
    return free
