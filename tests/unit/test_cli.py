"""The command line: help with examples, a rendered set, and faults in one line."""

import argparse
import re
import shlex
import subprocess
import sys

import pytest

from fakeemo import cli
from fakeemo.samples import read_samples

COMMANDS = {command.prog.removeprefix("fakeemo "): command for command in cli.leaves(cli.parser())}


def test_demo_writes_clips_and_a_sheet_that_can_be_read(tmp_path, capsys):
    assert cli.main(["demo", str(tmp_path / "set"), "--train", "1", "--valid", "0", "--test", "0", "--seed", "4"]) == 0
    sheet = capsys.readouterr().out.strip()
    samples = read_samples(sheet, ["anger", "contempt", "disgust", "happiness", "sadness", "surprise"])
    assert len(samples) == 12
    assert len(list((tmp_path / "set").glob("*.mp4"))) == 12


def test_a_fault_is_one_line_and_verbose_adds_the_trace(capsys, tmp_path):
    faulty = ["demo", str(tmp_path), "--effect-size", "-1"]
    assert cli.main(faulty) == 1
    error = capsys.readouterr().err
    assert error.startswith("fakeemo: demo setting effect_size: -1.0 given")
    assert error.count("\n") == 1
    assert cli.main([*faulty, "--verbose"]) == 1
    traced = capsys.readouterr().err
    assert traced.startswith("Traceback")
    assert traced.endswith(error)


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (ZeroDivisionError("by\nnought"), "fakeemo: unexpected ZeroDivisionError: by nought; --verbose shows where\n"),
        (
            PermissionError(13, "Permission denied", "x.mp4"),
            "fakeemo: x.mp4: Permission denied; --verbose shows where\n",
        ),
    ],
)
def test_what_a_user_cannot_mend_is_one_line_too(monkeypatch, capsys, fault, line):
    def fail(_: argparse.Namespace) -> None:
        raise fault

    monkeypatch.setattr(cli, "_demo", fail)
    assert cli.main(["demo", "folder"]) == 1
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("arguments", [[], ["dmo"], ["demo"], ["demo", "x", "--seed", "two"], ["overlay", "x", "--no"]])
def test_mistyped_arguments_are_one_line_that_says_where_to_look(capsys, arguments):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert re.fullmatch(r"fakeemo[^\n]*; `fakeemo[a-z ]* --help` lists what can be given\n", error)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_that_can_be_given(name):
    examples = re.findall(rf"fakeemo {name} [^;|]+", COMMANDS[name].epilog or "")
    assert examples
    assert re.search("^examples?: ", COMMANDS[name].epilog)
    for example in examples:
        cli.parser().parse_args(shlex.split(example)[1:])


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([*name.split(), "--help"] for name in COMMANDS)])
def test_help_imports_nothing_heavy(arguments):
    heavy = {"torch", "cv2", "numpy", "pandas", "xgboost", "pyarrow", "matplotlib", "scipy", "numba", "tqdm", "yaml"}
    program = (
        "import sys\nfrom fakeemo.cli import main\n"
        f"try:\n    main({arguments})\nexcept SystemExit as end:\n    assert end.code == 0\n"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
