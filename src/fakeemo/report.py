"""One self-contained page with everything that a reader needs to judge a run (section 4, and what it leaves out).

The page works from disk, with no network. It holds nothing but what the inputs hold, so equal inputs give an equal
page, byte for byte.
"""

import csv
import json
import math
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from fakeemo import drawing
from fakeemo.evaluation import Prediction, read_predictions, wilson
from fakeemo.evidence import MIN_SUBJECTS, N_DRAWS, reliability
from fakeemo.figures import FIGURES, draw_figures, held_out_training
from fakeemo.samples import CROSS_VALIDATED, JUDGED, SPLITS
from fakeemo.tables import read_header, read_table, replacing

_TEMPLATES = Path(__file__).parent / "templates"
SPLIT_NAMES = {split: name.capitalize() for split, name in drawing.SPLIT_NAMES.items()}

# The paper's Tables 2 and 3: accuracy in per cent as printed, and how many of 60 videos that must have been (the
# challenge cut off decimals). None: the team is not in that table.
PUBLISHED_N = 60
PUBLISHED = (
    ("NIT-OVGU", 76.0, 66.7),
    ("HCILab (the paper)", 71.0, 66.7),
    ("TUBITAK UZAY-METU", 61.0, 65.0),
    ("innovwelt", 63.0, None),
    ("BNU CIST", 53.0, 61.7),
    ("faceall Xlabs", 58.0, 51.7),
    ("ICV", 53.0, None),
)


def write_report(
    out_html: str | Path,
    figures_dir: str | Path,
    *,
    predictions: str | Path,
    metrics: str | Path,
    networks: Mapping[str, str | Path],
    histories: Mapping[str, str | Path],
    pb_tables: Mapping[str, str | Path],
    boosting: Mapping[str, str | Path],
    qc: str | Path,
    config: Mapping[str, Any],
    shown: Collection[str] | None = None,
    benchmarks_dir: str | Path | None = None,
) -> None:
    """Write the page, and the figures with their numbers into ``figures_dir``.

    Args:
        out_html: the page.
        figures_dir: gets ``<name>.svg``, ``.png`` and ``.csv`` for each of ``figures.FIGURES``.
        predictions: ``results/predictions.csv``.
        metrics: ``results/metrics.json``.
        networks: ``config.json`` of the LSTM-PB, by model: an emotion, or in cross-validation an emotion and a fold.
        histories: ``history.csv`` of the LSTM-PB training, by model.
        pb_tables: ``results/pb/{model}.parquet``, by model.
        boosting: the JSON file that ``boosting.fit_boosting`` wrote, by model.
        qc: ``results/qc/videos.parquet``.
        config: the whole configuration of the run; with a section ``demo`` if the videos are the rendered ones.
        shown: the models whose learning is drawn, all where not given: with many folds, figures of all fill a book.
        benchmarks_dir: where Snakemake's benchmark files lie. Times differ from run to run, so they are shown only
            if asked for.
    """
    rows = read_predictions(predictions)
    summary = _read_json(metrics)
    facts = [_read_json(path) for path in networks.values()]
    infos = {emotion: _read_json(path) for emotion, path in boosting.items()}
    drawn = list(networks) if shown is None else list(shown)
    panels = draw_figures(
        figures_dir,
        predictions=rows,
        metrics=summary,
        histories={name: histories[name] for name in drawn},
        pb_tables={name: pb_tables[name] for name in drawn},
        boosting={name: infos[name] for name in drawn},
    )
    quality = _quality(qc)
    figures_at = Path(os.path.relpath(figures_dir, Path(out_html).parent)).as_posix()
    page = (
        environment()
        .get_template("report.html.j2")
        .render(
            style=Markup(_read("report.css")),
            script=Markup(_read("report.js")),
            demo="demo" in config,
            headline=headline(summary),
            protocol=summary["protocol"],
            min_subjects=MIN_SUBJECTS,
            n_draws=f"{N_DRAWS:,}",
            presumes=summary["pairing"]["presumes"],
            paired_by=summary["pairing"]["by"],
            splits=summary["splits"],
            judged=[split for split in JUDGED if split in summary["splits"]],
            split_names=SPLIT_NAMES,
            published=_published(),
            data=_data_table(rows),
            shared_subjects=_shared_subjects(rows),
            excluded=[row | quality[row["video_id"]] for row in _dicts(rows) if row["status"] != "ok"],
            excluded_counts=summary["excluded"],
            quality=_quality_summary(rows, quality),
            videos=[row | {"qc": quality[row["video_id"]]} for row in _dicts(rows)],
            n_subjects=len({row.subject for row in rows if row.subject}),
            calibration=_calibration(rows, summary, {name: infos[name] for name in drawn}),
            emotions=list(dict.fromkeys(row.emotion for row in rows)),
            panels={name: [(p.name, Markup(p.svg)) for p in panels[name]] for name in FIGURES},
            figures_at=figures_at,
            boosting=infos,
            config=yaml.safe_dump(json.loads(json.dumps(config, default=str)), sort_keys=False, allow_unicode=True),
            software=_software([*(read_header(path) for path in pb_tables.values()), *facts, *infos.values(), summary]),
            devices=Counter(str(fact["device"]) for fact in facts),
            costs=_costs(benchmarks_dir),
        )
    )
    with replacing(out_html) as temporary:
        temporary.write_text(page, encoding="utf-8")


