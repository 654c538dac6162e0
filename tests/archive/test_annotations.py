"""Annotations as other tools write them: keyframes, marks, counting from 0 or 1; broken files."""

from __future__ import annotations

import argparse
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.track_tables import walk, write_csv

from pipeline.archive.annotations import read_annotations
from pipeline.archive.convert import convert, make_format
from pipeline.cli._truth import load_truths
from pipeline.cli.main import main
from pipeline.core.errors import UsageError
from pipeline.core.sequences import RecordedSequence

HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
META = (
    "<meta><task><id>7</id><name>plaza</name><size>{size}</size><mode>interpolation</mode>"
    "<labels><label><name>car</name></label></labels><original_size><width>640</width>"
    "<height>480</height></original_size><source>plaza.mp4</source></task></meta>\n"
)


def box(frame: int, at: float = 0, outside: int = 0, keyframe: int = 1, **more: object) -> str:
    extra = "".join(f' {key}="{value}"' for key, value in more.items())
    return (
        f'<box frame="{frame}" keyframe="{keyframe}" outside="{outside}" occluded="0" xtl="{at}" '
        f'ytl="10" xbr="{at + 20}" ybr="50"{extra}></box>\n'
    )


def track(*boxes: str, track_id: int = 0, label: str = "car", **more: object) -> str:
    extra = "".join(f' {key}="{value}"' for key, value in more.items())
    return f'<track id="{track_id}" label="{label}"{extra}>{"".join(boxes)}</track>\n'


def cvat(folder: Path, *tracks: str, size: int = 30, meta: str = META) -> Path:
    path = folder / "annotations.xml"
    path.write_text(HEAD + meta.format(size=size) + "".join(tracks) + "</annotations>\n", "utf-8")
    return path


def lefts(sequence: RecordedSequence, track_id: int) -> dict[int, float]:
    rows = sequence.table[sequence.table.track_id == track_id]
    return dict(zip(rows.frame.tolist(), rows.xyxy[:, 0].tolist(), strict=True))


def test_cvat_keyframes_are_interpolated_and_outside_is_honoured(tmp_path: Path) -> None:
    path = cvat(
        tmp_path,
        track(box(0, 0), box(4, 40), box(6, 60, outside=1), box(9, 0), box(10, 5)),
        track(box(2, 7), track_id=1, label="person"),
    )
    found = read_annotations(path)["plaza"]
    assert lefts(found, 1) == {0: 0, 1: 10, 2: 20, 3: 30, 4: 40, 5: 50, 9: 0, 10: 5}
    assert lefts(found, 2) == {2: 7}
    assert set(found.class_names.values()) == {"car", "person"}
    assert (found.video.length, found.video.width, found.video.height) == (30, 640, 480)


def test_what_cvat_itself_dumps_between_keyframes_is_the_same(tmp_path: Path) -> None:
    """Its dumps hold the interpolated boxes too, marked keyframe="0"."""
    path = cvat(tmp_path, track(box(0, 0), box(1, 10, keyframe=0), box(2, 20), box(3, 20, 1)))
    assert lefts(read_annotations(path)["plaza"], 1) == {0: 0, 1: 10, 2: 20}


def test_a_project_of_two_tasks_is_two_sequences(tmp_path: Path) -> None:
    task = "<task><id>{0}</id><name>{1}</name><size>9</size></task>"
    meta = f"<meta><project><name>p</name><tasks>{task.format(4, 'A')}{task.format(5, 'B')}</tasks>"
    path = cvat(
        tmp_path, track(box(0), box(1, outside=1), task_id=4),
        track(box(3), box(4, outside=1), track_id=1, task_id=5),
        meta=meta + "</project></meta>",
    )  # fmt: skip
    found = read_annotations(path)
    assert {name: each.table.frame.tolist() for name, each in found.items()} == {"A": [0], "B": [3]}


def test_a_turned_box_becomes_the_upright_one_around_it(tmp_path: Path) -> None:
    path = cvat(tmp_path, track(box(0, 0, rotation=90), box(1, outside=1)))
    assert read_annotations(path)["plaza"].table.xyxy.tolist() == [pytest.approx([-10, 20, 30, 40])]


