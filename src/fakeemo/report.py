"""One self-contained page with everything that a reader needs to judge a run (section 4, and what it leaves out).

The page works from disk, with no network. Beside it lie a script for each video, loaded when the video is played
(:mod:`fakeemo.playback`), and the contact sheets, which show people and so stay where they are. The page holds nothing
but what the inputs hold, so equal inputs give an equal page, byte for byte.
"""

import json
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from fakeemo.drawing import inline
from fakeemo.evaluation import Prediction, read_predictions
from fakeemo.evidence import MIN_SUBJECTS, N_DRAWS
from fakeemo.expressions import movement, read_generated
from fakeemo.face_animation import head_outline
from fakeemo.figures import draw_figures
from fakeemo.files import replacing
from fakeemo.landmarks import KEPT
from fakeemo.playback import packed
from fakeemo.report_tables import (
    SPLIT_NAMES,
    calibration,
    costs,
    data_table,
    published,
    quality_summary,
    read_quality,
    shared_subjects,
    software,
    worth_a_look,
)
from fakeemo.samples import CROSS_VALIDATED, JUDGED
from fakeemo.tables import read_header

_TEMPLATES = Path(__file__).parent / "templates"
_SCRIPTS = ("faces.js", "table.js", "player.js", "generation.js")


def write_report(
    out_html: str | Path,
    figures_dir: str | Path,
    *,
    predictions: str | Path,
    metrics: str | Path,
    networks: Mapping[str, str | Path],
    histories: Mapping[str, str | Path],
    pb_tables: Mapping[str, str | Path],
    generated: Mapping[str, str | Path],
    boosting: Mapping[str, str | Path],
    qc: str | Path,
    config: Mapping[str, Any],
    playback_dir: str | Path,
    sheets_dir: str | Path,
    shown: Collection[str] | None = None,
    ablation: Sequence[str | Path] = (),
    benchmarks_dir: str | Path | None = None,
) -> None:
    """Write the page, and the figures with their numbers into ``figures_dir``.

    Args:
        out_html: the page.
        figures_dir: gets ``<name>.svg``, ``.png`` and ``.csv`` for each figure.
        predictions: ``results/predictions.csv``.
        metrics: ``results/metrics.json``.
        networks: ``config.json`` of the LSTM-PB, by model: an emotion, or in cross-validation an emotion and a fold.
        histories: ``history.csv`` of the LSTM-PB training, by model.
        pb_tables: ``results/pb/{model}.parquet``, by model.
        generated: ``results/generated/{model}.parquet``, by model, of those that are shown.
        boosting: the JSON file that ``boosting.fit_boosting`` wrote, by model.
        qc: ``results/qc/videos.parquet``.
        config: the whole configuration of the run; with a section ``demo`` if the videos are the rendered ones.
        playback_dir: where :func:`fakeemo.playback.write_playback` wrote, best beside the page.
        sheets_dir: where the contact sheets ``{video_id}.jpg`` are.
        shown: the models whose learning is drawn, all where not given: with many folds, figures of all fill a book.
        ablation: ``results/ablation.json`` and its figure as SVG, if the page is to have them.
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
        generated={name: generated[name] for name in drawn},
        boosting={name: infos[name] for name in drawn},
    )
    quality = read_quality(qc)

    def beside(folder: str | Path) -> str:
        return Path(os.path.relpath(folder, Path(out_html).parent)).as_posix()

    page = (
        environment()
        .get_template("report.html.j2")
        .render(
            style=Markup(_read("report.css")),
            script=Markup("\n".join(map(_read, _SCRIPTS))),
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
            published=published(),
            data=data_table(rows),
            shared_subjects=shared_subjects(rows),
            excluded=[row | quality[row["video_id"]] for row in _dicts(rows) if row["status"] != "ok"],
            excluded_counts=summary["excluded"],
            quality=quality_summary(rows, quality),
            worth_a_look=worth_a_look(rows, quality),
            videos=[row | {"qc": quality[row["video_id"]]} for row in _dicts(rows)],
            n_subjects=len({row.subject for row in rows if row.subject}),
            calibration=calibration(rows, summary, {name: infos[name] for name in drawn}),
            emotions=list(dict.fromkeys(row.emotion for row in rows)),
            panels={
                name: [panel._replace(svg=Markup(panel.svg)) for panel in of_one] for name, of_one in panels.items()
            },
            beside={"videos": beside(playback_dir), "sheets": beside(sheets_dir)},
            figures_at=beside(figures_dir),
            kept=KEPT,
            expressions={name: _expressions(generated[name]) for name in drawn},
            ablation=_read_json(ablation[0]) if ablation else None,
            ablation_svg=Markup(inline(Path(ablation[1]).read_text("utf-8"), "ablation")) if ablation else "",
            boosting=infos,
            config=yaml.safe_dump(json.loads(json.dumps(config, default=str)), sort_keys=False, allow_unicode=True),
            software=software([*(read_header(path) for path in pb_tables.values()), *facts, *infos.values(), summary]),
            devices=Counter(str(fact["device"]) for fact in facts),
            costs=costs(benchmarks_dir),
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


def _expressions(path: str | Path) -> dict[str, Any]:
    """Give what the page needs to play a generated genuine and fake expression beside each other."""
    made = read_generated(path)
    return {
        "fps": made.fps,
        "apex": int(movement(made.points, made.neutral).mean(axis=0).argmax()),
        "head": packed(head_outline(made.neutral)[None]),
        "neutral": packed(made.neutral[None]),
        "faces": [packed(made.points[0]), packed(made.points[-1])],
    }


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


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _read_json(path: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return found
