"""Files such as a run leaves them, for the tests of the report: six emotions, three splits, some bad videos."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fakeemo.boosted_trees import BoostingSettings
from fakeemo.boosting import fit_boosting
from fakeemo.evaluation import evaluate
from fakeemo.playback import write_playback
from fakeemo.tables import write_table

EMOTIONS = ("anger", "contempt", "disgust", "happiness", "sadness", "surprise")
# Forty points about as on a face: brows, nose, eyes, lips, and four at its sides; of a crop, y down.
NEUTRAL = [
    *([x, -0.5] for x in np.linspace(-0.6, -0.2, 5)),
    *([x, -0.5] for x in np.linspace(0.2, 0.6, 5)),
    [0, 0.0],
    *([x, 0.1] for x in np.linspace(-0.2, 0.2, 5)),
    *([-0.4 + 0.15 * np.cos(a), -0.3 - 0.06 * np.sin(a)] for a in np.linspace(np.pi, -2 / 3 * np.pi, 6)),
    *([0.4 + 0.15 * np.cos(a), -0.3 - 0.06 * np.sin(a)] for a in np.linspace(np.pi, -2 / 3 * np.pi, 6)),
    *([0.3 * np.cos(a), 0.45 - 0.1 * np.sin(a)] for a in np.linspace(np.pi, -3 / 4 * np.pi, 8)),
    [-0.8, -0.4],
    [0.8, -0.4],
    [-0.5, 0.2],
    [0.5, 0.2],
]
JPEG = cv2.imencode(".jpg", np.full((60, 100, 3), 200, np.uint8))[1].tobytes()
HOSTILE = "<script>alert('x')</script>"


def write_pb_table(
    path: Path, samples: list[dict[str, str]], *, effect: float, seed: int, n_variants: int = 3, n_pb: int = 8
) -> None:
    """Write PB vectors of two overlapping classes, ``effect`` standard deviations apart along a random direction."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=n_pb)
    direction /= np.linalg.norm(direction)
    vectors = []
    for sample in samples:
        sign = {"fake": 0.5, "genuine": -0.5, "": 0.0}[sample["label"]]
        centre = rng.normal(size=n_pb) + sign * effect * direction
        vectors.append(centre + 0.2 * rng.normal(size=(n_variants, n_pb)))
    pb = np.concatenate(vectors).astype(np.float32)
    others = rng.gamma(2, 0.01, (len(pb), 5)).astype(np.float32)
    names = ("error", "error_genuine", "error_fake", "distance_genuine", "distance_fake")
    write_table(
        path,
        {
            "video_id": np.repeat([sample["video_id"] for sample in samples], n_variants).tolist(),
            "variant": np.tile(np.arange(n_variants), len(samples)),
            **{f"pb_{i}": pb[:, i] for i in range(n_pb)},
            **{name: others[:, i] for i, name in enumerate(names)},
            "steps": np.full(len(pb), 100),
        },
        kind="pb",
    )


def make_samples(
    n_subjects: int = 12, hostile: bool = False, emotions: Sequence[str] = EMOTIONS
) -> list[dict[str, str]]:
    """Give two videos for each of ``n_subjects`` and emotion; two subjects in each of validation and test."""
    splits = ["train"] * (n_subjects - 4) + ["valid"] * 2 + ["test"] * 2
    subjects = [f"s{i:02d}" for i in range(n_subjects)]
    if hostile:
        subjects[-1] = HOSTILE
    return [
        {
            "video_id": f"{i:02d}_{emotion}_{label}",
            "subject": subject,
            "emotion": emotion,
            "label": label,
            "split": split,
        }
        for i, (subject, split) in enumerate(zip(subjects, splits, strict=True))
        for emotion in emotions
        for label in ("genuine", "fake")
    ]


