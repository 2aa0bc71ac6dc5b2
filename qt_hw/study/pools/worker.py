"""A worker process: takes cells from a socket, one after another, until its parent is gone.

``LocalPool`` starts it as a plain Python process. The pools of the standard library would import
the caller's main script again in each worker, which fails for a script without a main guard or
read from standard input, and they do not give a cell whose worker died to another one.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import threading

from qt_hw.study.pools.calling import call

__all__ = ["BOOT", "serve"]

#: What ``python -c`` runs: the arguments are the parent's ``sys.path`` and those of ``serve``.
#: Ctrl-C is the parent's matter: it reaches every process of a terminal, and the parent kills us.
BOOT = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from qt_hw.study.pools.worker import serve; serve(int(sys.argv[2]), *sys.argv[3:])"
)


def serve(handle: int, study: str, work: str) -> None:
    """Answer each cell with the error that it ended with, an empty one if there was none.

    Args:
        handle: File descriptor of the socket to the pool.
        study: Folder of the study.
        work: ``"module:function"``.
    """
    _die_with_parent()
    with socket.socket(fileno=handle) as link, link.makefile("rw", encoding="utf-8") as lines:
        for line in lines:
            error = call(work, study, json.loads(line))
            lines.write(json.dumps(error) + "\n")
            lines.flush()


def _die_with_parent() -> None:
    """End this process at once when the parent's end of standard input closes.

    However the parent dies, the system closes it. An orphan would go on writing to a cell that
    the next ``--resume`` gives to another worker.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    # On Linux the system itself ends us then, even inside a long call that holds the interpreter.
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    threading.Thread(target=_exit_at_end, daemon=True).start()


def _exit_at_end() -> None:
    os.read(0, 1)
    os._exit(1)
