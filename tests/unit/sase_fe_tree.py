"""A folder that is laid out as SASE-FE is given out."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

from fakeemo.sase_fe import CODES

WORDS = {"anger": "ANGER", "contempt": "CONTENTMENT", "disgust": "DISGUST", "happiness": "HAPPINESS"}
WORDS |= {"sadness": "SADNESS", "surprise": "SURPRISE"}
"""What validation and test call the emotions."""


def plan(subjects: int = 2) -> list[tuple[str, str, str, str]]:
    """List ``(path, subject, emotion, label)``: twelve videos a training subject, two of each emotion in each split."""
    names = {word.lower(): emotion for emotion, word in WORDS.items()}
    videos = []
    for number in range(1, subjects + 1):
        for code, (word, label) in CODES.items():
            # Some subjects' fake surprise is called otherwise, and so are the letters of some names.
            if code == ("d2n2s" if number % 2 else "d2n2sur"):
                continue
            shown = code.upper().replace("SUR", "Sur")
            name = shown + (".MP4" if number % 2 else ".mp4")
            videos.append((f"Train/{number}/{name}", f"s{number:02d}", names[word], label))
    for split, first in (("Validation", 1200345001), ("Test", 2200345001)):
        for i, (emotion, word) in enumerate(WORDS.items()):
            for k, label in enumerate(("genuine", "fake")):
                videos.append((f"{split}/{first + 2 * i + k}_{word}.mp4", f"{split}{i}", emotion, label))
    return videos


def write_tree(
    root: Path, render: Callable[[Path, str, str, str], None], subjects: int = 2, labels: str = "pickle"
) -> Path:
    """Write the tree, each file by ``render(path, subject, emotion, label)``, and labels of validation."""
    for name, subject, emotion, label in plan(subjects):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        render(path, subject, emotion, label)
    valid = {
        Path(name).name: "true" if label == "genuine" else "fake"
        for name, _, _, label in plan(subjects)
        if name.startswith("Validation")
    }
    if labels == "pickle":
        (root / "valid_prediction.pkl").write_bytes(pickle.dumps(valid, protocol=2))
    elif labels == "json":
        (root / "valid.json").write_text(json.dumps(valid))
    else:
        lines = ["video,label", *(f"{name},{word}" for name, word in valid.items())]
        (root / "valid.csv").write_text("\n".join(lines) + "\n")
    return root