def write_generated(path: Path, *, n_pb: int = 8, frames: int = 30, seed: int = 0) -> None:
    """Write what a network generated: a mouth that opens, less far under the PB vector of fake."""
    rng = np.random.default_rng(seed)
    neutral = np.array(NEUTRAL)
    points = np.tile(neutral, (2, frames, 1, 1))
    opening = np.sin(np.linspace(0, np.pi, frames))
    points[0, :, 33:36, 1] += 0.2 * opening[:, None]
    points[1, :, 33:36, 1] += 0.1 * opening[:, None]
    flat = points.transpose(0, 1, 3, 2).reshape(2 * frames, 80)
    names = [f"{axis}_{i}" for axis in "xy" for i in range(40)]
    write_table(
        path,
        {"share_fake": np.repeat([0.0, 1.0], frames), **dict(zip(names, flat.T, strict=True))},
        kind="generated",
        parameters={"fps": 30.0, "class_pb": rng.normal(size=(2, n_pb)).tolist(), "neutral": neutral.tolist()},
    )


def write_tracks(folder: Path, video_id: str, *, frames: int = 40, seed: int = 0, status: str = "ok") -> None:
    """Write a video's face boxes and landmarks: a face that nods, and is lost for a while; none if it is not ok."""
    rng = np.random.default_rng(seed)
    n = frames if status == "ok" else 0
    times = np.arange(n) / 30
    nod = 5 * np.sin(4 * times)
    states = np.array(["detected", *["tracked"] * 19, *["lost"] * 5, "redetected", *["tracked"] * 14], object)[:n]
    lost = states == "lost"
    columns = {"frame": np.arange(n, dtype=np.int32), "timestamp": times}
    box = {"x": 100 + 0 * nod, "y": 80 + nod, "w": 120 + 0 * nod, "h": 120 + 0 * nod}
    psr = np.where((states == "tracked") | lost, rng.gamma(20, 2, n), np.nan)
    kind: dict[str, Any] = {"parameters": {"psr_threshold": 8}, "status": status}
    write_table(
        folder / f"{video_id}_roi.parquet",
        columns | {name: np.where(lost, np.nan, side) for name, side in box.items()} | {"psr": psr, "state": states},
        kind="rois",
        **kind,
    )
    x, y = 100 + 120 * rng.random(68), 80 + 120 * rng.random(68)
    marks = {f"x_{i}": np.where(lost, np.nan, x[i]) for i in range(68)}
    marks |= {f"y_{i}": np.where(lost, np.nan, y[i] + nod) for i in range(68)}
    write_table(folder / f"{video_id}_marks.parquet", columns | {"success": ~lost} | marks, kind="landmarks", **kind)


def of_training(samples: list[dict[str, str]], column: str) -> dict[str, str]:
    """Give a column of the labelled training videos, by id."""
    return {s["video_id"]: s[column] for s in samples if s["split"] == "train" and s["label"]}


