"""Progress: a bar with the time left on a terminal, and hardly a word in a log."""

import os
import pty
import subprocess
import sys
import termios

PROGRAM = """
import time
from fakeemo import progress
progress._SECONDS = {seconds}
for _ in progress.progress({items}, "learn", "epoch"):
    time.sleep(0.05)
print("done")
"""


def run(items: str, seconds: float, stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(items=items, seconds=seconds)
    return subprocess.run([sys.executable, "-c", program], stderr=stderr, stdout=subprocess.PIPE, text=True, check=True)


def test_a_log_has_no_word_of_what_is_done_soon():
    assert run("range(4)", 60).stderr == ""


def test_a_log_of_a_long_loop_has_whole_lines_with_the_time_left():
    lines = run("range(20)", 0.2).stderr.splitlines()
    assert 1 <= len(lines) <= 6
    for line in lines:
        assert line.startswith("learn: ")
        assert " of 20 epochs, " in line
        assert line.endswith(" left")


def test_no_time_left_is_made_up_where_the_end_is_unknown():
    lines = run("iter(range(20))", 0.2).stderr.splitlines()
    assert lines
    assert all(" left" not in line and " of " not in line for line in lines)


def test_a_terminal_has_a_bar_with_the_time_left():
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    run("range(4)", 60, stderr=theirs)
    shown = os.read(ours, 100_000).decode()
    assert "learn: 100%" in shown
    assert "4/4" in shown
    assert "<00:00" in shown
