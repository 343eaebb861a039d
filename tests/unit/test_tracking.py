"""The track of one face through a clip: every frame has a row, and a box only where the face is."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clips import BAD, FACELESS, GOOD, Case, astronaut, encode, moving, scene, stranger, without_privileges

from fakeemo.errors import FakeemoError, VideoError
from fakeemo.faces import Box, centre, overlap
from fakeemo.tables import read_table
from fakeemo.tracking import UNITS, TrackingSettings, track, track_video
from fakeemo.video import Frame

SHAPE = (240, 320)
DEFAULTS = TrackingSettings()


def frames(images: Iterable[np.ndarray], fps: float = 25.0) -> list[Frame]:
    return [Frame(i, i / fps, image) for i, image in enumerate(images)]


def face_at(x: float, y: float = 120, side: float = 90, person=None, noise: int = 1) -> np.ndarray:
    return scene(SHAPE, (person or astronaut(), x, y, side), noise=noise)


def empty(noise: int = 1) -> np.ndarray:
    return scene(SHAPE, noise=noise)


def boxes(columns: dict[str, np.ndarray]) -> list[Box]:
    return [Box(*row) for row in zip(*(columns[name] for name in "xywh"), strict=True)]


def middles(columns: dict[str, np.ndarray]) -> np.ndarray:
    return np.array([centre(box) for box in boxes(columns)])


def check(columns: dict[str, np.ndarray], n_frames: int) -> None:
    """Assert what holds for every table."""
    assert len(columns["frame"]) == n_frames
    states = columns["state"]
    assert set(states) <= {"detected", "tracked", "redetected", "lost", "absent"}
    away = np.isin(states, ["lost", "absent"])
    for name in "xywh":
        assert (np.isnan(columns[name]) == away).all()
    assert not (states == "lost")[: np.argmax(~away)].any()  # absent until the first box, never again after it
    assert not (states == "absent")[np.argmax(~away) :].any()
    assert list(states).count("detected") == 1
    assert np.isfinite(columns["psr"][states == "tracked"]).all()
    assert (columns["psr"][states == "tracked"] >= DEFAULTS.psr_threshold).all()


def test_a_moving_face_is_followed():
    xs = [120 + 1.5 * i for i in range(40)]
    columns = track(frames(face_at(x, noise=i + 1) for i, x in enumerate(xs)), DEFAULTS, seed=1)
    check(columns, 40)
    assert list(columns["state"]) == ["detected"] + ["tracked"] * 39
    travelled = middles(columns) - middles(columns)[0]
    assert np.allclose(travelled[:, 0], np.array(xs) - xs[0], atol=1)
    assert np.allclose(travelled[:, 1], 0, atol=1)
    assert columns["n_candidates"][0] == 1
    assert columns["confidence"][0] > 0
    assert np.isfinite(columns["confidence"][1:]).any()  # the detector's checks


def test_a_face_that_comes_late_goes_and_comes_back():
    images = [empty(i + 1) for i in range(15)]
    images += [face_at(150, noise=i + 1) for i in range(20)]
    images += [empty(i + 50) for i in range(15)]
    images += [face_at(200, noise=i + 70) for i in range(20)]
    columns = track(frames(images), DEFAULTS, seed=1)
    check(columns, 70)
    states = list(columns["state"])
    assert states[:15] == ["absent"] * 15
    assert states[15] == "detected"
    assert states[16:35] == ["tracked"] * 19
    assert states[35:50] == ["lost"] * 15
    assert "redetected" in states[50:53]
    assert states[53:] == ["tracked"] * 17
    assert np.allclose(middles(columns)[55:, 0], 200, atol=8)


def test_an_occluded_face_is_lost_not_frozen():
    def covered(i: int) -> np.ndarray:
        image = face_at(150, noise=i + 1)
        image[50:200, 80:230] = np.random.default_rng(7).integers(90, 130, (150, 150))
        return image

    images = [face_at(150, noise=i + 1) for i in range(15)]
    images += [covered(i) for i in range(15)]
    images += [face_at(150, noise=i + 40) for i in range(15)]
    columns = track(frames(images), DEFAULTS, seed=1)
    check(columns, 45)
    states = list(columns["state"])
    assert set(states[15:30]) == {"lost"}
    assert (columns["psr"][15:16] < DEFAULTS.psr_threshold).all()
    assert "redetected" in states[30:32]
    assert set(states[32:]) == {"tracked"}


def test_a_face_that_fades_into_a_wall_is_taken_back():
    """The filter learns the wall as it comes through, and stays sure of it: the detector is what notices."""
    wall, face = empty(0).astype(float), face_at(150, noise=0).astype(float)
    fade = np.clip((np.arange(180) - 30) / 100, 0, 1)
    rng = np.random.default_rng(0)
    images = [wall * f + face * (1 - f) + rng.normal(0, 2, SHAPE) for f in fade]
    columns = track(frames(image.clip(0, 255).astype(np.uint8) for image in images), DEFAULTS, seed=1)
    check(columns, 180)
    states = list(columns["state"])
    assert set(states[1:60]) == {"tracked"}
    assert set(states[100:]) == {"lost"}
    assert (columns["psr"][100:120] > 2 * DEFAULTS.psr_threshold).all()  # by its word it would have gone on


def test_a_false_face_is_not_a_track():
    """What both cascades take for a face in one frame only is taken back, whatever the filter says."""
    face, wall = face_at(150).astype(float), empty(1).astype(float)
    fade = [0, 0.3, 0.5, 0.65, *[0.75] * 40]
    clip = frames((wall * f + face * (1 - f)).astype(np.uint8) for f in fade)
    assert list(track(clip[:4], replace(DEFAULTS, min_frames=1), seed=1)["state"]) == ["detected"] + ["tracked"] * 3
    with pytest.raises(VideoError) as raised:
        track(clip, DEFAULTS, seed=1)
    assert raised.value.status == "no_face"


@pytest.mark.parametrize(("choice", "x"), [("largest", 80), ("lowest", 250), ("central", 165)])
def test_choice_among_several_faces(choice, x):
    image = scene(
        (240, 330), (astronaut(), 80, 90, 90), (stranger(0), 250, 175, 70), (stranger(5), 165, 120, 60), noise=1
    )
    settings = replace(DEFAULTS, face_choice=choice, min_frames=1)
    columns = track(frames([image] * 3), settings, seed=1)
    assert centre(boxes(columns)[0])[0] == pytest.approx(x, abs=10)
    assert columns["n_candidates"][0] == 3
    assert np.isnan(columns["n_candidates"][1:]).all()


def test_a_track_does_not_go_over_to_a_bystander():
    mine, other = (astronaut(), 100, 120, 110), (stranger(0), 320, 130, 80)
    returned = (astronaut(), 130, 120, 110)
    cast = [(mine, other)] * 12 + [(other,)] * 12 + [(returned, other)] * 12
    columns = track(frames(scene((240, 400), *who, noise=i + 1) for i, who in enumerate(cast)), DEFAULTS, seed=1)
    check(columns, 36)
    states = list(columns["state"])
    assert states[12:24] == ["lost"] * 12
    assert (columns["n_candidates"][12:24] == 1).all()  # the bystander was seen, and left alone
    assert states.count("redetected") == 1
    assert np.allclose(middles(columns)[32:, 0], 130, atol=10)


def test_a_bystander_who_takes_the_place_of_the_face_is_not_followed():
    images = [face_at(150, noise=i + 1) for i in range(12)]
    images += [face_at(150, person=stranger(0), noise=i + 1) for i in range(12)]
    columns = track(frames(images), DEFAULTS, seed=1)
    check(columns, 24)
    assert set(columns["state"][12:]) == {"lost"}


def test_scale():
    sides = [60 * 2 ** (i / 60) for i in range(61)]
    clip = frames(face_at(160, side=side, noise=i + 1) for i, side in enumerate(sides))
    columns = track(clip, DEFAULTS, seed=1)
    check(columns, 61)
    assert list(columns["state"][1:]) == ["tracked"] * 60
    growth = columns["w"] / columns["w"][0]
    assert np.allclose(growth, np.array(sides) / 60, rtol=0.05)
    fixed = track(clip[:20], replace(DEFAULTS, scale="fixed"), seed=1)
    assert np.ptp(fixed["w"]) == 0


def test_roi_takes_the_place_of_detection():
    images = [
        scene((240, 400), (astronaut(), 90 + i, 120, 110), (stranger(0), 300, 130, 80), noise=i + 1) for i in range(20)
    ]
    roi = Box(262.0, 92.0, 76.0, 76.0)
    columns = track(frames(images), DEFAULTS, seed=1, roi=roi, roi_frame=4)
    check(columns, 20)
    assert list(columns["state"]) == ["absent"] * 4 + ["detected"] + ["tracked"] * 15
    assert boxes(columns)[4] == roi
    assert all(overlap(box, roi) > 0.8 for box in boxes(columns)[4:])


def test_roi_on_what_the_detector_does_not_know():
    """An upside-down face: the user's word holds, and the detector's silence does not end the track."""
    images = [np.ascontiguousarray(face_at(150 + i, noise=i + 1)[::-1]) for i in range(80)]
    columns = track(frames(images), DEFAULTS, seed=1, roi=Box(105, 75, 90, 90))
    check(columns, 80)
    assert list(columns["state"][1:]) == ["tracked"] * 79
    assert middles(columns)[-1, 0] == pytest.approx(150 + 79, abs=4)


@pytest.mark.parametrize(
    ("roi", "roi_frame", "part"),
    [
        (Box(300, 100, 90, 90), 0, "320 x 240"),
        (Box(-5, 10, 90, 90), 0, "-5,10,90,90"),
        (Box(10, 10, 2, 90), 0, "10,10,2,90"),
        (Box(100, 80, 90, 90), 99, "roi_frame 99"),
    ],
)
def test_bad_roi(roi, roi_frame, part):
    with pytest.raises(VideoError, match=part) as raised:
        track(frames([face_at(150)] * 12), DEFAULTS, seed=1, roi=roi, roi_frame=roi_frame)
    assert raised.value.status == "bad_roi"


def test_no_face_too_few_and_none_in_time():
    for images, settings, status in (
        ([empty(i) for i in range(12)], DEFAULTS, "no_face"),
        ([empty(1)] * 5 + [face_at(150)] * 4, DEFAULTS, "too_short"),
        ([empty(1)] * 20 + [face_at(150)] * 12, replace(DEFAULTS, search_s=0.4), "no_face"),
        ([], DEFAULTS, "too_short"),
    ):
        with pytest.raises(VideoError) as raised:
            track(frames(images), settings, seed=1)
        assert raised.value.status == status
    late = frames([empty(1)] * 20 + [face_at(150)] * 12)
    assert track(late, replace(DEFAULTS, search_s=1.0), seed=1)["state"][20] == "detected"


def test_seed_decides():
    clip = frames(face_at(120 + i, noise=i + 1) for i in range(12))
    one, again, other = (track(clip, DEFAULTS, seed=seed) for seed in (1, 1, 2))
    for name in one:
        assert one[name].tolist() == again[name].tolist() or np.array_equal(one[name], again[name], equal_nan=True)
    assert not np.array_equal(one["psr"], other["psr"], equal_nan=True)


def test_table(tmp_path: Path):
    video = encode(tmp_path / "a.mp4", moving(20))
    out = tmp_path / "rois" / "a.parquet"
    track_video(video, out, settings=DEFAULTS, seed=3, start_s=0.2)
    columns, header = read_table(out)
    assert header["kind"] == "rois"
    assert header["status"] == "ok"
    assert header["parameters"]["psr_threshold"] == DEFAULTS.psr_threshold
    assert header["parameters"]["start_s"] == 0.2
    assert set(header["units"]) <= set(columns)
    assert list(columns) == ["frame", "timestamp", "x", "y", "w", "h", "psr", "confidence", "state", "n_candidates"]
    assert columns["frame"].tolist() == list(range(5, 20))
    check(columns, 15)


def test_stop_and_skip(tmp_path: Path):
    out = tmp_path / "a.parquet"
    with pytest.raises(FakeemoError) as raised:
        track_video(tmp_path / "nowhere.mp4", out, settings=DEFAULTS, seed=1)
    message = str(raised.value)
    assert "nowhere.mp4" in message
    assert "no such file" in message
    assert "on_bad_video: skip" in message
    assert "\n" not in message
    assert not out.exists()
    track_video(tmp_path / "nowhere.mp4", out, settings=DEFAULTS, seed=1, on_bad_video="skip")
    columns, header = read_table(out)
    assert (header["status"], len(columns["frame"])) == ("missing", 0)
    assert "nowhere.mp4: no such file" in header["reason"]


@pytest.mark.parametrize("case", [*GOOD, *BAD, *FACELESS], ids=lambda case: case.name)
def test_every_kind_of_file(case: Case, tmp_path: Path):
    """A usable file gives a row with a box for every frame; any other gives no row, a status and one line."""
    path = case.make(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o777)
    out = tmp_path / "out" / "rois.parquet"
    settings = replace(DEFAULTS, min_frames=1) if case.status == "ok" else DEFAULTS
    with without_privileges(tmp_path):
        track_video(path, out, settings=settings, seed=1, on_bad_video="skip")
        if case.status != "ok":
            with pytest.raises(FakeemoError, match="on_bad_video: skip"):
                track_video(path, out, settings=settings, seed=1)
    columns, header = read_table(out)
    assert header["status"] == case.status
    if case.status == "ok":
        wanted = case.frames()
        check(columns, len(wanted))
        assert list(columns["state"]) == ["detected"] + ["tracked"] * (len(wanted) - 1)
        width = wanted[0].shape[1]
        drift = middles(columns)[:, 0] - (0.45 * width + 1.5 * np.arange(len(wanted)))
        assert np.abs(drift).max() < 0.04 * width  # upright, and on the face
    else:
        assert len(columns["frame"]) == 0
        assert str(path) in header["reason"]
        assert case.part in header["reason"]
        assert "\n" not in header["reason"]


def test_units_name_columns():
    columns = track(frames([face_at(150)] * 12), DEFAULTS, seed=1)
    assert set(UNITS) <= set(columns)