def headline(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Say in words what the test split, or cross-validation, shows.

    Gives ``text``, ``verdict`` (above, below, open, none) and the split's ``cell``.
    """
    split = CROSS_VALIDATED if CROSS_VALIDATED in metrics["splits"] else "test"
    cell = metrics["splits"].get(split, {}).get("overall", {"n": 0})
    if not cell["n"]:
        where = "" if split == CROSS_VALIDATED else " of the test split"
        text = f"No video{where} has both a label and a score: no accuracy."
        return {"verdict": "none", "text": text, "cell": None}
    low, high = cell["interval"]
    if low > 0.5:
        verdict, text = "above", "The interval is clear of 50 %: more is recognised than guessing would give."
    elif high < 0.5:
        verdict, text = "below", "The interval lies below 50 %: worse than guessing. Look for swapped labels."
    else:
        verdict, text = "open", "The interval includes 50 %: this result cannot be told from guessing."
    return {"verdict": verdict, "text": text, "cell": cell}


def _calibration(
    rows: Sequence[Prediction], metrics: Mapping[str, Any], infos: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Say how far scores can be believed: held-out training videos before and after calibration, then the splits."""
    is_fake, raw, calibrated = held_out_training(rows, infos)
    table = []
    if len(is_fake):
        for name, scores in (("before calibration", raw), ("calibrated on these", calibrated)):
            table.append({"videos": f"Training, held out, {name}", "n": len(scores), **reliability(is_fake, scores)})
    for split in reversed(JUDGED):
        cell = metrics["splits"].get(split, {}).get("overall", {})
        if cell.get("calibration"):
            table.append({"videos": SPLIT_NAMES[split], "n": cell["n"], **cell["calibration"]})
    return table


def _published() -> list[dict[str, Any]]:
    def cell(printed: float | None) -> dict[str, Any] | None:
        if printed is None:
            return None
        # 71 stands for 43 of 60 (71.67), cut off; 66.7 for 40 of 60, rounded.
        correct = math.ceil(printed * PUBLISHED_N / 100 - 0.05)
        return {"printed": f"{printed:g}", "correct": correct, "interval": wilson(correct, PUBLISHED_N)}

    return [{"team": team, "valid": cell(valid), "test": cell(test)} for team, valid, test in PUBLISHED]


def _data_table(rows: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Give the paper's Table 1 for these data, with what was used."""
    table = []
    for split in (*SPLITS, CROSS_VALIDATED):
        here = [row for row in rows if row.split == split]
        if here:
            labels = Counter(row.label for row in here)
            table.append(
                {
                    "split": split,
                    "n_labels": len({(row.emotion, row.label) for row in here if row.label}),
                    "videos": len(here),
                    "genuine": labels["genuine"],
                    "fake": labels["fake"],
                    "unlabelled": labels[""],
                    "subjects": len({row.subject for row in here if row.subject}),
                    "of_unknown": sum(not row.subject for row in here),
                    "used": sum(row.score is not None for row in here),
                }
            )
    return table


def _shared_subjects(rows: Sequence[Prediction]) -> list[str]:
    splits: dict[str, set[str]] = {}
    for row in rows:
        if row.subject:
            splits.setdefault(row.subject, set()).add(row.split)
    return sorted(subject for subject, found in splits.items() if len(found) > 1)


def _quality(path: str | Path) -> dict[str, dict[str, Any]]:
    """Read the quality table as rows by video id; what was not measured (NaN) is None."""
    columns, _ = read_table(path)
    names = [name for name in columns if name not in ("video_id", "status")]
    return {
        str(video_id): {name: _none_if_nan(columns[name][i]) for name in names}
        for i, video_id in enumerate(columns["video_id"])
    }


def _quality_summary(rows: Sequence[Prediction], quality: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    used = [quality[row.video_id] for row in rows if row.status == "ok"]
    measures = (
        ("frames", "frames", 0),
        ("fps", "frames a second", 1),
        ("face_share", "share of frames with a face", 3),
        ("redetections", "re-detections of a lost face", 0),
        ("lowest_psr", "lowest PSR of the tracker", 1),
    )
    summary = []
    for name, label, digits in measures:
        values = [row[name] for row in used if row[name] is not None]
        if values:
            found = {"least": min(values), "middle": median(values), "most": max(values)}
            summary.append({"label": label, **{key: f"{value:.{digits}f}" for key, value in found.items()}})
    return summary


def _software(parts: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Collect the versions that the inputs were made with; several of one name are all named."""
    found: dict[str, set[str]] = {}
    for part in parts:
        for name, version in part["software"].items():
            found.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(versions)) for name, versions in sorted(found.items())}


def _costs(folder: str | Path | None) -> list[dict[str, Any]]:
    """Sum Snakemake's benchmark files up by rule: the first part of their path below ``folder``."""
    if folder is None:
        return []
    costs: dict[str, dict[str, Any]] = {}
    for path in sorted(Path(folder).rglob("*.tsv")):
        rule = path.relative_to(folder).parts[0].removesuffix(".tsv")
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                cost = costs.setdefault(rule, {"rule": rule, "jobs": 0, "seconds": 0.0, "peak_mb": 0.0})
                cost["jobs"] += 1
                cost["seconds"] += float(row["s"])
                # Snakemake writes NA or - for a job too short to be sampled.
                peak = row.get("max_rss", "")
                cost["peak_mb"] = max(cost["peak_mb"], float(peak) if peak not in ("", "-", "NA") else 0.0)
    return list(costs.values())


def environment() -> jinja2.Environment:
    """Give the templates, with filters for shares, intervals and numbers; None is a dash."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda share: "–" if share is None else f"{100 * share:.1f} %"
    environment.filters["interval"] = lambda pair: "–" if pair is None else f"{100 * pair[0]:.1f}–{100 * pair[1]:.1f} %"
    environment.filters["pvalue"] = lambda p: "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
    environment.filters["range"] = lambda pair: "–" if pair is None else f"{pair[0]:.3f}–{pair[1]:.3f}"
    environment.filters["number"] = lambda value, digits=2: "–" if value is None else f"{value:.{digits}f}"
    return environment


def _dicts(rows: Sequence[Prediction]) -> list[dict[str, Any]]:
    return [row._asdict() for row in rows]


def _none_if_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _read_json(path: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return found
