"""One picture of a video's face path: a few frames with box and landmarks, the tracker's PSR, the states.

Drawn with OpenCV alone, out of frames that are decoded anyway: a sheet costs a job some hundredths of a second,
and memory for its small pictures only.
"""

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeemo.files import replacing
from fakeemo.video import Frame

Colour = tuple[int, int, int]  # blue, green, red

INK: Colour = (43, 38, 34)
WHITE: Colour = (255, 255, 255)
POINTS: Colour = (66, 228, 240)
# After Okabe & Ito: told apart under all common colour blindness, and bright enough to stand on a picture.
STATES: dict[str, Colour] = {
    "absent": (160, 150, 140),
    "detected": (115, 158, 0),
    "tracked": (233, 180, 86),
    "redetected": (66, 228, 240),
    "lost": (0, 94, 213),
}

N_FRAMES = 12  # thumbnails on a sheet
_SIDE = 240  # of a thumbnail, px
_SURROUNDING = 2.0  # how many sides of the face's box a thumbnail shows
_COLUMNS, _GAP, _MARGIN, _TOP, _CAPTION = 6, 8, 24, 92, 48  # all but the first in px
_WIDTH = 2 * _MARGIN + _COLUMNS * (_SIDE + _GAP) - _GAP
_MUTED: Colour = (122, 112, 105)
_RULE: Colour = (222, 217, 213)
_SHIFT = 4  # OpenCV draws at fractions of a pixel: whole numbers of 1/16


class Thumbnail(NamedTuple):
    """A square cut out of a grey frame: (240, 240) pixels, its left upper corner in the frame, and its scale."""

    image: NDArray[np.uint8]
    x: float
    y: float
    zoom: float  # pixels of the thumbnail for one of the frame


def chosen_rows(n_frames: int) -> list[int]:
    """Choose the frames that a sheet shows: the first, the last, and some evenly between, or all of a few."""
    return [round(row) for row in np.linspace(0, n_frames - 1, min(N_FRAMES, n_frames))]


def keep_thumbnails(
    frames: Iterable[Frame], boxes: NDArray[np.float64], thumbnails: dict[int, Thumbnail]
) -> Iterator[Frame]:
    """Pass grey ``frames`` on, and put what the sheet will show of them into ``thumbnails``, by row.

    ``boxes`` (frames, 4) are x, y, w, h of the face. A frame without one (NaN) is shown whole.
    """
    chosen = set(chosen_rows(len(boxes)))
    for row, frame in enumerate(frames):
        if row in chosen:
            thumbnails[row] = _thumbnail(frame.image, boxes[row])
        yield frame


def write_contact_sheet(
    path: str | Path,
    table: Mapping[str, NDArray[Any]],
    header: Mapping[str, Any],
    *,
    video_id: str,
    points: NDArray[np.float32],
    thumbnails: Mapping[int, Thumbnail],
) -> None:
    """Write the sheet of a video as a JPEG picture.

    Args:
        path: the picture.
        table: the video's face boxes, as :func:`fakeemo.tracking.track_video` writes them.
        header: of that table. If its status is not "ok", the sheet says so, and why.
        video_id: the sample's id, which stands above all.
        points: landmarks, (2, 68, frames), in pixels of the frame; NaN where there is no face.
        thumbnails: from :func:`keep_thumbnails`.
    """
    if header["status"] == "ok":
        sheet = _sheet(table, header["parameters"]["psr_threshold"], video_id, points, thumbnails)
    else:
        sheet = _bad_sheet(video_id, header["status"], header["reason"])
    # Colours in full resolution: the marks are one or two pixels wide.
    full = cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    _, jpeg = cv2.imencode(".jpg", sheet, (cv2.IMWRITE_JPEG_QUALITY, 85, *full))
    with replacing(path) as temporary:
        temporary.write_bytes(jpeg.tobytes())


def draw_face(image: NDArray[np.uint8], state: str, box: NDArray[np.floating], points: NDArray[np.floating]) -> None:
    """Draw a face's box (x, y, w, h) in the colour of its state, and its landmarks (68, 2), into a BGR picture.

    All in pixels, whole numbers being the middles of pixels in ``points`` and their edges in ``box``.
    """
    radius = max(1.3, box[2] / 90)
    left, top, right, bottom = np.round([*box[:2], *(box[:2] + box[2:])]).astype(int).tolist()
    cv2.rectangle(image, (left, top), (right - 1, bottom - 1), STATES[state], max(2, round(radius)))
    for point in points:
        cv2.circle(image, _fixed(point), round(radius * 2**_SHIFT), POINTS, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def draw_text(
    image: NDArray[np.uint8],
    text: str,
    at: tuple[float, float],
    colour: Colour = INK,
    size: float = 0.5,
    weight: int = 1,
    align: float = 0.0,
    room: float = np.inf,
) -> None:
    """Write a line of text into a BGR picture; size 0.5 has capitals of 11 px.

    ``at`` is a point of the base line: its left end with ``align`` 0, its right end with 1. Text wider than ``room``
    pixels is written smaller. OpenCV's font has ASCII characters only; others become question marks.
    """
    text = text.encode("ascii", "replace").decode()
    (length, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, weight)
    if length > room:
        size *= 0.98 * room / length
        (length, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, weight)
    place = round(at[0] - align * length), round(at[1])
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, weight, cv2.LINE_AA)


