"""From video files to verdicts, by a model that the workflow has learned: what ``fakeemo predict`` does.

A video is treated as one of the test split would be. torch and xgboost must not share a process, so each stage has
processes of its own.
"""

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fakeemo.errors import FakeemoError
from fakeemo.intake import measure, out_of_range, read_intake, source
from fakeemo.progress import progress
from fakeemo.samples import emotion_names, is_table, suggestion
from fakeemo.tables import read_header

INTERVAL = (0.025, 0.975)
"""Of the variants' probabilities: the interval holds the middle 95 %."""


class Verdict(NamedTuple):
    """Hold what is said of one video.

    ``probability_of_fake`` is the calibrated score, above 0.5 the ``verdict`` is fake. ``interval`` holds the middle
    95 % of the jittered variants' probabilities: how much hangs on where exactly the face was cut out, and not how sure
    the model can be. ``status`` is ``ok``, or the word for why there is no verdict, with the ``reason``. ``warnings``
    say where the video lies outside of what the model was trained on.
    """

    video: str
    emotion: str
    status: str
    reason: str
    verdict: str | None
    probability_of_fake: float | None
    interval: tuple[float, float] | None
    n_variants: int
    quality: dict[str, float]
    warnings: list[str]
    overlay: str | None


def predict_videos(
    videos: Sequence[str | Path],
    emotion: str,
    models: str | Path,
    *,
    overlays: str | Path | None = None,
    device: str = "cpu",
    fps: float | None = None,
    synonyms: Mapping[str, str] | None = None,
) -> list[Verdict]:
    """Judge videos of one emotion, in their order.

    Args:
        videos: video files, or tables of landmarks (:mod:`fakeemo.given_landmarks`).
        emotion: which one they show, or a synonym.
        models: the folder ``results/models`` of the workflow.
        overlays: folder for copies of the videos with box and landmarks drawn in; None: none.
        device: where recognition computes: cpu, cuda or auto.
        fps: frames a second of tables of landmarks that have no timestamps.
        synonyms: further names of emotions.

    Raises:
        FakeemoError: if there is no whole model of that emotion. A video that cannot be used gets a status instead.
    """
    folder = model_folder(models, emotion, synonyms)
    intake = read_intake(folder)
    for name in ("lstm_pb.safetensors", "config.json", "boosting.ubj", "boosting.json"):
        if not (folder / name).exists():
            raise FakeemoError(f"{folder}: has no {name}; let snakemake finish there")
    names = [Path(video).stem for video in videos]
    if overlays is not None and (twice := next((name for name in names if names.count(name) > 1), None)):
        raise FakeemoError(f"two videos are called {twice}, and so would be their overlays; judge them one by one")
    with tempfile.TemporaryDirectory() as scratch:
        places = [Path(scratch) / str(k) for k in range(len(videos))]
        tasks = [(str(video), str(place), intake["settings"], fps) for video, place in zip(videos, places, strict=True)]
        with _processes(min(len(tasks), os.cpu_count() or 1)) as pool:
            list(progress(pool.map(_prepare, tasks), "looking for faces", "video", len(tasks)))
        headers = [read_header(place / "rois.parquet") for place in places]
        usable = [
            str(_variants(place)) for place, header in zip(places, headers, strict=True) if header["status"] == "ok"
        ]
        scores: dict[str, tuple[float, int, list[float]]] = {}
        if usable:
            pb = f"{scratch}/pb.parquet"
            _alone(_recognise, usable, str(folder), pb, intake["settings"], device)
            scores = _alone(_score, pb, str(folder / "boosting.ubj"))
        verdicts = []
        for video, place, header in zip(videos, places, headers, strict=True):
            verdict = _verdict(str(video), folder.name, place, header, scores.get(place.name), intake)
            if overlays is not None and header["status"] == "ok" and not is_table(video):
                verdict = verdict._replace(overlay=_overlay(str(video), place, Path(overlays)))
            verdicts.append(verdict)
        return verdicts


