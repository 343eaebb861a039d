"""The landmark engines against each other: the batched one must give dlib's pixels, every one, on real images."""

import importlib.metadata
import inspect
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import dlib
import numpy as np
import pytest
import skimage.data

from fakeemo import augment, landmarks, regression_trees, shape_predictor, tree_kernels
from fakeemo.errors import FakeemoError

FACE = np.array([174, 64, 99, 99])  # the Haar detector's box in the 512 x 512 portrait
N_IMAGES, BOXES_PER_IMAGE = 48, 110


@pytest.fixture(scope="module")
def cases():
    """Give images of a real face, in many sizes, lights, noises and places, each with boxes around and off it."""
    portrait = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2GRAY)
    rng = np.random.default_rng(0)
    made = []
    for _ in range(N_IMAGES):
        scale = rng.uniform(0.4, 2.2)
        image = cv2.resize(portrait, None, fx=scale, fy=scale * rng.uniform(0.9, 1.1), interpolation=cv2.INTER_AREA)
        turn = cv2.getRotationMatrix2D((224 * scale, 114 * scale), rng.normal(0, 8), 1)
        turn[:, 2] += rng.uniform(-60, 60, 2)
        shifted = cv2.warpAffine(image, turn, image.shape[::-1]).astype(float)
        noisy = shifted * rng.uniform(0.3, 1.6) + rng.uniform(-40, 40) + rng.normal(0, rng.uniform(0, 15), image.shape)
        box = scale * FACE
        box[:2] += turn[:, 2] - cv2.getRotationMatrix2D((224 * scale, 114 * scale), 0, 1)[:, 2]
        boxes = box + rng.normal(0, 0.08, (BOXES_PER_IMAGE, 4)) * box[2]
        boxes[80:100, :2] += rng.uniform(-1.5, 1.5, (20, 2)) * image.shape[0]  # many of these leave the image
        boxes[100:, 2:] = rng.uniform(1, 60, (10, 2))  # and some are of no sensible size or shape
        boxes[:, 2:] = np.maximum(boxes[:, 2:], 1)
        made.append((np.clip(noisy, 0, 255).astype(np.uint8), np.rint(boxes).astype(np.int64)))
    return made


@pytest.fixture(scope="module")
def expected(cases):
    reference = landmarks.load_predictor("dlib")
    return [reference.predict(image, boxes) for image, boxes in cases]


@pytest.fixture(scope="module")
def model():
    return shape_predictor.read(landmarks.default_model())


def agrees(predict, cases, expected):
    """Tell whether a prediction function, rounded, puts every point on the pixel where dlib puts it."""
    for (image, boxes), points in zip(cases, expected, strict=True):
        mine = landmarks.whole_pixels(predict(image[None], boxes, np.zeros(len(boxes), np.int64)))
        if not np.array_equal(mine, points):
            return False
    return True


def test_batched_gives_the_pixels_of_dlib(cases, expected):
    assert sum(len(boxes) for _, boxes in cases) >= 5000
    outside = [(boxes[:, :2] < 0).any(1) | (boxes[:, 0] + boxes[:, 2] > image.shape[1]) for image, boxes in cases]
    assert np.concatenate(outside).sum() > 500
    assert agrees(landmarks.load_predictor("batched").engine, cases, expected)


def test_dlib_engine_is_dlib_called_by_hand(cases, expected):
    predictor = dlib.shape_predictor(str(landmarks.default_model()))
    (image, boxes), points = cases[0], expected[0]
    for (x, y, w, h), shape in zip(boxes[:20].tolist(), points, strict=False):
        parts = predictor(image, dlib.rectangle(left=x, top=y, right=x + w - 1, bottom=y + h - 1)).parts()
        assert [(part.x, part.y) for part in parts] == [tuple(point) for point in shape.tolist()]


