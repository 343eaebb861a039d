"""From variant tables to padded series: gaps, lengths, smoothing, frame rates, displacements free of head motion."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakeemo.errors import FakeemoError
from fakeemo.sequences import (
    FEATURES,
    HOLE_S,
    around_onset,
    fill_gaps,
    load_sequences,
    low_pass,
    principal_directions,
    relative_to_neutral,
    retime,
)
from fakeemo.tables import write_table


def table(path, x, variants=1, timestamp=None):
    """Write ``x`` ``(frames, 80)`` as every variant of a video."""
    n = len(x)
    columns = {"variant": np.repeat(np.arange(variants), n), "frame": np.tile(np.arange(n), variants)}
    if timestamp is not None:
        columns["timestamp"] = np.tile(timestamp, variants)
    columns |= {name: np.tile(x[:, k], variants) for k, name in enumerate(FEATURES)}
    write_table(path, columns, kind="variants")
    return path


def test_videos_of_different_length_are_padded_and_masked(tmp_path):
    random = np.random.default_rng(0)
    long, short = random.normal(size=(9, 80)), random.normal(size=(6, 80))
    short[2] = np.nan
    sequences = load_sequences([table(tmp_path / "a.parquet", long, 2), table(tmp_path / "b.parquet", short)])
    assert sequences.x.shape == (3, 9, 80)
    assert sequences.video.tolist() == ["a", "a", "b"]
    assert sequences.variant.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(sequences.x[1], long.astype(np.float32))
    assert sequences.mask[2].tolist() == [True, True, False, True, True, True, False, False, False]
    np.testing.assert_allclose(sequences.x[2, 2], (short[1] + short[3]) / 2, rtol=1e-5)
    assert not sequences.x[2, 6:].any()
    assert sequences.select(np.array([2])).x.shape == (1, 6, 80)


def test_without_augmentation_only_variant_0_is_read(tmp_path):
    x = np.random.default_rng(0).normal(size=(12, 80)).astype(np.float32)
    path = table(tmp_path / "a.parquet", x, 3)
    assert load_sequences([path]).variant.tolist() == [0, 1, 2]
    plain = load_sequences([path], augmented=False)
    assert plain.variant.tolist() == [0]
    np.testing.assert_array_equal(plain.x, load_sequences([path]).x[:1])


def test_frames_before_and_after_the_face_are_cut_off():
    x = np.full((7, 80), np.nan, np.float32)
    x[2:5] = 1
    cut, seen = fill_gaps(x)
    assert cut.shape == (3, 80)
    assert seen.all()
    assert len(fill_gaps(x[:2])[0]) == 0


def test_rows_in_any_order_give_the_same_series(tmp_path):
    x = np.random.default_rng(0).normal(size=(5, 80))
    columns = {"variant": np.zeros(5, int), "frame": np.arange(5)[::-1]}
    columns |= {name: x[::-1, k] for k, name in enumerate(FEATURES)}
    write_table(tmp_path / "a.parquet", columns, kind="variants")
    np.testing.assert_array_equal(load_sequences([tmp_path / "a.parquet"]).x[0], x.astype(np.float32))


def test_a_video_without_frames_contributes_nothing_and_none_at_all_is_an_error(tmp_path):
    good = table(tmp_path / "good.parquet", np.ones((4, 80)))
    empty = table(tmp_path / "empty.parquet", np.empty((0, 80)))
    single = table(tmp_path / "single.parquet", np.ones((1, 80)))
    assert load_sequences([empty, good, single]).video.tolist() == ["good"]
    with pytest.raises(FakeemoError, match="none of 2 videos has two usable frames"):
        load_sequences([empty, single])


def test_relative_to_neutral_removes_head_motion_and_keeps_the_expression():
    random = np.random.default_rng(0)
    face = random.uniform(-0.5, 0.5, 40) + 1j * random.uniform(-0.5, 0.5, 40)
    expression = np.zeros((30, 40), complex)
    expression[:, 30] = np.linspace(0, 0.1, 30) * (np.arange(30) >= 5) * 1j  # a corner of the mouth, after frame 5
    angle, scale = 0.2 * np.sin(np.arange(30) / 5), 1 + 0.1 * np.cos(np.arange(30) / 7)
    drift = 0.05 * np.arange(30) / 30
    still, moving = face + expression, scale[:, None] * np.exp(1j * angle)[:, None] * (face + expression)
    moving += drift[:, None]
    for z in (still, moving):
        # The head's first pose is the frame of reference: bring both clips to the same one.
        z *= 1 / (z[0, 20] - z[0, 25]) * (face[20] - face[25])
    quarter = np.abs(face[25] - face[16]) / 4
    flat = [relative_to_neutral(np.hstack([z.real, z.imag]).astype(np.float32), 1) for z in (still, moving)]
    np.testing.assert_allclose(flat[0], flat[1], atol=1e-5)
    np.testing.assert_allclose(flat[0][:, 70], expression[:, 30].imag / quarter, atol=1e-5)
    assert np.abs(np.delete(flat[0], 70, axis=1)).max() < 1e-5


def test_pose_from_all_landmarks_removes_head_motion_and_shakes_less():
    random = np.random.default_rng(0)
    face = random.uniform(-0.5, 0.5, 40) + 1j * random.uniform(-0.5, 0.5, 40)
    turned = face * np.exp(1j * np.linspace(0, 0.3, 50))[:, None] + np.linspace(0, 0.2, 50)[:, None]
    flat = relative_to_neutral(np.hstack([turned.real, turned.imag]).astype(np.float32), 1, "all")
    np.testing.assert_allclose(flat, 0, atol=1e-5)

    noise = 0.01 * (random.normal(size=turned.shape) + 1j * random.normal(size=turned.shape))
    noisy = np.hstack([(turned + noise).real, (turned + noise).imag]).astype(np.float32)
    rigid, steady = (relative_to_neutral(noisy, 10, pose)[10:].var() for pose in ("rigid", "all"))
    assert steady < 0.8 * rigid


def expressions(n, frames, random):
    """Displacements in two directions, the first twice as far as the second, with noise in all 80."""
    directions = np.linalg.qr(random.normal(size=(80, 2)))[0]
    extent = random.normal(size=(n, 2)) * (0.4, 0.2)
    course = np.linspace(0, 1, frames)
    x = course[:, None] * (extent @ directions.T)[:, None] + 0.001 * random.normal(size=(n, frames, 80))
    return x.astype(np.float32), directions


def test_principal_directions_are_those_of_most_motion():
    x, directions = expressions(30, 20, np.random.default_rng(0))
    found = principal_directions(list(x), 2)
    np.testing.assert_allclose(found.T @ found, np.eye(2), atol=1e-5)
    assert np.abs(found[:, 0] @ directions[:, 0]) > 0.99
    np.testing.assert_allclose(found @ found.T, directions @ directions.T, atol=0.02)
    assert (found[np.abs(found).argmax(axis=0), [0, 1]] > 0).all()


def test_new_videos_are_projected_on_the_directions_of_training(tmp_path):
    random = np.random.default_rng(0)
    face = random.uniform(-0.5, 0.5, 80)
    known, new = (face + expressions(4, 12, random)[0] for _ in range(2))
    paths = [
        table(tmp_path / f"{kind}{i}.parquet", x) for kind, xs in (("k", known), ("n", new)) for i, x in enumerate(xs)
    ]
    training = load_sequences(paths[:4], reference="neutral", neutral_frames=1, components=2)
    whole = load_sequences(paths[4:], reference="neutral", neutral_frames=1)
    projected = load_sequences(
        paths[4:], reference="neutral", neutral_frames=1, components=2, basis=training.basis.tolist()
    )
    np.testing.assert_allclose(projected.x, whole.x @ training.basis @ training.basis.T, atol=1e-6)
    np.testing.assert_array_equal(projected.basis, training.basis)
    own = load_sequences(paths[4:], reference="neutral", neutral_frames=1, components=2)
    assert np.abs(own.basis - training.basis).max() > 0.01


@pytest.mark.parametrize("begin", [10.0, 14.3, 20.75])
def test_a_window_begins_as_long_before_the_onset_wherever_that_is(begin):
    fps, time = 25, np.arange(75)
    rise = np.clip((time - begin) / 10, 0, 1)
    pattern = np.random.default_rng(0).normal(size=80)
    x = (rise[:, None] * pattern).astype(np.float32)
    window, seen = around_onset(x, np.ones(75, bool), fps, (0.4, 1.0))
    assert len(window) == len(seen) == 36
    assert seen.all()
    expected = np.clip((np.arange(36) - 10 + 5) / 10, 0, 1)  # half-way up after 0.4 s, ten frames
    np.testing.assert_allclose(window @ pattern / (pattern @ pattern), expected, atol=0.05)


def test_a_window_beyond_the_clip_or_over_a_gap_is_not_seen():
    x = np.ones((8, 80), np.float32) * (np.arange(8) >= 3)[:, None]
    seen = np.ones(8, bool)
    seen[6] = False
    window, visible = around_onset(x, seen, 8, (0.5, 1.0))
    assert visible.sum() < len(window) == 13
    assert not visible[0]
    assert not visible[-1]
    still, nowhere = around_onset(np.zeros((5, 80), np.float32), np.ones(5, bool), 8, (0.5, 0.5))
    assert np.isfinite(still).all(), "a face that does not move has no onset; its first frame counts"
    assert nowhere.sum() == 5


def test_a_clip_without_a_face_around_its_onset_is_left_out(tmp_path):
    random = np.random.default_rng(0)
    rise = np.clip((np.arange(40) - 15) / 8, 0, 1)[:, None]
    good = random.uniform(-0.5, 0.5, 80) + rise * random.normal(0, 0.1, 80)
    lost = good.copy()
    lost[14:25] = np.nan
    paths = [table(tmp_path / f"{name}.parquet", x, 1, np.arange(40) / 20) for name, x in (("a", good), ("b", lost))]
    prepared = {"reference": "neutral", "fps": 20, "onset_window_s": [0.1, 0.1]}
    assert load_sequences(paths, **prepared).video.tolist() == ["a"]
    with pytest.raises(FakeemoError, match=r"none of 1 videos .* widen sequences\.onset_window_s"):
        load_sequences(paths[1:], **prepared)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"components": 2}, "sequences.components .* sequences.reference: neutral"),
        ({"onset_window_s": [0.5, 1], "fps": 25}, "sequences.onset_window_s .* sequences.reference: neutral"),
        (
            {"onset_window_s": [0.5, 1], "reference": "neutral"},
            "onset_window_s is in seconds, so it needs sequences.fps",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(tmp_path, settings, message):
    path = table(tmp_path / "a.parquet", np.ones((4, 80)))
    with pytest.raises(FakeemoError, match=message):
        load_sequences([path], **settings)


def column(values):
    return np.asarray(values, float)[:, None]


def response(rate, cut_off, order, frequencies):
    """Measure what is left of sinusoids, by the response to one frame of 1, and its phase."""
    impulse = np.zeros((4001, 1))
    impulse[2000] = 1
    out = low_pass(impulse, rate, cut_off, order)[:, 0]
    return np.exp(-2j * np.pi * np.outer(frequencies, (np.arange(4001) - 2000) / rate)) @ out


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize(("rate", "cut_off"), [(100, 6), (30, 6), (25, 12.4)])
def test_the_low_pass_lets_half_the_power_through_at_its_cut_off_and_shifts_nothing(rate, cut_off, order):
    found = response(rate, cut_off, order, [0, cut_off / 4, cut_off, min(2 * cut_off, 0.499 * rate)])
    assert np.abs(np.angle(found[:3])).max() < 1e-6
    assert abs(found[0]) == pytest.approx(1, abs=1e-6)
    assert abs(found[1]) == pytest.approx(1, abs=0.01)
    assert 20 * np.log10(abs(found[2])) == pytest.approx(-3.01, abs=0.01)
    if 2 * cut_off < rate / 2:
        assert 20 * np.log10(abs(found[3])) < -17


@pytest.mark.parametrize("cut_off", [3, 6, 12])
def test_an_onset_keeps_its_moment_and_its_end(cut_off):
    t = np.arange(300) / 100
    for middle in (1.5, 1.503, 2.71):
        onset = np.clip((t - middle) / 0.3 + 0.5, 0, 1)
        smooth = retime("a", column(onset).astype(np.float32), t, smoothing_hz=cut_off, fps=None)[:, 0]
        rising = np.abs(t - middle) < 0.1
        crossing = np.interp(0.5, smooth[rising], t[rising])
        assert abs(crossing - middle) * 100 < 0.1
        assert smooth.min() > -0.035
        assert smooth.max() < 1.035


@given(
    n=st.integers(2, 60),
    rate=st.sampled_from([10.0, 25.0, 100.0]),
    share=st.floats(0.01, 0.99),
    slope=st.floats(-3, 3),
)
@settings(max_examples=60, deadline=None)
def test_a_straight_line_of_any_length_stays_as_it_is(n, rate, share, slope):
    """At its edges too, however short: nothing rings, nothing is drawn to a mean."""
    t = np.arange(n) / rate
    x = column(0.3 + slope * t).astype(np.float32)
    np.testing.assert_allclose(retime("a", x, t, smoothing_hz=share * rate / 2, fps=None), x, atol=2e-4)


@given(data=st.data(), n=st.integers(2, 40), cut_off=st.sampled_from([0.1, 2.0, 6.0, 12.0]))
@settings(max_examples=60, deadline=None)
def test_short_noisy_clips_stay_near_their_values(data, n, cut_off):
    x = column(data.draw(st.lists(st.floats(-1, 1, width=32), min_size=n, max_size=n))).astype(np.float32)
    smooth = retime("a", x, np.arange(n) / 25, smoothing_hz=cut_off, fps=None)
    assert smooth.shape == x.shape
    np.testing.assert_allclose(smooth[[0, -1]], x[[0, -1]], atol=1e-3)
    assert np.abs(smooth).max() < 3 * max(np.abs(x).max(), 1e-6)


def test_noise_goes_and_the_expression_stays():
    t = np.arange(500) / 100
    smile = column(0.3 / (1 + np.exp(-(t - 2.5) / 0.1)))
    noise = np.random.default_rng(0).normal(0, 0.02, smile.shape)
    out = retime("a", (smile + noise).astype(np.float32), t, smoothing_hz=6, fps=None)
    assert (out - smile).std() < 0.4 * noise.std()


def uneven(random, n, rate):
    """Frame times that stray by up to 40 % of a period, some frames dropped."""
    t = (np.arange(n) + random.uniform(-0.4, 0.4, n)) / rate
    return np.delete(t, random.choice(np.arange(1, n - 1), n // 20, replace=False))


@pytest.mark.parametrize("fps", [15, 30, 50, 100])
def test_a_motion_seen_at_uneven_times_comes_out_right_on_the_even_grid(fps):
    t = uneven(np.random.default_rng(0), 200, 30)
    phases = np.arange(80) / 10
    out = retime("a", np.sin(2 * np.pi * 2 * t[:, None] + phases).astype(np.float32), t, smoothing_hz=None, fps=fps)
    grid = t[0] + np.arange(len(out)) / fps
    assert t[-1] - 1 / fps < grid[-1] <= t[-1]
    error = np.abs(out - np.sin(2 * np.pi * 2 * grid[:, None] + phases))[2:-2]
    assert error.max() < 0.03
    assert np.sqrt((error**2).mean()) < 0.004


def test_uneven_times_are_smoothed_by_their_true_time():
    """A slow motion passes, a fast one goes, at each frame's own time, and the frames stay where they are."""
    t = uneven(np.random.default_rng(1), 300, 60)
    slow, fast = np.sin(2 * np.pi * t), np.sin(2 * np.pi * 10 * t)
    out = retime("a", column(slow + 0.3 * fast).astype(np.float32), t, smoothing_hz=4, fps=None)[:, 0]
    assert out.shape == t.shape
    assert np.abs(out - slow)[10:-10].max() < 0.04


