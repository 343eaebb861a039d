import weakref

import av
import dlib
import numpy as np
import pytest
import skimage.data

from fakeemo import augment, faces, landmarks
from fakeemo.errors import FakeemoError, VideoError
from fakeemo.face_picture import face_crop, read_face
from fakeemo.tables import read_table, write_table
from fakeemo.video import read_frames

N_FRAMES = 24
BOX = (174.0, 64.0, 99.0, 99.0)
LOST = (5, 6, 23)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Write a real video: the portrait, drifting a pixel a frame, with noise."""
    path = tmp_path_factory.mktemp("video") / "portrait.mp4"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 400
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 4_000_000
        for i in range(N_FRAMES):
            image = skimage.data.astronaut()[:400, i : i + 400] + rng.normal(0, 3, (400, 400, 3))
            frame = av.VideoFrame.from_ndarray(np.clip(image, 0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_rois(path, n_frames=N_FRAMES, lost=LOST, status="ok", reason="", box=BOX):
    boxes = np.array([(box[0] - i, box[1] + 0.3 * i, *box[2:]) for i in range(n_frames)]).reshape(-1, 4)
    boxes[[i for i in lost if i < n_frames]] = np.nan
    columns = {
        "frame": np.arange(n_frames, dtype=np.int32),
        "timestamp": np.arange(n_frames) / 25,
        **{name: boxes[:, i] for i, name in enumerate("xywh")},
        "state": np.where(np.isnan(boxes[:, 0]), "lost", "tracked").astype(object),
    }
    write_table(path, columns, kind="rois", status=status, reason=reason)
    return boxes


def test_the_face_is_cut_out_of_the_first_frame_with_one(video, tmp_path):
    boxes = write_rois(tmp_path / "rois.parquet", lost=(0, 1, 5))
    run(video, tmp_path, face_out=tmp_path / "face.png")
    frames = [frame.image for frame in read_frames(video)]
    assert (read_face(tmp_path / "face.png") == face_crop(frames[2], boxes[2])).all()
    write_rois(tmp_path / "rois.parquet", n_frames=0, status="no_face", reason="nobody")
    run(video, tmp_path, face_out=tmp_path / "face.png")
    assert (read_face(tmp_path / "face.png") == 128).all()


def run(video, folder, **changes):
    settings = {"video_id": "s1_happy", "n_variants": 3, "jitter_px": (19, 9), "seed": 7}
    out = folder / "landmarks.parquet", folder / "variants.parquet"
    augment.landmark_video(video, folder / "rois.parquet", *out, **settings | changes)
    return read_table(out[0]), read_table(out[1])


@pytest.fixture(scope="module", params=["batched", "dlib"])
def tables(request, video, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    boxes = write_rois(folder / "rois.parquet")
    return boxes, request.param, *run(video, folder, engine=request.param)


def points_of(table, names="xy", n=68):
    return np.stack([[table[f"{name}_{i}"] for i in range(n)] for name in names], axis=-1).swapaxes(0, 1)


def test_landmarks_table(tables):
    _, engine, (table, header), _ = tables
    coordinates = [f"{axis}_{i}" for axis in "xy" for i in range(68)]
    assert list(table) == ["frame", "timestamp", "success", *coordinates]
    assert table["frame"].tolist() == list(range(N_FRAMES))
    np.testing.assert_allclose(table["timestamp"], np.arange(N_FRAMES) / 25)
    assert table["success"].tolist() == [int(i not in LOST) for i in range(N_FRAMES)]
    points = points_of(table)
    assert points.dtype == np.float32
    assert np.isnan(points[list(LOST)]).all()
    assert np.isfinite(np.delete(points, LOST, axis=0)).all()
    assert header["kind"] == "landmarks"
    assert header["status"] == "ok"
    assert set(header["units"].values()) == {"px", "s"}
    assert header["parameters"]["engine"] == engine
    assert header["parameters"]["model"] == "shape_predictor_68_face_landmarks.dat"
    assert len(header["parameters"]["model_sha256"]) == 64
    assert {"numpy", "numba", "dlib-bin", "av"} <= set(header["software"])


def test_landmarks_are_those_of_dlib_on_each_frame(tables, video):
    boxes, _, (table, _), _ = tables
    predictor = dlib.shape_predictor(str(landmarks.default_model()))
    rounded = np.floor(points_of(table).astype(float) + 0.5)
    for frame, box, points in zip(read_frames(video), boxes, rounded, strict=True):
        if np.isnan(box[0]):
            continue
        x, y, w, h = (int(np.floor(value + 0.5)) for value in faces.predictor_box(faces.Box(*box)))
        parts = predictor(frame.image, dlib.rectangle(x, y, x + w - 1, y + h - 1)).parts()
        assert points.tolist() == [[part.x, part.y] for part in parts]


def test_variants_table(tables, video):
    """Every row against its definition, computed here for one frame and variant at a time."""
    boxes, engine, (landmark_table, _), (table, header) = tables
    coordinates = [f"{axis}_{i}" for axis in "uv" for i in range(40)]
    assert list(table) == ["variant", "frame", "timestamp", "dx", "dy", *coordinates]
    assert table["variant"].tolist() == [variant for variant in range(4) for _ in range(N_FRAMES)]
    assert table["frame"].tolist() == list(range(N_FRAMES)) * 4
    np.testing.assert_array_equal(table["timestamp"], np.tile(landmark_table["timestamp"], 4))
    assert table["timestamp"].dtype == np.float64
    assert header["units"]["timestamp"] == "s"
    assert header["kind"] == "variants"
    assert header["parameters"]["jitter_px"] == [19, 9]
    features = points_of(table, "uv", 40)
    assert features.dtype == np.float32

    predictor = landmarks.load_predictor(engine)
    images = [frame.image for frame in read_frames(video)]
    for row, (frame, dx, dy) in enumerate(zip(table["frame"], table["dx"], table["dy"], strict=True)):
        x, y, w, h = boxes[frame]
        if np.isnan(x):
            assert np.isnan(features[row]).all()
            continue
        left, top, width, height = x + dx, y + dy, w - dx, h - dy
        mapped = faces.predictor_box(faces.Box(left, top, width, height))
        points = predictor.predict(images[frame], np.floor(np.array([mapped]) + 0.5).astype(int))[0]
        if row < N_FRAMES:
            np.testing.assert_array_equal(points, points_of(landmark_table)[row])
        chosen = landmarks.select(points).astype(float)
        expected = np.stack([2 * (chosen[:, 0] - left) / width - 1, 2 * (chosen[:, 1] - top) / height - 1], axis=-1)
        np.testing.assert_allclose(features[row], expected, atol=1e-6)
    assert np.nanmax(np.abs(features)) < 1.3  # of the order of the crop


def test_one_row_of_offsets_for_each_variant(tables):
    *_, (table, _) = tables
    drawn = augment.offsets("s1_happy", 3, (19, 9), 7)
    for variant in range(4):
        of_variant = table["variant"] == variant
        assert set(table["dx"][of_variant]) == {drawn[variant, 0]}
        assert set(table["dy"][of_variant]) == {drawn[variant, 1]}
    assert drawn[0].tolist() == [0, 0]
    assert drawn[1:].any()


def test_offsets_are_the_same_on_every_machine():
    assert augment.offsets("s1_happy", 4, (19, 9), 7).tolist() == [[0, 0], [5, 4], [13, 6], [8, 6], [6, 4]]


def test_offsets_cover_their_range_evenly():
    drawn = augment.offsets("x", 20_000, (19, 9), 0)[1:]
    for axis, n in ((0, 20), (1, 10)):
        counts = np.bincount(drawn[:, axis], minlength=n)
        assert len(counts) == n
        assert abs(counts / len(drawn) * n - 1).max() < 0.1
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.03


def test_offsets_depend_on_seed_and_video_and_not_on_their_number():
    base = augment.offsets("a", 10, (19, 9), 0)
    np.testing.assert_array_equal(augment.offsets("a", 100, (19, 9), 0)[:11], base)
    assert (augment.offsets("b", 10, (19, 9), 0) != base).any()
    assert (augment.offsets("a", 10, (19, 9), 1) != base).any()
    assert not augment.offsets("a", 10, (0, 0), 0).any()


def test_jittered_boxes_lose_pixels_at_left_and_top_only():
    box = np.array([10.5, 20.0, 100.0, 80.0])
    crops = augment.jittered(box, np.array([[0, 0], [19, 9]]))
    np.testing.assert_array_equal(crops, [[10.5, 20, 100, 80], [29.5, 29, 81, 71]])


def test_predictor_boxes_are_those_of_faces_rounded():
    boxes = np.array([[10.2, 20.7, 100.0, 100.0], [-5.5, 3.0, 61.3, 61.3]])
    for box, whole in zip(boxes, augment.predictor_boxes(boxes), strict=True):
        mapped = np.array(faces.predictor_box(faces.Box(*box)))
        assert np.abs(whole - mapped).max() <= 0.5
    assert augment.predictor_boxes(np.empty((0, 4))).shape == (0, 4)


def test_normalised_corners_and_centre():
    crop = np.array([[30.0, 40.0, 80.0, 60.0]])
    points = np.array([[[30, 40], [110, 100], [70, 70], [110, 40]]], np.float32)
    np.testing.assert_array_equal(augment.normalised(points, crop), [[[-1, -1], [1, 1], [0, 0], [1, -1]]])


def test_a_point_keeps_its_place_when_the_crop_is_put_back():
    """The offset is subtracted: undoing the scaling gives the same pixels from every crop."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 500, (1, 40, 2)).astype(np.float32)
    box = np.array([100.0, 80.0, 200.0, 200.0])
    for crop in augment.jittered(box, augment.offsets("a", 5, (19, 9), 0)):
        scaled = augment.normalised(points, crop[None]).astype(float)
        np.testing.assert_allclose((scaled + 1) / 2 * crop[2:] + crop[:2], points, atol=1e-3)


