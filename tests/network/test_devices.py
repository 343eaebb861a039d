"""GPUs: which processes get which. Processes and locks are real, the GPUs are names."""

import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import pytest
import torch

from fakeemo import devices
from fakeemo.errors import FakeemoError

# Each process is forked from one that has torch already; without, each would import it anew.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["fakeemo.devices"])


def hold(folder, gpus, log, wanted="auto"):
    """Take a device and keep it until killed, with the GPUs that a machine might have."""
    tempfile.tempdir = folder
    torch.cuda.is_available = lambda: bool(gpus)
    torch.cuda.set_device = lambda i: None
    devices.uuids = lambda: gpus
    devices._LOOK_AGAIN_S = 0.01
    descriptor = os.open(log, os.O_CREAT | os.O_WRONLY)
    os.dup2(descriptor, 1)
    with devices.take(wanted) as device:
        print(f"has {device}", flush=True)
        time.sleep(60)


@pytest.fixture
def holder(tmp_path):
    """Start processes that hold a device; give them with the file of what they print."""
    started = []

    def start(*gpus, wanted="auto"):
        log = tmp_path / f"{len(started)}.log"
        process = PROCESSES.Process(target=hold, args=(str(tmp_path), list(gpus), str(log), wanted))
        process.start()
        started.append(process)
        return process, log

    yield start
    for process in started:
        process.kill()
        process.join()


def wait_for(log: Path, words: str) -> str:
    deadline = time.monotonic() + 60
    while not (log.exists() and words in log.read_text()):
        assert time.monotonic() < deadline, f"'{words}' never came"
        time.sleep(0.01)
    return log.read_text()


def test_jobs_side_by_side_take_different_gpus_and_a_third_waits_until_one_is_killed(holder):
    first, log = holder("GPU-a", "GPU-b")
    wait_for(log, "has cuda:0")
    _, log = holder("GPU-a", "GPU-b")
    wait_for(log, "has cuda:1")
    third, log = holder("GPU-a", "GPU-b")
    assert "has" not in wait_for(log, "all GPUs (2) are taken")
    assert third.is_alive()
    first.kill()
    assert wait_for(log, "has cuda:0").count("waiting") == 1


def test_many_at_once_share_no_gpu(holder):
    gpus = [f"GPU-{i}" for i in range(4)]
    logs = [holder(*gpus)[1] for _ in gpus]
    assert {wait_for(log, "has cuda").strip() for log in logs} == {f"has cuda:{i}" for i in range(4)}


def test_a_gpu_is_the_same_under_any_number(holder):
    """CUDA_VISIBLE_DEVICES may hide GPUs and change their order: names count, not numbers."""
    _, log = holder("GPU-a", "GPU-b")
    wait_for(log, "has cuda:0")  # a
    _, log = holder("GPU-b", "GPU-a")
    wait_for(log, "has cuda:0")  # b
    _, log = holder("GPU-c", "GPU-a")
    wait_for(log, "has cuda:0")  # c
    _, log = holder("GPU-b")
    wait_for(log, "all GPUs (1) are taken")


def test_the_cpu_is_taken_by_any_number(holder, tmp_path):
    for arguments, wanted in (((), "auto"), ((), "auto"), (("GPU-a",), "cpu")):
        wait_for(holder(*arguments, wanted=wanted)[1], "has cpu")
    assert not list(tmp_path.glob("fakeemo-*"))


def test_the_config_decides_the_kind_of_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.choose_device("auto").type == "cpu"
    with pytest.raises(FakeemoError, match="device is 'cuda'"):
        devices.choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert devices.choose_device("auto").type == "cuda"
    assert devices.choose_device("cpu").type == "cpu"


def test_a_real_failure_to_get_memory_is_told_from_other_errors():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(10**15)
    assert devices.out_of_memory(raised.value)
    assert devices.out_of_memory(MemoryError())
    assert devices.out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not devices.out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
