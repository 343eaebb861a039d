"""Learning mode: equations 1-2 by hand, what is learned, the schedule, repeatability, and what it survives."""

import multiprocessing
import os
import resource
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from safetensors.torch import load_file

from fakeemo import checkpoint, training
from fakeemo.errors import FakeemoError
from fakeemo.learning_step import LearningSettings, learn_batch, optimiser_of, optimiser_of_pb, update_pb
from fakeemo.lstm_pb import LSTMPB, NetworkSettings, load_network
from fakeemo.sequences import FEATURES, Sequences
from fakeemo.tables import write_table
from fakeemo.training import begin, class_means, train, train_emotion

NETWORK = NetworkSettings(pb=3, context=4, hidden=16, layers=2)
QUICK = LearningSettings(epochs=5, batch_size=4, weight_rate=0.05)

# Processes that are killed are forked from one that has torch already.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["fakeemo.training"])


def two_classes(videos=4, variants=2, time=12, noise=0.01, seed=0):
    """Ramps that rise fast in class 0 and slowly in class 1, six features wide."""
    random = np.random.default_rng(seed)
    n = videos * variants
    labels = np.repeat(np.arange(videos) % 2, variants)
    ramp = np.minimum(np.arange(time) / np.where(labels == 0, 3, 10)[:, None], 1)
    x = (0.6 * ramp[..., None] * np.linspace(0.5, 1, 6) + noise * random.normal(size=(n, time, 6))).astype(np.float32)
    video = np.repeat([f"v{i}" for i in range(videos)], variants)
    return Sequences(x, np.ones((n, time), bool), video, np.tile(np.arange(variants), videos)), labels


def plain(pb):
    return torch.optim.SGD([pb], lr=0.9)


def test_one_pb_update_equals_equations_1_and_2_by_hand():
    """Sum the back-propagated error of each time step by finite differences, average, add: equations 1-2."""
    sequences, labels = two_classes(videos=2, variants=1)
    batch = sequences.select(np.array([0]))
    model, _ = train(sequences, labels, NETWORK, replace(QUICK, epochs=1), seed=0)
    w, x = reference.weights(model), batch.x[0].astype(float)
    pb = torch.tensor([[0.1, -0.2, 0.3], [0.0, 0.0, 0.0]])
    before = pb[0].numpy().astype(float)
    learn_batch(model, torch.optim.SGD(model.parameters(), lr=0.01), pb, plain(pb), batch, np.array([0]), QUICK)

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
    update_pb(pb, np.array([0, 0, 2]), delta, torch.optim.SGD([pb], lr=0.5))
    assert pb.tolist() == [[1.0, 1.5], [0.0, 0.0], [5.0, 5.0]]


def test_the_first_step_of_adam_moves_pb_vectors_by_their_rate_and_leaves_those_not_shown():
    pb = torch.ones(3, 2)
    optimiser = optimiser_of_pb(pb, replace(QUICK, pb_optimiser="adam", pb_rate=0.1))
    delta = torch.tensor([[1e-4, 2.0], [3e-4, -4.0], [-5.0, 10.0]])
    update_pb(pb, np.array([0, 0, 2]), delta, optimiser)
    torch.testing.assert_close(pb, torch.tensor([[1.1, 0.9], [1.0, 1.0], [0.9, 1.1]]), rtol=1e-3, atol=0)
    update_pb(pb, np.array([1]), torch.tensor([[1.0, 1.0]]), optimiser)
    torch.testing.assert_close(pb[[0, 2]], torch.tensor([[1.1, 0.9], [0.9, 1.1]]), rtol=1e-3, atol=0)
    assert (pb[1] > 1).all()


def test_class_vectors_are_the_means_of_their_videos():
    pb = torch.tensor([[1.0], [2.0], [4.0]])
    owner, labels = np.array([0, 0, 1, 2]), np.array([0, 0, 0, 1])
    assert class_means(pb, owner, labels).tolist() == [[1.5], [4.0]]


@pytest.mark.parametrize("closed_loop", [0, 0.8, 1])
@pytest.mark.parametrize("pb", ["class", "sequence"])
def test_learning_lowers_the_error_and_parts_the_classes(pb, closed_loop):
    sequences, labels = two_classes()
    learning = LearningSettings(epochs=60, batch_size=4, weight_rate=0.1, pb_rate=5.0, closed_loop=closed_loop, pb=pb)
    model, history = train(sequences, labels, NETWORK, learning, seed=0)
    assert history[-1]["loss"] < 0.2 * history[0]["loss"]
    genuine, fake = model.class_pb
    # With teacher forcing the last frame tells the class already, and little is left for the PB vectors.
    assert (genuine - fake).norm() > (0.05 if closed_loop else 0.01)
    assert history[-1]["pb_distance"] == pytest.approx(float((genuine - fake).norm()), rel=0.2)


