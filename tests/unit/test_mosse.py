"""The correlation filter: where, how large and how sure, on pictures that move in known ways."""

import cv2
import numpy as np
import pytest
from clips import astronaut, scene

from fakeemo.faces import Box, centre
from fakeemo.mosse import SIDE, Mosse, _psr


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    """Give a large random picture whose finest details are some pixels wide."""
    picture = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(900, 900)).astype(np.float32), (0, 0), 3)
    return cv2.normalize(picture, None, 10, 245, cv2.NORM_MINMAX)


def view(texture: np.ndarray, x: float, y: float, zoom: float = 1.0, shape=(360, 480)) -> np.ndarray:
    """Show the middle of the texture, magnified, at (x, y)."""
    to_frame = np.array([[zoom, 0, x - zoom * 450], [0, zoom, y - zoom * 450]])
    shown = cv2.warpAffine(texture, to_frame, shape[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return np.clip(shown.round(), 0, 255).astype(np.uint8)


def around(x: float, y: float, side: float) -> Box:
    """Give the box with its middle on the pixel (x, y), whose own middle is half a pixel further."""
    return Box(x + 0.5 - side / 2, y + 0.5 - side / 2, side, side)


def start(image: np.ndarray, box: Box, adapt_scale: bool = False, seed: int = 0) -> Mosse:
    return Mosse(image, box, rng=np.random.default_rng(seed), adapt_scale=adapt_scale)


@pytest.mark.parametrize("side", [48, 100, 190])
def test_follows_a_translation_to_a_fraction_of_a_pixel(texture, side):
    place = [(240 + 0.3 * side * np.sin(i / 7), 180 + 0.2 * side * np.sin(i / 5)) for i in range(60)]
    tracker = start(view(texture, *place[0]), around(*place[0], side))
    errors = []
    for x, y in place[1:]:
        image = view(texture, x, y)
        box, _ = tracker.locate(image)
        tracker.learn(image)
        errors.append(np.subtract(centre(box), (x + 0.5, y + 0.5)))
    pixel = side / SIDE  # of the filter's window, in pixels of the frame
    assert np.abs(errors).max() < 0.25 * max(1, pixel)
    assert np.diff(errors, axis=0).std() < 0.08 * max(1, pixel)  # what becomes jitter of the landmarks


def test_a_moved_start_moves_the_answer_alike(texture):
    """The box keeps its offset to the picture, whatever fraction of a pixel it starts at."""
    image, shifted = view(texture, 240, 180), view(texture, 243.4, 178.2)
    for fraction in (0.0, 0.25, 0.5, 0.75):
        tracker = start(image, around(240 + fraction, 180 - fraction, 120))
        x, y = centre(tracker.locate(shifted)[0])
        assert (x, y) == pytest.approx((243.9 + fraction, 178.7 - fraction), abs=0.15)


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_adaptive_scale_follows_growing_and_shrinking(factor):
    n, side = 60, 90 / np.sqrt(factor)
    first = scene((360, 480), (astronaut(), 240, 180, side))
    adaptive, fixed = (start(first, around(240, 180, side), adapt) for adapt in (True, False))
    for i in range(1, n + 1):
        image = scene((360, 480), (astronaut(), 240, 180, side * factor ** (i / n)), noise=i)
        for tracker in (adaptive, fixed):
            assert tracker.locate(image)[1] > 10
            tracker.learn(image)
    assert adaptive.box.w == pytest.approx(side * factor, rel=0.03)
    assert adaptive.box.w == pytest.approx(adaptive.box.h)
    assert centre(adaptive.box) == pytest.approx((240.5, 180.5), abs=0.03 * side * factor)
    assert (fixed.box.w, fixed.box.h) == (side, side)


def test_adaptive_scale_does_not_wander_where_nothing_grows():
    place = [(240 + 25 * np.sin(i / 9), 180 + 10 * np.sin(i / 4)) for i in range(120)]
    tracker = start(scene((360, 480), (astronaut(), *place[0], 90)), around(*place[0], 90), adapt_scale=True)
    for i, (x, y) in enumerate(place[1:]):
        image = scene((360, 480), (astronaut(), x, y, 90), noise=i + 1)
        tracker.locate(image)
        tracker.learn(image)
        assert tracker.box.w == pytest.approx(90, rel=0.02)


def test_psr_falls_when_the_face_is_covered():
    def shown(i: int) -> np.ndarray:
        return scene((240, 320), (astronaut(), 150 + i, 120, 90), noise=i + 1)

    tracker = start(shown(0), around(150, 120, 90))
    seen = []
    for i in range(1, 10):
        seen.append(tracker.locate(shown(i))[1])
        tracker.learn(shown(i))
    covered = shown(10)
    covered[60:180, 90:230] = 128
    gone = scene((240, 320), noise=3)
    for image in (covered, gone):
        tracker_box = tracker.box
        assert tracker.locate(image)[1] < 8 < min(seen)
        tracker.box = tracker_box


def test_psr_by_hand():
    response = np.random.default_rng(1).normal(size=(SIDE, SIDE)).astype(np.float32)
    response[30, 3] = 40
    rows, cols = np.mgrid[:SIDE, :SIDE]
    side_lobe = response[(np.abs(rows - 30) > 5) | (np.abs(cols - 3) > 5)]
    assert _psr(response, 30, 3) == pytest.approx((40 - side_lobe.mean()) / side_lobe.std(), rel=1e-4)


def test_seed_decides(texture):
    def run(seed: int) -> list[Box]:
        tracker = start(view(texture, 240, 180), around(240, 180, 100), True, seed)
        boxes = []
        for i in range(5):
            tracker.locate(view(texture, 240 + i, 180))
            boxes.append(tracker.learn(view(texture, 240 + i, 180)))
        return boxes

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_box_over_the_edge_of_the_frame(texture):
    tracker = start(view(texture, 20, 180), around(20, 180, 100))
    x, _ = centre(tracker.locate(view(texture, 14, 180))[0])
    assert x == pytest.approx(14.5, abs=1)


def test_learning_is_what_changes_the_filter(texture):
    image = view(texture, 240, 180)
    tracker = start(image, around(240, 180, 100))
    psr = [tracker.locate(image)[1] for _ in range(3)]
    assert psr[0] == pytest.approx(psr[2], rel=0.02)
    for _ in range(5):
        tracker.learn(image)
    assert tracker.locate(image)[1] > 1.1 * psr[0]
