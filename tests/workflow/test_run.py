"""The workflow on real clips: what it finds, what it runs again, and what it says of videos that cannot be used."""

import csv
import io
import json
import re
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import REPOSITORY, Project

from fakeemo import workflow as plan
from fakeemo.demo import DemoSettings, demo_sheet, render_clip
from fakeemo.evaluation import wilson
from fakeemo.landmarks import default_model
from fakeemo.pairing import pairs_by_faces
from fakeemo.samples import LABELS
from fakeemo.tables import read_table

SMALL = {"train": 1, "valid": 1, "test": 1}  # variants
CAPTIONS = {"results/report/index.html": "report", "results/qc/videos.parquet": "quality"}


def small_set(folder: Path, effect_size: float | None = None) -> Project:
    """Two emotions and fifteen subjects, eight of them in the test split."""
    project = Project(folder, demo_sheet(6, 1, 8, emotions=["happiness", "surprise"]), variants=SMALL)
    if effect_size is not None:
        project.change(demo={"effect_size": effect_size})
    project.run("--cores", "2")
    return project


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return small_set(tmp_path_factory.mktemp("small") / "project")


def overall_test(project):
    return json.loads(project.read("metrics.json"))["splits"]["test"]["overall"]


def test_the_default_effect_is_found(small):
    test = overall_test(small)
    assert test["n"] == 32
    assert test["interval"] == pytest.approx(wilson(test["correct"], 32))
    assert test["interval"][0] > 0.5


def test_where_there_is_no_effect_none_is_found(tmp_path):
    test = overall_test(small_set(tmp_path / "null", effect_size=0))
    assert test["n"] == 32
    assert test["interval"][0] < 0.5 < test["interval"][1]


def test_every_file_of_the_contract_is_there(small):
    rows = list(csv.DictReader(io.StringIO(small.read("predictions.csv").decode())))
    assert [row["video_id"] for row in rows] == [
        r["video_id"] for r in demo_sheet(6, 1, 8, emotions=["happiness", "surprise"])
    ]
    assert all(0 <= float(row["score"]) <= 1 and row["status"] == "ok" for row in rows)
    results = small.folder / "results"
    rois, _ = read_table(results / "rois" / "s01_happiness_fake.parquet")
    landmarks, _ = read_table(results / "landmarks" / "s01_happiness_fake.parquet")
    variants, _ = read_table(results / "variants" / "s01_happiness_fake.parquet")
    assert rois["frame"].tolist() == landmarks["frame"].tolist() == list(range(65))
    assert set(rois["state"]) <= {"detected", "tracked", "redetected", "lost", "absent"}
    assert landmarks["success"].mean() > 0.95
    assert len(variants["frame"]) == 2 * 65
    pb, header = read_table(results / "pb" / "happiness.parquet")
    assert len(pb["video_id"]) == 2 * 30
    assert np.isfinite(pb["pb_7"]).all()
    assert header["software"]["torch"].startswith("2.")
    for name in ("lstm_pb.safetensors", "config.json", "history.csv", "boosting.ubj", "boosting.json"):
        assert (results / "models" / "surprise" / name).stat().st_size > 0
    assert b"happiness" in small.read("report/index.html")
    generated, _ = read_table(results / "generated" / "happiness.parquet")
    assert generated["frame"].tolist() == 2 * list(range(65))
    assert {file.stem for file in (results / "report" / "videos").glob("*.js")} == {row["video_id"] for row in rows}
    assert small.rules("--forcerun", "report", "--", "figures") == {"report": 1, "figures": 1}
    for rule in ("demo", "preprocess", "train", "recognise", "boost"):
        assert list((small.folder / "logs" / "benchmarks" / rule).iterdir())
        assert list((small.folder / "logs" / rule).iterdir())


def test_faces_find_the_two_clips_of_a_subject(small):
    rows = [row | {"subject": ""} for row in demo_sheet(6, 1, 8, emotions=["happiness", "surprise"])]
    faces = {row["video_id"]: small.folder / "results" / "faces" / f"{row['video_id']}.png" for row in rows}
    pairs = pairs_by_faces(rows, faces, faces)
    assert len(pairs) == 2 * (8 + 1)
    # All subjects are one photograph, warped, so some are taken for each other; by chance 3 pairs would be right.
    right = sum(a.rsplit("_", 1)[0] == b.rsplit("_", 1)[0] for a, b in pairs)
    assert right >= 14


def test_a_second_run_finds_nothing_to_do(small):
    assert not small.jobs()
    for file in (small.folder / "data").rglob("*.mp4"):
        file.touch()
    assert not small.jobs()


