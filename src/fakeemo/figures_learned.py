"""The figures of what networks and classifiers have learned: PB space, generation mode, learning and boosting."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from fakeemo.boosting import feature_columns
from fakeemo.drawing import FAKE, GENUINE, INK, MARKERS, MUTED, RULE, Panel, Save, Size
from fakeemo.evaluation import Prediction
from fakeemo.expressions import differences, movement, read_generated
from fakeemo.linear import video_means
from fakeemo.samples import LABELS
from fakeemo.tables import read_header, read_table


def principal_axes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the first two principal axes of ``points`` (n, d): (2, d), and their two shares of the variance.

    An axis that does not exist (d = 1, or too few points) is zero. Each axis points to where its largest loading is
    positive, since a singular vector's sign is arbitrary.
    """
    _, spread, found = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    signs = np.sign(found[np.arange(len(found)), np.abs(found).argmax(axis=1)])
    signs[signs == 0] = 1
    axes = np.zeros((2, points.shape[1]))
    shares = np.zeros(2)
    k = min(2, len(found))
    axes[:k] = found[:k] * signs[:k, None]
    if spread.any():
        shares[:k] = spread[:k] ** 2 / (spread**2).sum()
    return axes, shares


def falls(rates: np.ndarray) -> np.ndarray:
    """Give the epochs (indices) with a lower rate than the one before; of a fall over many epochs the first alone."""
    lower = np.diff(rates, prepend=rates[:1]) < 0
    return np.flatnonzero(lower[1:] & ~lower[:-1]) + 1


class _Plane(NamedTuple):
    """Hold an emotion's PB vectors on their plane: of videos (n, 2), and the learned ones (2, 2), genuine and fake."""

    videos: np.ndarray
    learned: np.ndarray
    shares: np.ndarray
    ids: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    summary: str


def _plane(table: Mapping[str, np.ndarray], learned: np.ndarray, known: Mapping[str, Prediction]) -> _Plane:
    names = feature_columns(list(table), ["pb"])
    ids, means, _ = video_means(table["video_id"], np.stack([table[name] for name in names], axis=1))
    axes, shares = principal_axes(means)
    labels = np.array([known[name].label for name in ids])
    splits = np.array([known[name].split for name in ids])
    summary = f"{len(ids)} videos; the learned vectors are {_apart(*learned):.2g} apart"
    if {"genuine", "fake"} <= set(labels):
        apart = _apart(means[labels == "genuine"].mean(axis=0), means[labels == "fake"].mean(axis=0))
        summary += f", the mean recognised ones of genuine and fake {apart:.2g}"
    centre = means.mean(axis=0)
    return _Plane(
        (means - centre) @ axes.T, (learned - centre) @ axes.T, shares, np.array(ids), labels, splits, summary
    )


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b))


def draw_pb_space(
    save: Save,
    predictions: Sequence[Prediction],
    pb_tables: Mapping[str, str | Path],
    generated: Mapping[str, str | Path],
) -> list[Panel]:
    """Draw the recognised PB vectors of each model on the plane of their greatest variance, with the two learned."""
    known = {row.video_id: row for row in predictions}
    planes: dict[str, _Plane] = {}
    numbers: list[tuple[object, ...]] = []
    for emotion, path in pb_tables.items():
        table, _ = read_table(path)
        if len(table["video_id"]):
            learned = np.array(read_header(generated[emotion])["parameters"]["class_pb"])
            planes[emotion] = found = _plane(table, learned, known)
            points = zip(found.ids, found.splits, found.labels, *found.videos.T, strict=True)
            numbers += [(emotion, *point) for point in points]
            numbers += [(emotion, "", "learned", label, *at) for label, at in zip(LABELS, found.learned, strict=True)]

    def draw(ax: Axes, emotion: str) -> None:
        ax.set_title(emotion)
        if emotion not in planes:
            ax.text(0.5, 0.5, "no usable video", ha="center", color=MUTED, transform=ax.transAxes)
            return
        plane = planes[emotion]
        for split, marker in MARKERS.items():
            size = 13 if split == "train" else 24
            for label, colour in (("genuine", GENUINE), ("fake", FAKE), ("", MUTED)):
                here = (plane.splits == split) & (plane.labels == label)
                face = colour if label == "fake" else "none"  # filled or open, besides the colour
                style: Any = {"marker": marker, "facecolors": face, "edgecolors": colour, "linewidths": 0.9}
                x, y = plane.videos[here].T
                marks = ax.scatter(x, y, size, **style)
                marks.set_urls([f"video:{video_id}" for video_id in plane.ids[here]])
        for label, at, colour in zip(LABELS, plane.learned, (GENUINE, FAKE), strict=True):
            # On a pale ground: the two often lie among the points.
            ax.plot(*at, "*", markersize=15, markerfacecolor="white", markeredgecolor="white", zorder=3)
            face = colour if label == "fake" else "white"
            ax.plot(*at, "*", markersize=11, markerfacecolor=face, markeredgecolor=colour, zorder=4)
        ax.margins(0.08)
        ax.locator_params(nbins=4)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter("{x:g}")
        ax.set_xlabel(f"axis 1 ({100 * plane.shares[0]:.0f} % of variance)")
        ax.set_ylabel(f"axis 2 ({100 * plane.shares[1]:.0f} %)")

    header = ("emotion", "video_id", "split", "label", "axis_1", "axis_2")
    summaries = {emotion: planes[emotion].summary if emotion in planes else "no usable video" for emotion in pb_tables}
    return save("pb_space", draw, list(pb_tables), Size(2.6, 2.4, left=0.65), header, numbers, summaries.__getitem__)


