"""Does each part earn its place? All methods over the same videos, each compared with the paper's.

The table is written as CSV and JSON, and as a page beside the report. Two methods are compared over the videos that
both have judged, by McNemar's test, and where so few videos cannot decide, the table says so.
"""

import csv
import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes

from fakeemo.drawing import INK, MUTED, STYLE, Size, save
from fakeemo.evaluation import Prediction, mcnemar, metrics, read_predictions
from fakeemo.files import replacing
from fakeemo.pairing import PRESUMES
from fakeemo.report import environment
from fakeemo.report_tables import SPLIT_NAMES
from fakeemo.samples import JUDGED
from fakeemo.tables import software

PAPER = "paper"
RIVALS = ("direct", "pairs")
METHODS = {
    "nearest-pb": "nearest class PB",
    "logistic-pb": "logistic regression on PB",
    PAPER: "LSTM-PB + boosting",
    "one-step": "LSTM-PB + boosting, one step of recognition from zero (the authors)",
    "converged": "LSTM-PB + boosting, recognition until it stands still",
    "plain": "LSTM-PB + boosting, without augmentation",
    "direct": "rival: facial activity, each video by itself",
    "pairs": "rival: facial activity, learned from pairs",
}
"""Titles of the methods by name, in the table's order."""

_IN_WORDS = {name: title.removeprefix("rival: ") for name, title in METHODS.items()}  # the sentences name the rival

ABLATION_VERSION = 1


def compare(methods: Mapping[str, Sequence[Prediction]], protocol: str, pairing: str = "subject") -> dict[str, Any]:
    """Compare all methods with the one named :data:`PAPER`.

    Args:
        methods: predictions by a name in :data:`METHODS`, of the same videos.
        protocol: how training and judged videos were kept apart, in words.
        pairing: what pairs were found by, subject or faces.

    Returns:
        What ``ablation.json`` holds: for each split that was judged and each method the summary that
        :func:`fakeemo.evaluation.metrics` gives, and ``mcnemar``, in which the paper's method is the first; and the
        split's ``words``.
    """
    names = [name for name in METHODS if name in methods]
    summaries = {name: metrics(methods[name], protocol, pairing)["splits"] for name in names}
    splits: dict[str, Any] = {}
    for split in (split for split in JUDGED if split in summaries[PAPER]):
        right = {name: _right(methods[name], split) for name in names}
        cells = {}
        for name in names:
            shared = [video for video in right[PAPER] if video in right[name]]
            found = mcnemar([right[PAPER][v] for v in shared], [right[name][v] for v in shared])
            cells[name] = {**summaries[name][split]["overall"], "mcnemar": found._asdict() if name != PAPER else None}
        splits[split] = {"methods": cells, "words": in_words(cells, SPLIT_NAMES[split])}
    return {
        "kind": "ablation",
        "schema_version": ABLATION_VERSION,
        "protocol": protocol,
        "pairing": {"by": pairing, "presumes": PRESUMES[pairing]},
        "titles": {name: METHODS[name] for name in names},
        "left_out": {name: METHODS[name] for name in METHODS if name not in names},
        "splits": splits,
        "software": software("numpy", "scipy", "xgboost"),
    }


def in_words(cells: Mapping[str, Mapping[str, Any]], where: str) -> list[str]:
    """Say who wins: first the rivals against the paper's method, then whatever else is better than that."""
    paper = cells[PAPER]
    if not paper["n"]:
        return [f"{where}: no video has both a label and a score."]
    by_paper = f"{METHODS[PAPER]} ({paper['correct']} of {paper['n']})"
    words = []
    for name in (name for name in METHODS if name in cells and name != PAPER):
        cell = cells[name]
        if not cell["n"]:
            continue
        by_it = f"{_IN_WORDS[name]} ({cell['correct']} of {cell['n']})"
        decided = cell["mcnemar"]["verdict"] == ("second" if cell["accuracy"] > paper["accuracy"] else "first")
        proof = "McNemar's test agrees" if decided else "McNemar's test cannot tell them apart"
        if cell["accuracy"] > paper["accuracy"]:
            wins = "The rival wins" if name in RIVALS else "Better than the paper's method"
            words.append(f"{where}: {wins}: {by_it} against {by_paper}; {proof}.")
        elif name in RIVALS:
            lead = "as many are right by" if cell["accuracy"] == paper["accuracy"] else "more are right than by"
            words.append(f"{where}: by {by_paper} {lead} {by_it}; {proof}.")
    for name in (name for name in RIVALS if name in cells):
        mine, its = paper["paired"], cells[name]["paired"]
        if mine["n_pairs"] and its["n_pairs"] and its["accuracy"] > mine["accuracy"]:
            words.append(
                f"{where}, by pairs: The rival wins: {_IN_WORDS[name]} ({its['correct']:g} of {its['n_pairs']} pairs)"
                f" against {METHODS[PAPER]} ({mine['correct']:g} of {mine['n_pairs']})."
            )
    return words


