import io
import os
import subprocess
import sys
from pathlib import Path

import dlib
import numpy as np
import pytest
import skimage.data

from fakeemo import files, landmarks, regression_trees, shape_predictor, tree_kernels
from fakeemo.errors import FakeemoError

MODELS = landmarks.default_model().parent


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKEEMO_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def grey():
    return skimage.data.astronaut().mean(axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def small(tmp_path_factory, grey):
    """Give a small predictor that dlib trained and wrote: 3 levels of 7 trees with 7 splits, 6 points."""
    options = dlib.shape_predictor_training_options()
    options.cascade_depth = 3
    options.num_trees_per_cascade_level = 7
    options.tree_depth = 3
    options.feature_pool_size = 40
    options.num_test_splits = 10
    rng = np.random.default_rng(0)
    images, faces = [], []
    for i in range(4):
        left, top = (int(value) for value in rng.integers(70, 200, 2))
        points = [dlib.point(int(x), int(y)) for x, y in rng.integers(100, 250, (6, 2))]
        images.append(np.ascontiguousarray(np.roll(grey, 5 * i, axis=1)))
        faces.append([dlib.full_object_detection(dlib.rectangle(left, top, left + 99, top + 99), points)])
    path = tmp_path_factory.mktemp("model") / "small.dat"
    dlib.train_shape_predictor(images, faces, options).save(str(path))
    return path


def test_default_model_is_read_to_its_last_byte():
    predictor = shape_predictor.parse(landmarks.default_model())
    assert predictor.initial_shape.shape == (68, 2)
    assert predictor.pixels.shape == (15, 500, 15, 2)
    assert predictor.thresholds.shape == (15, 500, 15)
    assert predictor.leaves.shape == (15, 500, 16, 136)
    assert predictor.anchors.shape == (15, 500)
    assert predictor.deltas.shape == (15, 500, 2)
    assert 0.9 < np.ptp(predictor.initial_shape[:, 0]) < 1.1  # the mean face spans its box
    assert all(np.isfinite(array).all() for array in predictor[:-1])


def test_small_predictor_predicts_what_dlib_does(small, grey):
    """Sizes other than those of the usual model: trees that are no multiple of four, another depth."""
    predictor = shape_predictor.read(small)
    assert predictor.leaves.shape == (3, 7, 8, 12)
    rng = np.random.default_rng(1)
    boxes = np.concatenate([rng.integers(-50, 450, (300, 2)), rng.integers(2, 200, (300, 2))], axis=1)
    points = regression_trees.batched(predictor)(grey[None], boxes, np.zeros(300, np.int64))
    reference = dlib.shape_predictor(str(small))
    for box, shape in zip(boxes.tolist(), landmarks.whole_pixels(points), strict=True):
        x, y, w, h = box
        parts = reference(grey, dlib.rectangle(x, y, x + w - 1, y + h - 1)).parts()
        assert shape.tolist() == [[part.x, part.y] for part in parts]


def test_a_file_cut_off_anywhere_is_refused(small, tmp_path):
    whole = small.read_bytes()
    file = tmp_path / "cut.dat"
    for length in [*range(200), *range(200, len(whole), 37), len(whole) - 2, len(whole) - 1]:
        file.write_bytes(whole[:length])
        with pytest.raises(FakeemoError, match="not a whole dlib shape predictor"):
            shape_predictor.parse(file)


def test_a_cut_default_model_is_refused_before_memory_is_asked_for(tmp_path):
    file = tmp_path / "cut.dat"
    with landmarks.default_model().open("rb") as model:
        file.write_bytes(model.read(50_000))
    with pytest.raises(FakeemoError, match=r"cut\.dat.*cut off.*landmarks\.model"):
        landmarks.load_predictor("batched", file)


def test_something_after_the_end_is_refused(small, tmp_path):
    file = tmp_path / "long.dat"
    file.write_bytes(small.read_bytes() + b"\0")
    with pytest.raises(FakeemoError, match="something follows its end"):
        shape_predictor.parse(file)


def test_changed_bytes_never_end_in_anything_but_a_clear_error(small, tmp_path):
    """Damage that still parses only changes numbers; all else is refused, and nothing crashes."""
    whole = bytearray(small.read_bytes())
    rng = np.random.default_rng(2)
    file = tmp_path / "damaged.dat"
    refused = 0
    for at, value in zip(rng.integers(0, len(whole), 400), rng.integers(0, 256, 400), strict=True):
        damaged = whole.copy()
        damaged[at] = value
        file.write_bytes(damaged)
        try:
            predictor = shape_predictor.parse(file)
        except FakeemoError:
            refused += 1
        else:
            assert predictor.pixels.max() < predictor.anchors.shape[1]
            assert predictor.anchors.max() < len(predictor.initial_shape)
            assert all(np.isfinite(array).all() for array in predictor[:-1])
    assert refused > 50


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(200), b"\x01\x02" * 500, bytes(1000), b"\x80\x04\x95pickle"]
)
def test_other_files_are_refused(content, tmp_path):
    file = tmp_path / "other.dat"
    file.write_bytes(content)
    with pytest.raises(FakeemoError, match=r"other\.dat: not a whole dlib shape predictor"):
        landmarks.load_predictor("dlib", file)


