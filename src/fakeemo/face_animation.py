"""Faces drawn from the 40 landmarks, moving side by side, as MP4 or GIF.

Brows, lids, nose and lips are smooth lines through the landmarks, cheeks and temples dots. Behind the moving face is
the face at rest, in grey. Head and irises are no landmarks, and are there so that it is read as a face. A strip below
shows how far each face has moved, how much of the time has passed, and how far first and last face are ever apart.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.animation import PillowWriter
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Curve
from numpy.typing import NDArray

from fakeemo import landmarks, shape_predictor
from fakeemo.errors import FakeemoError
from fakeemo.files import replacing
from fakeemo.progress import progress

Points = NDArray[np.floating[Any]]

OUTER_CORNERS = (16, 25)  # of the eyes, among the 40
_BROWS = ((0, 1, 2, 3, 4), (5, 6, 7, 8, 9))
_NOSE = (11, 12, 13, 14, 15)
_NOSE_TIP = 10
_EYES = (((16, 17, 18, 19), (19, 20, 21, 16)), ((22, 23, 24, 25), (25, 26, 27, 22)))  # upper lid, lower lid
_LIPS = ((28, 29, 30, 31, 32), (32, 33, 34, 35, 28))
_DOTS = (_NOSE_TIP, 36, 37, 38, 39)

# Blue and vermilion of Okabe & Ito, as in the figures of the report.
_GENUINE, _FAKE = "#0072b2", "#d55e00"
_INK, _MUTED, _RULE, _PALE = "#22262b", "#69707a", "#d5d9de", "#e9ecef"
_STYLE: Any = {
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.6,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
}
_DPI = 160
_PANEL, _STRIP, _TITLES = 2.4, 1.3, 0.62  # inches: a face's width, the heights of the strip and of the titles


class Expression(NamedTuple):
    """Hold one face to draw: ``points`` (time, 40, 2), x right and y down, and ``share`` from 0 genuine to 1 fake."""

    title: str
    share: float
    points: Points


def mean_face() -> tuple[Points, Points]:
    """Give dlib's mean face, in units of the face box: the 40 landmarks (40, 2) and the jaw line (17, 2)."""
    shape = shape_predictor.read(landmarks.default_model()).initial_shape
    return landmarks.select(shape), shape[:17]


def write_animation(
    out: str | Path,
    expressions: Sequence[Expression],
    neutral: Points,
    *,
    fps: float,
    heading: str,
    exaggerate: float = 1.0,
) -> None:
    """Write the faces, side by side, as an animation.

    Args:
        out: the file; its suffix, ``.mp4`` or ``.gif``, decides the format. GIF rounds frame periods to 10 ms.
        expressions: faces of one length in time.
        neutral: the face at rest, (40, 2), in the units of ``expressions``.
        fps: frames a second.
        heading: stands above the faces.
        exaggerate: factor on what moves, about ``neutral``; said in the picture where it is not 1.

    Raises:
        FakeemoError: if the suffix is another one, or the file cannot be written.
    """
    writers: dict[str, Callable[[Path, Figure, Callable[[int], None], int, float], None]]
    writers = {".mp4": _write_mp4, ".gif": _write_gif}
    suffix = Path(out).suffix.lower()
    if suffix not in writers:
        raise FakeemoError(f"{out}: the name of an animation ends in .mp4 or .gif")
    with matplotlib.rc_context(_STYLE):
        figure, show = draw(expressions, neutral, fps=fps, heading=heading, exaggerate=exaggerate)
        try:
            with replacing(out) as temporary:
                writers[suffix](temporary, figure, show, len(expressions[0].points), fps)
        except OSError as error:
            raise FakeemoError(f"{out}: cannot be written ({error.strerror or error})") from error


