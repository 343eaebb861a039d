"""Dry runs: which jobs a config asks for, with which resources, and which faults are found before the first job."""

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml
from conftest import REPOSITORY

from fakeemo import workflow as plan
from fakeemo.demo import EMOTIONS, demo_sheet
from fakeemo.errors import FakeemoError

SCHEMA = REPOSITORY / "workflow" / "schemas" / "config.schema.yaml"


def test_job_counts_of_the_demo(project):
    assert project(8, 1, 4, EMOTIONS).rules() == {
        "demo": 13,
        "engine": 1,
        "preprocess": 156,
        "quality": 1,
        "train": 6,
        "intake": 6,
        "recognise": 6,
        "boost": 6,
        "evaluate": 1,
        "generate": 6,
        "playback": 1,
        "report": 1,
    }


def test_the_sheet_of_the_repository_is_that_of_the_demo():
    config = plan.complete_config(yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text()), SCHEMA, [])
    sheet = plan.read_sheet(config | {"samples": str(REPOSITORY / "config" / "samples.tsv")})
    assert [(row["video_id"], row["split"]) for row in sheet.rows()] == [
        (row["video_id"], row["split"]) for row in demo_sheet(8, 1, 4)
    ]


@pytest.mark.parametrize(("device", "gpus"), [("auto", 1), ("cuda", 1), ("cpu", 0)])
def test_only_jobs_of_the_network_ask_for_a_gpu(project, device, gpus):
    done = project(device=device).snakemake("--dry-run")
    asking = {
        name
        for name, block in re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", done.stdout + done.stderr, re.M)
        if "gpu=1" in block
    }
    assert asking == ({"train", "recognise"} if gpus else set())


def test_boosting_asks_for_a_gpu_where_it_is_to_use_one(project):
    made = project()
    for device, asks in (("cpu", False), ("cuda", True)):
        made.change(boosting={"device": device})
        done = made.snakemake("--dry-run")
        (block,) = re.findall(r"^rule boost:\n((?:    .*\n)*)", done.stdout + done.stderr, re.M)
        assert ("gpu=1" in block) == asks


def test_faces_are_looked_at_only_where_they_make_the_pairs(project):
    made = project(2, 1, 2)
    rows = demo_sheet(2, 1, 2, emotions=["happiness"])
    made.write_sheet([row | ({"subject": ""} if row["split"] == "test" else {}) for row in rows])
    for pairing, n_faces in (("subject", 0), ("faces", 10)):
        made.change(evaluation={"pairing": pairing})
        done = made.snakemake("--dry-run")
        (inputs,) = re.findall(r"^rule evaluate:\n    input: (.*)\n", done.stdout + done.stderr, re.M)
        assert len(re.findall(r"results/faces/s\d+_happiness_(?:genuine|fake)\.png", inputs)) == n_faces


def test_depths_and_rates_may_be_lists_and_rates_differ_by_emotion():
    def settings(**boosting):
        config = plan.complete_config({"samples": "x", "boosting": boosting}, SCHEMA, ["mine.yaml"])
        return {emotion: plan.boosting_settings(config, emotion) for emotion in ("anger", "sadness")}

    assert settings()["anger"]["depth"] == 2
    found = settings(depth=[1, 2], rate={"anger": [0.1, 0.5], "sadness": 0.4})
    assert (found["anger"]["depth"], found["anger"]["rate"], found["sadness"]["rate"]) == ([1, 2], [0.1, 0.5], 0.4)
    for faulty in ({"depth": []}, {"depth": [0]}, {"rate": [0.1, 0]}, {"rate": {"anger": []}}, {"device": "gpu"}):
        with pytest.raises(FakeemoError, match=r"mine\.yaml: key 'boosting\."):
            settings(**faulty)


def test_no_video_of_another_split_reaches_training(project):
    made = project(3, 2, 2, ("anger", "happiness"))
    done = made.snakemake("--dry-run")
    inputs = re.findall(r"^rule train:\n    input: (.*)\n", done.stdout + done.stderr, re.M)
    assert len(inputs) == 2
    for line in inputs:
        assert {int(number) for number in re.findall(r"variants/s(\d+)_", line)} == {1, 2, 3}


