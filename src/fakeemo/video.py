"""Frames of a video file: upright, as grey levels or BGR, with true timestamps, one at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import av
import cv2
import numpy as np

from fakeemo.errors import VideoError

# FFmpeg's numbers for the range of luma. YUV that does not state it is limited (16-235) by convention, grey
# and the old "yuvj" formats are full (0-255).
_UNSTATED, _FULL_RANGE = 0, 2
# Luma formats whose first plane can be taken as it is. All others (RGB, palette, packed, big-endian) go
# through FFmpeg's converter.
_LUMA_FIRST = ("yuv4", "yuvj4", "yuva4", "nv12", "nv21", "gray")
# Tenths of a second are lost to rounding in some containers; a file that lacks more than this was cut.
_MISSING_S = 0.5


class Frame(NamedTuple):
    """One decoded frame: its number in the file from 0, seconds since the file's first frame, pixels."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls on a frame
    timestamp: float
    image: np.ndarray


class VideoInfo(NamedTuple):
    """What a file says about itself; ``width`` and ``height`` are those of the upright frame, in pixels.

    ``rotation`` is the clockwise turn, in degrees (0, 90, 180, 270), that makes the stored frame upright.
    """

    width: int
    height: int
    fps: float
    n_frames: int | None
    duration: float | None
    codec: str
    rotation: int


def read_frames(
    path: str | Path,
    pixels: Literal["grey", "bgr"] = "grey",
    start_s: float | None = None,
    end_s: float | None = None,
) -> Iterator[Frame]:
    """Yield the frames whose timestamp lies in ``[start_s, end_s)``, upright, in the order of display.

    Images are C-contiguous uint8: ``(h, w)`` full-range luma (0-255) for ``"grey"``, ``(h, w, 3)`` for
    ``"bgr"``. Pixels that are not square stay as stored. Timestamps are the file's own, in seconds since its
    first frame; a frame without one, or not after the one before it, is put one nominal frame period later.
    One frame is held at a time, and one thread decodes, since jobs run one for each core.

    Raises :class:`VideoError` (``missing``, ``unreadable``, ``truncated``, ``damaged``). Of a file that breaks
    off, what decodes before the break is yielded first; an ``end_s`` before the break avoids the error.
    """
    convert = _luma if pixels == "grey" else _bgr
    converter = av.video.reformatter.VideoReformatter()
    size = None
    with _open(path) as (container, stream):
        for index, timestamp, frame in _decode(path, container, stream):
            if size not in (None, (frame.width, frame.height)):
                raise VideoError(
                    "damaged",
                    f"{path}: the frame size changes at frame {index} ({timestamp:.3f} s);"
                    " convert the video to one size",
                )
            size = (frame.width, frame.height)
            if end_s is not None and timestamp >= end_s:
                return
            if start_s is None or timestamp >= start_s:
                yield Frame(index, timestamp, _upright(convert(frame, converter), _rotation(frame)))


def probe(path: str | Path) -> VideoInfo:
    """Read what the file says about itself, and decode its first frame.

    Raises :class:`VideoError` (``missing``, ``unreadable``, ``truncated``, ``damaged``).
    """
    with _open(path) as (container, stream):
        _, _, frame = next(_decode(path, container, stream))
        rotation = _rotation(frame)
        width, height = (frame.width, frame.height) if rotation % 180 == 0 else (frame.height, frame.width)
        return VideoInfo(
            width,
            height,
            float(stream.average_rate or stream.guessed_rate or 0),
            stream.frames or None,
            _duration(container, stream),
            stream.codec_context.codec.canonical_name,
            rotation,
        )


def glance(path: str | Path) -> tuple[float | None, float]:
    """Give the number of frames (None: unknown) and frames a second that the file states, decoding none if it can.

    This takes half a millisecond, a tenth of :func:`probe`, and so finds what is no video or was cut off before its
    index, but not what was damaged behind it. Raises :class:`VideoError` (``missing``, ``unreadable``, ...).
    """
    # Without a decoder FFmpeg is content with what the header says; where that is too little, it is asked again.
    try:
        with _open(path, codec_whitelist="none", probesize="32") as (container, stream):
            rate, duration = float(stream.average_rate or 0), _duration(container, stream)
            n_frames = stream.frames or (None if duration is None else duration * rate)
    except VideoError:
        n_frames = rate = 0.0
    if n_frames and rate:
        return n_frames, rate
    info = probe(path)
    known = info.n_frames or (None if info.duration is None else info.duration * info.fps)
    return known, info.fps


