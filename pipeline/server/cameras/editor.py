"""CameraEditor: cameras added, changed and removed in the configuration file of a live run.

The file stays the truth: this only writes it, and the run takes the change up as one made by hand.
Passwords go into `secrets.yaml` beside it, and the file says `${NAME}`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from pipeline.config.build import detect_by_source, detector_choice, make_sources
from pipeline.config.resolve import DETECT, SourceEntry, resolve_config
from pipeline.config.schema import Config
from pipeline.config.secrets import FILE_NAME, read_secrets, save_secret
from pipeline.config.source_list import (
    sources_of,
    with_changed_source,
    with_source,
    without_source,
)
from pipeline.core.atomic_file import rewrite
from pipeline.core.data import ClassNames
from pipeline.core.errors import ConfigError, PipelineError, writing
from pipeline.core.secret_masking import PLACE
from pipeline.engine import DetectOptions
from pipeline.engine.source_detection import wanted_of
from pipeline.server.cameras.address import CameraAddress, check_login, split_login, typed_address
from pipeline.server.cameras.forms import CameraForm, CameraSettings

MAX_CAMERAS = 256
_PREFIX = "CAMERA_"
"""Of the names of secrets that are made here; only those are ever removed."""
_OWN = re.compile(rf"{_PREFIX}[A-Z0-9_]+")


class ConflictError(Exception):
    """The change does not fit what the file holds now."""


class UnknownCameraError(Exception):
    """There is no camera of that name in the file."""


class EditableFile(Protocol):
    """The configuration file; see `live.config_file.ConfigFile`."""

    path: Path

    @property
    def fixed(self) -> str | None:
        """Return why it cannot be changed, None where it can."""

    def load(self, path: Path | None = None) -> Config:
        """Return the configuration; raises ConfigError."""


@dataclass(frozen=True)
class _Camera:
    """One camera of the file: its place in `sources`, and what it is with its secrets filled in."""

    name: str
    index: int
    entry: SourceEntry
    written: str
    """Its address as the file has it, "" for what is no camera."""
    address: CameraAddress
    version: str
    is_fixed: bool = False
    """It stands on the command line, not in the file."""


class CameraEditor:
    """Changes the cameras in a configuration file; any thread may call it, one change at a time.

    `on_rename` is called with the old and the new name of a camera once the file has the new one;
    `class_names` returns the detector's, none before it is open. Every method raises ConfigError
    for a file that cannot be read, with nothing changed.
    """

    def __init__(
        self,
        file: EditableFile,
        on_rename: Callable[[str, str], None],
        class_names: Callable[[], ClassNames] = dict,
    ) -> None:
        self._file = file
        self._on_rename = on_rename
        self._class_names = class_names
        self._lock = threading.Lock()

    @property
    def fixed(self) -> str | None:
        """Return why cameras cannot be changed, None where they can."""
        return self._file.fixed

    @property
    def path(self) -> Path:
        """Return the file that is changed."""
        return self._file.path

    def settings(self, name: str) -> CameraSettings:
        """Return a camera's settings, no password among them; raises UnknownCameraError."""
        with self._lock:
            config = self._file.load()
            camera = _found(_cameras(config, self._in_file()), name)
        shared = detector_choice(config.model_copy(update={"sources": ()})).options
        return CameraSettings(
            name=camera.name,
            address=camera.address.shown or None,
            user=camera.address.user,
            has_password=bool(camera.address.password),
            detect=camera.entry.detect,
            shared=DetectOptions(
                **{k: v for k, v in shared.items() if k in DetectOptions.model_fields}
            ),
            classes=list(dict.fromkeys(self._class_names().values())),
            version=camera.version,
        )

    def _in_file(self) -> int:
        """Return how many entries the list of the file has."""
        return len(sources_of(_text(self._file.path)))

    def options(self, form: CameraForm, name: str | None) -> dict[str, Any]:
        """Return the options of `sources` to try a camera by, its secrets in them.

        With `name` what the form leaves out is that camera's. Raises ConfigError and
        UnknownCameraError.
        """
        if name is None:
            return {"source": _typed(form).complete()}
        with self._lock:
            _, cameras = self._read()
        camera = _found(cameras, name)
        address = _merged(form, camera)
        others = ("kind", "url", "device", "name")
        kept = {k: v for k, v in camera.entry.choice.options.items() if k not in others}
        return {**kept, "source": address.complete()}

    def add(self, form: CameraForm) -> CameraSettings:
        """Add a camera; raises ConflictError for a name that is taken, ConfigError and so on."""
        address = _typed(form)
        with self._change() as change:
            if len(change.cameras) >= MAX_CAMERAS:
                raise ConflictError(f"there are {MAX_CAMERAS} cameras already")
            name = form.name or _free(address.name, change.cameras)
            _check_free(name, change.cameras)
            self._check_classes(name, form)
            entry: dict[str, Any] = {"source": change.written(address, name), "name": name}
            if detect := _detect(form):
                entry[DETECT] = detect
            change.write(with_source(change.text, entry), name)
        return self.settings(name)

    def change(self, name: str, form: CameraForm) -> CameraSettings:
        """Change a camera; what the form leaves out stays as it is.

        Raises ConflictError where it was changed meanwhile, UnknownCameraError, ConfigError.
        """
        with self._change() as change:
            camera = _found(change.cameras, name)
            if form.version is not None and form.version != camera.version:
                raise ConflictError("it was changed meanwhile: load it again")
            self._check_classes(name, form)
            changes: dict[str, Any] = {}
            new_name = form.name or name
            if new_name != name:
                _check_free(new_name, change.cameras)
                changes["name"] = new_name
            if (source := change.new_source(form, camera, new_name)) is not None:
                changes |= {"source": source, "kind": None, "url": None, "device": None}
            if "detect" in form.model_fields_set:
                changes[DETECT] = _detect(form) or None
            if changes:
                change.write(with_changed_source(change.text, camera.index, changes), new_name)
                if new_name != name:
                    self._on_rename(name, new_name)
        return self.settings(new_name)

    def remove(self, name: str) -> None:
        """Remove a camera; raises UnknownCameraError and ConfigError."""
        with self._change() as change:
            camera = _found(change.cameras, name)
            change.write(without_source(change.text, camera.index), None)

    def _read(self) -> tuple[str, dict[str, _Camera]]:
        """Return the file's text and its cameras; raises ConfigError."""
        text = _text(self._file.path)
        cameras = _cameras(self._file.load(), len(sources_of(text)))
        if _text(self._file.path) != text:
            raise ConflictError("the configuration is being changed: try again")
        return text, cameras

    def _check_classes(self, name: str, form: CameraForm) -> None:
        """Raise ConfigError for classes that the detector in use does not know."""
        if form.detect is not None and (names := self._class_names()):
            wanted_of(name, form.detect, names)

    def _change(self) -> _Change:
        if (why := self._file.fixed) is not None:
            raise ConfigError(why)
        return _Change(self._file, self._lock, self._read)


