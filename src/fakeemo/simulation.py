"""Landmark sequences with a known limit of accuracy, whatever the method.

A method that gets 70 % is good if none could get more than 72 %, and poor if 95 % could be got. On videos of people
nobody knows. Here each clip is drawn from a generative model whose Bayes-optimal accuracy is set beforehand, and
written as the table that the landmark step would write. The clips say nothing about people.

**The model.** A face (dlib's mean shape, and for each subject a shape of its own) shows an expression

    e(t) = (a U(t) + o B(t) - f F(t)) D + s U(t) A,     U a rise of least jerk of length d (Flash & Hogan 1985),

where D displaces the landmarks as the emotion does and A those on the right more and on the left less; B overshoots
the apex and F fades after it. Head motion is a smooth similarity. Noise is white, anew in each variant, and besides
correlated in time and common to all variants. Three latent parameters (:data:`LATENTS`) depend on the label: onset
duration d (log-normal), overshoot o and asymmetry s (normal), in the directions that :mod:`fakeemo.demo_dynamics`
takes from the literature. Everything else is drawn alike for both labels.

**The limit.** The latent parameters of both labels have the same covariance, and means that lie d' standard deviations
apart, in equal parts for each parameter. Who saw them would be right in Phi(d'/2) of clips (Green & Swets 1966): this
is the ``level`` that is asked for, and nobody who sees landmarks alone can exceed it. How near one can come is told
by :func:`posterior`, Bayes' rule under the true model: head motion is taken out, from which D and A lose nothing, as
they are orthogonal to every similarity of the mean face; onset time and duration are integrated on a grid; amplitude,
overshoot, asymmetry, fading and neutral shape analytically, since given the former two the landmarks are Gaussian.
The limit lies between the accuracy of this rule and ``level``: with the default settings 0.3 to 0.5 percentage points
apart at 65, 80 and 95 % (2,400 clips of all emotions each, standard error below 0.1), and at 50 % the same.

This is the limit for clips judged one by one. Two fifths of each parameter's variance belong to the subject, so whoever
compares clips of one subject can do better: told that one of two is fake, Phi(d' / sqrt(2 (1 - 2/5))) at most.
"""

import csv
import json
import math
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.signal
from scipy.special import expit, logsumexp

from fakeemo import augment, landmarks, shape_predictor
from fakeemo.errors import FakeemoError
from fakeemo.files import replacing
from fakeemo.samples import LABELS
from fakeemo.tables import software

Array = npt.NDArray[np.float64]
Points = npt.NDArray[np.complex128]  # x + iy of landmarks, in pixels

SHARE_OF_SUBJECT = 0.4  # of the variance of each latent parameter
# Name: (mean of genuine clips, direction in which fake clips differ, standard deviation over clips of one label).
LATENTS = {
    "onset_duration": (math.log(0.55), -1, 0.30),  # log of seconds: fake is abrupt
    "overshoot": (0.06, 1, 0.07),  # share of the full expression
    "asymmetry": (0.0, 1, 0.15),  # right minus left of the image, share of the full expression
}
# Name: (mean, standard deviation), the same for both labels.
AMPLITUDE = (1.0, 0.15)
FADING = (0.10, 0.10)  # share of the full expression a second
ONSET_TIME = (0.36, 0.10)  # of half the rise: mean as a share of the clip, standard deviation in seconds

CROP = 200.0  # px, side of the face's crop
FACE = 170.0  # px, side of the square that dlib's mean shape is normalised to
DISPLACEMENT = 20.0  # px, root of the summed squares over all landmarks at the full expression
SHAPE_SD = 2.0  # px, of a subject's neutral landmarks round the mean face
WHITE_SD = 0.4  # px, of noise from frame to frame
CORRELATED_SD = 0.3  # px, of noise with memory
MEMORY = 0.15  # s, time constant of the latter
JITTER = (19, 9)  # px, the paper's