def test_snakemakes_own_report_holds_the_figures(small):
    done = small.snakemake("--report", str(small.folder / "report.zip"))
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(small.folder / "report.zip") as archive:
        files = {name.removeprefix("report/"): archive.read(name) for name in archive.namelist()}
    page = files["report.html"].decode()
    categories, results = (
        json.JSONDecoder().raw_decode(page, page.index(f"var {name} = {{") + len(f"var {name} = "))[0]
        for name in ("categories", "results")
    )
    figures = {f"results/report/figures/{name}.svg" for name in plan.FIGURES}
    assert {name: {file for files in part.values() for file in files} for name, part in categories.items()} == {
        "Figures": figures,
        "Results": {"results/predictions.csv", "results/report/index.html"},
        "Videos": {"results/qc/videos.parquet"},
    }
    for name, result in results.items():
        assert files[result["data_uri"]] == (small.folder / name).read_bytes()
        words = re.sub(r"<[^>]*>", "", result["caption"]).split()
        caption = (REPOSITORY / "workflow" / "report" / f"{CAPTIONS.get(name, Path(name).stem)}.rst").read_text()
        assert words[:5] == caption.split()[:5]


def test_new_content_of_a_video_runs_its_jobs_again_and_what_depends_on_them(small, tmp_path):
    copy = tmp_path / "project"
    shutil.copytree(small.folder, copy)
    changed = Project.__new__(Project)
    changed.folder, changed.config = copy, dict(small.config)
    video = copy / "data" / "demo" / "s15_happiness_fake.mp4"  # of the test split
    render_clip(video, "someone-else", "happiness", "genuine", DemoSettings())
    for_all = {("quality", ""): 1, ("evaluate", ""): 1, ("playback", ""): 1, ("report", ""): 1}
    its_own = {("preprocess", "s15_happiness_fake"): 1}
    assert changed.jobs() == its_own | for_all | {("recognise", "happiness"): 1, ("boost", "happiness"): 1}

    render_clip(copy / "data" / "demo" / "s01_surprise_fake.mp4", "someone-else", "surprise", "fake", DemoSettings())
    of_training = {("preprocess", "s01_surprise_fake"): 1, ("train", "surprise"): 1}
    of_training |= {(rule, "surprise"): 1 for rule in ("intake", "generate", "recognise", "boost")}
    assert changed.jobs() == its_own | for_all | of_training | {
        ("recognise", "happiness"): 1,
        ("boost", "happiness"): 1,
    }


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"learning": {"epochs": 151}}, {"train", "recognise", "generate", "boost", "evaluate", "report"}),
        ({"network": {"hidden": 65}}, {"train", "recognise", "generate", "boost", "evaluate", "report"}),
        ({"recognition": {"steps": 31}}, {"intake", "recognise", "boost", "evaluate", "report"}),
        ({"boosting": {"depth": 3}}, {"boost", "evaluate", "report"}),
        ({"evaluation": {"pairing": "faces"}}, {"evaluate", "report"}),
        (
            {"tracking": {"check_s": 0.5}},
            {
                "preprocess",
                "quality",
                "train",
                "intake",
                "generate",
                "recognise",
                "boost",
                "evaluate",
                "playback",
                "report",
            },
        ),
        (
            {"variants": {"test": 2}},
            {"preprocess", "quality", "intake", "recognise", "boost", "evaluate", "playback", "report"},
        ),
    ],
)
def test_a_config_key_runs_its_stage_and_those_after_it(small, change, rules):
    before = {section: dict(small.config.get(section, {})) for section in change}
    try:
        small.change(**change)
        assert set(small.rules()) == rules
    finally:
        for section, values in before.items():
            small.config.pop(section)
            if values:
                small.config[section] = values
        small.change()


def test_another_landmark_model_at_the_same_path_runs_the_landmarks_again(small, tmp_path):
    copy = tmp_path / "project"
    shutil.copytree(small.folder, copy)
    changed = Project.__new__(Project)
    changed.folder, changed.config = copy, dict(small.config)
    model = copy / "model.dat"
    shutil.copy(default_model(), model)
    changed.change(landmarks={"model": "model.dat"})
    changed.run("--cores", "2", "--", "results/landmarks/engine.txt", "results/landmarks/s01_happiness_fake.parquet")
    assert not changed.jobs("--", "results/landmarks/s01_happiness_fake.parquet")
    model.touch()
    assert not changed.jobs("--", "results/landmarks/s01_happiness_fake.parquet")
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    assert "preprocess" in changed.rules("--", "results/landmarks/s01_happiness_fake.parquet")


