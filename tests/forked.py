"""Interpreters that are forked after their imports: Snakemake, and the `python scripts/x.py` of its jobs.

Hundreds of jobs would otherwise import torch, transformers and pandas anew, which is most of what they cost. A run or job
is still a process of its own, with nothing left of those before: it imports the package, which is never loaded here, from
the copy of the workflow that it belongs to. What every script imports in a fresh interpreter is proved by test_startup.py.

The server listens at the socket `argv[1]`. A request is one JSON line (`folder`, `arguments`, `environment`) with the three
standard streams as file descriptors; the answer is the exit status. The file `python` in the socket's folder stands for the
interpreter: it asks for scripts here, and becomes the real interpreter for everything else.
"""

import atexit
import gc
import importlib
import importlib.util
import json
import os
import runpy
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import NoReturn

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


MODULES = """
docutils.parsers.rst.directives.images jinja2 matplotlib.figure pandas peft PIL.Image pyarrow.parquet pydantic
pytorch_fid.inception rich.console rich.progress scipy.linalg scipy.stats seaborn snakemake.cli snakemake.report
transformers.models.emu3.modeling_emu3 transformers.models.emu3.processing_emu3
transformers.models.gpt2.tokenization_gpt2 transformers.models.clip.modeling_clip
"""


def load() -> None:
    """What Snakemake and the scripts import of other people's code; torchvision first, by the package's own way."""
    gc.disable()
    path = Path(__file__).parents[1] / "src/emudrift/runtime/torchvision_fix.py"
    spec = importlib.util.spec_from_file_location("torchvision_fix", path)
    sys.modules["torchvision_fix"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in MODULES.split():
        importlib.import_module(name)
    # What is loaded is no garbage: collecting it would cost every child more than its work.
    gc.collect()
    gc.freeze()
    gc.enable()


def run(folder: str, arguments: list[str], environment: dict[str, str], python: str) -> None:
    """In a process of its own: what the interpreter does with these arguments."""
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


def end(error: BaseException | None) -> NoReturn:
    """Ends a process as the interpreter does, but leaves it to the kernel to free what was loaded."""
    status = 0
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    elif error is not None:
        traceback.print_exception(error)
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


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
        try:
            run(**call, python=python)
        except BaseException as error:  # noqa: BLE001
            end(error)
        end(None)
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
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                answer(connection, str(python))
                os._exit(0)
            connection.close()


if __name__ == "__main__":
    main()
