"""A project of the embedded data set in a folder of its own."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from projects import REPOSITORY, Project

from fakeemo.demo import demo_sheet

__all__ = ["REPOSITORY", "Project"]


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Project]:
    """Make a project of some subjects of the embedded data set in a fresh folder."""

    def make(train: int = 3, valid: int = 1, test: int = 1, emotions: Iterable[str] = ("happiness",), **changes: Any):
        return Project(tmp_path / "project", demo_sheet(train, valid, test, emotions=list(emotions)), **changes)

    return make
