"""Leaks: each is let in once, to show that the check which guards against it would fail.

Leaks into the network's learning are guarded by the inputs of its jobs (tests/workflow/test_plan.py).
"""

import numpy as np
import pytest
from pb_toy import Toy, truth

from fakeemo import boosted_trees, boosting, samples, workflow
from fakeemo.boosting import check_folds, subject_folds
from fakeemo.errors import FakeemoError
from fakeemo.evaluation import predictions, wilson
from fakeemo.samples import Sample
from fakeemo.workflow import Sheet


def at_chance(toy: Toy) -> bool:
    """Say whether held-out scores judge the toy's videos no better and no worse than guessing."""
    _, info = toy.fit()
    is_fake, scores = truth(toy, info)
    low, high = wilson(int(((scores > 0.5) == is_fake).sum()), len(is_fake))
    return low < 0.5 < high


def permuted(toy: Toy, seed: int = 3) -> Toy:
    """Deal the labels anew, so that the features, however well they part the old classes, carry nothing."""
    shuffled = np.random.default_rng(seed).permutation(list(toy.labels.values()))
    toy.labels = dict(zip(toy.labels, shuffled.tolist(), strict=True))
    return toy


def test_permuted_labels_fall_to_chance_unless_a_label_leaks_into_the_features(tmp_path, monkeypatch):
    toy = Toy(tmp_path, effect=6.0, n_subjects=25)
    assert not at_chance(toy)  # the signal is there ...
    assert at_chance(permuted(toy))  # ... and goes with the labels

    honest = boosting._features

    def leaky(table, columns, path):
        x = honest(table, columns, path)
        x[:, 3] = [toy.labels[video_id] == "fake" for video_id in table["video_id"]]
        return x

    monkeypatch.setattr(boosting, "_features", leaky)
    assert not at_chance(toy)


def test_variants_of_a_video_stand_on_one_side_of_a_fold(tmp_path, monkeypatch):
    # Ten near-copies of each video and permuted labels: what is known of one copy is known of all.
    toy = permuted(Toy(tmp_path, effect=0.0, n_variants=10, n_subjects=25))
    assert at_chance(toy)

    honest = boosted_trees.rows_of

    def leaky(x, video, use):
        if use.sum() <= len(use) / 2:  # the held-out side stays as it is
            return honest(x, video, use)
        some = np.arange(len(video)) % 2 == 0
        own = use[video] | some
        return boosted_trees.Rows(x[own], video[own], np.ones(own.sum()))

    for module in (boosting, boosted_trees):
        monkeypatch.setattr(module, "rows_of", leaky)
    assert not at_chance(toy)


def test_folds_that_share_a_subject_or_leave_one_out_end_the_fit(tmp_path, monkeypatch):
    toy = Toy(tmp_path, n_subjects=10)

    def refused() -> str:
        with pytest.raises(ValueError, match="folds leak") as caught:
            toy.fit()
        assert not (tmp_path / "boosting.ubj").exists()
        return str(caught.value)

    def shared(subjects, seed):
        folds = subject_folds(subjects, seed)
        return [[*folds[0], folds[1][0]], *folds[1:]]

    monkeypatch.setattr(boosting, "subject_folds", shared)
    assert "by several" in refused()
    monkeypatch.setattr(boosting, "subject_folds", lambda subjects, seed: subject_folds(subjects, seed)[1:])
    assert "by no fold" in refused()
    monkeypatch.undo()
    toy.fit()

    # Folds of videos, as a library's plain k-fold makes them, part the two videos of a subject.
    subject = np.repeat(["s1", "s2", "s3"], 2)
    of_videos = [np.arange(6) % 3 == k for k in range(3)]
    with pytest.raises(ValueError, match="'s1' is held out and fitted on"):
        check_folds(of_videos, subject)
    check_folds([subject == name for name in ("s1", "s2", "s3")], subject)


def test_labels_of_other_splits_change_no_byte_of_the_model(tmp_path, monkeypatch):
    toy = Toy(tmp_path, effect=1.0, n_subjects=16)
    splits = {f"s{k}": "train" if k < 10 else "valid" if k < 12 else "test" for k in range(16)}
    flipped = {"genuine": "fake", "fake": "genuine"}

    def fitted(flip: bool):
        rows = [
            Sample(v, f"{v}.mp4", toy.subjects[v], "anger", label, splits[toy.subjects[v]])
            for v, label in toy.labels.items()
        ]
        if flip:
            rows = [
                Sample(
                    s.video_id,
                    s.path,
                    s.subject,
                    s.emotion,
                    flipped[s.label] if s.split != "train" else s.label,
                    s.split,
                )
                for s in rows
            ]
        sheet = Sheet(rows, ["anger"], frozenset())
        made = toy.fit(labels=sheet.models["anger"].labels)
        scores = boosting.predict_scores(tmp_path / "pb.parquet", tmp_path / "boosting.ubj")
        judged = predictions(sheet.rows(), scores, dict.fromkeys(scores, "ok"))
        return made, [(row.video_id, row.score, row.predicted, row.predicted_paired) for row in judged]

    assert fitted(flip=True) == fitted(flip=False)

    honest = workflow._model

    def of_all_splits(emotion, fold, samples, learned_from, judged):
        return honest(emotion, fold, samples, samples, judged)

    monkeypatch.setattr(workflow, "_model", of_all_splits)
    assert fitted(flip=True) != fitted(flip=False)


def test_a_subject_in_two_splits_is_refused(tmp_path, monkeypatch):
    lines = [
        "video_id path subject emotion label split",
        *(f"a{k} a{k}.mp4 s{k} anger {label} train" for k, label in enumerate(("genuine", "fake"))),
        "b b.mp4 s1 anger genuine test",
    ]
    (tmp_path / "sheet.tsv").write_text("\n".join(lines).replace(" ", "\t") + "\n")

    def refused() -> bool:
        try:
            samples.read_samples(tmp_path / "sheet.tsv", ["anger"])
        except FakeemoError as error:
            return "subject 's1' is in 'train' (video 'a1') and in 'test' (video 'b')" in str(error)
        return False

    assert refused()
    monkeypatch.setattr(samples, "split_faults", lambda found: [])
    assert not refused()
