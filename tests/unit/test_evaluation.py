import csv
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_inputs import make_samples, of_training, write_pb_table
from scipy.stats import binomtest
from sklearn import metrics as sklearn_metrics

from fakeemo.boosted_trees import BoostingSettings
from fakeemo.boosting import Score, fit_boosting
from fakeemo.errors import FakeemoError
from fakeemo.evaluation import (
    Prediction,
    auc,
    evaluate,
    mcnemar,
    metrics,
    predictions,
    read_predictions,
    roc_curve,
    wilson,
    write_predictions,
)
from fakeemo.face_picture import write_face
from fakeemo.tables import write_table

# Few distinct values, so that ties are common.
CASES = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40).filter(
    lambda case: len({is_fake for is_fake, _ in case}) == 2
)


def test_wilson_against_known_values():
    assert wilson(40, 60) == pytest.approx((0.541, 0.773), abs=5e-4)
    assert wilson(0, 0) == (0, 1)
    for n in (1, 7, 60, 1000):
        for correct in {0, 1, n // 3, n // 2, n - 1, n}:
            expected = binomtest(correct, n).proportion_ci(method="wilson")
            assert wilson(correct, n) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert wilson(0, 20)[0] == 0
    assert wilson(20, 20)[1] == 1


@given(CASES)
def test_roc_and_auc_agree_with_scikit_learn(case):
    is_fake, scores = (np.array(part) for part in zip(*case, strict=True))
    scores = scores / 7
    expected = np.column_stack(sklearn_metrics.roc_curve(is_fake, scores, drop_intermediate=False))
    np.testing.assert_allclose(roc_curve(is_fake, scores), expected)
    assert auc(is_fake, scores) == pytest.approx(sklearn_metrics.roc_auc_score(is_fake, scores))


def test_auc_needs_both_classes():
    assert np.isnan(auc([True, True], [0.1, 0.2]))
    assert np.isnan(auc([], []))
    assert auc([True, False], [0.5, 0.5]) == 0.5


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (3, 1), (5, 0), (0, 6), (6, 1), (9, 8), (2, 14)])
def test_mcnemar_is_the_sign_test_of_the_videos_judged_differently(only_first, only_second):
    both = np.repeat([[True, True], [False, False]], 20, axis=0)
    differing = np.repeat([[True, False], [False, True]], [only_first, only_second], axis=0)
    first, second = np.concatenate([both, differing]).T
    found = mcnemar(first, second)
    n = only_first + only_second
    assert found[:3] == (40 + n, only_first, only_second)
    assert found.p == pytest.approx(binomtest(only_first, n).pvalue if n else 1)
    swapped = mcnemar(second, first)
    assert (swapped.only_first, swapped.only_second, swapped.p) == (only_second, only_first, found.p)


def test_mcnemar_says_when_the_videos_cannot_decide():
    def compare(only_first, only_second):
        return mcnemar([True] * only_first + [False] * only_second, [False] * only_first + [True] * only_second)

    assert compare(5, 0).verdict == "undecidable"  # p = 0.0625 at best
    assert "so few cannot decide" in compare(5, 0).sentence
    assert (compare(6, 0).verdict, compare(0, 6).verdict) == ("first", "second")
    assert "the second is better (p = 0.031)" in compare(0, 6).sentence
    assert compare(6, 4).verdict == "open"
    assert "does not decide" in compare(6, 4).sentence
    assert mcnemar([], []).verdict == "undecidable"
    with pytest.raises(ValueError, match="same videos"):
        mcnemar([True], [True, False])


def sheet(*rows):
    names = ("video_id", "subject", "emotion", "label", "split")
    return [dict(zip(names, row.split(","), strict=True)) for row in rows]