def test_with_one_pb_vector_a_video_the_class_vectors_are_their_means(tmp_path):
    sequences, labels = two_classes(videos=6)
    model, _ = train(
        sequences, labels, NETWORK, replace(QUICK, epochs=1, pb="sequence"), seed=0, resume=tmp_path / "c.safetensors"
    )
    pb = load_file(tmp_path / "c.safetensors")["pb"]
    assert pb.shape == (6, 3)  # videos in the order of their names; even ones are genuine
    assert pb.unique(dim=0).shape == pb.shape
    torch.testing.assert_close(model.class_pb, torch.stack([pb[::2].mean(dim=0), pb[1::2].mean(dim=0)]))


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


def test_the_first_step_of_adam_moves_each_weight_by_its_rate_and_the_pb_vectors_by_equations_1_and_2():
    sequences, labels = two_classes(videos=2, variants=1)
    learning = replace(QUICK, epochs=1, batch_size=2, optimiser="adam", weight_rate=1e-3)
    adam = begin(replace(NETWORK, features=6), learning, 2, 0, "cpu")
    sgd = begin(replace(NETWORK, features=6), replace(learning, optimiser="sgd"), 2, 0, "cpu")
    before = [parameter.detach().clone() for parameter in adam.model.parameters()]
    for learner in (adam, sgd):
        learn_batch(learner.model, learner.optimiser, learner.pb, learner.pb_optimiser, sequences, labels, learning)
    assert torch.equal(adam.pb, sgd.pb)
    assert adam.pb.any()
    for old, parameter in zip(before, adam.model.parameters(), strict=True):
        clear = parameter.grad.abs() > 1e-5  # Adam's epsilon of 1e-8 does not count here
        moved = (parameter.detach() - old)[clear]
        torch.testing.assert_close(moved, -1e-3 * parameter.grad[clear].sign(), rtol=2e-3, atol=1e-7)


def test_linear_rates_stay_for_half_of_the_epochs_and_then_fall_to_nothing():
    sequences, labels = two_classes()
    learning = replace(QUICK, epochs=8, schedule="linear", patience=1)
    _, history = train(sequences, labels, NETWORK, learning, seed=0)
    shares = [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    assert [row["weight_rate"] for row in history] == pytest.approx([0.05 * share for share in shares])
    assert [row["pb_rate"] for row in history] == pytest.approx([0.9 * share for share in shares])


@pytest.mark.parametrize("word", ["optimiser", "schedule", "pb"])
def test_an_unknown_word_is_named_with_those_that_are_known(word):
    with pytest.raises(FakeemoError, match=rf"learning\.{word}: 'adams' given, expected \w+ or \w+"):
        LearningSettings(**{word: "adams"})


def test_same_seed_same_network_and_another_seed_another():
    sequences, labels = two_classes()
    (one, history), (two, again), (three, _) = (
        train(sequences, labels, NETWORK, QUICK, seed=seed) for seed in (5, 5, 6)
    )
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert [row["loss"] for row in history] == [row["loss"] for row in again]
    assert not torch.equal(one.output.weight, three.output.weight)


@pytest.mark.parametrize("predict", ["position", "change"])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weight_rate": 1e38}, r"no longer a number in epoch \d+, at weight rate 1e\+38 "),
        ({"weight_rate": 1e3}, r"where the untrained network's was 0\.\d+, in epoch [34], at weight rate 1000 "),
        ({"pb_rate": 1e6}, r"where the untrained network's was 0\.\d+, in epoch [34], .*PB rate 1e\+06"),
    ],
)
def test_diverging_learning_stops_with_epoch_rates_and_advice(changes, words, predict):
    sequences, labels = two_classes()
    settings = replace(QUICK, epochs=30, **changes)
    with pytest.raises(FakeemoError, match=words + ".*lower learning.weight_rate or learning.pb_rate.*clip_norm"):
        train(sequences, labels, replace(NETWORK, predict=predict), settings, seed=0)


