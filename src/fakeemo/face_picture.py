"""A small grey picture of the face in a video's first frame with one, by which videos of one person are found.

It is cut out while the frames are decoded for the landmarks anyway.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeemo.errors import FakeemoError
from fakeemo.files import replacing
from fakeemo.video import Frame

SIDE = 128  # px, of the square picture
_NO_FACE = np.full((SIDE, SIDE), 128, np.uint8)


def keep_first_face(
    frames: Iterable[Frame], boxes: NDArray[np.float64], kept: list[NDArray[np.uint8]]
) -> Iterator[Frame]:
    """Pass grey ``frames`` on, and put the face of the first that has one into ``kept``.

    ``boxes`` (frames, 4) are x, y, w, h of the face, NaN where there is none.
    """
    has_face = np.isfinite(boxes.sum(axis=1))
    for row, frame in enumerate(frames):
        if not kept and row < len(boxes) and has_face[row]:
            kept.append(face_crop(frame.image, boxes[row]))
        yield frame


def face_crop(image: NDArray[np.uint8], box: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Cut the box (x, y, w, h) out of a grey image as (128, 128) pixels; beyond the image its edge goes on."""
    x, y, w, h = np.round(box).astype(int)
    rows = np.clip(np.arange(y, y + max(1, h)), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(x, x + max(1, w)), 0, image.shape[1] - 1)
    method = cv2.INTER_AREA if min(w, h) > SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image[np.ix_(rows, columns)], (SIDE, SIDE), interpolation=method), np.uint8)


def write_face(path: str | Path, face: NDArray[np.uint8] | None) -> None:
    """Write a face as a PNG picture; without one, a picture that is grey all over."""
    _, png = cv2.imencode(".png", _NO_FACE if face is None else face)
    with replacing(path) as temporary:
        temporary.write_bytes(png.tobytes())


def read_face(path: str | Path) -> NDArray[np.uint8]:
    """Read what :func:`write_face` wrote. Raises :class:`FakeemoError` if it is no picture of that size."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise FakeemoError(f"{path}: cannot be read ({error.strerror}); delete it and run again") from error
    face = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE) if content else None
    if face is None or face.shape != (SIDE, SIDE):
        raise FakeemoError(f"{path}: not a picture of {SIDE} x {SIDE} pixels; delete it and run again")
    return np.asarray(face, np.uint8)
