"""What smoothing and resampling of landmarks do to signal and noise; print Markdown tables.

    python benchmarks/smoothing.py

Everything is computed with fixed seeds, so two runs print the same.
"""

import numpy as np
from clips import BOX, portrait

from fakeemo import augment, landmarks
from fakeemo.sequences import low_pass, retime

CUT_OFFS = (3, 6, 12)
RATES = (25, 100)
N_STILL = 200
FACE = np.s_[60:480, 350:770]  # the part of the portrait that the predictor looks at, with a margin


def row(*cells: object) -> None:
    print("|", " | ".join(str(cell) for cell in cells), "|", flush=True)


def smoothed(x: np.ndarray, rate: float, cut_off: float | None) -> np.ndarray:
    """Smooth ``x`` ``(time, n)`` as the workflow does."""
    if cut_off is None:
        return x
    return retime("benchmark", x.astype(np.float32), np.arange(len(x)) / rate, smoothing_hz=cut_off, fps=None)


def response() -> None:
    """Measure the response to a single frame of 1, and what is left of white noise inside a clip and near its edge."""
    row(
        "frames a second",
        "cut-off, Hz",
        "half of it, dB",
        "cut-off, dB",
        "twice, dB",
        "noise left",
        "in frames 1, 2, 4",
    )
    row(*["---"] * 7)
    impulse = np.zeros((2001, 1))
    impulse[1000] = 1
    noise = np.random.default_rng(0).normal(size=(300, 4000))
    for rate in RATES:
        for cut_off in CUT_OFFS:
            out = low_pass(impulse, rate, cut_off, 2)[:, 0]
            frequencies = np.array([cut_off / 2, cut_off, 2 * cut_off])
            gain = np.abs(np.exp(-2j * np.pi * np.outer(frequencies, np.arange(2001) / rate)) @ out)
            decibels = [
                f"{20 * np.log10(g):.1f}" if f < rate / 2 else "" for f, g in zip(frequencies, gain, strict=True)
            ]
            left = low_pass(noise, rate, cut_off, 2).std(axis=1)
            row(rate, cut_off, *decibels, f"{left[150]:.0%}", ", ".join(f"{left[i - 1]:.0%}" for i in (1, 2, 4)))


def minimum_jerk(t: np.ndarray) -> np.ndarray:
    """Rise from 0 at 0 to 1 at 1 as smoothly as movements do (Flash & Hogan 1985)."""
    t = np.clip(t, 0, 1)
    return 10 * t**3 - 15 * t**4 + 6 * t**5


def onset() -> None:
    """Smooth an onset; see when it is half-way up, how fast it is at most and how far it shoots beyond."""
    row(
        "onset, s",
        "frames a second",
        "cut-off, Hz",
        "shift of half-way, frames",
        "unsmoothed",
        "peak speed",
        "10-90 % rise",
        "beyond",
    )
    row(*["---"] * 8)
    offsets = np.linspace(0, 1, 41)  # where between two frames the onset lies
    for duration in (0.15, 0.3):
        for rate in RATES:
            t = np.arange(4 * rate) / rate
            x = minimum_jerk((t[:, None] - 2 - offsets / rate) / duration + 0.5)
            for cut_off in CUT_OFFS:
                y = smoothed(x, rate, cut_off)
                before, after = (crossings(t, series) for series in (x, y))
                shift = np.abs(after[:, 1] - 2 - offsets / rate).max() * rate
                unsmoothed = np.abs(before[:, 1] - 2 - offsets / rate).max() * rate
                speed = np.diff(y, axis=0).max(axis=0) / np.diff(x, axis=0).max(axis=0)
                rise = (after[:, 2] - after[:, 0]).mean() / (before[:, 2] - before[:, 0]).mean()
                row(
                    duration,
                    rate,
                    cut_off,
                    f"{shift:.3f}",
                    f"{unsmoothed:.3f}",
                    f"{speed.mean() - 1:+.0%}",
                    f"{rise - 1:+.0%}",
                    f"{y.max() - 1:.1%}",
                )