def test_a_missing_class_is_named():
    sequences, labels = two_classes()
    with pytest.raises(FakeemoError, match="labelled 'fake'"):
        train(sequences.select(labels == 0), labels[labels == 0], NETWORK, QUICK, seed=0)


def write_tables(folder, frames):
    """Write tables of random landmarks, two variants of so many frames for each video; give their paths."""
    random = np.random.default_rng(0)
    tables = [folder / f"{video}.parquet" for video in frames]
    for table, n in zip(tables, frames.values(), strict=True):
        columns = {"variant": np.repeat([0, 1], n), "frame": np.tile(np.arange(n), 2)}
        columns |= {name: random.uniform(-0.5, 0.5, 2 * n) for name in FEATURES}
        write_table(table, columns, kind="variants")
    return tables


JOB = {"seed": 1, "device": "cpu", "threads": 1, "description": "anger"}


def test_the_job_writes_network_config_and_history(tmp_path):
    frames = {"a": 6, "b": 6, "c": 0, "unlabelled": 6}  # c is a video without a face
    train_emotion(
        write_tables(tmp_path, frames),
        {"a": "genuine", "b": "fake", "c": "genuine"},
        tmp_path / "model",
        network=NETWORK,
        learning=QUICK,
        sequences={"reference": "neutral", "neutral_frames": 2},
        **JOB,
    )
    model, facts = load_network(tmp_path / "model")
    assert facts["videos"] == ["a", "b"]
    assert facts["sequences"] == {"reference": "neutral", "neutral_frames": 2}
    assert model.settings == replace(NETWORK, features=80)
    history = (tmp_path / "model" / "history.csv").read_text().splitlines()
    assert history[0] == "epoch,loss,weight_rate,pb_rate,pb_norm_genuine,pb_norm_fake,pb_distance,seconds"
    assert len(history) == 6


SURVIVES = {"network": NETWORK, "sequences": {"reference": "crop"}, **JOB}
SGD = LearningSettings(
    epochs=14, batch_size=2, weight_rate=0.5, pb_rate=2.0, patience=2, closed_loop=0.5, pb="sequence"
)
ADAM = replace(SGD, optimiser="adam", weight_rate=0.01, pb_optimiser="adam", pb_rate=0.05, schedule="linear")
ADAM = replace(ADAM, pb_noise=0.2, pb_decay=1e-3)
VIDEOS = {"a": "genuine", "b": "fake", "c": "genuine", "d": "fake", "e": "fake"}  # three batches an epoch


def doomed_training(learning, tables, folder, log, share, killed_by, place, count):
    """Train as a job of its own; in the ``count``-th call of a function send the process a signal."""
    os.dup2(os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 1)
    checkpoint.WRITING_SHARE = share
    module = checkpoint if place == "save_file" else training
    kept, calls = getattr(module, place), []

    def function(*arguments):
        calls.append(1)
        result = kept(*arguments)
        if len(calls) == count:
            if place == "save_file":
                os.truncate(arguments[1], 1000)  # half written
            os.kill(os.getpid(), killed_by)
        return result

    setattr(module, place, function)
    resume = folder / "anger.safetensors"
    train_emotion(tables, VIDEOS, folder / "model", learning=learning, resume=resume, code="1", **SURVIVES)


def test_pb_noise_moves_where_the_gradient_is_taken_and_pb_decay_pulls_to_zero():
    sequences, labels = two_classes(videos=2, variants=1)
    start, noise = torch.randn(2, 3), np.random.default_rng(5).standard_normal((2, 3), np.float32)

    def step(at, **changes):
        torch.manual_seed(0)
        model, pb = LSTMPB(replace(NETWORK, features=sequences.x.shape[2])), torch.clone(at)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
        random = np.random.default_rng(5)
        settings = replace(QUICK, **changes)
        learn_batch(model, optimiser, pb, plain(pb), sequences, np.arange(2), settings, random=random)
        return pb - at, model.state_dict()

    moved, weights = step(start + 0.2 * torch.from_numpy(noise))
    decayed, same_weights = step(start, pb_noise=0.2, pb_decay=0.1)
    torch.testing.assert_close(decayed, moved - 0.9 * 0.1 * start)
    torch.testing.assert_close(same_weights, weights)
    assert not torch.allclose(step(start)[0], moved), "the case needs noise that matters"
    with pytest.raises(ValueError, match="generator"):
        learn_batch(None, None, start, plain(start), sequences, labels, replace(QUICK, pb_noise=0.2))