# Emotion: displacement (outwards, down) of landmarks on the left of the image, by index among the 40; the right half is
# its mirror image. Sizes are relative: each pattern is scaled to DISPLACEMENT.
_BROW, _LIDS, _LOW_LIDS, _CORNER, _CHEEK = (1, 2, 3, 4), (17, 18), (20, 21), (28,), (38,)
EXPRESSIONS: dict[str, dict[tuple[int, ...], tuple[float, float]]] = {
    "anger": {_BROW: (-1.5, 3.5), _LIDS: (0, 1.2), _LOW_LIDS: (0, -2), _CORNER: (-3, 0.8), (29, 35): (0, 0.5)},
    "contempt": {_CORNER: (4.4, -3), (29,): (0.5, -1), _CHEEK: (0.8, -1.5)},
    "disgust": {(11, 12): (0.8, -3), (4,): (-0.6, 2), (29,): (0, -2), _LOW_LIDS: (0, -1), (35,): (0, 2)},
    "happiness": {_CORNER: (4.2, -4.6), _LOW_LIDS: (0, -2), _CHEEK: (0.8, -2.5), (29, 35): (0.5, -1)},
    "sadness": {(3, 4): (-0.4, -4), _BROW[:2]: (0, 0.8), _CORNER: (0.4, 4.5), (35,): (0, -0.6)},
    "surprise": {_BROW: (-0.2, -5), _LIDS: (0, -1.7), _CORNER: (-2.6, 1.9), (35,): (0, 5), (34,): (0, 3)},
}
RIGHT_HALF = {"contempt": 0.4}  # its strength, where the left half is stronger
# The mirror image of each of the 40 landmarks.
MIRROR = (*range(9, -1, -1), 10, *range(15, 10, -1), 25, 24, 23, 22, 27, 26, 19, 18, 17, 16, 21, 20)
MIRROR += (32, 31, 30, 29, 28, 35, 34, 33, 37, 36, 39, 38)

_GRID = (0.006, 0.03)  # s and log s, steps of onset time and duration: halving them changes no limit
_REACH = 4.5  # standard deviations on either side that the grid covers
COLUMNS = ("video_id", "path", "subject", "emotion", "label", "split")


@dataclass(frozen=True)
class SimulationSettings:
    """Say what is drawn.

    Attributes:
        level: per cent of clips that Bayes' rule on the latent parameters gets right, 50 to 99.
        subjects: number of subjects, each with a genuine and a fake clip of every emotion; the first two thirds train.
        emotions: any of :data:`EXPRESSIONS`.
        frames: of a clip.
        fps: frames a second.
        variants: jittered variants beside variant 0.
        noise: factor of the landmarks' noise.
        seed: decides everything random. Clips of one seed differ between levels by nothing but the class means.

    Raises :class:`FakeemoError` for a value that cannot be simulated.
    """

    level: float = 80.0
    subjects: int = 60
    emotions: tuple[str, ...] = tuple(EXPRESSIONS)
    frames: int = 100
    fps: float = 30.0
    variants: int = 4
    noise: float = 1.0
    seed: int = 1

    def __post_init__(self) -> None:
        unknown = [name for name in self.emotions if name not in EXPRESSIONS]
        doubled = len(set(self.emotions)) < len(self.emotions)
        checks = (
            ("level", 50 <= self.level <= 99, "a number from 50 to 99 (per cent)"),
            ("subjects", self.subjects >= 3, "3 or more: two thirds train, the others test"),
            ("emotions", self.emotions and not unknown and not doubled, f"some of {', '.join(EXPRESSIONS)}"),
            ("fps", 15 <= self.fps <= 120, "a number from 15 to 120"),
            ("frames", 2.5 <= self.frames / self.fps <= 5, f"2.5 to 5 seconds at {self.fps:g} frames a second"),
            ("variants", self.variants >= 0, "0 or more"),
            ("noise", 1 <= self.noise <= 50, "a number from 1 to 50"),
            ("seed", self.seed >= 0, "0 or more"),
        )
        for name, right, expected in checks:
            if not right:
                raise FakeemoError(f"simulation setting {name}: {getattr(self, name)!r} given, expected {expected}")

    @property
    def shift(self) -> float:
        """Give the distance of fake from genuine in each latent parameter, in standard deviations: d' / sqrt(3)."""
        return 2 * NormalDist().inv_cdf(self.level / 100) / math.sqrt(len(LATENTS))


@dataclass(frozen=True)
class Clip:
    """Hold one clip: ``latents`` (3,) as in :data:`LATENTS`, ``points`` (variants + 1, frames, 40) in px."""

    video_id: str
    subject: str
    emotion: str
    label: str
    latents: Array
    onset_time: float
    points: Points


def paired_limit(level: float) -> float:
    """Give the per cent right at most when one of two clips of a subject and emotion is known to be fake."""
    d_prime = 2 * NormalDist().inv_cdf(level / 100)
    return 100 * NormalDist().cdf(d_prime / math.sqrt(2 * (1 - SHARE_OF_SUBJECT)))


