"""The figures of the report, as files fit for a paper and as panels for the page, with the numbers behind them.

Each figure is drawn twice by the same code: once whole, as SVG and PNG with a CSV file of its numbers beside them,
and once panel by panel, as SVG text that the page lays out by its own width. Nothing in the files depends on the
time or the machine's clock, so equal inputs give equal files.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from fakeemo.evaluation import Prediction, auc, roc_curve
from fakeemo.samples import JUDGED
from fakeemo.tables import read_table, replacing

FIGURES = ("accuracy", "roc", "pb_space", "learning_curves", "boosting")  # each .svg, .png and .csv

# In the page each of these colours becomes the CSS variable of that name, so that it follows light and dark.
# Genuine and fake are the blue and vermilion of Okabe & Ito, told apart under all common colour blindness.
_COLOURS = {
    "ink": "#22262b",
    "muted": "#69707a",
    "rule": "#d5d9de",
    "genuine": "#0072b2",
    "fake": "#d55e00",
}
_INK, _MUTED, _RULE, _GENUINE, _FAKE = _COLOURS.values()
_STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.color": _INK,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "grid.color": _RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "fakeemo",
}
_MARKERS = {"train": "o", "valid": "^", "test": "s", "cv": "o"}
_SPLIT_NAMES = {"train": "training", "valid": "validation", "test": "test", "cv": "cross-validation"}
_DPI = 200
_FOOT = 0.2  # inches below the panels of a file, for the protocol


class _Size(NamedTuple):
    """Hold a panel's width and height and the margins around its axes, all in inches."""

    width: float
    height: float
    left: float = 0.5
    right: float = 0.1
    bottom: float = 0.42
    top: float = 0.25


class Panel(NamedTuple):
    """Hold one drawing for the page: its SVG element as text, in which colours are CSS variables."""

    name: str
    svg: str


_Save = Callable[..., list[Panel]]  # _save, with the folder and the protocol given


def draw_figures(
    folder: str | Path,
    *,
    predictions: Sequence[Prediction],
    metrics: Mapping[str, Any],
    histories: Mapping[str, str | Path],
    pb_tables: Mapping[str, str | Path],
    boosting: Mapping[str, Mapping[str, Any]],
) -> dict[str, list[Panel]]:
    """Write all figures into ``folder`` and give their panels for the page, by the names in :data:`FIGURES`.

    ``histories`` and ``pb_tables`` are files by model (an emotion, or an emotion and a fold), ``boosting`` what
    ``boosting.fit_boosting`` found by model. Each file says by which protocol its videos were judged.
    """
    save = partial(_save, Path(folder), metrics["protocol"])
    with matplotlib.rc_context(_STYLE):
        return {
            "accuracy": _draw_accuracy(save, metrics),
            "roc": _draw_roc(save, predictions),
            "pb_space": _draw_pb_space(save, predictions, pb_tables),
            "learning_curves": _draw_learning_curves(save, histories),
            "boosting": _draw_boosting(save, boosting),
        }