def draw(
    expressions: Sequence[Expression], neutral: Points, *, fps: float, heading: str, exaggerate: float = 1.0
) -> tuple[Figure, Callable[[int], None]]:
    """Give the figure, and a function that sets it to a frame; arguments as of :func:`write_animation`."""
    eyes = np.linalg.norm(neutral[OUTER_CORNERS[1]] - neutral[OUTER_CORNERS[0]])
    moved = [100 * np.linalg.norm(e.points - e.points[0], axis=2).mean(axis=1) / eyes for e in expressions]
    ends = expressions[0].points - expressions[-1].points
    apart = 100 * np.linalg.norm(ends, axis=2).mean(axis=1).max() / eyes
    head = head_outline(neutral)
    shown = [neutral + exaggerate * (e.points - neutral) for e in expressions]
    low, high = _frame([neutral, head, *shown])
    width = _PANEL * len(expressions)
    height = _PANEL * float((high - low)[1] / (high - low)[0])
    # Even numbers of pixels, as H.264 stores colours for 2 x 2.
    size = [2 * round(side * _DPI / 2) / _DPI for side in (width, _TITLES + height + _STRIP)]
    figure = Figure(figsize=(size[0], size[1]), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)

    n_frames = len(expressions[0].points)
    updates = []
    for k, (expression, points) in enumerate(zip(expressions, shown, strict=True)):
        box = (k / len(expressions), _STRIP / size[1], 1 / len(expressions), height / size[1])
        axes = figure.add_axes(box, xlim=(low[0], high[0]), ylim=(high[1], low[1]))
        axes.set_axis_off()
        colour = _mixed(expression.share)
        axes.set_title(expression.title, color=colour, fontsize=12, fontweight="bold", pad=4)
        updates.append(_add_face(axes, neutral, head, points, colour))
    updates.append(_add_strip(figure, size, expressions, moved, float(apart), fps))

    top = 1 - 0.13 / size[1]
    figure.text(0.14 / size[0], top, heading, va="top", fontsize=10)
    if exaggerate != 1:
        note = f"movement × {exaggerate:g}"
        figure.text(1 - 0.14 / size[0], top, note, va="top", ha="right", fontsize=10, fontweight="bold")

    def show(frame: int) -> None:
        for update in updates:
            update(frame)

    show(n_frames - 1)
    return figure, show


def head_outline(neutral: Points) -> Points:
    """Fit the outline of a head to a face: the mean face's jaw line and half an ellipse above it, (n, 2).

    The fit is the affine map that best lays the mean face's landmarks on those of ``neutral`` (least squares).
    """
    points, jaw = mean_face()
    angle = np.linspace(0, np.pi, 13)[1:-1]
    half = (jaw[16] - jaw[0]) / 2
    top = (jaw[0] + jaw[16]) / 2 + np.outer(np.cos(angle), half) - np.outer(np.sin(angle), (0, 1.15 * half[0]))
    outline = np.concatenate([jaw, top, jaw[:1]])
    solution = np.linalg.lstsq(np.column_stack([points, np.ones(len(points))]), neutral, rcond=None)[0]
    fitted: Points = np.column_stack([outline, np.ones(len(outline))]) @ solution
    return fitted


def _frame(points: Sequence[Points]) -> tuple[Points, Points]:
    """Give the corners (x, y) of a box with room round all ``points``."""
    flat = np.concatenate([p.reshape(-1, 2) for p in points])
    low, high = flat.min(axis=0), flat.max(axis=0)
    room = 0.08 * (high - low).max()
    return low - room, high + room


def _mixed(share: float) -> str:
    """Give a colour on the way from that of genuine (0) to that of fake (1)."""
    r, g, b = (1 - share) * np.array(to_rgb(_GENUINE)) + share * np.array(to_rgb(_FAKE))
    return to_hex((r, g, b))


def _add_face(axes: Axes, neutral: Points, head: Points, points: Points, colour: str) -> Callable[[int], None]:
    """Add a face to ``axes``; give the function that moves it to a frame of ``points`` (time, 40, 2)."""
    axes.add_patch(PathPatch(_curve(head), fill=False, edgecolor=_PALE, linewidth=2, capstyle="round"))
    for parts in _outlines(neutral):
        axes.add_patch(PathPatch(parts, fill=False, edgecolor=_RULE, linewidth=1.2))

    lines = []
    for k, outline in enumerate(_outlines(points[0])):
        closed = k >= len(_BROWS) + 1
        style: Any = {"linewidth": 3.4 if k < len(_BROWS) else 2.0, "edgecolor": colour, "capstyle": "round"}
        face = to_rgb(colour) if closed else "none"
        alpha = (*face, 0.12) if closed else "none"
        lines.append(PathPatch(outline, facecolor=alpha, joinstyle="round", **style))
        axes.add_patch(lines[-1])
    irises = []
    for k in range(2):
        iris = Line2D([], [], linestyle="", marker="o", markersize=7, color=colour, markeredgecolor="none", alpha=0.75)
        axes.add_line(iris)
        irises.append((iris, lines[len(_BROWS) + 1 + k]))
    dots = axes.plot([], [], "o", color=colour, markersize=2.6)[0]

    def update(frame: int) -> None:
        now = points[frame]
        for line, outline in zip(lines, _outlines(now), strict=True):
            line.set_path(outline)
        for (iris, eye), (upper, lower) in zip(irises, _EYES, strict=True):
            iris.set_data(now[[*upper, *lower[1:-1]]].mean(axis=0, keepdims=True).T)
            iris.set_clip_path(eye)
        dots.set_data(now[list(_DOTS)].T)

    return update


