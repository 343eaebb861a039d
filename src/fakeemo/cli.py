"""The command line: ``fakeemo --help``."""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from fakeemo import __version__, prediction_command, sample_commands
from fakeemo.errors import FakeemoError, in_one_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; give its exit code, or 1 after a fault, told in one line on standard error."""
    chosen = parser().parse_args(arguments)
    try:
        return chosen.run(chosen) or 0
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("fakeemo: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        if chosen.verbose:
            traceback.print_exc()
        hint = "" if chosen.verbose or isinstance(error, FakeemoError) else "; --verbose shows where"
        print(in_one_line(error) + hint, file=sys.stderr)
        return 1
    return 0


class _Parser(argparse.ArgumentParser):
    """An argument parser whose faults are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; `{self.prog} --help` lists what can be given\n")


def parser() -> argparse.ArgumentParser:
    """Give the parser of all subcommands; ``run`` of what it parses is the function to call with that."""
    parser = _Parser(
        prog="fakeemo",
        description="Genuine or acted emotion? The workflow itself is run by `snakemake`; see the README.",
        epilog="`fakeemo COMMAND --help` says what a command takes, with an example",
    )
    parser.add_argument("--version", action="version", version=f"fakeemo {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="render the embedded data set: synthetic clips of one photograph, with their sample sheet",
        epilog="example: fakeemo demo data/null --effect-size 0 --seed 2",
    )
    demo.add_argument("folder", help="where clips and samples.tsv go")
    demo.add_argument("--effect-size", type=float, help="how far genuine and fake differ; 0: not at all (default: 3)")
    demo.add_argument("--seed", type=int, help="decides every clip (default: 1)")
    demo.add_argument("--train", type=int, default=8, help="training subjects (default: %(default)s)")
    demo.add_argument("--valid", type=int, default=1, help="validation subjects (default: %(default)s)")
    demo.add_argument("--test", type=int, default=4, help="test subjects (default: %(default)s)")
    demo.set_defaults(run=_demo)

    simulate = commands.add_parser(
        "simulate",
        help="draw landmark sequences on which no method can be right more often than is set",
        epilog="example: fakeemo simulate data/simulated --level 65 --subjects 60 --emotions happiness anger",
    )
    simulate.add_argument("folder", help="where variants/, samples.tsv and truth.json go")
    simulate.add_argument("--level", type=float, help="limit of accuracy, per cent; 50: both alike (default: 80)")
    simulate.add_argument("--subjects", type=int, help="subjects, two thirds of them for training (default: 60)")
    simulate.add_argument("--seed", type=int, help="decides every clip (default: 1)")
    simulate.add_argument("--emotions", nargs="+", metavar="EMOTION", help="emotions that are shown (default: all six)")
    simulate.add_argument("--frames", type=int, help="frames of a clip (default: 100)")
    simulate.add_argument("--fps", type=float, help="frames a second (default: 30)")
    simulate.set_defaults(run=_simulate)

    overlay = commands.add_parser(
        "overlay",
        help="draw face box, landmarks, state and PSR into a copy of a video",
        epilog="examples: fakeemo overlay clip.mp4 --end-s 10; fakeemo overlay clip.mp4 --out seen.mp4"
        " --rois results/rois/clip.parquet --landmarks results/landmarks/clip.parquet",
    )
    overlay.add_argument("video", help="the video file")
    overlay.add_argument("--out", help="the MP4 file to write (default: the video's name with _overlay.mp4, here)")
    overlay.add_argument("--rois", help="table of face boxes from the workflow (default: track with default settings)")
    overlay.add_argument("--landmarks", help="table of landmarks from the workflow, together with --rois")
    overlay.add_argument("--roi", type=_box, metavar="X,Y,W,H", help="the face's box in pixels, instead of detection")
    overlay.add_argument("--roi-frame", type=int, default=0, help="frame that --roi is about (default: %(default)s)")
    overlay.add_argument("--start-s", type=float, help="begin of the part to use, in seconds")
    overlay.add_argument("--end-s", type=float, help="end of that part")
    overlay.set_defaults(run=_overlay)

    generate = commands.add_parser(
        "generate",
        help="show what a network has learned: faces moving from genuine to fake, side by side",
        epilog="example: fakeemo generate results/models/happiness --steps 5 --exaggerate 2",
    )
    generate.add_argument("model", help="folder of a learned network, results/models/EMOTION")
    generate.add_argument("--out", help="animation to write, .mp4 or .gif (default: EMOTION_generated.mp4, here)")
    generate.add_argument("--first", metavar="TABLE", help="variant table, whose face it starts from (default: mean)")
    generate.add_argument("--length", type=int, help="frames (default: those of the longest training sequence)")
    generate.add_argument("--steps", type=int, default=3, help="faces from genuine to fake (default: %(default)s)")
    generate.add_argument("--fps", type=float, help="frames a second (default: sequences.fps of the network, or 25)")
    generate.add_argument("--exaggerate", type=float, default=1, help="factor on the movement (default: %(default)s)")
    generate.add_argument("--table", help="Parquet table of the generated sequences to write as well")
    generate.set_defaults(run=_generate)

    sample_commands.add_commands(commands)
    prediction_command.add_command(commands)
    for command in leaves(parser):
        command.add_argument("--verbose", action="store_true", help="after a fault, show where in the code it arose")
    return parser


def leaves(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Give the parsers of the commands proper, which have no commands below them, in the order of the help."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    below = [command for group in groups for command in group.choices.values()]
    return [leaf for command in below for leaf in leaves(command)] if below else [parser]


def _demo(chosen: argparse.Namespace) -> None:
    from fakeemo.demo import DemoSettings, write_demo

    settings = DemoSettings(**_given(chosen, "effect_size", "seed"))
    print(write_demo(chosen.folder, settings, chosen.train, chosen.valid, chosen.test))


def _simulate(chosen: argparse.Namespace) -> None:
    from fakeemo.simulation import SimulationSettings, write_simulation

    given = _given(chosen, "level", "subjects", "seed", "emotions", "frames", "fps")
    if "emotions" in given:
        given["emotions"] = tuple(given["emotions"])
    print(write_simulation(chosen.folder, SimulationSettings(**given)))


def _overlay(chosen: argparse.Namespace) -> None:
    from fakeemo.overlay import write_overlay

    out = chosen.out or f"{Path(chosen.video).stem}_overlay.mp4"
    write_overlay(
        chosen.video,
        out,
        rois=chosen.rois,
        landmarks=chosen.landmarks,
        roi=chosen.roi,
        roi_frame=chosen.roi_frame,
        start_s=chosen.start_s,
        end_s=chosen.end_s,
    )
    print(out)


def _generate(chosen: argparse.Namespace) -> None:
    from fakeemo.generation import write_generated

    out = chosen.out or f"{Path(chosen.model).resolve().name}_generated.mp4"
    names = ("first", "length", "steps", "fps", "exaggerate", "table")
    write_generated(chosen.model, out, **{name: getattr(chosen, name) for name in names})
    print(out)


def _given(chosen: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Give those of the options that were given; the defaults of the others stand where they are used."""
    return {name: getattr(chosen, name) for name in names if getattr(chosen, name) is not None}


def _box(text: str) -> tuple[float, float, float, float]:
    try:
        x, y, w, h = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not x,y,w,h in pixels (as in 120,80,200,200)") from None
    return x, y, w, h
