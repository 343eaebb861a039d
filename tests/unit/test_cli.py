"""The command line: help, a rendered set, and faults in one line."""

import subprocess
import sys

import pytest

from fakeemo.cli import main
from fakeemo.samples import read_samples


def test_demo_writes_clips_and_a_sheet_that_can_be_read(tmp_path, capsys):
    assert main(["demo", str(tmp_path / "set"), "--train", "1", "--valid", "0", "--test", "0", "--seed", "4"]) == 0
    sheet = capsys.readouterr().out.strip()
    samples = read_samples(sheet, ["anger", "contempt", "disgust", "happiness", "sadness", "surprise"])
    assert len(samples) == 12
    assert len(list((tmp_path / "set").glob("*.mp4"))) == 12


def test_a_fault_is_one_line(capsys, tmp_path):
    assert main(["demo", str(tmp_path), "--effect-size", "-1"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("fakeemo: demo setting effect_size: -1.0 given")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["demo", "--help"],
        ["overlay", "--help"],
        ["samples", "check", "--help"],
        ["export", "challenge", "--help"],
        ["predict", "--help"],
        ["--version"],
    ],
)
def test_help_imports_nothing_heavy(arguments):
    program = (
        "import sys\nfrom fakeemo.cli import main\n"
        f"try:\n    main({arguments})\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print(sorted({'torch', 'cv2', 'numpy', 'pandas', 'xgboost'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
