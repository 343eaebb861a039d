"""Measure which share of the accuracy that is possible the methods reach, on simulated faces with a known limit.

    python benchmarks/known_answer.py                     # config/recommended.yaml at four levels, five seeds
    python benchmarks/known_answer.py --levers            # the same at 80 %, one of its choices at a time taken back
    python benchmarks/known_answer.py --training 120 --at 80 95     # with more to learn from
    python benchmarks/known_answer.py --variants 10       # as many a clip as the workflow makes of a training video
    python benchmarks/known_answer.py --at 80 --device cuda         # networks and trees on a GPU

One emotion, 40 subjects to learn from and 80 to judge, two clips each (``fakeemo simulate``). Each run is trained,
recognised, boosted and judged by the functions that the workflow calls; runs that are done are kept in ``--folder`` and
not done again with the same config and device. Prints Markdown tables.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fakeemo.simulation import SimulationSettings, paired_limit, write_simulation
from fakeemo.workflow import complete_config

ROOT = Path(__file__).parents[1]
LEVELS = (50, 65, 80, 95)
EMOTION = "happiness"
JUDGED = 80  # subjects
METHODS = {
    "boosting": "LSTM-PB + boosting",
    "logistic": "LSTM-PB + logistic regression",
    "nearest": "LSTM-PB, nearer class PB",
    "direct": "rival, direct",
    "pairs": "rival, by pairs",
}
# One choice of config/recommended.yaml at a time, taken back to the paper's or its authors' (docs/differences.md).
LEVERS: dict[str, dict[str, dict[str, Any]]] = {
    "all of them": {},
    "pose from rigid points": {"sequences": {"pose": "rigid"}},
    "all 80 directions": {"sequences": {"components": None}},
    "whole clips": {"sequences": {"onset_window_s": None}},
    "context from top": {"network": {"context_from": "top"}},
    "relu of the PB": {"network": {"pb_activation": "relu"}},
    "8 PB numbers": {"network": {"pb": 8}},
    "teacher forcing": {"learning": {"closed_loop": 0}},
    "half closed loop": {"learning": {"closed_loop": 0.5}},
    "PB vectors of classes": {"learning": {"pb": "class"}},
    "PB vectors without noise": {"learning": {"pb_noise": 0, "pb_decay": 0}},
    "PB vectors by gradient": {"learning": {"pb_optimiser": "sgd", "pb_rate": 20}},
    "recognition by gradient": {"recognition": {"method": "gradient", "steps": 100, "rate": 20}},
    "one step of recognition": {"recognition": {"method": "gradient", "steps": 1, "rate": 20}},
}


def config_of(lever: str, device: str) -> dict[str, Any]:
    file = ROOT / "config" / "recommended.yaml"
    given = yaml.safe_load(file.read_text())
    for section, keys in LEVERS[lever].items():
        given[section] |= keys
    given["device"] = given["boosting"]["device"] = device
    return complete_config(given, ROOT / "workflow" / "schemas" / "config.schema.yaml", [str(file)])


def split(folder: Path, training: int) -> tuple[dict[str, dict[str, float]], dict[str, str], dict[str, str]]:
    """Give the truth of every clip, and labels and subjects of those to learn from."""
    truth = json.loads((folder / "truth.json").read_text())["clips"]
    known = [video for video in truth if int(video[1:4]) <= training]
    return truth, {v: v.rsplit("_", 1)[1] for v in known}, {v: v.split("_")[0] for v in known}


def learn(folder: Path, data: Path, config: dict[str, Any], seed: int, training: int) -> None:
    """Train and recognise; in a process of its own, as torch and xgboost do not go together."""
    from fakeemo.learning_step import LearningSettings
    from fakeemo.lstm_pb import NetworkSettings
    from fakeemo.recognition import RecognitionSettings, recognise_emotion
    from fakeemo.training import train_emotion

    _, labels, _ = split(data, training)
    tables = sorted((data / "variants").glob("*.parquet"))
    train_emotion(
        [table for table in tables if table.stem in labels],
        labels,
        folder,
        network=NetworkSettings(**config["network"]),
        learning=LearningSettings(**config["learning"]),
        sequences=config["sequences"],
        seed=seed,
        device=config["device"],
        threads=1,
        description=f"{folder.parent.name}, {folder.name}",
    )
    recognise_emotion(
        tables,
        folder,
        folder / "pb.parquet",
        folder / "convergence.csv",
        settings=RecognitionSettings(**config["recognition"]),
        device=config["device"],
        threads=1,
        description=folder.name,
    )


def judge(folder: Path, data: Path, config: dict[str, Any], seed: int, training: int) -> None:
    """Fit every method, and write how many clips and pairs it gets right."""
    from fakeemo.activity import write_activity
    from fakeemo.baselines import activity_scores, logistic_pb, nearest_pb
    from fakeemo.boosted_trees import BoostingSettings
    from fakeemo.boosting import fit_boosting, predict_scores

    truth, labels, subjects = split(data, training)
    emotions = dict.fromkeys(truth, EMOTION)
    settings = BoostingSettings(**{**config["boosting"], "seed": seed})
    pb, model = folder / "pb.parquet", folder / "boosting.ubj"
    fit_boosting(pb, labels, subjects, model, folder / "boosting.json", emotion=EMOTION, settings=settings)
    activity = folder / "activity.parquet"
    write_activity(sorted((data / "variants").glob("*.parquet")), activity, fps=20, neutral_frames=15, pose="all")
    scores = {
        "boosting": predict_scores(pb, model),
        "logistic": logistic_pb(pb, labels, subjects, emotion=EMOTION, seed=seed),
        "nearest": nearest_pb(pb),
    }
    judged = sorted(set(truth) - set(labels))
    fold = {"fold": "", "labels": labels, "subjects": subjects, "judged": judged}
    for method in ("direct", "pairs"):
        scores[method] = activity_scores([activity], [fold], emotions, method=method, seed=seed)
    right = {name: accuracies({v: found[v].score for v in judged}) for name, found in scores.items()}
    right["bayes"] = accuracies({v: truth[v]["posterior_fake"] for v in judged})
    (folder / "right.json").write_text(json.dumps(right))


def accuracies(scores: dict[str, float]) -> list[float]:
    """Give per cent right of clips by themselves, and of pairs of one subject's two clips; ties count half."""
    single = np.mean([(s > 0.5) == v.endswith("_fake") for v, s in scores.items()])
    gaps = [s - scores[v.removesuffix("fake") + "genuine"] for v, s in scores.items() if v.endswith("_fake")]
    return [100 * float(single), 100 * float(np.mean([(np.sign(gap) + 1) / 2 for gap in gaps]))]


