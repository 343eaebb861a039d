"""What a job says at its end, on the terminal and in its log."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[2] / "workflow" / "scripts").glob("*.py"))


def run(tmp_path, body):
    program = f"from fakeemo.jobs import job\nfrom fakeemo.errors import FakeemoError\nwith job('log'):\n    {body}\n"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    return done, (tmp_path / "log").read_text()


def test_what_is_printed_goes_to_the_log_also_from_c(tmp_path):
    done, log = run(tmp_path, "print('hello'); import os; os.write(2, b'from a library')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "hello" in log
    assert "from a library" in log


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("raise FakeemoError('a.mp4: no face; remove the row')", "fakeemo: a.mp4: no face; remove the row"),
        ("raise MemoryError", "fakeemo: out of memory"),
        ("open('/nowhere/file')", "fakeemo: /nowhere/file: No such file or directory"),
        ("1 / 0", "fakeemo: unexpected ZeroDivisionError: division by zero; the trace is in log"),
    ],
)
def test_a_fault_ends_the_job_with_one_line(tmp_path, body, line):
    done, log = run(tmp_path, body)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(line)
    assert line in log
    assert ("Traceback" in log) == ("Error" in done.stderr or "nowhere" in body)


def test_garbage_is_looked_for_in_what_the_job_makes_alone(tmp_path):
    body = """import atexit, gc
    print(gc.isenabled(), gc.get_freeze_count() > 1000)
    made, before = [[] for _ in range(5000)], gc.get_freeze_count()
    atexit.register(lambda: print(gc.get_freeze_count() >= before + 5000))
"""
    done, log = run(tmp_path, body)
    assert done.returncode == 0
    assert log.split() == ["True", "True", "True"]  # as it begins, what was imported; as it ends, all


def test_nobody_looks_for_garbage_while_a_script_imports():
    asked = "import fakeemo.jobs, gc; print(gc.isenabled())"
    assert subprocess.check_output([sys.executable, "-c", asked], text=True) == "False\n"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_imports_the_job_first(script):
    assert re.findall(r"^from fakeemo\.(\w+)", script.read_text(), re.MULTILINE)[0] == "jobs"
