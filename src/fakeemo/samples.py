"""The sample sheet: one row a video, checked before anything runs.

The sheet is tab-separated text with a header line. Columns: ``video_id``, ``path``, ``subject``, ``emotion``,
``label`` (genuine, fake, or empty where unknown), ``split`` (train, valid, test), and if wanted ``roi``
(``x,y,w,h`` in pixels of frame ``roi_frame``), ``start_s``, ``end_s``. ``path`` may also name a table of landmarks
(:mod:`fakeemo.given_landmarks`), and column ``fps`` its frames a second, where it has no timestamps. Outside training,
``subject`` may be empty where it is not known. In cross-validation folds of subjects stand for the splits, so column
``split`` is not read and may be left out, and every subject must be known.
"""

import csv
import difflib
import os
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fakeemo.errors import FakeemoError
from fakeemo.files import replacing

LABELS = ("genuine", "fake")
SPLITS = ("train", "valid", "test")
CHALLENGE = "split of the sample sheet"
"""The protocol in words, unless it is cross-validation."""
CROSS_VALIDATED = "cv"
"""Split of every video in cross-validation: a model that never saw its subject judges it."""
JUDGED = (CROSS_VALIDATED, "test", "valid")
"""Splits that are judged by models that were not fitted on them, the one that counts most first."""
REQUIRED = ("video_id", "path", "subject", "emotion", "label", "split")
OPTIONAL = ("roi", "roi_frame", "start_s", "end_s", "fps")
TABLE_SUFFIXES = (".csv", ".parquet")
"""How the file of a sample ends that is a table of landmarks, instead of a video."""
_ID = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Sample:
    """One video of the sheet. Times are in seconds, ``roi`` in pixels of the upright frame ``roi_frame``.

    An empty ``label`` or ``subject`` is one that is not known.
    """

    video_id: str
    path: str
    subject: str
    emotion: str
    label: str
    split: str
    roi: tuple[float, float, float, float] | None = None
    roi_frame: int = 0
    start_s: float | None = None
    end_s: float | None = None
    fps: float | None = None

    @property
    def is_table(self) -> bool:
        """Whether landmarks are given, in place of a video."""
        return is_table(self.path)


def is_table(path: str | Path) -> bool:
    """Say by its name whether a file holds landmarks, and not a video."""
    return str(path).lower().endswith(TABLE_SUFFIXES)


def read_samples(
    path: str | Path,
    emotions: Sequence[str],
    synonyms: Mapping[str, str] | None = None,
    *,
    cross_validated: bool = False,
) -> list[Sample]:
    """Read and check a sample sheet.

    Args:
        path: the tab-separated sheet.
        emotions: the names that column ``emotion`` may hold (any letter case).
        synonyms: further names, each for one of ``emotions`` (contentment for contempt, say).
        cross_validated: whether every video gets the split :data:`CROSS_VALIDATED`, whatever the sheet says.

    Raises:
        FakeemoError: on the first fault, with the line, the column, the value and what was expected there.
    """
    samples = []
    for _, row in parse_sheet(path, emotions, synonyms, cross_validated=cross_validated):
        if isinstance(row, FakeemoError):
            raise row
        samples.append(row)
    check_samples(path, samples, cross_validated=cross_validated)
    return samples


def check_samples(path: str | Path, samples: Sequence[Sample], *, cross_validated: bool = False) -> None:
    """Raise :class:`FakeemoError` on the first fault of samples together; ``path`` is where they come from."""
    if not samples:
        raise FakeemoError(f"{path}: no videos; add a row for each")
    for faults in (id_faults, *(() if cross_validated else (split_faults,))):
        for _, fault in faults(samples):
            raise FakeemoError(f"{path}, {fault}")


