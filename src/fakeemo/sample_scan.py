"""A sample sheet from file names: a pattern says what stands where."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fakeemo.errors import FakeemoError
from fakeemo.samples import LABELS, SPLITS, Sample, emotion_names, files_below

FIELDS = ("subject", "emotion", "label", "split")
_PART = re.compile(r"\{(\w*)\}|(\*)")


def scan_folder(
    folder: str | Path,
    pattern: str,
    emotions: Sequence[str],
    synonyms: Mapping[str, str] | None = None,
    *,
    words: Mapping[str, Mapping[str, str]] | None = None,
    fixed: Mapping[str, str] | None = None,
) -> tuple[list[Sample], list[str]]:
    """List the files below ``folder`` whose path from there matches ``pattern``, and what was left aside, in words.

    Args:
        folder: where to look.
        pattern: such as ``{subject}/{label}_{emotion}_*.avi``. Each of :data:`FIELDS` stands for some characters, the
            same ones where it stands twice, and ``*`` for any; none reaches over a ``/``. Letter case counts in values,
            not between them.
        emotions: those of the config; files of others are left aside.
        synonyms: further names of these.
        words: for the fields ``label`` and ``split``, what the set's own words mean; others than these and the ones of
            the sheet are a fault.
        fixed: fields that are the same for all files.

    Raises:
        FakeemoError: if the pattern is no pattern, a field is neither in it nor fixed (``split`` may be neither), no
            file matches, or a word is not known.
    """
    root, fixed, words = Path(folder), dict(fixed or {}), words or {}
    if not root.is_dir():
        raise FakeemoError(f"{folder}: no such folder")
    expression = _compile(pattern, fixed)
    names = emotion_names(emotions, synonyms)
    allowed = {"label": (*LABELS, ""), "split": SPLITS}
    samples: list[Sample] = []
    others: list[str] = []
    strangers: list[str] = []
    for path in files_below(root):
        relative = path.relative_to(root).as_posix()
        found = expression.fullmatch(relative)
        if found is None:
            strangers.append(relative)
            continue
        values = {"split": ""} | fixed | found.groupdict()
        for field, known in allowed.items():
            meaning = words.get(field, {}).get(values[field].lower(), values[field].lower())
            if meaning not in known and (meaning or field == "label"):
                option = "--genuine or --fake" if field == "label" else f"--{SPLITS[0]}, --{SPLITS[1]} or --{SPLITS[2]}"
                raise FakeemoError(
                    f"{path}: {field} '{values[field]}' is none of {', '.join(word for word in known if word)}; say"
                    f" with {option} what it means"
                )
            values[field] = meaning
        if values["emotion"].lower() not in names:
            others.append(relative)
            continue
        identifier = re.sub(r"[^A-Za-z0-9._-]+", "_", str(Path(relative).with_suffix("")))
        emotion = names[values["emotion"].lower()]
        samples.append(Sample(identifier, str(path), values["subject"], emotion, values["label"], values["split"]))
    if not samples:
        example = next(iter(others or strangers), None)
        raise FakeemoError(
            f"{folder}: no file matches the pattern '{pattern}' and shows an emotion of the config"
            f" ({', '.join(emotions)})" + (f"; a file there is called {example}" if example else "; it has no files")
        )
    remarks = [
        f"{len(paths)} {what}: {', '.join(paths[:3])}{', ...' if len(paths) > 3 else ''}"
        for paths, what in (
            (strangers, "files left aside, since they do not match"),
            (others, "files left aside, since of emotions that the config has not"),
        )
        if paths
    ]
    return samples, remarks


def _compile(pattern: str, fixed: Mapping[str, str]) -> re.Pattern[str]:
    """Turn a pattern into a regular expression with a named group for each field."""
    seen: set[str] = set()
    parts, end = [], 0
    for part in _PART.finditer(pattern):
        parts.append(re.escape(pattern[end : part.start()]))
        end = part.end()
        field = part[1]
        if part[2]:
            parts.append("[^/]*")
        elif field not in FIELDS:
            raise FakeemoError(
                f"pattern '{pattern}': '{{{field}}}' is unknown; fields are {', '.join(f'{{{f}}}' for f in FIELDS)},"
                " and * stands for anything else"
            )
        else:
            parts.append(f"(?P={field})" if field in seen else f"(?P<{field}>[^/]+?)")
            seen.add(field)
    parts.append(re.escape(pattern[end:]))
    for field in FIELDS:
        if field in seen and field in fixed:
            raise FakeemoError(f"pattern '{pattern}': {{{field}}} stands in it, so --{field} cannot be given too")
        if field not in (*seen, *fixed, "split"):
            raise FakeemoError(f"pattern '{pattern}': has no {{{field}}}; put it in, or give --{field}")
    return re.compile("".join(parts), re.IGNORECASE)
