import cv2
import numpy as np
import pytest
from clips import astronaut, encode, scene

from fakeemo import contact_sheet
from fakeemo.augment import landmark_video
from fakeemo.contact_sheet import POINTS, STATES, chosen_rows, keep_thumbnails
from fakeemo.tables import read_table, write_table
from fakeemo.tracking import TrackingSettings, track_video
from fakeemo.video import Frame, read_frames

SHAPE = (240, 320)
STRETCHES = ((0, "absent"), (8, "face"), (40, "lost"), (70, "face"))
N_FRAMES = 100


def scenes():
    """Draw a face that comes, goes and comes back, drifting to the right."""
    for i in range(N_FRAMES):
        there = [kind for first, kind in STRETCHES if first <= i][-1] == "face"
        yield scene(SHAPE, *([(astronaut(), 140 + 0.4 * i, 120, 90)] if there else []), noise=i + 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Make a clip, and its tables and sheet as the workflow makes them."""
    folder = tmp_path_factory.mktemp("sheet")
    encode(folder / "clip.mp4", scenes())
    track_video(folder / "clip.mp4", folder / "rois.parquet", settings=TrackingSettings(), seed=0)
    make(folder / "clip.mp4", folder, "s1_happy")
    return folder


def make(video, folder, video_id):
    out = (folder / name for name in ("landmarks.parquet", "variants.parquet", "sheet.jpg"))
    settings = {"video_id": video_id, "n_variants": 1, "jitter_px": (5, 5), "seed": 0}
    landmark_video(video, folder / "rois.parquet", *out, **settings)
    return cv2.imread(str(folder / "sheet.jpg"))


def near(image, colour, tolerance=60):
    """Say for each pixel whether it is of a colour, give or take what JPEG and smooth edges do to it."""
    return np.abs(image.astype(int) - colour).max(axis=-1) < tolerance


def kept(folder):
    table, _ = read_table(folder / "rois.parquet")
    boxes = np.stack([table[name] for name in "xywh"], axis=1)
    thumbnails = {}
    passed = list(keep_thumbnails(read_frames(folder / "clip.mp4"), boxes, thumbnails))
    return table, thumbnails, passed


def pictures(sheet, thumbnails):
    """Cut the thumbnails out of a sheet, by row."""
    corners = [contact_sheet._corner(place) for place in range(len(thumbnails))]
    return {row: sheet[y : y + 240, x : x + 240] for row, (x, y) in zip(thumbnails, corners, strict=True)}


@pytest.mark.parametrize("n_frames", [0, 1, 2, 11, 12, 13, 350, 100_000])
def test_frames_shown_are_spread_over_the_clip(n_frames):
    rows = chosen_rows(n_frames)
    assert len(set(rows)) == len(rows) == min(12, n_frames)
    if n_frames > 1:
        assert (rows[0], rows[-1]) == (0, n_frames - 1)
        assert np.ptp(np.diff(rows)) <= 1


def test_frames_pass_unchanged_and_little_is_kept(folder):
    _, thumbnails, passed = kept(folder)
    for frame, same in zip(read_frames(folder / "clip.mp4"), passed, strict=True):
        assert (frame.index, frame.timestamp) == (same.index, same.timestamp)
        np.testing.assert_array_equal(frame.image, same.image)
    assert list(thumbnails) == chosen_rows(N_FRAMES)
    for row, thumbnail in thumbnails.items():
        assert thumbnail.image.shape == (240, 240)
        assert not np.shares_memory(thumbnail.image, passed[row].image)


def test_a_thumbnail_shows_the_face_in_its_middle_with_its_surrounding(folder):
    """A pixel's place in the frame and in the thumbnail agree, also where the face is at the frame's edge."""
    image = next(read_frames(folder / "clip.mp4", start_s=2)).image
    for x, y, side in ((95.0, 75.0, 91.0), (-20.0, 150.0, 80.0), (290.0, -10.0, 60.0)):
        thumbnails = {}
        next(keep_thumbnails([Frame(0, 0.0, image)], np.array([[x, y, side, side]]), thumbnails))
        cut = thumbnails[0]
        assert (cut.x + 120 / cut.zoom, cut.y + 120 / cut.zoom) == pytest.approx((x + side / 2, y + side / 2), abs=1.5)
        assert 240 / cut.zoom == pytest.approx(2 * side, abs=1)
        to_thumbnail = np.array([[cut.zoom, 0, -cut.zoom * cut.x], [0, cut.zoom, -cut.zoom * cut.y]])
        expected = cv2.warpAffine(image, to_thumbnail, (240, 240), borderValue=236)
        assert np.abs(cv2.blur(cut.image, (9, 9)).astype(int) - cv2.blur(expected, (9, 9))).mean() < 4


def test_box_and_landmarks_are_where_the_tables_have_them(folder):
    table, thumbnails, _ = kept(folder)
    landmarks, _ = read_table(folder / "landmarks.parquet")
    sheet = cv2.imread(str(folder / "sheet.jpg"))
    assert 1200 <= sheet.shape[1] <= 1600
    drawn = pictures(sheet, thumbnails)
    shown = [row for row in thumbnails if landmarks["success"][row]]
    assert len(shown) >= 6
    for row in shown:
        cut = thumbnails[row]
        picture = drawn[row]
        assert not near(np.repeat(cut.image[:, :, None], 3, axis=2), POINTS).any()
        dots = near(picture, POINTS, 110)
        for i in range(68):
            x = (landmarks[f"x_{i}"][row] - cut.x) * cut.zoom
            y = (landmarks[f"y_{i}"][row] - cut.y) * cut.zoom
            assert dots[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].any()
        coloured = near(picture, STATES[table["state"][row]])
        x, y, w, h = (table[name][row] for name in "xywh")
        left, right = round((x - cut.x) * cut.zoom), round((x + w - cut.x) * cut.zoom)
        top, bottom = round((y - cut.y) * cut.zoom), round((y + h - cut.y) * cut.zoom)
        for side in (
            coloured[top:bottom, left - 2 : left + 2].any(axis=1),
            coloured[top:bottom, right - 2 : right + 2].any(axis=1),
            coloured[top - 2 : top + 2, left:right].any(axis=0),
            coloured[bottom - 2 : bottom + 2, left:right].any(axis=0),
        ):
            assert side.mean() > 0.9


@pytest.mark.parametrize(("state", "frame"), [("absent", 0), ("lost", 54)])
def test_frames_without_a_face_are_shown_whole_and_marked(folder, state, frame):
    table, thumbnails, passed = kept(folder)
    assert table["state"][frame] == state
    cut = thumbnails[frame]
    assert cut.zoom == 240 / 320
    small = cv2.resize(passed[frame].image, (240, 180), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(cut.image[30:210], small)
    picture = pictures(cv2.imread(str(folder / "sheet.jpg")), thumbnails)[frame]
    assert near(picture, STATES[state])[-25:, 100:].mean() > 0.9
    assert not near(picture[:200], POINTS).any()


def strip(sheet):
    """Give the row of pixels in the middle of those that have most of the states' colours."""
    coloured = sum(near(sheet, colour, 40) for colour in STATES.values())[-250:].sum(axis=1)
    rows = np.flatnonzero(coloured > 0.9 * coloured.max())
    return sheet[rows[len(rows) // 2] - 250]


def test_strip_has_each_state_for_its_share_of_the_time(folder):
    table, _, _ = kept(folder)
    row = strip(cv2.imread(str(folder / "sheet.jpg")))
    states = np.argmin([np.abs(row.astype(int) - colour).max(axis=1) for colour in STATES.values()], axis=0)
    inside = sum(near(row, colour, 40) for colour in STATES.values()).astype(bool)
    for i, state in enumerate(STATES):
        share = np.mean(table["state"] == state)
        assert share > 0
        assert np.mean(states[inside] == i) == pytest.approx(share, abs=0.01)


def test_one_lost_frame_in_an_hour_can_be_seen(tmp_path, folder):
    _, thumbnails, _ = kept(folder)
    n = 90_000
    states = np.full(n, "tracked", object)
    states[0], states[50_000], states[50_001] = "detected", "lost", "redetected"
    times = np.arange(n) / 25
    psr = np.where(states == "tracked", 40.0, np.nan)
    table = {"frame": np.arange(n), "timestamp": times, "state": states, "psr": psr} | {k: times for k in "xywh"}
    header = {"status": "ok", "reason": "", "parameters": {"psr_threshold": 8.0}}
    points = np.full((2, 68, n), 50, np.float32)
    contact_sheet.write_contact_sheet(
        tmp_path / "sheet.jpg",
        table,
        header,
        video_id="long",
        points=points,
        thumbnails={n - 1: thumbnails[N_FRAMES - 1]},
    )
    row = strip(cv2.imread(str(tmp_path / "sheet.jpg")))
    for state in ("lost", "redetected"):
        distance = [np.abs(row.astype(int) - colour).max(axis=1) for colour in STATES.values()]
        nearest = np.argmin(distance, axis=0)[60:-40]
        assert 2 <= np.sum(nearest == list(STATES).index(state)) <= 8


def test_threshold_is_that_of_the_tracking(tmp_path, folder):
    """The line moves with psr_threshold, and the curve stays on the side of it where the numbers are."""
    table, header = read_table(folder / "rois.parquet")
    _, thumbnails, _ = kept(folder)
    heights = []
    for threshold in (4.0, 16.0):
        header["parameters"]["psr_threshold"] = threshold
        contact_sheet.write_contact_sheet(
            tmp_path / "sheet.jpg",
            table,
            header,
            video_id="s1",
            points=np.full((2, 68, N_FRAMES), 50, np.float32),
            thumbnails=thumbnails,
        )
        plot = cv2.imread(str(tmp_path / "sheet.jpg"))[-240:-80, 60:-150]
        line = near(plot, STATES["lost"], 90).sum(axis=1)
        assert line.max() > 0.4 * plot.shape[1]
        ink = near(plot[: line.argmax() - 2], contact_sheet.INK, 60).any(axis=0)
        assert ink.mean() > 0.8 * np.mean(table["psr"] > threshold)
        heights.append(line.argmax())
    assert heights[0] != heights[1]


REASONS = ("clip.mp4: the file is empty (0 bytes)", "a" * 700, "Prise é ü 東京.mp4: " + 80 * "no good, ")


@pytest.mark.parametrize("reason", REASONS)
def test_a_bad_video_has_a_sheet_that_says_why(tmp_path, reason):
    names = ("frame", "timestamp", "x", "y", "w", "h", "psr", "state")
    sheets = []
    for why in (reason, ""):
        write_table(tmp_path / "rois.parquet", {n: [] for n in names}, kind="rois", status="unreadable", reason=why)
        sheets.append(make(tmp_path / "missing.mp4", tmp_path, "s1_happy"))
    told, silent = sheets
    assert 1200 <= told.shape[1] <= 1600
    written = near(told, contact_sheet.INK, 100)
    assert written.sum() > near(silent, contact_sheet.INK, 100).sum() + 10 * len(reason)
    assert near(told, STATES["lost"])[:, 20:].any()  # the status
    assert not written[:, -10:].any()  # nothing runs out of the picture
    assert not written[-10:].any()


def test_a_clip_of_one_frame(tmp_path):
    encode(tmp_path / "clip.mp4", [scene(SHAPE, (astronaut(), 160, 120, 90))])
    settings = TrackingSettings(min_frames=1)
    track_video(tmp_path / "clip.mp4", tmp_path / "rois.parquet", settings=settings, seed=0)
    sheet = make(tmp_path / "clip.mp4", tmp_path, "one")
    assert near(sheet, POINTS, 110).sum() > 68


def test_long_id_fits_and_equal_inputs_give_equal_files(tmp_path, folder):
    (tmp_path / "rois.parquet").write_bytes((folder / "rois.parquet").read_bytes())
    first = make(folder / "clip.mp4", tmp_path, 24 * "long.name_")
    written = (tmp_path / "sheet.jpg").read_bytes()
    make(folder / "clip.mp4", tmp_path, 24 * "long.name_")
    assert (tmp_path / "sheet.jpg").read_bytes() == written
    assert near(first, contact_sheet.INK, 100)[:50, -60:-24].any()
    assert not near(first, contact_sheet.INK, 100)[:, -20:].any()