class _Change:
    """One change of the file and its secrets, from reading to writing; holds the lock."""

    def __init__(
        self,
        file: EditableFile,
        lock: threading.Lock,
        read: Callable[[], tuple[str, dict[str, _Camera]]],
    ) -> None:
        self._file, self._lock, self._read = file, lock, read
        self._secrets = file.path.with_name(FILE_NAME)
        self._new_secret: tuple[str, str] | None = None
        self.text = ""
        self.cameras: Mapping[str, _Camera] = {}

    def __enter__(self) -> _Change:
        self._lock.acquire()
        try:
            self.text, self.cameras = self._read()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def new_source(self, form: CameraForm, camera: _Camera, name: str) -> str | None:
        """Return the address to write for a changed camera, None where it stays."""
        wanted = _merged(form, camera)
        if wanted == camera.address:
            return None
        if not camera.written:
            raise ConfigError("address: this source is no camera: change it in the file")
        if wanted.address == camera.address.address:
            # What the file says of the host stays, placeholders in it, too.
            raw = split_login(camera.written)
            if "://" in raw.address:
                return self._with_login(
                    CameraAddress(raw.address, wanted.user, wanted.password), name
                )
        return self.written(wanted, name)

    def written(self, address: CameraAddress, name: str) -> str:
        """Return what the file says for an address: secrets in it as `${NAME}`."""
        if address.holds_key:
            key = self._secret_name(name, "ADDRESS")
            self._new_secret = (key, address.complete())
            return f"${{{key}}}"
        return self._with_login(address, name)

    def _with_login(self, address: CameraAddress, name: str) -> str:
        if not address.password:
            return address.with_login(quote(address.user, safe=""), "")
        key = self._secret_name(name, "PASSWORD")
        self._new_secret = (key, address.password)
        return address.with_login(quote(address.user, safe=""), f"${{{key}}}")

    def write(self, text: str, name: str | None) -> None:
        """Write the file, its secrets first; raises ConfigError and OutputError, nothing changed.

        `name` is the camera that must be in it. What the new text makes of the run is looked at
        before, and whether the file is still what was read.
        """
        unused = _secrets_in(self.text) - _secrets_in(text)
        before = read_secrets(self._secrets, warn=False)
        try:
            if self._new_secret is not None:
                save_secret(self._secrets, *self._new_secret)
            self._check(text, name)
            if _text(self._file.path) != self.text:
                raise ConflictError("the configuration was changed meanwhile: try again")
            with writing(self._file.path):
                rewrite(self._file.path, text)
        except BaseException:
            if self._new_secret is not None and self._new_secret[0] not in before.file_names:
                with suppress(PipelineError):
                    save_secret(self._secrets, self._new_secret[0], None)
            raise
        for key in unused & before.file_names:
            with suppress(PipelineError):
                save_secret(self._secrets, key, None)

    def _check(self, text: str, name: str | None) -> None:
        """Raise ConfigError unless the text is a configuration with this camera."""
        path = self._file.path
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.check")
        try:
            with writing(path):
                rewrite(partial, text, mode=0o600)
            config = self._file.load(partial)
            resolved = resolve_config(config)
            sources = [source for source, _ in make_sources(resolved)]
            detect_by_source(resolved, sources)
            if name is not None and name not in [source.name for source in sources]:
                raise ConfigError(f"name: '{name}' cannot be a camera's")
        except ConfigError as error:
            raise ConfigError(str(error).replace(f"{partial}", f"{path}")) from None
        finally:
            partial.unlink(missing_ok=True)

    def _secret_name(self, name: str, what: str) -> str:
        """Return a name that no secret has yet, neither in the file nor in the environment."""
        word = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")[:40] or "X"
        taken = read_secrets(self._secrets, warn=False).names
        key, count = f"{_PREFIX}{word}_{what}", 1
        while key in taken:
            count += 1
            key = f"{_PREFIX}{word}_{what}_{count}"
        return key


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {type(error).__name__}") from None


