"""Protocols and ablation: who is trained on and who is judged, by dry runs; one of each is run in earnest."""

import csv
import io
import json
import re

import pytest
from conftest import REPOSITORY, Project

from fakeemo import workflow as plan
from fakeemo.ablation import METHODS
from fakeemo.demo import demo_sheet
from fakeemo.errors import FakeemoError
from fakeemo.tables import read_table

SCHEMA = REPOSITORY / "workflow" / "schemas" / "config.schema.yaml"
TWO = ["happiness", "surprise"]


def read(project: Project) -> plan.Sheet:
    """Read the project's sheet as the rules do."""
    config = project.config | {"samples": str(project.folder / project.config["samples"])}
    return plan.read_sheet(plan.complete_config(config, SCHEMA, []))


def inputs(project: Project, rule: str, *target: str) -> dict[str, set[str]]:
    """Give the videos whose variants go into each job of a rule, by the job's model, as Snakemake plans them."""
    done = project.snakemake("--dry-run", *target)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {}
    for block in re.findall(rf"^rule {rule}:\n((?:    .*\n)*)", done.stdout + done.stderr, re.M):
        (model,) = re.findall(r"^    wildcards: .*model=([^,\n]+)", block, re.M)
        (files,) = re.findall(r"^    input: (.*)$", block, re.M)
        found[model] = set(re.findall(r"results/variants/([^ ,]+)\.parquet", files))
    return found


@pytest.mark.parametrize(
    ("protocol", "models"),
    [({}, 2), ({"protocol": "k-fold", "folds": 3}, 6), ({"protocol": "leave-one-subject-out"}, 12)],
)
def test_job_counts(project, protocol, models):
    preprocessing = {"demo": 6, "engine": 1, "preprocess": 24, "quality": 1}
    of_models = dict.fromkeys(("train", "intake", "recognise", "boost"), models)
    # Of each emotion the first model's expressions are shown.
    shown = {"generate": 2, "playback": 1, "report": 1}
    assert project(3, 2, 1, TWO, **protocol).rules() == preprocessing | of_models | {"evaluate": 1} | shown


@pytest.mark.parametrize(("protocol", "models"), [({}, 2), ({"protocol": "k-fold", "folds": 3}, 6)])
def test_job_counts_of_the_ablation(project, protocol, models):
    made = project(3, 2, 1, TWO, **protocol)
    ablation = made.rules("ablation")
    default = made.rules()
    for other in ("intake", "generate", "playback", "report"):
        del default[other]
    assert {rule: n for rule, n in ablation.items() if rule in default} == default
    assert {rule: n for rule, n in ablation.items() if rule not in default} == {
        "ablation_train": models,  # without augmentation
        "ablation_recognise": 3 * models,  # one step, converged, without augmentation
        "ablation_boost": 3 * models,
        "ablation_evaluate": 3,
        "activity": 1,
        "baseline": 4,
        "ablation": 1,
    }
    assert inputs(made, "ablation_train", "ablation") == inputs(made, "train")


def test_without_pairs_for_training_the_ablation_leaves_out_what_learns_from_them(project):
    made = project(4, 1, 1)
    rows = demo_sheet(4, 1, 1, emotions=["happiness"])
    own = {"s01": "fake", "s02": "genuine", "s03": "fake", "s04": "genuine"}
    made.write_sheet([row for row in rows if own.get(row["subject"], row["label"]) == row["label"]])
    assert made.rules("ablation")["baseline"] == 3


def test_an_arm_differs_from_the_config_in_its_own_keys_alone(project):
    config = plan.complete_config(project().config, SCHEMA, [])
    for name, changes in plan.ARMS.items():
        arm = plan.arm(config, name)
        for section, values in config.items():
            assert arm[section] == (values | changes[section] if section in changes else values)
        assert set(arm) == set(config)


