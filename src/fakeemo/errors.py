"""The errors that a user can mend."""

from collections.abc import Sequence


class FakeemoError(Exception):
    """Something the user gave cannot be used. The message is one line: what, where, what to do."""


class VideoError(FakeemoError):
    """A video cannot be used.

    ``status`` is the word that stands in ``results/qc/videos.parquet`` (``missing``, ``unreadable``,
    ``no_face``, ``too_short``, ...), ``reason`` the sentence beside it.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason

    def __reduce__(self) -> tuple[type["VideoError"], tuple[str, str]]:
        return VideoError, (self.status, self.reason)  # so that it comes through from another process


_FULL = ("No space left on device", "Disk quota exceeded")


def in_one_line(error: Exception) -> str:
    """Say what has gone wrong: the message of a fault that a user can mend, else what kind of fault it is."""
    if isinstance(error, FakeemoError):
        text = str(error)
    elif isinstance(error, MemoryError):
        text = "out of memory; give it more, or lower its batch_size in the config"
    elif isinstance(error, OSError):
        text = f"{error.filename or 'file system'}: {error.strerror or error}"
    else:
        text = f"unexpected {type(error).__name__}: {error}"
    if any(full in text for full in _FULL):
        text += "; make room and start again, what is computed stays"
    return "fakeemo: " + " ".join(text.split())


def check_word(key: str, given: object, known: Sequence[str]) -> None:
    """Raise :class:`FakeemoError` where the value of a config key is not one of the words it may be."""
    if given not in known:
        raise FakeemoError(f"{key}: {given!r} given, expected {' or '.join(known)}")
