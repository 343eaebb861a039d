"""The sample sheet: what is read, and which one-line error each fault gives."""

import pytest

from fakeemo.errors import FakeemoError
from fakeemo.samples import Sample, read_samples

EMOTIONS = ("anger", "contempt")
HEADER = "video_id\tpath\tsubject\temotion\tlabel\tsplit"
ROWS = (
    "a\ta.mp4\ts1\tanger\tgenuine\ttrain",
    "b\tb.mp4\ts1\tanger\tfake\ttrain",
    "c\tc.mp4\ts2\tanger\t\ttest",
)


def read(tmp_path, *lines, **kwargs):
    sheet = tmp_path / "samples.tsv"
    sheet.write_text("\n".join(lines) + "\n")
    return read_samples(sheet, EMOTIONS, **kwargs)


def test_reads_every_column(tmp_path):
    samples = read(
        tmp_path,
        HEADER + "\troi\troi_frame\tstart_s\tend_s",
        ROWS[0] + "\t10,20,30.5,40\t3\t0.5\t2",
        ROWS[1] + "\t\t\t\t",
        "",
        ROWS[2] + "\t\t\t\t",
    )
    assert samples[0] == Sample("a", "a.mp4", "s1", "anger", "genuine", "train", (10.0, 20.0, 30.5, 40.0), 3, 0.5, 2.0)
    assert samples[2] == Sample("c", "c.mp4", "s2", "anger", "", "test")


def test_accepts_synonyms_and_letter_case(tmp_path):
    rows = [row.replace("anger", "CONTENTMENT") for row in ROWS]
    samples = read(tmp_path, HEADER, *rows, synonyms={"contentment": "contempt"})
    assert {sample.emotion for sample in samples} == {"contempt"}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([HEADER], ["no videos"]),
        ([HEADER.replace("emotion", "emotoin"), *ROWS], ["line 1", "emotoin", "did you mean 'emotion'"]),
        ([HEADER.replace("\tsplit", ""), *ROWS], ["line 1", "'split' is missing"]),
        ([HEADER + "\tsplit", *ROWS], ["'split' stands twice"]),
        ([HEADER, ROWS[0] + "\tx", *ROWS[1:]], ["line 2", "7 cells"]),
        (
            [HEADER, ROWS[0].replace("anger", "angre"), *ROWS[1:]],
            ["line 2", "'emotion'", "'angre'", "'anger'"],
        ),
        (
            [HEADER, ROWS[0].replace("genuine", "real"), *ROWS[1:]],
            ["line 2", "'label'", "'real'", "genuine, fake"],
        ),
        (
            [HEADER, ROWS[0].replace("train", "training"), *ROWS[1:]],
            ["line 2", "'split'", "did you mean 'train'"],
        ),
        ([HEADER, ROWS[0].replace("a\ta", "a b\ta"), *ROWS[1:]], ["line 2", "'video_id'", "'a b'"]),
        ([HEADER, ROWS[0].replace("s1", ""), *ROWS[1:]], ["line 2", "'subject'", "empty", "training"]),
        ([HEADER, *ROWS, ROWS[0].replace("a.mp4", "d.mp4")], ["'video_id'", "'a' stands twice"]),
        ([HEADER, *ROWS, ROWS[0].replace("a\t", "d\t", 1)], ["'path'", "a.mp4 stands twice"]),
        ([HEADER, *ROWS[:2], ROWS[2].replace("s2", "s1")], ["'split'", "'s1'", "'train'", "'test'"]),
        ([HEADER, ROWS[0], ROWS[2]], ["'anger'", "no training video labelled 'fake'"]),
        ([HEADER + "\troi", *(row + "\t1,2,3" for row in ROWS)], ["line 2", "'roi'", "x,y,w,h"]),
        ([HEADER + "\tstart_s", *(row + "\tsoon" for row in ROWS)], ["line 2", "'start_s'", "'soon'"]),
    ],
)
def test_each_fault_gives_one_line_that_says_where_and_what(tmp_path, lines, words):
    with pytest.raises(FakeemoError) as caught:
        read(tmp_path, *lines)
    message = str(caught.value)
    assert "samples.tsv" in message
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_missing_or_binary_sheet_is_named(tmp_path):
    with pytest.raises(FakeemoError, match=r"none\.tsv: no such sample sheet"):
        read_samples(tmp_path / "none.tsv", EMOTIONS)
    (tmp_path / "binary.tsv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(FakeemoError, match=r"binary\.tsv: cannot be read as UTF-8"):
        read_samples(tmp_path / "binary.tsv", EMOTIONS)
