"""Which videos are judged together as a pair: those of one subject, or those whose faces are alike (section 4).

The paper's authors pair the test videos of each emotion by the structural similarity (SSIM) of the first face crops,
one pair after the other. Here all pairs are chosen at once: the perfect matching of greatest total similarity, found
exactly as an integer programme.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fakeemo.face_picture import read_face

Pair = tuple[str, str]

PRESUMES = {
    "subject": (
        "A pair is the two videos that one subject made of one emotion, and the one with the higher score is called"
        " fake. This presumes that one of the two is fake, which nobody knows who has a single video."
    ),
    "faces": (
        "A pair is two videos of one emotion and split whose faces are alike, and the one with the higher score is"
        " called fake. This presumes that the videos come in pairs of one genuine and one fake of the same person,"
        " which nobody knows of new videos."
    ),
}


def pairs_by_subject(samples: Sequence[Mapping[str, str]], scored: Iterable[str]) -> list[Pair]:
    """Pair the two ``scored`` videos (ids) that a subject has of an emotion in a split; one or three make no pair.

    ``samples`` are rows of the sample sheet. Videos whose subject is not known (an empty cell) make no pair.
    """
    known = set(scored)
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for sample in samples:
        if sample["subject"] and sample["video_id"] in known:
            groups[sample["emotion"], sample["split"], sample["subject"]].append(sample["video_id"])
    return [(group[0], group[1]) for group in groups.values() if len(group) == 2]


def pairs_by_faces(
    samples: Sequence[Mapping[str, str]], scored: Iterable[str], faces: Mapping[str, str | Path]
) -> list[Pair]:
    """Pair the ``scored`` videos (ids) of each emotion and split by the likeness of their faces.

    In cross-validation they are of one fold too, as scores of different models do not compare. Of an odd number one
    video stays alone. Training videos are not paired: their subjects are known, and their number would make the search
    long.

    Args:
        samples: rows of the sample sheet. Neither ``subject`` nor ``label`` is looked at.
        scored: ids of the videos that have a score.
        faces: the picture that :func:`fakeemo.face_picture.write_face` wrote of each video, by id. A video whose
            landmarks were given has none, and makes no pair.
    """
    known = set(scored)
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for sample in samples:
        if sample["split"] != "train" and sample["video_id"] in known and sample["video_id"] in faces:
            groups[sample["emotion"], sample["split"], sample.get("fold", "")].append(sample["video_id"])
    return [
        (group[i], group[j])
        for group in groups.values()
        for i, j in best_pairs(similarities([read_face(faces[name]) for name in group]))
    ]


def similarities(faces: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Give the SSIM (Wang et al., 2004) of each two of n grey pictures of one size: (n, n), 1 on the diagonal."""
    from skimage.metrics import structural_similarity  # here, since pairing by subject can do without

    found = np.eye(len(faces))
    for i, j in combinations(range(len(faces)), 2):
        found[i, j] = found[j, i] = structural_similarity(faces[i], faces[j], data_range=255)
    return found


def best_pairs(similarity: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pair n things so that the sum of the pairs' ``similarity`` (n, n, symmetric) is greatest.

    All are paired, or all but one of an odd number. Solved exactly by branch and cut (PuLP with CBC).
    """
    import pulp  # here, since pairing by subject can do without

    n = len(similarity)
    if n < 2:
        return []
    programme = pulp.LpProblem("pairs", pulp.LpMaximize)
    chosen = {(i, j): pulp.LpVariable(f"x_{i}_{j}", cat="Binary") for i, j in combinations(range(n), 2)}
    programme += pulp.lpSum(float(similarity[pair]) * x for pair, x in chosen.items())
    programme += pulp.lpSum(chosen.values()) == n // 2
    for k in range(n):
        programme += pulp.lpSum(x for pair, x in chosen.items() if k in pair) <= 1
    status = programme.solve(pulp.PULP_CBC_CMD(msg=False, threads=1))
    if pulp.LpStatus[status] != "Optimal":
        raise RuntimeError(f"pairing {n} videos: CBC ended with {pulp.LpStatus[status]}")
    return [pair for pair, x in chosen.items() if x.value() > 0.5]
