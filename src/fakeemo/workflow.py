"""What the rules ask of config, sample sheet and code. Imports nothing heavy: every job on a cluster pays for it."""

import difflib
import fcntl
import hashlib
import os
import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any, NamedTuple

import jsonschema
import yaml

from fakeemo.errors import FakeemoError
from fakeemo.samples import CHALLENGE, CROSS_VALIDATED, LABELS, Sample, check_folds, deal_folds
from fakeemo.sase_fe import read_source

FIGURES = (
    "accuracy",
    "roc",
    "confusion",
    "reliability",
    "pb_space",
    "generation",
    "learning_curves",
    "boosting",
)
"""What :func:`fakeemo.figures.draw_figures` draws; named here, as the rules must not pay for matplotlib."""

ARMS: dict[str, dict[str, dict[str, Any]]] = {
    "one-step": {"recognition": {"method": "gradient", "steps": 1, "start": "zero"}},
    "converged": {"recognition": {"method": "gauss-newton", "steps": 20, "tolerance": 1e-4}},
    "plain": {"sequences": {"augmented": False}},
}
"""Arms of the ablation, by name: what the config says otherwise, by section."""

_PACKAGE = Path(__file__).parent
SCRIPTS = _PACKAGE.parents[1] / "workflow" / "scripts"
"""The rules' scripts; common.smk says where they are, since an installed package does not stand beside them."""

_SCHEMA = _PACKAGE / "config.schema.yaml"  # a link to the one in workflow/schemas, so that an installed package has it
_HELD: list[IO[str]] = []


def complete_config(config: Mapping[str, Any], schema_file: str | Path, config_files: Sequence[str]) -> dict[str, Any]:
    """Check a config against the schema and fill in the schema's defaults.

    Raises:
        FakeemoError: on the first fault, with the file, the key, the value and what was expected.
    """
    schema: dict[str, Any] = yaml.safe_load(Path(schema_file).read_text())
    where = " + ".join(str(file) for file in config_files) or "config"
    validator = jsonschema.Draft202012Validator(schema)
    # The deepest fault names the key; its ancestors would only say that a section is wrong.
    faults = sorted(validator.iter_errors(config), key=lambda fault: (-len(fault.absolute_path), str(fault.path)))
    if faults:
        raise FakeemoError(f"{where}: {_explain(faults[0])}")
    completed = _with_defaults(config, schema)
    rate = completed["boosting"]["rate"]
    for emotion in rate if isinstance(rate, Mapping) else ():
        if emotion not in completed["emotions"]:
            known = ", ".join(completed["emotions"])
            raise FakeemoError(f"{where}: key 'boosting.rate': '{emotion}' is no emotion of this config ({known})")
    return completed


def read_config(files: Sequence[str | Path] = ()) -> dict[str, Any]:
    """Read config files as Snakemake does, the later ones going first, for a command that stands outside of it.

    Without any, it is the schema's defaults, and ``samples`` is empty.

    Raises:
        FakeemoError: if a file cannot be read, or as :func:`complete_config` does.
    """
    merged: dict[str, Any] = {}
    for file in files:
        try:
            found = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise FakeemoError(f"{file}: cannot be read as YAML ({' '.join(str(error).split())})") from error
        if not isinstance(found, dict):
            raise FakeemoError(f"{file}: a config is lines of the form key: value")
        _update(merged, found)
    return complete_config({"samples": ""} | merged, _SCHEMA, [str(file) for file in files])


