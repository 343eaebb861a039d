"""What the page gets to play a video: read back from the script as the page reads it."""

import base64
import json

import numpy as np
import pytest
from report_inputs import write_tracks

from fakeemo.playback import packed, playback, write_playback
from fakeemo.tables import read_table


def unpacked(found):
    numbers = np.frombuffer(base64.b64decode(found["data"]), "<u2").astype(float).reshape(-1, found["n"], 2)
    return np.where(numbers == 65535, np.nan, np.array(found["low"]) + found["unit"] * numbers)


def test_a_script_hands_over_the_tables(tmp_path):
    write_tracks(tmp_path, "a")
    rois, marks = tmp_path / "a_roi.parquet", tmp_path / "a_marks.parquet"
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "stale.js").touch()
    write_playback({"a": rois}, {"a": marks}, tmp_path / "videos")
    (script,) = (tmp_path / "videos").iterdir()
    text = script.read_text()
    assert text.startswith("fakeemo.video({")
    assert text.endswith(");\n")
    found = json.loads(text.removeprefix("fakeemo.video(").removesuffix(");\n"))
    boxes, _ = read_table(rois)
    points, _ = read_table(marks)
    np.testing.assert_allclose(found["time"], boxes["timestamp"], atol=1e-4)
    assert [None if np.isnan(psr) else pytest.approx(psr, abs=0.051) for psr in boxes["psr"]] == found["psr"]
    assert [state for state, n in found["states"] for _ in range(n)] == boxes["state"].tolist()
    assert found["threshold"] == 8
    for name, axis in (("x", 0), ("y", 1)):
        expected = np.stack([points[f"{name}_{i}"] for i in range(68)], axis=1)
        np.testing.assert_allclose(unpacked(found["points"])[..., axis], expected, atol=0.01)
    np.testing.assert_allclose(unpacked(found["box"])[:, 1, 0], boxes["x"] + boxes["w"], atol=0.01)
    assert np.isnan(unpacked(found["points"])[22]).all()


def test_a_video_without_a_face_has_a_script_too(tmp_path):
    write_tracks(tmp_path, "a", status="unreadable")
    found = playback("a", tmp_path / "a_roi.parquet", tmp_path / "a_marks.parquet")
    assert (found["time"], found["states"], found["points"]["data"]) == ([], [], "")


@pytest.mark.parametrize("points", [np.full((3, 2, 2), np.nan), np.ones((3, 2, 2)), np.zeros((0, 2, 2))])
def test_nothing_and_a_point_are_packed(points):
    np.testing.assert_allclose(unpacked(packed(points)), points)


def test_packing_keeps_16_bits_of_the_range():
    points = np.random.default_rng(0).normal(size=(50, 68, 2)) * (300, 100)
    points[7, 3] = np.nan
    found = unpacked(packed(points))
    np.testing.assert_allclose(found, points, atol=np.ptp(points[np.isfinite(points)]) / 65534)
