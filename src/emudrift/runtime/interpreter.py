"""The interpreter of a script: less time spent on garbage that is none, and on freeing what the system frees at once.

With torch and transformers loaded, both together take half of a short job's CPU time (bench/startup.py).
"""

import atexit
import gc
import os
import sys

_done = False


def prepare() -> None:
    """Call before anything large is imported.

    What imports make stays until the end, so it is looked through for garbage less often than after every 700 new objects.
    """
    gc.set_threshold(50_000, 20, 100)
    atexit.register(_end)  # Handlers run in reverse order: this one after all that are registered later.


def end_quickly() -> None:
    """Call when all work is done and nothing failed: the process ends with status 0 without freeing objects one by one."""
    global _done
    _done = True


def _end() -> None:
    if _done:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
