"""What is wrong with a sample sheet and its files, row by row, before hours are spent on them."""

import hashlib
import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from fakeemo.errors import FakeemoError, VideoError
from fakeemo.progress import progress
from fakeemo.samples import LABELS, Sample, id_faults, parse_sheet, split_faults
from fakeemo.sase_fe import list_folder
from fakeemo.video import glance

_PLANNED = 0.9  # share of subjects with the same number of videos of each class that makes this the set's plan
_Given = TypeVar("_Given")
_Found = TypeVar("_Found")


class Finding(NamedTuple):
    """Hold one thing found: the line of the sheet (0: no single one), the video, how bad it is, what and what to do.

    A ``fault`` stops the workflow or spoils what it finds; a ``note`` may be meant so.
    """

    line: int
    video_id: str
    level: str
    what: str


def check_source(
    path: str | Path,
    emotions: Sequence[str],
    synonyms: Mapping[str, str] | None = None,
    *,
    cross_validated: bool = False,
    min_frames: int = 10,
    hashing: bool = True,
) -> tuple[int, list[Finding]]:
    """Check a sample sheet, or a folder in the layout of SASE-FE, with every file that it names.

    Args:
        path: the sheet or the folder.
        emotions: those of the config.
        synonyms: further names of these.
        cross_validated: whether folds of subjects stand for the column ``split``.
        min_frames: fewest frames that make a video usable (config key ``tracking.min_frames``).
        hashing: whether to look for bit-identical files. Only files of the same size are read for it.

    Returns:
        The number of rows, and what was found, in the order of the rows.

    Raises:
        FakeemoError: if the sheet or folder cannot be read at all.
    """
    findings: list[Finding] = []
    rows: list[tuple[int, Sample]] = []
    if Path(path).is_dir():
        found, remarks = list_folder(path, emotions, synonyms)
        rows = [(0, sample) for sample in found]
        findings += [Finding(0, "", "note", remark) for remark in remarks]
    else:
        for line, row in parse_sheet(path, emotions, synonyms, cross_validated=cross_validated):
            if isinstance(row, FakeemoError):
                findings.append(Finding(line, "", "fault", str(row).removeprefix(f"{path}, line {line}, ")))
            else:
                rows.append((line, row))
    samples = [sample for _, sample in rows]
    lines = {id(sample): line for line, sample in rows}

    def note(level: str, faults: Iterable[tuple[Sample, str]]) -> None:
        findings.extend(Finding(lines[id(sample)], sample.video_id, level, what) for sample, what in faults)

    note("fault", id_faults(samples))
    if not cross_validated:
        note("fault", split_faults(samples))
    note("fault", file_faults(samples, min_frames))
    if hashing:
        note("fault", identical_files(samples))
    note("note", class_notes(samples))
    absent = [emotion for emotion in emotions if emotion not in {sample.emotion for sample in samples}]
    if absent and samples:
        findings.append(Finding(0, "", "note", f"no video of {', '.join(absent)}; nothing is learned about it"))
    return len(samples), sorted(findings, key=lambda finding: finding.line)


def file_faults(samples: Sequence[Sample], min_frames: int) -> Iterator[tuple[Sample, str]]:
    """Give each row whose file is missing, cannot be read, or is too short. Headers are read, not frames."""
    for sample, found in zip(samples, _side_by_side(_look, samples, "files", "file"), strict=True):
        if isinstance(found, VideoError):
            yield sample, f"{found.reason} [{found.status}]; correct the path, mend the file, or take the row out"
        elif found is not None and found < min_frames:
            yield (
                sample,
                f"{sample.path}: {found:.0f} frames, of which tracking.min_frames = {min_frames} must show a face"
                " [too_short]; take the row out, or lower that key",
            )


def identical_files(samples: Sequence[Sample]) -> Iterator[tuple[Sample, str]]:
    """Give each row whose file is bit-identical with that of a row before. A file listed twice by path counts once."""
    of_size: dict[int, dict[str, Sample]] = defaultdict(dict)
    for sample in samples:
        if os.path.isfile(sample.path):
            of_size[os.path.getsize(sample.path)].setdefault(os.path.realpath(sample.path), sample)
    alike = [sample for same in of_size.values() if len(same) > 1 for sample in same.values()]
    first: dict[bytes, Sample] = {}
    for sample, digest in zip(alike, _side_by_side(_hash, alike, "hashing", "file"), strict=True):
        if digest is not None and (other := first.setdefault(digest, sample)) is not sample:
            classes = _class(other), _class(sample)
            though = "" if classes[0] == classes[1] else ", though one is {} and the other {}".format(*classes)
            yield (
                sample,
                f"{sample.path} is bit-identical with {other.path} (video '{other.video_id}'){though}; look at it, and"
                " keep the one row that is true",
            )


def class_notes(samples: Sequence[Sample]) -> Iterator[tuple[Sample, str]]:
    """Give a row of each subject that has fewer or more videos of a class than nearly all subjects have.

    A class is an emotion with a label. Where subjects differ anyway, there was no plan to compare with.
    """
    counts: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    row: dict[str, Sample] = {}
    for sample in samples:
        if sample.subject and sample.label:
            counts[sample.subject][sample.emotion, sample.label] += 1
            row.setdefault(sample.subject, sample)
    for emotion in dict.fromkeys(sample.emotion for sample in samples):
        for label in LABELS:
            numbers = Counter(of[emotion, label] for of in counts.values())
            ((usual, share),) = numbers.most_common(1) or ((0, 0),)
            if share < _PLANNED * len(counts):
                continue
            for subject, of in counts.items():
                if (number := of[emotion, label]) != usual:
                    yield (
                        row[subject],
                        f"subject '{subject}' has {number} videos of {label} {emotion}, where others have {usual}; if"
                        f" that is not so, {'add what is missing' if number < usual else 'take out what is surplus'}",
                    )


def _look(sample: Sample) -> float | VideoError | None:
    """Give the number of frames of the part that the row names, None where unknown, or why there is none."""
    try:
        if sample.is_table:
            return _count_faces(sample)
        n_frames, rate = glance(sample.path)
    except VideoError as error:
        return error
    if n_frames is None or (sample.start_s is None and sample.end_s is None):
        return n_frames
    end = n_frames if sample.end_s is None else min(n_frames, sample.end_s * rate)
    return max(0.0, end - (sample.start_s or 0) * rate)


def _count_faces(sample: Sample) -> float:
    """Give the number of frames with a face in the part that the row names of a table of landmarks."""
    from fakeemo.given_landmarks import read_landmarks  # here, since few sheets have one

    columns, points = read_landmarks(sample.path, sample.fps)
    time, end = columns["timestamp"], math.inf if sample.end_s is None else sample.end_s
    seen = [math.isfinite(x) for x in points[:, 0, 0]]
    return float(sum((time >= (sample.start_s or 0)) & (time < end) & seen))


def _hash(sample: Sample) -> bytes | None:
    try:
        with open(sample.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return None  # file_faults says so


def _class(sample: Sample) -> str:
    return f"{sample.label or 'unlabelled'} {sample.emotion}"


def _side_by_side(
    function: Callable[[_Given], _Found], things: Sequence[_Given], what: str, unit: str
) -> Iterator[_Found]:
    """Call ``function`` for each thing, on all cores, with a progress bar; results are in the order of the things."""
    # Threads do, since both FFmpeg and hashing let other threads run meanwhile.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from progress(pool.map(function, things), what, unit, len(things))
