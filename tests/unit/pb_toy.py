"""PB tables with a known effect, for the tests of boosting."""

import json
from pathlib import Path

import numpy as np

from fakeemo.boosted_trees import BoostingSettings
from fakeemo.boosting import fit_boosting
from fakeemo.tables import write_table

SETTINGS = BoostingSettings(trees=80, rate=0.2, reg_lambda=5.0)


class Toy:
    """PB vectors of ``n_subjects``, each with ``n_videos``, by default half of them fake and ``effect`` SD apart."""

    def __init__(self, folder: Path, *, n_subjects=20, n_videos=4, n_variants=3, effect=4.0, n_pb=6, seed=0):
        self.folder = folder
        rng = np.random.default_rng(seed)
        n = n_subjects * n_videos
        self.video_ids = [f"v{i:03d}" for i in range(n)]
        self.subjects = {v: f"s{i // n_videos}" for i, v in enumerate(self.video_ids)}
        self.labels = {v: ("genuine", "fake")[i % 2] for i, v in enumerate(self.video_ids)}
        centre = rng.normal(size=(n, n_pb))
        centre[:, 0] += effect * (np.arange(n) % 2 - 0.5)
        self.pb = (centre[:, None] + 0.1 * rng.normal(size=(n, n_variants, n_pb))).reshape(-1, n_pb).astype(np.float32)
        self.rows = np.repeat(self.video_ids, n_variants)

    def table(self, pb=None, rows=None, name="pb.parquet") -> Path:
        pb, rows = self.pb if pb is None else pb, self.rows if rows is None else rows
        others = np.zeros(len(pb), np.float32)
        columns = {f"pb_{i}": pb[:, i] for i in range(pb.shape[1])}
        for column in ("error", "error_genuine", "error_fake", "distance_genuine", "distance_fake"):
            columns[column] = others
        write_table(self.folder / name, {"video_id": list(rows), **columns}, kind="pb")
        return self.folder / name

    def fit(self, *, table=None, labels=None, settings=SETTINGS):
        fit_boosting(
            table or self.table(),
            self.labels if labels is None else labels,
            self.subjects,
            self.folder / "boosting.ubj",
            self.folder / "boosting.json",
            emotion="anger",
            settings=settings,
        )
        return (self.folder / "boosting.ubj").read_bytes(), json.loads((self.folder / "boosting.json").read_text())


def truth(toy, info):
    names = list(info["out_of_fold"])
    return np.array([toy.labels[v] == "fake" for v in names]), np.array([info["out_of_fold"][v] for v in names])
