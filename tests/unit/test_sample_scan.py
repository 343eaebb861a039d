"""Sample sheets from file names of any form."""

import re
import shlex
from pathlib import Path

import pytest

from fakeemo.cli import main
from fakeemo.errors import FakeemoError
from fakeemo.sample_scan import scan_folder
from fakeemo.samples import read_samples

EMOTIONS = ["anger", "happiness"]
MEANINGS = {"label": {"spontaneous": "genuine", "deliberate": "fake", "posed": "fake"}}


def folder(tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_fields_come_from_the_name(tmp_path):
    root = folder(tmp_path, "p1_genuine_anger.avi", "p1_fake_Happy.AVI", "p2_fake_anger.avi", "notes.txt")
    samples, remarks = scan_folder(root, "{subject}_{label}_{emotion}.avi", EMOTIONS, {"happy": "happiness"})
    assert [(s.video_id, s.subject, s.label, s.emotion, s.split) for s in samples] == [
        ("p1_fake_Happy", "p1", "fake", "happiness", ""),
        ("p1_genuine_anger", "p1", "genuine", "anger", ""),
        ("p2_fake_anger", "p2", "fake", "anger", ""),
    ]
    assert remarks == ["1 files left aside, since they do not match: notes.txt"]


def test_a_set_of_one_emotion_with_words_of_its_own(tmp_path):
    root = folder(tmp_path, "001_deliberate_smile_1.mp4", "001_spontaneous_smile_2.mp4", "012_deliberate_smile_1.mp4")
    samples, remarks = scan_folder(
        root, "{subject}_{label}_smile_*.mp4", ["happiness"], words=MEANINGS, fixed={"emotion": "happiness"}
    )
    assert [(s.subject, s.label, s.emotion) for s in samples] == [
        ("001", "fake", "happiness"),
        ("001", "genuine", "happiness"),
        ("012", "fake", "happiness"),
    ]
    assert not remarks


def test_folders_are_part_of_the_name(tmp_path):
    root = folder(tmp_path, "train/Posed/7/a b.avi", "test/spontaneous/8/c.avi", "test/spontaneous/8/deeper/c.avi")
    samples, remarks = scan_folder(
        root, "{split}/{label}/{subject}/*.avi", EMOTIONS, words=MEANINGS, fixed={"emotion": "anger"}
    )
    assert [(s.video_id, s.subject, s.label, s.split) for s in samples] == [
        ("test_spontaneous_8_c", "8", "genuine", "test"),
        ("train_Posed_7_a_b", "7", "fake", "train"),
    ]
    assert "deeper" in remarks[0]


def test_a_field_that_stands_twice_must_agree(tmp_path):
    root = folder(tmp_path, "7/7_fake.avi", "8/7_fake.avi")
    samples, _ = scan_folder(root, "{subject}/{subject}_{label}.avi", EMOTIONS, fixed={"emotion": "anger"})
    assert [s.subject for s in samples] == ["7"]


@pytest.mark.parametrize(
    ("pattern", "fixed", "expected"),
    [
        ("{subject}_{label}.avi", {}, "has no {emotion}; put it in, or give --emotion"),
        ("{who}_{label}_{emotion}.avi", {}, "'{who}' is unknown; fields are {subject}, {emotion}, {label}, {split}"),
        ("{subject}_{label}_{emotion}.avi", {"label": "fake"}, "so --label cannot be given too"),
        ("{subject}-{label}-{emotion}.avi", {}, "no file matches"),
        ("{subject}_{label}_{emotion}.avi", {}, "label 'deliberate' is none of genuine, fake; say with --genuine"),
        ("*_{emotion}.avi", {"subject": "1", "label": "fake", "split": "dev"}, "split 'dev' is none of train, valid"),
        ("{split}_*_{emotion}.avi", {"subject": "1", "label": "fake"}, "split 'p1' is none of train, valid, test; say"),
    ],
)
def test_faults_are_one_line_that_says_what_to_do(tmp_path, pattern, fixed, expected):
    with pytest.raises(FakeemoError) as caught:
        scan_folder(folder(tmp_path, "p1_deliberate_anger.avi"), pattern, EMOTIONS, fixed=fixed)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_takes_emotions_and_synonyms_from_the_config(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for k in (1, 2):
        folder(tmp_path / "smiles", f"00{k}_deliberate_grin_1.mp4", f"00{k}_spontaneous_grin_2.mp4")
    (tmp_path / "mine.yaml").write_text("emotions: [joy]\nsynonyms: {grin: joy}\nprotocol: k-fold\nfolds: 2\n")
    words = ["--genuine", "spontaneous", "--fake", "posed", "deliberate"]
    pattern = ["--pattern", "{subject}_{label}_{emotion}_*.mp4"]
    assert main(["samples", "scan", "smiles", *pattern, *words, "--configfile", "mine.yaml"]) == 0
    assert capsys.readouterr().out == "samples.tsv: 4 videos (2 fake, 2 genuine)\n"
    samples = read_samples("samples.tsv", ["joy"], cross_validated=True)
    assert {(s.subject, s.emotion, s.label) for s in samples} == {
        (subject, "joy", label) for subject in ("001", "002") for label in ("genuine", "fake")
    }
    assert (tmp_path / "samples.tsv").read_text().startswith("video_id\tpath\tsubject\temotion\tlabel\n")


GUIDE = (Path(__file__).parents[2] / "docs" / "your_videos.md").read_text()
SETS = {
    "nemo": ["001_deliberate_smile_2.mp4", "001_spontaneous_smile_1.mp4"],
    "spos": ["posed/001/smile_1.avi", "spontaneous/001/smile_2.avi"],
    "mmi": ["posed/S001-001.avi", "spontaneous/S002-004.avi"],
    "bbc": ["fake/08.mp4", "genuine/07.mp4"],
}


@pytest.mark.parametrize("name", SETS)
def test_the_commands_of_the_guide_read_such_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / name, *SETS[name])
    (command,) = re.findall(rf"`(fakeemo samples scan {name} [^`]*)`", GUIDE)
    (config,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    (tmp_path / "my_config.yaml").write_text(config)
    assert main(shlex.split(command)[1:]) == 0
    samples = read_samples("samples.tsv", ["happiness"], cross_validated=True)
    assert [(s.emotion, s.label) for s in samples] == [("happiness", "fake"), ("happiness", "genuine")]
    assert all(s.subject in SETS[name][k] for k, s in enumerate(samples))
