"""Files that are either whole or absent, and the folder of those that can be made again."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fakeemo.errors import FakeemoError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``; rename it to ``path`` once the block ends without an error.

    A process that is killed leaves the old file, or none, and never half of one. The temporary name keeps
    the suffix of ``path``, since some writers choose the format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def cache_folder() -> Path:
    """Give the folder of parsed models and compiled kernels: ``$FAKEEMO_CACHE``, or ``~/.cache/fakeemo``.

    It is made, open to this user alone (machine code is run from there), if it is not there.
    Raises :class:`FakeemoError` if it cannot be made.
    """
    folder = Path(os.environ.get("FAKEEMO_CACHE") or "~/.cache/fakeemo").expanduser().absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise FakeemoError(f"{folder}: {error.strerror}; set FAKEEMO_CACHE to a folder for cached files") from error
    return folder
