"""Render the embedded data set: real MP4 files of synthetic subjects, made from one public-domain photograph.

:mod:`fakeemo.demo_subjects` makes the subjects. An expression is a sum of action units of the Facial Action Coding
System (Ekman, Friesen & Hager 2002), each a smooth displacement of a region of the face, that move in time as
:mod:`fakeemo.demo_dynamics` says. Accuracy on these clips says nothing about people.

Points and distances are in pixels of the photograph (512 x 512, face 90 px wide, x to the right, y down), left and
right are those of the image. Everything follows from the arguments: the same call writes the same bytes (with the
same versions of the libraries).
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fakeemo.demo_dynamics import EMOTIONS, LABELS, REGIONS, DemoSettings, Dynamics, dynamics, random_stream
from fakeemo.demo_subjects import DETAIL, MIRROR, ORIGIN, Image, Map, Subject, displacement, make_subject
from fakeemo.files import replacing
from fakeemo.progress import progress

__all__ = [
    "EMOTIONS",
    "LABELS",
    "DemoSettings",
    "Dynamics",
    "demo_sheet",
    "dynamics",
    "render_clip",
    "render_subject",
    "write_demo",
]

COLUMNS = ("video_id", "path", "subject", "emotion", "label", "split")

FACE = (158, 68, 136, 144)  # the part that expressions move: x, y, width, height

# Action unit: (region, displacements on the left half of the image). A displacement is (points at whose mean it is
# centred, pixels outwards, pixels down, radius); the right half is its mirror image.
ACTION_UNITS: dict[int, tuple[str, tuple[tuple[tuple[int, ...], float, float, float], ...]]] = {
    1: ("brow", (((20, 21), -0.4, -5.2, 8),)),  # inner brow raiser
    2: ("brow", (((18,), 0.0, -4.2, 8),)),  # outer brow raiser
    4: ("brow", (((21,), -2.8, 4.4, 7), ((19,), -0.8, 3.4, 8))),  # brow lowerer
    5: ("eye", (((37, 38), 0.0, -1.7, 5), ((40, 41), 0.0, 0.5, 4))),  # upper lid raiser
    6: ("eye", (((37, 38), 0.0, 1.4, 4), ((40, 41), 0.0, -2.2, 4.5), ((1, 31), 0.4, -3.0, 11))),  # cheek raiser
    7: ("eye", (((37, 38), 0.0, 1.2, 4), ((40, 41), 0.0, -2.2, 4.5))),  # lid tightener
    9: ("mouth", (((31,), 0.8, -4.0, 8), ((21, 39), -0.6, 2.0, 7), ((49, 50), 0.0, -1.9, 9))),  # nose wrinkler
    12: ("mouth", (((48,), 4.2, -4.6, 10), ((2, 31), 0.8, -2.0, 10), ((51, 57), 0.0, -1.0, 9))),  # lip corner puller
    14: ("mouth", (((48,), 4.4, -1.6, 9),)),  # dimpler
    15: ("mouth", (((48,), 0.4, 5.4, 9), ((51, 57), 0.0, -0.6, 8))),  # lip corner depressor
    16: ("mouth", (((58,), 0.0, 2.4, 9),)),  # lower lip depressor
    23: ("mouth", (((48,), -3.6, 0.8, 8), ((50,), -0.3, 1.8, 6), ((58,), -0.3, -3.0, 7))),  # lip tightener
    # jaw drop
    26: ("mouth", (((48,), -2.6, 1.9, 8), ((6,), 0.0, 2.2, 14), ((8,), 0.0, 3.8, 17), ((57,), 0.0, 1.0, 12))),
    45: ("lids", (((37, 38), 0.0, 4.6, 4.2), ((40, 41), 0.0, -0.8, 4))),  # blink
}
LIPS_APART = {16: 1.6, 26: 9.5}  # pixels between the lips at full action
# Emotion: action unit to its strength on the left and the right half of the image.
EXPRESSIONS: dict[str, dict[int, tuple[float, float]]] = {
    "anger": {4: (1, 1), 5: (0.3, 0.3), 7: (1, 1), 23: (1, 1)},
    "contempt": {12: (0.8, 0.05), 14: (1, 0.1)},  # R12+R14: the right half of the face is on the left of the image
    "disgust": {9: (1, 1), 15: (0.4, 0.4), 16: (0.9, 0.9)},
    "happiness": {6: (1, 1), 12: (1, 1)},
    "sadness": {1: (1, 1), 4: (0.4, 0.4), 15: (1, 1)},
    "surprise": {1: (0.9, 0.9), 2: (1, 1), 5: (1, 1), 26: (1, 1)},
}


def demo_sheet(
    n_train: int = 7,
    n_valid: int = 2,
    n_test: int = 3,
    folder: str | Path = "data/demo",
    emotions: Sequence[str] = EMOTIONS,
) -> list[dict[str, str]]:
    """List the clips as rows of a sample sheet: subjects s01, s02, ... in the order train, valid, test."""
    rows = []
    splits = ["train"] * n_train + ["valid"] * n_valid + ["test"] * n_test
    for number, split in enumerate(splits, start=1):
        for emotion in emotions:
            for label in LABELS:
                video_id = f"s{number:02d}_{emotion}_{label}"
                values = (video_id, str(Path(folder) / f"{video_id}.mp4"), f"s{number:02d}", emotion, label, split)
                rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def write_demo(folder: str | Path, settings: DemoSettings, n_train: int = 7, n_valid: int = 2, n_test: int = 3) -> Path:
    """Render every clip into ``folder`` and write ``samples.tsv`` beside them; give the sheet's path."""
    rows = demo_sheet(n_train, n_valid, n_test, folder)
    for subject in dict.fromkeys(row["subject"] for row in rows):
        clips = [(row["path"], row["emotion"], row["label"]) for row in rows if row["subject"] == subject]
        render_subject(subject, clips, settings)
    sheet = Path(folder) / "samples.tsv"
    with replacing(sheet) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return sheet