def number(value: float) -> str:
    """Give a measured number with one decimal, or a dash where there is none."""
    return f"{value:.1f}" if np.isfinite(value) else "-"


def _thumbnail(image: NDArray[np.uint8], box: NDArray[np.float64]) -> Thumbnail:
    """Cut the face with its surrounding out of a frame; grey where that goes beyond the frame."""
    height, width = image.shape
    if np.isfinite(box).all():
        side = _SURROUNDING * box[2:].max()
        middle = box[:2] + box[2:] / 2
    else:
        side = float(max(image.shape))
        middle = np.array((width, height)) / 2
    x, y = np.floor(middle - side / 2).astype(int).tolist()
    side = round(side)
    inside = image[max(0, y) : max(0, y + side), max(0, x) : max(0, x + side)]
    zoom = _SIDE / side
    small = np.full((_SIDE, _SIDE), 236, np.uint8)
    left, top = round(max(0, -x) * zoom), round(max(0, -y) * zoom)
    size = min(_SIDE - left, round(inside.shape[1] * zoom)), min(_SIDE - top, round(inside.shape[0] * zoom))
    if min(size) > 0:
        method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
        small[top : top + size[1], left : left + size[0]] = cv2.resize(inside, size, interpolation=method)
    return Thumbnail(small, x, y, zoom)