def test_fewer_frames_show_no_motion_that_was_not_there():
    t = np.arange(400) / 100
    fast = column(np.sin(2 * np.pi * 23 * t)).astype(np.float32)  # at 25 frames a second it would look like 2 Hz
    assert np.abs(fast[::4] - np.sin(2 * np.pi * 23 * t[::4, None])).max() < 1e-6
    out = retime("a", fast, t, smoothing_hz=None, fps=25)
    assert len(out) == 100
    assert np.abs(out[5:-5]).max() < 0.01
    slow = column(np.sin(2 * np.pi * 3 * t)).astype(np.float32)
    np.testing.assert_allclose(retime("a", slow, t, smoothing_hz=None, fps=25)[3:-3], slow[::4][3:-3], atol=0.005)


def test_the_rate_a_clip_has_already_changes_nothing():
    x = np.random.default_rng(0).normal(size=(50, 80)).astype(np.float32)
    t = 0.2 + np.arange(50) / 25
    np.testing.assert_allclose(retime("a", x, t, smoothing_hz=None, fps=25), x, atol=1e-6)
    milliseconds = np.round(np.arange(50) / 30, 3)  # as Matroska and WebM keep them
    assert retime("a", x, milliseconds, smoothing_hz=None, fps=30).shape == x.shape


