"""A camera's main stream (`record`) in the configuration file, with the login of its address."""

from __future__ import annotations

from pipeline.core.errors import ConfigError
from pipeline.server.cameras.address import CameraAddress, split_login, typed_address
from pipeline.server.cameras.file_change import FileCamera


def typed_record(text: str) -> CameraAddress:
    """Parse the main stream's address typed by a user; raises ConfigError.

    It has no login of its own: the camera's is used, and is never sent to another host.
    """
    found = typed_address(text)
    if found.user or found.password:
        raise ConfigError("record: leave out the login: the camera's own is used")
    if found.place[0] not in ("rtsp", "rtsps"):
        raise ConfigError("record: want an address that begins with rtsp:// or rtsps://")
    if found.holds_key:
        raise ConfigError("record: contains a key: add it in the configuration file")
    return found


def written_record(record: CameraAddress, camera: CameraAddress, written: str) -> str:
    """Return the text for the main stream of `camera`, whose address is `written` in the file.

    Raises ConfigError if it is on another host, or if the login in the file cannot be determined.
    """
    _check_place(record, camera)
    if "://" not in written:
        raise ConfigError(
            "record: add it in the configuration file, because the address contains a key"
        )
    return _with_login_of(written, record)


def kept_record(camera: FileCamera, address: CameraAddress, written: str) -> str | None:
    """Return what the file says for a main stream that stays when the camera's address changes.

    None where nothing changes: there is none, or it has a login of its own. Raises ConfigError
    where the camera is on another host now.
    """
    before = camera.record_written
    if "://" not in before or _login(before) != _login(camera.written) or "://" not in written:
        return None
    _check_place(camera.record, address)
    # As the file has it: there may be placeholders in it.
    text = _with_login_of(written, split_login(before))
    return None if text == before else text


def _check_place(record: CameraAddress, camera: CameraAddress) -> None:
    """Raise ConfigError for another host: the camera's password would be sent there."""
    if record.place[1] != camera.place[1]:
        raise ConfigError("record: want an address on the camera's own host and port, or none")


def _with_login_of(written: str, record: CameraAddress) -> str:
    user, _, password = _login(written).partition(":")
    return CameraAddress(record.address).with_login(user, password)


def _login(written: str) -> str:
    """Return the login in an address as the file has it, placeholders and codes in it."""
    place = written.partition("://")[2].partition("/")[0]
    return place.rpartition("@")[0]