def draw_generation(save: Save, generated: Mapping[str, str | Path]) -> list[Panel]:
    """Draw how far the faces move that each model generates as genuine and as fake, and how far they are ever apart."""
    made = {emotion: read_generated(path) for emotion, path in generated.items()}
    moved = {emotion: movement(found.points, found.neutral) for emotion, found in made.items()}
    apart = {emotion: differences(found.points, found.neutral) for emotion, found in made.items()}

    def draw(ax: Axes, emotion: str) -> None:
        seconds = np.arange(moved[emotion].shape[1]) / made[emotion].fps
        ax.set_title(emotion)
        ax.plot(seconds, moved[emotion][0], color=GENUINE, linewidth=1.4, label="genuine")
        ax.plot(seconds, moved[emotion][-1], color=FAKE, linewidth=1.4, linestyle=(0, (4, 1.5)), label="fake")
        ax.plot(seconds, apart[emotion], color=MUTED, linewidth=1, linestyle=(0, (1, 1)), label="apart")
        ax.set_ylim(bottom=0)
        ax.locator_params(nbins=5)
        ax.set_xlabel("seconds")
        ax.set_ylabel("% of eye distance")
        ax.legend(loc="upper left", bbox_to_anchor=(-0.1, -0.26), ncols=3, handlelength=2, columnspacing=1)

    def summary(emotion: str) -> str:
        genuine, fake = moved[emotion][[0, -1]].max(axis=1)
        return (
            f"genuine moves up to {genuine:.2g}, fake up to {fake:.2g} per cent of the distance of the eyes;"
            f" the two are up to {apart[emotion].max():.2g} per cent apart"
        )

    numbers = [
        (emotion, frame, frame / made[emotion].fps, moved[emotion][0, frame], moved[emotion][-1, frame], difference)
        for emotion in made
        for frame, difference in enumerate(apart[emotion])
    ]
    header = ("emotion", "frame", "seconds", "genuine_moved", "fake_moved", "apart")
    return save("generation", draw, list(made), Size(2.6, 2.3, bottom=0.65), header, numbers, summary)


def draw_learning_curves(save: Save, histories: Mapping[str, str | Path]) -> list[Panel]:
    """Draw the loss of each network by epoch, and the distance of its class PB vectors."""
    curves: dict[str, dict[str, np.ndarray]] = {}
    for emotion, path in histories.items():
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        names = ("epoch", "loss", "weight_rate", "pb_distance")
        curves[emotion] = {name: np.array([float(row[name]) for row in rows]) for name in names}

    def draw(ax: Axes, emotion: str) -> None:
        curve = curves[emotion]
        ax.set_title(emotion)
        ax.plot(curve["epoch"], curve["loss"], color=INK, linewidth=1.4, label="loss")
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel("epoch")
        ax.set_ylabel("mean square error")
        for epoch in curve["epoch"][falls(curve["weight_rate"])]:
            ax.axvline(epoch, color=RULE, linewidth=0.8)
        right = ax.twinx()
        right.spines["right"].set_visible(True)
        right.plot(curve["epoch"], curve["pb_distance"], color=MUTED, linewidth=1.2, linestyle="--")
        right.set_ylabel("distance of class PBs", color=MUTED)
        right.set_ylim(bottom=0)
        right.ticklabel_format(style="sci", scilimits=(-2, 3), axis="y")

    header = ("emotion", "epoch", "loss", "weight_rate", "pb_distance")
    numbers = [(emotion, *row) for emotion, curve in curves.items() for row in zip(*curve.values(), strict=True)]

    def summary(emotion: str) -> str:
        loss, distance = curves[emotion]["loss"], curves[emotion]["pb_distance"]
        return (
            f"error from {loss[0]:.2g} to {loss[-1]:.2g} in {len(loss)} epochs; distance at the end {distance[-1]:.2g}"
        )

    size = Size(2.8, 2.2, left=0.65, right=0.5)
    return save("learning_curves", draw, list(curves), size, header, numbers, summary)


def draw_boosting(save: Save, boosting: Mapping[str, Mapping[str, Any]]) -> list[Panel]:
    """Draw the held-out log-loss of each classifier by number of trees."""

    def draw(ax: Axes, emotion: str) -> None:
        info = boosting[emotion]
        losses = info["log_loss_by_trees"]
        ax.set_title(emotion)
        ax.axhline(info["log_loss_of_guessing"], color=MUTED, linewidth=0.8, linestyle=(0, (1, 1.5)))
        ax.plot(range(1, len(losses) + 1), losses, color=INK, linewidth=1.4)
        ax.plot(info["trees"], losses[info["trees"] - 1], "o", color=INK, markersize=4, clip_on=False)
        ax.set_xlim(0, len(losses))
        ax.locator_params(nbins=4)
        ax.set_xlabel("trees")
        ax.set_ylabel("held-out log-loss")

    header = ("emotion", "trees", "log_loss")
    numbers = [
        (emotion, k, loss) for emotion, info in boosting.items() for k, loss in enumerate(info["log_loss_by_trees"], 1)
    ]

    def summary(emotion: str) -> str:
        info = boosting[emotion]
        return f"{info['log_loss']:.3f} with {info['trees']} trees, guessing {info['log_loss_of_guessing']:.3f}"

    return save("boosting", draw, list(boosting), Size(2.5, 2.1), header, numbers, summary)
