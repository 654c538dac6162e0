"""How many processors a process may use, and that everybody who starts threads asks there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.file_tree import write_files
from support.import_walk import MODULES
from support.tiny_networks import one_box_network

from pipeline.core.cpu_count import Cores, SingleOpenCvThread, cores
from pipeline.detectors.common.backend import Settings


@pytest.mark.parametrize(
    ("content", "quota"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "150000 100000\n"}, 1.5),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, None),
        # The outer group allows less than the inner one, and is what counts.
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
                "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
            },
            2,
        ),
        # Inside a container the own group is the root, while /proc names the host's path.
        ({"proc/self/cgroup": "0::/docker/x\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 0.5),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/x\n3:memory:/y\n",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/x\n",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_a_container_s_share_of_the_cores_is_seen(tmp_path, content, quota):
    """Threads beyond the quota are stopped for most of each period; os.cpu_count knows nothing."""
    assert cores(write_files(tmp_path, content)).quota == quota


@pytest.mark.parametrize(
    ("found", "usable", "threads", "rationed"),
    [
        (Cores(64, 64, None), 64, 64, False),
        (Cores(64, 8, None), 8, 8, False),
        (Cores(64, 8, 2.5), 2.5, 3, True),
        (Cores(64, 64, 1.5), 1.5, 2, True),
        (Cores(64, 64, 0.25), 0.25, 1, True),
        (Cores(64, 2, 16), 2, 2, False),
        (Cores(4, 4, 4), 4, 4, False),
    ],
)
def test_usable_cores_are_the_least_of_all_limits(found, usable, threads, rationed):
    """A thread for each share of a core: one less would leave some of the quota unused."""
    assert (found.usable, found.threads, found.rationed) == (usable, threads, rationed)


def test_only_one_module_asks_how_many_processors_there_are():
    """Of four places that asked, three did not see a container's quota."""
    asking = ("os.cpu_count", "sched_getaffinity")
    named = [
        name for name, path in MODULES.items() if any(each in path.read_text() for each in asking)
    ]
    assert named == ["core.cpu_count"]


def test_opencv_has_its_threads_again_when_the_last_detector_is_closed():
    """A program that had closed its detectors was left with one thread for OpenCV, for ever."""
    cv2 = pytest.importorskip("cv2")
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        first, second = SingleOpenCvThread(), SingleOpenCvThread()
        seen = []
        for step in (
            first.release, first.hold, first.hold, second.hold, first.release, first.release,
            second.release, second.release,
        ):  # fmt: skip
            step()
            seen.append(cv2.getNumThreads())
        assert seen == [3, 1, 1, 1, 1, 1, 3, 3]
        first.hold()
        cv2.setNumThreads(2)  # the program's own choice meanwhile
        first.release()
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize("prefer_latency", [False, True])
def test_openvino_gets_no_more_threads_than_the_quota_has_time_for(tmp_path, prefer_latency):
    """Under a quota of one core, OpenVINO started a thread for each of the machine's."""
    ov = pytest.importorskip("openvino")
    from pipeline.detectors.openvino.backend import compile_options

    settings = Settings(Path("a.onnx"), "auto", 640, None, "auto", prefer_latency)
    usual = {"PERFORMANCE_HINT": "LATENCY" if prefer_latency else "THROUGHPUT"}
    assert compile_options(settings, Cores(64, 64, None)) == usual
    assert compile_options(settings, Cores(64, 2, 16)) == usual
    rationed = compile_options(settings, Cores(64, 64, 0.5))
    assert rationed == {**usual, "INFERENCE_NUM_THREADS": "1"}
    compiled = ov.Core().compile_model(one_box_network(tmp_path / "a.onnx"), "CPU", rationed)
    asked: list[Any] = ["INFERENCE_NUM_THREADS", "OPTIMAL_NUMBER_OF_INFER_REQUESTS"]
    assert [compiled.get_property(each) for each in asked] == [1, 1]
