"""Facial activity: known curves give known numbers, and the classifier finds what is there and nothing else."""

import subprocess
import sys
from functools import cache

import numpy as np
import pytest

from fakeemo import activity
from fakeemo.activity import (
    NAMES,
    SERIES,
    activity_features,
    activity_series,
    read_activity,
    statistics,
    write_activity,
)
from fakeemo.baselines import activity_scores
from fakeemo.errors import FakeemoError
from fakeemo.evaluation import wilson
from fakeemo.samples import read_samples
from fakeemo.sequences import low_pass
from fakeemo.simulation import SimulationSettings, write_simulation
from fakeemo.tables import read_table, write_table

FPS = 50.0
TIMES = np.arange(200) / FPS


def smile(course, left=1.0, right=1.0):
    """Give a clip in which the lip corners rise along ``course`` (time,)."""
    x = np.zeros((len(course), 80), np.float32)
    x[:, 40 + 28], x[:, 40 + 32] = -left * course, -right * course
    return x


def features(x, mask=None, fps=FPS):
    values, names = activity_features(x[None], np.ones((1, len(x)), bool) if mask is None else mask[None], fps)
    assert names == NAMES
    return dict(zip((name.removeprefix("activity_") for name in names), values[0].astype(float), strict=True))


def test_series_are_what_they_are_called():
    series = dict(zip(SERIES, activity_series(smile(TIMES, left=1, right=3)).T, strict=True))
    np.testing.assert_allclose(series["lip_corner_raise"], 2 * TIMES, rtol=1e-6)
    np.testing.assert_allclose(series["lip_corner_raise_asymmetry"], 2 * TIMES, rtol=1e-6)
    np.testing.assert_allclose(series["whole"], np.sqrt(10 / 40) * TIMES, rtol=1e-6)
    assert (series["whole_asymmetry"][1:] > 0).all()
    assert not series["inner_brow_raise"].any()
    wider = np.zeros((5, 80))
    wider[:, 28], wider[:, 32] = -1, 1
    series = dict(zip(SERIES, activity_series(wider).T, strict=True))
    np.testing.assert_allclose(series["lip_corner_spread"], 1)
    np.testing.assert_allclose(series["lip_corner_spread_asymmetry"], 0)


def test_numbers_of_a_known_curve():
    # 0.4 Hz is below the cut-off: two passes of order 1 together take 3 dB at 1 Hz, 1 / (1 + 0.414 * 0.16) here.
    left = 1 / (1 + (np.sqrt(2) - 1) * 0.4**2)
    times = np.arange(1000) / FPS
    found = features(smile(np.sin(2 * np.pi * 0.4 * times)))
    assert found["lip_corner_raise_position_maximum"] == pytest.approx(left, rel=0.02)
    assert found["lip_corner_raise_position_range"] == pytest.approx(2 * left, rel=0.02)
    assert found["lip_corner_raise_position_deviation"] == pytest.approx(left / np.sqrt(2), rel=0.02)
    assert found["lip_corner_raise_speed_maximum"] == pytest.approx(left * 2 * np.pi * 0.4, rel=0.02)
    assert found["lip_corner_raise_acceleration_deviation"] == pytest.approx(
        left * (2 * np.pi * 0.4) ** 2 / np.sqrt(2), rel=0.03
    )
    assert found["lip_corner_raise_position_crossings"] == pytest.approx(16, abs=1)
    assert found["lip_corner_raise_position_time_above_mean"] == pytest.approx(10, abs=0.2)


def test_numbers_of_a_pulse():
    pulse = ((TIMES >= 1) & (TIMES < 1.6)).astype(float)[:, None] * 2
    found = dict(zip(activity.STATISTICS, statistics(pulse, FPS)[0], strict=True))
    assert found["time_of_maximum"] == 1
    assert found["time_above_middle"] == pytest.approx(0.6)
    assert found["time_above_mean"] == pytest.approx(0.6)
    assert found["mean"] == found["absolute"] == pytest.approx(0.3)
    assert found["absolute_deviation"] == pytest.approx(2 * 0.15 * 1.7)
    assert found["skewness"] == pytest.approx((1 - 2 * 0.15) / np.sqrt(0.15 * 0.85))
    assert (found["median"], found["quartiles"], found["deciles"], found["last"], found["crossings"]) == (0, 0, 2, 0, 2)
    assert len(found) == 17


def test_a_faster_rise_has_a_higher_peak_of_speed_that_is_shorter():
    def rise(length):
        return features(smile(np.clip((TIMES - 1.5) / length + 0.5, 0, 1)))

    slow, fast = rise(1.5), rise(0.4)
    assert fast["lip_corner_raise_speed_maximum"] > 1.3 * slow["lip_corner_raise_speed_maximum"]
    assert fast["lip_corner_raise_speed_time_above_middle"] < 0.8 * slow["lip_corner_raise_speed_time_above_middle"]
    assert slow["lip_corner_raise_speed_time_of_maximum"] == pytest.approx(1.5, abs=0.1)


