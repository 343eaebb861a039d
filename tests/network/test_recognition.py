"""Recognition mode: frozen weights, equations 1-2, starts, and PB vectors that tell known dynamics apart."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import reference
import torch
from test_training import NETWORK, Tight, two_classes

from fakeemo.errors import FakeemoError
from fakeemo.learning_step import LearningSettings
from fakeemo.lstm_pb import load_network, prediction_error
from fakeemo.recognition import RecognitionSettings, recognise, recognise_emotion
from fakeemo.sequences import FEATURES, load_sequences
from fakeemo.tables import read_table, write_table
from fakeemo.training import train, train_emotion

FREE = LearningSettings(epochs=80, batch_size=4, weight_rate=0.1, pb_rate=5.0, closed_loop=0.8)


@pytest.fixture(scope="module")
def trained():
    sequences, labels = two_classes()
    model, _ = train(sequences, labels, NETWORK, FREE, seed=0)
    return model


@pytest.mark.parametrize("closed_loop", [0.0, 0.8])
def test_one_step_equals_equations_1_and_2_by_hand(trained, closed_loop):
    sequences, _ = two_classes(videos=2, variants=1, seed=3)
    found = recognise(trained, sequences, RecognitionSettings(steps=1, rate=0.7), closed_loop=closed_loop)
    w = reference.weights(trained)
    for i in range(len(sequences)):
        x = sequences.x[i].astype(float)

        def error(p, x=x):
            return reference.error(w, x, p, 2, 16, closed_loop=closed_loop)

        delta = np.array([-(error(e) - error(-e)) / 2e-5 for e in 1e-5 * np.eye(3)])
        np.testing.assert_allclose(found.pb[i], 0.7 * delta, atol=1e-6)
        assert found.error[i] == pytest.approx(error(found.pb[i].astype(float)), abs=1e-6)
        assert found.error_genuine[i] == pytest.approx(error(w["class_pb"][0]), abs=1e-6)
        assert found.error_fake[i] == pytest.approx(error(w["class_pb"][1]), abs=1e-6)


def test_what_the_pb_does_not_change_is_computed_once_and_comes_to_the_same(trained):
    sequences, _ = two_classes(seed=3)
    x, mask = torch.from_numpy(sequences.x), torch.from_numpy(sequences.mask)
    settings, calls = RecognitionSettings(steps=6, rate=1.0), []
    expected = torch.zeros(len(x), 3)
    for _ in range(6):
        q = expected.clone().requires_grad_()
        hidden = torch.relu(trained.from_pb(q))[:, None] + trained.clock(11) + torch.relu(trained.from_x(x[:, :-1]))
        error = prediction_error(torch.tanh(trained.output(hidden)), x, mask)
        expected -= torch.autograd.grad(error.sum(), q)[0]
    handle = trained.from_x.register_forward_hook(lambda *_: calls.append(1))
    found = recognise(trained, sequences, settings, closed_loop=0.0)
    handle.remove()
    assert len(calls) == 1
    assert (found.steps == 6).all()
    np.testing.assert_allclose(found.pb, expected.numpy(), rtol=1e-5, atol=1e-7)


def test_weights_stay_as_they_are_and_the_error_falls(trained):
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    trained.zero_grad(set_to_none=True)
    sequences, _ = two_classes(seed=3)
    one = recognise(trained, sequences, RecognitionSettings(steps=1, rate=1.0), closed_loop=0.8)
    many = recognise(trained, sequences, RecognitionSettings(steps=40, rate=1.0), closed_loop=0.8)
    assert (many.error < one.error).all()
    assert all(torch.equal(tensor, before[name]) for name, tensor in trained.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in trained.parameters())


def test_recognised_vectors_tell_the_classes_of_new_videos_apart(trained):
    sequences, labels = two_classes(videos=10, seed=9)
    found = recognise(trained, sequences, RecognitionSettings(steps=60, rate=5.0), closed_loop=0.8)
    genuine, fake = trained.class_pb.numpy()
    nearer_fake = np.linalg.norm(found.pb - fake, axis=1) < np.linalg.norm(found.pb - genuine, axis=1)
    assert (nearer_fake == (labels == 1)).mean() > 0.9
    assert ((found.error_fake < found.error_genuine) == (labels == 1)).mean() > 0.9


def test_of_several_starts_the_one_that_ends_with_least_error_counts(trained):
    sequences, _ = two_classes(videos=10, seed=3)
    settings = RecognitionSettings(steps=10, rate=3.0)
    zero, classes, best = (
        recognise(trained, sequences, replace(settings, start=start), closed_loop=0.8)
        for start in ("zero", "classes", "best")
    )
    assert set(zero.start) == {"zero"}
    assert set(classes.start) == {"genuine", "fake"}
    np.testing.assert_allclose(best.error, np.minimum(zero.error, classes.error), atol=1e-7)
    np.testing.assert_allclose(best.pb, np.where((zero.error < classes.error)[:, None], zero.pb, classes.pb), atol=1e-6)
    assert best.errors.shape == (len(sequences), 3, 11)
    np.testing.assert_allclose(best.error, best.errors[:, :, -1].min(axis=1), atol=1e-7)


def test_class_vectors_themselves_are_the_starts(trained):
    sequences, _ = two_classes(videos=10, seed=3)
    settings = RecognitionSettings(steps=1, rate=1e-6, start="classes")
    found = recognise(trained, sequences, settings, closed_loop=0.8)
    fake = found.error_fake < found.error_genuine
    assert fake.any()
    assert not fake.all()
    np.testing.assert_array_equal(found.start, np.where(fake, "fake", "genuine"))
    np.testing.assert_allclose(found.pb, trained.class_pb.numpy()[fake.astype(int)], atol=1e-5)
    np.testing.assert_allclose(found.errors[:, :, 0], np.stack([found.error_genuine, found.error_fake], 1), atol=1e-6)


def test_the_course_of_a_descent_is_that_of_shorter_descents(trained):
    sequences, _ = two_classes(seed=3)
    settings = RecognitionSettings(steps=6, rate=2.0)
    found = recognise(trained, sequences, settings, closed_loop=0.8)
    shorter = [recognise(trained, sequences, replace(settings, steps=k), closed_loop=0.8) for k in (2, 3)]
    np.testing.assert_allclose(found.errors[:, 0, 2], shorter[0].error, atol=1e-7)
    np.testing.assert_allclose(found.errors[:, 0, 3], shorter[1].error, atol=1e-7)
    moved = np.linalg.norm(shorter[1].pb - shorter[0].pb, axis=1)
    np.testing.assert_allclose(found.changes[:, 0, 3], moved, atol=1e-6)
    assert not found.changes[:, 0, 0].any()


def test_gauss_newton_ends_at_the_least_error_and_in_fewer_steps(trained):
    sequences, _ = two_classes(videos=6, variants=1, seed=3)
    sequences.mask[1, 8:] = False
    settings = RecognitionSettings(method="gauss-newton", steps=12)
    found = recognise(trained, sequences, settings, closed_loop=0.8)
    assert (np.diff(found.errors[:, 0]) <= 1e-8).all(), "no step raises the error"
    far = recognise(trained, sequences, RecognitionSettings(steps=12, rate=2.0), closed_loop=0.8)
    assert (found.error <= far.error + 1e-7).all()
    w = reference.weights(trained)
    for i, length in enumerate(sequences.mask.sum(axis=1)):
        x = sequences.x[i, :length].astype(float)

        def error(p, x=x):
            return reference.error(w, x, p, 2, 16, closed_loop=0.8)

        p = found.pb[i].astype(float)
        assert found.error[i] == pytest.approx(error(p), abs=1e-6)
        assert error(p) <= min(error(p + e) for e in 0.05 * np.vstack([np.eye(3), -np.eye(3)])) + 1e-7


def test_gauss_newton_finds_the_vector_that_made_a_sequence(trained):
    sequences, _ = two_classes(videos=4, variants=1, seed=3)
    made = torch.tensor([[0.3, -0.2, 0.1], [-0.1, 0.4, 0.2], [0.2, 0.2, -0.3], [0.1, 0.1, 0.1]])
    x = trained.generate(made, torch.from_numpy(sequences.x[:, 0]), sequences.x.shape[1]).numpy()
    sequences = replace(sequences, x=x, mask=np.ones_like(sequences.mask))
    found = recognise(trained, sequences, RecognitionSettings(method="gauss-newton", steps=20), closed_loop=1.0)
    before = recognise(trained, sequences, RecognitionSettings(steps=20), closed_loop=1.0)
    assert (found.error < 1e-3 * before.error).all(), (found.error, before.error)


def test_a_rate_that_overshoots_is_warned_of(trained):
    sequences, _ = two_classes(seed=3)
    with pytest.warns(UserWarning, match=r"anger: \d of 8 sequences end with a higher error .* lower recognition.rate"):
        recognise(trained, sequences, RecognitionSettings(rate=1e5), closed_loop=0.8, description="anger")


def test_a_rate_that_diverges_names_the_video(trained):
    sequences, _ = two_classes(seed=3)
    with pytest.raises(FakeemoError, match=r"v\d, variant \d: .* finite number .* 1e\+40; lower recognition.rate"):
        recognise(trained, sequences, RecognitionSettings(rate=1e40), closed_loop=0.8)


@pytest.mark.parametrize("closed_loop", [0.0, 0.8])
@pytest.mark.parametrize("start", ["zero", "best"])
def test_a_sequence_is_recognised_alone_as_in_a_batch_of_other_lengths(trained, start, closed_loop):
    sequences, _ = two_classes(seed=3)
    sequences.mask[0, 7:] = False
    sequences.x[0, 7:] = 0
    # Teacher forced, the error says less of the PB, and its steps are shorter.
    settings = RecognitionSettings(steps=5, rate=1.0, start=start, tolerance=0.02 if closed_loop else 0.0127)
    together = recognise(trained, sequences, settings, closed_loop=closed_loop)
    in_pairs = recognise(trained, sequences, replace(settings, batch_size=2), closed_loop=closed_loop)
    alone = recognise(trained, sequences.select(np.array([0])), settings, closed_loop=closed_loop)
    taken = np.isfinite(together.errors).sum(axis=2)
    assert taken.min() < taken.max(), "the case needs descents that end at different steps"
    np.testing.assert_allclose(together.pb, in_pairs.pb, atol=1e-6)
    np.testing.assert_allclose(together.pb[0], alone.pb[0], atol=1e-6)
    np.testing.assert_array_equal(together.steps, in_pairs.steps)
    assert together.start[0] == alone.start[0]


def test_tolerance_stops_each_sequence_by_itself(trained):
    sequences, _ = two_classes(seed=3)
    full = recognise(trained, sequences, RecognitionSettings(steps=30, rate=1.0), closed_loop=0.8)
    assert (full.steps == 30).all()
    early = recognise(trained, sequences, RecognitionSettings(steps=30, rate=1.0, tolerance=0.02), closed_loop=0.8)
    assert early.steps.min() < early.steps.max() <= 30
    np.testing.assert_array_equal(np.isfinite(early.errors[:, 0]).sum(axis=1), early.steps + 1)
    some = int(np.argmin(early.steps))
    fewer = replace(RecognitionSettings(rate=1.0), steps=int(early.steps[some]))
    np.testing.assert_allclose(
        early.pb[some], recognise(trained, sequences, fewer, closed_loop=0.8).pb[some], atol=1e-6
    )


def test_the_job_writes_a_row_for_every_usable_variant(tmp_path):
    random = np.random.default_rng(0)
    tables = []
    for video, n in (("a", 6), ("b", 8), ("faceless", 0)):
        columns = {"variant": np.repeat([0, 1], n), "frame": np.tile(np.arange(n), 2)}
        columns |= {name: random.uniform(-0.5, 0.5, 2 * n) for name in FEATURES}
        write_table(tmp_path / f"{video}.parquet", columns, kind="variants")
        tables.append(tmp_path / f"{video}.parquet")
    train_emotion(
        tables[:2],
        {"a": "genuine", "b": "fake"},
        tmp_path / "model",
        network=NETWORK,
        learning=LearningSettings(epochs=2),
        sequences={"reference": "crop"},
        seed=1,
        device="cpu",
        threads=1,
        description="anger",
    )
    recognise_emotion(
        tables,
        tmp_path / "model",
        tmp_path / "pb.parquet",
        tmp_path / "convergence.csv",
        settings=RecognitionSettings(steps=2, start="classes"),
        device="cpu",
        threads=1,
        description="anger",
    )
    columns, header = read_table(tmp_path / "pb.parquet")
    assert columns["video_id"].tolist() == ["a", "a", "b", "b"]
    assert columns["variant"].tolist() == [0, 1, 0, 1]
    assert {"pb_0", "pb_2", "error", "error_genuine", "error_fake", "distance_genuine", "steps"} <= columns.keys()
    assert set(columns["start"]) <= {"genuine", "fake"}
    assert header["parameters"]["steps"] == 2
    assert header["parameters"]["sequences"] == {"reference": "crop"}
    with open(tmp_path / "convergence.csv") as file:
        rows = list(csv.DictReader(file))
    expected = [(video, start, str(step)) for video in "ab" for start in ("genuine", "fake") for step in range(3)]
    assert [(row["video_id"], row["start"], row["step"]) for row in rows] == expected
    won = [row for row in rows if (row["video_id"], row["start"]) == ("a", columns["start"][0])]
    assert float(won[-1]["error"]) == pytest.approx(columns["error"][0], rel=1e-5)


def test_new_videos_are_prepared_as_those_of_training_were(tmp_path):
    random = np.random.default_rng(0)
    face, pattern = random.uniform(-0.5, 0.5, 80), random.normal(0, 0.1, (2, 80))
    for video, begin in (("a", 4), ("b", 6), ("new", 9)):
        rise = np.clip((np.arange(24) - begin) / 5, 0, 1)[:, None]
        x = face + rise * (random.normal(size=2) @ pattern) + random.normal(0, 0.001, (24, 80))
        columns = {"variant": np.zeros(24, int), "frame": np.arange(24), "timestamp": np.arange(24) / 12}
        write_table(tmp_path / f"{video}.parquet", columns | dict(zip(FEATURES, x.T, strict=True)), kind="variants")
    prepared = {"reference": "neutral", "components": 2, "onset_window_s": [0.25, 0.75], "fps": 12, "neutral_frames": 3}
    common = {"device": "cpu", "threads": 1, "description": "anger"}
    train_emotion(
        [tmp_path / "a.parquet", tmp_path / "b.parquet"],
        {"a": "genuine", "b": "fake"},
        tmp_path,
        network=NETWORK,
        learning=LearningSettings(epochs=2),
        sequences=prepared,
        seed=1,
        **common,
    )
    basis = load_network(tmp_path)[1]["sequences"]["basis"]
    assert np.shape(basis) == (80, 2)
    settings = RecognitionSettings(method="gauss-newton", steps=2)
    out = tmp_path / "pb.parquet"
    recognise_emotion([tmp_path / "new.parquet"], tmp_path, out, tmp_path / "c.csv", settings=settings, **common)
    series = load_sequences([tmp_path / "new.parquet"], **prepared, basis=basis)
    assert series.x.shape == (1, 13, 80)
    expected = recognise(load_network(tmp_path)[0], series, settings, closed_loop=0.0)
    assert read_table(out)[0]["error"] == pytest.approx(expected.error)


def test_out_of_memory_sequences_go_through_fewer_at_a_time_to_the_same_end(trained, capsys):
    tight = Tight(trained.settings)
    tight.load_state_dict(trained.state_dict())
    sequences, _ = two_classes(seed=3)
    settings = RecognitionSettings(steps=4, rate=1.0)
    found = recognise(tight, sequences, settings, closed_loop=0.8)
    assert capsys.readouterr().out.count("out of memory; goes on with 2 sequences at a time") == 1
    whole = recognise(trained, sequences, settings, closed_loop=0.8)
    np.testing.assert_allclose(found.pb, whole.pb, atol=1e-5)
    np.testing.assert_allclose(found.error, whole.error, rtol=1e-4)
    tight.room = 0
    with pytest.raises(FakeemoError, match="cpu: out of memory with one sequence"):
        recognise(tight, sequences, settings, closed_loop=0.8)
