"""How the expressions of the embedded data set move in time.

Genuine and fake clips of the demo differ in the dynamics below and in nothing else. The *directions* are those of
the literature; the *sizes* are chosen so that a good method gets most clips right and not all, and they say
nothing about people:

====================  ============================================================  ==================================
parameter             genuine against fake                                          after
====================  ============================================================  ==================================
onset, offset         slower against abrupt                                         Cohn & Schmidt 2004; Schmidt,
                                                                                    Ambadar, Cohn & Reed 2006
steps, overshoot      one smooth rise against a rise in jerks that shoots beyond    Frank, Ekman & Friesen 1993;
                      the apex                                                      Ekman & Friesen 1982
fluctuation           one steady apex against an irregular one                      Ekman & Friesen 1982;
                                                                                    Frank, Ekman & Friesen 1993
asymmetry, lag        left and right alike against unequal in strength and time,    Ekman, Hager & Friesen 1981
                      mostly stronger on the person's left
eye involvement       muscles round the eye take part against little or not at      Duchenne 1862; Ekman, Davidson &
                      all (happiness AU6, anger AU5+7, surprise AU5)                Friesen 1990
====================  ============================================================  ==================================

Each parameter is log-normal over clips, with a median for both classes together, a spread, of which two fifths
(of the variance) belong to the subject and three fifths to the take, and a shift between the two classes that
is multiplied by ``effect_size``. With ``effect_size=0`` both classes are one distribution. Strength, length of
the clip, the moments half-way up and half-way down, blinks, head motion and noise never depend on the label.
What the same authors report and is left out: spontaneous smiles are weaker, and deliberate expressions are more
often stronger on the left of the face. Most of this evidence is on smiles; the demo applies it to all emotions.

Cohn & Schmidt 2004, Int. J. Wavelets Multiresolut. Inf. Process. 2:121. Duchenne 1862, Mécanisme de la physionomie
humaine. Ekman, Davidson & Friesen 1990, J. Pers. Soc. Psychol. 58:342. Ekman & Friesen 1982, J. Nonverbal Behav.
6:238. Ekman, Hager & Friesen 1981, Psychophysiology 18:101. Frank, Ekman & Friesen 1993, J. Pers. Soc. Psychol.
64:83. Schmidt, Ambadar, Cohn & Reed 2006, J. Nonverbal Behav. 30:37.
"""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fakeemo.errors import FakeemoError

Array = npt.NDArray[np.float64]

EMOTIONS = ("anger", "contempt", "disgust", "happiness", "sadness", "surprise")
LABELS = ("genuine", "fake")
REGIONS = ("brow_left", "brow_right", "eye_left", "eye_right", "mouth_left", "mouth_right")

# Name: (median, log of fake over genuine at effect_size 1, standard deviation of the log).
PARAMETERS = {
    "onset_duration": (0.45, -0.65, 0.30),  # s
    "offset_duration": (0.55, -0.50, 0.30),  # s
    "steps": (0.40, 1.0, 0.7),  # depth of the halt half-way up; 1 is a full stop
    "overshoot": (0.08, 1.1, 0.7),  # share of the apex
    "fluctuation": (0.04, 1.1, 0.6),  # standard deviation, share of the apex
    "asymmetry": (0.20, 1.0, 0.6),  # |right - left| over their mean
    "lag": (0.05, 0.9, 0.6),  # s between left and right
    "eye_involvement": (0.55, -0.9, 0.45),  # share of the full action round the eyes
}
# No clip, however extreme its draw, leaves what a face can do.
LIMITS = {
    "onset_duration": (0.12, 1.1),
    "offset_duration": (0.16, 1.1),
    "steps": (0.0, 1.4),
    "overshoot": (0.0, 0.4),
    "fluctuation": (0.0, 0.15),
    "asymmetry": (0.0, 0.9),
    "lag": (0.0, 0.2),
    "eye_involvement": (0.0, 1.2),
}
# How often a fake expression is stronger on the person's left (right in the image), as a quantile of the normal
# distribution at effect size 2: 88 % of clips. Genuine ones lean to either side alike.
LEANS_LEFT = 1.2
_SHARE_OF_SUBJECT = 0.4  # of the variance of each parameter


