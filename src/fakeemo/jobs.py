"""What surrounds the one function that a job of the workflow calls: its log, and its last words.

A script imports this module before all others. What they bring are hundreds of thousands of objects that stay, and to
look for garbage among them time and again, while they come and once more at the end, took a fifth of a short job. So
from here on nobody looks, until :func:`job` begins.
"""

import gc
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from fakeemo.errors import FakeemoError, in_one_line

gc.disable()


@contextmanager
def job(log: str) -> Iterator[None]:
    """Send everything that is printed inside to ``log``; end on a fault with one line on the terminal too.

    Libraries in C print to file descriptor 2, so the descriptors themselves are turned.
    """
    gc.freeze()
    gc.enable()
    terminal = os.dup(2)
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield
        except (FakeemoError, MemoryError) as error:
            _end(terminal, in_one_line(error))
        except Exception as error:
            traceback.print_exc()
            _end(terminal, f"{in_one_line(error)}; the trace is in {log}")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.close(terminal)
            gc.freeze()


def _end(terminal: int, line: str) -> None:
    print(line, file=sys.stderr)
    os.write(terminal, (line + "\n").encode())
    raise SystemExit(1)
