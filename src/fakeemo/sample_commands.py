"""The commands about sample sheets and submissions: ``fakeemo samples`` and ``fakeemo export``."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fakeemo.errors import FakeemoError


def add_commands(commands: Any) -> None:
    """Add them to the subparsers of the command line."""
    samples = commands.add_parser("samples", help="write or check a sample sheet")
    kinds = samples.add_subparsers(title="what to do", required=True)

    sase_fe = kinds.add_parser(
        "sase-fe",
        help="write the sheet of a folder of SASE-FE",
        epilog="example: fakeemo samples sase-fe data/sase_fe --labels valid_labels.pkl --out config/my_samples.tsv",
    )
    sase_fe.add_argument("root", help="the folder that the videos were unpacked in")
    sase_fe.add_argument("--labels", nargs="+", metavar="FILE", help="of validation and test (default: those in ROOT)")
    _add_common(sase_fe)
    sase_fe.set_defaults(run=_sase_fe)

    scan = kinds.add_parser(
        "scan",
        help="write the sheet of any folder whose file names say what is seen",
        epilog="example: fakeemo samples scan nemo --pattern '{subject}_{label}_smile_*.mp4' --emotion happiness"
        " --genuine spontaneous --fake deliberate",
    )
    scan.add_argument("folder", help="where the files are; folders in it count as part of the names")
    scan.add_argument("--pattern", required=True, help="of {subject}, {emotion}, {label}, {split}, and * for the rest")
    for field in ("subject", "emotion", "label", "split"):
        scan.add_argument(f"--{field}", help=f"{field} of all files, where the pattern does not say it")
    for word in ("genuine", "fake", "train", "valid", "test"):
        scan.add_argument(f"--{word}", nargs="+", default=[], metavar="WORD", help=f"what the names say for {word}")
    _add_common(scan)
    scan.set_defaults(run=_scan)

    check = kinds.add_parser(
        "check",
        help="say what is wrong with a sheet and its files, row by row",
        epilog="example: fakeemo samples check config/my_samples.tsv",
    )
    check.add_argument("sheet", help="the sample sheet, or a folder of SASE-FE")
    check.add_argument("--no-hash", action="store_true", help="do not look for bit-identical files")
    _add_config(check)
    check.set_defaults(run=_check)

    export = commands.add_parser("export", help="write results in others' formats")
    formats = export.add_subparsers(title="formats", required=True)
    challenge = formats.add_parser(
        "challenge",
        help="valid_prediction.pkl and test_prediction.pkl, as the challenge's organisers want them, and CSV",
        epilog="example: fakeemo export challenge --configfile config/sase_fe.yaml",
    )
    challenge.add_argument("--predictions", default="results/predictions.csv", help="(default: %(default)s)")
    challenge.add_argument("--samples", help="the sample sheet, or a folder of SASE-FE (default: that of the config)")
    challenge.add_argument("--out", default=".", metavar="FOLDER", help="where the files go (default: here)")
    _add_config(challenge)
    challenge.set_defaults(run=_challenge)

    points = formats.add_parser(
        "landmarks",
        help="landmarks as CSV that py-feat's read_openface and other readers of OpenFace open",
        epilog="example: fakeemo export landmarks results/landmarks/*.parquet --out landmarks",
    )
    points.add_argument("tables", nargs="+", metavar="TABLE", help="results/landmarks/VIDEO.parquet")
    points.add_argument("--out", default=".", metavar="FOLDER", help="where the files go (default: here)")
    points.set_defaults(run=_landmarks)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--configfile",
        nargs="+",
        default=[],
        metavar="FILE",
        help="whose emotions and synonyms count (default: all)",
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="samples.tsv", help="the sheet to write (default: %(default)s)")
    _add_config(parser)


def _sase_fe(chosen: argparse.Namespace) -> None:
    from fakeemo.sase_fe import list_folder
    from fakeemo.workflow import read_config

    config = read_config(chosen.configfile)
    _write(chosen.out, *list_folder(chosen.root, config["emotions"], config["synonyms"], chosen.labels))


def _scan(chosen: argparse.Namespace) -> None:
    from fakeemo.sample_scan import FIELDS, scan_folder
    from fakeemo.workflow import read_config

    config = read_config(chosen.configfile)
    meanings = {"label": ("genuine", "fake"), "split": ("train", "valid", "test")}
    words = {
        field: {word.lower(): meaning for meaning in known for word in getattr(chosen, meaning)}
        for field, known in meanings.items()
    }
    fixed = {field: getattr(chosen, field) for field in FIELDS if getattr(chosen, field) is not None}
    found = scan_folder(chosen.folder, chosen.pattern, config["emotions"], config["synonyms"], words=words, fixed=fixed)
    _write(chosen.out, *found)


def _write(out: str, samples: Iterable[Any], remarks: Iterable[str]) -> None:
    """Write a sheet, say on standard error what did not get in, and give its path and its rows by split and label."""
    from collections import Counter

    from fakeemo.samples import write_samples

    samples = list(samples)
    if Path(out).exists():
        raise FakeemoError(f"{out}: is there already; name another file with --out, or remove it")
    write_samples(out, samples)
    for remark in remarks:
        print(f"fakeemo: {remark}", file=sys.stderr)
    counts = Counter(" ".join(filter(None, (sample.split, sample.label or "unlabelled"))) for sample in samples)
    print(f"{out}: {len(samples)} videos ({', '.join(f'{n} {name}' for name, n in counts.items())})")


def _check(chosen: argparse.Namespace) -> None:
    from fakeemo.sample_check import check_source
    from fakeemo.workflow import read_config

    config = read_config(chosen.configfile)
    n_rows, findings = check_source(
        chosen.sheet,
        config["emotions"],
        config["synonyms"],
        cross_validated=config["protocol"] != "challenge",
        min_frames=config["tracking"]["min_frames"],
        hashing=not chosen.no_hash,
    )
    for finding in findings:
        where = f"line {finding.line}" if finding.line else "all"
        print("\t".join(filter(None, (where, finding.video_id, f"{finding.level}: {finding.what}"))))
    n_faults = sum(finding.level == "fault" for finding in findings)
    summary = f"{chosen.sheet}: {n_rows} videos, {n_faults} faults, {len(findings) - n_faults} notes"
    if n_faults:
        raise FakeemoError(summary)
    print(summary)


def _challenge(chosen: argparse.Namespace) -> None:
    from fakeemo.challenge import export_challenge
    from fakeemo.sase_fe import read_source
    from fakeemo.workflow import read_config

    config = read_config(chosen.configfile)
    source = chosen.samples or config["samples"]
    if not source:
        raise FakeemoError("which videos? Name the sample sheet with --samples, or the config with --configfile")
    if Path(source).is_dir() and Path(chosen.out).resolve().is_relative_to(Path(source).resolve()):
        raise FakeemoError(f"{chosen.out}: lies in {source}, where predictions would count as labels")
    samples = read_source(source, config["emotions"], config["synonyms"])
    for file in export_challenge(chosen.predictions, samples, chosen.out):
        print(file)


def _landmarks(chosen: argparse.Namespace) -> None:
    from fakeemo.landmark_csv import write_landmark_csv

    for table in chosen.tables:
        print(write_landmark_csv(table, chosen.out))
