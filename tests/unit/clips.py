"""Video files for the tests, encoded with PyAV: real faces that move in known ways, in many kinds of file.

The faces are those that scikit-image carries: NASA's portrait of Eileen Collins, and small faces from LFW.
"""

import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
import skimage.data

DATA = Path(__file__).parent / "data"
Person = tuple[np.ndarray, float, float, float]  # picture; x, y of the middle of its face; width of its Haar box


@lru_cache
def astronaut() -> Person:
    picture = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2GRAY)
    return picture[:240, 100:350], 124.0, 113.0, 98.0


@lru_cache
def stranger(number: int = 0) -> Person:
    """Give one of the 100 people of scikit-image's LFW subset: 25 x 25 pixels, enlarged."""
    small = (skimage.data.lfw_subset()[number] * 255).astype(np.uint8)
    return cv2.resize(small, (100, 100), interpolation=cv2.INTER_CUBIC), 50.0, 46.0, 94.0


def scene(shape: tuple[int, int], *faces: tuple[Person, float, float, float], noise: int = 0) -> np.ndarray:
    """Draw ``(person, x, y, side)`` with the middle of the face at (x, y), in pixels, over a soft background."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(60, 200, (6, 8), dtype=np.uint8)
    image = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    for (picture, face_x, face_y, face_side), x, y, side in faces:
        zoom = side / face_side
        to_frame = np.array([[zoom, 0, x - zoom * face_x], [0, zoom, y - zoom * face_y]])
        cv2.warpAffine(
            picture, to_frame, shape[::-1], dst=image, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_TRANSPARENT
        )
    if noise:
        image = np.clip(image + np.random.default_rng(noise).normal(0, 3, shape), 0, 255).astype(np.uint8)
    return image


def moving(n_frames: int = 12, shape: tuple[int, int] = (120, 160)) -> list[np.ndarray]:
    """Draw a face that drifts to the right by 1.5 px a frame."""
    height, width = shape
    return [scene(shape, (astronaut(), 0.45 * width + 1.5 * i, height / 2, height / 2)) for i in range(n_frames)]


def encode(
    path: Path,
    images: Iterable[np.ndarray],
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    *,
    rate: int = 25,
    pts_ms: Sequence[int] | None = None,
    rotation: int = 0,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    audio: bool = False,
    full_range: bool = False,
) -> Path:
    """Write grey images as a video.

    ``pts_ms`` gives the frames' times, ``rotation`` the counter-clockwise turn of the display matrix.
    """
    full = full_range or pix_fmt.startswith(("yuvj", "gray"))
    with av.open(str(path), "w", options=container or {}) as out:
        stream = out.add_stream(codec, rate=rate, options=options or {})
        sound = out.add_stream("aac", rate=16000) if audio else None
        for i, image in enumerate(images):
            if i == 0:
                stream.height, stream.width = image.shape
                stream.pix_fmt = pix_fmt
                stream.codec_context.color_range = 2 if full else 1
                if rotation:
                    stream.set_display_rotation(rotation)
                if pts_ms is not None:
                    stream.codec_context.time_base = Fraction(1, 1000)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="gray")
            frame.color_range = 2
            frame = frame.reformat(format=pix_fmt, src_color_range=2, dst_color_range=2 if full else 1)
            frame.color_range = 2 if full else 1
            if pts_ms is not None:
                frame.pts, frame.time_base = pts_ms[i], Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        if sound is not None:
            _encode_tone(out, sound)
    if codec == "libsvtav1" and hasattr(os, "sched_setscheduler"):
        # Run by root, SVT-AV1 makes its caller a real-time process, and so all that the tests start afterwards.
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return path


def _encode_tone(out: av.container.OutputContainer, stream: av.AudioStream) -> None:
    wave = (8000 * np.sin(np.arange(8192) / 6)).astype(np.int16)[None]
    for start in range(0, 8192, 1024):
        frame = av.AudioFrame.from_ndarray(wave[:, start : start + 1024], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 16000, start
        out.mux(stream.encode(frame))
    out.mux(stream.encode())


class Case(NamedTuple):
    """A video file: how to make it in a folder, and what must come out of it.

    ``frames`` are the upright grey frames of a good file, ``times`` their timestamps in seconds. A bad one gives
    a VideoError of ``status`` with ``part`` in its reason, after ``n_frames`` frames (None: after some).
    """

    name: str
    make: Callable[[Path], Path]
    frames: Callable[[], list[np.ndarray]] = moving
    times: list[float] | None = None
    status: str = "ok"
    part: str = ""
    n_frames: int | None = None


def _good(name: str, file: str, *args: str, **kwargs: object) -> Case:
    return Case(name, lambda folder: encode(folder / file, moving(), *args, **kwargs))


def _turned(degrees: int) -> Case:
    """Store frames turned clockwise, with a display matrix that turns them back counter-clockwise."""

    def make(folder: Path) -> Path:
        turned = [np.rot90(image, -degrees // 90) for image in moving()]
        return encode(folder / "turned.mp4", turned, rotation=degrees)

    return Case(f"rotation {degrees}", make)


_ODD = (121, 163)
_IRREGULAR = [0, 40, 60, 200, 240, 250, 400, 1000, 1040, 1080, 1090, 1100]
_X265 = {"x265-params": "log-level=none"}
_FAST_AV1 = {"preset": "12"}
_FAST_VP9 = {"deadline": "realtime", "cpu-used": "8"}

GOOD = [
    _good("H.264 mp4", "a.mp4"),
    _good("H.264 full range", "a.mp4", pix_fmt="yuvj420p"),
    _good("H.264 4:2:2", "a.mkv", pix_fmt="yuv422p"),
    _good("H.264 4:4:4", "a.mp4", pix_fmt="yuv444p"),
    _good("H.264 10 bit", "a.mp4", pix_fmt="yuv420p10le"),
    _good("H.264 grey", "a.mp4", pix_fmt="gray"),
    _good("H.264 10 bit grey", "a.mp4", pix_fmt="gray10le"),
    _good("H.264 fragmented mp4", "a.mp4", container={"movflags": "frag_keyframe+empty_moov"}),
    _good("H.264 mov with sound", "a.mov", audio=True),
    _good("H.264 transport stream", "a.ts"),
    _good("H.264 flv", "a.flv"),
    _good("HEVC mp4", "a.mp4", "libx265", options=_X265),
    _good("HEVC 10 bit mov", "a.mov", "libx265", "yuv420p10le", options=_X265),
    _good("HEVC grey", "a.mp4", "libx265", "gray", options=_X265),
    _good("HEVC 12 bit 4:2:2", "a.mkv", "libx265", "yuv422p12le", options=_X265),
    _good("VP8 webm", "a.webm", "libvpx", options=_FAST_VP9 | {"crf": "10", "b": "2M"}),
    _good("VP9 webm", "a.webm", "libvpx-vp9", options=_FAST_VP9),
    # PyAV's libvpx encodes 8 bits only. Made once from moving(): ffmpeg -i GREY -c:v libvpx-vp9 -profile:v 2
    # -pix_fmt yuv420p10le -color_range tv -b:v 0 -crf 30.
    Case("VP9 10 bit webm", lambda folder: Path(shutil.copy(DATA / "vp9_10bit.webm", folder))),
    _good("AV1 mp4", "a.mp4", "libsvtav1", options=_FAST_AV1),
    _good("AV1 10 bit webm", "a.webm", "libsvtav1", "yuv420p10le", options=_FAST_AV1),
    _good("MJPEG avi", "a.avi", "mjpeg", "yuvj420p", options={"b": "8M"}),
    _good("MPEG-4 avi", "a.avi", "mpeg4", options={"b": "2M"}),
    _good("MPEG-2 mpg", "a.mpg", "mpeg2video", options={"b": "2M"}),
    _good("ProRes mov", "a.mov", "prores_ks", "yuv422p10le"),
    _good("FFV1 RGB", "a.mkv", "ffv1", "bgr0", full_range=True),
    _good("FFV1 16 bit grey", "a.mkv", "ffv1", "gray16le"),
    _good("raw BGR avi", "a.avi", "rawvideo", "bgr24", full_range=True),
    _good("PNG mov", "a.mov", "png", "rgb24", full_range=True),
    _turned(90),
    _turned(180),
    _turned(-90),
    _good("name with colon, blanks, accents and percent sign", "12:30 prise é %03d's.mp4"),
    Case(
        "variable frame rate",
        lambda folder: encode(folder / "a.mkv", moving(), pts_ms=_IRREGULAR),
        times=[t / 1000 for t in _IRREGULAR],
    ),
    Case(
        "variable frame rate mp4",
        lambda folder: encode(folder / "a.mp4", moving(), pts_ms=[500 + t for t in _IRREGULAR]),
        times=[t / 1000 for t in _IRREGULAR],
    ),
    Case(
        "odd size 4:4:4",
        lambda folder: encode(folder / "a.mp4", moving(shape=_ODD), pix_fmt="yuv444p"),
        lambda: moving(shape=_ODD),
    ),
    Case(
        "odd size 4:2:0",
        lambda folder: encode(folder / "a.webm", moving(shape=_ODD), "libvpx-vp9", options=_FAST_VP9),
        lambda: moving(shape=_ODD),
    ),
    Case("100 fps", lambda folder: encode(folder / "a.mp4", moving(), rate=100), times=[i / 100 for i in range(12)]),
    Case(
        "4K",
        lambda folder: encode(folder / "a.avi", moving(2, (2160, 3840)), "mjpeg", "yuvj420p", options={"b": "200M"}),
        lambda: moving(2, (2160, 3840)),
    ),
    Case("one frame", lambda folder: encode(folder / "a.mp4", moving(1)), lambda: moving(1), [0.0]),
]


def _nothing() -> list[np.ndarray]:
    return []


def _written(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def _cut(share: float, file: str, *args: str, **kwargs: object) -> Callable[[Path], Path]:
    """Keep the first part of a file."""

    def make(folder: Path) -> Path:
        path = encode(folder / file, moving(60), *args, **kwargs)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        return path

    return make


def _joined(folder: Path) -> Path:
    """Put a clip of another size behind the first, as some recorders do."""
    small, large = encode(folder / "1.ts", moving()), encode(folder / "2.ts", moving(shape=(240, 320)))
    (folder / "a.ts").write_bytes(small.read_bytes() + large.read_bytes())
    return folder / "a.ts"


def _damaged(folder: Path) -> Path:
    """Overwrite the middle of a file whose frames each stand for themselves."""
    path = encode(folder / "a.mov", moving(60), "png", "rgb24", full_range=True)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20000] = bytes(20000)
    path.write_bytes(content)
    return path


def _empty_frames(folder: Path) -> Path:
    """Overwrite all frames, and leave the index as it is."""
    path = encode(folder / "a.mp4", moving(), container=_FAST_START)
    content = path.read_bytes()
    begin = content.index(b"mdat") + 4
    path.write_bytes(content[:begin] + bytes(len(content) - begin))
    return path


def _only_sound(folder: Path, cover: bool = False) -> Path:
    with av.open(str(folder / "a.mp4"), "w") as out:
        sound = out.add_stream("aac", rate=16000)
        if cover:
            picture = out.add_stream("png", rate=1)
            picture.width, picture.height, picture.pix_fmt = 32, 32, "rgb24"
            picture.disposition = av.stream.Disposition.attached_pic
            out.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
        _encode_tone(out, sound)
    return folder / "a.mp4"


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "a.mp4")
    return folder / "a.mp4"


def _dangling(folder: Path) -> Path:
    (folder / "a.mp4").symlink_to(folder / "moved_away.mp4")
    return folder / "a.mp4"


def _picture(folder: Path) -> Path:
    cv2.imwrite(str(folder / "a.png"), moving(1)[0])
    return folder / "a.png"


def _forbidden(folder: Path) -> Path:
    path = encode(folder / "a.mp4", moving(1))
    path.chmod(0)
    return path


def _folder(folder: Path) -> Path:
    (folder / "a.mp4").mkdir()
    return folder / "a.mp4"


def _bad(name: str, status: str, part: str, make: Callable[[Path], Path], n_frames: int | None = 0) -> Case:
    return Case(name, make, _nothing, None, status, part, n_frames)


_FAST_START = {"movflags": "faststart"}
BAD = [
    _bad("missing", "missing", "no such file", lambda folder: folder / "a.mp4"),
    _bad("folder", "unreadable", "is a folder", _folder),
    _bad("no permission", "unreadable", "no permission", _forbidden),
    _bad("zero bytes", "unreadable", "empty", _written("a.mp4", b"")),
    _bad("text", "unreadable", "not a video", _written("a.mp4", b"Dear Sir or Madam,\n" * 200)),
    _bad("web page", "unreadable", "not a video", _written("a.avi", b"<!DOCTYPE html><html><body>404</body></html>")),
    _bad("zeros", "unreadable", "not a video", _written("a.mkv", bytes(50000))),
    _bad("noise", "unreadable", "", _written("a.mp4", np.random.default_rng(0).bytes(50000))),
    _bad("one line feed", "unreadable", "not a video", _written("a.mov", b"\n")),
    _bad("archive", "unreadable", "not a video", _written("a.mp4", b"PK\3\4" + bytes(range(256)) * 20)),
    _bad("document", "unreadable", "not a video", _written("a.mp4", b"%PDF-1.7\n1 0 obj << /Type /Catalog >>\n" * 50)),
    _bad("table", "unreadable", "not a video", _written("a.mp4", b"PAR1" + bytes(4000) + b"PAR1")),
    _bad("list of addresses", "unreadable", "", _written("a.mp4", b"#EXTM3U\n#EXTINF:9,\nhttp://localhost:9/a.ts\n")),
    _bad("list of files", "unreadable", "", _written("a.mp4", b"ffconcat version 1.0\nfile /etc/hostname\n")),
    _bad("sound only", "unreadable", "no video stream", _only_sound),
    _bad("sound with a cover", "unreadable", "no video stream", lambda folder: _only_sound(folder, cover=True)),
    _bad("pipe", "unreadable", "not a file", _pipe),
    _bad("link to nothing", "missing", "no such file", _dangling),
    _bad("mp4 cut before its index", "unreadable", "cut off", _cut(0.6, "a.mp4")),
    _bad("mp4 cut behind its index", "truncated", "end_s", _cut(0.6, "a.mp4", container=_FAST_START), None),
    _bad("mkv cut", "truncated", "of 2.400 s", _cut(0.6, "a.mkv"), None),
    _bad("webm cut", "truncated", "of 2.400 s", _cut(0.6, "a.webm", "libvpx-vp9", options=_FAST_VP9), None),
    _bad("avi cut", "truncated", "breaks off", _cut(0.6, "a.avi", "mjpeg", "yuvj420p", options={"b": "8M"}), None),
    _bad("hevc cut", "truncated", "end_s", _cut(0.8, "a.mp4", "libx265", options=_X265, container=_FAST_START), None),
    _bad("av1 cut", "truncated", "of 2.400 s", _cut(0.6, "a.webm", "libsvtav1", options=_FAST_AV1), None),
    _bad("flv cut", "truncated", "of 2.4", _cut(0.6, "a.flv"), None),
    _bad("mov cut before its index", "unreadable", "cut off", _cut(0.9, "a.mov")),
    _bad("mp4 cut in its head", "unreadable", "cut off", _cut(0.01, "a.mp4")),
    _bad("all frames overwritten", "unreadable", "no frame of it decodes", _empty_frames),
    _bad("damaged in the middle", "damaged", "does not decode", _damaged, None),
    _bad("changes its size", "damaged", "frame size changes", _joined, 12),
]


@contextmanager
def without_privileges(folder: Path) -> Iterator[None]:
    """Give up root's right to read everything, where the tests run as root; the temporary ``folder`` stays readable."""
    if os.geteuid() != 0:
        yield
        return
    for part in itertools.takewhile(lambda part: part.stat().st_mode & 0o077 == 0, (folder, *folder.parents)):
        part.chmod(0o755)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def _wall(n_frames: int, noise: bool = True) -> list[np.ndarray]:
    return [scene((120, 160), noise=i + 1) if noise else np.zeros((120, 160), np.uint8) for i in range(n_frames)]


def _film(images: Callable[[], list[np.ndarray]]) -> Callable[[Path], Path]:
    return lambda folder: encode(folder / "a.mp4", images())


# Whole videos, but not of a face that could be used.
FACELESS = [
    _bad("no face", "no_face", "no face in its 12 frames", _film(lambda: _wall(12))),
    _bad("black", "no_face", "no face in its 12 frames", _film(lambda: _wall(12, noise=False))),
    _bad("upside down", "no_face", "no face", _film(lambda: [image[::-1] for image in moving()])),
    _bad("face in too few frames", "too_short", "a face in 5 of 25", _film(lambda: _wall(20) + moving(5))),
    _bad("one frame only", "too_short", "a face in 1 of 1", _film(lambda: moving(1))),
    _bad("picture", "too_short", "a face in 1 of 1", _picture),
    _bad("smaller than a face can be", "no_face", "no face", _film(lambda: [image[::4, ::4] for image in moving()])),
]
