"""The config of SASE-FE, on real video files in the data set's layout; networks and clips are shrunk."""

import csv
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY
from sase_fe_tree import plan, write_tree

from fakeemo import workflow as plan_of
from fakeemo.cli import main
from fakeemo.demo import DemoSettings, render_clip
from fakeemo.tables import read_table

CONFIG = REPOSITORY / "config" / "sase_fe.yaml"
SHOWN = ("contempt", "surprise")  # the two whose names vary; the other emotions' files are there, and left aside
SMALLER = {
    "emotions": list(SHOWN),
    "device": "cpu",
    "torch_threads": 1,
    "variants": {"train": 1, "valid": 1, "test": 2, "jitter_px": [6, 3]},
    "network": {"pb": 4, "context": 8, "hidden": 16, "layers": 1},
    "learning": {"epochs": 2},
    "recognition": {"steps": 2},
    "boosting": {"trees": 5, "reg_lambda": 0.1, "rate": 0.1},
}


def render(path: Path, subject: str, emotion: str, label: str) -> None:
    if emotion in SHOWN:
        made = path.with_name("_" + path.stem + ".mp4")
        render_clip(made, subject, emotion, label, DemoSettings(fps=12, seconds=2, width=320, height=240))
        made.rename(path)
    else:
        path.write_bytes(b"of another emotion")


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(REPOSITORY / "Snakefile"),
        "--directory",
        str(folder),
    ]
    configs = ["--configfile", str(CONFIG), str(folder / "smaller.yaml")]
    return subprocess.run([*command, *arguments, *configs], capture_output=True, text=True, timeout=900, cwd=REPOSITORY)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sase_fe")
    write_tree(folder / "data" / "sase_fe", render)
    (folder / "smaller.yaml").write_text(yaml.safe_dump(SMALLER))
    done = snakemake(folder, "--cores", "2", "--quiet", "rules")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_config_is_the_papers():
    config = plan_of.read_config([CONFIG])
    assert config["network"] | {"pb": 64, "context": 64, "hidden": 512, "layers": 4} == config["network"]
    learning = {"epochs": 100, "weight_rate": 0.01, "pb_rate": 0.9, "decay": 10, "patience": 10, "optimiser": "sgd"}
    assert config["learning"] | learning == config["learning"]
    assert config["boosting"]["trees"] == 5000
    assert (config["variants"]["train"], config["variants"]["test"]) == (10, 100)
    assert "demo" not in config
    # Nothing else than these sections departs from the defaults, which are the paper's too.
    default = plan_of.read_config()
    assert {key for key in config if config[key] != default[key]} == {
        "samples", "on_bad_video", "variants", "boosting", "evaluation",
    }  # fmt: skip


def test_the_folder_goes_through_to_verdicts(run):
    rows = {row["video_id"]: row for row in csv.DictReader((run / "results" / "predictions.csv").open())}
    expected = [(name, label) for name, _, emotion, label in plan() if emotion in SHOWN]
    assert len(rows) == len(expected) == 2 * 4 + 2 * 4
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert all(row["predicted"] in ("genuine", "fake") for row in rows.values())
    for name, label in expected:
        path = Path(name)
        row = rows[f"s{int(path.parent.name):02d}_{path.stem}" if name.startswith("Train") else path.stem]
        assert row["label"] == ("" if name.startswith("Test") else label)
        assert row["split"] == {"Tr": "train", "Va": "valid", "Te": "test"}[name[:2]]
    judged, _ = read_table(run / "results" / "pb" / "contempt.parquet")
    assert len(judged["video_id"]) == 2 * 2 * 2 + 2 * 2 + 2 * 3
    assert "contentment" not in (run / "results" / "predictions.csv").read_text()


def test_it_has_nothing_more_to_do(run):
    done = snakemake(run, "--dry-run")
    assert "Nothing to be done" in done.stdout + done.stderr


def test_the_submission_of_a_run_names_every_test_video(run, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(run)
    arguments = ["export", "challenge", "--configfile", str(CONFIG), "smaller.yaml", "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    test = pickle.loads((tmp_path / "test_prediction.pkl").read_bytes())
    assert set(test) == {Path(name).name for name, _, shown, _ in plan() if name.startswith("Test") and shown in SHOWN}
    assert set(test.values()) <= {"true", "fake"}
    assert main([*arguments[:-1], "data/sase_fe/Test"]) == 1
    assert "lies in data/sase_fe, where predictions would count as labels" in capsys.readouterr().err


def test_a_copied_video_is_found_before_a_run(run, monkeypatch, capsys, tmp_path):
    shutil.copytree(run / "data", tmp_path / "data")
    videos = tmp_path / "data" / "sase_fe" / "Train" / "1"
    shutil.copy(videos / "H2N2C.MP4", videos / "D2N2S.MP4")
    monkeypatch.chdir(tmp_path)
    check = ["samples", "check", "data/sase_fe", "--configfile", str(CONFIG), str(run / "smaller.yaml")]
    assert main(check) == 1
    (fault,) = [line for line in capsys.readouterr().out.splitlines() if "fault" in line]
    assert "H2N2C.MP4 is bit-identical with data/sase_fe/Train/1/D2N2S.MP4" in fault
