"""The quick end of a script: output and other handlers come first, and a failure keeps its status."""

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, sys, threading, time
from emudrift.runtime import interpreter

interpreter.prepare()

class Freed:
    def __del__(self):
        print("freed")

kept = Freed()
atexit.register(print, "handler")
threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
print("work", end=" ")
{end}
"""


@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        ("interpreter.end_quickly()", 0, "work thread\nhandler\n"),
        ("", 0, "work thread\nhandler\nfreed\n"),
        ("sys.exit(3)", 3, "work thread\nhandler\nfreed\n"),
    ],
)
def test_what_runs_at_the_end(end, status, said):
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(end=end)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (status, said, "")
