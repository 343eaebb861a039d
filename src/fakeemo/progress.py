"""How far a long loop is: on a terminal a bar with the time that is left, in a log a line a minute."""

import sys
from collections.abc import Callable, Iterable, Sized
from typing import Any

from tqdm import tqdm

_COUNT = "{desc}: {n_fmt} {unit}s, {elapsed} gone{postfix}"
_COUNT_OF = "{desc}: {n_fmt} of {total_fmt} {unit}s, {elapsed} gone, {remaining} left{postfix}"
_SECONDS = 60.0  # between two lines of a log; what is done sooner than that says nothing


def progress(
    items: Iterable[Any] | None, what: str, unit: str, total: float | None = None, done: int = 0
) -> "tqdm[Any]":
    """Give ``items``, and show on standard error how many of them have been taken.

    Args:
        items: what is looped over, or None where the caller counts by ``update``.
        what: what is being done; it stands in front of the figures.
        unit: one of the items, in the singular.
        total: how many items there are, where they have no length; if that is unknown, no time left is shown.
        done: how many of ``total`` had been done before.
    """
    if sys.stderr.isatty():
        return tqdm(items, what, total, unit=unit, initial=done, dynamic_ncols=True)
    line = _COUNT if total is None and not isinstance(items, Sized) else _COUNT_OF
    return _Lines(items, what, total, unit=unit, initial=done, bar_format=line, mininterval=_SECONDS, delay=_SECONDS)


class _Lines(tqdm):  # type: ignore[type-arg]  # of whatever is looped over
    """Progress in whole lines: a bar that is drawn anew would make one endless line of a log."""

    @staticmethod
    def status_printer(file: Any) -> Callable[[str], None]:
        return lambda text: print(text, file=file, flush=True)

    def close(self) -> None:
        """End without a last line: what follows in the log says that this is done."""
        self.disable = True
