"""Calls a work function by its name, on one thread, in whichever process computes cells."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import cast

__all__ = ["ONE_THREAD", "call", "use_one_thread"]

#: One thread in a worker, whatever the number of cores: sums that are split among threads differ
#: in their last bits, and a study must give the same numbers on every machine and with any number
#: of workers. The cores are used by the cells side by side.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "QISKIT_PARALLEL": "FALSE",
}


def use_one_thread() -> None:
    """Limit this process to one thread, whether its libraries are loaded already or not."""
    os.environ.update(ONE_THREAD)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if "numpy" in sys.modules:
        import_module("threadpoolctl").threadpool_limits(1)


def call(work: str, study: str, payload: str) -> str:
    """Return what the work function says, or the error that it raised.

    Args:
        work: ``"module:function"``.
        study: Folder of the study.
        payload: The cell.
    """
    try:
        function = _load(work)
        use_one_thread()
        return function(study, payload)
    except (Exception, SystemExit) as error:  # the next cell is no worse for it
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"


def _load(work: str) -> Callable[[str, str], str]:
    module, _, name = work.partition(":")
    return cast("Callable[[str, str], str]", getattr(import_module(module), name))