def test_cvat_zip_files_are_read_as_they_come(tmp_path: Path) -> None:
    xml = cvat(tmp_path, track(box(0), box(1, outside=1)))
    with zipfile.ZipFile(tmp_path / "task.zip", "w") as file:
        file.write(xml, "annotations.xml")
    assert [*read_annotations(tmp_path / "task.zip")] == ["plaza"]
    with zipfile.ZipFile(tmp_path / "mot.zip", "w") as file:
        file.writestr("gt/gt.txt", "1,1,10,20,30,40,1,2,1\n1,2,90,20,30,40,0,1,1\n")
        file.writestr("gt/labels.txt", "person\ncar\n")
        file.writestr("img1/frame_000000.PNG", b"\x89PNG")
    found = read_annotations(tmp_path / "mot.zip")["mot"]
    assert found.table.frame.tolist() == [0]  # counted from 1; the row marked 0 is ignored
    assert [found.class_names[each] for each in found.table.class_id.tolist()] == ["car"]


@pytest.mark.parametrize(
    ("labels", "counts", "from_annotations"),
    [("person\ncar\n", 1, True), (None, 2, False)],
    ids=["named classes", "a benchmark"],
)
def test_a_folder_with_labels_is_read_by_its_classes(
    labels: str | None, counts: int, from_annotations: bool, tmp_path: Path
) -> None:
    """What `--to mot` wrote of cars was scored as MOT17's walkers: HOTA 0 for what was the same."""
    folder = tmp_path / "truth" / "plaza" / "gt"
    folder.mkdir(parents=True)
    (folder / "gt.txt").write_text("1,1,10,20,30,40,1,1,1\n1,2,90,20,30,40,1,2,1\n")
    if labels is not None:
        (folder / "labels.txt").write_text(labels)
    args = argparse.Namespace(gt=tmp_path / "truth", data=None, classes="car")
    found = load_truths(args)
    assert found.has_free_names == from_annotations
    assert len(found.truths["plaza"].frame) == counts