def draw_clip(settings: SimulationSettings, subject: int, emotion: str, label: str) -> Clip:
    """Draw a clip. It depends on these arguments and not on how many subjects or emotions there are."""
    person = np.random.default_rng((settings.seed, subject))
    habits = person.standard_normal(len(LATENTS))
    shape = SHAPE_SD * _complex_normal(person, landmarks.N_SELECTED)
    size = 0.04 * person.standard_normal()

    # From 1: NumPy takes missing numbers of a seed for 0, and the subject's own stream must not come again.
    rng = np.random.default_rng((settings.seed, subject, 1 + list(EXPRESSIONS).index(emotion), 1 + LABELS.index(label)))
    take = rng.standard_normal(len(LATENTS))
    deviation = math.sqrt(SHARE_OF_SUBJECT) * habits + math.sqrt(1 - SHARE_OF_SUBJECT) * take
    mean, sd = _class_mean(settings, label), _latent_sd()
    log_duration, overshoot, asymmetry = latents = mean + sd * deviation
    onset_time = ONSET_TIME[0] * settings.frames / settings.fps + ONSET_TIME[1] * rng.standard_normal()
    amplitude = AMPLITUDE[0] + AMPLITUDE[1] * rng.standard_normal()
    fading = FADING[0] + FADING[1] * rng.standard_normal()

    rise, bump, fade = (course[0] for course in _courses(settings, np.array([onset_time]), np.array([log_duration])))
    whole, sides = _patterns(emotion)
    expression = (amplitude * rise + overshoot * bump - fading * fade)[:, None] * whole
    expression = expression + (asymmetry * rise)[:, None] * sides
    noise = _correlated_noise(settings, rng)
    frames = (settings.variants + 1, settings.frames, landmarks.N_SELECTED)
    noise = noise + settings.noise * WHITE_SD * _complex_normal(rng, *frames)
    turn, place = _head_motion(settings, size, rng)
    points = turn[:, None] * (_mean_face() + shape + expression + noise) + place[:, None]
    video_id = f"s{subject:03d}_{emotion}_{label}"
    return Clip(video_id, f"s{subject:03d}", emotion, label, latents, float(onset_time), points)


def posterior(settings: SimulationSettings, emotion: str, points: Points) -> Array:
    """Give the probability of fake of clips under the true model, both labels being equally likely.

    Args:
        settings: those the clips were drawn with.
        emotion: of the clips.
        points: landmarks (n, frames, 40), the mean over the clip's variants, which says all that they say together.
    """
    reference = _mean_face()
    centred = points - points.mean(axis=2, keepdims=True)
    # z -> a z, the least-squares similarity onto the mean face, as in sequences.relative_to_neutral.
    a = (centred.conj() @ reference) / (np.abs(centred) ** 2).sum(axis=2)
    still = a[:, :, None] * centred - reference
    table = _integration(settings)
    observed = np.stack([(still * pattern.conj()).real.sum(axis=2) for pattern in _patterns(emotion)])
    observed = (observed / np.array([DISPLACEMENT, DISPLACEMENT / 2])[:, None, None]) @ table.whitening.T
    log_odds = np.empty(len(points))
    for start in range(0, len(points), 64):  # the grid times 64 clips is some 50 MB
        part = slice(start, start + 64)
        whole, sides = observed[0, part].T, observed[1, part].T
        fitted = [*(table.templates[:3] @ whole), table.templates[3] @ sides]
        evidence = []
        for k in range(2):
            squares = sum((fit + prior[:, None]) ** 2 for fit, prior in zip(fitted, table.from_prior[k], strict=True))
            evidence.append(logsumexp(table.log_prior[k][:, None] + squares / 2, axis=0))
        log_odds[part] = evidence[1] - evidence[0]
    return np.asarray(expit(log_odds), np.float64)


@dataclass(frozen=True)
class _Integration:
    """What the integration over onset time and duration needs, for each of the grid's points."""

    whitening: Array  # (frames, frames): the landmarks' noise over time, made white
    templates: Array  # (4, grid, frames): data to the posterior mean of amplitude, overshoot, fading | asymmetry
    from_prior: Array  # (2, 4, grid): what the priors of the two labels add to it
    log_prior: Array  # (2, grid): all that does not depend on the data