@pytest.mark.parametrize("protocol", [{"protocol": "k-fold", "folds": 3}, {"protocol": "leave-one-subject-out"}])
def test_no_subject_is_judged_by_a_model_that_was_trained_on_it(project, protocol):
    made = project(3, 2, 2, TWO, **protocol)
    sheet = read(made)
    training, recognising = inputs(made, "train"), inputs(made, "recognise")
    assert set(training) == set(sheet.models)
    for name, model in sheet.models.items():
        held_out = {sheet.videos[video].subject for video in model.judged}
        of_emotion = {video for video, sample in sheet.videos.items() if sample.emotion == model.emotion}
        assert training[name] == of_emotion - set(model.judged)
        assert not {sheet.videos[video].subject for video in training[name]} & held_out
        assert set(model.labels) == set(model.subjects) == training[name]
        assert not set(model.subjects.values()) & held_out
        assert recognising[name] == of_emotion
    assert sorted(video for judged in sheet.judged() for video in judged) == sorted(sheet.videos)


def test_in_the_challenge_no_judged_split_reaches_training(project):
    made = project(3, 2, 2, TWO)
    sheet = read(made)
    for name, videos in inputs(made, "train").items():
        assert {sheet.videos[video].split for video in videos} == {"train"}
        assert videos == set(sheet.models[name].labels)


def test_folds_are_the_same_for_all_emotions_and_of_nearly_one_size(project):
    made = project(4, 2, 1, TWO, protocol="k-fold", folds=3)
    sheet = read(made)
    folds = {}
    for model in sheet.models.values():
        subjects = {sheet.videos[video].subject for video in model.judged}
        assert folds.setdefault(model.fold, subjects) == subjects
    assert sorted(map(len, folds.values())) == [2, 2, 3]
    made.change(seed=2)
    assert read(made).judged() != sheet.judged()


def test_every_video_is_augmented_as_a_training_video_in_cross_validation(project):
    numbers = {"train": 2, "valid": 5, "test": 7}
    made = project(3, 1, 1, variants=numbers)
    for protocol, expected in (("challenge", {2, 5, 7}), ("k-fold", {2}), ("leave-one-subject-out", {2})):
        made.change(protocol=protocol, folds=2)
        sheet = read(made)
        assert {sheet.n_variants({"variants": numbers}, video) for video in sheet.videos} == expected


def test_the_column_split_is_not_read_in_cross_validation(project):
    made = project(2, 1, 1, protocol="k-fold", folds=2)
    models = read(made).models
    rows = demo_sheet(2, 1, 1, emotions=["happiness"])
    made.write_sheet([{name: value for name, value in row.items() if name != "split"} for row in rows])
    assert read(made).models == models
    made.write_sheet([row | {"split": ("test", "whatever")[i % 2]} for i, row in enumerate(rows)])
    assert read(made).models == models
    made.change(protocol="challenge")
    with pytest.raises(FakeemoError, match="line 3, column 'split': 'whatever'"):
        read(made)


def test_an_unlabelled_video_is_judged_by_its_subjects_fold_alone(project):
    made = project(3, 1, 0, protocol="leave-one-subject-out")
    rows = demo_sheet(3, 1, 0, emotions=["happiness"])
    made.write_sheet([row | ({"label": ""} if row["video_id"] == "s02_happiness_fake" else {}) for row in rows])
    sheet = read(made)
    (judge,) = [model for model in sheet.models.values() if "s02_happiness_fake" in model.judged]
    assert "s02_happiness_genuine" in judge.judged
    assert all(("s02_happiness_fake" in model.recognised) == (model is judge) for model in sheet.models.values())
    assert not any("s02_happiness_fake" in model.labels for model in sheet.models.values())


def test_a_fold_without_videos_of_an_emotion_has_no_model_of_it(project):
    made = project(3, 1, 0, TWO, protocol="leave-one-subject-out")
    rows = demo_sheet(3, 1, 0, emotions=TWO)
    made.write_sheet([row for row in rows if (row["subject"], row["emotion"]) != ("s01", "surprise")])
    sheet = read(made)
    assert sum(name.startswith("happiness.") for name in sheet.models) == 4
    assert sum(name.startswith("surprise.") for name in sheet.models) == 3
    assert [sheet.models[name].emotion for name in sheet.shown()] == TWO