def _outlines(points: Points) -> list[Curve]:
    """Give the lines through 40 ``points``: two brows, nose, two eyes, lips; the last three are closed."""
    lines = [_curve(points[list(part)]) for part in (*_BROWS, _NOSE)]
    return lines + [_curve(*(points[list(part)] for part in parts)) for parts in (*_EYES, _LIPS)]


def _curve(*parts: Points) -> Curve:
    """Give a smooth curve through each of ``parts`` (n, 2), with a corner where one goes on from another."""
    vertices = [parts[0][:1]]
    for points in parts:
        # By length along the polygon: neighbours at unequal distances would make a curve by number bulge or kink.
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        tangents = np.gradient(points, np.concatenate([[0], np.cumsum(steps)]), axis=0, edge_order=2)
        third = steps[:, None] / 3
        bezier = (points[:-1] + third * tangents[:-1], points[1:] - third * tangents[1:], points[1:])
        vertices.append(np.stack(bezier, axis=1).reshape(-1, 2))
    flat = np.concatenate(vertices)
    return Curve(flat, [Curve.MOVETO, *[Curve.CURVE4] * (len(flat) - 1)])


def _add_strip(
    figure: Figure,
    size: Sequence[float],
    expressions: Sequence[Expression],
    moved: Sequence[Points],
    apart: float,
    fps: float,
) -> Callable[[int], None]:
    """Add the strip of time and movement; give the function that moves it to a frame."""
    left, bottom = 0.4, 0.42
    box = (left / size[0], bottom / size[1], 1 - (left + 0.16) / size[0], (_STRIP - bottom - 0.3) / size[1])
    axes = figure.add_axes(box)
    seconds = np.arange(len(moved[0])) / fps
    top = 1.15 * max(1e-6, *(m.max() for m in moved))
    axes.set(xlim=(0, seconds[-1]), ylim=(0, top), xlabel="seconds")
    said: Any = {"fontsize": 8, "color": _MUTED, "pad": 3}
    axes.set_title("movement, % of eye distance", loc="left", **said)
    ends = f"{expressions[0].title}, {expressions[-1].title}"
    axes.set_title(f"{ends}: up to {apart:.2g} % apart", loc="right", **said)
    axes.xaxis.labelpad = 1
    axes.spines[["top", "right"]].set_visible(False)
    axes.locator_params(axis="y", nbins=3)
    axes.tick_params(length=2.5, labelsize=8)
    now = axes.axvspan(0, 0, color=_PALE, zorder=0)
    cursor = axes.axvline(0, color=_MUTED, linewidth=1)
    drawn = []
    for expression, curve in zip(expressions, moved, strict=True):
        colour = _mixed(expression.share)
        style = "-" if expression.share in (0, 1) else (0, (3, 1.5))
        axes.plot(seconds, curve, color=colour, linewidth=1, linestyle=style, alpha=0.45)
        point = axes.plot([], [], "o", color=colour, markersize=5, clip_on=False, zorder=3)[0]
        drawn.append((point, curve))

    def update(frame: int) -> None:
        now.set_width(seconds[frame])
        cursor.set_xdata([seconds[frame]] * 2)
        for point, curve in drawn:
            point.set_data([seconds[frame]], [curve[frame]])

    return update


def _write_mp4(out: Path, figure: Figure, show: Callable[[int], None], n_frames: int, fps: float) -> None:
    import av

    with av.open(str(out), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height = (int(side) for side in figure.canvas.get_width_height())
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "medium", "crf": "18", "tune": "animation"}
        for frame in progress(range(n_frames), f"draw {out.suffix[1:]}", "frame"):
            show(frame)
            figure.canvas.draw()
            image = np.asarray(figure.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(stream.encode())


def _write_gif(out: Path, figure: Figure, show: Callable[[int], None], n_frames: int, fps: float) -> None:
    writer = PillowWriter(fps=fps)  # type: ignore[arg-type]  # it takes fractions
    with writer.saving(figure, str(out), dpi=_DPI * 0.6):
        for frame in progress(range(n_frames), f"draw {out.suffix[1:]}", "frame"):
            show(frame)
            writer.grab_frame()