@dataclass(frozen=True)
class DemoSettings:
    """Set how the embedded data set is rendered.

    ``effect_size`` (>= 0) scales every difference between genuine and fake; ``seed`` chooses all random draws;
    ``width`` and ``height`` are pixels, even, ``seconds`` the length of each clip.

    Raises :class:`FakeemoError` for a value that cannot be rendered.
    """

    effect_size: float = 3.0
    seed: int = 1
    fps: int = 25
    seconds: float = 2.6
    width: int = 400
    height: int = 300

    def __post_init__(self) -> None:
        checks = (
            ("effect_size", 0 <= self.effect_size <= 5, "a number from 0 to 5"),
            ("seed", self.seed >= 0 and self.seed == int(self.seed), "a whole number from 0"),
            ("fps", 10 <= self.fps <= 120 and self.fps == int(self.fps), "a whole number from 10 to 120"),
            ("seconds", 2 <= self.seconds <= 20, "a number from 2 to 20"),
            ("width", self.width % 2 == 0 and self.height <= self.width <= 1920, "even, from height to 1920"),
            ("height", self.height % 2 == 0 and 240 <= self.height <= 1080, "even, from 240 to 1080"),
        )
        for name, right, expected in checks:
            if not right:
                raise FakeemoError(f"demo setting {name}: {getattr(self, name)!r} given, expected {expected}")

    @property
    def n_frames(self) -> int:
        """Count the frames of a clip."""
        return round(self.fps * self.seconds)


@dataclass(frozen=True)
class Dynamics:
    """Hold the true dynamics of one clip.

    Times and durations are in seconds; for the rest see :data:`PARAMETERS`. ``asymmetry`` and ``lag`` carry a
    sign: positive where the right half of the image is stronger or later. ``strength`` scales all regions.
    ``times`` is (n_frames,), ``activations`` (n_frames, 6) in the order of :data:`REGIONS` with 1 for the full
    expression, ``blink`` (n_frames,) from 0 (open) to 1 (closed).
    """

    onset_start: float
    onset_duration: float
    offset_start: float
    offset_duration: float
    strength: float
    steps: float
    overshoot: float
    fluctuation: float
    asymmetry: float
    lag: float
    eye_involvement: float
    times: Array
    activations: Array
    blink: Array


def random_stream(*key: object) -> np.random.Generator:
    """Give the random generator that belongs to ``key``, the same in every process."""
    digest = hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def dynamics(subject: str, emotion: str, label: str, settings: DemoSettings) -> Dynamics:
    """Draw the dynamics of one clip.

    ``subject`` is any name, ``emotion`` one of :data:`EMOTIONS`, ``label`` "genuine" or "fake". The label picks
    the take (each clip has draws of its own) and, times ``settings.effect_size``, shifts the parameters.

    Raises :class:`FakeemoError` for an unknown emotion or label.
    """
    if emotion not in EMOTIONS:
        raise FakeemoError(f"demo: unknown emotion {emotion!r}, expected one of {', '.join(EMOTIONS)}")
    if label not in LABELS:
        raise FakeemoError(f"demo: unknown label {label!r}, expected one of {', '.join(LABELS)}")
    habits = random_stream(settings.seed, "habits", subject).standard_normal(len(PARAMETERS))
    take = random_stream(settings.seed, "take", subject, emotion, LABELS.index(label))
    contrast = settings.effect_size * (0.5 if label == "fake" else -0.5)
    return draw_dynamics(take, habits, contrast, settings)


