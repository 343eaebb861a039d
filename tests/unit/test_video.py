"""Decoding: every kind of file that people really have gives upright frames at true times, or one clear line."""

from pathlib import Path

import av
import numpy as np
import pytest
from clips import BAD, GOOD, Case, encode, moving, without_privileges

from fakeemo.errors import VideoError
from fakeemo.video import Frame, probe, read_frames


def decode(path: Path, **kwargs) -> tuple[list[Frame], VideoError | None]:
    """Give all frames of a file, and the error that they end with."""
    frames = []
    try:
        for frame in read_frames(path, **kwargs):
            frames.append(frame)
    except VideoError as error:
        return frames, error
    return frames, None


def assert_like(frame: np.ndarray, wanted: np.ndarray) -> None:
    """Assert that two images agree but for the noise of a codec."""
    assert frame.shape == wanted.shape
    assert frame.dtype == np.uint8
    assert frame.flags.c_contiguous
    difference = frame.astype(float) - wanted
    assert abs(difference.mean()) < 1.5  # grey levels neither shifted nor squeezed
    assert np.abs(difference).mean() < 5


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_good_file(case: Case, tmp_path: Path):
    path = case.make(tmp_path)
    wanted = case.frames()
    frames, error = decode(path)
    assert error is None
    assert [frame.index for frame in frames] == list(range(len(wanted)))
    for frame, image in zip(frames, wanted, strict=True):
        assert_like(frame.image, image)
    times = case.times or [i / 25 for i in range(len(wanted))]
    assert np.allclose([frame.timestamp for frame in frames], times, atol=0.0011)
    info = probe(path)
    assert (info.height, info.width) == wanted[0].shape
    assert info.n_frames in (None, len(wanted))
    if case.times is None and len(wanted) > 2:
        assert info.fps == pytest.approx(25, rel=0.1)


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_bad_file(case: Case, tmp_path: Path):
    path = case.make(tmp_path)
    with without_privileges(tmp_path):
        frames, error = decode(path)
    assert error is not None
    assert error.status == case.status
    assert error.reason.startswith(str(path))
    assert case.part in error.reason
    assert "\n" not in error.reason
    n_wanted = case.n_frames if case.n_frames is not None else len(frames)
    assert len(frames) == n_wanted
    assert bool(frames) == (case.status in ("truncated", "damaged"))
    for frame, wanted in zip(frames[:-10], moving(60), strict=False):  # the last ones refer to what is missing
        assert_like(frame.image, wanted)


def test_part_before_a_break_can_be_used(tmp_path: Path):
    path = next(case for case in BAD if case.name == "mp4 cut behind its index").make(tmp_path)
    _, error = decode(path)
    end_s = float(error.reason.split("set end_s to ")[1].split()[0])
    frames, error = decode(path, end_s=max(end_s, 0.2))
    assert error is None
    assert len(frames) == 5


def test_start_and_end(tmp_path: Path):
    path = encode(tmp_path / "a.mp4", moving(20), rate=10)
    frames, error = decode(path, start_s=0.5, end_s=1.2)
    assert error is None
    assert [frame.index for frame in frames] == list(range(5, 12))  # numbers in the file, not in the part
    assert [frame.timestamp for frame in frames] == pytest.approx([i / 10 for i in range(5, 12)])
    assert_like(frames[0].image, moving(20)[5])


def test_bgr_is_upright_and_full_range(tmp_path: Path):
    bright = np.zeros((64, 96), np.uint8)
    bright[:32, :48] = 255  # top left
    path = encode(tmp_path / "a.mp4", [np.rot90(bright)] * 3, rotation=-90)
    (first, *_), error = decode(path, pixels="bgr")
    assert error is None
    assert first.image.shape == (64, 96, 3)
    assert first.image.flags.c_contiguous
    assert first.image[8:24, 8:40].min() > 250
    assert first.image[40:, 56:].max() < 5


def test_limited_and_full_range_give_the_same_levels(tmp_path: Path):
    ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    for pix_fmt in ("yuv420p", "yuvj420p", "yuv420p10le"):
        path = encode(tmp_path / f"{pix_fmt}.mp4", [ramp] * 2, pix_fmt=pix_fmt, options={"qp": "4"})
        image = decode(path)[0][0].image
        assert np.abs(image.mean(axis=0) - ramp[0]).max() < 3, pix_fmt


def test_repeated_timestamps_still_rise(tmp_path: Path):
    clip = encode(tmp_path / "1.ts", moving()).read_bytes()
    (tmp_path / "a.ts").write_bytes(clip + clip)
    frames, error = decode(tmp_path / "a.ts")
    assert error is None
    assert len(frames) == 24
    assert np.allclose(np.diff([frame.timestamp for frame in frames]), 1 / 25, atol=1e-3)


def test_cover_picture_is_not_the_video(tmp_path: Path):
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        cover, film = out.add_stream("png", rate=1), out.add_stream("libx264", rate=25)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "rgb24"
        film.width, film.height, film.pix_fmt = 160, 120, "yuv420p"
        cover.disposition = av.stream.Disposition.attached_pic
        out.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
        for image in moving(3):
            out.mux(film.encode(av.VideoFrame.from_ndarray(image, format="gray")))
        out.mux(film.encode())
    with av.open(str(tmp_path / "a.mp4")) as container:
        dispositions = [stream.disposition for stream in container.streams.video]
    assert av.stream.Disposition.attached_pic in dispositions
    assert decode(tmp_path / "a.mp4")[0][0].image.shape == (120, 160)


def test_frames_are_made_one_at_a_time(tmp_path: Path):
    frames = read_frames(encode(tmp_path / "a.mp4", moving()))
    first = next(frames).image.copy()
    assert_like(first, scene_of(0))
    frames.close()  # closes the file too


def scene_of(index: int) -> np.ndarray:
    return moving(index + 1)[index]
