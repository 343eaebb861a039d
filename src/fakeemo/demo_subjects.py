"""The people of the embedded data set: one photograph, brought to rest, and as many variations of it as wanted.

The photograph is NASA's portrait of Eileen Collins that scikit-image carries (``skimage.data.astronaut``, in the
public domain). It smiles, so it is brought to a neutral face with closed lips first; a subject is a smooth warp of
that, with a skin tone, hair, clothes, light, background, size and place of its own.

Points and distances are in pixels of the photograph (512 x 512, face 90 px wide, x to the right, y down). Left and
right are those of the image.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fakeemo.demo_dynamics import DemoSettings, random_stream
from fakeemo.errors import FakeemoError

Image = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]
Blob = tuple[float, float, float, float, float]  # centre x, centre y, displacement x, displacement y, radius

# dlib's 68 points of the photograph: median of 45 predictions (three scales, five offsets, three box sizes).
LANDMARKS = np.array(
    [
        (179.7, 103.7), (180.0, 115.3), (181.0, 126.5), (182.0, 138.0), (185.0, 150.0), (191.0, 160.0),
        (199.8, 168.5), (209.3, 176.0), (220.5, 178.5), (232.5, 177.0), (243.3, 171.2), (253.5, 163.5),
        (260.7, 154.0), (265.2, 143.0), (268.0, 131.3), (270.5, 120.0), (272.0, 108.0), (186.5, 94.5),
        (192.2, 88.5), (200.8, 87.5), (209.0, 89.0), (216.7, 92.7), (236.0, 94.0), (244.0, 91.0),
        (252.0, 90.7), (260.3, 92.5), (265.5, 98.7), (226.0, 102.5), (225.7, 111.0), (225.5, 119.0),
        (225.3, 127.5), (214.5, 131.3), (219.5, 132.8), (224.5, 134.5), (229.7, 133.3), (234.7, 132.0),
        (195.3, 101.5), (200.7, 98.0), (207.2, 98.7), (212.8, 104.0), (206.5, 104.5), (200.0, 104.0),
        (238.0, 105.5), (243.8, 100.7), (250.2, 100.7), (255.5, 104.5), (250.3, 106.5), (244.0, 106.5),
        (202.5, 139.0), (209.3, 139.5), (218.0, 139.8), (223.5, 141.0), (229.7, 140.2), (237.5, 140.5),
        (244.5, 140.2), (237.7, 151.3), (229.0, 155.5), (222.5, 156.0), (216.2, 155.0), (208.0, 150.0),
        (203.5, 140.7), (217.5, 143.2), (223.3, 144.5), (229.5, 143.7), (242.8, 142.2), (229.2, 150.0),
        (223.0, 150.7), (217.0, 149.7),
    ]
)  # fmt: skip
# For each point the one on the other side of the face.
MIRROR = np.array(
    [
        *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46,
        39, 38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
    ]
)  # fmt: skip
# Edges of the lips along the opening of the smile, read off the photograph at sixteen-fold size: x, upper, lower.
LIPS = np.array(
    [
        (202.5, 138.8, 138.8), (205, 139.8, 142.0), (207, 140.6, 144.0), (210, 141.5, 146.5), (213, 142.0, 148.0),
        (216, 142.6, 149.0), (219, 143.2, 149.3), (222, 143.5, 149.4), (225, 143.6, 149.3), (228, 143.4, 149.3),
        (231, 143.0, 149.0), (234, 142.6, 147.5), (237, 142.0, 145.5), (240, 141.0, 144.0), (243, 140.4, 142.0),
        (244.5, 140.2, 140.2),
    ]
)  # fmt: skip
# Outline of the person, found once with cv2.grabCut.
OUTLINE = np.array(
    [
        (276, 31), (260, 24), (259, 22), (255, 22), (248, 18), (227, 16), (219, 18), (214, 21), (205, 21), (193, 29),
        (189, 35), (174, 43), (156, 58), (153, 68), (155, 98), (157, 104), (167, 115), (170, 116), (170, 121),
        (174, 128), (182, 132), (182, 147), (153, 151), (140, 158), (129, 170), (126, 180), (126, 188), (120, 189),
        (119, 201), (113, 202), (110, 206), (103, 215), (90, 227), (76, 235), (62, 250), (54, 267), (40, 276),
        (40, 339), (360, 339), (360, 328), (356, 302), (352, 286), (347, 282), (340, 262), (319, 243), (303, 233),
        (299, 219), (289, 203), (276, 189), (256, 174), (256, 163), (264, 149), (266, 137), (275, 134), (290, 117),
        (296, 107), (299, 98), (301, 90), (299, 72), (296, 66), (296, 58), (286, 40),
    ]
)  # fmt: skip
FOREHEAD = ((266, 94), (258, 87), (238, 81), (215, 78), (197, 80), (186, 88))
EARS = (
    ((169, 115), (171, 122), (175, 129), (183, 133), (183, 118), (176, 112)),
    ((264, 137), (275, 134), (282, 127), (284, 120), (276, 118), (267, 122)),
)
NECK = ((186, 150), (262, 150), (254, 186), (240, 190), (210, 189), (188, 178))

DETAIL = 2  # texels per pixel of the photograph
ORIGIN = np.array((40.0, 0.0))  # of the texture in the photograph
SIZE = (380, 340)  # of the texture, width and height, in pixels of the photograph


@dataclass(frozen=True)
class Subject:
    """Hold what all clips of a subject share."""

    texture: Image  # (680, 760, 3), neutral face, BGR
    opacity: Map  # (680, 760), 1 on the person
    landmarks: Points  # (68, 2) of the neutral face
    lip_line: Points  # (n, 2) where the closed lips meet
    background: Image  # (height, width, 3)
    scale: tuple[float, float]  # frame pixels per pixel of the photograph
    place: tuple[float, float]  # of the middle of the face, in frame pixels
    noise: float  # standard deviation of the sensor noise, grey levels
    mouth_colour: Points  # (3,) inside the open mouth, BGR


@lru_cache(maxsize=1)
def make_subject(name: str, settings: DemoSettings) -> Subject:
    """Make the subject that belongs to a name: shape, colours, light, background and place."""
    rng = random_stream(settings.seed, "looks", name)
    neutral, landmarks, line = _neutral()
    shape = _face_shape(landmarks, rng)
    grid = _grid()
    texels = ((grid - displacement(grid, shape) - ORIGIN) * DETAIL).astype(np.float32)
    coloured, opacity = (
        cv2.remap(layer, texels[..., 0], texels[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for layer in (_colours(neutral, rng), _mask([OUTLINE], 1.0))
    )
    light = rng.uniform(0.9, 1.12) * rng.uniform(0.94, 1.06, size=3)
    gamma, side = rng.uniform(0.85, 1.15), rng.uniform(-0.35, 0.35)
    shade = 1 + side * np.tanh((grid[..., :1] - 225) / 45)
    scale = settings.height / 300 * rng.uniform(1.3, 1.65)
    return Subject(
        texture=_lit(coloured, light * shade, gamma),
        opacity=np.asarray(opacity, np.float32),
        landmarks=_follow(landmarks, shape),
        lip_line=_follow(line, shape),
        background=_lit(_background(settings, rng), light, gamma),
        scale=(scale * rng.uniform(0.94, 1.06), scale),
        place=(
            settings.width * (0.5 + rng.uniform(-0.08, 0.08)),
            settings.height * (0.54 + rng.uniform(-0.04, 0.04)),
        ),
        noise=rng.uniform(1.5, 3.5),
        mouth_colour=np.array((14.0, 15.0, 34.0)) * light,
    )


def displacement(points: Points, blobs: Iterable[Blob]) -> Points:
    """Sum Gaussian displacements at ``points`` (..., 2)."""
    total = np.zeros_like(points)
    for x, y, dx, dy, radius in blobs:
        share = np.exp(-((points - (x, y)) ** 2).sum(axis=-1) / (2 * radius**2))
        total += share[..., None] * np.array((dx, dy))
    return total


@lru_cache(maxsize=1)
def _neutral() -> tuple[Image, Points, Points]:
    """Bring the smiling portrait to a neutral face with closed lips: texture, landmarks (68, 2), lip line (n, 2)."""
    columns, rows = SIZE[0] * DETAIL, SIZE[1] * DETAIL
    left, top = ORIGIN.astype(int)
    crop = _photograph()[top : top + SIZE[1], left : left + SIZE[0]]
    portrait = cv2.resize(crop, (columns, rows), interpolation=cv2.INTER_CUBIC)

    # The folds beside a smiling mouth, flattened.
    folds = np.zeros((rows, columns), np.float32)
    for fold in (((206, 127), (198, 132), (195.5, 140)), ((241, 126), (247, 132), (250, 140))):
        cv2.polylines(folds, [_texels(fold)], False, 1.0, 7 * DETAIL)
    folds = 0.7 * cv2.GaussianBlur(folds, (0, 0), 2.0 * DETAIL)[..., None]
    portrait = (portrait * (1 - folds) + folds * cv2.GaussianBlur(portrait, (0, 0), 4.0 * DETAIL)).astype(np.uint8)

    # The smile undone: corners in and down, cheeks and lower lids down.
    relax = [
        (204.5, 142.5, 4.6, 6.2, 9.5), (242.5, 143.5, -4.6, 6.2, 9.5),
        (194, 122, 0, 1.5, 9), (258, 124, 0, 1.5, 9), (224, 146, 0, 0.6, 9),
    ]  # fmt: skip
    upper, lower = _follow(LIPS[:, [0, 1]], relax), _follow(LIPS[:, [0, 2]], relax)
    line = np.column_stack((upper[:, 0], 0.6 * upper[:, 1] + 0.4 * lower[:, 1]))

    def closing(points: Points, above: npt.NDArray[np.bool_]) -> Points:
        """Give how far the lips' edge moves to the line where they meet, fading out within 13 px."""
        meet = np.interp(points[..., 0], line[:, 0], line[:, 1])
        edge = [np.interp(points[..., 0], lip[:, 0], lip[:, 1]) for lip in (upper, lower)]
        fading = np.clip(1 - np.abs(points[..., 1] - meet) / 13, 0, 1) ** 2
        return np.stack((np.zeros_like(meet), (meet - np.where(above, *edge)) * fading), axis=-1)

    grid = _grid()
    closed = grid - closing(grid, grid[..., 1] < np.interp(grid[..., 0], line[:, 0], line[:, 1]))
    texels = ((closed - displacement(closed, relax) - ORIGIN) * DETAIL).astype(np.float32)
    face = cv2.remap(portrait, texels[..., 0], texels[..., 1], cv2.INTER_CUBIC)
    seam = np.zeros((rows, columns), np.float32)
    cv2.polylines(seam, [_texels(line)], False, 1.0, 2, cv2.LINE_AA)
    face = (face * (1 - 0.45 * cv2.GaussianBlur(seam, (0, 0), 1.2)[..., None])).astype(np.uint8)

    relaxed = _follow(LANDMARKS, relax)
    above_lips = np.isin(np.arange(68), [*range(55), *range(60, 65)])
    landmarks = relaxed.copy()
    for _ in range(30):
        landmarks = relaxed + closing(landmarks, above_lips)
    return np.asarray(face, np.uint8), landmarks, line