SHEET = sheet(
    "b,s1,anger,fake,test",  # not in alphabetical order: the sheet's order must be kept
    "a,s1,anger,genuine,test",
    "c,s2,anger,genuine,test",
    "d,s2,anger,fake,test",
    "e,s3,anger,genuine,test",
    "f,s3,anger,fake,test",
    "g,s4,anger,genuine,test",
    "h,s4,anger,fake,test",
    "i,s4,sadness,fake,test",
    "j,s5,sadness,,valid",
    "k,s5,sadness,genuine,valid",
    "l,s6,sadness,fake,train",
    "m,s6,sadness,genuine,train",
    "n,s6,sadness,genuine,train",
)
SCORES = {
    "b": Score(0.7, 3),
    "a": Score(0.6, 3),
    "c": Score(0.4, 3),
    "d": Score(0.3, 3),
    "e": Score(0.5, 3),
    "f": Score(0.5, 3),
    "h": Score(0.9, 2),
    "i": Score(0.2, 3),
    "j": Score(0.8, 3),
    "k": Score(0.1, 3),
    "l": Score(0.8, 1),
    "m": Score(0.2, 1),
    "n": Score(0.1, 1),
}
STATUSES = {row["video_id"]: "ok" for row in SHEET} | {"g": "no_face"}


def test_predictions_have_a_row_for_every_video_of_the_sheet_in_its_order():
    rows = predictions(SHEET, SCORES, STATUSES)
    assert [row.video_id for row in rows] == list("bacdefghijklmn")
    by_id = {row.video_id: row for row in rows}
    assert by_id["b"] == Prediction("b", "s1", "anger", "test", "fake", 0.7, "fake", "fake", 3, "ok", "a")
    assert by_id["a"] == Prediction("a", "s1", "anger", "test", "genuine", 0.6, "fake", "genuine", 3, "ok", "b")
    assert by_id["g"] == Prediction("g", "s4", "anger", "test", "genuine", None, None, None, 0, "no_face")
    assert by_id["e"].predicted == "genuine"  # a score of one half says nothing: not called fake
    # A tie, a pair of which one cannot be used, a subject with one video, and one with three: no pair.
    assert [by_id[v].predicted_paired for v in "efghilmn"] == [None] * 8
    assert [by_id[v].paired_with for v in "efghilmn"] == ["f", "e", *[None] * 6]
    assert (by_id["j"].predicted_paired, by_id["k"].predicted_paired) == ("fake", "genuine")
    assert predictions(SHEET, {}, STATUSES)[0].status == "not_scored"


def test_predictions_that_contradict_the_quality_table_are_refused():
    with pytest.raises(FakeemoError, match=r"'b'.*status is 'too_short'"):
        predictions(SHEET, SCORES, STATUSES | {"b": "too_short"})
    with pytest.raises(FakeemoError, match=r"'n'.*not in the quality table"):
        predictions(SHEET, SCORES, {v: s for v, s in STATUSES.items() if v != "n"})


def test_predictions_survive_the_file(tmp_path):
    rows = predictions(SHEET, SCORES | {"b": Score(1 / 3, 3)}, STATUSES)
    write_predictions(tmp_path / "p.csv", rows)
    assert read_predictions(tmp_path / "p.csv") == rows
    text = (tmp_path / "p.csv").read_text().splitlines()
    assert (
        text[0] == "video_id,subject,emotion,split,label,score,predicted,predicted_paired,n_variants,status,paired_with"
    )
    assert text[7] == "g,s4,anger,test,genuine,,,,0,no_face,"
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FakeemoError, match=r"other\.csv"):
        read_predictions(tmp_path / "other.csv")


