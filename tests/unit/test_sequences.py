"""From variant tables to padded series: gaps, lengths, and displacements free of head motion."""

import numpy as np
import pytest

from fakeemo.errors import FakeemoError
from fakeemo.sequences import FEATURES, fill_gaps, load_sequences, relative_to_neutral
from fakeemo.tables import write_table


def table(path, x, variants=1):
    """Write ``x`` ``(frames, 80)`` as every variant of a video."""
    n = len(x)
    columns = {"variant": np.repeat(np.arange(variants), n), "frame": np.tile(np.arange(n), variants)}
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
