"""Landmarks from tables of OpenFace, py-feat and our own, in place of a video."""

import csv

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from clips import encode, moving

from fakeemo.augment import landmark_video
from fakeemo.errors import FakeemoError, VideoError
from fakeemo.given_landmarks import COORDINATES, read_landmarks, use_landmarks
from fakeemo.landmark_csv import write_landmark_csv
from fakeemo.tables import read_header, read_table
from fakeemo.tracking import TrackingSettings, track_video

JITTER = {"n_variants": 2, "jitter_px": (4, 2), "seed": 3}


def points(n_frames: int) -> np.ndarray:
    """Give (frames, 136) made-up positions, x_0..x_67 and then y_0..y_67."""
    return np.random.default_rng(1).uniform(50, 150, (n_frames, 136)).round(1)


def write_csv(path, columns, separator=", "):
    """Write columns as OpenFace does, with a blank behind each comma."""
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    path.write_text("\n".join(separator.join(str(cell) for cell in row) for row in rows) + "\n")
    return path


def openface(n_frames=6, **changes):
    xy = points(n_frames)
    columns = {
        "frame": range(1, n_frames + 1),
        "face_id": [0] * n_frames,
        "timestamp": [round(i / 25, 3) for i in range(n_frames)],
        "confidence": [0.98] * n_frames,
        "success": [1] * n_frames,
        "gaze_0_x": [0.1] * n_frames,
        **{name: xy[:, i] for i, name in enumerate(COORDINATES)},
        **{f"X_{i}": [9.0] * n_frames for i in range(68)},
        "AU01_r": [0.0] * n_frames,
    }
    return columns | changes


def pyfeat(frames):
    """Give columns as py-feat writes them: frames from 0, no timestamps, text among the numbers."""
    xy = points(len(frames))
    columns = {name: xy[:, i] for i, name in enumerate(COORDINATES)}
    rect = dict.fromkeys(
        ("FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight", "FaceScore"), [0.9] * len(frames)
    )
    return {"frame": frames} | rect | columns | {"input": ["clip.mp4"] * len(frames)}


def test_openface_is_read_with_its_gaps(tmp_path):
    path = write_csv(tmp_path / "a.csv", openface(success=[1, 1, 0, 1, 1, 1]))
    columns, xy = read_landmarks(path)
    assert columns["frame"].tolist() == [0, 1, 2, 3, 4, 5]
    assert columns["timestamp"].tolist() == [0, 0.04, 0.08, 0.12, 0.16, 0.2]
    assert np.isnan(xy[2]).all()
    expected = points(6)
    for i in (0, 1, 3, 4, 5):
        np.testing.assert_allclose(xy[i, :, 0], expected[i, :68], rtol=1e-6)
        np.testing.assert_allclose(xy[i, :, 1], expected[i, 68:], rtol=1e-6)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_pyfeat_is_read_with_the_frame_rate_of_the_sheet(tmp_path, kind):
    columns = pyfeat([0, 1, 2, 5, 6])
    columns["x_3"] = columns["x_3"].astype(object)
    columns["x_3"][1] = "" if kind == "csv" else None
    if kind == "csv":
        path = write_csv(tmp_path / "a.csv", columns, ",")
    else:
        path = tmp_path / "a.parquet"
        pa.parquet.write_table(pa.table({name: pa.array(list(column)) for name, column in columns.items()}), path)
    found, xy = read_landmarks(path, fps=50)
    assert found["frame"].tolist() == [0, 1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(found["timestamp"], np.arange(7) / 50)
    assert np.isnan(xy[:, 0, 0]).tolist() == [False, True, False, True, True, False, False]
    np.testing.assert_allclose(xy[5, :, 0], points(5)[3, :68], rtol=1e-6)


def test_every_other_frame_by_intent_is_no_gap(tmp_path):
    found, xy = read_landmarks(write_csv(tmp_path / "a.csv", pyfeat([0, 2, 4, 8]), ","), fps=50)
    assert found["frame"].tolist() == [0, 2, 4, 6, 8]
    assert np.isnan(xy[:, 0, 0]).tolist() == [False, False, False, True, False]


def test_rows_in_any_order_and_the_face_seen_most(tmp_path):
    columns = openface(
        6, frame=[3, 1, 2, 2, 1, 4], face_id=[7, 7, 7, 1, 1, 7], timestamp=[0.08, 0, 0.04, 0.04, 0, 0.12]
    )
    _, xy = read_landmarks(write_csv(tmp_path / "a.csv", columns))
    np.testing.assert_allclose(xy[:, :, 0], points(6)[[1, 2, 0, 5], :68], rtol=1e-6)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({k: v for k, v in openface().items() if k not in ("x_3", "y_9")}, "lacks column x_3, y_9"),
        ({k: v for k, v in openface().items() if not k.startswith(("x_", "y_"))}, r"let OpenFace write 2D landmarks"),
        ({k: v for k, v in openface().items() if k != "timestamp"}, "column fps of the"),
        ({k: v for k, v in openface(frame=[1, 2, 2, 3, 4, 5]).items() if k != "face_id"}, "several rows of frame 2"),
        (openface(timestamp=[0, 1, 1, 2, 3, 4]), "timestamp must hold seconds that rise"),
        (openface(x_3=["left"] * 6), "column x_3 must hold numbers"),
        (openface(frame=[0.5] * 6), "frame must hold whole numbers"),
        (openface(frame=[1, 2, 3, 4, 5, 10**9]), "6 frames between 0 and 999999999; are these frame numbers"),
    ],
)
def test_columns_are_checked(tmp_path, columns, words):
    with pytest.raises(VideoError, match=words) as caught:
        read_landmarks(write_csv(tmp_path / "a.csv", columns))
    assert caught.value.status == "unreadable"
    assert "a.csv: " in caught.value.reason
    assert "\n" not in caught.value.reason


