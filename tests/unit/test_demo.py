"""The embedded data set: real files, faces that move as FACS says, and a label that is in the dynamics alone."""

import csv
import dataclasses
import subprocess
import sys
from pathlib import Path

import av
import cv2
import dlib
import numpy as np
import pytest

from fakeemo import demo, demo_dynamics, faces, landmarks
from fakeemo.demo import DemoSettings
from fakeemo.errors import FakeemoError

SHORT = DemoSettings(effect_size=0, fps=10, seconds=2)
RIGID = [27, 28, 29, 30, 36, 39, 42, 45]  # bridge of the nose, corners of the eyes


def decode(path: Path | str) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """Three subjects, all emotions, both labels."""
    sheet = demo.write_demo(tmp_path_factory.mktemp("demo"), SHORT, n_train=1, n_valid=1, n_test=1)
    with open(sheet, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture(scope="module")
def decoded(written: list[dict[str, str]]) -> dict[str, list[np.ndarray]]:
    return {row["video_id"]: decode(row["path"]) for row in written}


def test_sheet_splits_by_subject_and_names_each_clip_once() -> None:
    rows = demo.demo_sheet(7, 2, 3, folder="x")
    assert len(rows) == 12 * 6 * 2
    assert len({row["video_id"] for row in rows}) == len({row["path"] for row in rows}) == len(rows)
    assert rows[0] == {
        "video_id": "s01_anger_genuine",
        "path": "x/s01_anger_genuine.mp4",
        "subject": "s01",
        "emotion": "anger",
        "label": "genuine",
        "split": "train",
    }
    split_of = {row["subject"]: row["split"] for row in rows}
    assert [split_of[f"s{n:02d}"] for n in range(1, 13)] == ["train"] * 7 + ["valid"] * 2 + ["test"] * 3


def test_written_sheet_lists_whole_files(written: list[dict[str, str]], decoded: dict[str, list[np.ndarray]]) -> None:
    assert len(written) == 36
    assert [row["split"] for row in written[::12]] == ["train", "valid", "test"]
    assert {len(frames) for frames in decoded.values()} == {SHORT.n_frames}
    folder = Path(written[0]["path"]).parent
    assert len(list(folder.iterdir())) == 37  # nothing left over beside the clips and the sheet


def test_clip_is_h264_of_the_right_rate_length_and_size(tmp_path: Path) -> None:
    settings = DemoSettings(fps=25, seconds=2.6, width=480, height=270)
    demo.render_clip(tmp_path / "clip.mp4", "anyone", "anger", "fake", settings)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert (stream.width, stream.height, stream.average_rate, stream.frames) == (480, 270, 25, 65)
        times = [frame.time for frame in container.decode(video=0)]
    np.testing.assert_allclose(times, np.arange(65) / 25, atol=1e-4)


def test_same_arguments_give_identical_bytes(tmp_path: Path) -> None:
    contents = []
    for number, (subject, seed) in enumerate([("s01", 1), ("s01", 1), ("s02", 1), ("s01", 1), ("s01", 2)]):
        path = tmp_path / f"{number}.mp4"
        demo.render_clip(path, subject, "surprise", "genuine", dataclasses.replace(SHORT, seed=seed))
        contents.append(path.read_bytes())
    assert contents[0] == contents[1] == contents[3]
    assert len(set(contents)) == 3
    code = f"from fakeemo.demo import *; render_clip({str(path)!r}, 's01', 'surprise', 'genuine', {SHORT})"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert path.read_bytes() == contents[0]


@pytest.mark.parametrize(("effect_size", "same"), [(0, True), (1, False)])
def test_label_enters_by_the_effect_size_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, effect_size: float, same: bool
) -> None:
    """With the draws of both labels made one stream, only the effect size can tell the two files apart."""
    own = demo_dynamics.random_stream

    def without_label(seed: int, purpose: str, subject: str, *rest: object) -> np.random.Generator:
        return own(seed, purpose, subject, *rest[:1])

    monkeypatch.setattr(demo, "random_stream", without_label)
    monkeypatch.setattr(demo_dynamics, "random_stream", without_label)
    settings = dataclasses.replace(SHORT, effect_size=effect_size)
    for label in demo.LABELS:
        demo.render_clip(tmp_path / f"{label}.mp4", "s01", "disgust", label, settings)
    genuine, fake = ((tmp_path / f"{label}.mp4").read_bytes() for label in demo.LABELS)
    assert (genuine == fake) is same