@pytest.mark.parametrize(
    ("images", "frames"),
    [
        ([{"frame_id": 0}, {"frame_id": 1}, {"frame_id": 2}], [0, 2]),
        ([{"frame_id": 1}, {"frame_id": 2}, {"frame_id": 3}], [0, 2]),
        ([{"frame_index": 1}, {"frame_index": 2}, {"frame_index": 3}], [1, 3]),
        ([{}, {}, {}], [0, 2]),
    ],
    ids=["MMTracking from 0", "converters from 1", "TAO from 0", "by name"],
)
def test_coco_frames_are_counted_as_the_writer_did(tmp_path: Path, images, frames) -> None:
    listed = [
        {"id": 10 + n, "video_id": 1, "file_name": f"{n}.jpg", "width": 640, "height": 480, **each}
        for n, each in enumerate(images)
    ]
    boxes = [
        {"id": n, "image_id": n, "video_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], **identity}
        for n, identity in ((10, {"instance_id": 0}), (12, {"instance_id": 1}))
    ]
    boxes.append({"id": 99, "image_id": 11, "category_id": 3, "bbox": [0, 0, 9, 9], "iscrowd": 1})
    tree = {"images": listed, "annotations": boxes, "categories": [{"id": 3, "name": "car"}]}
    path = tmp_path / "coco.json"
    path.write_text(json.dumps({**tree, "videos": [{"id": 1, "name": "A"}]}))
    found = read_annotations(path)["A"]
    assert found.table.frame.tolist() == frames
    assert found.table.track_id.tolist() == [1, 2]  # an id of 0 would be none
    assert found.class_names == {3: "car"}


def test_label_studio_keeps_ids_and_honours_enabled(tmp_path: Path) -> None:
    """A corrected export: our regions keep their ids, new ones get ids above them."""
    tracks = write_csv(tmp_path / "tracks.csv", walk(range(3), 5))
    output = tmp_path / "tasks.json"
    convert(tracks, make_format("label_studio", {}), output)
    (task,) = json.loads(output.read_text())
    keyframe = {"enabled": True, "x": 0, "y": 0, "width": 10, "height": 10}
    new = {
        "id": "tJhYZLMC9G", "type": "videorectangle",
        "value": {
            "framesCount": 6, "labels": ["dog"],
            "sequence": [
                {**keyframe, "frame": 1}, {**keyframe, "frame": 3, "x": 20, "enabled": False},
                {**keyframe, "frame": 5, "x": 50},
            ],
        },
    }  # fmt: skip
    (result,) = [each["result"] for each in task.pop("predictions")]
    task["annotations"] = [{"result": [], "was_cancelled": True}, {"result": [*result, new]}]
    output.write_text(json.dumps([task]))
    found = read_annotations(output)["gate"]
    assert lefts(found, 5) == {0: 100, 1: 103, 2: 106}
    assert lefts(found, 6) == pytest.approx({0: 0, 1: 64, 2: 128, 4: 320, 5: 320})


# -- as ground truth ------------------------------------------------------------------------------


@pytest.fixture
def tracked(tmp_path: Path) -> Path:
    """One person, ten frames; from the sixth on with another id."""
    rows = walk(range(5), 1) + walk(range(5, 10), 2)
    return write_csv(tmp_path / "run" / "tracks.csv", rows)


def corrected(folder: Path, kind: str) -> Path:
    """The same person with one id, as an export that somebody put right."""
    name = {"cvat": "fixed.xml", "coco_vid": "fixed.json", "label_studio": "fixed.json"}
    rows = walk(range(10)) + walk(range(10), 9, 400, class_id=2, class_name="car")
    tracks = write_csv(folder / "fixed" / "tracks.csv", rows)
    output = folder / name.get(kind, "fixed.zip")
    convert(tracks, make_format(kind, {}), output)
    return output


@pytest.mark.parametrize("kind", ["cvat", "cvat_mot", "coco_vid", "mot", "label_studio", "kitti"])
@pytest.mark.slow
def test_corrected_annotations_are_truth_for_eval(kind: str, tmp_path: Path, tracked, capsys):
    """One of two halves of one identity: IDF1 50, one switch; the car takes no part."""
    truth = corrected(tmp_path, kind)
    assert main(["eval", "--gt", str(truth), "--tracks", str(tracked), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["combined"]
    assert (scores["IDF1"], scores["IDSW"]) == (pytest.approx(50), 1)
    assert scores["DetA"] == pytest.approx(100)


def test_truth_of_one_video_belongs_to_tracks_of_one(tmp_path: Path, tracked: Path, capsys):
    """In CVAT the task has whatever name its author liked."""
    truth = cvat(tmp_path, track(box(0, 100), box(9, 127), box(10, outside=1), label="person"))
    assert main(["eval", "--gt", str(truth), "--tracks", str(tracked)]) == 0
    assert "using the truth of 'plaza' for gate" in capsys.readouterr().err


def test_a_folder_of_annotations_is_truth_of_several_videos(tmp_path: Path, capsys):
    rows = walk(range(4), source="A") + walk(range(4), source="B")
    tracks = write_csv(tmp_path / "tracks.csv", rows)
    convert(tracks, make_format("cvat", {}), tmp_path / "fixed")
    assert main(["eval", "--gt", str(tmp_path / "fixed"), "--tracks", str(tracks), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["sequences"]) == {"A", "B"}


def test_truth_of_other_classes_only_is_a_mistake(tmp_path: Path, tracked: Path, capsys):
    truth = cvat(tmp_path, track(box(0), box(9), box(10, outside=1)))
    assert main(["eval", "--gt", str(truth), "--tracks", str(tracked)]) == 2
    assert "no truth of class pedestrian, person (there are: car)" in capsys.readouterr().err


@pytest.mark.slow
def test_corrected_annotations_are_truth_for_tune(tmp_path: Path, capsys):
    rows = walk(range(40)) + walk(range(40), 2, 300)
    tracks = write_csv(tmp_path / "run" / "tracks.csv", rows)
    convert(tracks, make_format("cvat", {}), tmp_path / "gate.xml")
    given = ["tune", "--gt", str(tmp_path / "gate.xml"), "--detections", str(tracks)]
    output = tmp_path / "best.yaml"
    assert main([*given, "--tracker", "sort", "--trials", "1", "-o", str(output)]) == 0
    assert "gate 1st half" in capsys.readouterr().out


# -- broken and hostile files ---------------------------------------------------------------------

BOMB = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">'
    "]><annotations>&b;</annotations>"
)
OUTER = '<?xml version="1.0"?><!DOCTYPE a SYSTEM "file:///etc/passwd"><annotations/>'
COCO = '{"images": [{"id": 1, "video_id": 1, "frame_id": 0, "file_name": "a"}], "categories": [], '
BROKEN = {
    "entities": ("a.xml", BOMB, "DOCTYPE"),
    "outer entity": ("a.xml", OUTER, "DOCTYPE"),
    "cut off": ("a.xml", HEAD + "<track id='0' label='car'><box", "a.xml:4: not whole XML"),
    "empty xml": ("a.xml", "", "not whole XML: no element found"),
    "other xml": ("a.xml", "<svg/>", "want <annotations>, got <svg>"),
    "deep xml": ("a.xml", "<annotations>" + "<a>" * 200, "more than 100 deep"),
    "images": ("a.xml", HEAD + '<image id="0"/></annotations>', "CVAT for video 1.1"),
    "no side": (
        "a.xml", HEAD + track('<box frame="0" xtl="1"/>') + "</annotations>", "4: has no 'ytl'"
    ),
    "not a number": ("a.xml", HEAD + track(box(0, float("nan"))) + "</annotations>", "finite"),
    "far apart": (
        "a.xml", HEAD + track(box(0), box(10**12)) + "</annotations>", "frames apart",
    ),
    "half json": ("a.json", COCO, "a.json:1: not whole JSON"),
    "no annotations": ("a.json", COCO + '"videos": []}', "want 'annotations' as a list"),
    "strange image": (
        "a.json", COCO + '"annotations": [{"image_id": 7, "bbox": [1, 2, 3, 4]}]}', "image 7"
    ),
    "short bbox": ("a.json", COCO + '"annotations": [{"image_id": 1, "bbox": [1]}]}', "a.json: "),
    "huge id": (
        "a.json",
        COCO + '"annotations": [{"image_id": 1, "track_id": 1e300, "bbox": [1, 2, 3, 4]}]}',
        "62 bits",
    ),
    "deep json": ("a.json", '{"images": ' + "[" * 100_000, "deep"),
    "tasks of text": ("a.json", '[{"data": {}, "x": 1}, 7]', "width and height"),
    "other json": ("a.json", '{"a": 1}', "looks like none"),
    "not a zip": ("a.zip", "PK but no more", "not a whole zip file"),
    "not a text": ("a.xml", "\x00\x01", "not whole XML"),
    "other kind": ("a.pdf", "%PDF", "looks like none"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_one_line(what: str, tmp_path: Path) -> None:
    name, text, message = BROKEN[what]
    path = tmp_path / name
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError) as error:
        read_annotations(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_truncated_zip_is_one_line_wherever_it_is_cut(tmp_path: Path) -> None:
    rows = walk(range(200)) + walk(range(200), 2, 300)
    tracks = write_csv(tmp_path / "tracks.csv", rows)
    convert(tracks, make_format("mot", {}), tmp_path / "whole.zip")
    whole = (tmp_path / "whole.zip").read_bytes()
    random = np.random.default_rng(1)
    for cut in random.integers(0, len(whole), 20).tolist():
        (tmp_path / "cut.zip").write_bytes(whole[:cut])
        with pytest.raises(UsageError, match="not a whole zip file"):
            read_annotations(tmp_path / "cut.zip")
    for place in random.integers(0, len(whole), 60).tolist():
        flipped = bytearray(whole)
        flipped[place] ^= 0xFF
        (tmp_path / "flipped.zip").write_bytes(flipped)
        try:
            read_annotations(tmp_path / "flipped.zip")
        except UsageError as error:
            assert "\n" not in str(error)  # noqa: PT017 - a flipped bit may also do no harm


def test_a_zip_that_unpacks_to_more_than_annotations_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("gt/gt.txt", "0" * 200_000)
    with pytest.raises(UsageError, match="characters or more"):
        read_annotations(path)
    raw = path.read_bytes()
    size = (200_000).to_bytes(4, "little")
    place = raw.rindex(size)  # the size that the directory at the end of the file tells
    path.write_bytes(raw[:place] + (0xF0000000).to_bytes(4, "little") + raw[place + 4 :])
    with zipfile.ZipFile(path) as file:
        assert file.infolist()[0].file_size == 0xF0000000
    with pytest.raises(UsageError, match="would unpack to 3840 MB"):
        read_annotations(path)


def test_two_boxes_of_a_track_in_one_frame_are_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "A" / "gt").mkdir(parents=True)
    (tmp_path / "A" / "gt" / "gt.txt").write_text("4,7,1,2,3,4,1,1,1\n4,7,9,2,3,4,1,1,1\n")
    with pytest.raises(UsageError, match="A: track 7 has two boxes in frame 3"):
        read_annotations(tmp_path)


@pytest.mark.parametrize(
    ("names", "frames"),
    [
        (["10.jpg", "2.jpg", "1.jpg"], [2, 1, 0]),
        (["a/img_9.png", "a/img_10.png"], [0, 1]),
        (["b.jpg", "a.jpg"], [1, 0]),
        (["000010.jpg", "000002.jpg"], [1, 0]),
    ],
)
def test_coco_images_without_a_number_are_in_order_of_their_names(
    names: list[str], frames: list[int], tmp_path: Path
) -> None:
    """Frame 10 came before frame 2."""
    images = [
        {"id": k, "file_name": name, "width": 9, "height": 9} for k, name in enumerate(names, 1)
    ]
    boxes = [
        {"id": k, "image_id": k, "category_id": 1, "track_id": k, "bbox": [1, 1, 2, 2]}
        for k in range(1, len(names) + 1)
    ]
    tree = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "car"}]}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(tree))
    (each,) = read_annotations(path).values()
    by_track = dict(zip(each.table.track_id.tolist(), each.table.frame.tolist(), strict=True))
    assert [by_track[k] for k in range(1, len(names) + 1)] == frames