@pytest.mark.parametrize(
    ("subjects", "protocol", "labels", "words"),
    [
        (4, {"protocol": "k-fold", "folds": 5}, {}, "has 4 subjects; lower the config key 'folds'"),
        (4, {"protocol": "k-fold", "folds": 1}, {}, "key 'folds'"),
        (4, {"protocol": "random"}, {}, "key 'protocol'"),
        (2, {"protocol": "leave-one-subject-out"}, {}, "fold 1 of 2.*'happiness' has labelled videos of one subject"),
        (3, {"protocol": "k-fold", "folds": 2}, {}, "fold . of 2.*labelled videos of one subject only"),
        (
            4,
            {"protocol": "leave-one-subject-out"},
            {"s02_happiness_fake": "", "s03_happiness_fake": "", "s04_happiness_fake": ""},
            r"fold . of 4: without its subjects \(s01\) emotion 'happiness' has no video labelled 'fake'",
        ),
    ],
)
def test_folds_that_cannot_be_are_named_before_the_first_job(project, subjects, protocol, labels, words):
    made = project(subjects, 0, 0, **protocol)
    rows = demo_sheet(subjects, 0, 0, emotions=["happiness"])
    made.write_sheet([row | {"label": labels.get(row["video_id"], row["label"])} for row in rows])
    with pytest.raises(FakeemoError, match=words) as caught:
        read(made)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def crossed(tmp_path_factory):
    """Give two emotions of four subjects, cross-validated in two folds."""
    rows = demo_sheet(4, 0, 0, emotions=TWO)
    rows[3]["label"] = ""  # s01_surprise_fake
    variants = {"train": 1, "valid": 9, "test": 9}
    made = Project(
        tmp_path_factory.mktemp("crossed") / "project",
        rows,
        protocol="k-fold",
        folds=2,
        variants=variants,
        learning={"epochs": 4},
    )
    made.run("--cores", "2")
    return made


def predictions_of(project: Project) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(project.read("predictions.csv").decode())))


def test_each_video_is_judged_once_by_a_model_that_never_saw_its_subject(crossed):
    rows = predictions_of(crossed)
    assert [row["video_id"] for row in rows] == [row["video_id"] for row in demo_sheet(4, 0, 0, emotions=TWO)]
    assert {row["split"] for row in rows} == {"cv"}
    assert all(row["score"] and row["n_variants"] == "2" for row in rows)
    sheet = read(crossed)
    for name, model in sheet.models.items():
        held_out = {sheet.videos[video].subject for video in model.judged}
        assert len(held_out) == 2
        folder = crossed.folder / "results" / "models" / name
        learned = json.loads((folder / "config.json").read_text())["videos"]
        boosted = json.loads((folder / "boosting.json").read_text())
        assert sorted(learned) == sorted(boosted["out_of_fold"]) == sorted(model.labels)
        assert not {sheet.videos[video].subject for video in learned} & held_out
        assert not {subject for fold in boosted["folds"] for subject in fold["subjects"]} & held_out
        pb, _ = read_table(crossed.folder / "results" / "pb" / f"{name}.parquet")
        assert set(pb["video_id"]) == set(model.recognised)


def test_metrics_and_report_say_how_it_was_judged(crossed):
    metrics = json.loads(crossed.read("metrics.json"))
    assert metrics["protocol"] == "2-fold cross-validation over 4 subjects"
    assert list(metrics["splits"]) == ["cv"]
    overall = metrics["splits"]["cv"]["overall"]
    assert (overall["n_videos"], overall["n"], overall["n_unlabelled"]) == (16, 15, 1)
    assert not metrics["splits"]["cv"]["fitted_on"]
    page = crossed.read("report/index.html").decode()
    assert f"{overall['correct']} of 15" in page
    results = ("accuracy", "paired", "roc", "calibration", "confusion", "published", "pb", "learning")
    sections = dict(re.findall(r'<h2 id="(\w+)">(.*?)</section>', page, re.S))
    for section in map(sections.__getitem__, results):
        # The tables of section confusion, whose captions are emotions, stand under one heading.
        n_labelled = section.count("<figcaption>") + len(re.findall(r"<caption>(?=.{30})", section)) or 1
        assert (
            section.count(f"rotocol: {metrics['protocol']}") + section.count("run: " + metrics["protocol"])
            == n_labelled
        )
    for name in plan.FIGURES:
        assert "2-fold cross-validation over 4 subjects" in crossed.read(f"report/figures/{name}.svg").decode()


