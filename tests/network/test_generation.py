"""Generation mode: a class's PB vector makes what the class moved like; the animation, its table, and its errors."""

import av
import numpy as np
import pytest
import torch
from matplotlib.patches import PathPatch

from fakeemo import generation
from fakeemo.cli import main
from fakeemo.expressions import differences, movement, read_generated
from fakeemo.face_animation import Expression, draw
from fakeemo.learning_step import LearningSettings
from fakeemo.lstm_pb import LSTMPB, NetworkSettings, save_network
from fakeemo.sequences import FEATURES, RIGID_POINTS, Sequences, load_sequences
from fakeemo.tables import read_table, write_table
from fakeemo.training import train

FPS, FRAMES, RISE = 10, 21, (0.91, 0.41)  # RISE: seconds from 10 to 90 % of the apex, genuine and fake
NETWORK = NetworkSettings(pb=8, context=16, hidden=64, layers=2, context_from="hidden", pb_activation="linear")
LEARNING = LearningSettings(
    epochs=200,
    batch_size=24,
    optimiser="adam",
    weight_rate=0.005,
    pb_optimiser="adam",
    pb_rate=0.02,
    schedule="linear",
    closed_loop=0.5,
)
PATTERN = np.clip(2.5 * np.random.default_rng(7).normal(size=80) / 3, -1, 1)


def least_jerk(u):
    u = np.clip(u, 0, 1)
    return u**3 * (10 - 15 * u + 6 * u**2)


def clips(seed, subjects=12):
    """Expressions that rise about the same moment; only their duration differs with the label."""
    random = np.random.default_rng(seed)
    t = np.arange(FRAMES) / FPS
    labels = np.tile([0, 1], subjects)
    amplitude = np.repeat(0.4 * np.exp(0.1 * random.normal(size=subjects)), 2)
    # A rise of least jerk goes from 10 to 90 % in 0.507 of its whole duration.
    duration = np.array(RISE)[labels] / 0.507 * np.exp(0.1 * random.normal(size=len(labels)))
    middle = 1.0 + 0.02 * random.normal(size=len(labels))
    course = amplitude[:, None] * least_jerk((t - middle[:, None]) / duration[:, None] + 0.5)
    x = course[..., None] * PATTERN + 0.01 * random.normal(size=(len(labels), FRAMES, 80))
    mask = np.ones((len(labels), FRAMES), bool)
    video = np.array([f"v{i}" for i in range(len(labels))])
    return Sequences(x.astype(np.float32), mask, video, np.zeros(len(labels), int)), labels


def rise_time(x):
    """Give the seconds from 10 to 90 % of the apex, of a sequence (time, 80) along PATTERN."""
    course = (x - x[0]) @ PATTERN
    course = course / course[-5:].mean()
    after = int(np.argmax(course >= 0.9))
    before = int(np.flatnonzero(course[:after] < 0.1)[-1])

    def crossing(k, level):
        return k + (level - course[k]) / (course[k + 1] - course[k])

    return (crossing(after - 1, 0.9) - crossing(before, 0.1)) / FPS


@pytest.fixture(scope="module", params=[0, 1, 2])
def learned(request):
    """Learn by Adam: plain gradient descent takes many times as long to part the classes."""
    sequences, labels = clips(request.param)
    torch.set_num_threads(1)
    model, _ = train(sequences, labels, NETWORK, LEARNING, seed=request.param)
    return model, sequences, labels


def test_each_class_pb_makes_the_onset_of_its_class_and_those_between_lie_between(learned):
    model, sequences, labels = learned
    shown = [np.mean([rise_time(x) for x in sequences.x[labels == label]]) for label in (0, 1)]
    _, made = generation.generate_between(model, torch.zeros(80), FRAMES, 5)
    rises = [rise_time(x) for x in made.numpy()]
    assert rises[0] == pytest.approx(shown[0], rel=0.15)
    assert rises[-1] == pytest.approx(shown[1], rel=0.15)
    assert (np.diff(rises) < 0).all(), rises
    # What the classes have in common stays the same: how far the expression goes.
    apex = made[:, -5:].mean(dim=1).numpy() @ PATTERN / (PATTERN @ PATTERN)
    assert apex == pytest.approx(np.full(5, 0.4), rel=0.2)