def model_folder(models: str | Path, emotion: str, synonyms: Mapping[str, str] | None = None) -> Path:
    """Find the model of an emotion, by its name in any letter case or by a synonym.

    Raises :class:`FakeemoError` if there is none, and says which there are.
    """
    folders = {path.name.lower(): path for path in Path(models).glob("*") if path.is_dir()}
    if not folders:
        raise FakeemoError(f"{models}: no model there; train one with snakemake, or name the folder with --models")
    names = emotion_names([name for name in folders if ".fold" not in name], synonyms)
    found = folders.get(names.get(emotion.lower(), emotion.lower()))
    if found is not None:
        return found
    if f"{emotion.lower()}.fold1" in folders:
        raise FakeemoError(
            f"{models}: '{emotion}' was learned in cross-validation, which leaves no one model of all videos; run the"
            " workflow with protocol: challenge"
        )
    known = sorted(folders)
    raise FakeemoError(
        f"{models}: no model of '{emotion}'{suggestion(emotion, known)}; there is one of {', '.join(known)}"
    )


def _prepare(task: tuple[str, str, dict[str, Any], float | None]) -> None:
    """Find face and landmarks of one video, and write its tables into a folder."""
    video, place, settings, fps = task
    folder = Path(place)
    folder.mkdir()
    rois, points, variants = folder / "rois.parquet", folder / "landmarks.parquet", _variants(folder)
    common = {"video_id": Path(video).stem, "seed": settings["seed"], **settings["variants"]}
    if is_table(video):
        from fakeemo.given_landmarks import use_landmarks

        use_landmarks(
            video,
            rois,
            points,
            variants,
            min_frames=settings["tracking"]["min_frames"],
            on_bad_video="skip",
            model=settings["landmarks"]["model"],
            fps=fps,
            **common,
        )
        return
    from fakeemo.preprocessing import preprocess_video
    from fakeemo.tracking import TrackingSettings

    tracking = TrackingSettings(**settings["tracking"])
    preprocess_video(
        video, rois, points, variants, tracking=tracking, on_bad_video="skip", **common, **settings["landmarks"]
    )


def _recognise(tables: list[str], folder: str, out: str, settings: dict[str, Any], device: str) -> None:
    from fakeemo.devices import take
    from fakeemo.recognition import RecognitionSettings, recognise_emotion

    with take(device) as taken:
        recognise_emotion(
            tables,
            folder,
            out,
            Path(out).with_suffix(".csv"),
            settings=RecognitionSettings(**settings["recognition"]),
            device=taken,
            threads=settings["torch_threads"],
            description=Path(folder).name,
        )


def _score(pb: str, model: str) -> dict[str, tuple[float, int, list[float]]]:
    """Give probability of fake, number of variants, and each variant's probability, by video id."""
    from fakeemo.boosting import predict_variants

    return {
        video: (found.score.score, found.score.n_variants, found.variants.tolist())
        for video, found in predict_variants(pb, model).items()
    }


def _verdict(
    video: str,
    emotion: str,
    place: Path,
    header: Mapping[str, Any],
    found: tuple[float, int, list[float]] | None,
    intake: Mapping[str, Any],
) -> Verdict:
    quality = measure(place / "rois.parquet")
    status, reason, warnings = header["status"], header["reason"], []
    if status == "ok":
        warnings = out_of_range(quality, source(header), intake)
        if found is None:
            status, reason = "not_scored", f"{video}: no face where the network would look for the expression"
    if found is None:
        return Verdict(video, emotion, status, reason, None, None, None, 0, quality, warnings, None)
    score, n_variants, variants = found
    low, high = np.quantile(variants, INTERVAL)
    verdict = "fake" if round(score, 6) > 0.5 else "genuine"
    return Verdict(
        video, emotion, status, reason, verdict, score, (float(low), float(high)), n_variants, quality, warnings, None
    )


def _overlay(video: str, place: Path, folder: Path) -> str:
    from fakeemo.overlay import write_overlay

    folder.mkdir(parents=True, exist_ok=True)
    out = folder / f"{Path(video).stem}_overlay.mp4"
    write_overlay(video, out, rois=place / "rois.parquet", landmarks=place / "landmarks.parquet")
    return str(out)


def _variants(place: Path) -> Path:
    """Name the table of variants; recognition calls a video by it."""
    return place / f"{place.name}.parquet"


def _alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call ``function`` in a new process, and give what it gives."""
    with _processes(1) as pool:
        return pool.submit(function, *arguments).result()


def _processes(number: int) -> ProcessPoolExecutor:
    # A fork would carry the libraries that are loaded here along, and threads that no longer run.
    return ProcessPoolExecutor(number, mp_context=get_context("spawn"))
