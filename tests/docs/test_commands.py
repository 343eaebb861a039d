"""The commands of README and docs run.

Each page's blocks run from top to bottom in a copy of the repository in which the demo, made tiny, is finished. What
takes long or needs what is not there is made smaller by :data:`PREAMBLE`, and by nothing else: `snakemake` plans its
jobs without running them, `make` prints what it would do, a benchmark is compiled, and what installs or fetches does
nothing. `fakeemo` and Python run as they stand, and a patch is applied. A block under `<!-- not run: REASON -->` is
only parsed.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pages import PAGES, REPOSITORY, blocks, commands_in_text, links
from snakemake.cli import get_argument_parser

from fakeemo import cli
from fakeemo.demo import demo_sheet
from fakeemo.tables import read_table
from fakeemo.workflow import complete_config

PREAMBLE = """
set -eu
snakemake() {
  case " $* " in *" --report "* | *" --help "*) command snakemake "$@" ;; *) command snakemake --dry-run "$@" ;; esac
}
make() { command make --dry-run "$@"; }
python() { case "$1" in benchmarks/*) command python -m py_compile "$1" ;; *) command python "$@" ;; esac; }
cd() { if [ -d "$1" ]; then builtin cd "$1"; fi; }
git() { echo "not run: git $*"; }
pip() { echo "not run: pip $*"; }
source() { echo "not run: source $*"; }
sbatch() { echo "not run: sbatch $*"; }
"""

CONFIG = {
    "samples": "config/samples.tsv",
    "device": "cpu",
    "demo": {"effect_size": 3.0, "seconds": 2},
    "emotions": ["happiness"],
    "variants": {"train": 1, "valid": 1, "test": 1, "jitter_px": [6, 3]},
    "sequences": {"reference": "neutral"},
    "network": {"pb": 4, "context": 4, "hidden": 8, "layers": 1},
    "learning": {"epochs": 3, "batch_size": 4},
    "recognition": {"steps": 2},
    "boosting": {"trees": 5},
}


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(folder / "src"), "COLUMNS": "120"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Give a copy of the repository in which the tiny demo is finished, with the files that the docs call yours."""
    folder = tmp_path_factory.mktemp("docs") / "fakeemo"
    folder.mkdir()
    for name in ("Snakefile", "Makefile", "README.md", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, folder)
    for path in REPOSITORY.glob("requirements*.lock"):
        shutil.copy(path, folder)
    for name in ("benchmarks", "config", "docs", "profiles", "src", "workflow"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "out"))
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    rows = demo_sheet(2, 1, 1, emotions=["happiness"])
    sheet = "".join("\t".join(cells) + "\n" for cells in (rows[0], *(row.values() for row in rows)))
    (folder / "config" / "samples.tsv").write_text(sheet)
    done = run(folder, "snakemake", "--cores", "2", "--quiet", "rules")
    assert done.returncode == 0, done.stderr
    for name in ("my_video.mp4", "a.mp4", "b.mp4"):
        shutil.copy(folder / rows[-1]["path"], folder / name)
    (folder / "my_videos").mkdir()
    for row in rows:
        name = "{subject}_{label}_{emotion}.mp4".format_map(row)
        shutil.copy(folder / row["path"], folder / "my_videos" / name)
    (folder / "my_samples.tsv").write_text(sheet)
    (folder / "my_config.yaml").write_text("samples: my_samples.tsv\n")
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_the_commands_of_a_page_run_in_their_order(page, finished, tmp_path):
    folder = tmp_path / "fakeemo"
    shutil.copytree(finished, folder, symlinks=True)
    for block in blocks(page):
        where = f"{page.relative_to(REPOSITORY)}, line {block.line}"
        if block.language == "bash":
            checked = run(folder, "bash", "-n", "-c", block.text)
            assert checked.returncode == 0, f"{where}: {checked.stderr}"
        ways = {
            "bash": ("bash", "-c", PREAMBLE + block.text),
            "python": (sys.executable, "-c", block.text),
            "diff": ("bash", "-c", f"git apply - <<'END'\n{block.text}\nEND"),
        }
        if block.language in ways and not block.not_run:
            done = run(folder, *ways[block.language])
            assert done.returncode == 0, f"{where}:\n{block.text}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_commands_name_what_there_is(page):
    """Those within the text, and those of the blocks too, since a block may be only parsed."""
    targets = set(re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(), re.M))
    lines = [line for block in blocks(page) if block.language == "bash" for line in block.lines()]
    for command in [*commands_in_text(page), *lines]:
        words = shlex.split(command, comments=True)
        match words[:2]:
            case ["fakeemo", *_]:
                check_fakeemo(words[1:])
            case ["make", target]:
                assert target in targets, command
            case ["python", script] if script.endswith(".py"):
                assert (REPOSITORY / script).exists(), command
            case ["snakemake", *_]:
                get_argument_parser().parse_args(words[1:])


def check_fakeemo(words: list[str]) -> None:
    """Follow the names of commands, and look each option up; what is left out, a reader would fill in."""
    parser: argparse.ArgumentParser = cli.parser()
    for word in words:
        below = [a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        if word.startswith("--"):
            assert word.partition("=")[0] in parser._option_string_actions, words
        elif below and word != "COMMAND":
            assert word in below[0], words
            parser = below[0][word]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_config_snippets_are_configs(page):
    schema = REPOSITORY / "workflow" / "schemas" / "config.schema.yaml"
    keys = yaml.safe_load(schema.read_text())["properties"]
    for block in blocks(page):
        if block.language == "yaml":
            snippet = yaml.safe_load(block.text)
            assert isinstance(snippet, dict)
            if next(iter(snippet)) in keys:  # else it is of a profile
                complete_config({"samples": "my_samples.tsv"} | snippet, schema, [page.name])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_to_files(page):
    for target in links(page):
        assert (page.parent / target).exists(), target


def test_every_column_of_a_table_is_described(finished):
    """Numbered columns, as x_0 to x_67, are described by their first."""
    sections = (REPOSITORY / "docs" / "file_formats.md").read_text().split("\n### ")
    for section in sections:
        heading = re.match(r"`(results/[^`]+\.(?:parquet|csv))`", section)
        if heading:
            pattern = heading[1].replace("VIDEO", "*").replace("MODEL", "happiness")
            table = sorted(finished.glob(pattern))[0]
            names = read_table(table)[0] if table.suffix == ".parquet" else table.read_text().splitlines()[0].split(",")
            described = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", section))))
            assert {re.sub(r"_\d+$", "_0", name) for name in names} <= described, pattern


def test_the_words_for_metrics_are_those_of_the_file(finished):
    page = (REPOSITORY / "docs" / "file_formats.md").read_text()
    words = re.findall(r"`(\w+)`", page.partition("### `results/metrics.json`")[2].partition("```")[0])
    text = (finished / "results" / "metrics.json").read_text()
    assert len(words) > 10
    assert [word for word in words if f'"{word}"' not in text] == []