@lru_cache(maxsize=1)
def _integration(settings: SimulationSettings) -> _Integration:
    mean_time = ONSET_TIME[0] * settings.frames / settings.fps
    times = np.arange(mean_time - _REACH * ONSET_TIME[1], mean_time + _REACH * ONSET_TIME[1], _GRID[0])
    class_means = [_class_mean(settings, label) for label in LABELS]
    log_sd, overshoot_sd, asymmetry_sd = _latent_sd()
    durations = np.arange(
        min(mean[0] for mean in class_means) - _REACH * log_sd,
        max(mean[0] for mean in class_means) + _REACH * log_sd,
        _GRID[1],
    )
    time, duration = (axis.ravel() for axis in np.meshgrid(times, durations, indexing="ij"))

    lag = np.abs(np.subtract.outer(np.arange(settings.frames), np.arange(settings.frames)))
    covariance = (settings.noise * CORRELATED_SD) ** 2 * np.exp(-lag / (MEMORY * settings.fps)) + SHAPE_SD**2
    covariance += (settings.noise * WHITE_SD) ** 2 / (settings.variants + 1) * np.eye(settings.frames)
    whitening = np.linalg.inv(np.linalg.cholesky(covariance))
    rise, bump, fade = (course @ whitening.T for course in _courses(settings, time, duration))
    designs = [
        (DISPLACEMENT * np.stack([rise, bump, -fade], axis=1), np.array([AMPLITUDE[1], overshoot_sd, FADING[1]])),
        (DISPLACEMENT / 2 * rise[:, None], np.array([asymmetry_sd])),
    ]
    templates, from_prior, log_prior = [], [], []
    for mean in class_means:
        log_prior.append(-(((time - mean_time) / ONSET_TIME[1]) ** 2 + ((duration - mean[0]) / log_sd) ** 2) / 2)
    for number, (design, sd) in enumerate(designs):
        precision = np.diag(sd**-2) + design @ design.transpose(0, 2, 1)
        factor = np.linalg.cholesky(precision)
        back = np.linalg.inv(factor)
        templates.append((back @ design).transpose(1, 0, 2))
        prior_means = [np.array([AMPLITUDE[0], m[1], FADING[0]]) if number == 0 else m[2:] for m in class_means]
        from_prior.append(np.stack([(back @ (m / sd**2)).T for m in prior_means]))
        for k, m in enumerate(prior_means):
            log_prior[k] -= np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1) + ((m / sd) ** 2).sum() / 2
    return _Integration(whitening, np.concatenate(templates), np.concatenate(from_prior, axis=1), np.stack(log_prior))


def _class_mean(settings: SimulationSettings, label: str) -> Array:
    shift = settings.shift if label == "fake" else 0.0
    return np.array([mean + shift * direction * sd for mean, direction, sd in LATENTS.values()])


def _latent_sd() -> Array:
    return np.array([sd for _, _, sd in LATENTS.values()])


def _courses(settings: SimulationSettings, onset_time: Array, log_duration: Array) -> tuple[Array, Array, Array]:
    """Give U, B and F, each (n, frames), of expressions that are half-way up at ``onset_time`` (n,)."""
    duration = np.exp(log_duration)[:, None]
    since = np.arange(settings.frames) / settings.fps - onset_time[:, None]
    u = np.clip(since / duration + 0.5, 0, 1)
    after = np.clip(since - duration / 2, 0, None)
    return u**3 * (10 - 15 * u + 6 * u**2), after / 0.12 * np.exp(1 - after / 0.12), after


@cache
def _mean_face() -> Points:
    """Give the neutral face (40,), centred at 0."""
    shape = landmarks.select(shape_predictor.read(landmarks.default_model()).initial_shape).astype(np.float64)
    face = FACE * (shape[:, 0] + 1j * shape[:, 1])
    return np.asarray(face - face.mean(), np.complex128)


@cache
def _patterns(emotion: str) -> tuple[Points, Points]:
    """Give D and A (40,): orthogonal to one another and to all that moving, turning and scaling a face does.

    Their lengths are the same for each emotion, and so is the limit.
    """
    left = np.zeros(landmarks.N_SELECTED, np.complex128)
    for chosen, (outwards, down) in EXPRESSIONS[emotion].items():
        left[list(chosen)] += -outwards + 1j * down
    left[np.array(MIRROR) == np.arange(landmarks.N_SELECTED)] /= 2  # half a displacement from each side
    right = -left[list(MIRROR)].conj()
    face = _mean_face()

    def without_pose(pattern: Points) -> Points:
        pattern = pattern - pattern.mean()
        return np.asarray(pattern - face * (face.conj() @ pattern) / (face.conj() @ face), np.complex128)

    whole = without_pose(left + RIGHT_HALF.get(emotion, 1.0) * right)
    whole *= DISPLACEMENT / np.linalg.norm(whole)
    sides = without_pose(right - left)
    sides -= whole * (whole.conj() @ sides).real / DISPLACEMENT**2
    return whole, sides * (DISPLACEMENT / 2 / np.linalg.norm(sides))


def _complex_normal(rng: np.random.Generator, *shape: int) -> Points:
    return np.asarray(rng.standard_normal((*shape, 2)).view(np.complex128)[..., 0])


