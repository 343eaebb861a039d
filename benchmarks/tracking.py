"""Tracking against its floor: decoding the same video alone; and the peak memory of a long and a short clip.

Prints two rows of a Markdown table. The clips show scikit-image's portrait moving over itself, with sensor noise.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import skimage.data

from fakeemo.tracking import TrackingSettings, track
from fakeemo.video import read_frames


def make_clip(path: Path, width: int, height: int, n_frames: int, fps: int) -> None:
    """Write an H.264 clip of a face that moves on a closed path, so that it can be repeated without a jump."""
    rng = np.random.default_rng(0)
    portrait = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2GRAY)
    zoom = 0.0026 * height  # the face's box is then a quarter of the frame's height
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(n_frames):
            turn = 2 * np.pi * i / n_frames
            x = width * (0.5 + 0.1 * np.sin(3 * turn)) - 224 * zoom
            y = height * (0.5 + 0.06 * np.sin(5 * turn)) - 114 * zoom
            grey = cv2.warpAffine(
                portrait,
                np.array([[zoom, 0, x], [0, zoom, y]]),
                (width, height),
                flags=cv2.INTER_CUBIC,
                borderMode=cv2.BORDER_REFLECT,
            )
            noisy = np.clip(grey + rng.normal(0, 2, grey.shape), 0, 255).astype(np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(noisy, format="gray")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def repeat(source: Path, target: Path, times: int) -> None:
    """Write the packets of ``source`` to ``target`` several times over, without encoding anew."""
    with av.open(str(target), "w") as out:
        stream, offset = None, 0
        for _ in range(times):
            with av.open(str(source)) as container:
                if stream is None:
                    stream = out.add_stream_from_template(container.streams.video[0])
                for packet in container.demux(video=0):
                    if packet.size:
                        packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, stream
                        out.mux(packet)
                offset += container.streams.video[0].duration


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
        make_clip(clip, 1280, 960, 350, 100)
        taken = medians(
            {
                "decode": lambda: decode(clip),
                "fixed": lambda: decode_and_track(clip, TrackingSettings(scale="fixed")),
                "adaptive": lambda: decode_and_track(clip, TrackingSettings(scale="adaptive")),
            },
            arguments.runs,
        )
        make_clip(short, 640, 480, 250, 25)
        repeat(short, long, 60)
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
