import weakref
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from clips import astronaut, encode, moving, scene

from fakeemo import overlay
from fakeemo.augment import landmark_video
from fakeemo.cli import main
from fakeemo.contact_sheet import STATES
from fakeemo.errors import FakeemoError
from fakeemo.overlay import write_overlay
from fakeemo.tables import read_table, write_table
from fakeemo.tracking import TrackingSettings, track_video
from fakeemo.video import probe, read_frames

IRREGULAR = [0, 40, 60, 200, 240, 250, 400, 1000, 1040, 1080, 1090, 1100, 1133, 1167]  # ms
BAND = 45  # px at the top, at most, in which the words stand


def face_comes_and_goes():
    for i in range(80):
        face = [] if i < 5 or 35 <= i < 55 else [(astronaut(), 140 + 0.4 * i, 140, 90)]
        yield scene((240, 320), *face, noise=i + 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Make a clip, and its tables as the workflow makes them."""
    folder = tmp_path_factory.mktemp("overlay")
    make_tables(encode(folder / "clip.mp4", face_comes_and_goes()), folder)
    return folder


def make_tables(video, folder, **span):
    rois, *out = (folder / f"{name}.parquet" for name in ("rois", "landmarks", "variants"))
    track_video(video, rois, settings=TrackingSettings(), seed=0, **span)
    landmark_video(video, rois, *out, video_id="clip", n_variants=0, jitter_px=(0, 0), seed=0, **span)


def tables(folder):
    return {name: folder / f"{name}.parquet" for name in ("rois", "landmarks")}


@pytest.fixture(scope="module")
def drawn(folder):
    """Draw the clip from its tables; give its frames and the drawn ones."""
    write_overlay(folder / "clip.mp4", folder / "drawn.mp4", **tables(folder))
    return [list(read_frames(folder / name, "bgr")) for name in ("clip.mp4", "drawn.mp4")]


def near(image, colour, tolerance=60):
    return np.abs(image.astype(int) - colour).max(axis=-1) < tolerance


def yellow(image):
    """Say for each pixel whether it is part of a landmark; the clips are grey, other marks are not yellow."""
    b, g, r = np.moveaxis(image.astype(int), -1, 0)
    return np.minimum(g, r) - b > 40


def test_every_landmark_is_drawn_and_the_rest_of_the_picture_is_not(folder, drawn):
    points, _ = read_table(folder / "landmarks.parquet")
    before, after = drawn
    n_faces = 0
    for row, (old, new) in enumerate(zip(before, after, strict=True)):
        if not points["success"][row]:
            continue
        n_faces += 1
        changed = np.abs(new.image.astype(int) - old.image).max(axis=-1)
        for i in range(68):
            x, y = round(float(points[f"x_{i}"][row])), round(float(points[f"y_{i}"][row]))
            assert changed[y, x] > 25
            assert yellow(new.image)[y - 1 : y + 2, x - 1 : x + 2].any()
        assert changed[BAND:, :60].mean() < 5
        assert not yellow(new.image)[BAND:, :60].any()
    assert n_faces > 50


def test_box_has_the_colour_of_its_state(folder, drawn):
    rois, _ = read_table(folder / "rois.parquet")
    assert set(rois["state"]) == set(STATES)
    for row in np.flatnonzero(np.isfinite(rois["x"])):
        left, right, y = (round(float(v)) for v in (rois["x"][row], rois["x"][row] + rois["w"][row], rois["y"][row]))
        edge = drawn[1][row].image[y - 2 : y + 2, left + 5 : right - 5].mean(axis=1)
        line = edge[np.ptp(edge, axis=1).argmax()]
        likeness = {state: np.corrcoef(line, STATES[state])[0, 1] for state in ("detected", "tracked", "redetected")}
        assert max(likeness, key=likeness.__getitem__) == rois["state"][row]


@pytest.mark.parametrize(("state", "stretch"), [("absent", range(5)), ("lost", range(35, 55))])
def test_frames_without_a_face_have_a_border_and_no_landmarks(folder, drawn, state, stretch):
    rois, _ = read_table(folder / "rois.parquet")
    border = np.ones((240, 320), bool)
    border[2:-2, 2:-2] = False
    for row in stretch:
        assert rois["state"][row] == state
        image = drawn[1][row].image
        assert near(image, STATES[state])[border].mean() > 0.9
        assert not yellow(image)[BAND:-10, 10:-10].any()
    assert not near(drawn[1][20].image, STATES[state])[border].mean() > 0.5


def test_words_differ_from_frame_to_frame(drawn):
    """The number of the frame and its time stand in the upper line, state and PSR in the lower."""
    bands = [near(frame.image[:BAND], (255, 255, 255), 90) for frame in drawn[1]]
    assert all(band.mean() > 0.02 for band in bands)
    for one, other in ((0, 1), (20, 21), (40, 41)):
        assert (bands[one] != bands[other]).sum() > 5


def test_a_video_alone_is_tracked_first(folder, drawn, tmp_path, capsys, monkeypatch):
    """With default settings, so that the pictures are those drawn from the workflow's tables."""
    monkeypatch.chdir(tmp_path)
    assert main(["overlay", str(folder / "clip.mp4")]) == 0
    assert capsys.readouterr().out == "clip_overlay.mp4\n"
    for expected, found in zip(drawn[1], read_frames("clip_overlay.mp4", "bgr"), strict=True):
        np.testing.assert_array_equal(found.image, expected.image)
    assert [path.name for path in tmp_path.iterdir()] == ["clip_overlay.mp4"]


def turned(path):
    return encode(path, [np.rot90(image, -1) for image in moving(14, (240, 320))], rotation=90)


CLIPS = {
    "variable rate": lambda folder: encode(folder / "a.mkv", moving(14, (240, 320)), pts_ms=IRREGULAR),
    "not from 0": lambda folder: encode(folder / "a.mp4", moving(14, (240, 320)), pts_ms=[500 + t for t in IRREGULAR]),
    "59.94 Hz": lambda folder: encode(folder / "a.mp4", moving(14, (240, 320)), rate=Fraction(60000, 1001)),
    "turned": lambda folder: turned(folder / "a.mp4"),
    "odd size": lambda folder: encode(folder / "a.mp4", moving(14, (241, 321)), pix_fmt="yuv444p"),
    "small": lambda folder: encode(folder / "a.mp4", moving(14)),
}


@pytest.mark.parametrize("name", CLIPS)
def test_frames_times_and_size_are_those_of_the_video(tmp_path, name):
    video = CLIPS[name](tmp_path)
    write_overlay(video, tmp_path / "out.mp4")
    before, after = list(read_frames(video, "bgr")), list(read_frames(tmp_path / "out.mp4", "bgr"))
    assert len(after) == len(before) == 14
    assert [f.timestamp for f in after] == pytest.approx([f.timestamp for f in before], abs=1e-6)
    height, width = before[0].image.shape[:2]
    assert after[0].image.shape == (height + height % 2, width + width % 2, 3)
    info = probe(tmp_path / "out.mp4")
    assert (info.rotation, info.codec) == (0, "h264")
    for old, new in zip(before, after, strict=True):
        corner = np.s_[height - 40 : height, : width // 8]
        assert np.abs(new.image[corner].astype(int) - old.image[corner]).mean() < 5
        assert yellow(new.image)[BAND:height].sum() > 68


def test_colours_of_a_large_picture_stay(tmp_path):
    """Players take another matrix for large pictures than for small ones; the file says which was used."""
    colours = [(40, 40, 200), (40, 200, 40), (200, 40, 40), (180, 180, 40)]
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264rgb", rate=25, options={"crf": "5"})
        stream.height, stream.width, stream.pix_fmt = 720, 1280, "rgb24"
        for image in moving(12, (720, 1280)):
            picture = np.repeat(image[:, :, None], 3, axis=2)
            for i, colour in enumerate(colours):
                picture[600:, 60 * i : 60 * i + 60] = colour
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    write_overlay(tmp_path / "a.mp4", tmp_path / "out.mp4")
    last = list(read_frames(tmp_path / "out.mp4", "bgr"))[-1].image
    for i, colour in enumerate(colours):
        assert last[620:700, 60 * i + 15 : 60 * i + 45].mean(axis=(0, 1)) == pytest.approx(colour, abs=6)
    with av.open(str(tmp_path / "out.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (1, 1)


def test_part_of_a_video_starts_at_once(folder, tmp_path):
    """Drawn from tables of that part, and tracked here."""
    make_tables(folder / "clip.mp4", tmp_path, start_s=2.2, end_s=2.8)
    write_overlay(folder / "clip.mp4", tmp_path / "a.mp4", **tables(tmp_path))
    write_overlay(folder / "clip.mp4", tmp_path / "b.mp4", start_s=2.2, end_s=2.8)
    expected = [frame.timestamp - 2.2 for frame in read_frames(folder / "clip.mp4", "grey", 2.2, 2.8)]
    for name in ("a.mp4", "b.mp4"):
        assert [f.timestamp for f in read_frames(tmp_path / name)] == pytest.approx(expected, abs=1e-6)


def test_roi_decides_where_the_face_is(folder, tmp_path):
    write_overlay(folder / "clip.mp4", tmp_path / "out.mp4", roi=(110.0, 100.0, 80.0, 80.0), roi_frame=10, end_s=0.8)
    frames = list(read_frames(tmp_path / "out.mp4", "bgr"))
    assert not yellow(frames[9].image)[BAND:, 10:-10].any()
    assert yellow(frames[10].image)[BAND:].sum() > 68


def test_holds_no_frames(folder, tmp_path, monkeypatch):
    seen, most = [], 0

    def counted(*args):
        nonlocal most
        for frame in read_frames(*args):
            seen.append(weakref.ref(frame.image))
            most = max(most, sum(image() is not None for image in seen))
            yield frame

    monkeypatch.setattr(overlay, "read_frames", counted)
    write_overlay(folder / "clip.mp4", tmp_path / "out.mp4", **tables(folder))
    assert len(seen) == 80
    assert most <= 3


def fault(capsys, *arguments):
    assert main(["overlay", *map(str, arguments)]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("fakeemo: ")
    return line


def test_faults_are_one_line_and_leave_no_file(folder, tmp_path, capsys):
    clip, out, both = folder / "clip.mp4", tmp_path / "out.mp4", tables(folder)
    given = "--rois", both["rois"], "--landmarks", both["landmarks"]
    empty = encode(tmp_path / "empty.mp4", [scene((240, 320), noise=i) for i in range(1, 13)])
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    assert "no such file" in fault(capsys, tmp_path / "none.mp4", "--out", out)
    assert "not a video" in fault(capsys, text, "--out", out)
    assert "no face in its 12 frames" in fault(capsys, empty, "--out", out)
    assert "does not lie in the 320 x 240 frame" in fault(capsys, clip, "--out", out, "--roi", "300,0,90,90")
    assert "give both" in fault(capsys, clip, "--out", out, *given[:2])
    assert "are for tracking" in fault(capsys, clip, "--out", out, *given, "--end-s", 1)
    assert "not those of" in fault(capsys, empty, "--out", out, *given)
    assert "not face boxes" in fault(capsys, clip, "--out", out, "--rois", given[3], "--landmarks", given[3])
    assert "not landmarks" in fault(capsys, clip, "--out", out, "--rois", given[1], "--landmarks", given[1])
    assert "must end in .mp4" in fault(capsys, clip, "--out", tmp_path / "out.avi")
    assert "is the video itself" in fault(capsys, clip, "--out", clip)
    assert "cannot be written" in fault(capsys, clip, "--out", text / "out.mp4", *given)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.mp4", "text.mp4"]


def test_table_of_a_bad_video_says_why_there_is_nothing_to_draw(folder, tmp_path):
    columns, _ = read_table(folder / "rois.parquet")
    rois = tmp_path / "rois.parquet"
    write_table(rois, {k: v[:0] for k, v in columns.items()}, kind="rois", status="no_face", reason="no face in it")
    with pytest.raises(FakeemoError, match=r"^no face in it \[no_face\]; name another video$"):
        write_overlay(folder / "clip.mp4", tmp_path / "out.mp4", rois=rois, landmarks=folder / "landmarks.parquet")


def test_tables_of_another_video_with_as_many_frames(folder, tmp_path):
    video = encode(tmp_path / "other.mp4", face_comes_and_goes(), rate=30)
    with pytest.raises(FakeemoError, match="its frames are not those of"):
        write_overlay(video, tmp_path / "out.mp4", **tables(folder))


def test_a_roi_that_is_none_is_a_matter_of_usage(capsys):
    with pytest.raises(SystemExit):
        main(["overlay", "clip.mp4", "--roi", "3,4"])
    assert "'3,4' is not x,y,w,h" in capsys.readouterr().err


def test_written_picture_is_upright(tmp_path):
    """The face stands on its chin: tracked in the turned file as in the upright one."""
    write_overlay(turned(tmp_path / "a.mp4"), tmp_path / "out.mp4")
    upright = moving(14, (240, 320))
    for image, frame in zip(upright, read_frames(tmp_path / "out.mp4"), strict=True):
        assert np.abs(cv2.blur(frame.image, (5, 5)).astype(int) - cv2.blur(image, (5, 5)))[BAND:, :60].mean() < 6
