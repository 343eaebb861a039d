"""A disk that is full or may not be written to: one line says so, and what was there stays."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from projects import NETWORK, training_alone


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--recursive", folder], check=True)


def read_only(folder: Path) -> None:
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)


def test_a_full_disk_ends_the_job_in_one_line_and_the_same_command_goes_on(disk):
    project, arguments = training_alone(disk / "project")
    before = project.results()
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(disk).free - 60_000))
    done = project.snakemake(*arguments)
    assert done.returncode != 0
    (line,) = {line for line in done.stderr.splitlines() if line.startswith("fakeemo: ")}
    assert "No space left on device" in line
    assert "make room and start again" in line
    assert project.results() == before
    ballast.unlink()
    project.run(*arguments)
    assert (project.folder / NETWORK).exists()


@pytest.mark.parametrize("folder", ["results", "results/variants", ".snakemake"])
def test_a_folder_that_may_not_be_written_to_is_named_before_the_first_job(disk, folder):
    project, arguments = training_alone(disk / "project")
    (project.folder / folder).mkdir(exist_ok=True)
    before = project.results()
    read_only(project.folder / folder)
    done = project.snakemake(*arguments)
    assert done.returncode != 0
    assert f"{project.folder / folder}: cannot be written to" in done.stderr
    assert "Traceback" not in done.stderr
    assert project.results() == before
    assert not (project.folder / "logs" / "train").exists()