def render_subject(subject: str, clips: Iterable[tuple[str | Path, str, str]], settings: DemoSettings) -> None:
    """Render the clips ``(path, emotion, label)`` of one subject, with a progress bar."""
    for path, emotion, label in progress(list(clips), f"render {subject}", "clip"):
        render_clip(path, subject, emotion, label, settings)


def render_clip(path: str | Path, subject: str, emotion: str, label: str, settings: DemoSettings) -> None:
    """Render one clip to an MP4 file (H.264, constant frame rate).

    Raises :class:`FakeemoError` for an unknown emotion or label.
    """
    import av

    course = dynamics(subject, emotion, label, settings)
    rng = random_stream(settings.seed, "camera", subject, emotion, LABELS.index(label))
    with replacing(path) as temporary, av.open(str(temporary), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(settings.fps))
        stream.width, stream.height, stream.pix_fmt = settings.width, settings.height, "yuv420p"
        # The bytes depend on the number of threads; and x264's lookahead reads memory it has not written where
        # half the width is no multiple of 16, so that one clip gave other bytes each time.
        stream.codec_context.thread_count = 1
        stream.options = {"preset": "veryfast", "crf": "22", "x264-params": "rc-lookahead=0"}
        for image in _frames(make_subject(subject, settings), emotion, course, settings, rng):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())


