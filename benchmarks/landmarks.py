"""Measure the landmark engines against each other; print Markdown tables.

    python benchmarks/landmarks.py

Everything runs on one thread, the two engines in turn, so that a busy machine slows both; medians of REPEATS runs.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import cv2
import numpy as np
import skimage.data

from fakeemo import augment, landmarks, tables, tracking

REPEATS = 7
CLIP_REPEATS = 5
ENGINES = ("batched", "dlib")
SIZE = (1280, 960)
N_FRAMES = 350
JITTER_PX = (19, 9)
BOX = np.array([437.0, 96.0, 237.0, 237.0])  # the Haar detector's on the portrait scaled to SIZE


def portrait() -> np.ndarray:
    """Give the grey portrait in the size of the frames."""
    return cv2.resize(cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2GRAY), SIZE)


def moving(n_frames: int, noise: float) -> np.ndarray:
    """Give frames of the portrait that drifts by a pixel a frame, with sensor noise."""
    rng, image = np.random.default_rng(0), portrait()
    frames = [np.roll(image, (i % 20, i % 30), (0, 1)) + rng.normal(0, noise, image.shape) for i in range(n_frames)]
    return np.clip(frames, 0, 255).astype(np.uint8)


def row(*cells: object) -> None:
    print("|", " | ".join(str(cell) for cell in cells), "|", flush=True)


def prediction() -> None:
    """Time the predictors, with the conversion to and from arrays, on one frame and on batches of frames."""
    predictors = {engine: landmarks.load_predictor(engine) for engine in ENGINES}
    frames = moving(10, 3)
    row("pairs", "frames", "batched, ms a pair", "dlib, ms a pair", "ratio", "target")
    row("---", "---", "---", "---", "---", "---")
    for n_frames, n_boxes, target in ((1, 11, "5"), (1, 100, "9"), (10, 10, "9"), (10, 25, "9")):
        offsets = augment.offsets("benchmark", n_boxes - 1, JITTER_PX, 0)
        crops = np.stack([augment.jittered(np.add(BOX, [i, i, 0, 0]), offsets) for i in range(n_frames)]).reshape(-1, 4)
        boxes, frame_of_box = augment.predictor_boxes(crops), np.repeat(np.arange(n_frames), n_boxes)
        seconds: dict[str, list[float]] = {engine: [] for engine in ENGINES}
        for _ in range(REPEATS + 1):  # the first run warms up
            for engine in ENGINES:
                start = time.perf_counter()
                predictors[engine].predict(frames, boxes, frame_of_box)
                seconds[engine].append((time.perf_counter() - start) / len(boxes))
        batched, dlib = (np.median(seconds[engine][1:]) for engine in ENGINES)
        row(len(boxes), n_frames, f"{batched * 1e3:.3f}", f"{dlib * 1e3:.3f}", f"{dlib / batched:.1f}", f">= {target}")


def start_up() -> None:
    """Time a whole process that predicts one batch with a warm cache, and take its peak memory."""
    code = (
        "import numpy as np; from fakeemo import landmarks\n"
        f"frames, boxes = np.ones((11, {SIZE[1]}, {SIZE[0]}), np.uint8), np.tile([437, 96, 237, 237], (121, 1))\n"
        "landmarks.load_predictor().predict(frames, boxes, np.arange(121) // 11)\n"
        "print(*(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
    )
    seconds, memory = [], []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        peak = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
        memory.append(int(peak) / 1024)
        seconds.append(time.perf_counter() - start)
    row("warm process with one batch", "median", "target")
    row("---", "---", "---")
    row("from start to end, s", f"{np.median(seconds[1:]):.2f}", "<= 1")
    row("resident memory, MB", f"{np.median(memory[1:]):.0f}", "<= 250")


def jitter() -> None:
    """Report how much still landmarks move from frame to frame under sensor noise, with and without sub-pixel."""
    rng, image = np.random.default_rng(0), portrait().astype(float)
    box = augment.predictor_boxes(BOX[None])
    row("sensor noise, grey levels", "sub-pixel, px rms a frame", "whole pixels, px rms a frame")
    row("---", "---", "---")
    predictor = landmarks.load_predictor()
    for noise in (1, 3, 6):
        frames = [np.clip(image + rng.normal(0, noise, image.shape), 0, 255).astype(np.uint8) for _ in range(60)]
        points = np.concatenate([predictor.predict(frame, box) for frame in frames]).astype(float)
        whole = landmarks.whole_pixels(points)
        row(noise, *(f"{np.sqrt((np.diff(series, axis=0) ** 2).mean()):.3f}" for series in (points, whole)))


def write_clip(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=100)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        rng, image = np.random.default_rng(0), cv2.resize(skimage.data.astronaut(), SIZE)
        for i in range(N_FRAMES):
            sway = (int(8 * np.sin(i / 30)), int(20 * np.sin(i / 50)))
            noisy = np.roll(image, sway, (0, 1)) + rng.normal(0, 3, (*image.shape[:2], 1))
            frame = av.VideoFrame.from_ndarray(np.clip(noisy, 0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def preprocess(clip: str, engine: str, out: str) -> tuple[float, float]:
    """Decode, track, predict 11 variants of a clip, and write the tables, as the workflow does; give both times."""
    start = time.perf_counter()
    tracking.track_video(clip, f"{out}/rois.parquet", settings=tracking.TrackingSettings(), seed=0)
    tracked = time.perf_counter()
    tables_out = f"{out}/landmarks.parquet", f"{out}/variants.parquet"
    augment.landmark_video(
        clip,
        f"{out}/rois.parquet",
        *tables_out,
        video_id="clip",
        n_variants=10,
        jitter_px=JITTER_PX,
        seed=0,
        engine=engine,
    )
    return tracked - start, time.perf_counter() - tracked


def preprocessing(folder: str) -> None:
    """Time the preprocessing of a clip with each engine, and of two clips side by side."""
    clip = f"{folder}/clip.mp4"
    write_clip(Path(clip))
    seconds: dict[str, list[tuple[float, float]]] = {engine: [] for engine in ENGINES}
    for _ in range(CLIP_REPEATS + 1):
        for engine in ENGINES:
            seconds[engine].append(preprocess(clip, engine, folder))
    found = tables.read_table(f"{folder}/landmarks.parquet")[0]["success"].mean()
    row(f"{N_FRAMES} frames {SIZE[0]}x{SIZE[1]}, 11 variants", "batched, s", "dlib, s", "ratio", "target")
    row("---", "---", "---", "---", "---")
    medians = {engine: np.median(seconds[engine][1:], axis=0) for engine in ENGINES}
    for i, (part, target) in enumerate(
        (("face boxes (decode, track)", ""), ("landmarks (decode, predict, write)", ""))
    ):
        batched, dlib = (medians[engine][i] for engine in ENGINES)
        row(part, f"{batched:.2f}", f"{dlib:.2f}", f"{dlib / batched:.1f}", target)
    batched, dlib = (np.median([sum(both) for both in seconds[engine][1:]]) for engine in ENGINES)
    row("both", f"{batched:.2f}", f"{dlib:.2f}", f"{dlib / batched:.1f}", ">= 4")
    print(f"\nA face in {found:.0%} of the frames.\n")

    def side_by_side(n_jobs: int) -> float:
        outs = [tempfile.mkdtemp(dir=folder) for _ in range(n_jobs)]
        start = time.perf_counter()
        jobs = [subprocess.Popen([sys.executable, __file__, clip, out], stderr=subprocess.DEVNULL) for out in outs]
        assert all(job.wait() == 0 for job in jobs)
        return time.perf_counter() - start

    times = {n: [] for n in (1, 2)}
    for _ in range(CLIP_REPEATS):
        for n, measured in times.items():
            measured.append(side_by_side(n))
    one, two = (float(np.median(times[n])) for n in (1, 2))
    row("jobs at once", "s", "jobs a second, against one", "target")
    row("---", "---", "---", "---")
    row(1, f"{one:.2f}", "1.0", "")
    row(2, f"{two:.2f}", f"{2 * one / two:.2f}", ">= 1.8")


def main() -> None:
    if len(sys.argv) == 3:  # one job of side_by_side()
        preprocess(sys.argv[1], "batched", sys.argv[2])
        return
    landmarks.warm()
    cv2.setNumThreads(1)
    for part in (prediction, start_up, jitter):
        part()
        print()
    with tempfile.TemporaryDirectory() as folder:
        preprocessing(folder)


if __name__ == "__main__":
    main()
