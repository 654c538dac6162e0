"""Hostile pictures and videos through REST: no crash, bounded memory, an answer for each.

    python benchmarks/hostile_uploads.py [--pictures 300] [--videos 100] [--seed 1]
        [--limit-mb 2048]

The pictures of `hostile_pictures.py`, one by one and then ten at a time in forms, and the videos of
`hostile_videos.py` go to a `trackline live` without cameras that may have `--limit-mb` of memory
(its data segment). Each must be answered with 200, or with a 4xx and one line; of a video that is
accepted, the analysis must end with an answer or one line. A sound one must be answered. Prints
what became of them by kind, the most memory of the server, what libraries printed, what is left in
the folder for temporary files, and what is wrong; exit code 1 where something is.
"""

from __future__ import annotations

import argparse
import json
import os
import resource  # not on Windows
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import hostile_videos
import httpx
import numpy as np
from hostile_pictures import SOUND, lay_out

HEADERS = {"X-Trackline": "1"}
AT_ONCE = 10
OURS = " trackline: "
"""In every line of our own log."""
VIDEO_S = 300
"""Patience with a video of some frames: the analysis gives way to everything else."""


def main() -> None:
    """Print the table of answers and what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--videos", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit-mb", type=int, default=2048, help="memory of the server")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        random = np.random.default_rng(args.seed)
        kinds = lay_out(Path(text, "in"), args.pictures, random)
        videos = hostile_videos.lay_out(Path(text, "videos"), args.videos, random)
        server = _serve(Path(text), args.limit_mb)
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            with httpx.Client(base_url=address, headers=HEADERS, timeout=300) as client:
                table, wrong = _one_by_one(client, Path(text, "in"), kinds)
                wrong += _in_forms(client, Path(text, "in"), kinds)
                more, odd = _videos(client, Path(text, "videos"), videos)
                table, wrong = table | more, wrong + odd
                if not client.get("/healthz").json()["ok"]:
                    wrong.append("the server says it is not well")
            peak_mb = _peak_mb(server.pid)
            if server.poll() is not None:
                wrong.append(f"the server ended with {server.returncode}")
        finally:
            server.terminate()
            server.wait(30)
        wrong += [f"left behind: {each}" for each in Path(text, "tmp").iterdir()]
        lines = [each for each in Path(text, "log").read_text().splitlines() if OURS not in each]
        wrong += [f"on stderr: {each}" for each in lines[:20]]
    print(f"{len(kinds)} pictures twice, {len(videos)} videos, the server's most memory", end=" ")
    print(f"{peak_mb:.0f} MB")
    print(f"{'kind':30}{'read':>8}{'refused':>9}")
    for kind, counts in table.items():
        print(f"{kind:30}{counts['read']:8}{counts['refused']:9}")
    print(f"wrong: {len(wrong)}", *wrong, sep="\n  ")
    raise SystemExit(bool(wrong))


def _serve(folder: Path, limit_mb: int) -> subprocess.Popen[str]:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit_mb << 20, limit_mb << 20))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    command = [sys.executable, "-m", "pipeline", "live", "--port", "0", "--set", "sinks=[]"]
    (folder / "tmp").mkdir()
    with (folder / "log").open("w") as log:
        return subprocess.Popen(
            [*command, "-o", str(folder / "out")],
            stdout=subprocess.PIPE, stderr=log, text=True, preexec_fn=limit,
            env={**os.environ, "TMPDIR": str(folder / "tmp")},
        )  # fmt: skip


def _one_by_one(
    client: httpx.Client, folder: Path, kinds: dict[str, str]
) -> tuple[dict[str, Counter[str]], list[str]]:
    table: dict[str, Counter[str]] = defaultdict(Counter)
    wrong = []
    for name, kind in kinds.items():
        began = time.monotonic()
        headers = {"content-type": "application/octet-stream"}
        content = (folder / name).read_bytes()
        answer = client.post("/api/images", content=content, headers=headers)
        if time.monotonic() - began > 30:
            wrong.append(f"{name} ({kind}): took {time.monotonic() - began:.0f} s")
        table[kind]["read" if answer.status_code == 200 else "refused"] += 1
        if answer.status_code != 200 and not _is_refusal(answer):
            wrong.append(f"{name} ({kind}): {answer.status_code} {answer.text[:200]}")
        if kind == SOUND and answer.status_code != 200:
            wrong.append(f"{name}: sound, and yet {answer.text[:200]}")
    return table, wrong


def _in_forms(client: httpx.Client, folder: Path, kinds: dict[str, str]) -> list[str]:
    wrong, names = [], [*kinds]
    for first in range(0, len(names), AT_ONCE):
        some = names[first : first + AT_ONCE]
        files = [("file", (name, (folder / name).read_bytes())) for name in some]
        answer = client.post("/api/images", files=files)
        if answer.status_code != 200:
            wrong.append(f"form from {some[0]} on: {answer.status_code} {answer.text[:200]}")
            continue
        pictures: list[dict[str, Any]] = answer.json()["pictures"]
        if [each["name"] for each in pictures] != some:
            wrong.append(f"form from {some[0]} on: {json.dumps(pictures)[:300]}")
        wrong += [
            f"{each['name']}: sound, and yet {each['error']} in a form"
            for each in pictures
            if each["error"] and kinds[each["name"]] == SOUND
        ]
    return wrong


def _videos(
    client: httpx.Client, folder: Path, kinds: dict[str, str]
) -> tuple[dict[str, Counter[str]], list[str]]:
    table: dict[str, Counter[str]] = defaultdict(Counter)
    wrong = []
    for name, kind in kinds.items():
        headers = {"content-type": "application/octet-stream"}
        content = (folder / name).read_bytes()
        answer = client.post("/api/videos?annotated=true", content=content, headers=headers)
        job = answer.json()
        if answer.status_code != 202 and not _is_refusal(answer):
            wrong.append(f"{name} ({kind}): {answer.status_code} {answer.text[:200]}")
        end = time.monotonic() + VIDEO_S
        while answer.status_code == 202 and job["state"] not in ("done", "failed"):
            if time.monotonic() > end:
                wrong.append(f"{name} ({kind}): not done after {VIDEO_S} s: {job}")
                break
            time.sleep(0.02)
            job = client.get(f"/api/videos/{job['id']}").json()
        is_read = job.get("state") == "done"
        if job.get("state") == "failed" and (not job["problem"] or "\n" in job["problem"]):
            wrong.append(f"{name} ({kind}): failed without a line: {job}")
        if answer.status_code == 202:
            client.delete(f"/api/videos/{job['id']}")
        table[f"video: {kind}"]["read" if is_read else "refused"] += 1
        if kind == SOUND and not is_read:
            wrong.append(f"{name}: sound, and yet {answer.text[:200]} {job}")
    return table, wrong


def _is_refusal(answer: httpx.Response) -> bool:
    """Return whether it is a 4xx with one line of text."""
    detail = answer.json().get("detail", "") if 400 <= answer.status_code < 500 else ""
    return bool(detail) and "\n" not in detail


def _peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parent.parent))
    main()
