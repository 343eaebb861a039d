"""A GPU computes what the CPU computes, with and without a captured graph, and also when its memory runs out."""

import os
from dataclasses import replace

import numpy as np
import pytest
import reference
import torch
from test_recognition import FREE
from test_training import NETWORK, PROCESSES, QUICK, plain, two_classes

from fakeemo.cuda_graph import Replayed, shared_length
from fakeemo.devices import take
from fakeemo.learning_step import learn_batch, passes_of
from fakeemo.lstm_pb import LSTMPB, NetworkSettings
from fakeemo.recognition import RecognitionSettings, recognise
from fakeemo.sequences import Sequences
from fakeemo.training import train

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")


def test_clips_of_many_lengths_share_a_few_lengths():
    assert {shared_length(n, 358) for n in range(300, 359)} == {320, 358}
    assert shared_length(12, 12) == 12


def test_padding_changes_no_gradient():
    sequences, _ = two_classes(videos=2, variants=1)
    longer = sequences.padded(20)
    assert longer.x.shape[1] == 20
    assert not longer.mask[:, 12:].any()
    torch.manual_seed(0)
    model = LSTMPB(replace(NETWORK, features=6, context_from="hidden"))
    work, p, one = passes_of(model, replace(QUICK, closed_loop=0.5)), torch.ones(2, 3), torch.tensor(1)
    for a, b in zip(*(work(*map(torch.from_numpy, (s.x, s.mask)), p, one) for s in (sequences, longer)), strict=True):
        torch.testing.assert_close(a, b)


@needs_gpu
def test_work_is_captured_at_its_second_sight_and_keeps_results_apart():
    calls = []

    def double(x):
        calls.append(x.shape)
        return [2 * x]

    work, results = Replayed(double), []
    for n, value in ((3, 1.0), (3, 2.0), (3, 3.0), (4, 4.0), (4, 5.0), (3, 6.0), (4, 7.0)):
        results.append(work(torch.full((n,), value, device="cuda"))[0])
    assert [float(result[0]) for result in results] == [2, 4, 6, 8, 10, 12, 14]
    assert [tuple(shape) for shape in calls] == [(3,), (3,), (4,), (4,)]


@needs_gpu
@pytest.mark.parametrize(
    ("network", "learning"),
    [
        ({"context_from": "hidden"}, {}),
        ({"context_from": "hidden"}, {"closed_loop": 0.5, "segment": 5}),
        ({}, {}),
        ({"predict": "change"}, {"closed_loop": 0.9}),
    ],
)
def test_passes_equal_those_of_the_cpu_each_time(network, learning):
    torch.manual_seed(0)
    ours = LSTMPB(replace(NETWORK, features=6, **network))
    theirs = LSTMPB(ours.settings).cuda()
    theirs.load_state_dict(ours.state_dict())
    settings = replace(QUICK, **learning)
    on_cpu, on_gpu = passes_of(ours, settings), passes_of(theirs, settings)
    for seed in range(4):  # as it is, captured, replayed twice
        sequences, _ = two_classes(seed=seed)
        sequences.mask[0, 8:] = False
        torch.manual_seed(seed)
        given = [*map(torch.from_numpy, (sequences.x, sequences.mask)), torch.randn(8, 3), torch.tensor(8)]
        for a, b in zip(on_cpu(*given), on_gpu(*(tensor.cuda() for tensor in given)), strict=True):
            torch.testing.assert_close(a, b.cpu(), atol=1e-6, rtol=1e-4)


@needs_gpu
@pytest.mark.parametrize("context_from", ["top", "hidden"])
def test_outputs_at_the_papers_size_equal_the_reference(context_from):
    torch.manual_seed(0)
    model = LSTMPB(NetworkSettings(context_from=context_from))
    x, p = torch.rand(1, 40, 80) - 0.5, torch.randn(1, 64)
    expected = reference.rollout(
        reference.weights(model),
        x[0].numpy().astype(float),
        p[0].numpy().astype(float),
        4,
        512,
        context_from=context_from,
    )
    with torch.no_grad():
        found = model.cuda()(x.cuda(), p.cuda())
    np.testing.assert_allclose(found[0].cpu(), expected, atol=1e-5)


@needs_gpu
@pytest.mark.parametrize("context_from", ["top", "hidden"])
def test_learning_goes_the_way_it_goes_on_the_cpu(context_from):
    sequences, labels = two_classes(videos=7)
    sequences.mask[4:8, 7:] = False
    sequences.x[4:8, 7:] = 0
    network = replace(NETWORK, context_from=context_from)
    (_, ours), (model, theirs) = (train(sequences, labels, network, QUICK, seed=0, device=d) for d in ("cpu", "cuda"))
    assert model.class_pb.is_cuda
    for column in ("loss", "pb_distance"):
        np.testing.assert_allclose([row[column] for row in theirs], [row[column] for row in ours], rtol=1e-3)


@needs_gpu
@pytest.mark.parametrize("context_from", ["top", "hidden"])
@pytest.mark.parametrize("method", ["gradient", "gauss-newton"])
def test_recognition_finds_what_the_cpu_finds(method, context_from):
    sequences, labels = two_classes()
    model, _ = train(sequences, labels, replace(NETWORK, context_from=context_from), FREE, seed=0)
    settings = RecognitionSettings(method=method, steps=12, rate=1.0, start="best", tolerance=1e-3)
    ours = recognise(model, sequences, settings, closed_loop=0.8)
    theirs = recognise(model.cuda(), sequences, settings, closed_loop=0.8)
    np.testing.assert_allclose(theirs.error, ours.error, rtol=1e-3)
    np.testing.assert_allclose(theirs.pb, ours.pb, atol=1e-2)
    np.testing.assert_array_equal(np.isnan(theirs.errors), np.isnan(theirs.changes))


def step_in(gigabytes, log):
    """Take three steps on a batch that needs more memory than that."""
    os.dup2(os.open(log, os.O_CREAT | os.O_WRONLY), 1)
    with take("cuda") as device:
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(gigabytes * 1e9 / total)
        random = np.random.default_rng(0)
        x = random.uniform(-0.5, 0.5, (64, 100, 80)).astype(np.float32)
        batch = Sequences(x, np.ones((64, 100), bool), np.arange(64), np.zeros(64))
        torch.manual_seed(0)
        model = LSTMPB(NetworkSettings(context_from="hidden")).to(device)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        pb, size, passes = torch.zeros(2, 64, device=device), 64, passes_of(model, QUICK)
        for _ in range(3):
            loss, size = learn_batch(
                model, optimiser, pb, plain(pb), batch, np.arange(64) % 2, QUICK, size, passes=passes
            )
        print(size, loss, float(pb.norm()))


@needs_gpu
def test_really_out_of_memory_on_the_gpu(tmp_path):
    said = []
    for gigabytes in (8.0, 0.7):
        log = tmp_path / f"{gigabytes}.log"
        process = PROCESSES.Process(target=step_in, args=(gigabytes, log))
        process.start()
        process.join()
        assert process.exitcode == 0
        said.append([float(word) for word in log.read_text().split()])
    assert said[0][0] == 64
    assert said[1][0] < 64
    np.testing.assert_allclose(said[0][1:], said[1][1:], rtol=1e-4)