def _cameras(config: Config, in_file: int) -> dict[str, _Camera]:
    """Return the cameras of a configuration by name; a folder's share one entry."""
    resolved = resolve_config(config)
    made = make_sources(resolved)
    cameras = {}
    for (source, choice), entry in zip(made, resolved.sources, strict=True):
        index = int(entry.where.partition(".")[2])
        written = entry.choice.options.get("url", entry.choice.options.get("device"))
        filled = choice.options.get("url", choice.options.get("device"))
        is_camera = entry.choice.kind in ("stream", "camera") and filled is not None
        raw = config.sources[index]
        text = raw if isinstance(raw, str) else json.dumps(raw.model_dump(mode="json"))
        cameras[source.name] = _Camera(
            source.name,
            index,
            entry,
            str(written) if is_camera else "",
            split_login(str(filled)) if is_camera else CameraAddress(""),
            hashlib.sha256(text.encode()).hexdigest()[:16],
            is_fixed=index >= in_file,
        )
    return cameras


def _found(cameras: Mapping[str, _Camera], name: str) -> _Camera:
    if name not in cameras:
        raise UnknownCameraError
    camera = cameras[name]
    if camera.entry.is_member:
        raise ConfigError("it comes from a folder or pattern: change that in the file")
    if camera.is_fixed:
        raise ConfigError("it stands on the command line: change it there")
    return camera


def _typed(form: CameraForm) -> CameraAddress:
    if not form.address:
        raise ConfigError("address: needed but not given")
    return typed_address(form.address, form.user or "", form.password or "")


def _merged(form: CameraForm, camera: _Camera) -> CameraAddress:
    """Return a camera's address with what the form changes of it; raises ConfigError.

    The password stays where it is not given and the address is for the same host: it is never sent
    to another one.
    """
    before = camera.address
    given = form.address is not None and form.address.strip() != before.shown
    address = form.address if given and form.address else None
    if address is None and form.user is None and form.password is None:
        return before
    kept = CameraAddress(before.address) if address is None else typed_address(address)
    user = form.user if form.user is not None else (kept.user or before.user)
    password = form.password if form.password is not None else kept.password
    if form.password is None and not password and before.password and user:
        if kept.place != before.place:
            raise ConfigError("password: is for the address before; give it again for this one")
        password = before.password
    merged = CameraAddress(kept.address, user, password)
    check_login(merged)
    return merged


def _detect(form: CameraForm) -> dict[str, Any]:
    return {} if form.detect is None else form.detect.model_dump(mode="json", exclude_none=True)


def _check_free(name: str, cameras: Mapping[str, _Camera]) -> None:
    if name in cameras:
        raise ConflictError(f"there is a camera '{name}' already")


def _free(name: str, cameras: Mapping[str, _Camera]) -> str:
    count, free = 1, name
    while free in cameras:
        count += 1
        free = f"{name}-{count}"
    return free


def _secrets_in(text: str) -> set[str]:
    """Return the names of secrets in a configuration's text that were made here."""
    return {match["name"] for match in PLACE.finditer(text) if _OWN.fullmatch(match["name"])}
