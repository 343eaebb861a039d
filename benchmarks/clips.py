"""The clips that the benchmarks are run on: scikit-image's portrait in motion, with sensor noise, as H.264."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import skimage.data

SIZE = (1280, 960)
N_FRAMES, FPS = 350, 100
BOX = np.array([437.0, 96.0, 237.0, 237.0])  # the Haar detector's on the portrait scaled to SIZE


def portrait() -> np.ndarray:
    """Give the grey portrait in the size of the frames."""
    return cv2.resize(cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2GRAY), SIZE)


def swaying() -> Iterator[np.ndarray]:
    """Give ``N_FRAMES`` frames (height, width, 3) that sway by whole pixels: cheap to predict, so cheap to decode."""
    rng, image = np.random.default_rng(0), cv2.resize(skimage.data.astronaut(), SIZE)
    for i in range(N_FRAMES):
        sway = (int(8 * np.sin(i / 30)), int(20 * np.sin(i / 50)))
        noisy = np.roll(image, sway, (0, 1)) + rng.normal(0, 3, (*image.shape[:2], 1))
        yield np.clip(noisy, 0, 255).astype(np.uint8)


def circling(width: int = SIZE[0], height: int = SIZE[1], n_frames: int = N_FRAMES) -> Iterator[np.ndarray]:
    """Give grey frames of a face that moves by fractions of a pixel, on a closed path: they repeat without a jump."""
    rng = np.random.default_rng(0)
    image = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2GRAY)
    zoom = 0.0026 * height  # the face's box is then a quarter of the frame's height
    for i in range(n_frames):
        turn = 2 * np.pi * i / n_frames
        x = width * (0.5 + 0.1 * np.sin(3 * turn)) - 224 * zoom
        y = height * (0.5 + 0.06 * np.sin(5 * turn)) - 114 * zoom
        grey = cv2.warpAffine(
            image,
            np.array([[zoom, 0, x], [0, zoom, y]]),
            (width, height),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT,
        )
        yield np.clip(grey + rng.normal(0, 2, grey.shape), 0, 255).astype(np.uint8)


def encode(path: Path, images: Iterable[np.ndarray], fps: int = FPS, preset: str = "medium") -> None:
    """Write grey or RGB frames as an H.264 clip."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": preset})
        for i, image in enumerate(images):
            if i == 0:
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
            frame = av.VideoFrame.from_ndarray(image, format="gray" if image.ndim == 2 else "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def repeat(source: Path, target: Path, times: int) -> None:
    """Write the packets of ``source`` to ``target`` several times over, without encoding anew."""
    with av.open(str(target), "w") as out:
        stream, offset = None, 0
        for _ in range(times):
            with av.open(str(source)) as container:
                if stream is None:
                    stream = out.add_stream_from_template(container.streams.video[0])
                for packet in container.demux(video=0):
                    if packet.size:
                        packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, stream
                        out.mux(packet)
                offset += container.streams.video[0].duration