def draw_dynamics(rng: np.random.Generator, habits: Array, contrast: float, settings: DemoSettings) -> Dynamics:
    """Draw dynamics from ``rng`` for a subject with ``habits`` (8 standard normal numbers).

    ``contrast`` is the only way in for the label: half the effect size, negative for genuine, positive for fake.
    """
    value = {}
    for (name, (median, shift, spread)), habit in zip(PARAMETERS.items(), habits, strict=True):
        deviation = math.sqrt(_SHARE_OF_SUBJECT) * habit + math.sqrt(1 - _SHARE_OF_SUBJECT) * rng.standard_normal()
        low, high = LIMITS[name]
        value[name] = float(np.clip(median * math.exp(shift * contrast + spread * deviation), low, high))
    leaning = _normal_share(LEANS_LEFT * max(contrast, 0.0))
    asymmetry = value["asymmetry"] * (1.0 if rng.random() < leaning else -1.0)
    lag = value["lag"] * rng.choice((-1.0, 1.0))

    # Half-way up and half-way down do not depend on the durations, so neither does the mean strength of a clip.
    times = np.arange(settings.n_frames) / settings.fps
    rise = 0.29 * settings.seconds + rng.uniform(-0.06, 0.06)
    fall = 0.77 * settings.seconds + rng.uniform(-0.06, 0.06)
    onset = min(value["onset_duration"], 2 * (rise - 0.1))
    offset = min(value["offset_duration"], 2 * (settings.seconds - 0.08 - fall))

    strength = float(np.clip(math.exp(0.12 * rng.standard_normal()), 0.75, 1.3))
    activations = np.empty((len(times), len(REGIONS)))
    for column, region in enumerate(REGIONS):
        side = -1.0 if region.endswith("left") else 1.0
        amplitude = strength * (1 + side * asymmetry / 2) * math.exp(0.08 * rng.standard_normal())
        if region.startswith("eye"):
            amplitude *= value["eye_involvement"]
        delay = side * lag / 2
        curve = _course(times - delay, rise, onset, fall, offset, value["steps"], value["overshoot"])
        activations[:, column] = amplitude * curve * (1 + value["fluctuation"] * _wobble(times, rng))
    return Dynamics(
        onset_start=rise - onset / 2,
        onset_duration=onset,
        offset_start=fall - offset / 2,
        offset_duration=offset,
        strength=strength,
        steps=value["steps"],
        overshoot=value["overshoot"],
        fluctuation=value["fluctuation"],
        asymmetry=asymmetry,
        lag=lag,
        eye_involvement=value["eye_involvement"],
        times=times,
        activations=activations,
        blink=_blinks(times, settings.seconds, rng),
    )


def _normal_share(quantile: float) -> float:
    return 0.5 * (1 + math.erf(quantile / math.sqrt(2)))


def _course(
    times: Array, rise: float, onset: float, fall: float, offset: float, steps: float, overshoot: float
) -> Array:
    """Give the course from neutral over onset, apex and offset, with mean 1 over the apex."""
    up = _ease((times - rise) / onset + 0.5)
    up = up - steps * np.sin(4 * np.pi * up) / (4 * np.pi)
    since = np.clip((times - rise - onset / 2) / 0.12, 0, None)
    up = up + overshoot * since * np.exp(1 - since)
    apex = (times >= rise + onset / 2) & (times <= fall - offset / 2)
    if apex.any():
        up = up / up[apex].mean()
    return up * (1 - _ease((times - fall) / offset + 0.5))


def _ease(u: Array) -> Array:
    """Go from 0 to 1 as a movement of least jerk does (Flash & Hogan 1985)."""
    u = np.clip(u, 0, 1)
    return u**3 * (10 - 15 * u + 6 * u**2)


def _wobble(times: Array, rng: np.random.Generator) -> Array:
    """Give a smooth irregular series of standard deviation 1, between 1 and 4 Hz."""
    frequency = rng.uniform(1, 4, size=5)
    phase = rng.uniform(0, 2 * np.pi, size=5)
    wave: Array = np.sin(2 * np.pi * frequency * times[:, None] + phase).sum(axis=1)
    return wave / math.sqrt(2.5)


def _blinks(times: Array, seconds: float, rng: np.random.Generator) -> Array:
    """Give the closure of the lids: about one blink in three seconds, each 0.2 to 0.3 s long."""
    closure = np.zeros_like(times)
    for _ in range(rng.poisson(seconds / 3)):
        middle, length = rng.uniform(0.1, seconds - 0.1), rng.uniform(0.2, 0.3)
        closure = np.maximum(closure, np.clip(1.4 * (1 - np.abs(times - middle) / (length / 2)), 0, 1))
    return closure
