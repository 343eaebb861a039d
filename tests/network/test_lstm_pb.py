"""The network against the float64 reference, its gradients against finite differences, and its file."""

import json
from dataclasses import replace

import numpy as np
import pytest
import reference
import torch

from fakeemo.errors import FakeemoError
from fakeemo.lstm_pb import LSTMPB, NetworkSettings, load_network, prediction_error, save_network

SMALL = NetworkSettings(features=6, pb=3, context=4, hidden=8, layers=3)


def network(settings=SMALL, seed=0):
    torch.manual_seed(seed)
    model = LSTMPB(settings)
    model.class_pb.normal_()
    return model


def series(batch=3, time=7, features=6, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(-0.9, 0.9, (batch, time, features))).float()


def test_paper_size_has_the_weights_that_the_authors_network_has():
    model = LSTMPB(NetworkSettings())
    assert sum(parameter.numel() for parameter in model.parameters()) == 10_688_144


def test_initial_values():
    model = LSTMPB(NetworkSettings(hidden=32))
    assert not model.class_pb.any()
    assert (model.grid.time_bias_t[:, :96] == 1).all()
    weights = model.grid.time_weight_t.detach()
    assert weights.abs().max() <= 1 / 32**0.5
    # A uniform distribution within b has the standard deviation b / sqrt(3).
    assert weights.std() == pytest.approx(1 / 32**0.5 / 3**0.5, rel=0.05)


@pytest.mark.parametrize("predict", ["position", "change"])
@pytest.mark.parametrize("context_from", ["top", "hidden"])
@pytest.mark.parametrize("pb_activation", ["relu", "linear"])
@pytest.mark.parametrize("closed_loop", [0.0, 0.3, 1.0])
def test_outputs_agree_with_the_equations(predict, context_from, pb_activation, closed_loop):
    kinds = {"predict": predict, "context_from": context_from, "pb_activation": pb_activation}
    model, x = network(replace(SMALL, **kinds)), series()
    p = torch.randn(3, 3)
    y = model(x, p, closed_loop).detach().numpy()
    for i in range(3):
        expected = reference.rollout(
            reference.weights(model),
            x[i].double().numpy(),
            p[i].double().numpy(),
            3,
            8,
            closed_loop,
            **kinds,
        )
        np.testing.assert_allclose(y[i], expected, atol=1e-5)


def test_outputs_agree_with_the_equations_at_paper_size():
    model = network(NetworkSettings())
    x, p = series(1, 4, 80), torch.randn(1, 64)
    expected = reference.rollout(reference.weights(model), x[0].double().numpy(), p[0].double().numpy(), 4, 512)
    np.testing.assert_allclose(model(x, p)[0].detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("context_from", ["top", "hidden"])
@pytest.mark.parametrize("pb_activation", ["relu", "linear"])
@pytest.mark.parametrize("closed_loop", [0.0, 0.4, 1.0])
def test_every_gradient_agrees_with_finite_differences_of_the_reference(context_from, pb_activation, closed_loop):
    kinds = {"context_from": context_from, "pb_activation": pb_activation}
    model = network(replace(SMALL, **kinds)).double()
    x, p = series(1).double(), torch.randn(1, 3, dtype=torch.float64, requires_grad=True)
    mask = torch.ones(1, 7, dtype=torch.bool)
    torch.autograd.backward(prediction_error(model(x, p, closed_loop), x, mask).sum())
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()} | {"p": p.grad}
    random = np.random.default_rng(1)
    for name, gradient in gradients.items():
        for index in random.permutation(gradient.numel())[:6]:
            at = np.unravel_index(index, gradient.shape)

            def error(shift, name=name, at=at):
                w, q = reference.weights(model), p[0].detach().numpy().copy()
                if name == "p":
                    q[at[1]] += shift
                else:
                    w[name][at] += shift
                return reference.error(w, x[0].numpy(), q, 3, 8, closed_loop=closed_loop, **kinds)

            numeric = (error(1e-5) - error(-1e-5)) / 2e-5
            assert gradient[at].item() == pytest.approx(numeric, rel=1e-5, abs=1e-9), (name, at)


def gradients(model, x, p, mask, closed_loop, segment=0):
    p = p.clone().requires_grad_()
    model.zero_grad()
    torch.autograd.backward(prediction_error(model(x, p, closed_loop, segment=segment), x, mask).sum())
    return [p.grad, *(parameter.grad.clone() for parameter in model.parameters())]


@pytest.mark.parametrize("context_from", ["top", "hidden"])
@pytest.mark.parametrize("closed_loop", [0.0, 0.4])
def test_gradients_of_a_batch_are_the_sum_of_its_sequences(context_from, closed_loop):
    # 70 sequences: more than the weight gradients wait for to make one product.
    model = network(replace(SMALL, context_from=context_from)).double()
    x, p = series(70).double(), torch.randn(70, 3, dtype=torch.float64)
    mask = torch.rand(70, 7) < 0.8
    together = gradients(model, x, p, mask, closed_loop)
    singly = [gradients(model, x[i : i + 1], p[i : i + 1], mask[i : i + 1], closed_loop) for i in range(70)]
    torch.testing.assert_close(together[0], torch.cat([one[0] for one in singly]))
    for k in range(1, len(together)):
        torch.testing.assert_close(together[k], torch.stack([one[k] for one in singly]).sum(dim=0))