def make_run(
    folder: Path,
    *,
    n_subjects: int = 12,
    effect: float = 1.5,
    hostile: bool = False,
    trees: int = 60,
    seed: int = 0,
    emotions: Sequence[str] = EMOTIONS,
    test_labels: bool = True,
    tracks: bool = False,
) -> dict[str, Any]:
    """Write a run's files into ``folder`` with the real boosting and evaluation; give ``write_report``'s arguments.

    With ``tracks`` every video has landmarks to be played, and a contact sheet.
    """
    samples = make_samples(n_subjects, hostile, emotions)
    # One validation video without a label; two videos that cannot be used, one of them in test.
    next(sample for sample in samples if sample["split"] == "valid")["label"] = ""
    if not test_labels:
        samples = [{**s, "label": ""} if s["split"] == "test" else s for s in samples]
    bad = {
        samples[3]["video_id"]: ("no_face", "no face in the first 50 frames"),
        samples[-1]["video_id"]: ("unreadable", HOSTILE),
    }
    statuses = [bad.get(sample["video_id"], ("ok", "")) for sample in samples]

    rng = np.random.default_rng(seed)
    n = len(samples)
    write_table(
        folder / "videos.parquet",
        {
            "video_id": [sample["video_id"] for sample in samples],
            "status": [status for status, _ in statuses],
            "reason": [reason for _, reason in statuses],
            "frames": rng.integers(80, 120, n),
            "fps": np.full(n, 30.0),
            "face_share": 1 - rng.gamma(0.3, 0.05, n).clip(0, 1),
            "redetections": rng.poisson(0.2, n),
            "lowest_psr": np.where(rng.random(n) < 0.02, np.nan, rng.normal(12, 2, n)),
        },
        kind="quality",
    )
    settings = BoostingSettings(trees=trees, rate=0.2, reg_lambda=5.0)
    names = ("networks", "histories", "pb_tables", "generated", "boosting")
    files: dict[str, dict[str, Path]] = {name: {} for name in names}
    for k, emotion in enumerate(emotions):
        here = [s for s in samples if s["emotion"] == emotion and s["video_id"] not in bad]
        files["pb_tables"][emotion] = folder / f"{emotion}.parquet"
        write_pb_table(files["pb_tables"][emotion], here, effect=effect, seed=seed + k)
        files["generated"][emotion] = folder / f"{emotion}_generated.parquet"
        write_generated(files["generated"][emotion], seed=seed + k)
        files["boosting"][emotion] = folder / f"{emotion}.json"
        fit_boosting(
            files["pb_tables"][emotion],
            of_training(here, "label"),
            of_training(here, "subject"),
            folder / f"{emotion}.ubj",
            files["boosting"][emotion],
            emotion=emotion,
            settings=settings,
        )
        files["networks"][emotion] = folder / f"{emotion}_network.json"
        files["networks"][emotion].write_text(json.dumps({"device": "cpu", "software": {"torch": "2.13.0"}}))
        files["histories"][emotion] = folder / f"{emotion}.csv"
        _write_history(files["histories"][emotion], rng)
    made = folder / "report" / "videos"
    for k, (sample, (status, _)) in enumerate(zip(samples, statuses, strict=True) if tracks else ()):
        write_tracks(folder, sample["video_id"], seed=k, status=status)
        (folder / f"{sample['video_id']}.jpg").write_bytes(JPEG)
    tracked = [sample["video_id"] for sample in samples] if tracks else []
    rois, marks = ({name: folder / f"{name}_{kind}.parquet" for name in tracked} for kind in ("roi", "marks"))
    write_playback(rois, marks, made)
    evaluate(
        list(files["pb_tables"].values()),
        [folder / f"{emotion}.ubj" for emotion in emotions],
        samples,
        folder / "videos.parquet",
        folder / "predictions.csv",
        folder / "metrics.json",
    )
    return {
        **files,
        "predictions": folder / "predictions.csv",
        "metrics": folder / "metrics.json",
        "qc": folder / "videos.parquet",
        "playback_dir": made,
        "sheets_dir": folder,
        "config": {"samples": "config/samples.tsv", "demo": {"effect_size": effect}, "boosting": {"trees": trees}},
    }


def read_metrics(run: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(run["metrics"]).read_text())
    return found


def _write_history(path: Path, rng: np.random.Generator) -> None:
    epochs = np.arange(1, 41)
    loss = 0.08 * np.exp(-epochs / 6) + 0.004 + rng.normal(0, 2e-4, len(epochs))
    rate = np.where(epochs < 28, 0.01, 0.001)
    distance = 0.6 * (1 - np.exp(-epochs / 12))
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["epoch", "loss", "weight_rate", "pb_rate", "pb_norm_genuine", "pb_norm_fake", "pb_distance", "seconds"]
        )
        for row in zip(epochs, loss, rate, 90 * rate, distance / 2, distance / 2, distance, strict=True):
            writer.writerow([*row, 1.5])