def test_a_label_that_becomes_known_runs_only_the_evaluation(small):
    rows = demo_sheet(6, 1, 8, emotions=["happiness", "surprise"])
    try:
        small.write_sheet([row | ({"label": ""} if row["split"] == "test" else {}) for row in rows])
        assert set(small.rules()) == {"evaluate", "report"}
    finally:
        small.write_sheet(rows)


def test_results_do_not_depend_on_the_number_of_cores(project):
    tiny = project(variants=SMALL, learning={"epochs": 4})
    tiny.run("--cores", "2")
    names = ["predictions.csv", "metrics.json", "models/happiness/lstm_pb.safetensors", "models/happiness/boosting.ubj"]
    first = {name: tiny.read(name) for name in names}
    shutil.rmtree(tiny.folder / "results")
    tiny.run("--cores", "1")
    assert {name: tiny.read(name) for name in names} == first


def test_videos_that_cannot_be_used_stop_the_run_or_are_named(project):
    tiny = project(variants=SMALL, learning={"epochs": 4})
    rows = demo_sheet(3, 1, 1, emotions=["happiness"])
    own = tiny.folder / "own"
    own.mkdir()
    (own / "notes.mp4").write_text("this is no video")
    empty_room = cv2.VideoWriter(str(own / "room.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 25, (320, 240))
    for _ in range(30):
        empty_room.write(np.full((240, 320, 3), 90, np.uint8))
    empty_room.release()
    extra = {"subject": "new", "emotion": "happiness", "label": "fake", "split": "test"}
    bad = [
        {"video_id": "notes", "path": "own/notes.mp4"} | extra,
        {"video_id": "room", "path": "own/room.mp4"} | extra,
        {"video_id": "gone", "path": "own/gone.mp4"} | extra,
    ]

    tiny.write_sheet([*rows, *bad])
    done = tiny.snakemake("--cores", "2")
    assert done.returncode != 0
    assert "column 'path': video 'gone': no file own/gone.mp4" in done.stderr
    assert not (tiny.folder / "results").exists()

    tiny.write_sheet([*rows, *bad[:2]])
    tiny.run("--cores", "2", "--", "results/rois/s01_happiness_fake.parquet")
    before = tiny.read("rois/s01_happiness_fake.parquet")
    for video, cause in (("notes", "unreadable"), ("room", "no_face")):
        done = tiny.snakemake("--cores", "2", "--", f"results/rois/{video}.parquet")
        assert done.returncode != 0
        (line,) = {line for line in done.stderr.splitlines() if line.startswith("fakeemo: ")}
        assert f"own/{video}.mp4" in line
        assert f"[{cause}]" in line
        assert "on_bad_video: skip" in line
    assert tiny.read("rois/s01_happiness_fake.parquet") == before

    tiny.write_sheet([*rows, *bad])
    tiny.change(on_bad_video="skip")
    tiny.run("--cores", "2")
    predictions = {r["video_id"]: r for r in csv.DictReader(io.StringIO(tiny.read("predictions.csv").decode()))}
    assert predictions["notes"]["status"] == "unreadable"
    assert predictions["room"]["status"] == "no_face"
    assert predictions["gone"]["status"] == "missing"
    assert predictions["gone"]["score"] == ""
    page = tiny.read("report/index.html").decode()
    assert all(name in page for name in ("notes.mp4", "room.mp4", "gone.mp4"))
    assert json.loads(tiny.read("metrics.json"))["excluded"] == {"missing": 1, "no_face": 1, "unreadable": 1}
    assert not tiny.jobs()


def test_the_scheduler_looks_for_jobs_when_one_ends_and_not_all_the_time(project):
    """Left alone, Snakemake's looks again each second, once more for each job that has ended."""
    tiny = project(on_bad_video="skip")
    videos = [f"v{k}" for k in range(16)]
    same = {"emotion": "happiness", "split": "train"}
    rows = [{"video_id": v, "path": f"{v}.mp4", "subject": v, "label": LABELS[int(v[1:]) % 2]} | same for v in videos]
    tiny.write_sheet(rows)
    for row in rows:
        (tiny.folder / row["path"]).touch()
    tables = [f"results/rois/{video}.parquet" for video in videos]
    done = tiny.snakemake("--verbose", "--cores", "1", "--", *tables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(videos) <= done.stderr.count("Resources before job selection") <= len(videos) + 1
