"""What runs again after which change: of the sheet, of the config, of the code, of a video; and what does not."""

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import REPOSITORY, Project, by_rule, planned

from fakeemo.demo import demo_sheet

ROWS = demo_sheet(2, 0, 1, emotions=["happiness", "surprise"])
SMALL = {"variants": {"train": 1, "valid": 1, "test": 1}, "learning": {"epochs": 3}, "network": {"hidden": 16}}
Row = dict[str, str]

N = len(ROWS)
REPORTED = {"evaluate": 1, "report": 1}
ONE_EMOTION_JUDGED = {"recognise": 1, "boost": 1} | REPORTED
ONE_EMOTION = {"train": 1, "generate": 1, "intake": 1} | ONE_EMOTION_JUDGED
ONE_VIDEO = {"preprocess": 1, "quality": 1, "playback": 1}
OTHER_VIDEOS = {"quality": 1, "playback": 1}
INTAKE = {"intake": 2}  # of what `fakeemo predict` is to do with a new video
BOOSTED = {"boost": 2} | REPORTED
JUDGED = {"recognise": 2} | BOOSTED
LEARNED = {"train": 2, "generate": 2} | JUDGED
PREPROCESSED = {"preprocess": N} | INTAKE | OTHER_VIDEOS | LEARNED


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project that was run to its end; tests leave it as they found it."""
    project = Project(tmp_path_factory.mktemp("done") / "project", ROWS, **SMALL)
    project.run("--cores", "2")
    (project.folder / "own").mkdir()
    shutil.copy(project.folder / ROWS[0]["path"], project.folder / "own" / "clip.mp4")
    return project


def edit(video: str, **cells: str) -> Callable[[list[Row]], list[Row]]:
    return lambda rows: [row | cells if row["video_id"] == video else row for row in rows]


TEST, TRAIN = "s03_happiness_fake", "s01_happiness_fake"
NEW = {"video_id": "new", "path": "own/clip.mp4", "subject": "new", "emotion": "happiness", "label": "fake"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(lambda rows: rows, {}, id="nothing"),
        # Their order is that of the batches, and so of the last bits.
        pytest.param(lambda rows: rows[::-1], OTHER_VIDEOS | LEARNED, id="order of rows"),
        pytest.param(edit(TEST, video_id="other"), ONE_VIDEO | ONE_EMOTION_JUDGED, id="judged video renamed"),
        pytest.param(edit(TRAIN, video_id="other"), ONE_VIDEO | ONE_EMOTION, id="training video renamed"),
        pytest.param(edit(TEST, path="own/clip.mp4"), ONE_VIDEO | ONE_EMOTION_JUDGED, id="another file"),
        pytest.param(edit(TEST, label=""), REPORTED, id="label of a judged video taken away"),
        pytest.param(
            lambda rows: [row | ({"split": "valid"} if row["subject"] == "s03" else {}) for row in rows],
            REPORTED,
            id="judged subject in another split",
        ),
        pytest.param(lambda rows: [*rows, NEW | {"split": "test"}], ONE_VIDEO | ONE_EMOTION_JUDGED, id="one to judge"),
        pytest.param(lambda rows: [*rows, NEW | {"split": "train"}], ONE_VIDEO | ONE_EMOTION, id="one to learn from"),
        pytest.param(
            lambda rows: [row for row in rows if row["video_id"] != TEST],
            OTHER_VIDEOS | ONE_EMOTION_JUDGED,
            id="judged video removed",
        ),
        pytest.param(
            lambda rows: [row | ({"subject": "other"} if row["subject"] == "s01" else {}) for row in rows],
            BOOSTED,
            id="training subject renamed",
        ),
    ],
)
def test_the_sheet(done, change, expected):
    try:
        done.write_sheet(change(ROWS))
        assert done.rules() == expected
    finally:
        done.write_sheet(ROWS)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"boosting": {"rate": 0.1}, "learning": {"decay": 10}}, {}),  # their defaults, written out
        ({"torch_threads": 2}, INTAKE | LEARNED),
        ({"demo": {"effect_size": 2.0}}, {"demo": 3} | PREPROCESSED),
        ({"tracking": {"check_s": 0.5}}, PREPROCESSED),
        ({"landmarks": {"engine": "dlib"}}, {"engine": 1} | PREPROCESSED),
        ({"variants": {"jitter_px": [5, 3]}}, PREPROCESSED),
        ({"variants": {"train": 2}}, {"preprocess": 8} | INTAKE | OTHER_VIDEOS | LEARNED),
        ({"variants": {"test": 2}}, {"preprocess": 4} | OTHER_VIDEOS | INTAKE | JUDGED),
        ({"sequences": {"reference": "crop"}}, LEARNED),
        ({"network": {"hidden": 17}}, LEARNED),
        ({"learning": {"epochs": 4}}, LEARNED),
        ({"recognition": {"steps": 31}}, INTAKE | JUDGED),
        ({"boosting": {"depth": 3}}, BOOSTED),
        ({"boosting": {"rate": {"surprise": 0.2}}}, {"boost": 1} | REPORTED),
        ({"evaluation": {"pairing": "faces"}}, REPORTED),
        ({"on_bad_video": "skip"}, PREPROCESSED),
        ({"seed": 2}, PREPROCESSED),
    ],
    ids=str,
)
def test_one_config_key(done, change, expected):
    before = copy.deepcopy(done.config)
    try:
        done.change(**change)
        assert done.rules() == expected
    finally:
        done.config = before
        done.change()


class Checkout:
    """A copy of the repository as a fresh checkout leaves it: the same contents, all of them newer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("src", "workflow", "profiles"):
            shutil.copytree(REPOSITORY / name, folder / name, copy_function=shutil.copyfile)
        shutil.copyfile(REPOSITORY / "Snakefile", folder / "Snakefile")

    def rules(self, project: Project) -> dict[str, int]:
        """Give what this code would run of a project, by rule."""
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(self.folder / "Snakefile")]
        command += ["--directory", str(project.folder), "--dry-run"]
        environment = os.environ | {"PYTHONPATH": str(self.folder / "src")}
        done = subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return by_rule(planned(done.stdout + done.stderr))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("checkout"))


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (None, {}),
        ("src/fakeemo/cli.py", {}),
        ("src/fakeemo/demo_subjects.py", {"demo": 3} | PREPROCESSED),
        ("src/fakeemo/mosse.py", PREPROCESSED),
        ("src/fakeemo/regression_trees.py", {"engine": 1} | PREPROCESSED),
        ("src/fakeemo/augment.py", PREPROCESSED),
        ("src/fakeemo/quality.py", {"quality": 1} | REPORTED),
        ("src/fakeemo/grid_lstm.py", LEARNED),
        ("src/fakeemo/recognition.py", JUDGED),
        ("src/fakeemo/calibration.py", BOOSTED),
        ("src/fakeemo/pairing.py", REPORTED),
        ("src/fakeemo/figures.py", {"report": 1}),
        ("src/fakeemo/templates/report.html.j2", {"report": 1}),
        ("src/fakeemo/tables.py", PREPROCESSED),
        ("src/fakeemo/files.py", {"demo": 3, "engine": 1} | PREPROCESSED),
        ("workflow/scripts/recognise.py", JUDGED),
    ],
)
def test_an_edit_of_the_code(done, checkout, file, expected):
    if file is None:
        assert checkout.rules(done) == expected
        return
    edited = checkout.folder / file
    before = edited.read_text()
    try:
        edited.write_text(before + "\n")
        assert checkout.rules(done) == expected
    finally:
        edited.write_text(before)