def test_a_new_frame_counts_as_seen_only_where_the_face_was_seen_around_it(tmp_path):
    t = np.arange(20) / 10
    x = np.random.default_rng(0).normal(size=(20, 80))
    x[[0, 1, 9, 10, 18, 19]] = np.nan  # seen from 0.2 to 0.8 s and from 1.1 to 1.7 s
    sequences = load_sequences([table(tmp_path / "a.parquet", x, timestamp=t)], fps=40)
    new = 0.2 + np.arange(sequences.x.shape[1]) / 40
    expected = (new < 0.8001) | (new > 1.0999)
    assert new[-1] == pytest.approx(1.7)
    assert sequences.mask[0].tolist() == expected.tolist()
    # Invented frames lie on a straight line, as they do without new frames.
    gap = sequences.x[0, np.flatnonzero(~expected)[0] - 1 : np.flatnonzero(~expected)[-1] + 2]
    np.testing.assert_allclose(gap, np.linspace(gap[0], gap[-1], len(gap)), atol=1e-5)


def test_a_hole_in_time_is_no_face_seen():
    t = np.concatenate([np.arange(20) / 25, 0.76 + HOLE_S + 0.1 + np.arange(20) / 25])
    x = column(np.sin(t)).astype(np.float32)
    seen = np.isfinite(retime("a", x, t, smoothing_hz=None, fps=25))[:, 0]
    assert seen[:20].all()
    assert not seen[20:28].any()
    assert np.isfinite(retime("a", x, t, smoothing_hz=6, fps=None)).all()
    assert np.isfinite(retime("a", x, np.arange(40) / 3, smoothing_hz=None, fps=25)).all()  # slow, without a hole