# What makes the two agree, each broken on purpose: (text in the source of the engine, what stands there instead).
MUTANTS = {
    "similarity in single precision": [
        ("mean_x = mean_y = mean_u = mean_v = 0.0", "mean_x = mean_y = mean_u = mean_v = np.float32(0)"),
        ("n = len(reference)", "n = np.float32(len(reference))"),
        ("norm = dot = cross = 0.0", "norm = dot = cross = np.float32(0)"),
        ("range(n)", "range(len(reference))"),
    ],
    "similarity not rounded to single precision": [
        ("np.float32(dot / norm), np.float32(cross / norm)", "dot / norm, cross / norm")
    ],
    "shape plane in double precision": [
        ("types.CPointer(types.float32),  # shapes", "types.CPointer(types.float64),  # shapes"),
        ("predictor.initial_shape.ravel()", "predictor.initial_shape.ravel().astype(np.float64)"),
    ],
    "image plane in single precision": [
        ("float(x[j]) * scale_x + left + 0.5", "x[j] * np.float32(scale_x) + np.float32(left) + np.float32(0.5)"),
        ("float(y[j]) * scale_y + top + 0.5", "y[j] * np.float32(scale_y) + np.float32(top) + np.float32(0.5)"),
    ],
    "pixel look-up cut and not rounded": [("left + 0.5", "left"), ("top + 0.5", "top")],
    "scale is the width and not right - left": [("boxes[i, 2] - 1", "boxes[i, 2]"), ("boxes[i, 3] - 1", "boxes[i, 3]")],
    "pixels outside repeat the edge": [
        (
            "line * width + column if inside else -1.0",
            "min(max(line, 0.0), height - 1.0) * width + min(max(column, 0.0), width - 1.0)",
        )
    ],
    "a tie goes left": [("> threshold", ">= threshold")],
    "leaves added in another order": [
        (
            "(((((((shape[k] + a[k]) + b[k]) + c[k]) + d[k]) + e[k]) + f[k]) + g[k]) + h[k]",
            "shape[k] + (a[k] + b[k] + c[k] + d[k] + e[k] + f[k] + g[k] + h[k])",
        )
    ],
    "output cut and not rounded": [("= point\n", "= np.floor(point)\n")],
    "output scaled by the width": [("(boxes[i, 2 + axis] - 1)", "boxes[i, 2 + axis]")],
    "leaves in half precision": [
        ("_array(predictor.leaves, np.float32)", "predictor.leaves.astype(np.float16).astype(np.float32)")
    ],
    "fastmath": [("numba.njit(", "numba.njit(fastmath=True, ")],
}


@pytest.mark.parametrize("name", MUTANTS)
def test_each_rule_of_precision_matters(name, cases, expected, model):
    assert not agrees(rebuilt(model, MUTANTS[name]), cases, expected)


def test_rebuilding_without_a_change_changes_nothing(cases, expected, model):
    assert agrees(rebuilt(model, []), cases[:5], expected[:5])


def test_kernels_that_need_numba_are_refused(model):
    """What raises an error calls Numba's run time, which is not there later: the linker would end the process."""
    sizes = "    n_trees, n_splits = thresholds.shape\n"
    with pytest.raises(FakeemoError, match=r"Numba .* landmarks\.engine: dlib"):
        rebuilt(model, [(sizes, sizes + "    if n_trees == 0:\n        raise ValueError\n")])


def rebuilt(model, changes):
    """Give the batched engine made anew from its source with changes."""
    sources = {module: inspect.getsource(module) for module in (tree_kernels, regression_trees)}
    for text, instead in changes:
        (module,) = (module for module, source in sources.items() if text in source)
        sources[module] = sources[module].replace(text, instead)
    kernels, engine = ({"__name__": module.__name__, "__file__": module.__file__} for module in sources)
    exec(sources[tree_kernels], kernels)
    exec(sources[regression_trees], engine)
    machine = regression_trees.this_machine()
    code = kernels["machine_code"](machine)
    engine["_kernel"] = lambda: regression_trees.loaded(code, machine)
    return engine["batched"](model)


def test_single_precision_never_lifts_a_point_to_another_pixel():
    """Positions just below a half would round up in float32; the stored value must not."""
    shapes = np.nextafter(np.float32(0.5), np.float32(0)) * np.ones((1, 4), np.float32)
    boxes = np.array([[1000, 3000, 2, 2]])
    points = np.empty((1, 2, 2), np.float32)
    tree_kernels._to_image(shapes, boxes, points)
    exact = boxes[0, :2] + shapes[0, :2].astype(float)
    assert (np.float32(exact) == exact.round(3)).all()  # a plain conversion does lift them to the half
    np.testing.assert_array_equal(landmarks.whole_pixels(points)[0], np.floor(exact + 0.5)[None].repeat(2, 0))
    np.testing.assert_allclose(points[0, 0], exact, atol=3e-4)


def test_batched_positions_are_sub_pixel(cases):
    image, boxes = cases[0]
    points = landmarks.load_predictor().predict(image, boxes)
    assert points.dtype == np.float32
    assert 0.2 < np.abs(points - np.floor(points) - 0.5).mean() < 0.3  # evenly spread between the pixels


@pytest.mark.parametrize("engine", ["batched", "dlib"])
def test_several_frames_at_once_are_the_same_as_each_alone(engine, cases):
    """More boxes than a batch of the engine, in mixed order."""
    portrait = cases[0][0]
    frames = np.stack([np.roll(portrait, 7 * i, axis=1) for i in range(3)])
    rng = np.random.default_rng(3)
    frame_of_box = rng.integers(0, 3, 300)
    boxes = np.tile(cases[0][1], (3, 1))[:300]
    predictor = landmarks.load_predictor(engine)
    together = predictor.predict(frames, boxes, frame_of_box)
    assert together.shape == (300, 68, 2)
    for i in range(3):
        alone = predictor.predict(frames[i], boxes[frame_of_box == i])
        np.testing.assert_array_equal(together[frame_of_box == i], alone)
    assert predictor.predict(frames, np.empty((0, 4), np.int64)).shape == (0, 68, 2)


def test_images_need_not_be_contiguous(cases):
    image, boxes = cases[0]
    predictor = landmarks.load_predictor()
    np.testing.assert_array_equal(
        predictor.predict(image[:, ::-1], boxes), predictor.predict(image[:, ::-1].copy(), boxes)
    )


