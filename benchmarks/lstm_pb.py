"""Measure learning at the paper's size against the products it consists of and the authors' way; print Markdown tables.

    python benchmarks/lstm_pb.py            # on the CPU, two threads
    python benchmarks/lstm_pb.py memory     # peak memory: batch 80, and 16 clips of 6,000 frames
    python benchmarks/lstm_pb.py recognise  # a step of recognition mode, teacher forced
    python benchmarks/lstm_pb.py cuda       # on a GPU: steps, rounding, the share of products, six whole emotions

All sides in turn, so that a busy machine slows all; medians of REPEATS rounds.
"""

import copy
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import authors_way
import numpy as np
import torch

from fakeemo import cuda_graph
from fakeemo.devices import choose_device, name_of
from fakeemo.learning_step import LearningSettings, learn_batch, optimiser_of_pb, passes_of
from fakeemo.lstm_pb import LSTMPB, NetworkSettings
from fakeemo.recognition import RecognitionSettings, descend, predictor
from fakeemo.sequences import Sequences
from fakeemo.training import train

REPEATS = 5
THREADS = 2
BATCH, LENGTH, FEATURES, HIDDEN, LAYERS = 80, 358, 80, 512, 4
# Multiplications and additions of one sequence's frame: two LSTMs a layer, each fed by two vectors; layers around them.
GRID = LAYERS * 2 * 2 * 4 * HIDDEN * HIDDEN
AROUND = HIDDEN * (64 + 64 + 80 + 80)


def row(*cells: object) -> None:
    print("|", " | ".join(str(cell) for cell in cells), "|", flush=True)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def series(n: int, length: int) -> Sequences:
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (n, length, FEATURES)).astype(np.float32)
    names = np.array([f"clip_{i}" for i in range(n)])
    return Sequences(x, np.ones((n, length), bool), names, np.zeros(n, int))


def learner(
    context_from: str, batch: int, length: int, device: str = "cpu", **learning: object
) -> Callable[[], object]:
    """Give a function that takes one step of learning mode on a batch."""
    torch.manual_seed(0)
    model = LSTMPB(NetworkSettings(context_from=context_from)).to(device)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    settings, data = LearningSettings(batch_size=batch, **learning), series(batch, length)  # type: ignore[arg-type]
    pb, owner = torch.zeros(2, 64, device=device), np.arange(batch) % 2
    pb_optimiser, passes = optimiser_of_pb(pb, settings), passes_of(model, settings)
    return lambda: learn_batch(model, optimiser, pb, pb_optimiser, data, owner, settings, passes=passes)


def products(batch: int) -> tuple[Callable[[], None], float]:
    """Give torch.mm on the shapes of one frame's step and its way back, and what it multiplies and adds, in flops."""
    weight, back = torch.randn(4 * HIDDEN, 2 * HIDDEN), torch.randn(2 * HIDDEN, 4 * HIDDEN)
    state, gates = torch.randn(2 * HIDDEN, batch), torch.randn(4 * HIDDEN, batch)

    def work() -> None:
        for _ in range(40):
            torch.mm(weight, state)
            torch.mm(back, gates)
            torch.mm(gates, state.T)

    return work, 40 * 3 * 2 * batch * 8 * HIDDEN * HIDDEN


def cpu() -> None:
    torch.set_num_threads(THREADS)
    square = torch.randn(2048, 2048)
    shapes, shape_flops = products(BATCH)
    port = authors_way.AuthorsNetwork()
    optimiser = torch.optim.SGD(port.parameters(), lr=0.01, momentum=0.9)
    one = torch.from_numpy(series(1, LENGTH).x[0])
    sides: dict[str, tuple[Callable[[], object], float]] = {
        "torch.mm, 2048 x 2048": (lambda: [torch.mm(square, square) for _ in range(5)], 5 * 2 * 2048**3),
        "torch.mm, the network's shapes": (shapes, shape_flops),
        "learning, context from hidden, batch 80": (learner("hidden", BATCH, LENGTH), BATCH),
        "learning, context from top, batch 80": (learner("top", BATCH, LENGTH), BATCH),
        "learning, context from top, batch 1": (learner("top", 1, LENGTH), 1),
        "the authors' way, batch 1": (
            lambda: authors_way.learn_sequence(port, optimiser, one, torch.zeros(64)),
            1,
        ),
    }
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(REPEATS + 1):  # the first warms up
        for name, (work, _) in sides.items():
            took = seconds(work)
            if repeat:
                measured[name].append(took)
    rates = {name: work[1] / float(np.median(measured[name])) for name, work in sides.items()}
    floor, authors = rates["torch.mm, the network's shapes"], (LENGTH - 1) * rates["the authors' way, batch 1"]
    row(f"{THREADS} CPU threads, T = {LENGTH}", "frames/s", "times the authors' way", "GFLOP/s", "share of torch.mm")
    row("---", "---", "---", "---", "---")
    for name, rate in rates.items():
        if name.startswith("torch.mm"):
            row(name, "", "", f"{rate / 1e9:.0f}", f"{rate / floor:.2f}")
            continue
        frames = (LENGTH - 1) * rate
        useful = frames * 3 * 2 * (GRID + AROUND)
        # A clock is computed once for a batch: per sequence it multiplies next to nothing.
        share = ("", "") if "from top, batch 80" in name else (f"{useful / 1e9:.0f}", f"{useful / floor:.2f}")
        row(name, f"{frames:.0f}", f"{frames / authors:.1f}", *share)


