"""The command line: ``fakeemo --help``."""

import argparse
import os
import sys
from collections.abc import Sequence

from fakeemo import __version__
from fakeemo.errors import FakeemoError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; give 0, or 1 after a fault that the user can mend, told in one line on standard error."""
    parser = argparse.ArgumentParser(
        prog="fakeemo",
        description="Genuine or acted emotion? The workflow itself is run by `snakemake`; see the README.",
    )
    parser.add_argument("--version", action="version", version=f"fakeemo {__version__}")
    commands = parser.add_subparsers(title="commands", required=True)

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

    chosen = parser.parse_args(arguments)
    try:
        chosen.run(chosen)
    except FakeemoError as error:
        print(f"fakeemo: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _demo(chosen: argparse.Namespace) -> None:
    from fakeemo.demo import DemoSettings, write_demo

    given = {"effect_size": chosen.effect_size, "seed": chosen.seed}
    settings = DemoSettings(**{name: value for name, value in given.items() if value is not None})
    print(write_demo(chosen.folder, settings, chosen.train, chosen.valid, chosen.test))