@pytest.mark.parametrize("segment", [1, 4, 30])
def test_segments_change_memory_and_not_the_result(segment):
    model = network(replace(SMALL, context_from="hidden")).double()
    x, p, mask = series(3, 30).double(), torch.randn(3, 3, dtype=torch.float64), torch.ones(3, 30, dtype=torch.bool)
    for ours, whole in zip(gradients(model, x, p, mask, 0.4, segment), gradients(model, x, p, mask, 0.4), strict=True):
        torch.testing.assert_close(ours, whole, rtol=1e-10, atol=1e-14)

    def kept(segment):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            model(x, p, 0.4, segment=segment)
        return sum(sizes)

    assert segment == 30 or kept(segment) < kept(0) / 2


@pytest.mark.parametrize("context_from", ["top", "hidden"])
def test_a_masked_batch_equals_its_sequences_one_by_one(context_from):
    model, x, p = network(replace(SMALL, context_from=context_from)), series(3, 9), torch.randn(3, 3)
    lengths = (9, 4, 6)
    mask = torch.tensor([[t < length for t in range(9)] for length in lengths])
    mask[0, 5] = False  # a frame without a face within the clip
    x = x * mask[..., None]
    together = prediction_error(model(x, p), x, mask)
    for i, length in enumerate(lengths):
        one, seen = x[i : i + 1, :length], mask[i : i + 1, :length]
        alone = prediction_error(model(one, p[i : i + 1]), one, seen)
        torch.testing.assert_close(together[i], alone[0], rtol=1e-5, atol=1e-7)


def test_only_context_from_hidden_carries_landmarks_from_frame_to_frame():
    x, p = series(1), torch.randn(1, 3)
    other = x.clone()
    other[0, 0] += 0.5
    for context_from in ("top", "hidden"):
        model = network(replace(SMALL, context_from=context_from))
        later = (model(x, p) - model(other, p))[0, 1:].abs().max()
        assert (later > 1e-6) == (context_from == "hidden")


def test_a_masked_frame_is_no_target():
    model, x, p = network(), series(1), torch.randn(1, 3)
    mask = torch.ones(1, 7, dtype=torch.bool)
    mask[0, -1] = False
    before = prediction_error(model(x, p), x, mask)
    x[0, -1] = 100.0
    assert prediction_error(model(x, p), x, mask) == before


def test_generation_is_the_closed_loop_from_the_first_frame():
    model, p = network(), torch.randn(2, 3)
    first = series(2)[:, 0]
    made = model.generate(p, first, 5)
    assert made.shape == (2, 5, 6)
    assert torch.equal(made[:, 0], first)
    expected = reference.rollout(
        reference.weights(model),
        np.tile(first[1].double().numpy(), (5, 1)),
        p[1].double().numpy(),
        3,
        8,
        closed_loop=1.0,
    )
    np.testing.assert_allclose(made[1, 1:].numpy(), expected, atol=1e-5)
    with pytest.raises(FakeemoError, match="at least 2 frames"):
        model.generate(p, first, 1)


def test_a_pb_vector_whose_units_are_all_off_gets_a_gradient_only_where_they_are_linear():
    x, mask = series(1), torch.ones(1, 7, dtype=torch.bool)
    for pb_activation in ("relu", "linear"):
        model = network(replace(SMALL, pb_activation=pb_activation))
        with torch.no_grad():
            model.from_pb.bias.fill_(-10)
        p = torch.zeros(1, 3, requires_grad=True)
        torch.autograd.backward(prediction_error(model(x, p), x, mask).sum())
        assert p.grad.any() == (pb_activation == "linear")


def test_a_network_saved_before_pb_activation_was_a_setting_has_relu(tmp_path):
    model, x, p = network(), series(), torch.randn(3, 3)
    save_network(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["network"]["pb_activation"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded, _ = load_network(tmp_path)
    assert loaded.settings == SMALL
    assert torch.equal(loaded(x, p), model(x, p))


@pytest.mark.parametrize("word", ["predict", "context_from", "pb_activation"])
def test_an_unknown_word_is_named_with_those_that_are_known(tmp_path, word):
    with pytest.raises(FakeemoError, match=rf"network\.{word}: 'tpo' given, expected \w+ or \w+"):
        NetworkSettings(**{word: "tpo"})
    save_network(network(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["network"][word] = "tpo"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(FakeemoError, match=rf"{tmp_path}: no LSTM-PB can be read there .*network\.{word}: 'tpo'"):
        load_network(tmp_path)


def test_a_saved_network_comes_back_the_same(tmp_path):
    model, x, p = network(), series(), torch.randn(3, 3)
    save_network(model, tmp_path, seed=7)
    loaded, facts = load_network(tmp_path)
    assert facts["seed"] == 7
    assert torch.equal(loaded(x, p), model(x, p))
    assert torch.equal(loaded.class_pb, model.class_pb)


def test_a_file_that_is_no_network_gives_one_clear_line(tmp_path):
    with pytest.raises(FakeemoError, match="no LSTM-PB can be read there"):
        load_network(tmp_path)
    save_network(network(), tmp_path)
    (tmp_path / "lstm_pb.safetensors").write_bytes(b"\x80\x04 not safetensors")
    with pytest.raises(FakeemoError, match="no LSTM-PB can be read there"):
        load_network(tmp_path)
    save_network(network(NetworkSettings(features=6, pb=5, context=4, hidden=8, layers=3)), tmp_path / "other")
    save_network(network(), tmp_path)
    (tmp_path / "other" / "lstm_pb.safetensors").rename(tmp_path / "lstm_pb.safetensors")
    with pytest.raises(FakeemoError, match=r"'class_pb' has shape \(2, 5\), config.json asks for \(2, 3\)"):
        load_network(tmp_path)