@pytest.mark.parametrize("name", ["dlib_face_recognition_resnet_model_v1.dat", "mmod_human_face_detector.dat"])
def test_other_models_of_dlib_are_refused(name):
    with pytest.raises(FakeemoError, match="not a whole dlib shape predictor"):
        landmarks.load_predictor("batched", MODELS / name)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FakeemoError, match=r"nowhere\.dat: No such file"):
        shape_predictor.read(tmp_path / "nowhere.dat")
    with pytest.raises(FakeemoError, match="directory"):
        shape_predictor.read(tmp_path)


def test_second_reading_comes_from_the_cache_and_is_the_same(small, monkeypatch):
    first = shape_predictor.read(small)
    monkeypatch.setattr(shape_predictor, "parse", lambda path: pytest.fail("parsed again"))
    second = shape_predictor.read(small)
    for one, other in zip(first[:-1], second[:-1], strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert first.sha256 == second.sha256
    assert files.cache_folder().stat().st_mode & 0o777 == 0o700


def test_a_changed_model_is_parsed_again(small, tmp_path):
    file = tmp_path / "model.dat"
    file.write_bytes(small.read_bytes())
    shape_predictor.read(file)
    file.write_bytes(small.read_bytes()[:-1])
    with pytest.raises(FakeemoError, match="cut off"):
        shape_predictor.read(file)


def positions_beyond_the_last(data: bytes) -> bytes:
    record = np.load(io.BytesIO(data))
    record["anchors"][0, 0] = 6
    changed = io.BytesIO()
    np.save(changed, record)
    return changed.getvalue()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"x" * 99,
        lambda data: data.replace(b"leaves", b"LEAVES"),
        lambda data: data.replace(b"('leaves'", b" 'leaves' "),
        positions_beyond_the_last,
    ],
)
def test_a_damaged_cache_is_replaced(small, damage):
    expected = shape_predictor.read(small)
    (cached,) = files.cache_folder().glob("*.npy")
    whole = cached.read_bytes()
    cached.unlink()  # and not written over: ``expected`` is mapped from it
    cached.write_bytes(damage(whole))
    for one, other in zip(shape_predictor.read(small), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert cached.read_bytes() == whole


def test_pickles_in_the_cache_are_not_run(small):
    shape_predictor.read(small)
    (cached,) = files.cache_folder().glob("*.npy")
    np.save(cached, np.array([print], dtype=object))
    assert shape_predictor.read(small).leaves.dtype == np.float32


def test_leaves_are_aligned_in_memory(small):
    """Lost, it costs speed and raises no error."""
    for _ in range(2):
        predictor = shape_predictor.read(small)
        assert predictor.leaves.ctypes.data % 64 == 0


def test_a_cache_folder_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FAKEEMO_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(FakeemoError, match="set FAKEEMO_CACHE"):
        files.cache_folder()


def test_two_processes_may_warm_one_empty_cache_together(tmp_path):
    """Both succeed, and a third finds everything there: kernels and model."""
    environment = dict(os.environ)
    environment["FAKEEMO_CACHE"] = str(tmp_path / "shared")
    command = [sys.executable, "-c", "from fakeemo import landmarks; landmarks.warm()"]
    processes = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]

    check = "import sys; from fakeemo import landmarks; landmarks.warm(); assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], env=environment, check=True, timeout=120)
    names = [path.name for path in Path(environment["FAKEEMO_CACHE"]).iterdir()]
    assert sorted(name.split("-")[0] for name in names) == ["kernels", "predictor"]  # no temporary files left


@pytest.mark.parametrize("damage", [lambda code: code[:-1], lambda code: b"", lambda code: code[:-1] + b"!"])
def test_damaged_kernels_are_compiled_again(damage, monkeypatch):
    kernel = regression_trees._kernel.__wrapped__  # as a new process would call it
    kernel()
    (cached,) = files.cache_folder().glob("kernels-*.o")
    cached.write_bytes(damage(cached.read_bytes()))
    kernel()
    monkeypatch.setattr(tree_kernels, "machine_code", lambda machine: pytest.fail("compiled once more"))
    kernel()
