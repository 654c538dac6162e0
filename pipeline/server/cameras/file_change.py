"""One change of a live run's configuration file: reads its cameras, writes the new text.

Passwords go into `secrets.yaml` beside it, and the file says `${NAME}`.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from pipeline.config.build import make_sources
from pipeline.config.detection import detect_by_source
from pipeline.config.resolve import SourceEntry, resolve_config
from pipeline.config.schema import Config
from pipeline.config.secrets import FILE_NAME, read_secrets, save_secret
from pipeline.core.atomic_file import rewrite
from pipeline.core.errors import ConfigError, PipelineError, writing
from pipeline.core.secret_masking import MASK, PLACE, masked_address, masked_keys
from pipeline.server.cameras.address import CameraAddress, split_login

_PREFIX = "CAMERA_"
"""Suffix of secrets created here; only those are ever removed."""
_OWN = re.compile(rf"{_PREFIX}[A-Z0-9_]+_(PASSWORD|ADDRESS)(_\d+)?")
_OWN_PLACE = re.compile(rf"\$\{{{_OWN.pattern}\}}")
_VERSION_KEY = secrets.token_bytes(32)
"""Key of the versions, which are hashes of texts with passwords: without a secret key, passwords
could be guessed offline from a version."""


class ConflictError(Exception):
    """The change does not fit the current content of the file."""


class EditableFile(Protocol):
    """The configuration file; see `live.config_file.ConfigFile`."""

    path: Path

    @property
    def fixed(self) -> str | None:
        """Return why it cannot be changed, None if it can."""

    def load(self, path: Path | None = None) -> Config:
        """Return the configuration; raises ConfigError."""


@dataclass(frozen=True)
class FileCamera:
    """One camera of the file: its position in `sources`, and its options with secrets filled in."""

    name: str
    index: int
    entry: SourceEntry
    written: str
    """Its address as written in the file, "" for other sources."""
    address: CameraAddress
    version: str
    """Changes with any change of the entry; meaningless to another process."""
    is_fixed: bool = False
    """Whether it is given on the command line, not in the file."""
    record_written: str = ""
    record: CameraAddress = field(default_factory=lambda: CameraAddress(""))
    """The address of its main stream, likewise; "" without one."""

    @property
    def shown(self) -> str:
        """Return its address for display; values given as `${NAME}` are masked, too."""
        return _shown(self.written, self.address)

    @property
    def shown_record(self) -> str:
        """Return the address of its main stream for display, "" without one."""
        return _shown(self.record_written, self.record)


class FileChange:
    """One change of the file and its secrets, from reading to writing; holds the lock."""

    def __init__(
        self,
        file: EditableFile,
        lock: threading.Lock,
        read: Callable[[], tuple[str, dict[str, FileCamera]]],
    ) -> None:
        self._file, self._lock, self._read = file, lock, read
        self._secrets = file.path.with_name(FILE_NAME)
        self._new_secret: tuple[str, str] | None = None
        self.text = ""
        self.cameras: Mapping[str, FileCamera] = {}

    def __enter__(self) -> FileChange:
        self._lock.acquire()
        try:
            self.text, self.cameras = self._read()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def new_source(self, wanted: CameraAddress, camera: FileCamera, name: str) -> str | None:
        """Return the address to write for a changed camera, None if it stays."""
        if wanted == camera.address:
            return None
        if not camera.written:
            raise ConfigError("address: this source is not a camera: change it in the file")
        if wanted.address == camera.address.address:
            # What the file says of the host stays, placeholders in it, too.
            raw = split_login(camera.written)
            if "://" in raw.address:
                return self._with_login(
                    CameraAddress(raw.address, wanted.user, wanted.password), name
                )
        return self.written(wanted, name)

    def written(self, address: CameraAddress, name: str) -> str:
        """Return an address as the file should have it, with secrets as `${NAME}`."""
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
        """Write the file, its secrets first; after ConfigError or OutputError nothing is changed.

        `name` is the camera that must be in it. First it is checked what the new text means for the
        run, and whether the file is still the one that was read.
        """
        unused = _secrets_in(self.text) - _secrets_in(text)
        before = read_secrets(self._secrets, warn=False)
        try:
            if self._new_secret is not None:
                save_secret(self._secrets, *self._new_secret)
            self._check(text, name)
            if text_of(self._file.path) != self.text:
                raise ConflictError("the configuration was changed in the meantime: try again")
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
                raise ConfigError(f"name: '{name}' is not a valid camera name")
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


def text_of(path: Path) -> str:
    """Return a file's text, "" where there is no such file; raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {type(error).__name__}") from None


def cameras_of(config: Config, in_file: int) -> dict[str, FileCamera]:
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
        cameras[source.name] = FileCamera(
            source.name,
            index,
            entry,
            str(written) if is_camera else "",
            split_login(str(filled)) if is_camera else CameraAddress(""),
            hmac.digest(_VERSION_KEY, text.encode(), "sha256").hex()[:16],
            is_fixed=index >= in_file,
            record_written=str(entry.choice.options.get("record") or ""),
            record=split_login(str(choice.options.get("record") or "")),
        )
    return cameras


def _shown(written: str, address: CameraAddress) -> str:
    raw = split_login(written).address
    if not PLACE.search(raw) or _OWN_PLACE.fullmatch(raw):
        return address.shown
    scheme, mark, rest = raw.partition("://")
    if not mark or PLACE.search(scheme):
        return masked_address(address.address)
    # The host may stand in secrets.yaml, but is none: without it cameras look all the same.
    tail = re.search(r"[/?#].*", rest, re.S)
    hidden = PLACE.sub(MASK, tail[0] if tail else "")
    return masked_keys(f"{'://'.join(address.place)}{hidden}")


def _secrets_in(text: str) -> set[str]:
    """Return the names of secrets in a configuration's text that were created here."""
    return {match["name"] for match in PLACE.finditer(text) if _OWN.fullmatch(match["name"])}