def _correlated_noise(settings: SimulationSettings, rng: np.random.Generator) -> Points:
    """Give noise (frames, 40) whose memory fades exponentially (a first-order autoregressive process)."""
    kept = math.exp(-1 / (MEMORY * settings.fps))
    drive = _complex_normal(rng, settings.frames, landmarks.N_SELECTED)
    drive[1:] *= math.sqrt(1 - kept**2)
    noise = scipy.signal.lfilter([1.0], [1.0, -kept], drive, axis=0)
    return np.asarray(settings.noise * CORRELATED_SD * noise, np.complex128)


def _head_motion(settings: SimulationSettings, size: float, rng: np.random.Generator) -> tuple[Points, Points]:
    """Give for each frame the similarity z -> turn z + place: slow drift, roll and distance."""
    times = np.arange(settings.frames) / settings.fps
    frequency, phase = rng.uniform(0.1, 0.5, size=(2, 4)), rng.uniform(0, 2 * np.pi, size=(2, 4))
    waves = np.sin(2 * np.pi * frequency[..., None] * times + phase[..., None]).mean(axis=0)
    reach = np.array([6.0, 5.0, 0.06, 0.05]) * rng.uniform(0.4, 1.3, size=4)
    lean, right, down = np.array([0.04, 2.0, 2.0]) * rng.standard_normal(3)
    x, y, roll, nearer = reach[:, None] * waves
    return np.exp(size + nearer + 1j * (lean + roll)), CROP / 2 * (1 + 1j) + right + x + 1j * (down + y)


def write_simulation(folder: str | Path, settings: SimulationSettings) -> Path:
    """Write ``variants/{video}.parquet``, ``samples.tsv`` and ``truth.json`` into ``folder``; give the sheet's path.

    ``truth.json`` holds settings, limits, and for each clip its latent parameters and :func:`posterior`. As there
    are no videos, column ``path`` of the sheet names the table.
    """
    folder = Path(folder)
    n_train = 2 * settings.subjects // 3
    sheet: list[tuple[str, ...]] = []
    truth: dict[str, dict[str, float]] = {}
    expected = []
    for emotion in settings.emotions:
        clips = [
            draw_clip(settings, subject, emotion, label)
            for subject in range(1, settings.subjects + 1)
            for label in LABELS
        ]
        p_fake = posterior(settings, emotion, np.stack([clip.points.mean(axis=0) for clip in clips]))
        expected += list(np.maximum(p_fake, 1 - p_fake))
        for clip, p in zip(clips, p_fake, strict=True):
            path = folder / "variants" / f"{clip.video_id}.parquet"
            _write_clip(path, clip, settings)
            split = "train" if int(clip.subject[1:]) <= n_train else "test"
            sheet.append((clip.video_id, str(path), clip.subject, clip.emotion, clip.label, split))
            values = {"onset_time": clip.onset_time, **dict(zip(LATENTS, clip.latents.tolist(), strict=True))}
            values["onset_duration"] = math.exp(values["onset_duration"])
            truth[clip.video_id] = {**values, "posterior_fake": float(p)}
    facts: dict[str, Any] = {
        "kind": "simulation",
        "settings": asdict(settings),
        "limit": {
            "level": settings.level,
            "level_of_pairs": paired_limit(settings.level),
            "expected_of_posterior": 100 * float(np.mean(expected)),
            "standard_error": 100 * float(np.std(expected) / math.sqrt(len(expected))),
        },
        "clips": truth,
        "software": software("numpy", "scipy"),
    }
    with replacing(folder / "truth.json") as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    with replacing(folder / "samples.tsv") as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(sorted(sheet))
    return folder / "samples.tsv"


def _write_clip(path: Path, clip: Clip, settings: SimulationSettings) -> None:
    boxes = np.tile([0.0, 0.0, CROP, CROP], (settings.frames, 1))
    drawn = augment.offsets(clip.video_id, settings.variants, JITTER, settings.seed)
    positions = np.stack([clip.points.real, clip.points.imag], axis=-1).astype(np.float32)
    features = np.stack(
        [augment.normalised(p, augment.jittered(boxes, d)) for p, d in zip(positions, drawn, strict=True)]
    )
    frame = np.arange(settings.frames)
    augment.write_variants(
        path,
        {"frame": frame, "timestamp": frame / settings.fps},
        drawn,
        features.transpose(3, 2, 0, 1),
        {
            "parameters": {"video_id": clip.video_id, "simulation": asdict(settings)},
            "versions": software("numpy", "scipy"),
        },
    )
