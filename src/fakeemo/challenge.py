"""Submissions as the organisers of the challenge want them: a pickled dict from file name to true or fake."""

import csv
import pickle
from collections.abc import Sequence
from pathlib import Path

from fakeemo.errors import FakeemoError
from fakeemo.evaluation import read_predictions
from fakeemo.files import replacing
from fakeemo.samples import Sample

WORDS = {"genuine": "true", "fake": "fake"}
FILES = {"valid": "valid_prediction", "test": "test_prediction"}


def export_challenge(predictions: str | Path, samples: Sequence[Sample], folder: str | Path) -> list[Path]:
    """Write ``valid_prediction`` and ``test_prediction``, each as ``.pkl`` and ``.csv``, for the splits that there are.

    Each holds every video of its split, by the name of its file: ``true`` or ``fake`` as the verdict on it alone was.

    Args:
        predictions: ``results/predictions.csv``.
        samples: all rows of the sample sheet.
        folder: where the files go.

    Returns:
        The files.

    Raises:
        FakeemoError: before anything is written, if a video of these splits has no verdict, two have one file name, or
            there is no video of either split.
    """
    verdicts = {row.video_id: row for row in read_predictions(predictions)}
    answers: dict[str, dict[str, str]] = {}
    missing: list[str] = []
    for sample in samples:
        if sample.split not in FILES:
            continue
        row, name = verdicts.get(sample.video_id), Path(sample.path).name
        if row is None or row.predicted is None:
            missing.append(f"'{sample.video_id}' ({'not in it' if row is None else row.status})")
        elif name in answers.setdefault(sample.split, {}):
            raise FakeemoError(f"two {sample.split} videos are called {name}; the challenge tells videos by that")
        else:
            answers[sample.split][name] = WORDS[row.predicted]
    if missing:
        raise FakeemoError(
            f"{predictions}: no verdict on {len(missing)} of the challenge's videos: {', '.join(missing[:5])}"
            f"{', ...' if len(missing) > 5 else ''}; a submission must name every video: mend what"
            " results/qc/videos.parquet says of them, and run again"
        )
    if not answers:
        raise FakeemoError("the sample sheet has no video of split valid or test, so there is nothing to submit")
    written = []
    for split, answer in answers.items():
        pickled, table = (Path(folder) / f"{FILES[split]}{suffix}" for suffix in (".pkl", ".csv"))
        with replacing(pickled) as temporary:
            # Protocol 2 is the last that Python 2, in which the organisers scored, can read.
            temporary.write_bytes(pickle.dumps(answer, protocol=2))
        with replacing(table) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("video", "label"), *answer.items()])
        written += [pickled, table]
    return written