def crossings(t: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Give the times ``(n, 3)`` at which rising ``x`` ``(time, n)`` last crosses 10, 50 and 90 %, on straight lines."""
    found = np.empty((x.shape[1], 3))
    for i, series in enumerate(x.T):
        for j, level in enumerate((0.1, 0.5, 0.9)):
            last = np.flatnonzero(series < level)[-1]
            part = (level - series[last]) / (series[last + 1] - series[last])
            found[i, j] = t[last] + part * (t[last + 1] - t[last])
    return found


def jitter() -> None:
    """Let the landmark engine look at a still portrait with sensor noise, and smooth what it sees."""
    still = portrait()[FACE].astype(float)
    corner = [FACE[1].start, FACE[0].start, 0, 0]
    box, predictor, rng = (
        augment.predictor_boxes((BOX - corner)[None]),
        landmarks.load_predictor(),
        np.random.default_rng(0),
    )
    row("sensor noise, grey levels", "frames a second", "none", *(f"{cut_off} Hz" for cut_off in reversed(CUT_OFFS)))
    row(*["---"] * (3 + len(CUT_OFFS)))
    for noise in (1, 3, 6):
        frames = [still + rng.normal(0, noise, still.shape) for _ in range(N_STILL)]
        frames = [np.clip(frame, 0, 255).astype(np.uint8) for frame in frames]
        points = np.concatenate([predictor.predict(frame, box) for frame in frames]).reshape(N_STILL, -1)
        for rate in RATES:
            cells = []
            for cut_off in (None, *reversed(CUT_OFFS)):
                series = smoothed(points, rate, cut_off).astype(float)
                a_frame = np.sqrt((np.diff(series, axis=0) ** 2).mean())
                cells.append(f"{a_frame:.3f}, {series.std(axis=0).mean():.3f}")
            row(noise, rate, *cells)


def resampling() -> None:
    """Bring sums of sinusoids up to a highest frequency to another frame rate; take the error against the truth."""
    row("from", "to", "content up to, Hz", "spline, % rms", "largest", "straight lines, % rms", "taken as even, % rms")
    row(*["---"] * 7)
    rng = np.random.default_rng(0)
    for name, rate, stray, fps in (
        ("30", 30, 0, 100),
        ("120", 120, 0, 100),
        ("100", 100, 0, 25),
        ("30, times astray by up to 40 %", 30, 0.4, 100),
        ("30, times astray by up to 40 %", 30, 0.4, 30),
    ):
        n = 8 * rate
        t = (np.arange(n) + rng.uniform(-stray, stray, n)) / rate
        for highest in (3, 6):
            frequencies, phases = rng.uniform(0.2, highest, (30, 200)), rng.uniform(0, 2 * np.pi, (30, 200))

            def truth(at: np.ndarray, frequencies: np.ndarray = frequencies, phases: np.ndarray = phases) -> np.ndarray:
                return np.sin(2 * np.pi * frequencies * at[:, None, None] + phases).sum(axis=1)

            x = truth(t)
            out = retime("benchmark", x.astype(np.float32), t, smoothing_hz=None, fps=fps)
            grid = t[0] + np.arange(len(out)) / fps
            inner = (grid > 1) & (grid < 7)
            right = truth(grid[inner])
            lines, even = (
                np.stack([np.interp(grid, at, series) for series in x.T], axis=1)[inner]
                for at in (t, t[0] + np.arange(n) / rate)
            )
            errors = [100 * (found - right) / right.std() for found in (out[inner], lines, even)]
            rms = [f"{np.sqrt((error**2).mean()):.2f}" for error in errors]
            row(name, fps, highest, rms[0], f"{np.abs(errors[0]).max():.1f}", rms[1], rms[2] if stray else "")


def main() -> None:
    for part in (response, onset, jitter, resampling):
        part()
        print()


if __name__ == "__main__":
    main()
