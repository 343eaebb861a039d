"""Measure the landmark engines against each other; print Markdown tables.

    python benchmarks/landmarks.py

Everything runs on one thread, the two engines in turn, so that a busy machine slows both; medians of REPEATS runs.
"""

import subprocess
import sys
import time

import cv2
import numpy as np
from clips import BOX, SIZE, portrait

from fakeemo import augment, landmarks

REPEATS = 7
ENGINES = ("batched", "dlib")
JITTER_PX = (19, 9)


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


def main() -> None:
    landmarks.warm()
    cv2.setNumThreads(1)
    for part in (prediction, start_up, jitter):
        part()
        print()


if __name__ == "__main__":
    main()
