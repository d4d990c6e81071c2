"""Interpreters that are forked after their imports: Snakemake, and the `python scripts/x.py` of its jobs.

Hundreds of jobs would otherwise import torch, transformers and pandas anew, which is most of what they cost. A run or job
is still a process of its own, with nothing left of those before: it imports the package, which is never loaded here, from
the copy of the workflow that it belongs to. What every script imports in a fresh interpreter is proved by test_startup.py.

The server listens at the socket `argv[1]`. A request is one JSON line (`folder`, `arguments`, `environment`) with the three
standard streams as file descriptors; the answer is the exit status. The file `python` in the socket's folder stands for the
interpreter: it asks for scripts here, and becomes the real interpreter for everything else.
"""

import importlib.util
import json
import os
import runpy
import signal
import socket
import sys
from pathlib import Path

SECONDS = 900
PYTHON = """#!{python} -IS
import json, os, socket, sys
if len(sys.argv) < 2 or os.path.basename(os.path.dirname(sys.argv[1])) != "scripts":
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
call = {{"folder": os.getcwd(), "arguments": sys.argv[1:], "environment": dict(os.environ)}}
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [b"."], [0, 1, 2])
    server.sendall(json.dumps(call).encode() + b"\\n")
    status = int(server.makefile().readline() or -9)
sys.exit(status if status >= 0 else 128 - status)
"""


def load() -> None:
    """What Snakemake and the scripts import of other people's code."""
    import docutils.parsers.rst.directives.images
    import jinja2
    import pandas
    import PIL.Image
    import pydantic
    import pyarrow.parquet
    import rich.console
    import rich.progress
    import scipy.linalg
    import scipy.stats
    import snakemake.cli
    import snakemake.report
    import torch

    path = Path(__file__).parents[1] / "src/emudrift/runtime/torchvision_fix.py"
    spec = importlib.util.spec_from_file_location("torchvision_fix", path)
    sys.modules["torchvision_fix"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    import matplotlib.figure
    import peft
    import pytorch_fid.inception
    import seaborn
    from transformers import AutoTokenizer, Emu3ForConditionalGeneration, PreTrainedTokenizerFast  # noqa: F401


def run(folder: str, arguments: list[str], environment: dict[str, str], python: str) -> None:
    """In a process of its own: what the interpreter does with these arguments. Ends it."""
    signal.alarm(SECONDS)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = arguments
    if arguments[0] == "snakemake":
        # Rules call the `python` beside the one that runs Snakemake.
        sys.executable = python
        sys.path[0] = folder
        import snakemake.cli

        snakemake.cli.main()
    else:
        sys.path[0] = str(Path(arguments[0]).resolve().parent)
        runpy.run_path(arguments[0], run_name="__main__")


def answer(connection: socket.socket, python: str) -> None:
    """In a process of its own: one request, and its status when it is over."""
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    call = json.loads(connection.makefile().readline())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        connection.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        run(**call, python=python)
        sys.exit()
    for stream in streams:
        os.close(stream)
    _, status = os.waitpid(child, 0)
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def main() -> None:
    address = Path(sys.argv[1])
    python = address.parent / "python"
    python.write_text(PYTHON.format(python=sys.executable, address=str(address)))
    python.chmod(0o755)
    load()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(address))
        server.listen(64)
        print("ready", flush=True)
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                answer(connection, str(python))
                os._exit(0)
            connection.close()


if __name__ == "__main__":
    main()