def principal_plane(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Project ``points`` (n, d) on their first two principal axes: (n, 2), and the two shares of the variance.

    An axis that does not exist (d = 1, or too few points) is zero. Each axis points to where its largest loading is
    positive, since a singular vector's sign is arbitrary.
    """
    centred = points - points.mean(axis=0)
    _, spread, axes = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    signs[signs == 0] = 1
    plane = np.zeros((len(points), 2))
    shares = np.zeros(2)
    k = min(2, len(axes))
    plane[:, :k] = centred @ (axes[:k] * signs[:k, None]).T
    if spread.any():
        shares[:k] = spread[:k] ** 2 / (spread**2).sum()
    return plane, shares


def _draw_accuracy(save: _Save, metrics: Mapping[str, Any]) -> list[Panel]:
    splits = [split for split in JUDGED if split in metrics["splits"]]
    cells = {
        split: {"all": metrics["splits"][split]["overall"], **metrics["splits"][split]["emotions"]} for split in splits
    }
    names = list(dict.fromkeys(name for split in splits for name in cells[split]))

    def draw(ax: Axes, _: str) -> None:
        ax.axvline(50, color=_MUTED, linewidth=0.8, linestyle=(0, (1, 1.5)))
        for k, split in enumerate(splits):
            style = _split_style(split)
            for y, name in enumerate(names):
                cell = cells[split].get(name)
                if cell and cell["n"]:
                    low, high = (100 * value for value in cell["interval"])
                    at = y + (k - (len(splits) - 1) / 2) * 0.3
                    ax.plot([low, high], [at, at], color=style["color"], linewidth=1.2)
                    label = _SPLIT_NAMES[split] if name == names[0] else None
                    ax.plot(
                        100 * cell["accuracy"],
                        at,
                        _MARKERS[split],
                        **style | {"linestyle": ""},
                        label=label,
                        clip_on=False,
                    )
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_xlim(0, 100)
        ax.set_xlabel("accuracy, %, with 95 % Wilson interval (dotted: chance)")
        ax.grid(axis="x")
        if ax.get_legend_handles_labels()[0]:
            ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)

    header = ("split", "emotion", "n", "correct", "accuracy", "low", "high", "balanced_accuracy", "auc")
    numbers = []
    for split, part in metrics["splits"].items():
        for name, cell in {"all": part["overall"], **part["emotions"]}.items():
            low, high = cell["interval"] or (None, None)
            counts = (cell["n"], cell["correct"], cell["accuracy"], low, high)
            numbers.append((split, name, *counts, cell["balanced_accuracy"], cell["auc"]))
    size = _Size(4.6, 0.9 + 0.36 * max(1, len(names)), left=0.75)
    return save("accuracy", draw, ["Accuracy by emotion"], size, header, numbers)


def _draw_roc(save: _Save, predictions: Sequence[Prediction]) -> list[Panel]:
    emotions = list(dict.fromkeys(row.emotion for row in predictions))
    curves: dict[tuple[str, str], tuple[np.ndarray, str]] = {}
    numbers = []
    for emotion in emotions:
        for split in JUDGED:
            rows = [
                r for r in predictions if (r.emotion, r.split) == (emotion, split) and r.label and r.score is not None
            ]
            is_fake = [row.label == "fake" for row in rows]
            if len(set(is_fake)) < 2:
                continue
            scores = [float(row.score or 0) for row in rows]
            curve = roc_curve(is_fake, scores)
            curves[emotion, split] = curve, f"{_SPLIT_NAMES[split]}: AUC {auc(is_fake, scores):.2f}, {len(rows)} videos"
            numbers += [(emotion, split, *point) for point in curve]

    def draw(ax: Axes, emotion: str) -> None:
        ax.set_title(emotion)
        ax.plot([0, 1], [0, 1], color=_RULE, linewidth=0.8)
        found = [split for split in reversed(JUDGED) if (emotion, split) in curves]
        for split in found:
            curve, label = curves[emotion, split]
            ax.plot(curve[:, 0], curve[:, 1], **_split_style(split), label=label, clip_on=False)
        if found:
            ax.legend(loc="upper left", bbox_to_anchor=(0, -0.22), handlelength=2, borderaxespad=0, reverse=True)
        else:
            ax.text(0.5, 0.5, "no labelled videos of both kinds", ha="center", color=_MUTED)
        ax.set_xlim(-0.02, 1.02)
        ax.set_ylim(-0.02, 1.02)
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        ax.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        ax.set_aspect("equal")
        ax.set_xlabel("genuine called fake")
        ax.set_ylabel("fake called fake")

    header = ("emotion", "split", "false_positive_rate", "true_positive_rate", "threshold")
    return save("roc", draw, emotions, _Size(2.6, 2.9, right=0.2, bottom=0.8), header, numbers)


def _draw_pb_space(save: _Save, predictions: Sequence[Prediction], pb_tables: Mapping[str, str | Path]) -> list[Panel]:
    known = {row.video_id: row for row in predictions}
    planes: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = {}
    numbers = []
    for emotion, path in pb_tables.items():
        table, _ = read_table(path)
        video_ids, video = np.unique(table["video_id"], return_inverse=True)
        if len(video_ids) == 0:
            continue
        names = sorted((n for n in table if re.fullmatch(r"pb_\d+", n)), key=lambda n: int(n[3:]))
        rows = np.stack([table[name] for name in names], axis=1).astype(float)
        means = np.stack([np.bincount(video, column) for column in rows.T], axis=1) / np.bincount(video)[:, None]
        plane, shares = principal_plane(means)
        labels = np.array([known[name].label for name in video_ids])
        splits = np.array([known[name].split for name in video_ids])
        planes[emotion] = plane, shares, labels, splits
        numbers += [(emotion, *row) for row in zip(video_ids, splits, labels, plane[:, 0], plane[:, 1], strict=True)]

    def draw(ax: Axes, emotion: str) -> None:
        ax.set_title(emotion)
        if emotion not in planes:
            ax.text(0.5, 0.5, "no usable video", ha="center", color=_MUTED, transform=ax.transAxes)
            return
        plane, shares, labels, splits = planes[emotion]
        for split, marker in _MARKERS.items():
            size = 13 if split == "train" else 24
            for label, colour in (("genuine", _GENUINE), ("fake", _FAKE), ("", _MUTED)):
                at = plane[(splits == split) & (labels == label)]
                face = colour if label == "fake" else "none"  # filled or open, besides the colour
                ax.scatter(at[:, 0], at[:, 1], size, marker=marker, facecolors=face, edgecolors=colour, linewidths=0.9)
        ax.margins(0.08)
        ax.locator_params(nbins=4)
        ax.ticklabel_format(style="sci", scilimits=(-2, 3))
        ax.set_xlabel(f"axis 1 ({100 * shares[0]:.0f} % of variance)")
        ax.set_ylabel(f"axis 2 ({100 * shares[1]:.0f} %)")

    header = ("emotion", "video_id", "split", "label", "axis_1", "axis_2")
    return save("pb_space", draw, list(pb_tables), _Size(2.5, 2.4), header, numbers)


def _draw_learning_curves(save: _Save, histories: Mapping[str, str | Path]) -> list[Panel]:
    curves: dict[str, dict[str, np.ndarray]] = {}
    for emotion, path in histories.items():
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        names = ("epoch", "loss", "weight_rate", "pb_distance")
        curves[emotion] = {name: np.array([float(row[name]) for row in rows]) for name in names}

    def draw(ax: Axes, emotion: str) -> None:
        curve = curves[emotion]
        ax.set_title(emotion)
        ax.plot(curve["epoch"], curve["loss"], color=_INK, linewidth=1.4, label="loss")
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel("epoch")
        ax.set_ylabel("mean square error")
        for epoch in curve["epoch"][1:][np.diff(curve["weight_rate"]) < 0]:
            ax.axvline(epoch, color=_RULE, linewidth=0.8)
        right = ax.twinx()
        right.spines["right"].set_visible(True)
        right.plot(curve["epoch"], curve["pb_distance"], color=_MUTED, linewidth=1.2, linestyle="--")
        right.set_ylabel("distance of class PBs", color=_MUTED)
        right.set_ylim(bottom=0)
        right.ticklabel_format(style="sci", scilimits=(-2, 3), axis="y")

    header = ("emotion", "epoch", "loss", "weight_rate", "pb_distance")
    numbers = [(emotion, *row) for emotion, curve in curves.items() for row in zip(*curve.values(), strict=True)]
    return save("learning_curves", draw, list(curves), _Size(2.8, 2.2, left=0.65, right=0.5), header, numbers)


def _draw_boosting(save: _Save, boosting: Mapping[str, Mapping[str, Any]]) -> list[Panel]:
    def draw(ax: Axes, emotion: str) -> None:
        info = boosting[emotion]
        losses = info["log_loss_by_trees"]
        ax.set_title(emotion)
        ax.axhline(info["log_loss_of_guessing"], color=_MUTED, linewidth=0.8, linestyle=(0, (1, 1.5)))
        ax.plot(range(1, len(losses) + 1), losses, color=_INK, linewidth=1.4)
        ax.plot(info["trees"], losses[info["trees"] - 1], "o", color=_INK, markersize=4, clip_on=False)
        ax.set_xlim(0, len(losses))
        ax.locator_params(nbins=4)
        ax.set_xlabel("trees")
        ax.set_ylabel("held-out log-loss")

    header = ("emotion", "trees", "log_loss")
    numbers = [
        (emotion, k, loss) for emotion, info in boosting.items() for k, loss in enumerate(info["log_loss_by_trees"], 1)
    ]
    return save("boosting", draw, list(boosting), _Size(2.5, 2.1), header, numbers)


def _split_style(split: str) -> dict[str, Any]:
    """Give the line style by which a split is known in every figure: grey or dashed, besides its marker."""
    if split != "valid":
        return {"color": _INK, "linestyle": "-", "linewidth": 1.6, "markersize": 5}
    return {"color": _MUTED, "linestyle": (0, (4, 1.5)), "linewidth": 1.2, "markersize": 5}


def _save(
    folder: Path,
    protocol: str,
    name: str,
    draw: Callable[[Axes, str], None],
    keys: Sequence[str],
    size: _Size,
    header: Sequence[str],
    numbers: Iterable[Sequence[object]],
) -> list[Panel]:
    """Write figure ``name`` (three panels a row) and its numbers; give its panels."""
    n_columns = min(3, max(1, len(keys)))
    n_rows = max(1, -(-len(keys) // n_columns))
    whole = Figure(figsize=(size.width * n_columns, size.height * n_rows + _FOOT))
    whole.text(0.01, 0.3 * _FOOT / whole.get_figheight(), f"Protocol: {protocol}", fontsize=7, color=_MUTED)
    for i, key in enumerate(keys):
        draw(_add_axes(whole, size, row=n_rows - 1 - i // n_columns, column=i % n_columns, foot=_FOOT), key)
    with replacing(folder / f"{name}.svg") as temporary:
        whole.savefig(temporary, metadata={"Date": None})
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
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
        panels.append(Panel(key, _inline(text.getvalue(), f"{name}-{len(panels)}")))
    return panels


def _add_axes(figure: Figure, size: _Size, *, row: int, column: int, foot: float = 0) -> Axes:
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


def _inline(svg: str, prefix: str) -> str:
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
    svg = svg.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)
    for name, colour in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg.strip()
