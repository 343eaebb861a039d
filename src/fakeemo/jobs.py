"""What surrounds the one function that a job of the workflow calls: its log, and its last words."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from fakeemo.errors import FakeemoError, in_one_line


@contextmanager
def job(log: str) -> Iterator[None]:
    """Send everything that is printed inside to ``log``; end on a fault with one line on the terminal too.

    Libraries in C print to file descriptor 2, so the descriptors themselves are turned.
    """
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


def _end(terminal: int, line: str) -> None:
    print(line, file=sys.stderr)
    os.write(terminal, (line + "\n").encode())
    raise SystemExit(1)