def test_arrays_of_any_layout_and_type_reach_the_kernels_as_they_take_them(cases, model):
    """The kernels see addresses alone: another layout or type would raise no error."""
    image, boxes = cases[0]
    engine, frame_of_box = regression_trees.batched(model), np.zeros(len(boxes), np.int64)
    odd = engine(image[None, ::-1, ::-1], np.asfortranarray(boxes.astype(np.int32)), frame_of_box.astype(np.int8))
    np.testing.assert_array_equal(odd, engine(image[None, ::-1, ::-1].copy(), boxes, frame_of_box))
    columns = model._replace(**{name: np.asfortranarray(getattr(model, name)) for name in model._fields[:-1]})
    expected = engine(image[None], boxes, frame_of_box)
    np.testing.assert_array_equal(regression_trees.batched(columns)(image[None], boxes, frame_of_box), expected)


@pytest.mark.parametrize("frame_of_box", [[0, 1], [0, -1], [0], [[0, 0]]])
def test_a_box_without_a_frame_is_refused(model, frame_of_box):
    """The kernels would read whatever lies there in memory."""
    boxes = np.tile(FACE, (2, 1))
    with pytest.raises(ValueError, match="each box needs the index of its frame"):
        regression_trees.batched(model)(np.zeros((1, 200, 200), np.uint8), boxes, np.array(frame_of_box))


def test_threads_may_share_an_engine(cases, model):
    """The kernels run without Python's lock."""
    engine = regression_trees.batched(model)
    work = [(image[None], boxes, np.zeros(len(boxes), np.int64)) for image, boxes in cases[:8]]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda arguments: engine(*arguments), work * 3))
    for points, arguments in zip(together, work * 3, strict=True):
        np.testing.assert_array_equal(points, engine(*arguments))


def test_landmarks_lie_on_the_face():
    """Eyes above nose above mouth above chin, left of right, where they are in the portrait."""
    portrait = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2GRAY)
    (points,) = landmarks.load_predictor().predict(portrait, augment.predictor_boxes(FACE[None].astype(float)))
    left_eye, right_eye, nose, mouth, chin = (
        points[part].mean(axis=0) for part in (slice(36, 42), slice(42, 48), [30], slice(48, 60), [8])
    )
    np.testing.assert_allclose(left_eye, (206, 103), atol=6)
    np.testing.assert_allclose(right_eye, (245, 103), atol=6)
    assert left_eye[1] < nose[1] < mouth[1] < chin[1]


def test_default_model_is_found_without_importing_its_package():
    code = (
        "import sys; from fakeemo import landmarks; assert landmarks.default_model().is_file();"
        "assert 'face_recognition_models' not in sys.modules and 'pkg_resources' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_warm_prediction_imports_neither_numba_nor_arrow():
    landmarks.warm()
    code = (
        "import sys, numpy; from fakeemo import landmarks;"
        "landmarks.load_predictor().predict(numpy.zeros((8, 8), numpy.uint8), numpy.array([[0, 0, 8, 8]]));"
        "assert not {'numba', 'scipy', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_preprocessing_imports_nothing_heavy():
    code = "import sys, fakeemo.augment; assert not {'torch', 'pandas', 'xgboost', 'dlib', 'numba'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_missing_distribution(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(FakeemoError, match="install the Python package face-recognition-models"):
        landmarks.default_model()


@pytest.mark.parametrize("engine", ["batched", "dlib"])
def test_five_point_model_is_refused(engine):
    path = landmarks.default_model().with_name("shape_predictor_5_face_landmarks.dat")
    with pytest.raises(FakeemoError, match=r"shape_predictor_5_face_landmarks\.dat: predicts 5 points, not 68"):
        landmarks.load_predictor(engine, path)


def test_unknown_engine():
    with pytest.raises(FakeemoError, match=r"landmarks\.engine: 'mediapipe' is unknown"):
        landmarks.load_predictor("mediapipe")


def test_whole_pixels_rounds_halves_upwards():
    positions = np.array([0.5, 1.5, -0.5, -1.5, 2.4999998, 0.49999997], np.float32)
    assert landmarks.whole_pixels(positions).tolist() == [1, 2, 0, -1, 2, 0]


def test_the_forty_points_of_figure_2():
    points = np.random.default_rng(0).normal(size=(2, 3, 68, 2)).astype(np.float32)
    chosen = landmarks.select(points)
    kept = [17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45]
    kept += [46, 47, 48, 50, 51, 52, 54, 56, 57, 58]
    assert chosen.shape == (2, 3, 40, 2)
    assert chosen.dtype == np.float32
    np.testing.assert_array_equal(chosen[..., :36, :], points[..., kept, :])
    for place, (one, other) in zip(range(36, 40), [(0, 17), (26, 16), (2, 29), (14, 29)], strict=True):
        np.testing.assert_allclose(chosen[..., place, :], (points[..., one, :] + points[..., other, :]) / 2, rtol=1e-6)
