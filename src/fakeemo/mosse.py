"""The MOSSE tracker: Bolme et al., Visual object tracking using adaptive correlation filters, CVPR 2010.

The window is resampled to 64 x 64 pixels, so that the cost does not depend on the size of the face; the peak
is located to a fraction of a pixel. Equation numbers are those of that paper.
"""

import math
from functools import lru_cache

import cv2
import numpy as np

from fakeemo.faces import Box, centre

SIDE = 64
_SIGMA = 2.0  # of the Gaussian that the filter shall answer with, in pixels of the window
_PEAK = 5  # the peak is left out of the PSR as far as this to each side: 11 x 11 pixels
_PASSES, _NEAR = 3, 0.25  # at most so many looks at a frame, until a shift is this short, in pixels of the window
# The polar window of the scale filter: 64 angles by 64 radii from 4 to 30 pixels in equal ratios.
_RADII = np.geomspace(4, 30, SIDE)
_RATIO = np.log(_RADII[1] / _RADII[0])
# A scale is measured against a longer past than a position: its errors add up and nothing pulls them back.
_SCALE_SLOWNESS = 5
_MAX_SCALE_STEP = 0.05
_MIN_SCALE_STEP = 0.001  # smaller ones are left to add up, which saves a third look at the frame
_SURE = 20.0  # PSR below which a scale is not believed: a blurred or quickly turning head looks resized


class Mosse:
    """Follows the contents of a box from frame to frame, at fixed scale as in the paper, or adapting it.

    Args:
        image: ``(h, w)`` uint8, the frame that ``box`` is on.
        box: what to follow; its parts beyond the frame are filled with the frame's edge.
        rng: draws the training warps.
        warps: number of random affine warps of the first window that the filter is trained on.
        learning_rate: weight of the newest frame in the running average (eqs. 10-12; 0.125 there).
        adapt_scale: also follow the size of the contents, by a second filter on the log-polar window, where
            a change of size is a shift (as in Li et al., LDES, AAAI 2019).
    """

    def __init__(
        self,
        image: np.ndarray,
        box: Box,
        *,
        rng: np.random.Generator,
        warps: int = 128,
        learning_rate: float = 0.125,
        adapt_scale: bool = True,
    ) -> None:
        self.box = box
        first = _window(image, box)
        self._position = _Filter([first, *(_warp(first, rng) for _ in range(warps))], learning_rate, _hanning())
        self._scale = None
        if adapt_scale:
            self._scale = _Filter([_polar(first)], learning_rate / _SCALE_SLOWNESS, _hanning_rows())

    def locate(self, image: np.ndarray) -> tuple[Box, float]:
        """Move the box to where the filter answers most, and give ``(box, psr)``."""
        # The taper shows less of contents that have moved far, which biases their shift: look again from there.
        for _ in range(_PASSES):
            dx, dy, psr = self._position.peak(self._position.spectrum(_window(image, self.box)))
            x, y, w, h = self.box
            self.box = Box(x + dx * w / SIDE, y + dy * h / SIDE, w, h)
            if abs(dx) < _NEAR and abs(dy) < _NEAR:
                break
        return self.box, psr

    def learn(self, image: np.ndarray) -> Box:
        """Adapt scale and filter to what the box, as last located, holds; give the box.

        Apart from :meth:`locate`, since what is under a doubtful box must not be learnt.
        """
        window = _window(image, self.box)
        if self._scale is not None:
            spectrum = self._scale.spectrum(_polar(window))
            _, dr, psr = self._scale.peak(spectrum)
            change = min(max(dr * _RATIO, -_MAX_SCALE_STEP), _MAX_SCALE_STEP)
            if psr >= _SURE and abs(change) > _MIN_SCALE_STEP:
                (x, y), w, h = centre(self.box), self.box.w * math.exp(change), self.box.h * math.exp(change)
                self.box = Box(x - w / 2, y - h / 2, w, h)
                window = _window(image, self.box)
                spectrum = self._scale.spectrum(_polar(window))
            self._scale.learn(spectrum)
        self._position.learn(self._position.spectrum(window))
        return self.box


class _Filter:
    """One correlation filter, ``H* = A / B`` (eq. 10), with the running averages ``A``, ``B`` (eqs. 11, 12)."""

    def __init__(self, windows: list[np.ndarray], learning_rate: float, taper: np.ndarray) -> None:
        self._rate, self._taper = learning_rate, taper
        spectra = [self.spectrum(window) for window in windows]
        self._a = np.mean([_target() * spectrum.conj() for spectrum in spectra], axis=0)
        self._b = np.mean([_power(spectrum) for spectrum in spectra], axis=0)
        self._divide()

    def spectrum(self, window: np.ndarray) -> np.ndarray:
        """Give the spectrum of a window: log levels with mean 0 and variance 1, tapered (section 3.1)."""
        levels = cv2.LUT(window, _LOG)
        mean, std = cv2.meanStdDev(levels)
        levels = (levels - np.float32(mean[0, 0])) * (self._taper / np.float32(std[0, 0] + 1e-5))
        spectrum: np.ndarray = cv2.dft(levels, flags=cv2.DFT_COMPLEX_OUTPUT).view(np.complex64)[..., 0]
        return spectrum

    def peak(self, spectrum: np.ndarray) -> tuple[float, float, float]:
        """Give ``(dx, dy, psr)``: the shift of the contents in pixels of the window, and how sure it is."""
        response = cv2.dft(_as_reals(spectrum * self._h), flags=cv2.DFT_INVERSE | cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT)
        _, _, _, (col, row) = cv2.minMaxLoc(response)
        dx = col + _vertex(*(response[row, (col + k) % SIDE] for k in (-1, 0, 1))) - SIDE // 2
        dy = row + _vertex(*(response[(row + k) % SIDE, col] for k in (-1, 0, 1))) - SIDE // 2
        return dx, dy, _psr(response, row, col)

    def learn(self, spectrum: np.ndarray) -> None:
        """Take a window, whose contents are centred, into the running averages."""
        cv2.accumulateWeighted(_as_reals(_target() * spectrum.conj()), _as_reals(self._a), self._rate)
        cv2.accumulateWeighted(_power(spectrum), self._b, self._rate)
        self._divide()

    def _divide(self) -> None:
        # The small addition keeps frequencies that the contents hardly have from being blown up.
        # Times the reciprocal: NumPy divides complex by real numbers at three times the cost, to the same bits.
        self._h = self._a * np.reciprocal(self._b + np.float32(1e-3 * cv2.mean(self._b)[0]))


