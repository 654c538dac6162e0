"""GPS tracks: GPX, NMEA and GoPro's telemetry read, joined to frames, gaps left open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.gps_tracks import (
    START,
    gps5_packet,
    gps9_packet,
    klv,
    sentence,
    write_gopro,
    write_gpx,
)

from pipeline.archive.ground.gps import GpsTrack, positions_at, read_gps
from pipeline.core.errors import UsageError

RMC = "GPRMC,120001.50,A,5230.0000,N,01324.0000,W,010.0,090.0,310126,,,A"
GGA = "GPGGA,120001.50,5230.0000,N,01324.0000,W,1,08,0.9,45.5,M,,M,,"


def test_gpx(tmp_path: Path) -> None:
    found = read_gps(write_gpx(tmp_path / "drive.gpx", [2, 0, 1]))
    np.testing.assert_allclose(found.t, START + np.arange(3))
    np.testing.assert_allclose(found.lat, 52 + np.arange(3) * 1e-4)
    np.testing.assert_allclose(found.altitude_m, [100, 101, 102])


def test_nmea_takes_sentences_with_a_fix_and_a_right_checksum(tmp_path: Path) -> None:
    path = tmp_path / "drive.nmea"
    lines = [
        "noise", sentence(GGA), "[12:00:01] " + sentence(RMC), sentence(RMC)[:-1] + "?",
        sentence(RMC.replace("01.50,A", "02.50,V")), sentence("GPRMC,1,A"), "$GPRMC,no,checksum",
    ]  # fmt: skip
    path.write_text("\r\n".join(lines))
    found = read_gps(path)
    assert found.t.tolist() == [START + 1.5]
    assert (found.lat[0], found.lon[0]) == pytest.approx((52.5, -13.4))
    assert found.speed[0] == pytest.approx(5.1444, abs=1e-3)
    assert (found.course[0], found.altitude_m[0]) == (90.0, 45.5)


@pytest.mark.parametrize("packet", [gps5_packet, gps9_packet])
def test_gopro(tmp_path: Path, packet: object) -> None:
    rows = [[52.1234567, -13.7654321, 34.5, 12.25, 12.3], [52.1235, -13.7654, 34.6, 12.5, 12.6]]
    made = packet(rows[:2])  # type: ignore[operator]
    lost = packet(rows[:1], fix=0)  # type: ignore[operator]
    found = read_gps(write_gopro(tmp_path / "GX01.mp4", [made, lost, made]))
    assert found.clock == "media"
    np.testing.assert_allclose(found.t, [0, 0.5, 2, 2.5])
    assert (found.lat[0], found.lon[0]) == pytest.approx((52.1234567, -13.7654321))
    assert found.speed[0] == pytest.approx(12.25)


def test_positions_are_between_fixes_and_not_in_gaps(tmp_path: Path) -> None:
    track = read_gps(write_gpx(tmp_path / "drive.gpx", [0, 1, 2, 30, 31]))
    found = positions_at(track, START + np.array([-1, 0, 0.5, 2, 10, 30, 30.5, 31, 32]), 5.0)
    known = [False, True, True, True, False, True, True, True, False]
    assert np.isfinite(found.lat).tolist() == known
    assert np.isfinite(found.speed).tolist() == known
    assert found.lat[2] == pytest.approx(52.00005)
    # A minute of latitude at 52 degrees is 1854.6 m (WGS84 tables).
    assert found.speed[2] == pytest.approx(1854.6 * 60 * 1e-4, abs=0.01)
    assert found.course[2] == pytest.approx(0, abs=1e-6)


def test_over_the_date_line_and_through_north_is_the_short_way() -> None:
    nan = np.full(2, np.nan)
    track = GpsTrack(
        np.array([0.0, 1.0]), np.zeros(2), np.array([179.9999, -179.9999]), nan, np.full(2, 22.0),
        np.array([350.0, 20.0]),
    )  # fmt: skip
    found = positions_at(track, np.array([0.25, 0.5]), 5.0)
    assert found.lon[0] == pytest.approx(179.99995)
    assert abs(found.lon[1]) == pytest.approx(180.0)
    assert found.course[1] == pytest.approx(5.0)


BOMB = '<!DOCTYPE gpx [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><gpx>&b;</gpx>'
POINT = '<gpx><trk><trkseg><trkpt lat="{}" lon="13"><time>{}</time></trkpt></trkseg></trk></gpx>'


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.gpx", BOMB, "DOCTYPE"),
        ("a.gpx", "<gpx><trk>", "not whole XML"),
        ("a.gpx", "", "not whole XML"),
        ("a.gpx", "<gpx/>", "no GPS positions"),
        ("a.gpx", POINT.format("north", "2026-01-31T12:00:00Z"), "a.gpx:1"),
        ("a.gpx", POINT.format("99", "2026-01-31T12:00:00Z"), "-90..90"),
        ("a.gpx", POINT.format("52", "yesterday"), "a.gpx:1"),
        ("a.nmea", "hello", "no GPS positions"),
        ("a.nmea", sentence(RMC.replace("5230", "9930")), "-90..90"),
        ("a.kml", "<kml/>", "want a GPS track"),
        ("a.mp4", "not a video", "cannot be read"),
        ("none.gpx", None, "cannot be read"),
    ],
)  # fmt: skip
def test_a_broken_track_is_refused_in_one_line(
    tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=message) as error:
        read_gps(path)
    assert "\n" not in str(error.value)


GOOD = gps5_packet([[52, 13, 0, 1, 1]])


@pytest.mark.parametrize(
    ("packet", "message"),
    [
        (b"DEVC" + bytes(12), "no GPS positions"),
        (GOOD[:40], "telemetry is broken"),
        (GOOD[:4] + b"\0\1\xff\xff" + GOOD[8:], "telemetry is broken"),
        (GOOD.replace(b"GPS5l", b"GPS5z"), "telemetry is broken"),
        (klv("DEVC", "\0", 1, klv("STRM", "\0", 1, klv("GPS5", "l", 4, bytes(8)))), "broken"),
        (klv("DEVC", "\0", 1, klv("STRM", "\0", 1, klv("SCAL", "l", 4, bytes(20))
                                   + klv("GPS5", "l", 20, bytes(20)))), "scale of 0"),
    ],
)  # fmt: skip
def test_broken_telemetry_is_refused_in_one_line(
    tmp_path: Path, packet: bytes, message: str
) -> None:
    path = write_gopro(tmp_path / "GX01.mp4", [packet])
    with pytest.raises(UsageError, match=message):
        read_gps(path)
