"""When a recording was made: option, file name, container; never this machine's clock."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import av
import pytest
from support.tiny_videos import corner_picture, write_video

from pipeline.core.errors import ConfigError
from pipeline.core.options import validated
from pipeline.core.run_info import RunInfo, SourceInfo
from pipeline.sources._file.recording_start import recording_start, zone_of
from pipeline.sources.file import Options, build

HALF_PAST_TWO = datetime(2024, 1, 31, 14, 25, 1, tzinfo=UTC)

NAMES = [
    "20240131_142501.mp4",  # Android, Synology
    "2024-01-31_14-25-01.mkv",
    "2024-01-31 14-25-01.mkv",  # OBS
    "NO20240131-142501-000123F.MP4",  # 70mai
    "NO20240131-142501-0001F.MP4",  # its counter is no zone
    "20240131-142501-0100.MP4",
    "20240131-142501-1130F.MP4",
    "20240131_142501_NF.mp4",  # BlackVue
    "2024_0131_142501_001F.MP4",  # VIOFO
    "FILE240131-142501F.MP4",  # Novatek
    "240131_142501_001_FH.MP4",  # Nextbase
    "REC_2024_01_31_14_25_01_F.MP4",  # Thinkware
    "2024-01-31_14-25-01-front.mp4",  # Tesla
    "RecM01_20240131_142501_142601_0_12345.mp4",  # Reolink
    "Cam_00_20240131142501.mp4",  # Reolink by FTP
    "192.168.1.64_01_20240131142501000.mp4",  # Hikvision
    "DJI_20240131142501_0001_D.MP4",
    "WIN_20240131_14_25_01_Pro.mp4",
    "Screen Recording 2024-01-31 at 2.25.01 PM.mov",
    "Game 2024.01.31 - 14.25.01.02.DVR.mp4",
    "2024-01-31_14h25m01s.mp4",
    "2024-01-31/001/dav/14/14.25.01-14.26.01[M][0@0][0].mp4",  # Dahua
    # these say that they are UTC, or where they are
    "PXL_20240131_142501000.mp4",
    "20240131T142501Z.ts",
    "2024-01-31T15:25:01+0100.mp4",
    "recordings/2024-01-31/14/door/25.01.mp4",  # Frigate
    "door-1706711101.0-abcdef.mp4",
    "1706711101.ts",
    "1706711101000.mp4",
    "2024013114/25M01S_1706711101.mp4",
]
NO_TIMES = [
    "street.mp4", "VID-20240131-WA0001.mp4", "20240131.mp4", "20241331_142501.mp4",
    "2024-01-31_99-25-01.mp4", "1920x1080_20240131.mp4", "GOPR0123.MP4", "12345678901234567890.mp4",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_of_dashcams_and_recorders_are_read(name):
    began = recording_start(Path(name), [], 60.0, zone=UTC)
    assert began is not None
    assert began.unix_s == HALF_PAST_TWO.timestamp()
    assert "name" in began.origin


@pytest.mark.parametrize("name", NO_TIMES)
def test_other_numbers_are_no_times(name):
    assert recording_start(Path(name), [], 60.0) is None


NAMED, PLAIN = "20240131_142501.mp4", "street.mp4"
BERLIN = timezone(timedelta(hours=1))
TOLD = {  # name, tags, option start, option zone -> hours from 14:25:01 UTC, what says so
    "container": (PLAIN, "2024-01-31T14:25:01.000000Z", None, None, 0, "container"),
    "container with its zone": (PLAIN, "2024-01-31T14:25:01+0100", None, None, -1, "container"),
    "a name wins over the container": (NAMED, "2020-05-05T00:00:00Z", None, UTC, 0, "name"),
    "the option wins over all": (NAMED, "2020-05-05T00:00:00Z",
                                 HALF_PAST_TWO + timedelta(hours=5), UTC, 5, "option"),
    "an option without a zone": (PLAIN, "", datetime(2024, 1, 31, 14, 25, 1), BERLIN, -1, "option"),
    "local time in the name": (NAMED, "", None, BERLIN, -1, "+0100"),
    "its zone by the container's start": (NAMED, "2024-01-31T12:25:01Z", None, None, -2, "+0200"),
    "and by the container's end": (NAMED, "2024-01-31T12:26:00Z", None, None, -2, "+0200"),
    "local time marked as UTC": (NAMED, "2024-01-31T14:25:01Z", None, BERLIN, -1, "+0100"),
}  # fmt: skip


@pytest.mark.parametrize("case", TOLD)
def test_which_of_several_times_is_taken(case):
    name, tag, start, zone, hours, told = TOLD[case]
    began = recording_start(Path(name), [{}, {"creation_time": tag}], 60.0, start, zone)
    assert began is not None
    assert began.unix_s == (HALF_PAST_TWO + timedelta(hours=hours)).timestamp()
    assert told in began.origin


@pytest.mark.parametrize(
    "tag", ["", "soon", "2024-01-31", "1904-01-01T00:00:00Z", "1970-01-01T00:00:00Z",
            "2000-01-01T00:00:07Z"]
)  # fmt: skip
def test_a_container_whose_camera_had_no_clock_says_nothing(tag):
    assert recording_start(Path(PLAIN), [{"creation_time": tag}], 1.0) is None


@pytest.mark.parametrize("zone", ["Mars/North", "+1", "25", "../etc/passwd"])
def test_an_unknown_zone_is_one_line(zone):
    with pytest.raises(ValueError, match="want a time zone"):
        zone_of(zone)
    with pytest.raises(ConfigError, match="timezone"):
        validated(Options, {"path": "a.mp4", "timezone": zone}, "sources.0")


def opened(path: Path, **options: Any) -> tuple[SourceInfo, list[str]]:
    source = build(Options(path=path, **options))
    info = source.open()
    source.close()
    return info, source.notes


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_a_file_says_when_it_was_made(tmp_path, suffix):
    plain = write_video(tmp_path / "a.mp4", [corner_picture()] * 3)
    path = tmp_path / f"b.{suffix}"
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        target.metadata["creation_time"] = "2024-01-31T14:25:01.000000Z"
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    assert opened(plain)[0].start_utc is None
    info, notes = opened(path)
    assert info.start_utc == HALF_PAST_TWO.timestamp()
    assert "2024-01-31T14:25:01.000Z" in notes[0]
    later = HALF_PAST_TWO + timedelta(hours=1)
    assert opened(path, start=later)[0].start_utc == later.timestamp()


SOURCES = {  # what is known of a source -> Unix time of its picture at 2 s, read at 7 s
    "camera": (SourceInfo(1, 1), 1007.0),
    "camera that was down at the start": (None, 1007.0),
    "file": (SourceInfo(1, 1, recorded=True), None),
    "file with a start": (SourceInfo(1, 1, recorded=True, start_utc=50.0), 52.0),
}


@pytest.mark.parametrize("case", SOURCES)
def test_rows_of_files_never_have_the_time_of_processing(tmp_path, case):
    """A recording of last week was said to be from today, when it was processed."""
    info, expected = SOURCES[case]
    run = RunInfo(tmp_path, {}, {} if info is None else {"s": info}, 1000.0)
    assert run.utc_of("s", 2.0, 7.0) == expected


@pytest.mark.parametrize(("name", "utc"), [("20240131T142501Z", "2024-01-31T14:25:01"), ("a", "")])
def test_a_whole_run_writes_the_recordings_time(tmp_path, name, utc):
    from pipeline.api import run

    video = write_video(tmp_path / f"{name}.mp4", [corner_picture()] * 3)
    boxes = tmp_path / f"{name}.txt"
    boxes.write_text("".join(f"{n},-1,5,5,30,30,0.9,-1,-1,-1\n" for n in (1, 2, 3)))
    run(
        {
            "sources": [str(video)],
            "detector": {"kind": "replay", "paths": [str(boxes)]},
            "tracker": {"kind": "none"},
            "sinks": [{"kind": "csv"}],
            "run": {"output": str(tmp_path / "out")},
        }
    )
    rows = list(csv.DictReader((tmp_path / "out" / "tracks.csv").open()))
    assert rows
    assert all(row["utc"].startswith(utc) and bool(row["utc"]) == bool(utc) for row in rows)