_LOG = np.log1p(np.arange(256, dtype=np.float32))


def _power(spectrum: np.ndarray) -> np.ndarray:
    power: np.ndarray = np.square(np.abs(spectrum))
    return power


def _as_reals(spectrum: np.ndarray) -> np.ndarray:
    """Show the same memory as OpenCV wants complex numbers: two channels."""
    return spectrum.view(np.float32).reshape(SIDE, SIDE, 2)


def _vertex(left: float, middle: float, right: float) -> float:
    """Give where the parabola through three neighbours has its top, in (-0.5, 0.5) from the middle one."""
    bend = float(left) - 2 * float(middle) + float(right)
    return 0.5 * (float(left) - float(right)) / bend if bend < 0 else 0.0


def _psr(response: np.ndarray, row: int, col: int) -> float:
    """Give the peak-to-sidelobe ratio: (peak - mean) / standard deviation of all but 11 x 11 pixels around it."""
    peak = response[max(0, row - _PEAK) : row + _PEAK + 1, max(0, col - _PEAK) : col + _PEAK + 1]
    n = response.size - peak.size  # sums of all less those of the peak: cheaper than a mask
    mean = (cv2.sumElems(response)[0] - cv2.sumElems(peak)[0]) / n
    variance = (cv2.norm(response, cv2.NORM_L2SQR) - cv2.norm(peak, cv2.NORM_L2SQR)) / n - mean**2
    return (float(response[row, col]) - mean) / (math.sqrt(max(0.0, variance)) + 1e-5)


def _window(image: np.ndarray, box: Box) -> np.ndarray:
    """Resample the box to ``(64, 64)`` uint8, exact to a fraction of a pixel.

    It is sampled at every second pixel or closer and then averaged: as free of aliasing noise as an average
    over all pixels, at a fraction of its cost for large faces.
    """
    times = max(1, math.ceil(max(box.w, box.h) / (2 * SIDE)))
    step_x, step_y = box.w / (SIDE * times), box.h / (SIDE * times)
    # Pixel j of the samples lies at x + (j + 0.5) step in the frame, whose pixel i is centred at i + 0.5.
    to_frame = np.array([[step_x, 0, box.x + 0.5 * step_x - 0.5], [0, step_y, box.y + 0.5 * step_y - 0.5]])
    samples = cv2.warpAffine(
        image,
        to_frame,
        (SIDE * times, SIDE * times),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return cv2.resize(samples, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _warp(window: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn, stretch and shear a window a little about its middle, at random."""
    angle = rng.uniform(-0.1, 0.1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn + rng.uniform(-0.1, 0.1, (2, 2))
    middle = np.full(2, (SIDE - 1) / 2)
    affine = np.column_stack([matrix, middle - matrix @ middle])
    return cv2.warpAffine(window, affine, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)


def _polar(window: np.ndarray) -> np.ndarray:
    """Resample a window to log-polar: rows are radii, columns angles."""
    return cv2.remap(window, *_polar_map(), cv2.INTER_LINEAR)


@lru_cache
def _polar_map() -> tuple[np.ndarray, np.ndarray]:
    angles = np.arange(SIDE) * (2 * np.pi / SIDE)
    middle = (SIDE - 1) / 2
    x, y = middle + np.outer(_RADII, np.cos(angles)), middle + np.outer(_RADII, np.sin(angles))
    return x.astype(np.float32), y.astype(np.float32)


@lru_cache
def _target() -> np.ndarray:
    """Give the spectrum of the wanted answer: a Gaussian in the middle of the window."""
    x = np.arange(SIDE, dtype=np.float32) - SIDE // 2
    line = np.exp(-(x**2) / (2 * _SIGMA**2))
    spectrum: np.ndarray = cv2.dft(np.outer(line, line), flags=cv2.DFT_COMPLEX_OUTPUT).view(np.complex64)[..., 0]
    return spectrum


@lru_cache
def _hanning() -> np.ndarray:
    return cv2.createHanningWindow((SIDE, SIDE), cv2.CV_32F)


@lru_cache
def _hanning_rows() -> np.ndarray:
    """Taper the radii only: angles close on themselves."""
    return np.repeat(np.hanning(SIDE).astype(np.float32)[:, None], SIDE, axis=1)