def parse_sheet(
    path: str | Path,
    emotions: Sequence[str],
    synonyms: Mapping[str, str] | None = None,
    *,
    cross_validated: bool = False,
) -> Iterator[tuple[int, Sample | FakeemoError]]:
    """Give the number of each line that holds a row, with the row or with the first thing wrong with it.

    Arguments are those of :func:`read_samples`. Raises :class:`FakeemoError` where no row can be read at all.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file, delimiter="\t"))
    except FileNotFoundError:
        raise FakeemoError(f"{path}: no such sample sheet; write one, or correct 'samples' in the config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FakeemoError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    if not rows:
        raise FakeemoError(f"{path}: empty; the first line must name the columns {', '.join(REQUIRED)}")
    header = [name.strip() for name in rows[0]]
    _check_header(path, header, [name for name in REQUIRED if not (cross_validated and name == "split")])
    names = emotion_names(emotions, synonyms)
    for line, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        where = f"{path}, line {line}"
        try:
            if len(row) != len(header):
                raise FakeemoError(
                    f"{where}: {len(row)} cells, but the header names {len(header)} columns;"
                    " cells are separated by single tabs"
                )
            cells = dict(zip(header, (cell.strip() for cell in row), strict=True))
            split = CROSS_VALIDATED if cross_validated else _one_of(where, "split", cells["split"], SPLITS)
            yield line, _parse_row(where, cells | {"split": split}, names)
        except FakeemoError as error:
            yield line, error


def emotion_names(emotions: Iterable[str], synonyms: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give the emotion for each of its names in small letters, its own and the synonyms of the config."""
    return {name.lower(): name for name in emotions} | {k.lower(): v for k, v in (synonyms or {}).items()}


def files_below(folder: str | Path) -> list[Path]:
    """Give the files in a folder and in those below it, by name; links are followed, hidden files left out."""
    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        # A link back up would lead round and round.
        folders[:] = [name for name in folders if os.path.realpath(f"{place}/{name}") not in seen]
        seen.update(os.path.realpath(f"{place}/{name}") for name in folders)
        found += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(found)


def write_samples(path: str | Path, samples: Iterable[Sample]) -> None:
    """Write a sample sheet with the required columns; ``split`` is left out where no sample has one."""
    samples = list(samples)
    columns = [name for name in REQUIRED if name != "split" or any(sample.split for sample in samples)]
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([getattr(sample, name) for name in columns] for sample in samples)


def id_faults(samples: Iterable[Sample]) -> Iterator[tuple[Sample, str]]:
    """Give each row whose id, or whose part of a file, another row has before it."""
    # Case is ignored: on some file systems Happy.parquet and happy.parquet are the same file.
    ids: dict[str, Sample] = {}
    paths: dict[str, Sample] = {}
    for sample in samples:
        if (other := ids.setdefault(sample.video_id.lower(), sample)) is not sample:
            yield (
                sample,
                f"column 'video_id': '{sample.video_id}' stands twice (videos {other.path} and {sample.path}); give"
                " each video an id of its own",
            )
        span = f"{sample.path}\t{sample.start_s}\t{sample.end_s}"
        if (other := paths.setdefault(span, sample)) is not sample:
            yield (
                sample,
                f"column 'path': {sample.path} stands twice (videos '{other.video_id}' and '{sample.video_id}');"
                " remove one row, or give the two different start_s and end_s",
            )


def split_faults(samples: Iterable[Sample]) -> Iterator[tuple[Sample, str]]:
    """Give each row whose subject stands in another split before, and a row of each emotion that cannot be learned."""
    samples = list(samples)
    seen: dict[str, Sample] = {}
    for sample in filter(lambda s: s.subject, samples):
        first = seen.setdefault(sample.subject, sample)
        if first.split != sample.split:
            yield (
                sample,
                f"column 'split': subject '{sample.subject}' is in '{first.split}' (video '{first.video_id}') and in"
                f" '{sample.split}' (video '{sample.video_id}'); a subject belongs to one split, else the test says"
                " nothing about new people",
            )
    labels: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        if sample.split == "train" and sample.label:
            labels[sample.emotion].add(sample.label)
    for emotion, sample in {sample.emotion: sample for sample in reversed(samples)}.items():
        missing = [label for label in LABELS if label not in labels[emotion]]
        if missing:
            yield (
                sample,
                f"column 'label': emotion '{emotion}' has no training video labelled '{' or '.join(missing)}'; both"
                " labels are needed to learn it: add videos, or leave this emotion out of the sheet",
            )


def deal_folds(subjects: Iterable[str], n_folds: int, seed: int) -> list[list[str]]:
    """Deal the distinct ``subjects`` into ``n_folds`` folds of nearly equal size, at random by ``seed``."""
    distinct = sorted(set(subjects))
    random.Random(seed).shuffle(distinct)
    return [sorted(distinct[k::n_folds]) for k in range(n_folds)]


