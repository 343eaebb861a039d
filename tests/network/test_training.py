"""Learning mode: equations 1-2 by hand, what is learned, the schedule, and repeatability."""

from dataclasses import replace

import numpy as np
import pytest
import reference
import torch

from fakeemo.errors import FakeemoError
from fakeemo.lstm_pb import NetworkSettings, load_network
from fakeemo.sequences import FEATURES, Sequences
from fakeemo.tables import write_table
from fakeemo.training import LearningSettings, class_means, learn_batch, train, train_emotion, update_pb

NETWORK = NetworkSettings(pb=3, context=4, hidden=16, layers=2)
QUICK = LearningSettings(epochs=5, batch_size=4, weight_rate=0.05)


def two_classes(videos=4, variants=2, time=12, noise=0.01, seed=0):
    """Ramps that rise fast in class 0 and slowly in class 1, six features wide."""
    random = np.random.default_rng(seed)
    n = videos * variants
    labels = np.repeat(np.arange(videos) % 2, variants)
    ramp = np.minimum(np.arange(time) / np.where(labels == 0, 3, 10)[:, None], 1)
    x = (0.6 * ramp[..., None] * np.linspace(0.5, 1, 6) + noise * random.normal(size=(n, time, 6))).astype(np.float32)
    video = np.repeat([f"v{i}" for i in range(videos)], variants)
    return Sequences(x, np.ones((n, time), bool), video, np.tile(np.arange(variants), videos)), labels


def test_one_pb_update_equals_equations_1_and_2_by_hand():
    """Sum the back-propagated error of each time step by finite differences, average, add: equations 1-2."""
    sequences, labels = two_classes(videos=2, variants=1)
    batch = sequences.select(np.array([0]))
    model, _ = train(sequences, labels, NETWORK, replace(QUICK, epochs=1), seed=0)
    w, x = reference.weights(model), batch.x[0].astype(float)
    pb = torch.tensor([[0.1, -0.2, 0.3], [0.0, 0.0, 0.0]])
    before = pb[0].numpy().astype(float)
    learn_batch(model, torch.optim.SGD(model.parameters(), lr=0.01), pb, 0.9, batch, np.array([0]), QUICK)

    def errors(p):  # E(t), one a predicted frame
        return ((reference.rollout(w, x, p, 2, 16) - x[1:]) ** 2).mean(axis=1)

    steps = 1e-6 * np.eye(3)
    error_p = np.array([-(errors(before + e) - errors(before - e)) / 2e-6 for e in steps])  # (pb, time steps)
    delta = error_p.sum(axis=1) / error_p.shape[1]  # equation 1
    np.testing.assert_allclose(pb[0].numpy(), before + 0.9 * delta, atol=1e-6)  # equation 2
    assert not pb[1].any()


def test_sequences_that_share_a_pb_vector_move_it_by_their_mean():
    pb = torch.zeros(3, 2)
    delta = torch.tensor([[1.0, 2.0], [3.0, 4.0], [10.0, 10.0]])
    update_pb(pb, torch.tensor([0, 0, 2]), delta, rate=0.5)
    assert pb.tolist() == [[1.0, 1.5], [0.0, 0.0], [5.0, 5.0]]


def test_class_vectors_are_the_means_of_their_videos():
    pb = torch.tensor([[1.0], [2.0], [4.0]])
    owner, labels = np.array([0, 0, 1, 2]), np.array([0, 0, 0, 1])
    assert class_means(pb, owner, labels).tolist() == [[1.5], [4.0]]


@pytest.mark.parametrize("pb", ["class", "sequence"])
def test_learning_lowers_the_error_and_parts_the_classes(pb):
    sequences, labels = two_classes()
    learning = LearningSettings(epochs=60, batch_size=4, weight_rate=0.1, pb_rate=5.0, closed_loop=0.8, pb=pb)
    model, history = train(sequences, labels, NETWORK, learning, seed=0)
    assert history[-1]["loss"] < 0.2 * history[0]["loss"]
    genuine, fake = model.class_pb
    assert (genuine - fake).norm() > 0.05
    assert history[-1]["pb_distance"] == pytest.approx(float((genuine - fake).norm()), rel=0.2)


