"""The figures of the report, as files fit for a paper and as panels for the page, with the numbers behind them."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from fakeemo import drawing
from fakeemo.calibration import read_calibration
from fakeemo.drawing import (
    INK,
    MARKERS,
    MUTED,
    RULE,
    SPLIT_NAMES,
    STYLE,
    Panel,
    Save,
    Size,
    split_style,
)
from fakeemo.evaluation import Prediction, auc, roc_curve, wilson
from fakeemo.evidence import reliability
from fakeemo.figures_learned import draw_boosting, draw_generation, draw_learning_curves, draw_pb_space
from fakeemo.samples import JUDGED, LABELS

SINGLY, BY_PAIRS = "Each video by itself", "By pairs: an easier question"


def draw_figures(
    folder: str | Path,
    *,
    predictions: Sequence[Prediction],
    metrics: Mapping[str, Any],
    histories: Mapping[str, str | Path],
    pb_tables: Mapping[str, str | Path],
    generated: Mapping[str, str | Path],
    boosting: Mapping[str, Mapping[str, Any]],
) -> dict[str, list[Panel]]:
    """Write all figures into ``folder`` and give their panels for the page, by name: the rules know the same names.

    ``histories``, ``pb_tables`` and ``generated`` are files by model (an emotion, or an emotion and a fold),
    ``boosting`` what ``boosting.fit_boosting`` found by model. Each file says by which protocol its videos were judged.
    """
    save = partial(drawing.save, Path(folder), metrics["protocol"])
    with matplotlib.rc_context(STYLE):
        return {
            "accuracy": _draw_accuracy(save, metrics),
            "roc": _draw_roc(save, predictions),
            "confusion": _draw_confusion(save, metrics),
            "reliability": _draw_reliability(save, predictions, metrics, boosting),
            "pb_space": draw_pb_space(save, predictions, pb_tables, generated),
            "generation": draw_generation(save, generated),
            "learning_curves": draw_learning_curves(save, histories),
            "boosting": draw_boosting(save, boosting),
        }


def _draw_accuracy(save: Save, metrics: Mapping[str, Any]) -> list[Panel]:
    splits = [split for split in JUDGED if split in metrics["splits"]]
    cells = {
        split: {"all": metrics["splits"][split]["overall"], **metrics["splits"][split]["emotions"]} for split in splits
    }
    names = list(dict.fromkeys(name for split in splits for name in cells[split]))

    def draw(ax: Axes, key: str) -> None:
        ax.axvline(50, color=MUTED, linewidth=0.8, linestyle=(0, (1, 1.5)))
        for k, split in enumerate(splits):
            style = split_style(split)
            for y, name in enumerate(names):
                cell = cells[split].get(name) or {}
                cell = cell.get("paired", {}) if key == BY_PAIRS else cell
                if cell.get("interval"):
                    low, high = (100 * value for value in cell["interval"])
                    at = y + (k - (len(splits) - 1) / 2) * 0.3
                    ax.plot([low, high], [at, at], color=style["color"], linewidth=1.2)
                    ax.plot(100 * cell["accuracy"], at, MARKERS[split], **style | {"linestyle": ""}, clip_on=False)
            ax.plot([], [], MARKERS[split], **style | {"linestyle": ""}, label=SPLIT_NAMES[split])
        ax.set_title(key, pad=17)  # above the legend
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_xlim(0, 100)
        ax.set_xlabel("accuracy, %, with 95 % Wilson interval (dotted: chance)")
        ax.grid(axis="x")
        if splits:
            ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)

    counted = ("split", "emotion", "n", "correct", "accuracy", "low", "high", "balanced_accuracy")
    by_pairs = ("n_pairs", "pairs_correct", "paired_accuracy", "paired_low", "paired_high")
    header = (*counted, "auc", "auc_low", "auc_high", "p_value", *by_pairs)
    numbers = []
    for split, part in metrics["splits"].items():
        for name, cell in {"all": part["overall"], **part["emotions"]}.items():
            low, high = cell["interval"] or (None, None)
            counts = (cell["n"], cell["correct"], cell["accuracy"], low, high)
            areas = (cell["auc"], *(cell["auc_interval"] or (None, None)))
            p_value = cell["permutation"]["p"] if cell["permutation"] else None
            pairs = cell["paired"]
            paired = (pairs["n_pairs"], pairs["correct"], pairs["accuracy"], *(pairs["interval"] or (None, None)))
            numbers.append((split, name, *counts, cell["balanced_accuracy"], *areas, p_value, *paired))
    size = Size(4.2, 1.15 + 0.36 * max(1, len(names)), left=0.75, top=0.5)
    return save("accuracy", draw, [SINGLY, BY_PAIRS], size, header, numbers, lambda _: "the tables below hold it")


def _draw_roc(save: Save, predictions: Sequence[Prediction]) -> list[Panel]:
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

    def summary(emotion: str) -> str:
        return "; ".join(label for (name, _), (_, label) in curves.items() if name == emotion) or "no curve"

    return save("roc", draw, emotions, Size(2.6, 2.9, right=0.2, bottom=0.8), header, numbers, summary)


def _draw_confusion(save: Save, metrics: Mapping[str, Any]) -> list[Panel]:
    cells = {
        f"{SPLIT_NAMES[split]}: {name}": cell["confusion"]
        for split in JUDGED
        if split in metrics["splits"]
        for part in (metrics["splits"][split],)
        for name, cell in {"all": part["overall"], **part["emotions"]}.items()
    }

    def draw(ax: Axes, key: str) -> None:
        counts = np.array([[cells[key][label][called] for called in LABELS] for label in LABELS])
        shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
        ax.set_title(key)
        ax.imshow(shares, cmap="Greys", vmin=0, vmax=1.6)  # so that ink stays readable on the darkest
        for (row, column), count in np.ndenumerate(counts):
            ax.text(column, row, str(count), ha="center", va="center", fontsize=10)
        ax.set_xticks(range(2), [f"called {label}" for label in LABELS])
        ax.set_yticks(range(2), LABELS)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)

    numbers = [
        (*key.split(": "), label, *counts.values()) for key, cell in cells.items() for label, counts in cell.items()
    ]
    header = ("split", "emotion", "label", *(f"called_{label}" for label in LABELS))
    return save("confusion", draw, list(cells), Size(2.2, 2.1, left=0.6), header, numbers)


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
    save: Save,
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

    def summary(key: str) -> str:
        return f"Brier score {curves[key]['score']['brier']:.3f}; the table below has more"

    return save("reliability", draw, list(curves), size, header, numbers, summary)