@contextmanager
def _open(path: str | Path, **options: str) -> Iterator[tuple[Any, Any]]:
    """Open the file, with further options of FFmpeg, and choose its first video stream that is not a cover picture."""
    try:
        if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
            # To open it could take for ever.
            raise VideoError("unreadable", f"{path}: is a pipe or a device, not a file")
        with open(path, "rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise VideoError("missing", f"{path}: no such file") from None
    except IsADirectoryError:
        raise VideoError("unreadable", f"{path}: is a folder, not a video file") from None
    except PermissionError:
        raise VideoError("unreadable", f"{path}: no permission to read it") from None
    except OSError as error:
        raise VideoError("unreadable", f"{path}: cannot be read ({error.strerror})") from None
    if empty:
        raise VideoError("unreadable", f"{path}: the file is empty (0 bytes)")
    try:
        # "file:" keeps FFmpeg from reading a protocol into a name with a colon; the whitelist keeps a
        # playlist in disguise from opening network addresses.
        container = av.open(f"file:{path}", metadata_errors="replace", options={"protocol_whitelist": "file"} | options)
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(
            "unreadable", f"{path}: not a video file, or one that was cut off before its index ({_cause(error)})"
        ) from None
    with container:
        if not container.streams:
            raise VideoError("unreadable", f"{path}: holds nothing, or was cut off before its index")
        for stream in container.streams.video:
            if not stream.disposition & av.stream.Disposition.attached_pic:
                break
        else:
            raise VideoError("unreadable", f"{path}: holds no video stream")
        if stream.codec_context is None:
            raise VideoError("unreadable", f"{path}: this FFmpeg has no decoder for its video stream")
        stream.codec_context.thread_count = 1
        yield container, stream


def _decode(path: str | Path, container: Any, stream: Any) -> Iterator[tuple[int, float, Any]]:
    """Yield ``(index, timestamp, frame)`` of the whole file; raise if it breaks off or does not decode."""
    period = 1 / float(stream.average_rate or stream.guessed_rate or 25)
    index, timestamp, first, duration = 0, 0.0, None, 0
    cut, fault = False, ""
    packets = container.demux(stream)
    try:
        for packet in packets:
            # The last packet is an empty one, which asks the decoder for the frames that it still holds.
            cut = packet.is_corrupt if packet.size else cut
            for frame in packet.decode():
                if first is None:
                    first = frame.time
                own = None if frame.time is None or first is None else frame.time - first
                if index:
                    timestamp = own if own is not None and own > timestamp else timestamp + period
                yield index, timestamp, frame
                index += 1
                duration = frame.duration
    except av.FFmpegError as error:
        fault = _cause(error)
        cut = cut or not _more(packets)
    if index == 0:
        raise VideoError("unreadable", f"{path}: no frame of it decodes ({fault or 'it holds none'})")
    end = timestamp + float((duration or 0) * stream.time_base or period)
    declared = _duration(container, stream)
    short = declared is not None and declared - end > _MISSING_S
    if fault and not cut:
        status, what = "damaged", f"does not decode after {end:.3f} s ({fault})"
    elif cut or short:
        status, what = "truncated", f"breaks off after {end:.3f} s" + (f" of {declared:.3f} s" if short else "")
    else:
        return
    # Just before a break frames may be missing or smeared, since they refer to ones behind it: hence the second.
    raise VideoError(status, f"{path}: {what}; set end_s to {max(0.0, end - 1):.1f} to use what comes before")


def _more(packets: Iterator[Any]) -> bool:
    """Say whether anything follows in a stream; the empty packet at its end does not count."""
    try:
        packet = next(packets, None)
    except av.FFmpegError:
        return False
    return packet is not None and packet.size > 0


def _duration(container: Any, stream: Any) -> float | None:
    """Give the duration of the video stream in seconds, where the file states it."""
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    hours, _, rest = stream.metadata.get("DURATION", "").partition(":")  # Matroska and WebM: 00:00:03.967000000
    minutes, _, seconds = rest.partition(":")
    try:
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        pass
    # The duration of the whole file is that of its longest stream: of use only where there is no other.
    if container.duration is not None and len(container.streams) == 1:
        return float(container.duration / av.time_base)
    return None


def _rotation(frame: Any) -> int:
    """Give the clockwise turn that makes the frame upright; FFmpeg counts counter-clockwise."""
    return int(round(-frame.rotation / 90) * 90 % 360)


_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def _upright(image: np.ndarray, rotation: int) -> np.ndarray:
    return cv2.rotate(image, _TURNS[rotation]) if rotation else image


def _bgr(frame: Any, converter: Any) -> np.ndarray:
    image: np.ndarray = converter.reformat(frame, format="bgr24").to_ndarray()
    return image


@lru_cache
def _luma_bits(name: str) -> int:
    """Give the depth of luma in a pixel format; 0 where its first plane cannot be taken as it is."""
    bits: int = av.VideoFormat(name).components[0].bits
    return bits if name.startswith(_LUMA_FIRST) and not name.endswith("be") and bits <= 16 else 0


def _luma(frame: Any, converter: Any) -> np.ndarray:
    """Give full-range 8-bit luma, straight from the decoded plane where its layout allows."""
    name, plane = frame.format.name, frame.planes[0]
    bits = _luma_bits(name)
    if not bits or plane.line_size <= 0:
        image: np.ndarray = converter.reformat(frame, format="gray").to_ndarray()
        return image
    rows: Any = np.frombuffer(plane, np.uint8 if bits == 8 else np.uint16).reshape(frame.height, -1)
    levels = rows[:, : frame.width]
    stated = frame.color_range
    full = name.startswith(("yuvj", "gray")) if stated == _UNSTATED else stated == _FULL_RANGE
    if bits == 8 and full:
        return np.ascontiguousarray(levels)
    # Code values of black and white (ITU-R BT.601 to BT.2100), spread over 0 to 255. The second operand has
    # no weight: this is the fastest scaling with an offset in OpenCV that also clips at both ends.
    unit = 2 ** (bits - 8)
    low, high = (0, 2**bits - 1) if full else (16 * unit, 235 * unit)
    gain = 255 / (high - low)
    scaled: np.ndarray = cv2.addWeighted(levels, gain, levels, 0, -low * gain, dtype=cv2.CV_8U)
    return scaled


def _cause(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
