"""SASE-FE's folders become samples, whatever the letter case and the form of the labels; submissions come back."""

import csv
import pickle

import pytest
from sase_fe_tree import plan, write_tree

from fakeemo.challenge import export_challenge
from fakeemo.cli import main
from fakeemo.errors import FakeemoError
from fakeemo.evaluation import Prediction, write_predictions
from fakeemo.label_files import read_labels
from fakeemo.samples import read_samples, write_samples
from fakeemo.sase_fe import list_folder, read_source
from fakeemo.workflow import read_config

DEFAULTS = read_config()
EMOTIONS, SYNONYMS = DEFAULTS["emotions"], DEFAULTS["synonyms"]


def name_as_content(path, subject, emotion, label):
    path.write_text(f"{path} {subject}")


def tree(tmp_path, **kwargs):
    return write_tree(tmp_path / "sase_fe", name_as_content, **kwargs)


@pytest.mark.parametrize("labels", ["pickle", "csv", "json"])
def test_every_file_is_found_with_what_it_shows(tmp_path, labels):
    root = tree(tmp_path, subjects=3, labels=labels)
    samples, remarks = list_folder(root, EMOTIONS, SYNONYMS)
    found = {s.path: (s.subject, s.emotion, s.label, s.split) for s in samples}
    expected = {}
    for name, subject, emotion, label in plan(3):
        split = {"Tr": "train", "Va": "valid", "Te": "test"}[name[:2]]
        subject, label = (subject if split == "train" else ""), ("" if split == "test" else label)
        expected[str(root / name)] = (subject, emotion, label, split)
    assert found == expected
    assert len(samples) == 3 * 12 + 2 * 12
    assert [s.subject for s in samples[:36]] == sorted(s.subject for s in samples[:36])
    assert len(remarks) == 1
    assert "12 videos without a label" in remarks[0]
    write_samples(tmp_path / "sheet.tsv", samples)
    assert read_samples(tmp_path / "sheet.tsv", EMOTIONS, SYNONYMS) == samples == read_source(root, EMOTIONS, SYNONYMS)


def test_names_are_read_in_any_letter_case_and_strangers_are_named(tmp_path):
    root = tree(tmp_path, subjects=1)
    (root / "Train" / "1" / "N2H.MP4").rename(root / "Train" / "1" / "n2h.mp4")
    (root / "Train" / "1" / "._N2A.MP4").write_text("left by a Mac")
    (root / "Train" / "1" / "holiday.mp4").write_text("something else")
    samples, remarks = list_folder(root, EMOTIONS, SYNONYMS)
    assert {(s.video_id, s.emotion, s.label) for s in samples} >= {("s01_n2h", "happiness", "genuine")}
    assert len(samples) == 36
    assert remarks[0].startswith("1 videos left aside, since no name of SASE-FE: ")
    assert "holiday.mp4" in remarks[0]


def test_folders_may_be_links(tmp_path):
    root = tree(tmp_path, subjects=1)
    (root / "Train").rename(tmp_path / "elsewhere")
    (root / "Train").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    samples, _ = list_folder(root, EMOTIONS, SYNONYMS)
    assert len(samples) == 36


def test_one_emotion_of_the_config_is_enough(tmp_path):
    samples, remarks = list_folder(tree(tmp_path), ["joy"], {"happiness": "joy"})
    assert {s.emotion for s in samples} == {"joy"}
    assert len(samples) == 2 * 2 + 2 * 2
    assert "40 videos left aside, since of emotions that the config has not" in remarks[0]


def test_faults_of_the_folder_are_one_line(tmp_path):
    with pytest.raises(FakeemoError, match="no such folder"):
        list_folder(tmp_path / "none", EMOTIONS)
    (tmp_path / "stray").mkdir()
    (tmp_path / "stray" / "a.mp4").write_text("")
    with pytest.raises(FakeemoError, match=r"no video is named as in SASE-FE .* fakeemo samples scan"):
        list_folder(tmp_path / "stray", EMOTIONS)
    (tmp_path / "stray" / "1200345001_ANGER.mp4").write_text("")
    with pytest.raises(FakeemoError, match=r"1200345001_ANGER\.mp4: validation or test\?"):
        list_folder(tmp_path / "stray", EMOTIONS)
    with pytest.raises(FakeemoError, match="cross-validation needs to know who is seen"):
        read_source(tree(tmp_path), EMOTIONS, SYNONYMS, cross_validated=True)