def test_new_content_of_a_held_out_video_retrains_every_model_but_the_one_that_judges_it(crossed):
    (crossed.folder / "data" / "demo" / "s02_happiness_fake.mp4").rename(crossed.folder / "kept.mp4")
    try:
        other = (crossed.folder / "data" / "demo" / "s03_happiness_fake.mp4").read_bytes()
        (crossed.folder / "data" / "demo" / "s02_happiness_fake.mp4").write_bytes(other)
        planned = crossed.jobs()
    finally:
        (crossed.folder / "kept.mp4").rename(crossed.folder / "data" / "demo" / "s02_happiness_fake.mp4")
    judges = {name for name, model in read(crossed).models.items() if "s02_happiness_fake" in model.judged}
    trained = {model for rule, model in planned if rule == "train"}
    assert trained == {"happiness.fold1", "happiness.fold2"} - judges
    assert {model for rule, model in planned if rule == "recognise"} == {"happiness.fold1", "happiness.fold2"}


def test_preprocessing_is_shared_between_protocols(crossed):
    crossed.change(protocol="leave-one-subject-out")
    try:
        after_preprocessing = {"train", "intake", "recognise", "generate", "boost", "evaluate", "report"}
        assert set(crossed.rules()) == after_preprocessing
    finally:
        crossed.change(protocol="k-fold")
    assert not crossed.jobs()


def test_the_report_has_the_ablation_where_the_config_asks_for_it(project):
    made = project(3, 2, 1, TWO)
    assert "ablation" not in made.rules()
    made.change(ablation=True)
    rules = made.rules()
    assert (rules["ablation"], rules["ablation_evaluate"], rules["report"]) == (1, 3, 1)


def test_the_ablation_has_every_method_over_the_same_videos(crossed):
    crossed.run("--cores", "2", "--", "ablation")
    found = json.loads((crossed.folder / "results" / "ablation.json").read_text())
    assert list(found["splits"]) == ["cv"]
    cells = found["splits"]["cv"]["methods"]
    assert list(cells) == list(METHODS)
    assert cells["paper"] == json.loads(crossed.read("metrics.json"))["splits"]["cv"]["overall"] | {"mcnemar": None}
    # 15 labelled videos; s01's surprise has no pair of labels.
    assert {(cell["n"], cell["paired"]["n_pairs"]) for cell in cells.values()} == {(15, 7)}
    assert {cell["mcnemar"]["n"] for name, cell in cells.items() if name != "paper"} == {15}
    ids = [row["video_id"] for row in predictions_of(crossed)]
    for name in set(METHODS) - {"paper"}:
        rows = list(csv.DictReader(io.StringIO(crossed.read(f"ablation/{name}/predictions.csv").decode())))
        assert [row["video_id"] for row in rows] == ids
        assert {row["n_variants"] for row in rows} == ({"1"} if name == "plain" else {"2"})
    for model in read(crossed).models:
        learned = json.loads((crossed.folder / "results" / "models" / model / "config.json").read_text())
        plain = crossed.folder / "results" / "ablation" / "plain" / "models" / model / "config.json"
        assert json.loads(plain.read_text())["videos"] == learned["videos"]
        steps = read_table(crossed.folder / "results" / "ablation" / "one-step" / "pb" / f"{model}.parquet")[0]["steps"]
        assert set(steps) == {1}
    page = crossed.read("report/ablation.html").decode()
    assert all(title in page for title in METHODS.values())
    assert found["protocol"] in page
    assert len(crossed.read("ablation.csv").splitlines()) == 1 + len(METHODS)
    assert not crossed.jobs("--", "ablation")
