"""Dry runs over kinds of configs and sheets: how many jobs, which of them ask for a GPU, and who is learned from."""

import re

import pytest

from fakeemo.demo import demo_sheet

TWO = ["happiness", "surprise"]
ROWS = demo_sheet(3, 1, 2, emotions=TWO)
GPU = {"device": "auto"}


def jobs_of(
    n_subjects: int, n_videos: int, n_models: int, *, demo: int | None = None, given: int = 0
) -> dict[str, int]:
    """Give the jobs by rule that so many subjects, videos and networks need; of ``given`` ones there are landmarks."""
    counts = {"demo": n_subjects if demo is None else demo, "given": given, "engine": 1}
    counts["preprocess"] = n_videos - given
    counts |= dict.fromkeys(("train", "intake", "recognise", "boost"), n_models)
    counts["generate"] = min(n_models, len(TWO))  # one network of each emotion is shown
    counts |= dict.fromkeys(("quality", "playback", "evaluate", "report"), 1)
    return {rule: number for rule, number in counts.items() if number}


def without_labels(rows, split):
    return [row | ({"label": ""} if row["split"] == split else {}) for row in rows]


def without_files(rows):
    """Put every video where no file is, as after a disk was taken away; they are no clips of the demo then."""
    return [row | {"path": f"gone/{row['video_id']}.mp4"} for row in rows]


def with_landmarks(rows):
    """Name a table of landmarks in place of the last video."""
    return [*rows[:-1], rows[-1] | {"path": "openface.csv"}]


CASES = {
    "one emotion": (demo_sheet(3, 1, 2, emotions=TWO[:1]), GPU, jobs_of(6, 12, 1)),
    "two emotions": (ROWS, GPU, jobs_of(6, 24, 2)),
    "no test split": (demo_sheet(3, 2, 0, emotions=TWO), GPU, jobs_of(5, 20, 2)),
    "no validation split": (demo_sheet(3, 0, 2, emotions=TWO), GPU, jobs_of(5, 20, 2)),
    "training alone": (demo_sheet(3, 0, 0, emotions=TWO), GPU, jobs_of(3, 12, 2)),
    "unlabelled test": (without_labels(ROWS, "test"), GPU, jobs_of(6, 24, 2)),
    "landmarks of one video": (with_landmarks(ROWS), GPU, jobs_of(6, 24, 2, given=1)),
    "cpu only": (ROWS, {"device": "cpu"}, jobs_of(6, 24, 2)),
    "three folds": (ROWS, GPU | {"protocol": "k-fold", "folds": 3}, jobs_of(6, 24, 2 * 3)),
    "each subject left out": (ROWS, GPU | {"protocol": "leave-one-subject-out"}, jobs_of(6, 24, 2 * 6)),
    "skip, one video gone": (
        [*ROWS[:-1], *without_files(ROWS[-1:])],
        GPU | {"on_bad_video": "skip"},
        jobs_of(6, 24, 2),
    ),
    "skip, all videos gone": (without_files(ROWS), GPU | {"on_bad_video": "skip"}, jobs_of(6, 24, 2, demo=0)),
}


@pytest.mark.parametrize("case", CASES)
def test_jobs_their_gpus_and_who_is_learned_from(project, case):
    rows, changes, expected = CASES[case]
    made = project(**changes)
    made.change(emotions=TWO)
    made.write_sheet(rows)
    (made.folder / "openface.csv").touch()
    done = made.snakemake("--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    blocks = re.findall(r"^rule (\w+):\n((?:    .*\n)*)", done.stdout + done.stderr, re.M)

    counts = {rule: sum(name == rule for name, _ in blocks) for rule, _ in blocks if rule != "all"}
    assert counts == expected
    asking = {rule for rule, block in blocks if re.search(r"\bgpu=1\b", block)}
    assert asking == ({"train", "recognise"} if changes["device"] == "auto" else set())

    of_video = {row["video_id"]: row for row in rows}
    splits_count = "protocol" not in changes
    for rule, block in blocks:
        if rule == "train":
            (model,) = re.findall(r"^    wildcards: model=(.*)$", block, re.M)
            learned = [of_video[video] for video in re.findall(r"results/variants/([^ ,]+)\.parquet", block)]
            assert {row["emotion"] for row in learned} == {model.split(".")[0]}
            if splits_count:
                assert {row["split"] for row in learned} == {"train"}
            else:  # whose subjects these networks judge is in test_protocols.py
                assert len({row["subject"] for row in learned}) == 6 - (2 if "folds" in changes else 1)
            assert all(row["label"] for row in learned)
