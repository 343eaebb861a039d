"""Files that say which videos are genuine and which fake: the challenge's pickles, CSV, or JSON.

A pickle is a program, and to load one is to run it. :func:`read_pickle` lets it build nothing but what its own
opcodes make (texts, numbers, lists, dicts): whatever would import or call something is refused before it happens.
"""

import csv
import io
import json
import pickle
import pickletools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fakeemo.errors import FakeemoError

SUFFIXES = (".pkl", ".pickle", ".csv", ".json")
WORDS = {"true": "genuine", "real": "genuine", "genuine": "genuine", "fake": "fake"}
"""What a label file may say, and what it is called here; the challenge says true and fake."""
_MOST_BYTES = 10_000_000  # the challenge's files have 3 kB


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it wants to import {module}.{name}")


def read_labels(path: str | Path) -> dict[str, str]:
    """Read a label file: genuine or fake by the video's file name, in small letters and without folders.

    A pickle or a JSON file holds one dict from file name to word, a CSV file has two columns, file name and word, with
    or without a header line. Words are those of :data:`WORDS`, in any letter case.

    Raises:
        FakeemoError: if the file cannot be read, is a pickle that holds or does anything else, names a video twice
            with different labels, or says another word.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise FakeemoError(f"{path}: is larger than {_MOST_BYTES} bytes, so hardly a file of labels")
        content = path.read_bytes()
    except OSError as error:
        raise FakeemoError(f"{path}: cannot be read ({error.strerror})") from error
    if path.suffix.lower() == ".json":
        pairs = _read_json(path, content)
    elif path.suffix.lower() == ".csv":
        pairs = _read_csv(path, content)
    elif path.suffix.lower() in (".pkl", ".pickle"):
        pairs = list(read_pickle(path, content).items())
    else:
        raise FakeemoError(f"{path}: a file of labels ends in {', '.join(SUFFIXES)}")
    labels: dict[str, str] = {}
    for video, word in pairs:
        label = WORDS.get(word.strip().lower())
        if label is None:
            raise FakeemoError(f"{path}: video '{video}': '{word}' is not one of {', '.join(WORDS)}")
        name = video.replace("\\", "/").rsplit("/", 1)[-1].strip().lower()
        if labels.setdefault(name, label) != label:
            raise FakeemoError(f"{path}: video '{video}' stands twice, with different labels; remove one")
    return labels


def merge_labels(files: Mapping[Path, Mapping[str, str]]) -> dict[str, str]:
    """Join the labels of several files. Raises :class:`FakeemoError` where two contradict each other."""
    merged: dict[str, str] = {}
    source: dict[str, Path] = {}
    for path, labels in files.items():
        for video, label in labels.items():
            if merged.setdefault(video, label) != label:
                raise FakeemoError(
                    f"{path}: video '{video}' is {label}, but {merged[video]} in {source[video]}; remove one file"
                )
            source.setdefault(video, path)
    return merged


def read_pickle(path: str | Path, content: bytes) -> dict[str, str]:
    """Read a pickled dict from text to text, and no other. Raises :class:`FakeemoError`."""
    try:
        for opcode, number, _ in pickletools.genops(content):
            # A memo of two thousand million places would be made for this one number.
            if "PUT" in opcode.name and isinstance(number, int) and number > len(content):
                raise pickle.UnpicklingError(f"it wants a memo of {number} places")
        found = _Plain(io.BytesIO(content)).load()
    except Exception as error:  # a broken pickle can end in nearly any exception
        raise FakeemoError(
            f"{path}: not a pickle that can be read safely ({error}); write the labels as CSV: file name, label"
        ) from error
    if type(found) is not dict or not all(type(part) is str for pair in found.items() for part in pair):
        raise FakeemoError(f"{path}: the pickle must hold one dict from file names to words, and nothing else")
    return found


def _read_json(path: Path, content: bytes) -> list[tuple[str, str]]:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise FakeemoError(f"{path}: not a JSON file ({error})") from error
    if not isinstance(found, dict) or not all(isinstance(word, str) for word in found.values()):
        raise FakeemoError(f"{path}: must hold one JSON object from file names to words")
    return list(found.items())


def _read_csv(path: Path, content: bytes) -> list[tuple[str, str]]:
    try:
        lines = [row for row in csv.reader(content.decode("utf-8-sig").splitlines()) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise FakeemoError(f"{path}: cannot be read as CSV in UTF-8 ({error})") from error
    if any(len(row) != 2 for row in lines):
        raise FakeemoError(f"{path}: must have two columns, file name and label, with a comma between")
    if lines and "." not in lines[0][0]:  # a header: names of video files have an ending
        lines = lines[1:]
    return [(video, word) for video, word in lines]
