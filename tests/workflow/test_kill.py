"""A run that is killed and started again by the same command, without hand work."""

import errno
import fcntl
import os
import re
import signal
import subprocess
import time

from projects import EPOCHS, NETWORK, Project, training_alone

from fakeemo import workflow as plan


def test_two_runs_in_one_folder_are_kept_apart(tmp_path):
    project, arguments = training_alone(tmp_path)
    (tmp_path / ".snakemake").mkdir()
    with open(tmp_path / ".snakemake" / "fakeemo.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = project.snakemake(*arguments)
    assert done.returncode != 0
    assert f"{tmp_path}: another run is at work there; wait for its end, or stop it" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results" / "models").exists()


def test_what_only_looks_is_not_kept_out_and_holds_nothing(tmp_path):
    """A dry run, --unlock, --lint, --summary, and a job that Snakemake runs in a process of its own."""
    project, arguments = training_alone(tmp_path)
    job = ["--mode", "subprocess", "--no-hooks", "--nolock"]  # what every executor gives its jobs
    looks = [["-n"], ["--unlock"], ["--lint"], ["--summary"]]
    (tmp_path / ".snakemake").mkdir()
    with open(tmp_path / ".snakemake" / "fakeemo.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for asked in looks:
            done = project.snakemake(*asked, *arguments)
            assert done.returncode == 0, (asked, done.stderr)
        done = project.snakemake(*job, "--workflow-profile", "none", *arguments)
        assert (project.folder / NETWORK).exists(), done.stderr


def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch, capsys):
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake").mkdir()
    monkeypatch.setattr(plan.fcntl, "flock", no_locks)
    plan.hold_folder()
    assert f"{tmp_path}: cannot be locked (No locks available); start no second run there" in capsys.readouterr().err


def kill_in_training(project: Project, arguments: list[str]) -> None:
    """Start a run, and kill all of its processes as soon as there is a checkpoint."""
    run = subprocess.Popen(project.command(*arguments), start_new_session=True, stderr=subprocess.DEVNULL)
    checkpoint = project.folder / "results" / "checkpoints" / "happiness.safetensors"
    started = time.monotonic()
    while not checkpoint.exists() and run.poll() is None and time.monotonic() < started + 300:
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    assert checkpoint.exists()
    assert not (project.folder / NETWORK).exists(), "the case needs a training that is not yet done"


def test_killed_and_started_again_training_goes_on_and_ends_in_the_same_bits(tmp_path):
    killed, arguments = training_alone(tmp_path / "killed")
    kill_in_training(killed, arguments)
    killed.run(*arguments)
    log = (killed.folder / "logs" / "train" / "happiness.log").read_text()
    said = re.search(r"happiness: goes on after epoch (\d+), from results/checkpoints/happiness", log)
    assert said, log
    assert 1 <= int(said[1]) < EPOCHS

    whole, _ = training_alone(tmp_path / "whole")
    whole.run(*arguments)
    for name in ("lstm_pb.safetensors", "config.json"):
        assert killed.read(f"models/happiness/{name}") == whole.read(f"models/happiness/{name}")
    histories = [project.read("models/happiness/history.csv").decode().splitlines() for project in (killed, whole)]
    ours, theirs = ([line.rsplit(",", 1)[0] for line in lines] for lines in histories)  # without the seconds
    assert ours == theirs
    assert len(ours) == 1 + EPOCHS
