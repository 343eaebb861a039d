"""Tracking against its floor: decoding the same video alone; and the peak memory of a long and a short clip.

Prints two rows of a Markdown table.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import clips
import cv2

from fakeemo.tracking import TrackingSettings, track
from fakeemo.video import read_frames


def decode(path: Path) -> None:
    for _ in read_frames(path):
        pass


def decode_and_track(path: Path, settings: TrackingSettings) -> None:
    columns = track(read_frames(path), settings, seed=1)
    assert set(columns["state"]) == {"detected", "tracked"}, "the benchmark's face was lost"


def medians(runs: dict[str, Callable[[], None]], times: int) -> dict[str, float]:
    """Give the median processor time in seconds of each run (one thread), all of them interleaved."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(times):
        for name, run in runs.items():
            start = time.process_time()
            run()
            taken[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in taken.items()}


def peak_mib(path: Path) -> float:
    """Give the peak resident memory in MiB of a fresh process that tracks the clip."""
    code = (
        "import resource, sys; from fakeemo.tracking import *;"
        "track(read_frames(sys.argv[1]), TrackingSettings(), seed=1);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)  # as in the workflow, where each job has one core
    with tempfile.TemporaryDirectory() as folder:
        clip, short, long = (Path(folder) / f"{name}.mp4" for name in ("clip", "short", "long"))
        clips.encode(clip, clips.circling(), preset="veryfast")
        taken = medians(
            {
                "decode": lambda: decode(clip),
                "fixed": lambda: decode_and_track(clip, TrackingSettings(scale="fixed")),
                "adaptive": lambda: decode_and_track(clip, TrackingSettings(scale="adaptive")),
            },
            arguments.runs,
        )
        clips.encode(short, clips.circling(640, 480, 250), fps=25, preset="veryfast")
        clips.repeat(short, long, 60)
        memory = peak_mib(short), peak_mib(long)
    floor = taken["decode"]
    print("| what | measured | floor | ratio | target |\n|---|---|---|---|---|")
    for scale in ("adaptive", "fixed"):
        alone = taken[scale] - floor
        print(
            f"| tracking alone, 1280 x 960 H.264, 350 frames, {scale} scale | {alone:.2f} s"
            f" | decoding: {floor:.2f} s | {alone / floor:.2f} | <= 0.5 |"
        )
    print(
        f"| peak memory of tracking 10 min, 640 x 480 | {memory[1]:.0f} MiB | 10 s: {memory[0]:.0f} MiB"
        f" | {memory[1] / memory[0]:.2f} | <= 1.2 |"
    )


if __name__ == "__main__":
    main()
