"""The figures of the report, as files fit for a paper and as panels for the page, with the numbers behind them."""

import csv
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from fakeemo import drawing
from fakeemo.boosting import feature_columns
from fakeemo.calibration import read_calibration
from fakeemo.drawing import (
    FAKE,
    GENUINE,
    INK,
    MARKERS,
    MUTED,
    RULE,
    SPLIT_NAMES,
    STYLE,
    Panel,
    Size,
    split_style,
)
from fakeemo.evaluation import Prediction, auc, roc_curve, wilson
from fakeemo.evidence import reliability
from fakeemo.linear import video_means
from fakeemo.samples import JUDGED
from fakeemo.tables import read_table

FIGURES = ("accuracy", "roc", "reliability", "pb_space", "learning_curves", "boosting")  # each .svg, .png and .csv


_Save = Callable[..., list[Panel]]  # drawing.save, with the folder and the protocol given


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
    save = partial(drawing.save, Path(folder), metrics["protocol"])
    with matplotlib.rc_context(STYLE):
        return {
            "accuracy": _draw_accuracy(save, metrics),
            "roc": _draw_roc(save, predictions),
            "reliability": _draw_reliability(save, predictions, metrics, boosting),
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


def falls(rates: np.ndarray) -> np.ndarray:
    """Give the epochs (indices) with a lower rate than the one before; of a fall over many epochs the first alone."""
    lower = np.diff(rates, prepend=rates[:1]) < 0
    return np.flatnonzero(lower[1:] & ~lower[:-1]) + 1


def _draw_accuracy(save: _Save, metrics: Mapping[str, Any]) -> list[Panel]:
    splits = [split for split in JUDGED if split in metrics["splits"]]
    cells = {
        split: {"all": metrics["splits"][split]["overall"], **metrics["splits"][split]["emotions"]} for split in splits
    }
    names = list(dict.fromkeys(name for split in splits for name in cells[split]))

    def draw(ax: Axes, _: str) -> None:
        ax.axvline(50, color=MUTED, linewidth=0.8, linestyle=(0, (1, 1.5)))
        for k, split in enumerate(splits):
            style = split_style(split)
            for y, name in enumerate(names):
                cell = cells[split].get(name)
                if cell and cell["n"]:
                    low, high = (100 * value for value in cell["interval"])
                    at = y + (k - (len(splits) - 1) / 2) * 0.3
                    ax.plot([low, high], [at, at], color=style["color"], linewidth=1.2)
                    label = SPLIT_NAMES[split] if name == names[0] else None
                    ax.plot(
                        100 * cell["accuracy"],
                        at,
                        MARKERS[split],
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

    counted = ("split", "emotion", "n", "correct", "accuracy", "low", "high", "balanced_accuracy")
    header = (*counted, "auc", "auc_low", "auc_high", "p_value")
    numbers = []
    for split, part in metrics["splits"].items():
        for name, cell in {"all": part["overall"], **part["emotions"]}.items():
            low, high = cell["interval"] or (None, None)
            counts = (cell["n"], cell["correct"], cell["accuracy"], low, high)
            areas = (cell["auc"], *(cell["auc_interval"] or (None, None)))
            p_value = cell["permutation"]["p"] if cell["permutation"] else None
            numbers.append((split, name, *counts, cell["balanced_accuracy"], *areas, p_value))
    size = Size(4.6, 0.9 + 0.36 * max(1, len(names)), left=0.75)
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
            curves[emotion, split] = curve, f"{SPLIT_NAMES[split]}: AUC {auc(is_fake, scores):.2f}, {len(rows)} videos"
            numbers += [(emotion, split, *point) for point in curve]

    def draw(ax: Axes, emotion: str) -> None:
        ax.set_title(emotion)
        ax.plot([0, 1], [0, 1], color=RULE, linewidth=0.8)
        found = [split for split in reversed(JUDGED) if (emotion, split) in curves]
        for split in found:
            curve, label = curves[emotion, split]
            ax.plot(curve[:, 0], curve[:, 1], **split_style(split), label=label, clip_on=False)
        if found:
            ax.legend(loc="upper left", bbox_to_anchor=(0, -0.22), handlelength=2, borderaxespad=0, reverse=True)
        else:
            ax.text(0.5, 0.5, "no labelled videos of both kinds", ha="center", color=MUTED)
        ax.set_xlim(-0.02, 1.02)
        ax.set_ylim(-0.02, 1.02)
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        ax.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        ax.set_aspect("equal")
        ax.set_xlabel("genuine called fake")
        ax.set_ylabel("fake called fake")

    header = ("emotion", "split", "false_positive_rate", "true_positive_rate", "threshold")
    return save("roc", draw, emotions, Size(2.6, 2.9, right=0.2, bottom=0.8), header, numbers)


def held_out_training(
    predictions: Sequence[Prediction], boosting: Mapping[str, Mapping[str, Any]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the training videos' labels (True: fake), held-out raw scores, and those calibrated: (videos,) each.

    Each video once, as the first model that learned from it held it out: in cross-validation several do. The folds
    chose the boosting's settings and its calibration by these scores, so they flatter a little.
    """
    labels = {row.video_id: row.label for row in predictions}
    found: dict[str, list[float]] = {}
    for info in boosting.values():
        raw = info["out_of_fold"]
        calibrated = read_calibration(info)(list(raw.values()))
        for video_id, *pair in zip(raw, raw.values(), calibrated, strict=True):
            found.setdefault(video_id, pair)
    is_fake = np.array([labels[video_id] == "fake" for video_id in found], bool)
    scores = np.array(list(found.values()), float).reshape(-1, 2)
    return is_fake, scores[:, 0], scores[:, 1]


def _draw_reliability(
    save: _Save,
    predictions: Sequence[Prediction],
    metrics: Mapping[str, Any],
    boosting: Mapping[str, Mapping[str, Any]],
) -> list[Panel]:
    curves: dict[str, dict[str, dict[str, Any]]] = {}
    is_fake, raw, calibrated = held_out_training(predictions, boosting)
    if len(is_fake):
        curves["training, held out"] = {"raw": reliability(is_fake, raw), "score": reliability(is_fake, calibrated)}
    for split in reversed(JUDGED):
        found = metrics["splits"].get(split, {}).get("overall", {}).get("calibration")
        if found:
            curves[SPLIT_NAMES[split]] = {"score": found}

    def draw(ax: Axes, key: str) -> None:
        ax.set_title(key)
        ax.plot([0, 1], [0, 1], color=RULE, linewidth=0.8)
        for kind, found in curves[key].items():
            bins = found["bins"]
            style = split_style("test" if kind == "score" else "valid")
            x = [part["score"] for part in bins]
            y = [part["n_fake"] / part["n"] for part in bins]
            n = sum(part["n"] for part in bins)
            name = "before calibration" if kind == "raw" else f"{n} videos"
            label = f"{name}: Brier {found['brier']:.3f}"
            if kind == "score":
                for at, part in zip(x, bins, strict=True):
                    ax.plot([at, at], wilson(part["n_fake"], part["n"]), color=INK, linewidth=1)
            style |= {"linewidth": 1, "marker": "o" if kind == "score" else ""}
            ax.plot(x, y, **style, label=label, clip_on=False)
        ax.legend(loc="upper left", bbox_to_anchor=(0, -0.22), handlelength=2, borderaxespad=0, reverse=True)
        for set_limits, set_ticks in ((ax.set_xlim, ax.set_xticks), (ax.set_ylim, ax.set_yticks)):
            set_limits(-0.02, 1.02)
            set_ticks([0, 0.5, 1], ["0", "0.5", "1"])
        ax.set_aspect("equal")
        ax.set_xlabel("mean score")
        ax.set_ylabel("share of fake")

    numbers = [
        (key, kind, part["n"], part["score"], part["n_fake"], *wilson(part["n_fake"], part["n"]))
        for key, found in curves.items()
        for kind, curve in found.items()
        for part in curve["bins"]
    ]
    header = ("videos", "kind", "n", "mean_score", "n_fake", "low", "high")
    size = Size(2.6, 2.9, right=0.2, bottom=0.8)
    return save("reliability", draw, list(curves), size, header, numbers)


def _draw_pb_space(save: _Save, predictions: Sequence[Prediction], pb_tables: Mapping[str, str | Path]) -> list[Panel]:
    known = {row.video_id: row for row in predictions}
    planes: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = {}
    numbers = []
    for emotion, path in pb_tables.items():
        table, _ = read_table(path)
        if len(table["video_id"]) == 0:
            continue
        names = feature_columns(list(table), ["pb"])
        video_ids, means, _ = video_means(table["video_id"], np.stack([table[name] for name in names], axis=1))
        plane, shares = principal_plane(means)
        labels = np.array([known[name].label for name in video_ids])
        splits = np.array([known[name].split for name in video_ids])
        planes[emotion] = plane, shares, labels, splits
        numbers += [(emotion, *row) for row in zip(video_ids, splits, labels, plane[:, 0], plane[:, 1], strict=True)]

    def draw(ax: Axes, emotion: str) -> None:
        ax.set_title(emotion)
        if emotion not in planes:
            ax.text(0.5, 0.5, "no usable video", ha="center", color=MUTED, transform=ax.transAxes)
            return
        plane, shares, labels, splits = planes[emotion]
        for split, marker in MARKERS.items():
            size = 13 if split == "train" else 24
            for label, colour in (("genuine", GENUINE), ("fake", FAKE), ("", MUTED)):
                at = plane[(splits == split) & (labels == label)]
                face = colour if label == "fake" else "none"  # filled or open, besides the colour
                ax.scatter(at[:, 0], at[:, 1], size, marker=marker, facecolors=face, edgecolors=colour, linewidths=0.9)
        ax.margins(0.08)
        ax.locator_params(nbins=4)
        ax.ticklabel_format(style="sci", scilimits=(-2, 3))
        ax.set_xlabel(f"axis 1 ({100 * shares[0]:.0f} % of variance)")
        ax.set_ylabel(f"axis 2 ({100 * shares[1]:.0f} %)")

    header = ("emotion", "video_id", "split", "label", "axis_1", "axis_2")
    return save("pb_space", draw, list(pb_tables), Size(2.5, 2.4), header, numbers)


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
    return save("learning_curves", draw, list(curves), Size(2.8, 2.2, left=0.65, right=0.5), header, numbers)


def _draw_boosting(save: _Save, boosting: Mapping[str, Mapping[str, Any]]) -> list[Panel]:
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
    return save("boosting", draw, list(boosting), Size(2.5, 2.1), header, numbers)