def _photograph() -> Image:
    """Read the portrait, BGR, from its file: ``skimage.data`` takes longer to load than a clip takes to render."""
    spec = find_spec("skimage")
    file = Path(spec.origin or "").parent / "data" / "astronaut.png" if spec else None
    image = cv2.imread(str(file)) if file else None
    if image is None:
        raise FakeemoError("the demo's photograph is missing: install the Python package scikit-image")
    return np.asarray(image, np.uint8)


def _grid() -> Points:
    """Give the position in the photograph of each texel, (rows, columns, 2)."""
    x = np.arange(SIZE[0] * DETAIL) / DETAIL + ORIGIN[0]
    y = np.arange(SIZE[1] * DETAIL) / DETAIL + ORIGIN[1]
    return np.stack(np.meshgrid(x, y), axis=-1)


def _texels(points: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """Turn points of the photograph into whole texels, (n, 1, 2)."""
    return np.asarray(np.rint((np.asarray(points, float) - ORIGIN) * DETAIL), np.int32)[:, None]


def _follow(points: Points, blobs: list[Blob]) -> Points:
    """Find where ``points`` go in a warp that takes the pixel at p from p - displacement(p)."""
    moved = points.astype(float)
    for _ in range(30):
        moved = points + displacement(moved, blobs)
    return moved


def _face_shape(points: Points, rng: np.random.Generator) -> list[Blob]:
    """Draw how a face differs from the portrait, as displacements; ``points`` are the neutral landmarks."""

    def both(left: tuple[int, ...], outwards: float, down: float, radius: float) -> list[Blob]:
        right = points[MIRROR[list(left)]].mean(axis=0)
        return [
            (*points[list(left)].mean(axis=0), -outwards, down, radius),
            (*right, outwards, down, radius),
        ]

    z = np.clip(rng.standard_normal(12), -1.8, 1.8)
    return [
        *both((5,), 2.4 * z[0], 0, 14),  # jaw
        *both((1, 2), 1.8 * z[1], 0, 13),  # cheeks
        *both((36, 39), 1.3 * z[2], 0, 11),  # distance of the eyes
        *both((37, 38), 0, -0.5 * z[3], 4.5),  # opening of the eyes
        *both((19,), 0, -1.3 * z[4], 8),  # height of the brows
        *both((31,), 0.9 * z[5], 0, 6),  # width of the nose
        *both((48,), 1.6 * z[6], 0, 8),  # width of the mouth
        (*points[33], 0, 1.3 * z[7], 9),  # length of the nose
        (*points[66], 0, 1.0 * z[8], 10),  # height of the mouth
        (*points[8], 0, 2.5 * z[9], 16),  # chin
        (225.0, 35.0, 0, 5.0 * z[10], 35),  # hair above
        (162.0, 80.0, -5.0 * z[11], 0, 22),  # and beside
        (294.0, 85.0, 5.0 * z[11], 0, 22),
    ]


def _mask(polygons: Sequence[npt.ArrayLike], softness: float) -> Map:
    """Fill polygons of the photograph with 1 and blur their edge by ``softness`` pixels."""
    mask = np.zeros((SIZE[1] * DETAIL, SIZE[0] * DETAIL), np.float32)
    for polygon in polygons:
        cv2.fillPoly(mask, [_texels(polygon)], 1.0)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), softness * DETAIL), np.float32)


