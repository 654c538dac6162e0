"""`trackline doctor`: what a machine has, told apart from what it lacks and what is broken."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from support.file_tree import write_files

from pipeline.cli import doctor
from pipeline.core.cpu_count import Cores
from pipeline.tools.doctor import machine as surroundings
from pipeline.tools.doctor import media, networks
from pipeline.tools.doctor.cuda import Device, Driver, driver
from pipeline.tools.doctor.examination import verdict
from pipeline.tools.doctor.findings import Finding, look
from pipeline.tools.doctor.limits import memory_limit, memory_of_machine

GIB = 2**30
H100 = Driver("580.1", "13.0", (Device("NVIDIA H100", 80 * GIB, (9, 0)),), decodes=True)


def test_cores_taken_away_are_reported_with_the_reason():
    assert "affinity allows 8" in surroundings.cores(Cores(64, 8, None)).words
    assert surroundings.cores(Cores(4, 4, None)).state == "works"
    assert surroundings.cores(Cores(4, 4, 1.5)).state == "limited"


def test_memory_and_its_limit(tmp_path):
    meminfo = "MemTotal:  8000 kB\nMemFree: 100 kB\nMemAvailable: 5000 kB\nHugePages_Total: 0\n"
    root = write_files(tmp_path, {"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a\n"})
    assert memory_of_machine(root) == (8000 * 1024, 5000 * 1024)
    assert memory_limit(root) is None
    write_files(root, {"sys/fs/cgroup/a/memory.max": "max\n"})
    assert memory_limit(root) is None
    write_files(root, {"sys/fs/cgroup/a/memory.max": f"{GIB}\n"})
    assert memory_limit(root) == GIB
    assert surroundings.memory_left(8 * GIB, 4 * GIB, GIB // 2).state == "limited"
    assert surroundings.memory_left(8 * GIB, 4 * GIB, None).state == "works"


class FakeCuda:
    """libcuda with one device, as the driver API documents its functions."""

    def __init__(self, init: int = 0) -> None:
        self.init = init

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self.init

    def cuDriverGetVersion(self, out: Any) -> int:  # noqa: N802
        out._obj.value = 12080
        return 0

    def cuDeviceGetCount(self, out: Any) -> int:  # noqa: N802
        out._obj.value = 1
        return 0

    def cuDeviceGetName(self, out: Any, size: int, index: int) -> int:  # noqa: N802
        out.value = b"Some GPU"
        return 0

    def cuDeviceTotalMem_v2(self, out: Any, index: int) -> int:  # noqa: N802
        out._obj.value = 4 * GIB
        return 0

    def cuDeviceGetAttribute(self, out: Any, attribute: int, index: int) -> int:  # noqa: N802
        out._obj.value = {75: 8, 76: 6}[attribute]
        return 0


class FakeManagement:
    def nvmlInit_v2(self) -> int:  # noqa: N802
        return 0

    def nvmlSystemGetDriverVersion(self, out: Any, size: int) -> int:  # noqa: N802
        out.value = b"570.86"
        return 0

    def nvmlShutdown(self) -> int:  # noqa: N802
        return 0


def loading(**libraries: object) -> Any:
    """A loader that knows libraries by the start of their names."""

    def load(name: str) -> object:
        for start, library in libraries.items():
            if name.startswith((start, start.removeprefix("lib").replace("cuda", "nvcuda"))):
                return library
        raise OSError(name)

    return load


def test_the_driver_is_asked_without_torch():
    asked = driver(loading(libcuda=FakeCuda(), libnvidia=FakeManagement()))
    assert asked == Driver("570.86", "12.8", (Device("Some GPU", 4 * GIB, (8, 6)),), decodes=False)
    assert driver(loading()) is None
    broken = driver(loading(libcuda=FakeCuda(init=100)))
    assert broken is not None
    assert broken.devices == ()
    assert networks.nvidia(broken).state == "broken"
    assert "100" in networks.nvidia(broken).words


def test_the_real_driver_can_be_asked_on_any_machine():
    found = driver()
    assert found is None or isinstance(found.devices, tuple)


@pytest.mark.parametrize(
    ("gpu", "version", "built_for", "state", "says"),
    [
        (None, None, None, "absent", "[ultralytics]"),
        (None, "2.13.0+cpu", None, "works", "CPU build"),
        (H100, "2.13.0+cpu", None, "limited", "install torch's CUDA build"),
        (H100, "2.13.0", "12.8", "works", "run on CUDA"),
        (None, "2.13.0", "12.8", "limited", "no GPU"),
        (H100, "2.13.0", "14.0", "broken", "update the driver"),
        (
            Driver("470", "11.4", (Device("Old", GIB, (6, 1)),), decodes=True),
            "2.13.0",
            "11.8",
            "limited",
            "too old",
        ),
    ],
)
def test_torch_and_driver_must_fit(gpu, version, built_for, state, says):
    """Which of torch and the driver is in the way is what people cannot see for themselves."""
    found = networks.torch(gpu, networks.Torch(version, built_for, "8.4"))
    assert found.state == state
    assert says in found.words


@pytest.mark.parametrize(
    ("built", "gpu", "state"),
    [
        ({}, H100, "absent"),
        ({"cuda": ["h264"]}, None, "absent"),
        ({"cuda": ["h264"]}, H100, "works"),
        ({"cuda": ["h264"]}, Driver("1", "12.0", H100.devices, decodes=False), "broken"),
    ],
)
def test_hardware_decoding_needs_both_ffmpeg_and_the_driver_s_library(built, gpu, state):
    """Containers often see the GPU but not its decoder, and FFmpeg then says nothing useful."""
    assert media.hardware_decoding(built, gpu).state == state


@pytest.mark.parametrize(
    ("toolkit", "has_screen", "state"),
    [("QT5", True, "works"), ("QT5", False, "absent"), (None, True, "absent")],
)
def test_a_window_needs_a_toolkit_and_a_screen(toolkit, has_screen, state):
    wheels = {"opencv-python": "5.0"}
    assert surroundings.window("5.0", toolkit, wheels, has_screen=has_screen).state == state


@pytest.mark.parametrize(
    ("toolkit", "wheels", "state", "says"),
    [
        (None, {"opencv-python-headless": "5.0"}, "absent", "--show needs "),
        ("QT5", {"opencv-python-headless": "5.0", "opencv-python": "5.0"}, "works", "QT5"),
        (None, {"opencv-python-headless": "5.0", "opencv-python": "5.0"}, "absent", "(over open"),
        (None, {"opencv-python-headless": "5.1", "opencv-python": "5.0"}, "limited", "headless"),
        ("QT5", {"opencv-python-headless": "5.1", "opencv-python": "5.0"}, "limited", "differ"),
    ],
)
def test_two_opencv_wheels_in_one_folder_are_seen(toolkit, wheels, state, says):
    """pip updates one of them and takes the other's files away, without a word."""
    found = surroundings.window("5.0", toolkit, wheels, has_screen=True)
    assert found.state == state
    assert says in found.words
    assert found.values["wheels"] == wheels


