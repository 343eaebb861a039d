"""Landmark tables as CSV files of the form that OpenFace writes."""

import csv
from pathlib import Path

import numpy as np

from fakeemo.errors import FakeemoError
from fakeemo.files import replacing
from fakeemo.landmarks import N_POINTS
from fakeemo.tables import read_table


def write_landmark_csv(table: str | Path, folder: str | Path) -> Path:
    """Write ``results/landmarks/{video}.parquet`` as ``{video}.csv`` into ``folder``; give its path.

    Columns are those that OpenFace and py-feat agree on: ``frame``, ``face_id`` (0), ``timestamp`` (s), ``success``,
    ``x_0..x_67`` and ``y_0..y_67`` in pixels, empty where there is no face. Frames are counted from 0, as py-feat does;
    OpenFace counts from 1.

    Raises :class:`FakeemoError` if it is no table of landmarks.
    """
    columns, header = read_table(table)
    if header["kind"] != "landmarks":
        raise FakeemoError(f"{table}: holds {header['kind']}; name a table of results/landmarks")
    names = [f"{axis}_{i}" for axis in "xy" for i in range(N_POINTS)]
    points = np.stack([columns[name] for name in names], axis=1)
    out = Path(folder) / f"{Path(table).stem}.csv"
    with replacing(out) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["frame", "face_id", "timestamp", "success", *names])
        for frame, time, success, row in zip(
            columns["frame"], columns["timestamp"], columns["success"], points, strict=True
        ):
            cells = ["" if np.isnan(value) else f"{value:.3f}" for value in row]
            writer.writerow([frame, 0, f"{time:.6f}", success, *cells])
    return out
