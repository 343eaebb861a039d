"""Boosting at the paper's size: 5000 trees on 800 rows of 64 PB numbers, five folds and the final fit.

``python benchmarks/boosting.py`` prints a table; five rounds (``--rounds``), one and two threads and, with ``--cuda``,
a GPU interleaved, and stops if the models of one device differ. 800 rows are 80 videos of 40 subjects in ten variants
each.
"""

import argparse
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cuda", action="store_true", help="on a GPU too")
    chosen = parser.parse_args()
    runs = {
        "`boosting.threads: 1`": BoostingSettings(trees=N_TREES),
        "`boosting.threads: 2`": BoostingSettings(trees=N_TREES, threads=2),
    }
    if chosen.cuda:
        runs["`boosting.device: cuda`"] = BoostingSettings(trees=N_TREES, device="cuda")
    wall: dict[str, list[float]] = {name: [] for name in runs}
    cpu: dict[str, list[float]] = {name: [] for name in runs}
    models: dict[str, set[bytes]] = {settings.device: set() for settings in runs.values()}
    trees = {}
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        model, info = folder / "boosting.ubj", folder / "boosting.json"
        labels, subjects = write_pb_table(folder / "pb.parquet")
        for _ in range(chosen.rounds):
            for name, settings in runs.items():
                start = time.perf_counter(), time.process_time()
                fit_boosting(folder / "pb.parquet", labels, subjects, model, info, emotion="bench", settings=settings)
                wall[name].append(time.perf_counter() - start[0])
                cpu[name].append(time.process_time() - start[1])
                models[settings.device].add(model.read_bytes())
                trees[name] = json.loads(info.read_text())["trees"]
    if max(map(len, models.values())) > 1:
        sys.exit("the model of a device depends on the number of threads or on the round")
    print("| boosting, 800 rows of 64, five folds of up to 5000 trees | seconds | CPU seconds | aim |")
    print("|---|---|---|---|")
    for name, settings in runs.items():
        aim = "at most 60 s" if settings.threads == 2 else ""
        times = f"{statistics.median(wall[name]):.1f} | {statistics.median(cpu[name]):.1f}"
        print(f"| {name}, {trees[name]} trees chosen | {times} | {aim} |")


if __name__ == "__main__":
    main()
