import numpy as np

from fakeemo.quality import summarise_quality
from fakeemo.tables import read_table, write_table


def write_video(folder, name, *, states, psr, success, fps=25.0, status="ok", reason="", landmarks_status="ok"):
    n = len(states)
    times = np.arange(n) / fps
    columns = {"frame": np.arange(n), "timestamp": times, "psr": np.array(psr, float), "state": np.array(states, str)}
    write_table(folder / f"{name}_roi.parquet", columns, kind="rois", status=status, reason=reason)
    columns = {"frame": np.arange(n), "timestamp": times, "success": np.array(success, np.int8)}
    later = landmarks_status if status == "ok" else status
    why = reason if status != "ok" else "" if later == "ok" else "no landmarks"
    write_table(folder / f"{name}_lm.parquet", columns, kind="landmarks", status=later, reason=why)


def test_each_video_gets_a_row_in_the_given_order(tmp_path):
    write_video(
        tmp_path,
        "good",
        states=["detected", "tracked", "lost", "redetected", "tracked"],
        psr=[np.nan, 12.0, 4.0, np.nan, 9.0],
        success=[1, 1, 0, 1, 1],
    )
    write_video(tmp_path, "still", states=["detected"], psr=[np.nan], success=[1])
    write_video(tmp_path, "bad", states=[], psr=[], success=[], status="unreadable", reason="cut short")
    write_video(tmp_path, "short", states=["detected"] * 2, psr=[8, 8], success=[0, 0], landmarks_status="too_short")
    names = ["still", "good", "bad", "short"]
    out = tmp_path / "videos.parquet"
    rois = [tmp_path / f"{name}_roi.parquet" for name in names]
    summarise_quality(names, rois, [tmp_path / f"{name}_lm.parquet" for name in names], out)
    found, header = read_table(out)
    assert header["kind"] == "quality"
    assert found["video_id"].tolist() == names
    assert found["status"].tolist() == ["ok", "ok", "unreadable", "too_short"]
    assert found["reason"].tolist() == ["", "", "cut short", "no landmarks"]
    assert found["frames"].tolist() == [1, 5, 0, 2]
    np.testing.assert_allclose(found["fps"], [np.nan, 25, np.nan, 25])
    np.testing.assert_allclose(found["face_share"], [1, 0.8, 0, 0])
    assert found["redetections"].tolist() == [0, 1, 0, 0]
    np.testing.assert_allclose(found["lowest_psr"], [np.nan, 4, np.nan, 8])
