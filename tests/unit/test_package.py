"""The package as others get it: its version, its public names, and the wheel."""

import inspect
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import fakeemo

REPOSITORY = Path(__file__).parents[2]


def python(program: str) -> str:
    """Run a program in a process of its own: the public names bring torch, which xgboost's tests must not meet."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_all_files_name_the_same_version():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+)", (REPOSITORY / "CHANGELOG.md").read_text(), re.M)
    assert project["version"] == citation["version"] == newest[1] == fakeemo.__version__
    assert project["license"] == citation["license"] == "MIT"
    assert (REPOSITORY / "LICENSE").read_text().startswith("MIT License")


def test_the_package_itself_imports_nothing_heavy():
    heavy = python("import sys, fakeemo; print(*{'numpy', 'torch', 'cv2', 'pyarrow', 'pandas'} & set(sys.modules))")
    assert heavy.strip() == ""


def test_public_names_are_documented_and_typed():
    found = python(
        "import inspect, fakeemo\n"
        "for name in fakeemo.__all__:\n"
        "    thing = getattr(fakeemo, name)\n"
        "    assert inspect.getdoc(thing) and not inspect.getdoc(thing).startswith(name + '('), name\n"
        "    if inspect.isfunction(thing):\n"
        "        signature = inspect.signature(thing)\n"
        "        assert signature.return_annotation is not signature.empty, name\n"
        "        untyped = [p.name for p in signature.parameters.values() if p.annotation is p.empty]\n"
        "        assert not untyped, (name, untyped)\n"
        "    print(name)\n"
    )
    assert found.split() == fakeemo.__all__
    assert set(fakeemo.__all__) <= set(dir(fakeemo))


def test_public_names_are_where_type_checkers_are_told():
    source = inspect.getsource(fakeemo)
    told = {}
    for module, names in re.findall(r"^    from fakeemo\.(\w+) import ([\w, ]+)$", source, re.M):
        told |= dict.fromkeys(re.split(r",\s*", names), module)
    assert told == fakeemo._HOME
    assert sorted(fakeemo.__all__) == sorted(told)


def test_what_is_not_public_is_no_attribute():
    with pytest.raises(AttributeError, match="module 'fakeemo' has no attribute 'magic'"):
        _ = fakeemo.magic


def test_the_wheel_holds_the_package_with_its_data_and_the_command(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    ignored = shutil.ignore_patterns("*.egg-info", "__pycache__")
    shutil.copytree(REPOSITORY / "src", source / "src", ignore=ignored)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", str(tmp_path), str(source)], check=True, timeout=300)
    (wheel,) = tmp_path.glob("fakeemo-*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        entry = next(name for name in names if name.endswith("entry_points.txt"))
        assert "fakeemo = fakeemo.cli:main" in file.read(entry).decode()
        metadata = file.read(entry.replace("entry_points.txt", "METADATA")).decode()
    assert "License-Expression: MIT" in metadata
    wanted = {path.relative_to(REPOSITORY / "src") for path in (REPOSITORY / "src" / "fakeemo").rglob("*.*")}
    wanted = {str(path) for path in wanted if "__pycache__" not in path.parts}
    assert wanted <= names
    assert "fakeemo/py.typed" in names
