"""One LSTM-PB in float64 NumPy, written from the equations and not from the network's code."""

import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def lstm(gates, memory):
    i, f, o, g = np.split(gates, 4)
    memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(memory), memory


def weights(model):
    return {name: tensor.detach().cpu().numpy().astype(np.float64) for name, tensor in model.state_dict().items()}


def step(w, x, p, z, h_t, c_t, predict="position", context_from="top", pb_activation="relu"):
    """One frame: prediction, next context, next time-wise hidden vectors and memories (lists, one a layer)."""
    h_d = w["grid.feed.weight"] @ z + w["grid.feed.bias"]
    c_d = np.zeros_like(h_d)
    new_h, new_c = [], []
    for layer in range(len(h_t)):
        along_time = w["grid.time_weight_t"][layer] @ h_t[layer] + w["grid.time_bias_t"][layer]
        from_below = w["grid.time_weight_d"][layer] @ h_d + w["grid.time_bias_d"][layer]
        h, c = lstm(along_time + from_below, c_t[layer])
        along_time = w["grid.depth_weight_t"] @ h + w["grid.depth_bias_t"]
        from_below = w["grid.depth_weight_d"] @ h_d + w["grid.depth_bias_d"]
        h_d, c_d = lstm(along_time + from_below, c_d)
        new_h.append(h)
        new_c.append(c)
    top = np.maximum(h_d, 0)
    bias = w["from_pb.weight"] @ p + w["from_pb.bias"]
    if pb_activation == "relu":
        bias = np.maximum(bias, 0)
    drive = np.maximum(w["from_x.weight"] @ x + w["from_x.bias"], 0)
    hidden = bias + top + drive
    y = np.tanh(w["output.weight"] @ hidden + w["output.bias"])
    if predict == "change":
        y = x + y
    z = w["context.weight"] @ (top if context_from == "top" else hidden) + w["context.bias"]
    return y, z, new_h, new_c


def rollout(w, x, p, layers, hidden, closed_loop=0.0, **kinds):
    """All predictions for one sequence ``(time, features)``: ``(time - 1, features)``."""
    z = np.zeros(w["context.bias"].shape)
    h_t, c_t = [np.zeros(hidden)] * layers, [np.zeros(hidden)] * layers
    outputs = []
    for t in range(len(x) - 1):
        shown = x[t] if not outputs else closed_loop * outputs[-1] + (1 - closed_loop) * x[t]
        y, z, h_t, c_t = step(w, shown, p, z, h_t, c_t, **kinds)
        outputs.append(y)
    return np.array(outputs)


def error(w, x, p, layers, hidden, **kwargs):
    """Mean square prediction error of one sequence."""
    return ((rollout(w, x, p, layers, hidden, **kwargs) - x[1:]) ** 2).mean()