def _sheet(
    table: Mapping[str, NDArray[Any]],
    threshold: float,
    video_id: str,
    points: NDArray[np.float32],
    thumbnails: Mapping[int, Thumbnail],
) -> NDArray[np.uint8]:
    n_rows = -(-len(thumbnails) // _COLUMNS)
    bottom = _TOP + n_rows * (_SIDE + _CAPTION)
    sheet = np.full((bottom + 250, _WIDTH, 3), 255, np.uint8)
    states, psr = table["state"], table["psr"]
    has_face = np.isfinite(table["x"])
    draw_text(sheet, video_id, (_MARGIN, 42), size=0.9, weight=2, room=_WIDTH - 2 * _MARGIN)
    facts = [
        "ok",
        f"{len(states)} frames",
        f"{table['timestamp'][-1] - table['timestamp'][0]:.2f} s",
        f"a face in {100 * has_face.mean():.0f} % of the frames",
        f"lowest PSR {number(np.nanmin(psr, initial=np.inf))}",
    ]
    draw_text(sheet, ",  ".join(facts), (_MARGIN, 72), _MUTED, 0.55)
    for place, (row, thumbnail) in enumerate(sorted(thumbnails.items())):
        x, y = _corner(place)
        box = np.array([table[name][row] for name in "xywh"], np.float64)
        sheet[y : y + _SIDE, x : x + _SIDE] = _picture(thumbnail, states[row], box, points[:, :, row].T)
        draw_text(sheet, f"frame {table['frame'][row]}", (x, y + _SIDE + 17), size=0.45)
        draw_text(sheet, f"{table['timestamp'][row]:.2f} s", (x + _SIDE, y + _SIDE + 17), size=0.45, align=1)
        cv2.rectangle(sheet, (x, y + _SIDE + 25), (x + 9, y + _SIDE + 34), STATES[states[row]], cv2.FILLED)
        draw_text(sheet, states[row], (x + 15, y + _SIDE + 34), _MUTED, 0.45)
        draw_text(sheet, f"PSR {number(psr[row])}", (x + _SIDE, y + _SIDE + 34), _MUTED, 0.45, align=1)
    _draw_course(sheet, bottom + 26, table, threshold, sorted(thumbnails))
    return sheet


def _corner(place: int) -> tuple[int, int]:
    return _MARGIN + place % _COLUMNS * (_SIDE + _GAP), _TOP + place // _COLUMNS * (_SIDE + _CAPTION)


def _picture(
    thumbnail: Thumbnail, state: str, box: NDArray[np.float64], points: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Give a thumbnail in colour with its marks; one without a face in a frame, with the state written across."""
    picture = np.repeat(thumbnail.image[:, :, None], 3, axis=2)
    corner = np.array((thumbnail.x, thumbnail.y))
    if np.isfinite(box).all():
        box = np.concatenate([box[:2] - corner, box[2:]]) * thumbnail.zoom
        draw_face(picture, state, box, (points - corner + 0.5) * thumbnail.zoom - 0.5)
    else:
        cv2.rectangle(picture, (1, 1), (_SIDE - 2, _SIDE - 2), STATES[state], 3)
        cv2.rectangle(picture, (0, _SIDE - 30), (_SIDE - 1, _SIDE - 1), STATES[state], cv2.FILLED)
        draw_text(picture, state, (10, _SIDE - 10), WHITE if state == "lost" else INK, 0.6)
    return picture


def _draw_course(
    sheet: NDArray[np.uint8], top: int, table: Mapping[str, NDArray[Any]], threshold: float, shown: list[int]
) -> None:
    """Draw PSR and states over the time of the clip, with triangles above the frames that are shown."""
    times, psr, states = table["timestamp"], table["psr"], table["state"]
    left, right, bottom, strip = _MARGIN + 34, _WIDTH - _MARGIN, top + 130, 18
    period = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    edges = left + (right - left) * (np.append(times, times[-1] + period) - times[0]) / (times[-1] + period - times[0])
    middles = (edges[:-1] + edges[1:]) / 2
    # Logarithmic: a good track has a PSR of 20 to 200, and what matters happens about a threshold of 8.
    low, high = np.log(max(1, threshold / 4)), np.log(max(2 * threshold, 1.1 * float(np.nanmax(psr, initial=8))))

    def height(value: Any) -> Any:
        return bottom - (bottom - top) * (np.log(np.maximum(value, np.exp(low))) - low) / (high - low)

    for row in shown:
        tip = round(middles[row]), top - 7
        cv2.drawMarker(sheet, tip, _MUTED, cv2.MARKER_TRIANGLE_DOWN, 9, 1, cv2.LINE_AA)
    for level in (1, 3, 10, 30, 100, 300, 1000):
        if low <= np.log(level) <= high:
            _line(sheet, (left, height(level)), (right, height(level)), _RULE)
            draw_text(sheet, f"{level}", (left - 6, height(level) + 4), _MUTED, 0.4, align=1)
    draw_text(sheet, "PSR", (_MARGIN, top - 10), size=0.45)
    for x in range(left, right, 10):
        _line(sheet, (x, height(threshold)), (min(right, x + 6), height(threshold)), STATES["lost"])
    draw_text(sheet, f"threshold {threshold:g}", (right, height(threshold) + 14), STATES["lost"], 0.42, align=1)
    for start, end in _runs(np.isfinite(psr)):
        if np.isfinite(psr[start]):
            curve = np.stack([middles[start:end], height(psr[start:end])], axis=1)
            corners = np.round(curve * 2**_SHIFT).astype(np.int32)
            cv2.polylines(sheet, [corners], False, INK, 1, cv2.LINE_AA, _SHIFT)

    # Longer stretches first, and none under 3 px: one frame in thousands must be seen. A face lost grows to the left,
    # since the one found again stands at its right.
    for start, end in sorted(_runs(states), key=lambda run: run[0] - run[1]):
        first, last = round(edges[start]), round(edges[end])
        if states[start] in ("absent", "lost"):
            first = max(left, min(first, last - 3))
        else:
            last = min(right, max(last, first + 3))
        cv2.rectangle(sheet, (first, bottom + 6), (last - 1, bottom + 6 + strip), STATES[states[start]], cv2.FILLED)
    for second in _ticks(times[0], times[-1]):
        at = left + (second - times[0]) / (times[-1] + period - times[0]) * (right - left)
        _line(sheet, (at, bottom + 6 + strip), (at, bottom + 10 + strip), _MUTED)
        draw_text(sheet, f"{second:g} s", (at, bottom + 24 + strip), _MUTED, 0.4, align=0.5)
    y = bottom + strip + 52
    for i, (state, colour) in enumerate(STATES.items()):
        x = left + 190 * i
        cv2.rectangle(sheet, (x, y - 11), (x + 14, y), colour, cv2.FILLED)
        draw_text(sheet, f"{state}: {np.sum(states == state)}", (x + 20, y), size=0.45)
    draw_text(sheet, "triangles: the frames above", (right, y), _MUTED, 0.45, align=1)


def _bad_sheet(video_id: str, status: str, reason: str) -> NDArray[np.uint8]:
    lines = textwrap.wrap(reason, 120)
    sheet = np.full((130 + 30 * len(lines), _WIDTH, 3), 255, np.uint8)
    sheet[:, :8] = STATES["lost"]
    draw_text(sheet, video_id, (_MARGIN, 42), size=0.9, weight=2, room=_WIDTH - 2 * _MARGIN)
    draw_text(sheet, status, (_MARGIN, 84), STATES["lost"], 0.8, 2)
    for i, line in enumerate(lines):
        draw_text(sheet, line, (_MARGIN, 120 + 30 * i), size=0.62)
    return sheet


def _runs(values: NDArray[Any]) -> list[tuple[int, int]]:
    """Give begin and end of each stretch of equal values."""
    borders = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    return list(pairwise(borders))


def _ticks(first: float, last: float) -> NDArray[np.float64]:
    """Give some 5 to 10 round times from ``first`` to ``last``, evenly apart."""
    raw = max(last - first, 1e-3) / 10
    power = 10 ** np.floor(np.log10(raw))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= raw)
    ticks: NDArray[np.float64] = np.arange(np.ceil(first / step), np.floor(last / step) + 1) * step
    return ticks


def _line(image: NDArray[np.uint8], a: tuple[float, float], b: tuple[float, float], colour: Colour) -> None:
    cv2.line(image, (round(a[0]), round(a[1])), (round(b[0]), round(b[1])), colour, 1)


def _fixed(point: NDArray[np.floating]) -> tuple[int, int]:
    x, y = np.round(point * 2**_SHIFT).astype(int).tolist()
    return x, y