def _update(config: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            _update(config[key], value)
        else:
            config[key] = value


def _explain(fault: Any) -> str:
    key = ".".join(str(part) for part in fault.absolute_path)
    if fault.validator == "additionalProperties":
        known = list(fault.schema["properties"])
        surplus = next(name for name in fault.instance if name not in known)
        close = difflib.get_close_matches(str(surplus), known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(known)}"
        return f"unknown key '{key + '.' if key else ''}{surplus}' ({hint})"
    if fault.validator == "required":
        missing = next(name for name in fault.validator_value if name not in fault.instance)
        # Only a condition ("then") says why; a section's own description would say what it is for.
        why = (
            f"; {fault.schema['description']}" if "then" in fault.schema_path and "description" in fault.schema else ""
        )
        return f"key '{key + '.' if key else ''}{missing}' is missing{why}"
    expected = " ".join(str(fault.schema.get("description", "")).split())
    return f"key '{key}': {fault.message}" + (f"; expected: {expected}" if expected else "")


def _with_defaults(value: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Give all keys in the schema's order: as parameters of a rule, the same settings must look the same."""
    filled: dict[str, Any] = {}
    for name, part in schema["properties"].items():
        if name in value or "default" in part:
            filled[name] = value.get(name, part.get("default"))
            if "properties" in part:
                filled[name] = _with_defaults(filled[name], part)
    return filled | {name: value[name] for name in sorted(value.keys() - filled.keys())}


class Model(NamedTuple):
    """Hold what one network with its classifier learns from and what it judges: ids of videos of one emotion.

    ``labels`` and ``subjects`` are of the training videos, by id; ``recognised`` are those that need a PB vector.
    """

    emotion: str
    fold: str
    labels: dict[str, str]
    subjects: dict[str, str]
    recognised: list[str]
    judged: list[str]


class Sheet:
    """The sample sheet, ready for look-ups by video, by emotion and by model.

    ``videos`` maps an id to its row; ``emotions`` are those that the sheet has, in the config's order. ``models`` maps
    a name to its :class:`Model`: without ``folds`` there is one for each emotion, called like it; with folds of
    subjects there is one for each emotion and fold that has videos of it, called ``EMOTION.foldNUMBER``.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        emotions: Sequence[str],
        absent: frozenset[str],
        folds: Sequence[Sequence[str]] = (),
    ) -> None:
        self.videos = {sample.video_id: sample for sample in samples}
        self._absent = absent
        of_emotion: dict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            of_emotion[sample.emotion].append(sample)
        self.emotions = [emotion for emotion in emotions if emotion in of_emotion]
        self.models: dict[str, Model] = {}
        for emotion in self.emotions:
            here = of_emotion[emotion]
            if not folds:
                self.models[emotion] = _model(emotion, "", here, [s for s in here if s.split == "train"], here)
            for number, fold in enumerate(folds, start=1):
                others = [sample for sample in here if sample.subject not in fold]
                held_out = [sample for sample in here if sample.subject in fold]
                if held_out:
                    name = f"fold{number}"
                    self.models[f"{emotion}.{name}"] = _model(emotion, name, here, others, held_out)

    def input_video(self, video: str) -> list[str]:
        """Give the video's file, or nothing where it is known to be missing and bad videos are skipped."""
        return [] if video in self._absent else [self.videos[video].path]

    def span(self, video: str) -> dict[str, Any]:
        """Give what of the sheet's row decides how the video is read: path, times, and the face's place."""
        sample = self.videos[video]
        return {"video": sample.path} | {k: getattr(sample, k) for k in ("start_s", "end_s", "roi", "roi_frame")}

    def tables(self) -> list[str]:
        """Give the ids of the videos whose landmarks are given."""
        return [video for video, sample in self.videos.items() if sample.is_table]

    def table_span(self, video: str) -> dict[str, Any]:
        """Give what of the sheet's row decides how a table of landmarks is read."""
        sample = self.videos[video]
        return {"table": sample.path} | {k: getattr(sample, k) for k in ("start_s", "end_s", "fps")}

    def n_variants(self, config: Mapping[str, Any], video: str) -> int:
        """Give the number of a video's jittered variants; in cross-validation every video is a training video once."""
        split = self.videos[video].split
        number: int = config["variants"]["train" if split == CROSS_VALIDATED else split]
        return number

    def judged(self) -> list[list[str]]:
        """Give the ids of the videos that each model judges, in the order of ``models``."""
        return [model.judged for model in self.models.values()]

    def shown(self) -> list[str]:
        """Give the first model of each emotion, whose learning the report shows for all folds'."""
        first = {model.emotion: name for name, model in reversed(self.models.items())}
        return [first[emotion] for emotion in self.emotions]

    def rows(self) -> list[dict[str, str]]:
        """Give the rows as the evaluation needs them."""
        names = ("video_id", "subject", "emotion", "label", "split")
        fold = {video: model.fold for model in self.models.values() for video in model.judged}
        return [
            {name: getattr(sample, name) for name in names} | {"fold": fold[video]}
            for video, sample in self.videos.items()
        ]


def _model(
    emotion: str, fold: str, samples: Sequence[Sample], learned_from: Sequence[Sample], judged: Sequence[Sample]
) -> Model:
    """Give the model of an emotion's ``samples`` that is fitted to the labelled ones of ``learned_from``."""
    labels = {sample.video_id: sample.label for sample in learned_from if sample.label}
    subjects = {sample.video_id: sample.subject for sample in learned_from if sample.label}
    needed = {*labels, *(sample.video_id for sample in judged)}
    recognised = [sample.video_id for sample in samples if sample.video_id in needed]
    return Model(emotion, fold, labels, subjects, recognised, [sample.video_id for sample in judged])


def read_sheet(config: Mapping[str, Any]) -> Sheet:
    """Read the sample sheet that a completed config names, look for each video's file, and deal folds of subjects.

    Raises:
        FakeemoError: on a fault of the sheet; on more folds than subjects, or folds that leave too little to learn
            from; on a missing file, unless ``on_bad_video`` is ``skip``.
    """
    where, protocol = config["samples"], config["protocol"]
    samples = read_source(where, config["emotions"], config["synonyms"], cross_validated=protocol != "challenge")
    folds: list[list[str]] = []
    if protocol != "challenge":
        subjects = {sample.subject for sample in samples}
        n_folds = config["folds"] if protocol == "k-fold" else len(subjects)
        if n_folds > len(subjects):
            raise FakeemoError(f"{where}: has {len(subjects)} subjects; lower the config key 'folds' ({n_folds})")
        folds = deal_folds(subjects, n_folds, config["seed"])
        check_folds(where, samples, folds)
    rendered = str(Path(config["demo"]["folder"])) + os.sep if "demo" in config else None
    absent = [
        sample
        for sample in samples
        if not (rendered and str(Path(sample.path)).startswith(rendered)) and not os.path.exists(sample.path)
    ]
    if absent and config["on_bad_video"] == "stop":
        others = f" (and {len(absent) - 1} more)" if len(absent) > 1 else ""
        raise FakeemoError(
            f"{where}, column 'path': video '{absent[0].video_id}': no file {absent[0].path}{others};"
            " correct the path (relative ones start at the working directory), remove the row,"
            " or set on_bad_video: skip"
        )
    return Sheet(samples, config["emotions"], frozenset(sample.video_id for sample in absent), folds)


def protocol_in_words(config: Mapping[str, Any], sheet: Sheet) -> str:
    """Say how training and judged videos are kept apart, as a label of tables and figures."""
    if config["protocol"] == "challenge":
        return CHALLENGE
    n_subjects = len({sample.subject for sample in sheet.videos.values()})
    if config["protocol"] == "k-fold":
        return f"{config['folds']}-fold cross-validation over {n_subjects} subjects"
    return f"leave-one-subject-out cross-validation over {n_subjects} subjects"


def demo_clips(config: Mapping[str, Any], sheet: Sheet) -> list[str]:
    """Give the clips of one subject of the embedded data set, with the wildcard ``{subject}``."""
    folder = config["demo"]["folder"]
    return [f"{folder}/{{subject}}_{emotion}_{label}.mp4" for emotion in sheet.emotions for label in LABELS]


def boosting_settings(config: Mapping[str, Any], emotion: str) -> dict[str, Any]:
    """Give the boosting section with the learning rate of one emotion, where rates differ by emotion."""
    settings = {**config["boosting"], "seed": config["seed"]}
    if isinstance(settings["rate"], Mapping):
        settings["rate"] = settings["rate"].get(emotion, 0.1)
    return settings


def intake_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Give what of the config decides how a new video is brought before a network: as one of the test split."""
    variants = {"n_variants": config["variants"]["test"], "jitter_px": config["variants"]["jitter_px"]}
    kept = {name: config[name] for name in ("tracking", "landmarks", "recognition", "seed", "torch_threads")}
    return kept | {"variants": variants}


def arm(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Give the config of one of :data:`ARMS`."""
    return {**config, **{section: config[section] | keys for section, keys in ARMS[name].items()}}


def network_of(name: str, model: str, file: str) -> str:
    """Give a file of the network that one of :data:`ARMS` recognises with: its own if it learns otherwise."""
    own = f"results/ablation/{name}/models" if "sequences" in ARMS[name] else "results/models"
    return f"{own}/{model}/{file}"


def ablation_files(config: Mapping[str, Any]) -> list[str]:
    """Give what the report reads of the ablation: nothing where the config does not ask for one."""
    return ["results/ablation.json", "results/report/figures/ablation.svg"] if config["ablation"] else []


def baselines(sheet: Sheet) -> list[str]:
    """Name the methods beside LSTM-PB + boosting; learning from pairs needs a pair for training in every fold."""
    paired: dict[str, bool] = defaultdict(bool)
    for model in sheet.models.values():
        labels = defaultdict(set)
        for video, subject in model.subjects.items():
            labels[subject].add(model.labels[video])
        paired[model.fold] |= any(len(shown) == len(LABELS) for shown in labels.values())
    return ["nearest-pb", "logistic-pb", "direct", *(["pairs"] if all(paired.values()) else [])]


def paired_by_faces(config: Mapping[str, Any], sheet: Sheet) -> list[str]:
    """Give the videos whose faces the evaluation needs: none unless it pairs by them."""
    if config["evaluation"]["pairing"] != "faces":
        return []
    return [video for video, sample in sheet.videos.items() if not sample.is_table]


def any_of(videos: Sequence[str]) -> str:
    """Give the regular expression that fits these ids and no others."""
    return "|".join(re.escape(video) for video in videos)


def gpus(config: Mapping[str, Any]) -> int:
    """Give the GPUs that a job of a network or of boosting asks for: none where its part of the config says cpu."""
    return 0 if config["device"] == "cpu" else 1


def check_writable(*folders: str) -> None:
    """Raise :class:`FakeemoError` if one of the folders, or one right below it, is there and cannot be written to."""
    for folder in map(Path, folders):
        for path in (folder, *(folder.glob("*/") if folder.exists() else ())):
            if path.exists() and not os.access(path, os.W_OK | os.X_OK):
                raise FakeemoError(
                    f"{path.absolute()}: cannot be written to; change its permissions, or work in another folder"
                    " (--directory)"
                )


def hold_folder() -> None:
    """Keep other runs out of the working directory until this process ends, by the kernel's lock.

    Snakemake's own outlives a run that is killed, and has to be removed by hand; so the profile turns it off. On a
    file system that knows no such locks the run goes on without, and says so.

    Raises:
        FakeemoError: if another run has the folder, or results cannot be written there.
    """
    check_writable("results", "logs")
    lock = open(".snakemake/fakeemo.lock", "w")  # noqa: SIM115 - stays open
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the latter on some network file systems
        raise FakeemoError(f"{Path.cwd()}: another run is at work there; wait for its end, or stop it") from None
    except OSError as error:
        print(f"{Path.cwd()}: cannot be locked ({error.strerror}); start no second run there", file=sys.stderr)
    _HELD.append(lock)


def check_job_arrays(workflow: Any, n_videos: int) -> None:
    """Refuse a limit on jobs under which Slurm's job arrays would wait for ever.

    Ready jobs of an array that are fewer than fill it, while others are ready that a limit holds back, are never
    submitted by version 2.8 of Snakemake's plugin.

    Args:
        workflow: Snakemake's, of which settings of the executor and the scheduler are read.
        n_videos: which are a job of preprocessing each; the demo and the networks add theirs.

    Raises:
        FakeemoError: if arrays are wanted, and a limit is below four jobs a video.
    """
    if not getattr(workflow.executor_settings, "array_jobs", None):
        return
    rate = workflow.scheduling_settings.max_jobs_per_timespan
    limits = {"jobs": workflow.nodes, "scheduler-subsample": workflow.scheduling_settings.subsample}
    limits["max-jobs-per-timespan"] = rate and rate.max_jobs
    for name, limit in limits.items():
        if limit is not None and limit < 4 * n_videos:
            raise FakeemoError(
                f"--{name} {limit} and Slurm's job arrays do not go together: the plugin would wait for ever; give"
                f" {4 * n_videos} or more, as profiles/slurm does, or --slurm-array-jobs ''"
            )


def lift_rate_limit(workflow: Any) -> None:
    """Take away the limit of 100 new jobs a second that Snakemake 9 sets by itself.

    To keep it, its scheduler looks once a second for jobs that it may start, and once more a second for each job that
    has ended since: after some hundred jobs that takes a core, and thousands of threads after some thousand. Another
    limit, which the user asked for, stays, and so does any on a cluster, whose controller it spares.

    Args:
        workflow: Snakemake's, its scheduler made.
    """
    rate = workflow.scheduling_settings.max_jobs_per_timespan
    if workflow.local_exec and rate is not None and (rate.max_jobs, rate.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


@cache
def code(script: str, module: str) -> str:
    """Give a hash of a stage's code: its script, its module, and all of the package that the module imports.

    As a rule's parameter it makes an edit re-run that stage, which Snakemake does not see by itself, while a checkout
    or a touch, which change times and not contents, re-run nothing.
    """
    modules = _closure(module)
    files = [SCRIPTS / f"{script}.py", *(_PACKAGE / f"{name}.py" for name in sorted(modules))]
    if "report" in modules:
        files += sorted((_PACKAGE / "templates").iterdir())
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _closure(module: str) -> set[str]:
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            source = (_PACKAGE / f"{name}.py").read_text()
            waiting += re.findall(r"^\s*from fakeemo\.(\w+) import", source, re.MULTILINE)
            for names in re.findall(r"^\s*from fakeemo import ([\w, ]+)", source, re.MULTILINE):
                waiting += [n.strip() for n in names.split(",") if (_PACKAGE / f"{n.strip()}.py").exists()]
    return found