def test_what_is_no_table_is_named(tmp_path):
    (tmp_path / "a.parquet").write_text("not Parquet")
    (tmp_path / "a.csv").write_bytes(b"")
    for name, status in (("a.parquet", "unreadable"), ("a.csv", "unreadable"), ("b.csv", "missing")):
        with pytest.raises(VideoError) as caught:
            read_landmarks(tmp_path / name)
        assert caught.value.status == status


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """Give a folder with the tables of a video by way of its pixels."""
    folder = tmp_path_factory.mktemp("tracked")
    video = encode(folder / "clip.mp4", moving(20, (240, 320)))
    track_video(video, folder / "rois.parquet", settings=TrackingSettings(), seed=1)
    tables = folder / "landmarks.parquet", folder / "variants.parquet"
    landmark_video(video, folder / "rois.parquet", *tables, video_id="clip", **JITTER)
    return folder


def use(table, folder, **kwargs):
    tables = [folder / f"{name}.parquet" for name in ("rois", "landmarks", "variants")]
    use_landmarks(table, *tables, video_id="clip", **JITTER, **({"min_frames": 5} | kwargs))
    return [read_table(path)[0] for path in tables]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_our_own_landmarks_come_back_as_they_were(tracked, tmp_path, kind):
    table = tracked / "landmarks.parquet"
    rois, landmarks, variants = use(write_landmark_csv(table, tmp_path) if kind == "csv" else table, tmp_path)
    before, _ = read_table(table)
    assert list(landmarks) == list(before)
    for name in before:
        np.testing.assert_allclose(landmarks[name], before[name], atol=6e-4)
    of_pixels, _ = read_table(tracked / "variants.parquet")
    assert list(variants) == list(of_pixels)
    for name in ("variant", "frame", "timestamp", "dx", "dy"):
        np.testing.assert_allclose(variants[name], of_pixels[name], atol=1e-6)
    # The box has its middle where the tracker's has, and about its size: the detector knows steps of a tenth only.
    box, _ = read_table(tracked / "rois.parquet")
    for corner, side in (("x", "w"), ("y", "h")):
        shift = rois[corner] + rois[side] / 2 - box[corner] - box[side] / 2
        assert np.abs(shift).max() < 0.05 * box["w"].mean()
        assert np.abs(rois[side] / box[side] - 1).max() < 0.2
    assert set(rois["state"]) == {"given"}
    plain = variants["variant"] == 0
    for name in ("u_0", "v_20"):
        assert np.abs(variants[name][plain] - of_pixels[name][plain]).max() < 0.2


def test_jitter_moves_the_crop_and_not_the_face(tracked, tmp_path):
    rois, landmarks, variants = use(tracked / "landmarks.parquet", tmp_path)
    one = variants["variant"] == 1
    dx, dy = variants["dx"][one], variants["dy"][one]
    assert dx[0] + dy[0] > 0
    u = 2 * (landmarks["x_30"] - (rois["x"] + dx)) / (rois["w"] - dx) - 1
    v = 2 * (landmarks["y_30"] - (rois["y"] + dy)) / (rois["h"] - dy) - 1
    np.testing.assert_allclose(variants["u_10"][one], u, atol=1e-5)  # dlib's point 30 is the tenth that is kept
    np.testing.assert_allclose(variants["v_10"][one], v, atol=1e-5)


def test_a_part_of_the_table_and_too_little_of_it(tracked, tmp_path):
    rois, *_ = use(tracked / "landmarks.parquet", tmp_path, start_s=0.2, end_s=0.6)
    assert rois["frame"].tolist() == list(range(5, 15))
    with pytest.raises(FakeemoError, match=r"landmarks\.parquet: a face in 3 of 3 frames.*\[too_short\]"):
        use(tracked / "landmarks.parquet", tmp_path, end_s=0.12)
    rois, _, variants = use(tracked / "landmarks.parquet", tmp_path, end_s=0.12, on_bad_video="skip")
    assert len(rois["frame"]) == len(variants["frame"]) == 0
    assert read_header(tmp_path / "variants.parquet")["status"] == "too_short"


def test_pandas_and_readers_of_openface_open_what_we_write(tracked, tmp_path):
    """py-feat's read_openface is pandas' read_csv and strips blanks from names; these columns are what it looks for."""
    parquet = pd.read_parquet(tracked / "landmarks.parquet")
    table = pd.read_csv(write_landmark_csv(tracked / "landmarks.parquet", tmp_path), sep=",")
    for found in (parquet, table):
        assert {"frame", "timestamp", "success", *COORDINATES} <= set(found.columns)
        assert len(found) == 20
        assert found[list(COORDINATES)].dtypes.map(lambda kind: kind.kind == "f").all()
    with pytest.raises(FakeemoError, match="holds variants; name a table of results/landmarks"):
        write_landmark_csv(tracked / "variants.parquet", tmp_path)
    rows = list(csv.reader((tmp_path / "landmarks.csv").read_text().splitlines()))
    assert rows[1][:4] == ["0", "0", "0.000000", "1"]