def write_ablation(
    predictions: Mapping[str, str | Path],
    protocol: str,
    csv_out: str | Path,
    json_out: str | Path,
    page_out: str | Path,
    figure_out: str | Path,
    *,
    pairing: str = "subject",
    demo: bool,
) -> None:
    """Write the table as CSV, JSON, a page and a figure (SVG, PNG and its numbers as CSV).

    ``predictions`` are the files ``predictions.csv`` by a name in :data:`METHODS`; ``protocol`` and ``pairing`` see
    :func:`compare`; ``demo`` says whether the videos are the rendered ones.
    """
    found = compare({name: read_predictions(path) for name, path in predictions.items()}, protocol, pairing)
    with replacing(json_out) as temporary:
        temporary.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    with replacing(csv_out) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        rows = list(_rows(found))
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    pages = environment()
    style = (Path(__file__).parent / "templates" / "report.css").read_text(encoding="utf-8")
    page = pages.get_template("ablation.html.j2").render(
        found=found, split_names=SPLIT_NAMES, paper=PAPER, demo=demo, style=Markup(style)
    )
    with replacing(page_out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    _draw(found, Path(figure_out))


def _draw(found: Mapping[str, Any], out: Path) -> None:
    """Draw each method's accuracy with its interval, a panel a split."""
    titles: Mapping[str, str] = found["titles"]

    def draw(ax: Axes, split: str) -> None:
        ax.set_title(SPLIT_NAMES[split])
        ax.axvline(50, color=MUTED, linewidth=0.8, linestyle=(0, (1, 1.5)))
        for y, name in enumerate(titles):
            cell = found["splits"][split]["methods"][name]
            if cell["interval"]:
                style: Any = {"color": INK if name == PAPER else MUTED}
                ax.plot([100 * limit for limit in cell["interval"]], [y, y], linewidth=1.2, **style)
                ax.plot(100 * cell["accuracy"], y, "s" if name in RIVALS else "o", clip_on=False, **style)
        ax.set_yticks(range(len(titles)), [textwrap.fill(title, 38) for title in titles.values()])
        ax.set_ylim(len(titles) - 0.5, -0.5)
        ax.set_xlim(0, 100)
        ax.set_xlabel("accuracy, %, with 95 % Wilson interval (dotted: chance)")
        ax.grid(axis="x")

    rows = [
        (split, name, title, cell["n"], cell["correct"], cell["accuracy"], *(cell["interval"] or (None, None)))
        for split, part in found["splits"].items()
        for name, title in titles.items()
        for cell in (part["methods"][name],)
    ]
    header = ("split", "method", "title", "n", "correct", "accuracy", "low", "high")
    with matplotlib.rc_context(STYLE):
        size = Size(5.4, 0.8 + 0.36 * len(titles), left=2.3)
        save(out.parent, found["protocol"], out.stem, draw, list(found["splits"]), size, header, rows)


def _right(rows: Sequence[Prediction], split: str) -> dict[str, bool]:
    """Say by video id which labelled and scored videos of a split are judged rightly."""
    return {r.video_id: r.predicted == r.label for r in rows if r.split == split and r.label and r.score is not None}


def _rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give the rows of the CSV file, one a split and method; what does not exist is an empty cell."""
    rows = []
    for split, part in found["splits"].items():
        for name, cell in part["methods"].items():
            low, high = cell["interval"] or ("", "")
            pairs, test = cell["paired"], cell["mcnemar"] or {}
            pair_low, pair_high = pairs["interval"] or ("", "")
            row = {
                "protocol": found["protocol"],
                "split": split,
                "method": name,
                "title": METHODS[name],
                **{key: cell[key] for key in ("n", "correct", "accuracy")},
                "low": low,
                "high": high,
                "auc": cell["auc"],
                "n_pairs": pairs["n_pairs"],
                "pairs_correct": pairs["correct"],
                "paired_accuracy": pairs["accuracy"],
                "paired_low": pair_low,
                "paired_high": pair_high,
                "right_by_paper_alone": test.get("only_first"),
                "right_by_this_alone": test.get("only_second"),
                "p": test.get("p"),
                "verdict": test.get("verdict"),
            }
            rows.append({k: f"{v:.6g}" if isinstance(v, float) else "" if v is None else v for k, v in row.items()})
    return rows