@pytest.mark.parametrize("learning", [SGD, ADAM], ids=["sgd", "adam"])
def test_killed_again_and_again_it_ends_as_if_undisturbed(tmp_path, learning):
    tables = write_tables(tmp_path, {video: 6 + i for i, video in enumerate(VIDEOS)})
    folder, log = tmp_path / "killed", tmp_path / "log"

    def start(share, killed_by=signal.SIGKILL, place="learn_batch", count=0):
        arguments = (learning, tables, folder, str(log), share, killed_by, place, count)
        process = PROCESSES.Process(target=doomed_training, args=arguments)
        process.start()
        process.join()
        return process.exitcode, log.read_text()

    each, seldom = 1e9, 1e-9  # a checkpoint each epoch; only after the first of a start, or when told to end
    done = 0
    for count in np.random.default_rng(2).integers(1, 11, size=3):
        code, said = start(each, count=int(count))
        assert code == -signal.SIGKILL
        assert (f"goes on after epoch {done}," in said) == (done > 0)
        done += (int(count) - 1) // 3
    assert 0 < done < 9, "the case needs epochs that are left"
    code, _ = start(each, place="save_file", count=2)
    assert code == -signal.SIGKILL
    assert list(folder.glob(".anger.*.tmp.safetensors")), "the case needs a half-written checkpoint"
    done += 1
    code, said = start(seldom, count=8)
    assert (code, f"goes on after epoch {done}," in said) == (-signal.SIGKILL, True)
    done += 1  # of the two whole epochs of that start the first was written
    code, said = start(seldom, killed_by=signal.SIGTERM, count=4)
    assert (code, f"goes on after epoch {done}," in said) == (-signal.SIGTERM, True)
    done += 2
    assert f"the next start goes on after epoch {done}" in said
    code, said = start(each)
    assert (code, f"goes on after epoch {done}," in said) == (0, True)
    assert os.listdir(folder) == ["model"]

    train_emotion(tables, VIDEOS, tmp_path / "undisturbed", learning=learning, **SURVIVES)
    for name in ("lstm_pb.safetensors", "config.json"):
        assert (folder / "model" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()
    ours, theirs = (
        [line.rsplit(",", 1)[0] for line in (path / "history.csv").read_text().splitlines()]
        for path in (folder / "model", tmp_path / "undisturbed")
    )
    assert ours == theirs
    assert len({line.split(",")[2] for line in ours}) > 2, "the case needs rates that decay"


def test_a_checkpoint_holds_all_that_the_optimiser_keeps(tmp_path):
    sequences, labels = two_classes()
    for learning, kept in ((SGD, {"momentum_buffer"}), (ADAM, {"exp_avg", "exp_avg_sq", "step"})):
        path = tmp_path / f"{learning.optimiser}.safetensors"
        model, _ = train(sequences, labels, NETWORK, replace(learning, epochs=3), seed=0, resume=path)
        found = [name.split(".") for name in load_file(path) if name.startswith("optimiser.")]
        assert {name for _, _, name in found} == kept
        assert len(found) == len(kept) * len(list(model.parameters()))


@pytest.mark.parametrize("difference", ["settings", "data", "code", "damage", "none"])
def test_a_checkpoint_of_something_else_is_not_used_and_that_is_said(tmp_path, capsys, monkeypatch, difference):
    monkeypatch.setattr(checkpoint, "WRITING_SHARE", 1e9)
    sequences, labels = two_classes()
    path = tmp_path / "c.safetensors"
    train(sequences, labels, NETWORK, QUICK, seed=0, resume=path, code="1")
    settings, code = QUICK, "1"
    match difference:
        case "settings":
            settings = replace(QUICK, pb_rate=0.8)
        case "data":
            sequences.x[3, 5, 2] += 1e-6
        case "code":
            code = "2"
        case "damage":
            path.write_bytes(path.read_bytes()[:1000])
    capsys.readouterr()
    model, history = train(sequences, labels, NETWORK, settings, seed=0, resume=path, code=code)
    said = capsys.readouterr().out
    expected = {"damage": "cannot be read", "none": "goes on after epoch 5"}
    assert expected.get(difference, "is of other settings, code or data: learning starts anew") in said
    fresh, again = train(sequences, labels, NETWORK, settings, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), fresh.state_dict().values(), strict=True))
    assert [row["loss"] for row in history] == [row["loss"] for row in again]