@pytest.mark.parametrize("n_rows", [0, 9])
def test_status_of_a_bad_video_is_passed_on(tmp_path, n_rows):
    """The video file is not even opened."""
    write_rois(tmp_path / "rois.parquet", n_rows, status="no_face", reason="no face found in 9 frames")
    good, variants = run(tmp_path / "missing.mp4", tmp_path)
    for table, header in (good, variants):
        assert header["status"] == "no_face"
        assert header["reason"] == "no face found in 9 frames"
        assert {len(column) for column in table.values()} == {0}
    assert list(good[0]) == ["frame", "timestamp", "success", *(f"{a}_{i}" for a in "xy" for i in range(68))]
    assert variants[0]["u_0"].dtype == np.float32


@pytest.mark.parametrize("n_rows", [N_FRAMES - 1, N_FRAMES + 1])
def test_other_number_of_frames(video, tmp_path, n_rows):
    write_rois(tmp_path / "rois.parquet", n_rows)
    with pytest.raises(FakeemoError, match=rf"portrait\.mp4: {N_FRAMES} frames were decoded.*has {n_rows};"):
        run(video, tmp_path)
    assert not (tmp_path / "landmarks.parquet").exists()


@pytest.mark.parametrize(("jitter", "word"), [((99, 9), "wide"), ((19, 120), "high")])
def test_jitter_larger_than_the_box(video, tmp_path, jitter, word):
    write_rois(tmp_path / "rois.parquet")
    with pytest.raises(FakeemoError, match=f"video s1_happy: a jitter of up to .* only 99.0 px {word}"):
        run(video, tmp_path, jitter_px=jitter)


