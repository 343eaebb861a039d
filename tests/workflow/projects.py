"""A folder in which the workflow really runs, and what it would run next."""

import copy
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fakeemo.demo import demo_sheet
from fakeemo.sequences import FEATURES
from fakeemo.tables import write_table

REPOSITORY = Path(__file__).parents[2]
Jobs = Counter[tuple[str, str]]

# Of a project whose training is all that runs.
NETWORK = "results/models/happiness/lstm_pb.safetensors"
EPOCHS = 80


def planned(dry_run: str) -> Jobs:
    """Give the jobs that a dry run printed: ``(rule, wildcard values)`` of each but ``all``."""
    found: Jobs = Counter()
    # A job is printed as a block: "rule NAME:" and indented lines, "wildcards: NAME=VALUE" among them.
    for name, block in re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", dry_run, re.M):
        wildcards = re.search(r"^    wildcards: (.*)$", block, re.M)
        if name != "all":
            found[name, ", ".join(re.findall(r"=([^,]+)", wildcards[1])) if wildcards else ""] += 1
    return found


def by_rule(jobs: Jobs) -> dict[str, int]:
    """Give the number of jobs of each rule."""
    counts: Counter[str] = Counter()
    for (rule, _), number in jobs.items():
        counts[rule] += number
    return dict(counts)


class Project:
    """A working folder with a config and a sample sheet of its own, and the repository's Snakefile."""

    def __init__(self, folder: Path, rows: Iterable[dict[str, str]], **changes: Any) -> None:
        self.folder = folder
        (folder / "config").mkdir(parents=True)
        self.config = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())
        self.change(**changes)
        self.write_sheet(rows)

    def copy(self, folder: Path) -> "Project":
        """Copy the whole folder, results and Snakemake's notes included."""
        shutil.copytree(self.folder, folder)
        copied = copy.copy(self)
        copied.folder, copied.config = folder, copy.deepcopy(self.config)
        return copied

    def change(self, **changes: Any) -> None:
        """Set keys of the config: whole values, or for a section those of its keys that are given."""
        for key, value in changes.items():
            if isinstance(value, dict) and isinstance(self.config.get(key), dict):
                self.config[key] |= value
            else:
                self.config[key] = value
        (self.folder / "config" / "config.yaml").write_text(yaml.safe_dump(self.config))

    def write_sheet(self, rows: Iterable[dict[str, str]]) -> None:
        rows = list(rows)
        lines = ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows)]
        (self.folder / "config" / "samples.tsv").write_text("\n".join(lines) + "\n")

    def command(self, *arguments: str) -> list[str]:
        snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
        return [*snakemake, "--directory", str(self.folder), *arguments]

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=900, cwd=REPOSITORY)

    def run(self, *arguments: str) -> None:
        done = self.snakemake("--quiet", "rules", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    def jobs(self, *arguments: str) -> Jobs:
        """Give what a run would do: ``(rule, wildcard values)`` of each job but ``all``."""
        done = self.snakemake("--dry-run", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return planned(done.stdout + done.stderr)

    def rules(self, *arguments: str) -> dict[str, int]:
        """Give the number of jobs of each rule that a run would do."""
        return by_rule(self.jobs(*arguments))

    def read(self, name: str) -> bytes:
        return (self.folder / "results" / name).read_bytes()

    def results(self) -> dict[str, bytes]:
        """Give all tables, models and numbers by name: what must be the same however a run came to its end.

        Left out are the report, which tells how long jobs took, and checkpoints; histories come without their seconds.
        """
        folder = self.folder / "results"
        found = {}
        for file in sorted(folder.rglob("*")):
            name = file.relative_to(folder)
            if file.is_file() and name.parts[0] not in ("report", "checkpoints"):
                found[str(name)] = file.read_bytes()
                if name.name == "history.csv":
                    lines = found[str(name)].splitlines()
                    found[str(name)] = b"\n".join(line.rpartition(b",")[0] for line in lines)
        return found


def training_alone(folder: Path) -> tuple[Project, list[str]]:
    """Make a project whose variants are there already, of random landmarks, and the arguments that run its training."""
    rows = demo_sheet(2, 1, 1, emotions=["happiness"])
    project = Project(folder, rows, network={"hidden": 16}, learning={"epochs": EPOCHS, "batch_size": 2})
    random = np.random.default_rng(0)
    for row in rows:
        columns = {"variant": np.repeat([0, 1], 12), "frame": np.tile(np.arange(12), 2)}
        columns |= {name: random.uniform(-0.5, 0.5, 24) for name in FEATURES}
        write_table(folder / "results" / "variants" / f"{row['video_id']}.parquet", columns, kind="variants")
    return project, ["--cores", "1", "--allowed-rules", "train", "--", NETWORK]
