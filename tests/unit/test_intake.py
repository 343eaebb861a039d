"""What a model remembers of its training videos, and which videos it calls too different."""

import numpy as np
import pytest

from fakeemo.errors import FakeemoError
from fakeemo.intake import measure, out_of_range, read_intake, write_intake
from fakeemo.tables import write_table

SETTINGS = {"tracking": {"min_frames": 10}, "seed": 1}


def table(path, *, n_frames=100, fps=25.0, width=80.0, missing=0, status="ok"):
    w = np.full(n_frames, float(width))
    w[:missing] = np.nan
    columns = {"frame": np.arange(n_frames, dtype=np.int32), "timestamp": np.arange(n_frames) / fps, "w": w}
    write_table(path, columns, kind="rois", status=status)
    return path


def test_a_video_is_measured(tmp_path):
    found = measure(table(tmp_path / "a.parquet", missing=20))
    assert found == pytest.approx({"frames": 100, "fps": 25, "seconds": 4, "face_px": 80, "missing_share": 0.2})
    nothing = measure(table(tmp_path / "b.parquet", n_frames=0))
    assert nothing["frames"] == 0
    assert all(np.isnan(value) for name, value in nothing.items() if name != "frames")


def test_the_range_is_that_of_the_usable_training_videos(tmp_path):
    tables = [
        table(tmp_path / "a.parquet", width=80),
        table(tmp_path / "b.parquet", n_frames=150, width=120, missing=15),
        table(tmp_path / "c.parquet", n_frames=0, status="no_face"),
    ]
    write_intake(tables, tmp_path / "intake.json", settings=SETTINGS)
    intake = read_intake(tmp_path)
    assert intake["n_videos"] == 2
    assert intake["settings"] == SETTINGS
    assert intake["sources"] == ["video"]
    expected = {"fps": [25, 25], "seconds": [4, 6], "face_px": [80, 120], "missing_share": [0, 0.1]}
    assert intake["ranges"].keys() == expected.keys()
    for name, limits in expected.items():
        assert intake["ranges"][name] == pytest.approx(limits)


RANGES = {"fps": [25, 30], "seconds": [4, 6], "face_px": [80, 120], "missing_share": [0, 0.1]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        ({"fps": 27.4, "seconds": 7.4, "face_px": 55, "missing_share": 0.14}, []),
        ({"fps": 15}, ["15 frames a second; training had 25 to 30"]),
        ({"seconds": 2.5}, ["2.5 seconds; training had 4 to 6"]),
        ({"face_px": 200}, ["200 pixels of face width; training had 80 to 120"]),
        ({"missing_share": 0.4}, ["no face in 40% of the frames; training had at most 10%"]),
        ({"fps": 60, "seconds": 60}, ["60 frames a second; training had 25 to 30", "60 seconds; training had 4 to 6"]),
    ],
)
def test_what_lies_outside_is_said(changes, words):
    inside = {"frames": 100, "fps": 28, "seconds": 5, "face_px": 100, "missing_share": 0.05}
    intake = {"ranges": RANGES, "sources": ["video"]}
    assert out_of_range(inside | changes, "video", intake) == words
    assert out_of_range(inside | changes, "landmarks", intake) == [
        "judged by its landmarks; training was by video", *words,
    ]  # fmt: skip


def test_a_model_without_it_is_named(tmp_path):
    with pytest.raises(FakeemoError, match=r"intake\.json: cannot be read .* let snakemake run again"):
        read_intake(tmp_path)
    (tmp_path / "intake.json").write_text('{"schema_version": 99}')
    with pytest.raises(FakeemoError, match="update fakeemo"):
        read_intake(tmp_path)
