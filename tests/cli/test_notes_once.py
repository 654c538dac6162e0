"""What a command says of its video is said once, however often it opens the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_videos import noise_picture, two_video_tracks

from pipeline.cli.main import main

HEADER = "source,frame,pts_s,track_id,class_id,class_name,score,x1,y1,x2,y2,state\n"
NOTE = "holds 2 video tracks, of which the first is read"


@pytest.mark.parametrize(
    "command",
    [
        "render two.csv two.mkv -o drawn.mp4",
        "clip two.csv two.mkv --track 1 -o clip.mp4",
        "convert two.csv --to cvat --video two.mkv -o cvat.xml",
    ],
)
def test_a_note_about_a_video_is_printed_once(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`render` reads the file's facts, its frames and its times: three lines said the same.

    A second command says it again.
    """
    monkeypatch.chdir(tmp_path)
    two_video_tracks(Path("two.mkv"), [noise_picture(n) for n in range(6)])
    rows = (f"two,{n},{n / 25},1,0,person,0.9,10,20,40,80,matched\n" for n in range(6))
    Path("two.csv").write_text(HEADER + "".join(rows))
    for _ in range(2):
        assert main(command.split()) == 0
        assert capsys.readouterr().err.count(NOTE) == 1