@pytest.mark.parametrize("fps", [None, 25, 50])
def test_what_lies_beyond_a_gap_does_not_flow_into_a_frame(fps):
    """The tracker may find the face again in another place: that jump must not look like motion."""
    t = np.arange(60) / 25
    one = np.random.default_rng(0).normal(0, 0.01, (60, 80)).astype(np.float32)
    one[30:33] = np.nan
    other = one.copy()
    other[33:] += 1
    first, second = (retime("a", x, t, smoothing_hz=4, fps=fps) for x in (one, other))
    before = np.flatnonzero(np.isnan(first[:, 0]))[0]
    np.testing.assert_array_equal(first[:before], second[:before])
    np.testing.assert_allclose(first[before:] + 1, second[before:], atol=1e-5)
    if fps is None:
        np.testing.assert_array_equal(np.isnan(first), np.isnan(one))


def test_a_single_frame_between_gaps_keeps_its_value():
    x = np.full((9, 80), np.nan, np.float32)
    x[[0, 1, 2, 5, 8]] = np.arange(5)[:, None]
    out = retime("a", x, np.arange(9) / 25, smoothing_hz=6, fps=None)
    np.testing.assert_array_equal(np.isnan(out), np.isnan(x))
    np.testing.assert_allclose(out[[5, 8]], x[[5, 8]])