def test_the_line_between_the_pb_vectors_ends_at_them():
    model = network()
    share, made = generation.generate_between(model, torch.zeros(80), 4, 3)
    assert share.tolist() == [0, 0.5, 1]
    for k, p in ((0, model.class_pb[0]), (1, model.class_pb.mean(dim=0)), (2, model.class_pb[1])):
        torch.testing.assert_close(made[k], model.generate(p[None], torch.zeros(1, 80), 4)[0])


def network():
    torch.manual_seed(0)
    model = LSTMPB(NetworkSettings(pb=3, context=4, hidden=8, layers=1))
    model.class_pb.copy_(torch.randn(2, 3))
    return model


def model_folder(folder, reference="neutral"):
    save_network(network(), folder, sequences={"reference": reference, "neutral_frames": 3}, longest=6)
    return folder


def variant_table(path, frames=8):
    """A face that opens its mouth while the rest keeps still, in a crop; not jittered and jittered."""
    _, neutral = generation.at_rest("crop")
    points = np.tile(neutral, (2, frames, 1, 1))
    points[:, 3:, 34, 1] += np.linspace(0.02, 0.2, frames - 3)
    points[1] -= 0.1
    values = points.transpose(0, 1, 3, 2).reshape(-1, 80).astype(np.float32)
    columns = {"variant": np.repeat([0, 1], frames), "frame": np.tile(np.arange(frames), 2)}
    write_table(path, columns | dict(zip(FEATURES, values.T, strict=True)), kind="variants")
    return points[0]


def test_displacements_come_back_as_positions_on_the_same_face(tmp_path):
    expected = variant_table(tmp_path / "clip.parquet")
    prepared = {"reference": "neutral", "neutral_frames": 3}
    first, neutral = generation.first_of(tmp_path / "clip.parquet", prepared)
    np.testing.assert_allclose(first, 0, atol=1e-6)
    x = load_sequences([tmp_path / "clip.parquet"], **prepared).x[:1]
    np.testing.assert_allclose(generation.on_face(x, neutral, "neutral")[0], expected, atol=1e-6)

    first, neutral = generation.first_of(tmp_path / "clip.parquet", prepared | {"reference": "crop"})
    np.testing.assert_allclose(generation.on_face(first[None, None], neutral, "crop")[0, 0], expected[0], atol=1e-6)


@pytest.mark.parametrize("reference", ["crop", "neutral"])
def test_the_face_at_rest_is_a_face_in_its_crop(reference):
    first, neutral = generation.at_rest(reference)
    assert np.abs(neutral).max() < 1
    assert neutral[RIGID_POINTS, 0].mean() == pytest.approx(0, abs=0.05)
    assert neutral[:10, 1].max() < neutral[16:28, 1].min() < neutral[28:36, 1].min(), "brows, eyes, lips from above"
    np.testing.assert_allclose(generation.on_face(first[None, None], neutral, reference)[0, 0], neutral, atol=1e-6)


