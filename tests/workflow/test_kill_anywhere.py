"""A whole run that is killed again and again, in every stage, and only ever started by the same command."""

import csv
import os
import re
import shutil
import signal
import subprocess
import time

import numpy as np
from projects import Project

from fakeemo.demo import demo_sheet

# In the order in which they begin: the engine waits for nothing.
STAGES = ("engine", "demo", "preprocess", "quality", "train", "recognise", "boost", "evaluate", "report")
KILLS = 20


def seconds_of_a_job(project: Project, stage: str) -> float:
    """Give how long the shortest job of a stage took in a finished run."""
    folder = project.folder / "logs" / "benchmarks"
    tables = [folder / f"{stage}.tsv", *(folder / stage).glob("*.tsv")]
    return min(float(next(csv.DictReader(table.open(), delimiter="\t"))["s"]) for table in tables if table.exists())


def kill_once_in(project: Project, seconds: dict[str, float]) -> str:
    """Start a run, and kill all of its processes so long after the first job of one of the stages begins.

    Gives the stage, or nothing if the run came to its end before that.
    """
    command = project.command("--cores", "2")
    run = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    hit = ""
    try:
        for line in run.stderr:
            begun = re.match(r"(?:local)?rule (\w+):", line)
            if begun and begun[1] in seconds:
                hit = begun[1]
                time.sleep(seconds[hit])
                break
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.stderr.close()
    assert run.wait() in (-signal.SIGKILL, 0)
    return hit if run.returncode else ""


def whole_files(project: Project) -> dict[str, bytes]:
    """Give the results but for what a killed process was still writing under a name that nobody reads."""
    return {name: content for name, content in project.results().items() if not re.search(r"/\..*\.tmp", name)}


def test_results_are_bit_identical_after_twenty_kills_spread_over_all_stages(tmp_path):
    rows = demo_sheet(2, 0, 1, emotions=["happiness"])
    small = {"variants": {"train": 1, "valid": 1, "test": 1}, "learning": {"epochs": 3}, "network": {"hidden": 16}}
    undisturbed, killed = (Project(tmp_path / name, rows, **small) for name in ("undisturbed", "killed"))
    undisturbed.run("--cores", "2")
    expected = undisturbed.results()
    seconds = {stage: seconds_of_a_job(undisturbed, stage) for stage in STAGES}

    random = np.random.default_rng(0)
    hit = set()
    for k in range(KILLS):
        left = STAGES[k * len(STAGES) // KILLS :]
        waits = {stage: random.uniform(0, 0.7) * seconds[stage] for stage in left}
        while not (stage := kill_once_in(killed, waits)):
            # The machine is faster than when the jobs were timed: the last one again, and sooner.
            shutil.rmtree(killed.folder / "results" / "report")
            waits = {stage: wait / 2 for stage, wait in waits.items()}
        hit.add(stage)
        assert whole_files(killed).items() <= expected.items(), "what has its final name is whole"
    assert len(hit) >= len(STAGES) - 2
    killed.run("--cores", "2")
    assert whole_files(killed) == expected
    assert not killed.jobs()
