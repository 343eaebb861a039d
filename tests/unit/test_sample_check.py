"""What ``fakeemo samples check`` finds in a sheet and in the files that it names."""

import shutil

import pytest
from clips import BAD, encode, moving

from fakeemo.cli import main
from fakeemo.errors import VideoError
from fakeemo.sample_check import check_source
from fakeemo.video import glance

EMOTIONS = ["anger", "happiness"]
HEADER = ["video_id", "path", "subject", "emotion", "label", "split"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", moving())


def sheet(folder, rows):
    """Write rows of ``video_id, subject, emotion, label, split``; the file of each is called like it."""
    lines = [HEADER, *([r[0], str(folder / f"{r[0]}.mp4"), *r[1:]] for r in rows)]
    (folder / "sheet.tsv").write_text("\n".join("\t".join(line) for line in lines) + "\n")
    return folder / "sheet.tsv"


def full(subjects, split="train"):
    return [(f"s{k}_{e}_{w}", f"s{k}", e, w, split) for k in subjects for e in EMOTIONS for w in ("genuine", "fake")]


def files(folder, rows, clip):
    for number, row in enumerate(rows):
        # A box that players skip makes each file another one.
        (folder / f"{row[0]}.mp4").write_bytes(
            clip.read_bytes() + (8 + number).to_bytes(4, "big") + b"free" + bytes(number)
        )


def found(path, **kwargs):
    n_rows, findings = check_source(path, EMOTIONS, **kwargs)
    return n_rows, [(f.line, f.video_id, f.level, f.what) for f in findings]


def test_a_whole_sheet_gives_nothing(tmp_path, clip):
    rows = full(range(10)) + full(range(20, 22), "test")
    files(tmp_path, rows, clip)
    assert found(sheet(tmp_path, rows)) == (48, [])


def test_each_fault_is_found_in_its_row(tmp_path, clip):
    rows = full(range(10))
    files(tmp_path, rows, clip)
    (tmp_path / "s0_anger_fake.mp4").unlink()  # line 3
    (tmp_path / "s1_anger_genuine.mp4").write_text("no video")  # line 6
    encode(tmp_path / "s2_anger_genuine.mp4", moving(4))  # line 10
    shutil.copy(tmp_path / "s3_anger_fake.mp4", tmp_path / "s3_happiness_fake.mp4")  # lines 15 and 17
    rows[16] = (*rows[16][:4], "test")  # line 18
    rows[20] = (*rows[20][:2], "joy", *rows[20][3:])  # line 22
    del rows[39]
    path = sheet(tmp_path, rows)
    n_rows, findings = found(path)
    assert n_rows == 38
    by_line = {line: (video, level, what) for line, video, level, what in findings}
    assert len(by_line) == len(findings)
    expected = {
        3: ("s0_anger_fake", "fault", "no such file [missing]; correct the path"),
        6: ("s1_anger_genuine", "fault", "[unreadable]"),
        10: ("s2_anger_genuine", "fault", "4 frames, of which tracking.min_frames = 10 must show a face [too_short]"),
        17: ("s3_happiness_fake", "fault", "is bit-identical with "),
        19: ("s4_anger_fake", "fault", "subject 's4' is in 'test' (video 's4_anger_genuine') and in 'train'"),
        22: ("", "fault", "column 'emotion': unknown emotion 'joy'"),
    }
    for line, (video, level, words) in expected.items():
        assert by_line[line][:2] == (video, level), line
        assert words in by_line[line][2], line
    assert "though one is fake anger and the other fake happiness" in by_line[17][2]


def test_missing_and_surplus_classes_of_a_subject_are_noted(tmp_path, clip):
    rows = full(range(20))
    rows.remove(("s4_anger_fake", "s4", "anger", "fake", "train"))
    rows.append(("s7_more", "s7", "happiness", "genuine", "train"))
    files(tmp_path, rows, clip)
    _, findings = found(sheet(tmp_path, rows))
    assert [(video, level) for _, video, level, _ in findings] == [
        ("s4_anger_genuine", "note"),
        ("s7_anger_genuine", "note"),
    ]
    assert "'s4' has 0 videos of fake anger, where others have 1; if that is not so, add" in findings[0][3]
    assert "'s7' has 2 videos of genuine happiness, where others have 1; if that is not so, take" in findings[1][3]


def test_a_class_that_training_lacks_is_a_fault_and_an_absent_emotion_a_note(tmp_path, clip):
    rows = [row for row in full(range(3)) if row[2] == "anger" and row[3] == "fake"]
    files(tmp_path, rows, clip)
    _, findings = found(sheet(tmp_path, rows))
    assert [(line, level) for line, _, level, _ in findings] == [(0, "note"), (2, "fault")]
    assert "no video of happiness" in findings[0][3]
    assert "'anger' has no training video labelled 'genuine'" in findings[1][3]


def test_the_part_that_is_used_must_be_long_enough(tmp_path, clip):
    lines = [[*HEADER, "start_s", "end_s"]]
    for k, (start, end) in enumerate((("", ""), ("0.3", ""), ("", "0.2"), ("0.0", "0.45"))):
        label = ("genuine", "fake")[k % 2]
        lines.append([f"v{k}", str(clip), f"s{k}", "anger", label, "train", start, end])
    (tmp_path / "sheet.tsv").write_text("\n".join("\t".join(line) for line in lines) + "\n")
    _, findings = found(tmp_path / "sheet.tsv")
    assert [(line, level) for line, _, level, _ in findings] == [(0, "note"), (3, "fault"), (4, "fault")]


NOT_IN_THE_HEADER = ("all frames overwritten", "no permission")
"""The first only decoding tells; root, as whom tests may run, can read everything."""


@pytest.mark.parametrize(
    "case", [c for c in BAD if c.n_frames == 0 and c.name not in NOT_IN_THE_HEADER], ids=lambda case: case.name
)
def test_what_a_header_tells_is_found_without_decoding(case, tmp_path):
    with pytest.raises(VideoError) as caught:
        glance(case.make(tmp_path))
    assert caught.value.status == case.status


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.ts", "libx264")]
)
def test_the_length_is_that_of_the_file(tmp_path, name, codec):
    n_frames, rate = glance(encode(tmp_path / name, moving(25), codec))
    assert n_frames == pytest.approx(25, abs=1)
    assert rate == pytest.approx(25)


def test_the_command_prints_a_line_for_each_and_fails_on_faults(tmp_path, clip, capsys):
    rows = full(range(3))
    files(tmp_path, rows, clip)
    path = str(sheet(tmp_path, rows))
    (tmp_path / "mine.yaml").write_text("emotions: [anger, happiness]\n")
    arguments = ["samples", "check", path, "--no-hash", "--configfile", str(tmp_path / "mine.yaml")]
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"{path}: 12 videos, 0 faults, 0 notes\n"
    (tmp_path / "s0_anger_genuine.mp4").unlink()
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("line 2\ts0_anger_genuine\tfault: ")
    assert captured.err.splitlines()[-1] == f"fakeemo: {path}: 12 videos, 1 faults, 0 notes"
