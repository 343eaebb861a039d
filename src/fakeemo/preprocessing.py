"""From a video to its tables: face boxes (section 2.1 of the paper), landmarks (2.2) and jittered variants (2.4)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from fakeemo.augment import landmark_video
from fakeemo.faces import Box
from fakeemo.landmarks import Engine
from fakeemo.tracking import TrackingSettings, track_video


def preprocess_video(
    video: str | Path,
    rois: str | Path,
    landmarks: str | Path,
    variants: str | Path,
    sheet: str | Path | None = None,
    face: str | Path | None = None,
    *,
    video_id: str,
    tracking: TrackingSettings,
    seed: int,
    n_variants: int,
    jitter_px: Sequence[int],
    on_bad_video: Literal["stop", "skip"] = "stop",
    engine: Engine = "batched",
    model: str | Path | None = None,
    roi: Box | tuple[float, float, float, float] | None = None,
    roi_frame: int = 0,
    start_s: float | None = None,
    end_s: float | None = None,
) -> None:
    """Track the face of a video, then write its landmarks and those of its variants.

    ``rois``, ``landmarks``, ``variants``, ``sheet`` and ``face`` are written; all arguments and errors are those of
    :func:`fakeemo.tracking.track_video` and :func:`fakeemo.augment.landmark_video`.
    """
    track_video(
        video,
        rois,
        settings=tracking,
        seed=seed,
        on_bad_video=on_bad_video,
        roi=roi,
        roi_frame=roi_frame,
        start_s=start_s,
        end_s=end_s,
    )
    landmark_video(
        video,
        rois,
        landmarks,
        variants,
        sheet,
        face,
        video_id=video_id,
        n_variants=n_variants,
        jitter_px=jitter_px,
        seed=seed,
        engine=engine,
        model=model,
        start_s=start_s,
        end_s=end_s,
    )
