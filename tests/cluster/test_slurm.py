"""The workflow through profiles/slurm on a real Slurm: same results, GPUs for whom, what failed, what was killed."""

import importlib.util
import os
import re
import subprocess
import threading
from collections.abc import Iterator

import pytest
import slurm
from projects import Project

from fakeemo.demo import demo_sheet

ROWS = demo_sheet(2, 0, 1, emotions=["happiness"])
SMALL = {"variants": {"train": 1, "valid": 1, "test": 1}, "learning": {"epochs": 3}, "network": {"hidden": 16}}
# Without accounting squeue is what there is to ask; checks are frequent, as the jobs are short.
PROFILE = ["--workflow-profile", "profiles/slurm", "--slurm-status-command", "squeue"]
PROFILE += ["--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start Slurm and make it this process's; where it is not installed skip, or fail under FAKEEMO_SLURM=required."""
    lacking = slurm.missing()
    if not importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        lacking.append("snakemake-executor-plugin-slurm")
    if lacking:
        stop = pytest.fail if os.environ.get("FAKEEMO_SLURM") == "required" else pytest.skip
        stop(f"not installed: {', '.join(lacking)} (Debian's packages slurmctld, slurmd, slurm-client and munge)")
    with slurm.started(tmp_path_factory.mktemp("slurm")) as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield


def jobs() -> list[dict[str, str]]:
    """Give what Slurm knows of every job so far, with the name of its rule as ``rule``."""
    shown = subprocess.run(["scontrol", "--oneliner", "show", "job"], capture_output=True, text=True, check=True).stdout
    found = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in shown.splitlines() if "JobId=" in line]
    for job in found:
        job["rule"] = re.sub("^rule_|_wildcards_.*$", "", job["Comment"])
    return found


class Killer(threading.Thread):
    """Cancels the first job that runs a rule, as a scheduler does that needs the node for others."""

    def __init__(self, rule: str) -> None:
        super().__init__(daemon=True)
        self.rule, self.done = rule, threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.2):
            for job in jobs():
                if job["rule"] == self.rule and job["JobState"] == "RUNNING":
                    subprocess.run(["scancel", job["JobId"]], check=True)
                    return


@pytest.fixture(scope="module")
def ran(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """Run the demo on Slurm while its first training is killed; give it with what was printed."""
    project = Project(tmp_path_factory.mktemp("demo") / "slurm", ROWS, **SMALL, device="auto")
    killer = Killer("train")
    killer.start()
    try:
        done = project.snakemake(*PROFILE)
    finally:
        killer.done.set()
    assert done.returncode == 0, done.stdout + done.stderr
    return project, done.stdout + done.stderr


def test_results_equal_those_of_a_local_run(ran, tmp_path):
    local = Project(tmp_path / "local", ROWS, **SMALL, device="auto")
    local.run("--cores", "2")
    expected = local.results()
    assert len([name for name in expected if name.startswith("variants/")]) == len(ROWS)
    assert "models/happiness/lstm_pb.safetensors" in expected
    assert ran[0].results() == expected
    assert not ran[0].jobs(*PROFILE)


def test_the_network_asks_for_one_gpu_and_no_other_job_for_any(ran):
    gpus = {job["rule"]: job.get("TresPerJob") for job in jobs()}
    networks = {"train", "recognise"}
    assert {gpus[rule] for rule in networks} == {"gres:gpu:1"}
    assert {gpus[rule] for rule in gpus.keys() - networks} == {None}
    assert gpus.keys() >= {"preprocess", "quality", "boost", "evaluate", "report"}


def test_preprocessing_of_videos_that_are_there_travels_together(ran):
    preprocessing = [job for job in jobs() if job["rule"] == "preprocess"]
    assert len(preprocessing) == len(ROWS)
    # The two clips of a subject are there at the same time, those of several usually.
    assert len({job["ArrayJobId"] for job in preprocessing}) <= len(ROWS) / 2


def test_a_job_that_the_scheduler_kills_is_tried_again_with_more(ran):
    killed, again = sorted((job for job in jobs() if job["rule"] == "train"), key=lambda job: int(job["JobId"]))
    assert (killed["JobState"], again["JobState"]) == ("CANCELLED", "COMPLETED")
    assert (killed["MinMemoryNode"], again["MinMemoryNode"]) == ("8000M", "16000M")
    assert "Trying to restart job" in ran[1]


def test_a_job_that_fails_is_reported_with_its_log(cluster, tmp_path):
    project = Project(tmp_path / "project", ROWS, **SMALL)
    (project.folder / "notes.mp4").write_text("this is no video")
    bad = ROWS[-1] | {"video_id": "notes", "path": "notes.mp4"}
    project.write_sheet([*ROWS, bad])
    done = project.snakemake(*PROFILE, "--", "results/rois/notes.parquet")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "logs/preprocess/notes.log" in said
    assert re.search(r"fakeemo: .*notes\.mp4.*\[unreadable\].*on_bad_video: skip", said)


def test_a_cap_on_jobs_is_refused(cluster, tmp_path):
    project = Project(tmp_path / "project", ROWS, **SMALL)
    done = project.snakemake(*PROFILE, "--jobs", "3")
    assert done.returncode != 0
    assert "--jobs 3 and Slurm's job arrays do not go together" in done.stderr
    assert not (project.folder / "data").exists()
