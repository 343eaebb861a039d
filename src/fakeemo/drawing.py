"""How every figure of the report is drawn: colours and type, and one code for file and page.

Each figure is drawn twice by the same code: once whole, as SVG and PNG with a CSV file of its numbers beside them,
and once panel by panel, as SVG text that the page lays out by its own width. Nothing in the files depends on the
time or the machine's clock, so equal inputs give equal files.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fakeemo.files import replacing

# In the page each of these colours becomes the CSS variable of that name, so that it follows light and dark.
# Genuine and fake are the blue and vermilion of Okabe & Ito, told apart under all common colour blindness.
COLOURS = {
    "ink": "#22262b",
    "muted": "#69707a",
    "rule": "#d5d9de",
    "genuine": "#0072b2",
    "fake": "#d55e00",
}
INK, MUTED, RULE, GENUINE, FAKE = COLOURS.values()
STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "fakeemo",
}
MARKERS = {"train": "o", "valid": "^", "test": "s", "cv": "o"}
SPLIT_NAMES = {"train": "training", "valid": "validation", "test": "test", "cv": "cross-validation"}
_DPI = 200
_FOOT = 0.2  # inches below the panels of a file, for the protocol


class Size(NamedTuple):
    """Hold a panel's width and height and the margins around its axes, all in inches."""

    width: float
    height: float
    left: float = 0.5
    right: float = 0.1
    bottom: float = 0.42
    top: float = 0.25


class Panel(NamedTuple):
    """Hold one drawing for the page.

    ``svg`` is its element as text, in which colours are CSS variables; ``summary`` says in words what it shows, to
    those who cannot see it.
    """

    name: str
    svg: str
    summary: str


Save = Callable[..., list[Panel]]
"""Function :func:`save` with folder and protocol given."""


def split_style(split: str) -> dict[str, Any]:
    """Give the line style by which a split is known in every figure: grey or dashed, besides its marker."""
    if split != "valid":
        return {"color": INK, "linestyle": "-", "linewidth": 1.6, "markersize": 5}
    return {"color": MUTED, "linestyle": (0, (4, 1.5)), "linewidth": 1.2, "markersize": 5}


def save(
    folder: Path,
    protocol: str,
    name: str,
    draw: Callable[[Axes, str], None],
    keys: Sequence[str],
    size: Size,
    header: Sequence[str],
    numbers: Iterable[Sequence[object]],
    summary: Callable[[str], str] = str,
) -> list[Panel]:
    """Write figure ``name`` (three panels a row, below them the protocol) and its numbers; give its panels.

    ``draw`` fills the axes of the panel that one of ``keys`` names, ``summary`` puts the panel into words, ``numbers``
    are the rows of the CSV file below ``header``. A mark with the URL ``video:ID`` is a video's: the page plays it.
    """
    n_columns = min(3, max(1, len(keys)))
    n_rows = max(1, -(-len(keys) // n_columns))
    whole = Figure(figsize=(size.width * n_columns, size.height * n_rows + _FOOT))
    whole.text(0.01, 0.3 * _FOOT / whole.get_figheight(), f"Protocol: {protocol}", fontsize=7, color=MUTED)
    for i, key in enumerate(keys):
        draw(_add_axes(whole, size, row=n_rows - 1 - i // n_columns, column=i % n_columns, foot=_FOOT), key)
    with replacing(folder / f"{name}.svg") as temporary:
        # Links are for the page.
        temporary.write_text(re.sub(r"</?a\b[^>]*>", "", _svg(whole)), encoding="utf-8")
    with replacing(folder / f"{name}.png") as temporary:
        whole.savefig(temporary, dpi=_DPI)
    with replacing(folder / f"{name}.csv") as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_plain(cell) for cell in row] for row in numbers)

    panels: list[Panel] = []
    for key in keys:
        figure = Figure(figsize=(size.width, size.height))
        draw(_add_axes(figure, size, row=0, column=0), key)
        panels.append(Panel(key, inline(_svg(figure, transparent=True), f"{name}-{len(panels)}"), summary(key)))
    return panels


def _svg(figure: Figure, transparent: bool = False) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=transparent, metadata={"Date": None})
    return text.getvalue()


def _add_axes(figure: Figure, size: Size, *, row: int, column: int, foot: float = 0) -> Axes:
    """Add the axes of the panel in ``row`` (from below) and ``column``, with the same margins in every panel.

    ``foot`` is left free below all panels (inches).
    """
    width, height = figure.get_size_inches()
    x, y = column * size.width + size.left, row * size.height + size.bottom + foot
    w, h = size.width - size.left - size.right, size.height - size.bottom - size.top
    return figure.add_axes((x / width, y / height, w / width, h / height))


def _plain(cell: object) -> object:
    """Round a number for a CSV file; None is an empty cell."""
    if cell is None:
        return ""
    return f"{float(cell):.8g}" if isinstance(cell, float | np.floating) else cell


def inline(svg: str, prefix: str) -> str:
    """Turn a whole SVG file into an element that can stand in a page beside others.

    Without prologue, metadata and style sheet (which would reach beyond the drawing), with ids of its own, with its
    size left to the page, and with the named colours as CSS variables.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = svg.replace("url(#", f"url(#{prefix}-").replace('href="#', f'href="#{prefix}-')
    svg = re.sub(r'<a xlink:href="video:', '<a data-video="', svg)
    svg = svg.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg.strip()