def test_the_best_epoch_is_kept():
    sequences, labels = two_classes()
    wild = LearningSettings(epochs=12, batch_size=4, weight_rate=2.0, patience=100)
    model, history = train(sequences, labels, NETWORK, wild, seed=0)
    losses = [row["loss"] for row in history]
    best = int(np.argmin(losses)) + 1
    assert best < 12, "the case needs a loss that rises again"
    again, _ = train(sequences, labels, NETWORK, replace(wild, epochs=best), seed=0)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_both_rates_fall_when_the_loss_no_longer_does():
    sequences, labels = two_classes(noise=0)
    stuck = LearningSettings(epochs=9, batch_size=4, weight_rate=1e-12, pb_rate=1e-12, patience=3)
    _, history = train(sequences.select(np.arange(8)), labels, NETWORK, stuck, seed=0)
    # The loss can fall by rounding alone, so the rule is checked against the history itself.
    rates = [row["weight_rate"] for row in history]
    best, last_gain, expected = float("inf"), 0, 1e-12
    for row, rate in zip(history, rates, strict=True):
        assert rate == pytest.approx(expected)
        assert row["pb_rate"] == pytest.approx(expected)
        if row["loss"] < best:
            best, last_gain = row["loss"], row["epoch"]
        elif row["epoch"] - last_gain >= 3:
            last_gain, expected = row["epoch"], expected / 10
    assert rates[-1] < 1e-12, "the case needs a stall"


def test_same_seed_same_network_and_another_seed_another():
    sequences, labels = two_classes()
    (one, history), (two, again), (three, _) = (
        train(sequences, labels, NETWORK, QUICK, seed=seed) for seed in (5, 5, 6)
    )
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert [row["loss"] for row in history] == [row["loss"] for row in again]
    assert not torch.equal(one.output.weight, three.output.weight)


def test_a_diverging_loss_stops_with_epoch_rate_and_advice():
    sequences, labels = two_classes()
    settings = replace(QUICK, weight_rate=1e38, epochs=30)
    with pytest.raises(FakeemoError, match=r"no longer a number in epoch \d+, at weight rate 1e\+38 .*clip_norm"):
        train(sequences, labels, NETWORK, settings, seed=0)


def test_a_missing_class_is_named():
    sequences, labels = two_classes()
    with pytest.raises(FakeemoError, match="labelled 'fake'"):
        train(sequences.select(labels == 0), labels[labels == 0], NETWORK, QUICK, seed=0)


def test_the_job_writes_network_config_and_history(tmp_path):
    random = np.random.default_rng(0)
    tables, labels = [], {"a": "genuine", "b": "fake", "c": "genuine"}
    for video in ("a", "b", "c", "unlabelled"):
        n = 0 if video == "c" else 6  # c is a video without a face
        columns = {"variant": np.zeros(n, int), "frame": np.arange(n)}
        columns |= {name: random.uniform(-0.5, 0.5, n) for name in FEATURES}
        write_table(tmp_path / f"{video}.parquet", columns, kind="variants")
        tables.append(tmp_path / f"{video}.parquet")
    train_emotion(
        tables,
        labels,
        tmp_path / "model",
        network=NETWORK,
        learning=QUICK,
        sequences={"reference": "neutral", "neutral_frames": 2},
        seed=1,
        device="cpu",
        threads=1,
        description="anger",
    )
    model, facts = load_network(tmp_path / "model")
    assert facts["videos"] == ["a", "b"]
    assert facts["sequences"] == {"reference": "neutral", "neutral_frames": 2}
    assert model.settings == replace(NETWORK, features=80)
    history = (tmp_path / "model" / "history.csv").read_text().splitlines()
    assert history[0] == "epoch,loss,weight_rate,pb_rate,pb_norm_genuine,pb_norm_fake,pb_distance,seconds"
    assert len(history) == 6