class Tight(LSTMPB):
    """A network on a device with room for ``room`` sequences; one that is asked for more fails."""

    room, error = 2, torch.OutOfMemoryError("CUDA out of memory")

    def forward(self, x, *arguments, **keywords):
        if len(x) > self.room:
            raise self.error
        return super().forward(x, *arguments, **keywords)


def one_step(kind, settings, **attributes):
    """Take one step on six sequences; give weights, optimiser's state, PB vectors and loss, and the micro-batch."""
    sequences, labels = two_classes(videos=6, variants=1)
    sequences.mask[1, 8:] = False
    sequences.x[1, 8:] = 0
    torch.manual_seed(0)
    model = kind(replace(NETWORK, features=6))
    for name, value in attributes.items():
        setattr(model, name, value)
    optimiser = optimiser_of(model, settings)
    pb = torch.randn(2, 3)
    loss, room = learn_batch(model, optimiser, pb, plain(pb), sequences, labels, settings)
    state = [tensor for parameter in model.parameters() for tensor in optimiser.state[parameter].values()]
    return [*model.parameters(), *state, pb, torch.tensor(loss)], room


STEP = replace(QUICK, weight_rate=0.5)


@pytest.mark.parametrize(
    "settings",
    [
        STEP,
        replace(STEP, closed_loop=0.7, clip_norm=0.1),
        replace(STEP, optimiser="adam", weight_rate=0.01),
    ],
)
@pytest.mark.parametrize(
    ("error", "room", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), 3, 3),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
            2,
            2,
        ),
        (MemoryError(), 1, 1),
    ],
)
def test_out_of_memory_a_batch_is_divided_to_the_same_end(settings, error, room, expected):
    whole, _ = one_step(LSTMPB, settings)
    parts, micro_batch = one_step(Tight, settings, error=error, room=room)
    assert micro_batch == expected
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_what_a_failed_attempt_left_behind_does_not_count():
    class Flaky(LSTMPB):
        """One that fails in the second half of its first attempt at halves."""

        calls = 0

        def forward(self, x, *arguments, **keywords):
            self.calls += 1
            if self.calls in (1, 3):
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(x, *arguments, **keywords)

    whole, _ = one_step(LSTMPB, STEP)
    parts, micro_batch = one_step(Flaky, STEP)
    assert micro_batch == 2
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_the_size_that_fits_is_said_and_remembered(monkeypatch, capsys):
    monkeypatch.setattr(training, "LSTMPB", Tight)
    sequences, labels = two_classes(videos=8)
    settings = replace(QUICK, batch_size=8)
    model, _ = train(sequences, labels, NETWORK, settings, seed=0)
    assert capsys.readouterr().out.count("out of memory; goes on with 2 sequences at a time") == 1
    monkeypatch.undo()
    whole, _ = train(sequences, labels, NETWORK, settings, seed=0)
    for a, b in zip(whole.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_memory_for_not_even_one_sequence_ends_with_advice_and_other_errors_are_not_swallowed():
    with pytest.raises(FakeemoError, match=r"cpu: out of memory with one sequence of 12 frames; lower network\.hidden"):
        one_step(Tight, STEP, room=0)
    with pytest.raises(RuntimeError, match="something else"):
        one_step(Tight, STEP, room=0, error=RuntimeError("something else"))


def starving_step(log):
    """Take a step on a batch in a process that may have only a little more memory than it has now."""
    os.dup2(os.open(log, os.O_CREAT | os.O_WRONLY), 1)
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    x = random.uniform(-0.5, 0.5, (64, 100, 80)).astype(np.float32)
    batch = Sequences(x, np.ones((64, 100), bool), np.arange(64), np.zeros(64))
    model = LSTMPB(replace(NETWORK, features=80, hidden=128, context_from="hidden"))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    owner = np.arange(64) % 2
    pb = torch.zeros(2, 3)
    learn_batch(model, optimiser, pb, plain(pb), batch.select(np.arange(2)), owner[:2], QUICK)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGESIZE") + 40 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(learn_batch(model, optimiser, pb, plain(pb), batch, owner, QUICK)[1])


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux to limit a process's memory")
def test_really_out_of_memory_on_the_cpu(tmp_path):
    process = PROCESSES.Process(target=starving_step, args=(str(tmp_path / "log"),))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert 1 <= int((tmp_path / "log").read_text()) < 64