def memory() -> None:
    row("one step of learning, context from hidden", "peak resident memory", "seconds", "aim")
    row("---", "---", "---", "---")
    for batch, length, segment, aim in ((80, LENGTH, 0, "4 GB"), (80, LENGTH, 32, ""), (16, 6000, 100, "8 GB")):
        out = subprocess.run(
            [sys.executable, __file__, "step", str(batch), str(length), str(segment)],
            capture_output=True,
            check=True,
            text=True,
        ).stdout.split()
        kept = f"segments of {segment} frames" if segment else "everything kept"
        row(
            f"batch {batch}, {length} frames, {kept}", f"{int(out[0]) * 1024 / 1e9:.2f} GB", f"{float(out[1]):.0f}", aim
        )


def step(batch: int, length: int, segment: int) -> None:
    torch.set_num_threads(THREADS)
    took = seconds(learner("hidden", batch, length, segment=segment))
    # Not getrusage, whose peak begins with what the parent had when it started this process.
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert peak
    print(peak[1], took)


def recognition() -> None:
    """Time a step of a descent where all of the network is computed in each, and where only what the PB changes is."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    model = LSTMPB(NetworkSettings()).requires_grad_(False)
    x = torch.from_numpy(series(BATCH, LENGTH).x)
    mask, clock = torch.ones(x.shape[:2], dtype=torch.bool), model.clock(LENGTH - 1)
    ways = {"everything in each step": lambda rows, p: model(x[rows], p, 0.0, clock)}
    ways["once what the PB does not change"] = predictor(model, x, 0.0)
    settings = RecognitionSettings(steps=5, rate=0.01)
    measured: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(REPEATS + 1):  # the first warms up
        for name, predict in ways.items():
            took = seconds(lambda predict=predict: descend(predict, x, mask, model.class_pb[0], settings))
            if repeat:
                measured[name].append(took / (settings.steps + 1))
    row(f"a step of recognition, context from top, teacher forced, batch {BATCH}", "seconds", "times as fast")
    row("---", "---", "---")
    first = float(np.median(measured["everything in each step"]))
    for name, took in measured.items():
        row(name, f"{np.median(took):.3f}", f"{first / float(np.median(took)):.1f}")


def emotion(device: str, context_from: str, epochs: int, length: int) -> None:
    """Train a network on 80 sequences; print the seconds from the first epoch to the last."""
    data, labels = series(BATCH, length), np.arange(BATCH) % 2
    network, learning = NetworkSettings(context_from=context_from), LearningSettings(epochs=epochs, batch_size=BATCH)
    print(seconds(lambda: train(data, labels, network, learning, seed=0, device=device)))


def gpu_seconds(work: Callable[[], object]) -> float:
    """Give the median of REPEATS, after as many as capture a graph."""
    took = []
    for repeat in range(REPEATS + 2):
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        if repeat > 1:
            took.append(time.perf_counter() - start)
    return float(np.median(took))


def gpu_steps() -> None:
    """Time steps of learning mode, with their kernels replayed from a graph and launched one by one."""
    port = authors_way.AuthorsNetwork().cuda()
    optimiser = torch.optim.SGD(port.parameters(), lr=0.01, momentum=0.9)
    one = torch.from_numpy(series(1, LENGTH).x[0]).cuda()
    authors = gpu_seconds(lambda: authors_way.learn_sequence(port, optimiser, one, torch.zeros(64, device="cuda")))
    square = torch.randn(8192, 8192, device="cuda")
    peak = 2 * 8192**3 / gpu_seconds(lambda: square @ square)
    row(name_of("cuda"), "seconds a step", "launched one by one", "frames/s", "times the authors' way", "TFLOP/s")
    row(*["---"] * 6)
    row("the authors' way, batch 1", f"{authors:.3f}", "", f"{(LENGTH - 1) / authors:.0f}", "1.0", "")
    for context_from in ("hidden", "top"):
        for batch in (80, 8, 1):
            replayed = gpu_seconds(learner(context_from, batch, LENGTH, "cuda"))
            with mock.patch.object(cuda_graph.Replayed, "__call__", lambda self, *inputs: self.work(*inputs)):
                launched = gpu_seconds(learner(context_from, batch, LENGTH, "cuda"))
            rate = batch * (LENGTH - 1) / replayed
            useful = f"{rate * 3 * 2 * (GRID + AROUND) / 1e12:.1f}" if context_from == "hidden" else ""
            step = f"`context_from: {context_from}`, batch {batch}"
            against = f"{rate * authors / (LENGTH - 1):.0f}"
            row(step, f"{replayed:.3f}", f"{launched:.3f}", f"{rate:.0f}", against, useful)
    row("`torch.mm`, 8192 x 8192, float32", "", "", "", "", f"{peak / 1e12:.1f}")
    print(f"\nOf the busy time of a step {share_of_products('cuda', LENGTH):.0%} is spent in products.\n")


def rounding() -> None:
    """Say how far float32 and TF32 products lead from float64, and what TF32 gains."""
    torch.manual_seed(0)
    x, p = torch.from_numpy(series(8, LENGTH).x).cuda(), torch.randn(8, 64, device="cuda")
    model = LSTMPB(NetworkSettings(context_from="hidden")).cuda().requires_grad_(False)
    exact = copy.deepcopy(model).double()(x.double(), p.double())
    row("products", "largest difference of an output from float64", "seconds a step, batch 80")
    row("---", "---", "---")
    for name, tf32 in (("float32", False), ("TF32", True)):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        off = float((model(x, p).double() - exact).abs().max())
        row(name, f"{off:.1e}", f"{gpu_seconds(learner('hidden', BATCH, LENGTH, 'cuda')):.3f}")
    torch.backends.cuda.matmul.allow_tf32 = False


def whole(device: str = "cuda", epochs: int = 100, length: int = LENGTH) -> None:
    """Time a whole emotion, and six as the workflow's six jobs one after the other."""
    row(name_of(device), f"seconds for {epochs} epochs of {BATCH} sequences", "aim")
    row("---", "---", "---")
    for context_from in ("hidden", "top"):
        job = [sys.executable, __file__, "emotion", device, context_from, str(epochs), str(length)]
        trained: list[float] = []
        started = time.perf_counter()
        for _ in range(6):
            trained.append(float(subprocess.run(job, stdout=subprocess.PIPE, check=True, text=True).stdout))
        took = time.perf_counter() - started
        row(f"`context_from: {context_from}`, an emotion, median of six", f"{np.median(trained):.1f}", "at most 60")
        row(
            f"`context_from: {context_from}`, six jobs one after the other, start-up included",
            f"{took:.1f}",
            "at most 360",
        )


def share_of_products(device: str, length: int) -> float:
    work = learner("hidden", BATCH, length, device)
    for _ in range(3):
        work()
    on_card = device == "cuda"
    kind = torch.profiler.ProfilerActivity.CUDA if on_card else torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[kind]) as profile:
        work()
        if on_card:
            torch.cuda.synchronize()
    events = profile.key_averages()
    spent = {event.key: event.self_device_time_total if on_card else event.self_cpu_time_total for event in events}
    products = ("gemm", "gemv", "cutlass", "aten::mm", "aten::addmm")
    multiplying = sum(time for name, time in spent.items() if any(part in name.lower() for part in products))
    return multiplying / sum(spent.values())


def main() -> None:
    match sys.argv[1:]:
        case ["step", batch, length, segment]:
            step(int(batch), int(length), int(segment))
        case ["memory"]:
            memory()
        case ["recognise"]:
            recognition()
        case ["cuda"]:
            choose_device("cuda")  # says so where there is none
            gpu_steps()
            rounding()
            print()
            whole()
        case ["emotion", device, context_from, epochs, length]:
            emotion(device, context_from, int(epochs), int(length))
        case _:
            cpu()
            print()
            memory()
            print()
            recognition()


if __name__ == "__main__":
    main()