def test_padding_does_not_count():
    x = smile(np.sin(TIMES))
    padded = np.concatenate([x[:150], np.ones((50, 80), np.float32)])
    mask = np.arange(200) < 150
    mask[70] = False
    assert features(padded, mask) == features(x[:150])


def test_a_constant_clip_gives_finite_numbers():
    assert np.isfinite(list(features(np.zeros((12, 80), np.float32)).values())).all()


def test_the_filter_has_no_delay():
    step = low_pass((TIMES >= 2).astype(float)[:, None], FPS, activity.CUT_OFF, 1)[:, 0]
    assert step[99:101].mean() == pytest.approx(0.5, abs=0.01)


class Simulated:
    def __init__(self, folder, level, subjects=42):
        emotions = ("happiness", "sadness")
        sheet = write_simulation(
            folder, SimulationSettings(level=level, subjects=subjects, emotions=emotions, variants=0, seed=5, frames=80)
        )
        samples = read_samples(sheet, emotions)
        self.table = folder / "activity.parquet"
        write_activity([sample.path for sample in samples], self.table)
        self.labels = {sample.video_id: sample.label for sample in samples}
        self.subjects = {sample.video_id: sample.subject for sample in samples}
        self.emotions = {sample.video_id: sample.emotion for sample in samples}
        self.training = {sample.video_id: sample.label for sample in samples if sample.split == "train"}

    def fit(self, method, labels=None, table=None):
        labels = self.training if labels is None else labels
        model = {"fold": "", "labels": labels, "subjects": self.subjects, "judged": list(self.labels)}
        found = activity_scores([table or self.table], [model], self.emotions, method=method)
        return {name: score.score for name, score in found.items()}

    def right(self, scores):
        test = [name for name in self.labels if name not in self.training]
        single = wilson(sum((scores[name] > 0.5) == (self.labels[name] == "fake") for name in test), len(test))
        fakes = [name for name in test if self.labels[name] == "fake"]
        paired = wilson(sum(scores[f] > scores[f.replace("_fake", "_genuine")] for f in fakes), len(fakes))
        return single, paired


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return cache(lambda level: Simulated(tmp_path_factory.mktemp(f"level{level}"), level))


@pytest.mark.parametrize("method", ["direct", "pairs"])
def test_a_difference_is_found(simulated, method):
    data = simulated(95)
    single, paired = data.right(data.fit(method))
    assert single[0] > 0.6
    assert paired[0] > 0.7


@pytest.mark.parametrize("method", ["direct", "pairs"])
def test_no_difference_is_not_found(simulated, method):
    data = simulated(50)
    scores = data.fit(method)
    for low, high in data.right(scores):
        assert low < 0.5 < high


def test_labels_of_test_videos_are_not_used(simulated):
    data = simulated(95)
    known = data.fit("pairs")
    assert data.fit("pairs", {**dict.fromkeys(data.labels, ""), **data.training}) == known
    assert data.fit("pairs", dict(reversed(data.training.items()))) == known


def test_variants_are_averaged(simulated, tmp_path):
    data = simulated(95)
    columns, _ = read_table(data.table)
    doubled = {name: np.repeat(values, 2) for name, values in columns.items()}
    for name in NAMES:
        doubled[name][::2] += 1
        doubled[name][1::2] -= 1
    write_table(tmp_path / "doubled.parquet", doubled, kind="activity")
    assert set(read_activity([tmp_path / "doubled.parquet"])[2]) == {2}
    scores, found = data.fit("direct"), data.fit("direct", table=tmp_path / "doubled.parquet")
    assert max(abs(found[name] - scores[name]) for name in scores) < 1e-3


def test_what_cannot_be_fitted_or_read_is_named(simulated, tmp_path):
    data = simulated(95)
    genuine = {name: label for name, label in data.training.items() if label == "genuine"}
    with pytest.raises(FakeemoError, match="happiness have one label only"):
        data.fit("direct", genuine)
    alone = {name: label for name, label in data.training.items() if data.subjects[name] == "s001"}
    with pytest.raises(FakeemoError, match="fewer than two subjects"):
        data.fit("pairs", alone)
    unpaired = {n: label for n, label in data.training.items() if (label == "fake") == (int(data.subjects[n][1:]) % 2)}
    with pytest.raises(FakeemoError, match="use method direct"):
        data.fit("pairs", unpaired)
    data.fit("direct", unpaired)
    write_table(tmp_path / "half.parquet", {"video_id": ["a"], NAMES[0]: np.zeros(1)}, kind="activity")
    with pytest.raises(FakeemoError, match=rf"half.parquet: has no column '{NAMES[1]}'"):
        data.fit("direct", table=tmp_path / "half.parquet")


def test_torch_stays_out():
    program = "import sys, fakeemo.activity; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