def test_faces_that_only_flicker_give_no_frame_in_between(tmp_path):
    x = np.where(np.arange(20)[:, None] % 2, np.nan, np.ones((20, 80)))
    path = table(tmp_path / "a.parquet", x, timestamp=np.arange(20) / 25)
    assert load_sequences([path], fps=25).mask.sum() == 10
    assert load_sequences([path], fps=50).mask.sum() == 10
    with pytest.raises(FakeemoError, match="none of 1 videos has two usable frames"):
        load_sequences([path], fps=1.5)


def test_a_cut_off_that_a_video_is_too_slow_for_is_named(tmp_path):
    x = np.random.default_rng(0).normal(size=(30, 80))
    fast = table(tmp_path / "fast.parquet", x, timestamp=np.arange(30) / 100)
    slow = table(tmp_path / "slow.parquet", x, timestamp=np.arange(30) / 15)
    assert len(load_sequences([fast, slow], smoothing_hz=7.4)) == 2
    assert len(load_sequences([fast], smoothing_hz=7.5)) == 1
    with pytest.raises(FakeemoError, match=r"video slow: sequences\.smoothing_hz is 7\.5, but .* 15 frames .* 7\.5 Hz"):
        load_sequences([fast, slow], smoothing_hz=7.5, fps=100)