def test_the_command_writes_film_and_table(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model_folder(tmp_path / "anger")
    assert main(["generate", "anger", "--steps", "2", "--fps", "20", "--exaggerate", "2", "--table", "t.parquet"]) == 0
    assert capsys.readouterr().out.strip() == "anger_generated.mp4"
    with av.open("anger_generated.mp4") as film:
        images = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        assert film.streams.video[0].average_rate == 20
    assert len(images) == 6
    # Genuine is drawn in blue on the left, fake in vermilion on the right.
    red, _, blue = images[-1].astype(int).transpose(2, 0, 1)
    where_blue, where_red = np.argwhere(blue - red > 100), np.argwhere(red - blue > 100)
    strip = 0.75 * len(red)
    assert where_blue[where_blue[:, 0] < strip, 1].max() < len(red[0]) / 2 < where_red[where_red[:, 0] < strip, 1].min()

    table, header = read_table("t.parquet")
    assert (header["kind"], header["parameters"]["first"]) == ("generated", None)
    expected = network().generate(network().class_pb, torch.zeros(2, 80), 6).numpy()
    np.testing.assert_allclose(np.stack([table[name] for name in FEATURES], axis=1).reshape(2, 6, 80), expected)
    assert table["share_fake"].tolist() == [0] * 6 + [1] * 6
    np.testing.assert_allclose(table["timestamp"][:6], np.arange(6) / 20)
    np.testing.assert_allclose(header["parameters"]["class_pb"], network().class_pb)


def test_the_report_reads_what_was_generated(tmp_path):
    model_folder(tmp_path / "anger")
    made = generation.generate(tmp_path / "anger", steps=2)
    generation.write_generated_table(tmp_path / "t.parquet", made, tmp_path / "anger")
    found = read_generated(tmp_path / "t.parquet")
    np.testing.assert_allclose(found.points, made.points)
    np.testing.assert_allclose(found.points, generation.on_face(made.x, made.neutral, "neutral"))
    np.testing.assert_allclose(found.neutral, generation.at_rest("neutral")[1])
    assert found.fps == 25
    eyes = np.linalg.norm(found.neutral[25] - found.neutral[16])
    moved = np.linalg.norm(made.points[1, 3] - made.points[1, 0], axis=1).mean()
    assert movement(found.points, found.neutral)[1, 3] == pytest.approx(100 * moved / eyes)
    apart = np.linalg.norm(made.points[0, 3] - made.points[1, 3], axis=1).mean()
    assert differences(found.points, found.neutral)[3] == pytest.approx(100 * apart / eyes)


def test_a_gif_from_a_given_face(tmp_path):
    variant_table(tmp_path / "clip.parquet")
    folder = model_folder(tmp_path / "anger", "crop")
    out = tmp_path / "anger.gif"
    first = ["--first", str(tmp_path / "clip.parquet"), "--table", str(tmp_path / "t.parquet")]
    assert main(["generate", str(folder), "--out", str(out), "--length", "4", "--steps", "2", *first]) == 0
    with av.open(str(out)) as film:
        assert len(list(film.decode(video=0))) == 4
    table, _ = read_table(tmp_path / "t.parquet")
    frame = load_sequences([tmp_path / "clip.parquet"]).x[0, 0]
    np.testing.assert_allclose([table[name][0] for name in FEATURES], frame)


def test_lines_go_through_the_landmarks_and_exaggeration_moves_them_further():
    _, neutral = generation.at_rest("neutral")
    points = np.tile(neutral, (2, 1, 1))
    points[1, 34, 1] += 0.1  # the lower lip, down
    for exaggerate in (1, 3):
        figure, show = draw([Expression("fake", 1.0, points)], neutral, fps=25, heading="", exaggerate=exaggerate)
        lips = [patch for patch in figure.axes[0].patches if isinstance(patch, PathPatch)][-1]
        for frame in (0, 1):
            show(frame)
            expected = neutral[28:36] + (0, 0.1 * exaggerate * frame) * (np.arange(28, 36) == 34)[:, None]
            distance = np.abs(lips.get_path().vertices[None] - expected[:, None]).sum(axis=2).min(axis=1)
            np.testing.assert_allclose(distance, 0, atol=1e-9)
        said = [text.get_text() for text in figure.texts]
        assert ("movement × 3" in said) == (exaggerate == 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "no LSTM-PB can be read there"),
        (["anger", "--length", "1"], "at least 2 frames, not 1"),
        (["anger", "--steps", "1"], "at least 2 steps, not 1"),
        (["anger", "--fps", "0"], "frames a second: 0 given"),
        (["anger", "--exaggerate", "nan"], "factor on the movement: nan given"),
        (["anger", "--out", "film.avi"], "ends in .mp4 or .gif"),
        (["anger", "--first", "pb.parquet"], "holds pb, not variants"),
        (["anger", "--first", "lost.parquet"], "no face found [no_face]"),
        (["anger", "--first", "none.parquet"], "cannot be read as a Parquet table"),
    ],
)
def test_a_fault_is_one_line_and_leaves_no_file(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    model_folder(tmp_path / "anger")
    write_table("pb.parquet", {"variant": [0]}, kind="pb")
    write_table(
        "lost.parquet", {"variant": np.zeros(0, int)}, kind="variants", status="no_face", reason="no face found"
    )
    before = set(tmp_path.iterdir())
    assert main(["generate", *arguments]) == 1
    error = capsys.readouterr().err.strip()
    assert message in error
    assert error.count("\n") == 0
    assert set(tmp_path.iterdir()) == before
