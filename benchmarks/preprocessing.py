"""Preprocessing as a whole, the job of a video: against its floors, and against the usual alternatives.

    python benchmarks/preprocessing.py [--mediapipe PYTHON]

PYTHON is the interpreter of an environment with MediaPipe up to 0.10.21; its row is left out without one. Prints
Markdown tables of processor seconds (one thread; on an idle machine the same as time): medians of runs in turn.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import clips
import cv2
import dlib
import numpy as np

os.environ.setdefault("TQDM_DISABLE", "1")  # read when tqdm is imported

from fakeemo import augment, landmarks, tables, tracking
from fakeemo.video import read_frames

REPEATS = 5
N_RIVAL = 20  # frames that the slow rivals are tried on
JITTER_PX, N_VARIANTS = (19, 9), 10
# The first is the cheapest to decode that shows a moving face; the second is more like what cameras write.
CLIPS = {
    "whole-pixel motion": lambda path: clips.encode(path, clips.swaying()),
    "sub-pixel motion": lambda path: clips.encode(path, clips.circling(), preset="veryfast"),
}


def row(*cells: object) -> None:
    print("|", " | ".join(str(cell) for cell in cells), "|", flush=True)


def header(*cells: object) -> None:
    row(*cells)
    row(*("---" for _ in cells))


def face_boxes(clip: Path, folder: Path) -> None:
    """Do the first half of a video's job."""
    tracking.track_video(clip, folder / "rois.parquet", settings=tracking.TrackingSettings(), seed=0)


def landmark(clip: Path, folder: Path, engine: landmarks.Engine, n_variants: int = N_VARIANTS) -> None:
    """Do the second half of it, with the pictures."""
    augment.landmark_video(
        clip,
        folder / "rois.parquet",
        folder / "landmarks.parquet",
        folder / "variants.parquet",
        folder / "sheet.jpg",
        folder / "face.png",
        video_id="clip",
        n_variants=n_variants,
        jitter_px=JITTER_PX,
        seed=0,
        engine=engine,
    )


def prediction(clip: Path, folder: Path) -> Callable[[], None]:
    """Give the predictor's calls of a landmarks job, and nothing else of it: boxes and frames are there before."""
    rois = tables.read_table(folder / "rois.parquet")[0]
    boxes = np.stack([rois[name].astype(float) for name in "xywh"], axis=-1)
    offsets = augment.offsets("clip", N_VARIANTS, JITTER_PX, 0)
    predictor = landmarks.load_predictor()
    batches = []
    images = (frame.image for frame in read_frames(clip))
    for first in range(0, len(boxes), augment.BATCH_FRAMES):
        frames = np.stack(list(islice(images, augment.BATCH_FRAMES)))
        crops = augment.jittered(boxes[first : first + len(frames), None], offsets).reshape(-1, 4)
        batches.append((frames, augment.predictor_boxes(crops), np.repeat(np.arange(len(frames)), len(offsets))))

    def predict() -> None:
        for batch in batches:
            predictor.predict(*batch)

    return predict


def decode(clip: Path) -> None:
    for _ in read_frames(clip):
        pass


def hog(clip: Path) -> Callable[[], None]:
    """Give the usual way: on every frame dlib's own face detector, then its predictor. Here on the first frames."""
    detector, predictor = dlib.get_frontal_face_detector(), dlib.shape_predictor(str(landmarks.default_model()))

    def run() -> None:
        for frame in islice(read_frames(clip), N_RIVAL):
            for box in detector(frame.image):
                [(part.x, part.y) for part in predictor(frame.image, box).parts()]

    return run