def test_a_touch_runs_nothing(done):
    for file in [*(done.folder / "data").rglob("*.mp4"), *(done.folder / "config").iterdir()]:
        file.touch()
    assert done.rules() == {}


def test_a_video_of_any_size_is_compared_by_its_contents(done, tmp_path):
    """Snakemake by itself goes by the time of files beyond 1 MB, as most videos are."""
    project = done.copy(tmp_path / "project")
    video, target = project.folder / "own" / "clip.mp4", "results/rois/new.parquet"
    # MP4's box `free` is for padding.
    padding = 3_000_000
    video.write_bytes(video.read_bytes() + padding.to_bytes(4, "big") + b"free" + bytes(padding - 8))
    project.write_sheet([*ROWS, NEW | {"split": "test"}])
    project.run("--cores", "1", "--", target)
    video.touch()
    assert project.rules("--", target) == {}
    video.write_bytes(video.read_bytes()[:-1] + b"x")
    assert project.rules("--", target) == {"preprocess": 1}


def test_an_emotion_in_a_sheet_of_its_own_has_the_same_network_and_verdicts(done, tmp_path):
    """A way to divide very many videos (docs/scale.md)."""
    rows = [row for row in ROWS if row["emotion"] == "happiness"]
    alone = Project(tmp_path / "alone", rows, **SMALL)
    shutil.copytree(done.folder / "data", alone.folder / "data")
    alone.run("--cores", "2")
    own, of_all = alone.results(), done.results()
    of_its_own = {"qc/videos.parquet", "metrics.json", "predictions.csv"}
    assert {name: own[name] for name in own.keys() - of_its_own} == {
        name: of_all[name] for name in own.keys() - of_its_own
    }
    assert set(own["predictions.csv"].splitlines()) <= set(of_all["predictions.csv"].splitlines())