def takes(effect_size: float, label: str) -> dict[str, np.ndarray]:
    """Give each true parameter of 300 takes, and what must not depend on the label."""
    settings = DemoSettings(effect_size=effect_size)
    clips = [demo.dynamics(f"p{n}", "happiness", label, settings) for n in range(300)]
    table = {name: np.array([abs(getattr(clip, name)) for clip in clips]) for name in demo_dynamics.PARAMETERS}
    table["strength"] = np.array([clip.strength for clip in clips])
    table["half_way_up"] = np.array([clip.onset_start + clip.onset_duration / 2 for clip in clips])
    table["half_way_down"] = np.array([clip.offset_start + clip.offset_duration / 2 for clip in clips])
    table["mean_mouth"] = np.array([clip.activations[:, 4:].mean() for clip in clips])
    table["blinking"] = np.array([clip.blink.mean() for clip in clips])
    return table


def separation(genuine: np.ndarray, fake: np.ndarray) -> float:
    """Give the difference of the means, fake minus genuine, in standard deviations within a class."""
    return float((fake.mean() - genuine.mean()) / np.sqrt((genuine.var() + fake.var()) / 2))


def test_without_effect_the_classes_are_one_distribution() -> None:
    genuine, fake = takes(0, "genuine"), takes(0, "fake")
    for name in genuine:
        assert abs(separation(genuine[name], fake[name])) < 4 * np.sqrt(2 / 300), name
        assert not np.array_equal(genuine[name], fake[name]), name  # takes of their own all the same


def test_with_effect_the_classes_differ_as_the_literature_says_and_in_nothing_else() -> None:
    genuine, fake = takes(1, "genuine"), takes(1, "fake")
    for name, (_, shift, _) in demo_dynamics.PARAMETERS.items():
        difference = separation(genuine[name], fake[name])
        assert np.sign(difference) == np.sign(shift), name
        assert 0.8 < abs(difference) < 3, name  # clear, and yet the classes overlap
    for name in ("strength", "half_way_up", "half_way_down", "mean_mouth", "blinking"):
        assert abs(separation(genuine[name], fake[name])) < 4 * np.sqrt(2 / 300), name


def test_true_parameters_show_in_the_activations() -> None:
    """Onset time, asymmetry, lag and eye involvement can be read off the curves that move the face."""
    settings = DemoSettings(fps=100)
    for label in demo.LABELS:
        for n in range(20):
            clip = demo.dynamics(f"p{n}", "happiness", label, settings)
            apex = (clip.times > clip.onset_start + clip.onset_duration + 0.15) & (clip.times < clip.offset_start)
            before = clip.times < clip.onset_start - abs(clip.lag)
            assert np.all(clip.activations[before] == 0)
            assert np.all(clip.activations[-1] < 0.02)
            if apex.sum() > 20:
                mean = clip.activations[apex].mean(axis=0)
                assert mean[4:].mean() == pytest.approx(clip.strength, rel=0.35)
                assert mean[2:4].sum() / mean[4:].sum() == pytest.approx(clip.eye_involvement, rel=0.4)


def test_there_is_one_face_in_the_first_frame_of_every_clip(decoded: dict[str, list[np.ndarray]]) -> None:
    haar = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    for video_id, frames in decoded.items():
        found = haar.detectMultiScale(frames[0], 1.1, 3, minSize=(80, 80))
        assert len(found) == 1, video_id
        assert 0.38 < found[0][3] / SHORT.height < 0.65, video_id