def _colours(face: Image, rng: np.random.Generator) -> Image:
    """Give skin, hair and clothes colours of their own."""
    skin = _mask([[*LANDMARKS[:17], *FOREHEAD], NECK, *EARS], 2.0)
    eyes = _mask([LANDMARKS[36:42], LANDMARKS[42:48]], 1.0)
    skin = (skin * (1 - 0.8 * eyes))[..., None]
    below = np.clip((_grid()[..., 1:] - 150) / 10, 0, 1).astype(np.float32)
    hair = (1 - skin) * (1 - below) * (1 - eyes[..., None])
    clothes = (1 - skin) * below

    depth = rng.beta(1.2, 1.8)
    tone = 1 + depth * (np.array((0.42, 0.50, 0.61)) - 1)
    dye = rng.uniform(0.3, 1.05) * (1 + rng.uniform(-0.25, 0.2) * np.array((1.0, 0.3, -0.6)))
    tinted = face * (1 + skin * (tone - 1)) * (1 + hair * (dye - 1))

    cloth = cv2.cvtColor(face, cv2.COLOR_BGR2HSV).astype(np.float32)
    cloth[..., 0] = (cloth[..., 0] + rng.uniform(0, 180)) % 180
    cloth[..., 1] *= rng.uniform(0.2, 0.9)
    cloth[..., 2] *= rng.uniform(0.5, 1.0)
    cloth_bgr = cv2.cvtColor(cloth.astype(np.uint8), cv2.COLOR_HSV2BGR)
    return np.asarray((tinted + clothes * (cloth_bgr - tinted)).clip(0, 255), np.uint8)