def test_metrics_of_a_table_made_by_hand():
    found = metrics(predictions(SHEET, SCORES, STATUSES))
    assert found["excluded"] == {"no_face": 1}
    assert {split: part["fitted_on"] for split, part in found["splits"].items()} == {
        "train": True,
        "valid": False,
        "test": False,
    }
    anger = found["splits"]["test"]["emotions"]["anger"]
    # Scores: genuine .6 .4 .5, fake .7 .3 .5 .9. Called fake: above .5.
    assert anger["confusion"] == {"genuine": {"genuine": 2, "fake": 1}, "fake": {"genuine": 2, "fake": 2}}
    assert (anger["n_videos"], anger["n_excluded"], anger["n"], anger["correct"]) == (8, 1, 7, 4)
    assert anger["accuracy"] == pytest.approx(4 / 7)
    assert anger["interval"] == pytest.approx(wilson(4, 7))
    assert anger["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert anger["auc"] == pytest.approx((3 + 0 + 1.5 + 3) / 12)
    # Pairs: s1 right, s2 wrong, s3 tied, s4 incomplete.
    paired = anger["paired"]
    assert (paired["n_pairs"], paired["n_tied"], paired["n_same_label"], paired["correct"]) == (3, 1, 0, 1.5)
    assert paired["interval"] == pytest.approx(wilson(1.5, 3))
    overall = found["splits"]["test"]["overall"]
    assert (overall["n"], overall["correct"], overall["paired"]["n_pairs"]) == (8, 4, 3)

    sadness = found["splits"]["test"]["emotions"]["sadness"]
    assert (sadness["n"], sadness["accuracy"], sadness["auc"], sadness["balanced_accuracy"]) == (1, 0, None, None)
    valid = found["splits"]["valid"]["overall"]
    assert (valid["n_videos"], valid["n_unlabelled"], valid["n"], valid["correct"]) == (2, 1, 1, 1)
    assert valid["paired"]["n_pairs"] == 0  # one of the two has no label
    assert valid["paired"]["accuracy"] is None
    train = found["splits"]["train"]["overall"]
    assert (train["n"], train["paired"]["n_pairs"], train["paired"]["n_tied"]) == (3, 0, 0)
    json.dumps(found, allow_nan=False)


def test_what_the_videos_can_show_stands_beside_the_accuracy():
    found = metrics(predictions(SHEET, SCORES, STATUSES))
    anger = found["splits"]["test"]["emotions"]["anger"]
    # s1, s2 and s3 have both labels; s4's genuine video has no score.
    assert (anger["permutation"]["within_subject"], anger["permutation"]["within_emotion"]) == (6, 1)
    # Swapping the labels of s1 (both called fake), s2 (neither) or s3 (neither) changes nothing.
    assert anger["permutation"]["p"] == pytest.approx(1)
    assert anger["n_subjects"] == 4
    assert anger["n_draws"] >= 2000
    assert anger["auc_interval"] is None  # of four subjects draws say nothing
    labels, scores = [1, 0, 0, 1, 0, 1, 1], [0.7, 0.6, 0.4, 0.3, 0.5, 0.5, 0.9]
    assert anger["calibration"]["brier"] == pytest.approx(sklearn_metrics.brier_score_loss(labels, scores))


def test_an_auc_of_enough_subjects_has_an_interval():
    rows = sheet(*(f"v{k},s{k // 2},anger,{('fake', 'genuine')[k % 2]},test" for k in range(20)))
    scores = {row["video_id"]: Score((7 * k % 20) / 20, 1) for k, row in enumerate(rows)}
    cell = metrics(predictions(rows, scores, dict.fromkeys(scores, "ok")))["splits"]["test"]["overall"]
    low, high = cell["auc_interval"]
    assert 0 <= low < cell["auc"] < high <= 1
    assert (cell["n_subjects"], cell["n_draws"]) == (10, 2000)


def test_videos_of_unknown_subjects_are_each_of_a_subject_of_its_own():
    rows = sheet("a,,anger,fake,test", "b,,anger,genuine,test", "c,,anger,fake,test", "d,,anger,genuine,test")
    scores = {name: Score(score, 1) for name, score in zip("abcd", (0.9, 0.2, 0.8, 0.3), strict=True)}
    statuses = dict.fromkeys("abcd", "ok")
    found = metrics(predictions(rows, scores, statuses))
    cell = found["splits"]["test"]["overall"]
    assert (cell["n_subjects"], cell["paired"]["n_pairs"]) == (4, 0)
    assert cell["permutation"] == {"p": pytest.approx(1 / 3), "within_subject": 0, "within_emotion": 4}
    assert found["pairing"]["by"] == "subject"
    # Pairs found otherwise, by faces say, are taken as they are.
    paired = predictions(rows, scores, statuses, [("a", "d"), ("c", "b")])
    assert [row.predicted_paired for row in paired] == ["fake", "genuine", "fake", "genuine"]
    found = metrics(paired, pairing="faces")
    assert found["splits"]["test"]["overall"]["paired"]["correct"] == 2
    assert "nobody knows of new videos" in found["pairing"]["presumes"]


def test_a_pair_of_equal_labels_counts_as_half_right():
    rows = sheet("a,s1,anger,fake,test", "b,s1,anger,fake,test")
    found = metrics(predictions(rows, {"a": Score(0.9, 1), "b": Score(0.1, 1)}, {"a": "ok", "b": "ok"}))
    paired = found["splits"]["test"]["overall"]["paired"]
    assert (paired["n_pairs"], paired["n_same_label"], paired["correct"]) == (1, 1, 0.5)


def test_unlabelled_videos_get_predictions_and_no_accuracy():
    rows = sheet("a,s1,anger,,test", "b,s1,anger,,test")
    found = metrics(predictions(rows, {"a": Score(0.9, 1), "b": Score(0.1, 1)}, {"a": "ok", "b": "ok"}))
    overall = found["splits"]["test"]["overall"]
    assert (overall["n_unlabelled"], overall["n"], overall["accuracy"], overall["interval"]) == (2, 0, None, None)
    for name in ("balanced_accuracy", "auc", "auc_interval", "permutation", "calibration"):
        assert overall[name] is None
    assert overall["paired"]["accuracy"] is None
    judged = predictions(rows, {"a": Score(0.9, 1), "b": Score(0.1, 1)}, {"a": "ok", "b": "ok"})
    assert [(row.score, row.predicted, row.predicted_paired) for row in judged] == [
        (0.9, "fake", "fake"),
        (0.1, "genuine", "genuine"),
    ]


def test_evaluate_from_files_to_files(tmp_path):
    samples = make_samples(8, emotions=("anger", "sadness"))
    unusable = samples[-1]["video_id"]
    qc = {"video_id": [s["video_id"] for s in samples], "status": ["ok"] * (len(samples) - 1) + ["unreadable"]}
    write_table(tmp_path / "qc.parquet", qc, kind="quality")
    tables, models = [], []
    for emotion in ("anger", "sadness"):
        here = [s for s in samples if s["emotion"] == emotion and s["video_id"] != unusable]
        tables.append(tmp_path / f"{emotion}.parquet")
        models.append(tmp_path / f"{emotion}.ubj")
        write_pb_table(tables[-1], here, effect=6.0, seed=1)
        fit_boosting(
            tables[-1],
            of_training(here, "label"),
            of_training(here, "subject"),
            models[-1],
            tmp_path / f"{emotion}.json",
            emotion=emotion,
            settings=BoostingSettings(trees=20, rate=0.3, reg_lambda=1.0),
        )

    def run(rows=samples):
        evaluate(tables, models, rows, tmp_path / "qc.parquet", tmp_path / "p.csv", tmp_path / "m.json")

    run()
    with open(tmp_path / "p.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["video_id"] for row in rows] == [s["video_id"] for s in samples]
    assert rows[-1]["status"] == "unreadable"
    assert rows[-1]["score"] == ""
    assert all(0 < float(row["score"]) < 1 and row["n_variants"] == "3" for row in rows[:-1])
    found = json.loads((tmp_path / "m.json").read_text())
    test = [row for row in rows[:-1] if row["split"] == "test"]
    assert found["splits"]["test"]["overall"]["n"] == len(test) == 7
    assert found["splits"]["test"]["overall"]["correct"] == sum(row["label"] == row["predicted"] for row in test)
    assert found["excluded"] == {"unreadable": 1}

    write_face(tmp_path / "face.png", None)
    faces = {s["video_id"]: tmp_path / "face.png" for s in samples}
    out = tmp_path / "p.csv", tmp_path / "by_faces.json"
    evaluate(tables, models, samples, tmp_path / "qc.parquet", *out, pairing="faces", faces=faces)
    by_faces = json.loads(out[1].read_text())
    assert by_faces["pairing"]["by"] == "faces"
    assert by_faces["splits"]["test"]["overall"]["paired"]["n_pairs"] == 2 + 1  # of four videos, and of three
    assert by_faces["splits"]["train"]["overall"]["paired"]["n_pairs"] == 0

    run()
    before = (tmp_path / "p.csv").read_bytes(), (tmp_path / "m.json").read_bytes()
    run()
    assert ((tmp_path / "p.csv").read_bytes(), (tmp_path / "m.json").read_bytes()) == before
    with pytest.raises(FakeemoError, match="is not in the sample sheet"):
        run(samples[1:])
