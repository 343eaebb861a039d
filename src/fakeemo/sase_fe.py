"""The videos of SASE-FE as they are given out: ChaLearn LAP "Real versus Fake Expressed Emotion" (ICCV 2017).

Training videos are called ``SUBJECT/CODE.MP4``. The code says what was felt and what was shown: ``N2H`` went from
neutral to a genuine smile, ``S2N2H`` was made sad before and then acted happy. Videos of validation and test lie flat,
``0123456789_HAPPINESS.mp4``, below a folder whose name begins with val or test; who is seen is not said, and labels
come in files of their own. Which emotion a name stands for (contentment is contempt) is up to the config.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fakeemo.errors import FakeemoError
from fakeemo.label_files import SUFFIXES, merge_labels, read_labels
from fakeemo.samples import (
    CROSS_VALIDATED,
    SPLITS,
    Sample,
    check_samples,
    emotion_names,
    files_below,
    read_samples,
)

CODES = {
    "n2a": ("anger", "genuine"),
    "n2c": ("contentment", "genuine"),
    "n2d": ("disgust", "genuine"),
    "n2h": ("happiness", "genuine"),
    "n2s": ("sadness", "genuine"),
    "n2sur": ("surprise", "genuine"),
    "h2n2a": ("anger", "fake"),
    "h2n2c": ("contentment", "fake"),
    "h2n2d": ("disgust", "fake"),
    "s2n2h": ("happiness", "fake"),
    "h2n2s": ("sadness", "fake"),
    "d2n2sur": ("surprise", "fake"),
    "d2n2s": ("surprise", "fake"),  # so called for some subjects; no fake sadness began with disgust
}
"""Emotion, in the words of the data set, and label, by the code in small letters."""

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".m4v")
_FLAT = re.compile(r"\d+_([a-z]+)", re.IGNORECASE)
_SPLITS = {"val": "valid", "test": "test"}  # by how a folder's name begins


def read_source(
    path: str | Path,
    emotions: Sequence[str],
    synonyms: Mapping[str, str] | None = None,
    *,
    cross_validated: bool = False,
) -> list[Sample]:
    """Read and check what the config's ``samples`` names: a sample sheet, or a folder in the layout of SASE-FE.

    Label files in the folder count. Arguments are those of :func:`fakeemo.samples.read_samples`, and so are the
    faults that raise :class:`FakeemoError`.
    """
    if not Path(path).is_dir():
        return read_samples(path, emotions, synonyms, cross_validated=cross_validated)
    samples, _ = list_folder(path, emotions, synonyms)
    if cross_validated:
        samples = [_for_cross_validation(path, sample) for sample in samples]
    check_samples(path, samples, cross_validated=cross_validated)
    return samples


def list_folder(
    root: str | Path,
    emotions: Sequence[str],
    synonyms: Mapping[str, str] | None = None,
    label_files: Sequence[str | Path] | None = None,
) -> tuple[list[Sample], list[str]]:
    """List the videos below ``root``, training first, subject by subject, and what was left aside, in words.

    Args:
        root: the folder; where in it the layout begins does not matter.
        emotions: those of the config; videos of others are left aside.
        synonyms: further names of these.
        label_files: of validation and test; those below ``root`` if absent.

    Raises:
        FakeemoError: if there is no such folder, no video with a name of the data set in it, a flat one of which
            nobody says whether it is validation or test, or a fault of a label file.
    """
    root = Path(root)
    if not root.is_dir():
        raise FakeemoError(f"{root}: no such folder; name the one that the videos of SASE-FE were unpacked in")
    files = files_below(root)
    if label_files is None:
        label_files = [path for path in files if path.suffix.lower() in SUFFIXES]
    labels = merge_labels({Path(path): read_labels(path) for path in label_files})
    names = emotion_names(emotions, synonyms)
    samples: list[Sample] = []
    others: list[Path] = []
    strangers: list[Path] = []
    for path in files:
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            continue
        found = _training_video(path) or _flat_video(root, path, labels)
        if found is None:
            strangers.append(path)
        elif found.emotion not in names:
            others.append(path)
        else:
            samples.append(replace(found, emotion=names[found.emotion]))
    if not samples:
        raise FakeemoError(
            f"{root}: no video is named as in SASE-FE (1/N2H.MP4, 0123456789_HAPPINESS.mp4) and shows an emotion of the"
            f" config ({', '.join(emotions)}); for videos with other names: fakeemo samples scan"
        )
    samples.sort(key=lambda sample: (SPLITS.index(sample.split), int(sample.subject[1:] or 0), sample.video_id))
    videos = {path.name.lower() for path in files}
    unseen = [Path(name) for name in labels if name not in videos]
    remarks = [
        f"{len(paths)} {what}: {', '.join(str(path) for path in paths[:3])}{', ...' if len(paths) > 3 else ''}"
        for paths, what in (
            (strangers, "videos left aside, since no name of SASE-FE"),
            (others, "videos left aside, since of emotions that the config has not"),
            (unseen, "labels without a video"),
            ([s.path for s in samples if not s.label], "videos without a label, which are judged but not counted"),
        )
        if paths
    ]
    return samples, remarks


def _training_video(path: Path) -> Sample | None:
    """Give what ``SUBJECT/CODE.MP4`` says, or nothing where the path is of another form."""
    subject, code = path.parent.name, path.stem
    if not subject.isdecimal() or code.lower() not in CODES:
        return None
    emotion, label = CODES[code.lower()]
    return Sample(f"s{int(subject):02d}_{code}", str(path), f"s{int(subject):02d}", emotion, label, "train")


def _flat_video(root: Path, path: Path, labels: Mapping[str, str]) -> Sample | None:
    """Give what ``DIGITS_EMOTION.mp4`` and the folders around it say, or nothing where the name is of another form.

    Raises :class:`FakeemoError` where no folder, or several, say what split it is of.
    """
    named = _FLAT.fullmatch(path.stem)
    if named is None:
        return None
    splits: set[str] = set()
    for folders in (path.relative_to(root).parts[:-1], (root.resolve().name,)):
        splits = splits or {split for name in folders for start, split in _SPLITS.items() if _begins(name, start)}
    if len(splits) != 1:
        raise FakeemoError(
            f"{path}: validation or test? Put such videos below a folder whose name begins with val, or with test"
        )
    return Sample(path.stem, str(path), "", named[1].lower(), labels.get(path.name.lower(), ""), splits.pop())


def _begins(name: str, start: str) -> bool:
    return name.lower().startswith(start)


def _for_cross_validation(root: str | Path, sample: Sample) -> Sample:
    if not sample.subject:
        raise FakeemoError(
            f"{root}: video '{sample.video_id}': cross-validation needs to know who is seen, and of validation and test"
            " nobody says; write a sheet with: fakeemo samples sase-fe, and take those rows out"
        )
    return replace(sample, split=CROSS_VALIDATED)