def check_folds(path: str | Path, samples: Iterable[Sample], folds: Sequence[Sequence[str]]) -> None:
    """Raise :class:`FakeemoError` if a fold leaves an emotion that it judges too little to be learned from.

    Both labels must remain, and two subjects, as boosting makes folds of its own among those.
    """
    samples = list(samples)
    for number, fold in enumerate(folds, start=1):
        for emotion in dict.fromkeys(sample.emotion for sample in samples if sample.subject in fold):
            left = [s for s in samples if s.emotion == emotion and s.label and s.subject not in fold]
            missing = [label for label in LABELS if label not in {s.label for s in left}]
            if missing:
                lack = f"no video labelled '{' or '.join(missing)}'"
            elif len({s.subject for s in left}) < 2:
                lack = "labelled videos of one subject only"
            else:
                continue
            raise FakeemoError(
                f"{path}: cross-validation, fold {number} of {len(folds)}: without its subjects"
                f" ({', '.join(fold)}) emotion '{emotion}' has {lack} to learn from; add videos of other subjects, take"
                " more folds, or leave this emotion out of the sheet"
            )


def _check_header(path: str | Path, header: list[str], required: Sequence[str]) -> None:
    known = REQUIRED + OPTIONAL
    for name in header:
        if name not in known:
            raise FakeemoError(
                f"{path}, line 1: unknown column '{name}'{suggestion(name, known)}; columns are {', '.join(known)}"
            )
        if header.count(name) > 1:
            raise FakeemoError(f"{path}, line 1: column '{name}' stands twice")
    for name in required:
        if name not in header:
            unless = "; a set without splits takes protocol: k-fold in the config" if name == "split" else ""
            raise FakeemoError(f"{path}, line 1: column '{name}' is missing; columns are separated by tabs{unless}")


def _parse_row(where: str, cells: dict[str, str], emotions: Mapping[str, str]) -> Sample:
    video_id = cells["video_id"]
    if not _ID.fullmatch(video_id):
        raise FakeemoError(
            f"{where}, column 'video_id': '{video_id}' must consist of letters, digits, '.', '_' and '-'"
        )
    if not cells["path"]:
        raise FakeemoError(f"{where}, column 'path': empty")
    if not cells["subject"] and cells["split"] in ("train", CROSS_VALIDATED):
        raise FakeemoError(f"{where}, column 'subject': empty; training needs to know who is seen")
    emotion = emotions.get(cells["emotion"].lower())
    if emotion is None:
        raise FakeemoError(
            f"{where}, column 'emotion': unknown emotion '{cells['emotion']}'{suggestion(cells['emotion'], emotions)};"
            f" known: {', '.join(emotions)} (config keys 'emotions' and 'synonyms')"
        )
    return Sample(
        video_id=video_id,
        path=cells["path"],
        subject=cells["subject"],
        emotion=emotion,
        label=_one_of(where, "label", cells["label"], (*LABELS, "")),
        split=cells["split"],
        roi=_parse_roi(where, cells.get("roi", "")),
        roi_frame=int(_parse_number(where, "roi_frame", cells.get("roi_frame", "")) or 0),
        start_s=_parse_number(where, "start_s", cells.get("start_s", "")),
        end_s=_parse_number(where, "end_s", cells.get("end_s", "")),
        fps=_parse_number(where, "fps", cells.get("fps", "")) or None,
    )


def _one_of(where: str, column: str, value: str, allowed: Sequence[str]) -> str:
    if value.lower() not in allowed:
        expected = ", ".join(name or "empty (unknown)" for name in allowed)
        raise FakeemoError(
            f"{where}, column '{column}': '{value}' is not one of {expected}{suggestion(value, allowed)}"
        )
    return value.lower()


def _parse_number(where: str, column: str, value: str) -> float | None:
    if not value:
        return None
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise FakeemoError(f"{where}, column '{column}': '{value}' is not a number of 0 or more")
    return number


def _parse_roi(where: str, value: str) -> tuple[float, float, float, float] | None:
    if not value:
        return None
    try:
        x, y, w, h = (float(part) for part in value.split(","))
    except ValueError:
        x, y, w, h = 0.0, 0.0, 0.0, 0.0
    if not (w > 0 and h > 0):
        raise FakeemoError(
            f"{where}, column 'roi': '{value}' is not x,y,w,h in pixels with w and h above 0 (as in 120,80,200,200)"
        )
    return x, y, w, h


def suggestion(value: str, known: Iterable[str]) -> str:
    """Ask whether the nearest of the known words was meant, in brackets; nothing where none is near."""
    close = difflib.get_close_matches(value.lower(), list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close and close[0] else ""