class Command:
    """What a pickle of it runs when it is loaded."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


def test_a_pickle_that_runs_something_is_refused_and_runs_nothing(tmp_path):
    trace = tmp_path / "trace"
    for content in (Command(trace), {"a.mp4": Command(trace)}, {"a.mp4": "true", "b.mp4": EMOTIONS.__class__}):
        (tmp_path / "labels.pkl").write_bytes(pickle.dumps(content))
        with pytest.raises(FakeemoError, match=r"labels\.pkl: not a pickle that can be read safely .*import"):
            read_labels(tmp_path / "labels.pkl")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.pkl", pickle.dumps(["a.mp4"]), "must hold one dict"),
        ("a.pkl", pickle.dumps({"a.mp4": 1}), "must hold one dict"),
        ("a.pkl", b"\x80\x04broken", "not a pickle that can be read safely"),
        ("a.pkl", b"\x80\x02}r\xff\xff\xff\x7f.", "it wants a memo of 2147483647 places"),
        ("a.pkl", b"", "not a pickle that can be read safely"),
        ("a.json", b"[1]", "one JSON object"),
        ("a.json", b"{", "not a JSON file"),
        ("a.csv", b"a.mp4,true,x\n", "two columns"),
        ("a.csv", b"a.mp4,maybe\n", "'maybe' is not one of true, real, genuine, fake"),
        ("a.csv", b"a.mp4,true\nA.MP4,fake\n", "stands twice, with different labels"),
        ("a.txt", b"a.mp4,true\n", "ends in .pkl, .pickle, .csv, .json"),
    ],
)
def test_faults_of_label_files_are_one_line(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FakeemoError) as caught:
        read_labels(tmp_path / name)
    assert words in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_label_files_that_contradict_each_other_are_named(tmp_path):
    root = tree(tmp_path)
    (root / "other.csv").write_text("1200345001_ANGER.mp4,fake\n")
    with pytest.raises(FakeemoError, match=r"1200345001_anger\.mp4' is genuine, but fake in .*other\.csv"):
        list_folder(root, EMOTIONS, SYNONYMS)


def predicted(samples, **verdicts):
    return [
        Prediction(
            s.video_id, s.subject, s.emotion, s.split, s.label, 0.7, verdicts.get(s.video_id, "fake"), None, 1, "ok"
        )
        for s in samples
    ]


def test_a_submission_names_every_video_as_the_organisers_do(tmp_path):
    samples, _ = list_folder(tree(tmp_path), EMOTIONS, SYNONYMS)
    rows = predicted(samples, **{"2200345001_ANGER": "genuine"})
    write_predictions(tmp_path / "predictions.csv", rows)
    files = export_challenge(tmp_path / "predictions.csv", samples, tmp_path / "out")
    assert [file.name for file in files] == [
        "valid_prediction.pkl", "valid_prediction.csv", "test_prediction.pkl", "test_prediction.csv",
    ]  # fmt: skip
    test = pickle.loads(files[2].read_bytes())
    assert test == {
        name.rpartition("/")[2]: "true" if "2200345001" in name else "fake"
        for name, *_ in plan()
        if name.startswith("Test")
    }
    rows = list(csv.reader(files[3].open()))
    assert rows[0] == ["video", "label"]
    assert dict(rows[1:]) == test
    assert read_labels(files[2]) == read_labels(files[3])


def test_a_submission_that_lacks_a_video_is_not_written(tmp_path):
    samples, _ = list_folder(tree(tmp_path), EMOTIONS, SYNONYMS)
    rows = predicted(samples)
    rows[-1] = rows[-1]._replace(score=None, predicted=None, status="no_face")
    for given, words in ((rows, r"1 of .*SURPRISE' \(no_face\)"), (rows[:-1], r"1 of .*\(not in it\)")):
        write_predictions(tmp_path / "predictions.csv", given)
        with pytest.raises(FakeemoError, match=words):
            export_challenge(tmp_path / "predictions.csv", samples, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    write_predictions(tmp_path / "predictions.csv", rows)
    with pytest.raises(FakeemoError, match="no video of split valid or test"):
        export_challenge(tmp_path / "predictions.csv", [s for s in samples if s.split == "train"], tmp_path)


def test_the_command_writes_a_sheet_and_none_over_another(tmp_path, capsys):
    root = tree(tmp_path, subjects=1, labels="csv")
    out = tmp_path / "sheet.tsv"
    arguments = ["samples", "sase-fe", str(root), "--labels", str(root / "valid.csv"), "--out", str(out)]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    counts = "6 train genuine, 6 train fake, 12 test unlabelled, 6 valid genuine, 6 valid fake"
    assert captured.out.startswith(f"{out}: 36 videos (")
    assert sorted(captured.out.strip()[:-1].split("(")[1].split(", ")) == sorted(counts.split(", "))
    assert captured.err.startswith("fakeemo: 12 videos without a label")
    assert len(read_samples(out, EMOTIONS, SYNONYMS)) == 36
    assert main(arguments) == 1
    assert "is there already; name another file with --out" in capsys.readouterr().err