def taken(run: Callable[[], None]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def measure(clip: Path, folder: Path, mediapipe: str | None) -> dict[str, float]:
    """Give the median seconds of every part, for the whole clip."""
    face_boxes(clip, folder)
    predict, usual = prediction(clip, folder), hog(clip)
    runs: dict[str, Callable[[], float]] = {
        "decode": lambda: taken(lambda: decode(clip)),
        "boxes": lambda: taken(lambda: face_boxes(clip, folder)),
        "predict": lambda: taken(predict),
        "batched": lambda: taken(lambda: landmark(clip, folder, "batched")),
        "dlib": lambda: taken(lambda: landmark(clip, folder, "dlib")),
        "single": lambda: taken(lambda: landmark(clip, folder, "batched", 0)),
        "hog": lambda: taken(usual) * clips.N_FRAMES / N_RIVAL,
    }
    if mediapipe:
        command = [mediapipe, str(Path(__file__).with_name("mediapipe_mesh.py")), str(clip)]
        runs["mediapipe"] = lambda: (
            clips.N_FRAMES
            * float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0])
        )
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(REPEATS + 1):  # the first run warms up
        for name, run in runs.items():
            seconds[name].append(run())
    return {name: float(np.median(values[1:])) for name, values in seconds.items()}


def report(name: str, s: dict[str, float]) -> None:
    both, floors = s["boxes"] + s["batched"], 2 * s["decode"] + s["predict"]
    header(f"{name}: {clips.N_FRAMES} frames 1280x960, 11 variants", "s", "against", "s", "ratio", "aim")
    row("face boxes and landmarks", f"{both:.2f}", "its floors", f"{floors:.2f}", f"{both / floors:.2f}", "<= 1.25")
    slow = s["boxes"] + s["dlib"]
    row("with `engine: dlib`", f"{slow:.2f}", "`engine: batched`", f"{both:.2f}", f"{slow / both:.1f}", ">= 4")
    print(
        f"\nOf which: boxes {s['boxes']:.2f} s; landmarks {s['batched']:.2f} s, with dlib {s['dlib']:.2f} s;"
        f" one decode {s['decode']:.2f} s, the predictor alone {s['predict']:.2f} s.\n"
    )
    header("68 points of every frame, from the file on", "ms a frame", "times ours")
    ours = s["boxes"] + s["single"]
    ways = {"fakeemo, no variants": ours, "fakeemo, 11 variants": both, "dlib's detector and predictor": s["hog"]}
    if "mediapipe" in s:
        ways["MediaPipe's face mesh (468 points)"] = s["mediapipe"]
    for way, value in ways.items():
        row(way, f"{value / clips.N_FRAMES * 1e3:.1f}", f"{value / ours:.1f}")
    print()


def side_by_side(clip: Path, folder: Path) -> None:
    """Time whole processes by the clock, one alone and two at once."""

    def run(n_jobs: int) -> float:
        outs = [tempfile.mkdtemp(dir=folder) for _ in range(n_jobs)]
        start = time.perf_counter()
        command = [sys.executable, __file__, "--job", str(clip)]
        jobs = [subprocess.Popen([*command, out], stderr=subprocess.DEVNULL) for out in outs]
        assert all(job.wait() == 0 for job in jobs)
        return time.perf_counter() - start

    times: dict[int, list[float]] = {n: [] for n in (1, 2)}
    for _ in range(REPEATS):
        for n, measured in times.items():
            measured.append(run(n))
    one, two = (float(np.median(times[n])) for n in (1, 2))
    header("jobs at once", "s by the clock", "jobs a second, against one", "aim")
    row(1, f"{one:.2f}", "1.0", "")
    row(2, f"{two:.2f}", f"{2 * one / two:.2f}", ">= 1.8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = sys.executable if importlib.util.find_spec("mediapipe") else None
    parser.add_argument("--mediapipe", metavar="PYTHON", default=here)
    parser.add_argument("--job", nargs=2, type=Path, help=argparse.SUPPRESS)  # one job of side_by_side()
    arguments = parser.parse_args()
    cv2.setNumThreads(1)  # as in the workflow, where each job has one core
    if arguments.job:
        face_boxes(*arguments.job)
        landmark(*arguments.job, "batched")
        return
    landmarks.warm()
    if not arguments.mediapipe:
        print("MediaPipe is left out: no environment with it was named (--mediapipe PYTHON).\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, make in CLIPS.items():
            clip = folder / f"{title}.mp4"
            make(clip)
            report(title, measure(clip, folder, arguments.mediapipe))
        side_by_side(folder / f"{next(iter(CLIPS))}.mp4", folder)


if __name__ == "__main__":
    main()