def _frames(
    subject: Subject, emotion: str, course: Dynamics, settings: DemoSettings, rng: np.random.Generator
) -> Iterator[Image]:
    """Give the frames of a clip, (height, width, 3) BGR."""
    fields, drivers = _fields(subject, emotion)
    strength = {region: course.activations[:, REGIONS.index(region)] for region in REGIONS}
    strength |= {"lids_left": course.blink, "lids_right": course.blink}
    weights = np.stack([strength[region] * full for region, full in drivers], axis=1).astype(np.float32)
    mouth = (strength["mouth_left"] + strength["mouth_right"]) / 2
    gaps = mouth * sum(LIPS_APART.get(unit, 0) * full[0] for unit, full in EXPRESSIONS[emotion].items())
    poses = _head_motion(subject, course.times, rng)
    grain = _grain(subject.noise, settings, rng)
    shifts = rng.integers(0, 64, size=(len(course.times), 2))

    x, y, w, h = FACE
    left, top = int((x - ORIGIN[0]) * DETAIL), int((y - ORIGIN[1]) * DETAIL)
    size = (w * DETAIL, h * DETAIL)
    columns, rows = (axis.astype(np.float32) for axis in np.meshgrid(np.arange(size[0]), np.arange(size[1])))
    person = subject.texture.copy()
    frame_size = (settings.width, settings.height)
    for weight, gap, pose, (right, down) in zip(weights, gaps, poses, shifts, strict=True):
        moved = np.einsum("f,fp->p", weight, fields).reshape(h, w, 2)
        moved = cv2.resize(moved, size, interpolation=cv2.INTER_LINEAR) * DETAIL
        map_x, map_y = columns - moved[..., 0] + left, rows - moved[..., 1] + top
        inside = _open_lips(subject, map_x, map_y, gap) if gap > 0 else None
        face = cv2.remap(subject.texture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        if inside is not None:
            face = (face + inside[..., None] * (subject.mouth_colour - face)).astype(np.uint8)
        person[top : top + size[1], left : left + size[0]] = face
        front = cv2.warpAffine(person, pose, frame_size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        opacity = cv2.warpAffine(subject.opacity, pose, frame_size, flags=cv2.INTER_LINEAR)
        image = cv2.blendLinear(front, subject.background, opacity, 1 - opacity)
        noise = grain[down : down + settings.height, right : right + settings.width]
        yield np.asarray(cv2.add(image, noise, dtype=cv2.CV_8U), np.uint8)


def _fields(subject: Subject, emotion: str) -> tuple[Map, list[tuple[str, float]]]:
    """Give the displacement fields of an expression, (n, height * width * 2) at one pixel of the photograph.

    The second value names for each field the region (with its side) that drives it, and its full strength.
    """
    x, y, w, h = FACE
    grid = np.stack(np.meshgrid(np.arange(x, x + w) + 0.25, np.arange(y, y + h) + 0.25), axis=-1)
    # The fields end before the edge of the face's part, so that no seam shows.
    fade = np.clip(np.minimum(grid - (x, y), (x + w, y + h) - grid) / 10, 0, 1).min(axis=-1, keepdims=True)
    fields, drivers = [], []
    for unit, strengths in [*EXPRESSIONS[emotion].items(), (45, (1, 1))]:
        region, parts = ACTION_UNITS[unit]
        for side, full in zip(("left", "right"), strengths, strict=True):
            blobs = []
            for points, outwards, down, radius in parts:
                chosen = np.array(points) if side == "left" else MIRROR[list(points)]
                centre = subject.landmarks[chosen].mean(axis=0) + np.array((0, down / 2))
                blobs.append((*centre, -outwards if side == "left" else outwards, down, radius))
            fields.append((displacement(grid, blobs) * fade).astype(np.float32).ravel())
            drivers.append((f"{region}_{side}", full))
    return np.stack(fields), drivers


def _open_lips(subject: Subject, map_x: Map, map_y: Map, gap: float) -> Map:
    """Part the lips by ``gap`` pixels in the map of the face, in place; give the share of mouth interior."""
    line = (subject.lip_line - ORIGIN) * DETAIL
    middle, half = line[:, 0].mean(), np.ptp(line[:, 0]) / 2
    share = np.clip(1 - ((map_x - middle) / half) ** 2, 0, 1) ** 0.7
    below_line = map_y - np.interp(map_x, line[:, 0], line[:, 1]).astype(np.float32)
    edge = (gap * DETAIL / 2 * share).astype(np.float32)
    inside = np.clip(edge - np.abs(below_line) + 0.5, 0, 1) * (edge > 0.3)
    # Beyond the edge, what lies there comes from the closed lips; the shift fades out within 14 px.
    fading = np.clip(1 - (np.abs(below_line) - edge) / (14 * DETAIL), 0, 1) ** 2
    map_y -= np.sign(below_line) * np.minimum(np.abs(below_line), edge * fading)
    return np.asarray(inside, np.float32)


def _head_motion(subject: Subject, times: npt.NDArray[np.float64], rng: np.random.Generator) -> list[Map]:
    """Give, for each frame, the affine map (2, 3) from texels to frame pixels: slow drift, roll and size."""
    frequency, phase = rng.uniform(0.1, 0.5, size=(2, 4)), rng.uniform(0, 2 * np.pi, size=(2, 4))
    waves = np.sin(2 * np.pi * frequency[..., None] * times + phase[..., None]).mean(axis=0)
    reach = np.array((3.0, 2.2, 0.022, 0.015)) * rng.uniform(0.4, 1.3, size=4)
    lean = rng.normal(0, 0.02)
    middle = (np.array((225.0, 125.0)) - ORIGIN) * DETAIL
    poses = []
    for dx, dy, roll, size in (waves * reach[:, None]).T:
        cos, sin = np.cos(lean + roll), np.sin(lean + roll)
        turn = np.array(((cos, -sin), (sin, cos))) * np.array(subject.scale)[:, None] * (1 + size) / DETAIL
        place = np.array(subject.place) + np.array((dx, dy)) * subject.scale
        poses.append(np.column_stack((turn, place - turn @ middle)).astype(np.float32))
    return poses


def _grain(noise: float, settings: DemoSettings, rng: np.random.Generator) -> npt.NDArray[np.int16]:
    """Give sensor noise, 64 px larger than a frame each way; each frame takes its own part of it."""
    shape = (settings.height + 64, settings.width + 64)
    grey = rng.standard_normal(shape, dtype=np.float32)[..., None]
    colour = rng.standard_normal((*shape, 3), dtype=np.float32)
    return np.asarray(np.rint(noise * (0.9 * grey + 0.45 * colour)), np.int16)
