"""Files and folders written in one step."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.atomic_file import replacing, replacing_folder, write_text


@pytest.mark.parametrize("concurrent", [False, True])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, concurrent: bool) -> None:
    (tmp_path / "net.onnx").write_text("old")

    def fail() -> None:
        with replacing(tmp_path / "net.onnx", concurrent=concurrent) as partial:
            partial.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (tmp_path / "net.onnx").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failure_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "old").touch()

    def fail() -> None:
        with replacing_folder(tmp_path / "net") as partial:
            (partial / "half").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [each.name for each in (tmp_path / "net").iterdir()] == ["old"]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("is_there", [False, True])
def test_a_folder_is_replaced_as_a_whole(tmp_path: Path, is_there: bool) -> None:
    if is_there:
        (tmp_path / "net").mkdir()
        (tmp_path / "net" / "old").touch()
    with replacing_folder(tmp_path / "net") as partial:
        (partial / "new").touch()
    assert [each.name for each in (tmp_path / "net").iterdir()] == ["new"]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_in_the_way_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / "report.json").mkdir()
    with pytest.raises(OSError, match=r"report\.json"):
        write_text(tmp_path / "report.json", "{}")
    assert [each.name for each in tmp_path.iterdir()] == ["report.json"]


def test_text_is_written_in_a_new_folder_whatever_is_in_it(tmp_path: Path) -> None:
    """A video whose name was not UTF-8 cost the run its report."""
    write_text(tmp_path / "new" / "report.json", "stra\u00dfe \udcff")
    assert (tmp_path / "new" / "report.json").read_bytes() == b"stra\xc3\x9fe \\udcff"