def test_own_videos_need_no_demo(project):
    made = project()
    rows = demo_sheet(3, 1, 1, folder="mine", emotions=["happiness"])
    (made.folder / "mine").mkdir()
    for row in rows:
        (made.folder / row["path"]).write_bytes(b"a video")
    made.write_sheet(rows)
    del made.config["demo"]
    made.change()
    assert "demo" not in made.rules()
    assert made.rules()["preprocess"] == 10


def test_a_video_without_label_is_recognised_and_not_trained_on(project):
    made = project(3, 1, 1)
    rows = demo_sheet(3, 1, 1, emotions=["happiness"])
    made.write_sheet([row | ({"label": ""} if row["video_id"] == "s01_happiness_fake" else {}) for row in rows])
    done = made.snakemake("--dry-run")
    text = done.stdout + done.stderr
    (training,) = re.findall(r"^rule train:\n    input: (.*)\n", text, re.M)
    (recognising,) = re.findall(r"^rule recognise:\n    input: (.*)\n", text, re.M)
    assert "s01_happiness_fake" not in training
    assert "s01_happiness_fake" in recognising


@pytest.mark.parametrize(
    ("rows", "changes", "words"),
    [
        ({"emotion": "joy"}, {}, ["samples.tsv, line 2, column 'emotion'", "'joy'"]),
        ({"label": "faked"}, {}, ["samples.tsv, line 2, column 'label'", "'faked'", "did you mean 'fake'?"]),
        ({"video_id": "s01_happiness_fake"}, {}, ["samples.tsv, column 'video_id'", "stands twice"]),
        ({"split": "test"}, {}, ["samples.tsv, column 'split'", "'s01'"]),
        ({"path": "nowhere.mp4"}, {}, ["samples.tsv, column 'path'", "no file nowhere.mp4"]),
        ({}, {"learning": {"epoch": 3}}, ["config.yaml", "unknown key 'learning.epoch'", "did you mean 'epochs'?"]),
        ({}, {"learning": {"epochs": "ten"}}, ["config.yaml", "key 'learning.epochs'", "'ten'", "whole number"]),
        ({}, {"device": "gpu"}, ["config.yaml", "key 'device'", "'gpu'", "cuda"]),
        ({}, {"samples": "none.tsv"}, ["none.tsv: no such sample sheet"]),
    ],
)
def test_faults_are_found_before_the_first_job(project, rows, changes, words):
    made = project(**changes)
    sheet = demo_sheet(3, 1, 1, emotions=["happiness"])
    made.write_sheet([sheet[0] | rows, *sheet[1:]])
    done = made.snakemake("--cores", "1")
    assert done.returncode != 0
    assert not (made.folder / "data").exists()
    lines = [line for line in done.stderr.splitlines() if words[0] in line]
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]
    assert lines[0].startswith("fakeemo: ")
    assert "common.smk" not in done.stderr  # where it was found, which is not where the fault is
    assert "Traceback" not in done.stderr


def test_every_default_is_of_the_paper():
    config = plan.complete_config({"samples": "x"}, SCHEMA, [])
    assert config["network"] | {"predict": "position", "context_from": "top"} == config["network"]
    assert (config["network"]["pb"], config["network"]["hidden"], config["network"]["layers"]) == (64, 512, 4)
    learning = config["learning"]
    assert (learning["weight_rate"], learning["pb_rate"], learning["epochs"]) == (0.01, 0.9, 100)
    assert (learning["patience"], learning["decay"], learning["closed_loop"]) == (10, 10, 0)
    assert config["boosting"]["trees"] == 5000
    assert config["variants"]["train"] == 10
    assert "demo" not in config


def test_a_rate_of_an_unknown_emotion_is_named():
    with pytest.raises(FakeemoError, match=r"mine\.yaml: key 'boosting\.rate': 'happyness' is no emotion .*happiness"):
        plan.complete_config({"samples": "x", "boosting": {"rate": {"happyness": 0.3}}}, SCHEMA, ["mine.yaml"])


def test_nothing_of_the_demo_is_mixed_into_a_config_of_ones_own(project):
    made = project(3, 1, 1)
    mine = made.folder / "mine.yaml"
    mine.write_text("samples: config/samples.tsv\n")
    done = made.snakemake("--dry-run", "--configfile", str(mine))
    assert done.returncode != 0
    assert "video 's01_happiness_genuine': no file data/demo/s01_happiness_genuine.mp4" in done.stdout + done.stderr
    videos = [made.folder / row["path"] for row in demo_sheet(3, 1, 1, emotions=["happiness"])]
    videos[0].parent.mkdir(parents=True)
    for video in videos:
        video.touch()
    rules = made.rules("--configfile", str(mine))
    assert "demo" not in rules
    assert rules["preprocess"] == len(videos)