def test_missing_video(tmp_path):
    write_rois(tmp_path / "rois.parquet")
    with pytest.raises(VideoError, match="no such file"):
        run(tmp_path / "missing.mp4", tmp_path)


def test_two_runs_give_identical_files(video, tmp_path):
    write_rois(tmp_path / "rois.parquet")
    written = []
    for _ in range(2):
        run(video, tmp_path)
        written.append([(tmp_path / f"{name}.parquet").read_bytes() for name in ("landmarks", "variants")])
    assert written[0] == written[1]


def test_batching_does_not_matter(video, tmp_path):
    """From batches of many frames to frames with more crops than a batch: the landmarks stay the same."""
    write_rois(tmp_path / "rois.parquet")
    (expected, _), _ = run(video, tmp_path)
    for n_variants in (0, 1, 200):
        (table, _), (variants, _) = run(video, tmp_path, n_variants=n_variants)
        np.testing.assert_array_equal(points_of(table), points_of(expected))
        assert len(variants["frame"]) == (n_variants + 1) * N_FRAMES


def test_no_face_in_any_frame_of_a_usable_video(video, tmp_path):
    write_rois(tmp_path / "rois.parquet", lost=range(N_FRAMES))
    (table, _), (variants, _) = run(video, tmp_path)
    assert not table["success"].any()
    assert np.isnan(points_of(table)).all()
    assert len(variants["frame"]) == 4 * N_FRAMES


def test_part_of_a_video(video, tmp_path):
    """start_s and end_s decide which frames the rows of the face boxes are about."""
    write_rois(tmp_path / "rois.parquet", 10, lost=())
    with pytest.raises(FakeemoError, match="24 frames were decoded"):
        run(video, tmp_path)
    (table, header), _ = run(video, tmp_path, start_s=0.2, end_s=0.6)
    assert table["success"].all()
    assert header["parameters"]["start_s"] == 0.2


def test_decodes_once_and_holds_no_frames(video, tmp_path, monkeypatch):
    """However long the clip: a frame is let go before the next but one comes."""
    calls, seen, most = [], [], 0

    def counted(*args):
        nonlocal most
        calls.append(args)
        for frame in read_frames(*args):
            seen.append(weakref.ref(frame.image))
            most = max(most, sum(image() is not None for image in seen))
            yield frame

    monkeypatch.setattr(augment, "read_frames", counted)
    write_rois(tmp_path / "rois.parquet")
    run(video, tmp_path)
    assert len(calls) == 1
    assert len(seen) == N_FRAMES
    assert most <= 3