def simulate(data: Path, level: float, seed: int, training: int, variants: int) -> None:
    """Write the clips, unless they are there."""
    if not (data / "truth.json").exists():
        subjects = training + JUDGED
        settings = SimulationSettings(
            level=level, subjects=subjects, emotions=(EMOTION,), frames=66, fps=20, variants=variants, seed=seed
        )
        write_simulation(data, settings)


def run(root: Path, data: Path, lever: str, seed: int, training: int, device: str) -> dict[str, list[float]]:
    """Do one run, or read what it gave before."""
    config = json.dumps(config_of(lever, device))
    folder = root / f"{lever.replace(' ', '-')}-{hashlib.sha256(config.encode()).hexdigest()[:8]}" / data.name
    if not (folder / "right.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "settings.json").write_text(config)
        for step in ("judge",) if (folder / "pb.parquet").exists() else ("learn", "judge"):
            arguments = [step, str(folder), str(data), str(seed), str(training)]
            environment = os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
            subprocess.run([sys.executable, __file__, *arguments], check=True, env=environment)
    found: dict[str, list[float]] = json.loads((folder / "right.json").read_text())
    return found


def main() -> None:
    if sys.argv[1:2] in (["learn"], ["judge"]):
        folder, clips_of_run = map(Path, sys.argv[2:4])
        config = json.loads((folder / "settings.json").read_text())
        {"learn": learn, "judge": judge}[sys.argv[1]](folder, clips_of_run, config, *map(int, sys.argv[4:]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--levers", action="store_true", help="take back one choice at a time, at 80 %%")
    parser.add_argument("--at", type=int, nargs="+", default=LEVELS, metavar="PER_CENT", help="limits")
    parser.add_argument("--training", type=int, default=40, help="subjects to learn from")
    parser.add_argument("--variants", type=int, default=1, help="of each clip, beside the clip as it is")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of networks and trees")
    parser.add_argument("--folder", type=Path, default=ROOT / "benchmarks" / "out" / "known_answer")
    chosen = parser.parse_args()
    seeds, levels = range(chosen.first, chosen.first + chosen.seeds), chosen.at
    cells = [(lever, 80) for lever in LEVERS] if chosen.levers else [("all of them", level) for level in levels]
    clips = {
        (level, seed): chosen.folder / f"data-{chosen.training}-{chosen.variants}-{level:g}-{seed}"
        for _, level in cells
        for seed in seeds
    }
    for (level, seed), data in clips.items():  # before any run, as several runs share them
        simulate(data, level, seed, chosen.training, chosen.variants)
    with ThreadPoolExecutor(chosen.jobs) as pool:
        futures = {
            (lever, level, seed): pool.submit(
                run, chosen.folder, clips[level, seed], lever, seed, chosen.training, chosen.device
            )
            for lever, level in cells
            for seed in seeds
        }
        found = {key: future.result() for key, future in futures.items()}
    if chosen.levers:
        print("| choice taken back | boosting | of the limit | logistic regression | boosting, by pairs |")
        print("|---|---|---|---|---|")
        for lever, level in cells:
            rows = [found[lever, level, seed] for seed in seeds]
            boosting, logistic, bayes = (
                np.mean([row[name] for row in rows], axis=0) for name in ("boosting", "logistic", "bayes")
            )
            print(
                f"| {lever} | {boosting[0]:.1f} % | {100 * boosting[0] / bayes[0]:.0f} % | {logistic[0]:.1f} %"
                f" | {boosting[1]:.1f} % |"
            )
        return
    for number, what in enumerate(("each clip by itself", "by pairs")):
        print(f"| {what} | " + " | ".join(f"{level} %" for level in levels) + " |")
        print("|---|" + "---|" * len(levels))
        limits = [level if number == 0 else paired_limit(level) for level in levels]
        print("| limit | " + " | ".join(f"{limit:.1f} %" for limit in limits) + " |")
        bayes = {level: [found["all of them", level, seed]["bayes"][number] for seed in seeds] for level in levels}
        print(
            "| Bayes' rule on these clips | " + " | ".join(f"{np.mean(bayes[level]):.1f} %" for level in levels) + " |"
        )
        for method, name in METHODS.items():
            cells_of = []
            for level in levels:
                right = [found["all of them", level, seed][method][number] for seed in seeds]
                share = 100 * np.mean(right) / np.mean(bayes[level])
                cells_of.append(f"{np.mean(right):.1f} ± {np.std(right, ddof=1):.1f} % ({share:.0f} %)")
            print(f"| {name} | " + " | ".join(cells_of) + " |")
        print()


if __name__ == "__main__":
    main()