def test_configs_are_read_as_snakemake_does_the_later_going_first(tmp_path):
    (tmp_path / "a.yaml").write_text("samples: a.tsv\nlearning: {epochs: 3, batch_size: 2}\n")
    (tmp_path / "b.yaml").write_text("learning: {epochs: 4}\n")
    found = plan.read_config([tmp_path / "a.yaml", tmp_path / "b.yaml"])
    expected = {"samples": "a.tsv", "learning": {"epochs": 4, "batch_size": 2}}
    assert found == plan.complete_config(expected, SCHEMA, [])
    for content, words in (("- 1\n", "key: value"), ("a: [\n", "cannot be read as YAML"), ("seed: x\n", "key 'seed'")):
        (tmp_path / "bad.yaml").write_text(content)
        with pytest.raises(FakeemoError, match=f"bad\\.yaml: .*{words}"):
            plan.read_config([tmp_path / "bad.yaml"])


def test_missing_keys_are_named():
    with pytest.raises(FakeemoError, match=r"mine\.yaml: key 'samples' is missing"):
        plan.complete_config({}, SCHEMA, ["mine.yaml"])


def test_a_code_hash_follows_imports_and_contents(tmp_path, monkeypatch):
    assert plan._closure("training") >= {"training", "lstm_pb", "grid_lstm", "sequences", "tables", "errors"}
    assert not plan._closure("training") & {"tracking", "boosting", "report"}
    assert plan._closure("preprocessing") >= {"tracking", "augment", "landmarks", "regression_trees", "faces", "video"}
    package = tmp_path / "src" / "fakeemo"
    scripts = tmp_path / "workflow" / "scripts"
    package.mkdir(parents=True)
    scripts.mkdir(parents=True)
    (scripts / "a.py").write_text("")
    (package / "one.py").write_text("from fakeemo.two import x\n")
    (package / "two.py").write_text("x = 1\n")
    monkeypatch.setattr(plan, "_PACKAGE", package)
    monkeypatch.setattr(plan, "SCRIPTS", scripts)
    before = plan.code.__wrapped__("a", "one")
    (package / "two.py").touch()
    assert plan.code.__wrapped__("a", "one") == before
    (package / "two.py").write_text("x = 2\n")
    assert plan.code.__wrapped__("a", "one") != before


def test_planning_imports_nothing_heavy(project):
    """Every job on a cluster reads the Snakefile anew."""
    made = project()
    lines = [
        "import sys",
        "from snakemake.cli import main",
        "try:",
        f"    main({made.command('--dry-run', '--quiet')[3:]})",
        "except SystemExit as end:",
        "    assert not end.code",
        "print('fakeemo.workflow' in sys.modules, {'torch', 'cv2', 'xgboost', 'numba'} & set(sys.modules))",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=REPOSITORY, capture_output=True, text=True, timeout=300
    )
    assert done.stdout.splitlines()[-1] == "True set()", done.stdout + done.stderr
    # The Slurm plugin brings pandas and so Arrow, where it is installed; the workflow itself does not.
    alone = "import sys, fakeemo.workflow; print({'pandas', 'pyarrow', 'numpy'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", alone], text=True).strip() == "set()"


@pytest.mark.parametrize(
    ("rate", "local", "lifted"),
    [((100, 1), True, True), ((10, 1), True, False), ((100, 60), True, False), ((100, 1), False, False)],
)
def test_only_snakemakes_own_rate_limit_on_one_machine_is_lifted(rate, local, lifted):
    limit = SimpleNamespace(max_jobs=rate[0], timespan=rate[1])
    workflow = SimpleNamespace(
        local_exec=local,
        scheduling_settings=SimpleNamespace(max_jobs_per_timespan=limit),
        scheduler=SimpleNamespace(job_rate_limiter=limit),
    )
    plan.lift_rate_limit(workflow)
    assert (workflow.scheduler.job_rate_limiter is None) == lifted
