"""Names, addresses and paths: what `--model` accepts, what the registry promises, the command."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from support.http_server import CONTENT, PATIENCE, DownloadServer
from support.paths import ROOT

from pipeline.cli.main import main
from pipeline.core.errors import ModelError
from pipeline.models.cache import cache_folder, path_of, path_of_url
from pipeline.models.download import WeightsDownload, download
from pipeline.models.file_check import SUFFIXES, why_not_weights
from pipeline.models.registry import BUILTIN, TAGS, PublishedModel, find, published
from pipeline.models.resolve import download_for, locate, resolve

ENTRIES = list(published().values())


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRACKLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_entry_is_complete_and_consistent(entry: PublishedModel) -> None:
    assert entry.name == entry.name.casefold()
    # An OpenVINO network is two files, all others are one.
    assert Path(entry.file).suffix in ((".xml",) if entry.beside else SUFFIXES)
    assert entry.beside is None or Path(entry.beside.file) == Path(entry.file).with_suffix(".bin")
    assert Path(entry.name).suffix in ("", ".25", Path(entry.file).suffix)
    assert entry.licence in ("Apache-2.0", "AGPL-3.0", "MIT")
    assert entry.classes
    assert (entry.sha256 is None) == (entry.hash_from is None)
    assert entry.hash_from in (None, "release", "pinned")
    if entry.sha256 is not None:
        assert len(bytes.fromhex(entry.sha256)) == 32
    if entry.name in (BUILTIN, TAGS):
        assert entry.url is None
        return
    assert entry.url is not None
    publishers = (
        "https://github.com/",
        "https://huggingface.co/onnx-community/",
        "https://huggingface.co/kornia/",
        "https://storage.openvinotoolkit.org/repositories/open_model_zoo/",
    )
    assert entry.url.startswith(publishers)
    # At Hugging Face every file of a repository has the same name.
    of_one_name = entry.publisher == "onnx-community"
    assert entry.url.endswith("/onnx/model.onnx" if of_one_name else f"/{entry.file}")
    assert "None" not in entry.url


REID = ("osnet-x0.25", "person-reidentification-retail-0286")


@pytest.mark.parametrize("name", REID)
def test_networks_for_people_seen_again_are_verified_by_hash(name: str) -> None:
    entry = find(name)
    assert entry is not None
    for each in (entry, entry.beside or entry):
        assert each.classes == "vector"
        assert each.size is not None
        assert each.sha256 is not None
        assert each.url is not None
        assert each.url.endswith(each.file)


def two_files(site: DownloadServer, folder: Path) -> WeightsDownload:
    """An OpenVINO network whose both files the server has under one content."""
    right = hashlib.sha256(site.content).hexdigest()
    size = len(site.content)
    numbers = WeightsDownload(f"{site.url}/net.bin", folder / "net.bin", size, right)
    return WeightsDownload(f"{site.url}/net.xml", folder / "net.xml", size, right, numbers)


XML = b'<?xml version="1.0"?>\n<net name="net" version="10"><layers/></net>\n'


def test_a_network_of_two_files_is_downloaded_whole(site: DownloadServer, tmp_path: Path) -> None:
    site.content = XML.replace(b"<?xml", b"x<?xml")  # as numbers it may be anything but a page
    wanted = two_files(site, tmp_path)
    assert download(wanted, retry_policy=PATIENCE) == tmp_path / "net.xml"
    assert (tmp_path / "net.bin").read_bytes() == site.content
    assert len(site.requests) == 2
    download(wanted, retry_policy=PATIENCE)
    assert len(site.requests) == 2


def test_a_network_is_not_there_without_its_second_file() -> None:
    entry = find(REID[1])
    assert entry is not None
    assert entry.beside is not None
    put(path_of(entry), b"x" * (entry.size or 0))
    assert locate(entry.name) is None
    put(path_of(entry.beside), b"x" * (entry.beside.size or 0))
    assert locate(entry.name) == path_of(entry)
    put(path_of(entry.beside))
    with pytest.raises(ModelError, match=r"0286\.bin has 7 bytes, want 2452594"):
        locate(entry.name)


@pytest.mark.parametrize(
    ("suffix", "content", "why"),
    [
        (".xml", XML, None),
        (".xml", XML[:40], "no whole OpenVINO network"),
        (".xml", b"<html><body>sign in</body></html>", "no whole OpenVINO network"),
        (".bin", bytes(range(64)), None),
        (".bin", b"<html>", "a web page"),
        (".bin", b"", "empty"),
    ],
)
def test_what_servers_send_in_place_of_a_network_is_noticed(
    suffix: str, content: bytes, why: str | None, tmp_path: Path
) -> None:
    found = why_not_weights(put(tmp_path / f"net{suffix}", content), suffix)
    assert found is None if why is None else why in (found or "")


def test_nothing_in_the_registry_is_there_twice() -> None:
    rows = json.loads(resources.files("pipeline.models").joinpath("registry.json").read_text())
    for key in ("name", "file", "sha256"):
        values = [row[key] for row in rows["models"] if row[key] is not None]
        assert len(values) == len(set(values)), key


def put(path: Path, content: bytes = b"weights") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_an_existing_file_wins_over_a_name(tmp_path: Path) -> None:
    assert resolve(str(put(tmp_path / "mine.onnx"))) == tmp_path / "mine.onnx"
    put(tmp_path / "yolo11n.pt")
    assert resolve("yolo11n.pt") == Path("yolo11n.pt")


def test_an_openvino_folder_wins_but_a_chance_folder_of_that_name_does_not(
    tmp_path: Path, cache: Path
) -> None:
    """A run's output folder called like a model must not become the model."""
    put(tmp_path / "net_openvino" / "net.xml")
    assert resolve("net_openvino") == Path("net_openvino")
    (tmp_path / "yolox-nano").mkdir()
    entry = find("yolox-nano")
    assert entry is not None
    put(path_of(entry), b"x" * (entry.size or 0))
    assert resolve("yolox-nano") == cache / "models" / "yolox_nano.onnx"