@pytest.mark.parametrize("fps", [-5, "nan", "inf", 1e400])
@pytest.mark.parametrize("kind", ["coco_vid", "label_studio"])
def test_a_frame_rate_that_is_none_is_one_line(kind: str, fps: object, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    if kind == "coco_vid":
        video = {"id": 1, "name": "a", "fps": fps}
        tree: object = {"videos": [video], "images": [], "annotations": [], "categories": []}
    else:
        tree = [{"data": {"video": "a.mp4", "width": 9, "height": 9, "fps": fps}}]
    path.write_text(json.dumps(tree))
    with pytest.raises(UsageError, match="want fps above 0"):
        read_annotations(path)


def test_keyframes_that_stand_for_too_many_boxes_are_refused(tmp_path: Path, monkeypatch) -> None:
    """A few kilobytes of far keyframes could ask for all memory, a track at a time."""
    monkeypatch.setattr("pipeline.archive.formats._keyframes.MAX_ROWS", 1000)
    box = '<box frame="{}" outside="{}" occluded="0" xtl="1" ytl="1" xbr="2" ybr="2"/>'
    track = f'<track label="car">{box.format(0, 0)}{box.format(400, 1)}</track>'
    path = tmp_path / "a.xml"
    path.write_text(f"<annotations>{track * 2}</annotations>")
    assert read_annotations(path)
    path.write_text(f"<annotations>{track * 3}</annotations>")
    with pytest.raises(UsageError, match="keyframes stand for more than 1,000 boxes"):
        read_annotations(path)


TURNED = {
    "a.json": json.dumps(
        {
            "images": [{"id": 1, "file_name": "1.jpg", "width": 9, "height": 9}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, -2, 3]}],
            "categories": [{"id": 1, "name": "car"}],
        }
    ),
    "a.xml": '<annotations><track label="car"><box frame="0" outside="0" xtl="5" ytl="5" xbr="3" '
    'ybr="8"/></track></annotations>',
    "s/gt/gt.txt": "1,1,5,5,-2,3,1,1,1\n",
    "label_02/a.txt": "0 1 Car 0 0 -10 5 5 3 8 -1 -1 -1 -1000 -1000 -1000 -10\n",
}


@pytest.mark.parametrize("name", TURNED)
def test_a_box_of_negative_width_is_one_line(name: str, tmp_path: Path) -> None:
    """It was taken as truth, which no track can meet: a box too many that is missed."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TURNED[name])
    with pytest.raises(UsageError, match=r"frame 0 .* negative width or height: 5, 5 to 3, 8"):
        read_annotations(path if path.parent == tmp_path else tmp_path)
