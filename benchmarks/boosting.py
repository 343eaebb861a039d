"""Boosting at the paper's size: 5000 trees on 800 rows of 64 PB numbers, five folds and the final fit.

``python benchmarks/boosting.py`` prints a table; five rounds (or as many as the first argument says), one and two
threads interleaved, and stops if their models differ. 800 rows are 80 videos of 40 subjects in ten variants each.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from fakeemo.boosted_trees import BoostingSettings
from fakeemo.boosting import fit_boosting
from fakeemo.tables import write_table

N_SUBJECTS, N_VARIANTS, N_PB, N_TREES = 40, 10, 64, 5000


def write_pb_table(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Write PB vectors in which some numbers tell a little about the label; give labels and subjects by video."""
    rng = np.random.default_rng(0)
    labels = {f"s{i:02d}_{label}": label for i in range(N_SUBJECTS) for label in ("genuine", "fake")}
    centre = rng.normal(size=(len(labels), 1, N_PB))
    centre[1::2, :, :4] += 1.0
    pb = (centre + 0.2 * rng.normal(size=(len(labels), N_VARIANTS, N_PB))).reshape(-1, N_PB).astype(np.float32)
    columns = {f"pb_{i}": pb[:, i] for i in range(N_PB)}
    write_table(path, {"video_id": np.repeat(list(labels), N_VARIANTS).tolist(), **columns}, kind="pb")
    return labels, {video: video[:3] for video in labels}


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    wall: dict[int, list[float]] = {1: [], 2: []}
    cpu: dict[int, list[float]] = {1: [], 2: []}
    models = set()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        labels, subjects = write_pb_table(folder / "pb.parquet")
        for _ in range(rounds):
            for threads in wall:
                settings = BoostingSettings(trees=N_TREES, threads=threads)
                start = time.perf_counter(), time.process_time()
                model, info = folder / "boosting.ubj", folder / "boosting.json"
                fit_boosting(folder / "pb.parquet", labels, subjects, model, info, emotion="bench", settings=settings)
                wall[threads].append(time.perf_counter() - start[0])
                cpu[threads].append(time.process_time() - start[1])
                models.add(model.read_bytes())
        trees = json.loads(info.read_text())["trees"]
    if len(models) > 1:
        sys.exit("the model depends on the number of threads or on the round")
    print("| boosting, 800 rows of 64, five folds of up to 5000 trees | seconds | CPU seconds | aim |")
    print("|---|---|---|---|")
    for threads in wall:
        aim = "at most 60 s" if threads == 2 else ""
        times = f"{statistics.median(wall[threads]):.1f} | {statistics.median(cpu[threads]):.1f}"
        print(f"| `boosting.threads: {threads}`, {trees} trees chosen | {times} | {aim} |")


if __name__ == "__main__":
    main()
