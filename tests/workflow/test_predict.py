"""``fakeemo predict`` with the models of a small run, and the run of a sheet that names tables of landmarks."""

import csv
import io
import json
import subprocess
import sys

import pytest
from conftest import Project

from fakeemo.demo import DemoSettings, demo_sheet, render_clip
from fakeemo.errors import FakeemoError
from fakeemo.landmark_csv import write_landmark_csv
from fakeemo.prediction import model_folder
from fakeemo.tables import read_table

TINY = {"variants": {"train": 1, "valid": 1, "test": 2}, "learning": {"epochs": 4}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    rows = demo_sheet(3, 0, 1, emotions=["happiness"])
    project = Project(tmp_path_factory.mktemp("trained") / "project", rows, **TINY)
    project.run("--cores", "2")
    return project


def predict(project, *arguments):
    """Run the command in the project's folder; the last line of errors says which heavy libraries it loaded itself."""
    program = (
        "import sys\nfrom fakeemo.cli import main\n"
        f"code = main({['predict', *arguments, '--emotion', 'happiness']})\n"
        "print({'torch', 'xgboost'} & set(sys.modules), file=sys.stderr)\nsys.exit(code)"
    )
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, cwd=project.folder
    )


def test_a_test_video_gets_the_verdict_that_the_workflow_gave(trained):
    of_workflow = {r["video_id"]: r for r in csv.DictReader(io.StringIO(trained.read("predictions.csv").decode()))}
    videos = [f"data/demo/s04_happiness_{label}.mp4" for label in ("genuine", "fake")]
    done = predict(trained, *videos, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "set()"
    found = json.loads(done.stdout)
    assert [verdict["video"] for verdict in found] == videos
    for verdict, label in zip(found, ("genuine", "fake"), strict=True):
        expected = of_workflow[f"s04_happiness_{label}"]
        assert verdict["probability_of_fake"] == pytest.approx(float(expected["score"]), abs=1e-4)
        assert verdict["verdict"] == expected["predicted"]
        assert verdict["n_variants"] == int(expected["n_variants"]) == 3
        low, high = verdict["interval"]
        assert 0 <= low <= high <= 1
        assert verdict["status"] == "ok"
        assert verdict["quality"]["frames"] == 65
        assert not verdict["warnings"]


def test_videos_that_cannot_be_judged_and_those_out_of_range_are_told_apart(trained, tmp_path):
    (tmp_path / "notes.mp4").write_text("no video")
    other = tmp_path / "other.mp4"
    render_clip(other, "s01", "happiness", "fake", DemoSettings(fps=12, seconds=5, width=1000, height=750))
    videos = [str(tmp_path / "notes.mp4"), str(other), str(tmp_path / "gone.mp4")]
    done = predict(trained, *videos, "--overlay", str(tmp_path))
    assert done.returncode == 3, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 7
    assert lines[0].startswith(f"{videos[0]}\tno verdict\t")
    assert lines[0].endswith("[unreadable]")
    assert " happiness\tprobability of fake 0." in lines[1]
    assert lines[2] == "\twarning: 12 frames a second; training had 25 to 25"
    assert lines[3] == "\twarning: 5 seconds; training had 2.6 to 2.6"
    assert "pixels of face width; training had" in lines[4]
    assert lines[5] == f"\t{tmp_path / 'other_overlay.mp4'}"
    assert (tmp_path / "other_overlay.mp4").stat().st_size > 10_000
    assert lines[6].endswith("no such file [missing]")


def test_landmarks_do_in_place_of_a_video(trained, tmp_path):
    table = write_landmark_csv(trained.folder / "results" / "landmarks" / "s04_happiness_fake.parquet", tmp_path)
    (verdict,) = json.loads(predict(trained, str(table), "--json").stdout)
    assert verdict["status"] == "ok"
    assert verdict["n_variants"] == 3
    assert "judged by its landmarks; training was by video" in verdict["warnings"]
    assert 0 < verdict["probability_of_fake"] < 1


def test_a_missing_model_is_one_line(trained):
    done = predict(trained, "data/demo/s04_happiness_fake.mp4", "--models", "nowhere")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[0].startswith("fakeemo: nowhere: no model there; train one with snakemake")
    models = trained.folder / "results" / "models"
    assert model_folder(models, "Happy", {"happy": "happiness"}) == models / "happiness"
    with pytest.raises(FakeemoError, match=r"no model of 'hapiness' \(did you mean 'happiness'\?\)"):
        model_folder(models, "hapiness")


def test_a_model_of_cross_validation_is_not_taken(tmp_path):
    (tmp_path / "anger.fold1").mkdir()
    with pytest.raises(FakeemoError, match="cross-validation, which leaves no one model"):
        model_folder(tmp_path, "anger")


def test_a_sheet_may_name_landmarks_in_place_of_videos(trained, project):
    made = project(3, 0, 1, **TINY)
    rows = demo_sheet(3, 0, 1, emotions=["happiness"])
    for row in rows[-2:]:
        source = trained.folder / "results" / "landmarks" / f"{row['video_id']}.parquet"
        row["path"] = str(write_landmark_csv(source, made.folder).relative_to(made.folder))
    made.write_sheet(rows)
    assert made.rules() == {
        "demo": 3, "engine": 1, "preprocess": 6, "given": 2, "quality": 1,
        "train": 1, "intake": 1, "generate": 1, "recognise": 1, "boost": 1, "evaluate": 1, "playback": 1, "report": 1,
    }  # fmt: skip
    made.change(evaluation={"pairing": "faces"})
    assert "results/faces/s04_happiness_fake.png" not in made.snakemake("--dry-run").stdout
    table = "results/variants/s04_happiness_fake.parquet"
    made.run("--cores", "2", "--", table)
    variants, header = read_table(made.folder / table)
    assert len(variants["frame"]) == 3 * 65
    assert header["parameters"]["landmarks"] == "s04_happiness_fake.csv"
    assert not (made.folder / "data").exists()  # no clip was rendered for it
    assert not made.jobs("--", table)