def _lit(image: npt.NDArray[Any], gain: Points, gamma: float) -> Image:
    """Light an image: gain for each channel (and pixel), then gamma."""
    return np.asarray((255 * (image / 255 * gain).clip(0, 1) ** gamma).round(), np.uint8)


def _background(settings: DemoSettings, rng: np.random.Generator) -> Image:
    """Draw a blurred room: wall with mottling, and panels, stripes, lamps or nothing before it."""
    width, height = settings.width, settings.height
    colour = rng.uniform(60, 200) * (1 + rng.uniform(-0.25, 0.25, size=3))
    wall = np.zeros((height, width, 1), np.float32)
    for cells, depth in ((3, 0.18), (8, 0.08), (24, 0.04)):
        patches = rng.standard_normal((cells, cells), dtype=np.float32)
        wall[..., 0] += depth * cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)
    image = (colour * (1 + wall)).astype(np.float32)
    kind = rng.choice(("wall", "panels", "stripes", "lamps"))
    if kind == "panels":
        for _ in range(12):
            x, y = rng.uniform(-0.1, 1, size=2) * (width, height)
            w, h = rng.uniform(0.08, 0.3, size=2) * width
            corner = (int(x + w), int(y + h))
            cv2.rectangle(image, (int(x), int(y)), corner, (colour * rng.uniform(0.5, 1.4)).tolist(), -1)
    if kind == "stripes":
        wave = np.sin(np.arange(width) * 2 * np.pi / (width * rng.uniform(0.04, 0.12)) + rng.uniform(0, 6))
        image *= 1 + 0.18 * wave[None, :, None].astype(np.float32)
    if kind == "lamps":
        for _ in range(14):
            centre = rng.uniform(0, 1, size=2) * (width, height)
            glow = (colour * rng.uniform(1.1, 1.7)).tolist()
            cv2.circle(image, tuple(int(c) for c in centre), int(width * rng.uniform(0.02, 0.06)), glow, -1)
    blurred = cv2.GaussianBlur(image, (0, 0), width * rng.uniform(0.008, 0.02))
    return np.asarray(blurred.clip(0, 255), np.uint8)