def test_an_opencv_that_does_not_load_is_said_with_the_command_that_mends_it(monkeypatch):
    """It was reported as broken, and in the same breath files were said to be read."""

    class Missing:
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            if name == "cv2":
                raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    (found,) = surroundings.opencv()
    assert found.state == "broken"
    assert "libGL.so.1" in found.words
    assert found.words.endswith("install --force-reinstall --no-deps opencv-python-headless")
    all_fine = [
        Finding("video", "decoders", "works", ""),
        Finding("networks", "openvino", "works", ""),
    ]
    assert any("Files are read" in line for line in verdict(all_fine))
    lines = verdict([*all_fine, found])
    assert not any("Files are read" in line for line in lines)
    assert "Nothing is read" in lines[0]


def test_torch_alone_reads_no_pt_weights():
    found = networks.torch(None, networks.Torch("2.13.0", None, None))
    assert found.state == "absent"
    assert "ultralytics is not installed" in found.words


def test_files_for_many_cameras():
    assert [one.state for one in surroundings.open_files((1024, 4096))] == ["works"]
    assert [one.state for one in surroundings.open_files((64, 4096))] == ["limited"]
    assert not [*surroundings.open_files(None)]


def test_model_cache_that_does_not_exist_yet_is_no_problem(tmp_path):
    found = surroundings.model_cache(tmp_path / "not" / "there")
    assert found.values["files"] == 0
    assert found.state in ("works", "limited")
    assert not (tmp_path / "not").exists()


def test_a_library_that_does_not_load_is_a_finding():
    """OpenCV without libGL is what people meet first in a bare container."""

    def probe() -> list[Finding]:
        raise ImportError("libGL.so.1: cannot open shared object file\nmore")

    (found,) = look("screen", "opencv", probe)
    assert found.state == "broken"
    assert found.words == "cannot be loaded: libGL.so.1: cannot open shared object file"
    assert "libGL" in verdict([found])[-1]


def test_text_has_every_finding_and_the_verdict():
    found = [Finding("a", "one", "works", "fine"), Finding("b", "two", "absent", "not here")]
    text = doctor.as_text(found, ["This works."])
    assert [line.split() for line in text.splitlines() if line] == [
        ["a"],
        ["ok", "one", "fine"],
        ["b"],
        ["-", "two", "not", "here"],
        ["so", "here"],
        ["This", "works."],
    ]


@pytest.mark.slow
def test_doctor_runs_where_opencv_does_not_load():
    """Everything else of this machine is still to be said, and how to mend that."""
    code = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'cv2': raise ImportError('libGL.so.1: cannot open')\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from pipeline.cli.main import main; sys.exit(main(['doctor', '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    tree = json.loads(done.stdout)
    found = {(each["section"], each["name"]): each for each in tree["findings"]}
    assert found["screen", "opencv"]["words"].endswith("opencv-python-headless")
    assert "h264" in found["video", "decoders"]["values"]["there"]
    assert found["networks", "openvino"]["state"] == "works"


@pytest.mark.slow
def test_doctor_looks_at_everything_here_without_torch():
    """The command must be quick and work where torch is not, or is what is broken."""
    code = (
        "import sys; from pipeline.cli.main import main; code = main(['doctor', '--json'])\n"
        "assert not {'torch', 'ultralytics'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    tree = json.loads(done.stdout)
    found = {(each["section"], each["name"]): each for each in tree["findings"]}
    assert {section for section, _ in found} == {"machine", "video", "networks", "screen", "files"}
    assert "h264" in found["video", "decoders"]["values"]["there"]
    assert {"rtsp", "http"} <= {*found["video", "protocols"]["values"]["there"]}
    assert found["networks", "openvino"]["values"]["devices"]["CPU"]["precisions"]
    assert done.returncode == int(any(each["state"] == "broken" for each in tree["findings"]))
    assert tree["verdict"]
