"""Simulated landmark sequences: the limit that is promised, what is drawn alike, and the files."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from fakeemo import augment
from fakeemo.cli import main
from fakeemo.errors import FakeemoError
from fakeemo.landmarks import N_SELECTED
from fakeemo.samples import read_samples
from fakeemo.sequences import load_sequences, relative_to_neutral
from fakeemo.simulation import (
    EXPRESSIONS,
    LABELS,
    LATENTS,
    SHARE_OF_SUBJECT,
    SimulationSettings,
    _mean_face,
    _patterns,
    draw_clip,
    paired_limit,
    posterior,
    write_simulation,
)
from fakeemo.tables import read_table


def draw(settings, n_subjects, emotion="happiness"):
    """Draw the clips of ``n_subjects``, genuine and fake in turn, and judge each by Bayes' rule."""
    clips = [draw_clip(settings, subject, emotion, label) for subject in range(n_subjects) for label in LABELS]
    p_fake = posterior(settings, emotion, np.stack([clip.points.mean(axis=0) for clip in clips]))
    return clips, p_fake, np.array([clip.label == "fake" for clip in clips])


def assert_share(hits, expected):
    """Three standard errors: of intervals of 95 %, as many as are looked at here, one would fail by chance."""
    assert abs(hits.mean() - expected) < 3 * math.sqrt(expected * (1 - expected) / len(hits))


def posterior_of_latents(settings, clips):
    """Give the probability of fake of who sees the latent parameters themselves."""
    means, directions, sds = map(np.array, zip(*LATENTS.values(), strict=True))
    z = (np.stack([clip.latents for clip in clips]) - means) / sds * directions
    return 1 / (1 + np.exp(-(settings.shift * z - settings.shift**2 / 2).sum(axis=1)))


@pytest.mark.parametrize("level", [65, 80, 95])
def test_bayes_rule_on_landmarks_reaches_the_level(level):
    settings = SimulationSettings(level=level, seed=11)
    clips, p_fake, is_fake = draw(settings, 200)
    assert_share((p_fake > 0.5) == is_fake, level / 100)
    # What the landmarks cost is far better known than either accuracy, as both rules judge the same clips.
    ideal = posterior_of_latents(settings, clips)
    cost = np.maximum(ideal, 1 - ideal) - np.maximum(p_fake, 1 - p_fake)
    assert cost.mean() + 3 * cost.std() / math.sqrt(len(cost)) < 0.01
    assert_share(p_fake[1::2] > p_fake[::2], paired_limit(level) / 100)


def test_probabilities_of_bayes_rule_are_calibrated():
    _, p_fake, is_fake = draw(SimulationSettings(level=80, seed=12, noise=4), 150)
    for least, most in ((0, 0.25), (0.25, 0.75), (0.75, 1)):
        here = (p_fake >= least) & (p_fake <= most)
        expected = p_fake[here].mean()
        assert abs(is_fake[here].mean() - expected) < 3.5 * math.sqrt(expected * (1 - expected) / here.sum())


def test_at_50_nothing_tells_the_labels_apart():
    settings = SimulationSettings(level=50, seed=13)
    clips, p_fake, is_fake = draw(settings, 60)
    np.testing.assert_allclose(p_fake, 0.5, atol=1e-12)
    latents = np.stack([clip.latents for clip in clips])
    difference = (latents[is_fake] - latents[~is_fake]) / [sd for _, _, sd in LATENTS.values()]
    assert np.abs(difference.mean(axis=0)).max() < 4 * math.sqrt(2 * (1 - SHARE_OF_SUBJECT) / 60)


def test_more_noise_lowers_the_limit():
    expected = []
    for noise in (1, 5, 40):
        _, p_fake, _ = draw(SimulationSettings(level=95, seed=14, noise=noise), 40)
        expected.append(np.maximum(p_fake, 1 - p_fake).mean())
    assert expected[0] > expected[1] + 0.03 > expected[2] + 0.13
    assert expected[2] < 0.7


@pytest.mark.parametrize("emotion", ["anger", "surprise"])
def test_latent_parameters_have_the_spread_that_is_promised(emotion):
    settings = replace(SimulationSettings(level=80, variants=0, seed=15), frames=40, fps=15)
    clips = [draw_clip(settings, subject, emotion, label) for subject in range(250) for label in LABELS]
    means, directions, sds = map(np.array, zip(*LATENTS.values(), strict=True))
    z = (np.stack([clip.latents for clip in clips]) - means) / sds * directions
    genuine, fake = z[::2], z[1::2] - settings.shift
    for column in range(3):
        assert abs(genuine[:, column].std() - 1) < 0.15
        assert abs(fake[:, column].mean()) < 0.25
        assert abs(np.corrcoef(genuine[:, column], fake[:, column])[0, 1] - SHARE_OF_SUBJECT) < 0.2