@pytest.fixture(scope="module")
def movements(written: list[dict[str, str]], decoded: dict[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
    """Movement of the 68 measured points from neutral to apex, (clips, 68, 2), in distances of the eyes."""
    predictor = dlib.shape_predictor(str(landmarks.default_model()))
    moved: dict[str, list[np.ndarray]] = {emotion: [] for emotion in demo.EMOTIONS}
    for row in written:
        clip = demo.dynamics(row["subject"], row["emotion"], row["label"], SHORT)
        frames = decoded[row["video_id"]]
        found = max(faces.detect_faces(frames[0], 80), key=lambda face: face.box.w).box
        x, y, w, h = (round(value) for value in faces.predictor_box(found))
        points = np.array(
            [
                [(part.x, part.y) for part in predictor(frame, dlib.rectangle(x, y, x + w - 1, y + h - 1)).parts()]
                for frame in frames
            ],
            float,
        )
        half_up = clip.onset_start + clip.onset_duration / 2
        half_down = clip.offset_start + clip.offset_duration / 2
        open_eyes = clip.blink == 0
        neutral = points[(clip.times < clip.onset_start) & open_eyes]
        apex = points[(np.abs(clip.times - (half_up + half_down) / 2) < 0.25) & open_eyes]
        if len(neutral) and len(apex):
            moved[row["emotion"]].append(movement(neutral.mean(axis=0), apex.mean(axis=0)))
    return {emotion: np.array(all_moved) for emotion, all_moved in moved.items()}


def movement(neutral: np.ndarray, apex: np.ndarray) -> np.ndarray:
    """Align apex with neutral at the rigid points (translation, turn, size); give what is left."""
    a, b = (points[RIGID] @ (1, 1j) for points in (apex, neutral))
    turn = np.vdot(a - a.mean(), b - b.mean()) / np.vdot(a - a.mean(), a - a.mean())
    left = (apex @ (1, 1j) - a.mean()) * turn + b.mean() - neutral @ (1, 1j)
    eyes = np.linalg.norm(neutral[36:42].mean(axis=0) - neutral[42:48].mean(axis=0))
    return np.stack((left.real, left.imag), axis=-1) / eyes


# Emotion, what moves (points counted positive, points counted negative), axis, sign; y points down.
@pytest.mark.parametrize(
    ("emotion", "plus", "minus", "axis", "sign"),
    [
        pytest.param("happiness", [48, 54], [51], 1, -1, id="AU12 corners of the mouth up"),
        pytest.param("happiness", [54], [48], 0, 1, id="AU12 mouth wider"),
        pytest.param("happiness", [40, 41, 46, 47], [37, 38, 43, 44], 1, -1, id="AU6 eyes narrower"),
        pytest.param("sadness", [20, 21, 22, 23], [], 1, -1, id="AU1 inner brows up"),
        pytest.param("sadness", [48, 54], [51], 1, 1, id="AU15 corners of the mouth down"),
        pytest.param("anger", [19, 20, 21, 22, 23, 24], [], 1, 1, id="AU4 brows down"),
        pytest.param("anger", [40, 41, 46, 47], [37, 38, 43, 44], 1, -1, id="AU7 eyes narrower"),
        pytest.param("anger", [54], [48], 0, -1, id="AU23 mouth narrower"),
        pytest.param("disgust", [31, 35], [], 1, -1, id="AU9 wings of the nose up"),
        pytest.param("disgust", [65, 66, 67], [61, 62, 63], 1, 1, id="AU16 lips apart"),
        pytest.param("contempt", [48], [54], 1, -1, id="R12 one corner up"),
        pytest.param("contempt", [54], [48], 0, 1, id="R14 mouth wider"),
        pytest.param("surprise", [18, 19, 20, 23, 24, 25], [], 1, -1, id="AU1+2 brows up"),
        pytest.param("surprise", [40, 41, 46, 47], [37, 38, 43, 44], 1, 1, id="AU5 eyes wider"),
        pytest.param("surprise", [65, 66, 67], [61, 62, 63], 1, 1, id="AU26 mouth open"),
    ],
)
def test_measured_landmarks_move_as_facs_says(
    movements: dict[str, np.ndarray], emotion: str, plus: list[int], minus: list[int], axis: int, sign: int
) -> None:
    clips = movements[emotion]
    assert len(clips) >= 4
    along = clips[:, plus, axis].mean(axis=1) - (clips[:, minus, axis].mean(axis=1) if minus else 0)
    assert np.mean(sign * along) > 0.02  # more than a pixel at this size
    assert np.mean(sign * along > 0) >= 0.8


def test_contempt_shows_on_one_side(movements: dict[str, np.ndarray]) -> None:
    left, right = (np.linalg.norm(movements["contempt"][:, point], axis=1).mean() for point in (48, 54))
    assert left > 1.5 * right


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("effect_size", -0.1),
        ("effect_size", float("nan")),
        ("seed", -1),
        ("fps", 5),
        ("seconds", 0.5),
        ("width", 401),
        ("width", 100),
        ("height", 100),
    ],
)
def test_settings_out_of_range_are_named(name: str, value: float) -> None:
    with pytest.raises(FakeemoError, match=rf"^demo setting {name}: {value}.* expected .+"):
        DemoSettings(**{name: value})


@pytest.mark.parametrize(("emotion", "label"), [("joy", "fake"), ("anger", "false")])
def test_unknown_emotion_or_label_ends_in_one_line_and_no_file(tmp_path: Path, emotion: str, label: str) -> None:
    with pytest.raises(FakeemoError, match=r"unknown .*expected one of"):
        demo.render_clip(tmp_path / "clip.mp4", "s01", emotion, label, SHORT)
    assert list(tmp_path.iterdir()) == []


def test_import_is_light() -> None:
    heavy = "{'dlib', 'pandas', 'torch', 'skimage', 'xgboost', 'matplotlib', 'numba'}"
    code = f"import sys, fakeemo.demo; print(*{heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
