"""The command ``fakeemo predict``: its options, what it prints, and its exit codes."""

import argparse
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fakeemo.prediction import Verdict

NO_VERDICT = 3
"""Exit code where some video could not be judged; 1 is a fault that stops all, 2 is of the command line itself."""


def add_command(commands: Any) -> None:
    """Add it to the subparsers of the command line."""
    predict = commands.add_parser(
        "predict",
        help="judge videos by a model that the workflow has learned",
        description="Judge videos of one emotion. Exit code: 0 where all were judged, 3 where some could not be (their"
        " lines say why), 1 where none was tried, 2 for wrong options. A verdict is a probability and no proof.",
        epilog="example: fakeemo predict a.mp4 b.mp4 --emotion happiness --json | jq '.[].probability_of_fake'",
    )
    predict.add_argument("videos", nargs="+", metavar="VIDEO", help="video files, or tables of landmarks")
    predict.add_argument("--emotion", required=True, help="which emotion they show")
    predict.add_argument("--models", default="results/models", help="folder of the models (default: %(default)s)")
    predict.add_argument("--json", action="store_true", help="print JSON, a list with an object for each video")
    predict.add_argument("--overlay", metavar="FOLDER", help="write copies there with box and landmarks drawn in")
    predict.add_argument("--fps", type=float, help="frames a second of tables of landmarks without timestamps")
    predict.add_argument("--device", default="cpu", choices=("cpu", "cuda", "auto"), help="(default: %(default)s)")
    predict.set_defaults(run=_predict)


def _predict(chosen: argparse.Namespace) -> int:
    import os

    from fakeemo.workflow import read_config

    # Before tqdm is loaded in the processes of the stages: bars of several at once would run into each other.
    os.environ.setdefault("TQDM_DISABLE", "1")
    from fakeemo.prediction import predict_videos

    verdicts = predict_videos(
        chosen.videos,
        chosen.emotion,
        chosen.models,
        overlays=chosen.overlay,
        device=chosen.device,
        fps=chosen.fps,
        synonyms=read_config()["synonyms"],
    )
    print(json.dumps([_as_json(verdict) for verdict in verdicts], indent=1) if chosen.json else _in_words(verdicts))
    return 0 if all(verdict.status == "ok" for verdict in verdicts) else NO_VERDICT


def _as_json(verdict: "Verdict") -> dict[str, Any]:
    quality = {name: None if math.isnan(value) else value for name, value in verdict.quality.items()}
    return {**verdict._asdict(), "quality": quality}


def _in_words(verdicts: Sequence["Verdict"]) -> str:
    lines = []
    for verdict in verdicts:
        if verdict.interval is None or verdict.probability_of_fake is None:
            lines.append(f"{verdict.video}\tno verdict\t{verdict.reason} [{verdict.status}]")
        else:
            low, high = verdict.interval
            lines.append(
                f"{verdict.video}\t{verdict.verdict} {verdict.emotion}\tprobability of fake"
                f" {verdict.probability_of_fake:.2f}, variants {low:.2f} to {high:.2f}"
            )
        lines += [f"\twarning: {warning}" for warning in verdict.warnings]
        lines += [f"\t{verdict.overlay}"] if verdict.overlay else []
    return "\n".join(lines)