@pytest.mark.parametrize("emotion", EXPRESSIONS)
def test_no_similarity_of_the_face_can_pass_for_an_expression(emotion):
    face = _mean_face()
    for pattern in _patterns(emotion):
        for pose in (np.ones(N_SELECTED), 1j * np.ones(N_SELECTED), face, 1j * face):
            assert abs((pose.conj() @ pattern).real) < 1e-9 * np.linalg.norm(pose)
    whole, sides = _patterns(emotion)
    assert np.linalg.norm(whole) == pytest.approx(2 * np.linalg.norm(sides))
    assert abs((whole.conj() @ sides).real) < 1e-9


def test_files_are_those_of_the_landmark_step(tmp_path):
    arguments = ["simulate", str(tmp_path), "--subjects", "3", "--emotions", "anger", "surprise", "--level", "65"]
    assert main([*arguments, "--seed", "4", "--frames", "90"]) == 0
    samples = read_samples(tmp_path / "samples.tsv", ["anger", "surprise"])
    assert [sample.split for sample in samples].count("test") == 4
    assert len(samples) == 12
    sequences = load_sequences([sample.path for sample in samples], fps=15)
    assert sequences.x.shape == (12 * 5, 45, 80)
    assert sequences.mask.all()
    assert np.abs(sequences.x).max() < 1

    truth = json.loads((tmp_path / "truth.json").read_text())
    assert truth["limit"]["level"] == 65
    assert set(truth["clips"]) == {sample.video_id for sample in samples}
    columns, header = read_table(samples[0].path)
    assert header["kind"] == "variants"
    assert header["parameters"]["simulation"]["seed"] == 4
    np.testing.assert_allclose(columns["timestamp"][:90], np.arange(90) / 30)
    with open(tmp_path / "samples.tsv", newline="") as file:
        assert all(row["path"].startswith(str(tmp_path)) for row in csv.DictReader(file, delimiter="\t"))


def test_jitter_moves_the_crop_and_not_the_face(tmp_path):
    settings = SimulationSettings(subjects=3, emotions=("sadness",), variants=3)
    write_simulation(tmp_path, settings)
    clip = draw_clip(settings, 2, "sadness", "fake")
    columns, _ = read_table(tmp_path / "variants" / f"{clip.video_id}.parquet")
    for variant, (dx, dy) in enumerate(augment.offsets(clip.video_id, 3, (19, 9), settings.seed)):
        rows = columns["variant"] == variant
        x = (columns["u_28"][rows] + 1) / 2 * (200 - dx) + dx
        y = (columns["v_28"][rows] + 1) / 2 * (200 - dy) + dy
        np.testing.assert_allclose(x, clip.points[variant, :, 28].real, atol=1e-3)
        np.testing.assert_allclose(y, clip.points[variant, :, 28].imag, atol=1e-3)


def test_the_same_seed_gives_the_same_clips_and_another_others(tmp_path):
    settings = SimulationSettings(subjects=3, emotions=("disgust",))
    for folder, drawn in (("a", settings), ("b", settings), ("c", replace(settings, seed=2))):
        write_simulation(tmp_path / folder, drawn)
    a, b, c = (
        read_table(tmp_path / folder / "variants" / "s001_disgust_fake.parquet")[0]["u_0"] for folder in ("a", "b", "c")
    )
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 0.01
    more = replace(settings, subjects=9, emotions=("anger", "disgust"))
    one, same = (draw_clip(chosen, 1, "disgust", "fake") for chosen in (settings, more))
    np.testing.assert_array_equal(one.points, same.points)


def test_onset_is_where_truth_says():
    settings = SimulationSettings(level=95, seed=16)
    late = []
    for subject in range(20):
        clip = draw_clip(settings, subject, "happiness", "genuine")
        z = clip.points.mean(axis=0)
        x = relative_to_neutral(np.concatenate([z.real, z.imag], axis=1), 5)
        corner = np.hypot(x[:, 28], x[:, 68])
        late.append(np.argmax(corner > np.median(corner[-40:]) / 2) / settings.fps - clip.onset_time)
    assert abs(np.median(late)) < 0.05


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"level": 45}, "level: 45 given, expected a number from 50 to 99"),
        ({"emotions": ("joy",)}, "emotions: .* expected some of anger"),
        ({"emotions": ("anger", "anger")}, "emotions"),
        ({"subjects": 2}, "subjects: 2 given"),
        ({"frames": 30}, "frames: 30 given, expected 2.5 to 5 seconds"),
        ({"noise": 0}, "noise"),
    ],
)
def test_what_cannot_be_simulated_is_named(wrong, message):
    with pytest.raises(FakeemoError, match=message):
        SimulationSettings(**wrong)