def test_a_name_in_the_cache_needs_no_network(cache: Path) -> None:
    entry = find("YOLOX-Nano")
    assert entry is not None
    put(path_of(entry), b"x" * (entry.size or 0))
    assert resolve("yolox-nano") == locate("YOLOX-NANO") == cache / "models" / "yolox_nano.onnx"


def test_a_file_put_by_hand_of_another_size_is_refused() -> None:
    entry = find("yolox-nano")
    assert entry is not None
    put(path_of(entry))
    with pytest.raises(ModelError, match="7 bytes, want 3659407; remove it"):
        resolve("yolox-nano")


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("yolo11q", "unknown name 'yolo11q'; did you mean yolo11"),
        ("yolov11n", "did you mean yolo"),
        ("nonsense", "unknown name 'nonsense' (known: builtin, "),
        ("none.onnx", "no such file: none.onnx"),
        ("yolo11n.xml", "no such file: yolo11n.xml; 'yolo11n' without the suffix is downloaded"),
        ("folder/none.pt", "no such file: folder/none.pt"),
        ("folder/none", "no such file: folder/none"),
        ("ftp://host/a.onnx", "starts with http or https"),
        ("https://host/a.zip", "must end in .onnx or .pt"),
        ("https://host/", "must end in .onnx or .pt"),
        ("https://me:secret@host/a.onnx", "https://host/a.onnx must be downloaded by hand"),
        ("https://host/a.onnx#sha256=12", "sha256=64 hex digits"),
    ],
)
def test_what_cannot_be_weights_is_one_line(model: str, says: str) -> None:
    with pytest.raises(ModelError) as raised:
        resolve(model)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_an_address_is_downloaded_once(site: DownloadServer, cache: Path) -> None:
    url = f"{site.url}/net.onnx"
    assert locate(url) is None
    path = resolve(url, retry_policy=PATIENCE)
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(cache)
    assert resolve(url) == locate(url) == path
    assert len(site.requests) == 1


def test_addresses_with_the_same_file_name_do_not_meet() -> None:
    paths = {path_of_url(f"https://{host}/net.onnx") for host in ("a", "b")}
    assert len(paths) == 2
    assert {path.name for path in paths} == {"net.onnx"}


@pytest.mark.parametrize("name", ["..%2f..%2fevil.onnx", "..%5c..%5cevil.onnx", "C:evil.onnx"])
def test_an_address_cannot_choose_the_folder(name: str, cache: Path) -> None:
    path = path_of_url(f"https://host/{name}")
    assert path.resolve().is_relative_to((cache / "models").resolve())
    assert len(path.relative_to(cache / "models").parts) == 2


def test_an_address_may_bring_its_hash(site: DownloadServer) -> None:
    wrong = "0" * 64
    with pytest.raises(ModelError, match="SHA-256"):
        resolve(f"{site.url}/net.onnx#sha256={wrong}", retry_policy=PATIENCE)
    right = hashlib.sha256(CONTENT).hexdigest()
    assert resolve(f"{site.url}/net.onnx#sha256={right}", retry_policy=PATIENCE).is_file()
    assert download_for(f"{site.url}/net.onnx#sha256={right.upper()}").sha256 == right


def test_the_cache_follows_the_platform_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACKLINE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    if sys.platform == "linux":
        assert cache_folder() == Path("/somewhere/trackline")
    monkeypatch.setenv("TRACKLINE_CACHE", "~/mine")
    assert cache_folder() == Path.home() / "mine"


def test_pull_downloads_and_prints_the_path(
    site: DownloadServer, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{site.url}/net.onnx"
    assert main(["models", "pull", url]) == 0
    printed = Path(capsys.readouterr().out.strip())
    assert printed.read_bytes() == CONTENT
    assert main(["models", "path", url]) == 0
    assert capsys.readouterr().out.strip() == str(printed)


def test_pull_verifies_what_is_there(
    site: DownloadServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file damaged in the cache after its download is found by `pull`, not by a wrong run."""
    url = f"{site.url}/net.onnx"
    assert main(["models", "pull", url]) == 0
    path = Path(capsys.readouterr().out.strip())
    path.write_bytes(CONTENT[:100])
    assert main(["models", "pull", url]) == 2
    assert "remove it to download again" in capsys.readouterr().err


def test_path_says_where_a_file_would_be(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "path", "yolox-nano"]) == 1
    assert capsys.readouterr().out.strip() == str(cache / "models" / "yolox_nano.onnx")
    assert main(["models", "path", "no-such"]) == 2


def test_the_list_names_licence_and_what_is_here(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    assert all(entry.name in text for entry in ENTRIES)
    assert "AGPL-3.0" in text
    entry = find("yolox-nano")
    assert entry is not None
    put(path_of(entry))
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["yolox-nano"]["path"] == str(cache / "models" / "yolox_nano.onnx")
    assert rows["yolo26x"]["path"] is None


def test_nothing_of_this_is_loaded_before_it_is_needed() -> None:
    """`import pipeline` and `--help` must stay fast: no HTTP client, no registry, no exporters."""
    code = (
        "import sys, pipeline, pipeline.cli.models\n"
        "heavy = ('urllib.request', 'filelock', 'platformdirs', 'nncf', 'openvino', 'onnx')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
