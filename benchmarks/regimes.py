"""The paper's regime, one sequence to a step, against larger batches: the loss they reach, and the time they take.

A batch of b sequences takes b times fewer steps an epoch, so its rates are higher: b times for the weights, and b / 2
times for the PB vectors, each of which moves once a batch by the mean over its class, half of the batch.

Prints a Markdown table, for generated sequences, or for variant tables of one emotion of the embedded data set::

    python benchmarks/regimes.py --hidden 64 --closed-loop 0.9 results/variants/s0[1-8]_happiness_*.parquet
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from fakeemo.learning_step import LearningSettings
from fakeemo.lstm_pb import CLASSES, NetworkSettings
from fakeemo.sequences import Sequences, load_sequences
from fakeemo.training import train

NETWORK = NetworkSettings(pb=8, context=16, hidden=32, layers=2)
PAPER = LearningSettings()
BATCHES = (1, 8, 16)


def two_dynamics(videos: int, frames: int, seed: int) -> tuple[Sequences, np.ndarray]:
    """Make expressions that begin fast (genuine) or slowly (fake), on faces of their own, with noise; and labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(videos) % 2
    onset = np.where(labels == 0, frames / 8, frames / 2)
    course = np.clip(np.arange(frames) / onset[:, None], 0, 1)
    face = random.uniform(-0.6, 0.6, 80) + random.normal(0, 0.02, (videos, 1, 80))
    x = face + course[..., None] * random.uniform(-0.2, 0.2, 80) + random.normal(0, 0.005, (videos, frames, 80))
    names = np.array([f"video{i}" for i in range(videos)])
    return Sequences(x.astype(np.float32), np.ones((videos, frames), bool), names, np.zeros(videos, int)), labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", help="variant tables whose names end in _genuine or _fake")
    parser.add_argument("--closed-loop", type=float, default=0.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--hidden", type=int, default=NETWORK.hidden)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network = replace(NETWORK, hidden=arguments.hidden)
    if arguments.tables:
        loaded = load_sequences(arguments.tables, reference="neutral")
        of_tables = loaded, np.array([CLASSES.index(Path(video).stem.rsplit("_", 1)[1]) for video in loaded.video])
    print(f"closed loop {arguments.closed_loop:g}, {arguments.seeds} seeds, medians\n")
    print("| sequences to a step | weight rate | PB rate | loss after 1 epoch | lowest loss | PB distance | seconds |")
    print("|---|---|---|---|---|---|---|")
    for batch in BATCHES:
        learning = replace(
            PAPER,
            batch_size=batch,
            weight_rate=PAPER.weight_rate * batch,
            pb_rate=PAPER.pb_rate * max(1, batch / 2),
            closed_loop=arguments.closed_loop,
        )
        runs = []
        for seed in range(arguments.seeds):
            sequences, labels = of_tables if arguments.tables else two_dynamics(16, 30, seed)
            started = time.perf_counter()
            _, history = train(sequences, labels, network, learning, seed=seed)
            best = min(history, key=lambda row: row["loss"])
            runs.append([history[0]["loss"], best["loss"], best["pb_distance"], time.perf_counter() - started])
        first, lowest, distance, seconds = np.median(runs, axis=0)
        print(
            f"| {batch} | {learning.weight_rate:g} | {learning.pb_rate:g} | {first:.2g} | {lowest:.3g}"
            f" | {distance:.2g} | {seconds:.1f} |"
        )


if __name__ == "__main__":
    main()
