"""The errors that a user can mend."""


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