def test_videos_without_enough_frames_are_left_out_when_retimed(tmp_path):
    good = table(tmp_path / "good.parquet", np.ones((8, 80)), timestamp=np.arange(8) / 25)
    empty = table(tmp_path / "empty.parquet", np.empty((0, 80)), timestamp=np.empty(0))
    single = table(tmp_path / "single.parquet", np.ones((1, 80)), timestamp=np.zeros(1))
    unseen = table(tmp_path / "unseen.parquet", np.full((8, 80), np.nan), timestamp=np.arange(8) / 5)
    paths = [empty, good, single, unseen]
    assert load_sequences(paths, smoothing_hz=6, fps=50).video.tolist() == ["good"]


def test_a_table_without_times_is_enough_unless_they_are_needed(tmp_path):
    x = np.random.default_rng(0).normal(size=(9, 80))
    x[4] = np.nan
    old = table(tmp_path / "old.parquet", x, 2)
    new = table(tmp_path / "new.parquet", x, 2, timestamp=np.sort(np.random.default_rng(1).uniform(0, 1, 9)))
    before, after = load_sequences([old]), load_sequences([new], smoothing_hz=None, fps=None)
    assert before.x.tobytes() == after.x.tobytes()
    assert before.mask.tobytes() == after.mask.tobytes()
    with pytest.raises(FakeemoError, match=r"old\.parquet: has no column 'timestamp'.*delete the table"):
        load_sequences([old], fps=25)


def test_scipy_is_loaded_only_where_it_is_needed(tmp_path):
    path = table(tmp_path / "a.parquet", np.ones((5, 80)))
    code = "import sys; from fakeemo.sequences import load_sequences; load_sequences(sys.argv[1:])"
    code += "; print('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_smoothing_comes_before_the_neutral_frames_are_taken(tmp_path):
    """So that each frame is laid on the neutral one by rigid points of less noise."""
    random = np.random.default_rng(0)
    face = random.uniform(-0.5, 0.5, 80)
    x = face + random.normal(0, 0.01, (100, 80))
    path = table(tmp_path / "a.parquet", x, timestamp=np.arange(100) / 100)
    rough, smooth = (load_sequences([path], reference="neutral", smoothing_hz=hz).x[0] for hz in (None, 6))
    expected = relative_to_neutral(retime("a", x.astype(np.float32), np.arange(100) / 100, smoothing_hz=6, fps=None), 5)
    np.testing.assert_array_equal(smooth, expected)
    assert np.diff(smooth, axis=0).std() < 0.2 * np.diff(rough, axis=0).std()
